//! Attention, of the encoder to itself and of the decoder to the source.

use fxtranslate::ops;

use crate::{
    layers::Norm,
    linear::{Kernel, Linear},
    parameters::Parameters,
    shape::Shape,
};

pub(crate) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm: Norm,
    width: usize,
    heads: usize,
}

/// Keys and values of an attention's input.
pub(crate) struct Memory {
    /// Dimension by dimension, each with all its positions: the products of a query with all of them are computed at once.
    keys: Vec<f32>,
    /// Position by position.
    values: Vec<f32>,
    positions: usize,
    width: usize,
}

impl Attention {
    pub(crate) fn read(
        parameters: &Parameters<'_>,
        name: &str,
        shape: &Shape,
        kernel: Kernel,
    ) -> Result<Self, String> {
        let width = shape.width;
        let linear = |part: char| {
            let (weights, bias) = (format!("{name}_W{part}"), format!("{name}_b{part}"));
            let layer = Linear::read(parameters, &weights, Some(&bias), width, kernel)?;
            match layer.outputs() == width {
                true => Ok(layer),
                false => Err(format!("{weights} does not have {width} outputs")),
            }
        };
        Ok(Self {
            query: linear('q')?,
            key: linear('k')?,
            value: linear('v')?,
            output: linear('o')?,
            norm: Norm::read(parameters, &format!("{name}_Wo"), width)?,
            width,
            heads: shape.heads,
        })
    }

    /// Keys and values of an input of `positions` rows.
    pub(crate) fn memory(&self, input: &[f32], positions: usize, rounded: &mut Vec<u8>) -> Memory {
        let rows = self.key.apply(input, positions, rounded);
        let mut keys = vec![0.0; rows.len()];
        for (position, row) in rows.chunks_exact(self.width).enumerate() {
            for (dimension, key) in row.iter().enumerate() {
                keys[dimension * positions + position] = *key;
            }
        }
        Memory {
            keys,
            values: self.value.apply(input, positions, rounded),
            positions,
            width: self.width,
        }
    }

    /// Attends to the memory. `shares`, if given, gets what the first head of the first row attends to: a share for each position.
    pub(crate) fn attend(
        &self,
        input: &[f32],
        rows: usize,
        memory: &Memory,
        rounded: &mut Vec<u8>,
        mut shares: Option<&mut Vec<f32>>,
    ) -> Vec<f32> {
        let queries = self.query.apply(input, rows, rounded);
        let size = self.width / self.heads;
        let scale = 1.0 / (size as f32).sqrt();
        let mut joined = vec![0.0; rows * self.width];
        let mut scores = vec![0.0; memory.positions];
        let heads = queries.chunks_exact(size);
        for (index, (query, out)) in heads.zip(joined.chunks_exact_mut(size)).enumerate() {
            let from = (index % self.heads) * size;
            memory.score(query, from, scale, &mut scores);
            ops::softmax_in_place(&mut scores, 1, memory.positions);
            if let Some(shares) = shares.take() {
                shares.extend_from_slice(&scores);
            }
            memory.average(&scores, from, out);
        }
        let attended = self.output.apply(&joined, rows, rounded);
        self.norm.of_sum(&attended, input, rows)
    }
}

impl Memory {
    /// Products of a query with every key, from dimension `from` on.
    fn score(&self, query: &[f32], from: usize, scale: f32, scores: &mut [f32]) {
        scores.fill(0.0);
        let keys = self.keys.chunks_exact(self.positions).skip(from);
        for (query, keys) in query.iter().zip(keys) {
            for (score, key) in scores.iter_mut().zip(keys) {
                *score += query * key;
            }
        }
        for score in scores {
            *score *= scale;
        }
    }

    /// Average of the values, weighed by the scores, from dimension `from` on.
    fn average(&self, scores: &[f32], from: usize, out: &mut [f32]) {
        for (score, values) in scores.iter().zip(self.values.chunks_exact(self.width)) {
            for (out, value) in out.iter_mut().zip(&values[from..]) {
                *out += score * value;
            }
        }
    }
}
