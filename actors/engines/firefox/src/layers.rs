//! Building blocks of encoder and decoder, except attention.

use fxtranslate::ops;

use crate::{
    linear::{Kernel, Linear},
    parameters::Parameters,
};

/// Added to the variance.
const EPSILON: f32 = 1e-6;

/// Layer normalisation of the sum of a sublayer's output and its input.
pub(crate) struct Norm {
    scale: Vec<f32>,
    shift: Option<Vec<f32>>,
    width: usize,
}

impl Norm {
    pub(crate) fn read(
        parameters: &Parameters<'_>,
        name: &str,
        width: usize,
    ) -> Result<Self, String> {
        let shift = format!("{name}_ln_bias");
        let shift = parameters
            .has(&shift)
            .then(|| parameters.floats(&shift, width))
            .transpose()?;
        Ok(Self {
            scale: parameters.floats(&format!("{name}_ln_scale"), width)?,
            shift,
            width,
        })
    }

    pub(crate) fn of_sum(&self, branch: &[f32], residual: &[f32], rows: usize) -> Vec<f32> {
        let sum = branch.iter().zip(residual).map(|(a, b)| a + b);
        let sum = sum.collect::<Vec<_>>();
        let shift = self.shift.as_deref();
        ops::layer_normalization(&sum, &self.scale, shift, rows, self.width, EPSILON)
    }
}

/// Two linear layers with a ReLU between them.
pub(crate) struct FeedForward {
    first: Linear,
    second: Linear,
    norm: Norm,
}

impl FeedForward {
    pub(crate) fn read(
        parameters: &Parameters<'_>,
        name: &str,
        width: usize,
        kernel: Kernel,
    ) -> Result<Self, String> {
        let linear = |number: u8, inputs: usize| {
            let bias = format!("{name}_b{number}");
            let name = format!("{name}_W{number}");
            Linear::read(parameters, &name, Some(&bias), inputs, kernel)
        };
        let first = linear(1, width)?;
        let second = linear(2, first.outputs())?;
        if second.outputs() != width {
            return Err(format!("{name}_W2 does not have {width} outputs"));
        }
        Ok(Self {
            first,
            second,
            norm: Norm::read(parameters, &format!("{name}_ffn"), width)?,
        })
    }

    pub(crate) fn run(&self, input: &[f32], rows: usize, rounded: &mut Vec<u8>) -> Vec<f32> {
        let inner = ops::relu(&self.first.apply(input, rows, rounded));
        let outer = self.second.apply(&inner, rows, rounded);
        self.norm.of_sum(&outer, input, rows)
    }
}

/// Simpler simple recurrent unit (SSRU): the decoder's memory of the translation so far.
pub(crate) struct Ssru {
    candidate: Linear,
    gate: Linear,
    norm: Norm,
}

impl Ssru {
    pub(crate) fn read(
        parameters: &Parameters<'_>,
        name: &str,
        width: usize,
        kernel: Kernel,
    ) -> Result<Self, String> {
        let (candidate, gate) = (format!("{name}_W"), format!("{name}_Wf"));
        let bias = format!("{name}_bf");
        let candidate = Linear::read(parameters, &candidate, None, width, kernel)?;
        let gate = Linear::read(parameters, &gate, Some(&bias), width, kernel)?;
        if candidate.outputs() != width || gate.outputs() != width {
            return Err(format!("{name} does not have {width} outputs"));
        }
        Ok(Self {
            candidate,
            gate,
            norm: Norm::read(parameters, &format!("{name}_ffn"), width)?,
        })
    }

    /// One step, which also updates the cell.
    pub(crate) fn step(
        &self,
        input: &[f32],
        cell: &mut Vec<f32>,
        rounded: &mut Vec<u8>,
    ) -> Vec<f32> {
        let candidate = self.candidate.apply(input, 1, rounded);
        let gate = self.gate.apply(input, 1, rounded);
        *cell = ops::highway(cell, &candidate, &gate);
        self.norm.of_sum(&ops::relu(cell), input, 1)
    }
}
