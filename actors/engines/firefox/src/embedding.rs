//! Embeddings: from tokens to vectors.

use std::f32::consts::FRAC_PI_2;

use crate::{
    parameters::{Matrix, Parameters},
    shape::Shape,
};

/// The embeddings of one language.
pub(crate) struct Embedding {
    matrix: Matrix,
    /// Dequantisation factor: embedding = stored number × factor.
    factor: f32,
}

impl Embedding {
    pub(crate) fn read(
        parameters: &Parameters<'_>,
        name: &str,
        shape: &Shape,
    ) -> Result<Self, String> {
        let matrix = parameters.matrix(name)?;
        match matrix.second == shape.width {
            true => Ok(Self {
                factor: 1.0 / matrix.multiplier,
                matrix,
            }),
            false => Err(format!("{name} does not have {} columns", shape.width)),
        }
    }

    /// Number of tokens.
    pub(crate) fn tokens(&self) -> usize {
        self.matrix.first
    }

    pub(crate) fn write_row(&self, token: u32, into: &mut [f32]) {
        let row = self.matrix.row(token as usize);
        for (out, number) in into.iter_mut().zip(row) {
            *out = f32::from(*number) * self.factor;
        }
    }
}

/// Sinusoidal position encodings.
pub(crate) struct Positions {
    width: usize,
    /// One row for each position.
    table: Vec<f32>,
    /// Factor applied to an embedding before its position is added.
    scale: f32,
}

impl Positions {
    /// A table of `count` positions.
    pub(crate) fn new(shape: &Shape, count: usize) -> Self {
        let (width, half) = (shape.width, shape.width / 2);
        let frequencies = (0..width).map(|column| {
            let frequency = 1e-4_f32.powf((column % half) as f32 / (half as f32 - 1.0));
            (frequency, (column / half) as f32 * FRAC_PI_2)
        });
        let frequencies = frequencies.collect::<Vec<_>>();
        let mut table = Vec::with_capacity(count * width);
        for position in 0..count {
            let angle = |(frequency, offset): &(f32, f32)| position as f32 * frequency + offset;
            table.extend(frequencies.iter().map(|pair| angle(pair).sin()));
        }
        Self {
            width,
            table,
            scale: (width as f32).sqrt(),
        }
    }

    pub(crate) fn add(&self, position: usize, row: &mut [f32]) {
        let sines = &self.table[position * self.width..][..self.width];
        for (number, sine) in row.iter_mut().zip(sines) {
            *number = self.scale * *number + sine;
        }
    }
}
