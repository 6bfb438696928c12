//! Linear layers on 8-bit weights.

use fxtranslate::{gemm::PreparedB, ops};

use crate::parameters::{Matrix, Parameters};

/// Implementation of matrix products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Vector instructions: AVX2 on x86-64, i8mm on arm64.
    Vector,
    /// Plain instructions, on any processor.
    Scalar,
}

/// A linear layer. Its input is rounded to 8 bits, products are summed up in whole numbers.
pub(crate) struct Linear {
    weights: Weights,
    /// Corrected for the shift of the rounded input.
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
    input_multiplier: f32,
    output_multiplier: f32,
}

enum Weights {
    /// Reordered for the vector instructions.
    Packed(PreparedB),
    /// In the mapped file.
    Mapped(Matrix),
}

impl Linear {
    /// Reads a layer of this many inputs.
    pub(crate) fn read(
        parameters: &Parameters<'_>,
        name: &str,
        bias: Option<&str>,
        inputs: usize,
        kernel: Kernel,
    ) -> Result<Self, String> {
        let matrix = parameters.matrix(name)?;
        if matrix.first != inputs {
            return Err(format!(
                "{name} has {} inputs instead of {inputs}",
                matrix.first
            ));
        }
        let outputs = matrix.second;
        let bias = match bias {
            Some(bias) => parameters.floats(bias, outputs)?,
            None => vec![0.0; outputs],
        };
        let multiplier = parameters.input_multiplier(name)?;
        Ok(Self::new(
            matrix, inputs, outputs, &bias, multiplier, kernel,
        ))
    }

    /// A layer whose weights are stored output by output.
    pub(crate) fn new(
        matrix: Matrix,
        inputs: usize,
        outputs: usize,
        bias: &[f32],
        input_multiplier: f32,
        kernel: Kernel,
    ) -> Self {
        let output_multiplier = 1.0 / (input_multiplier * matrix.multiplier);
        let values = matrix.values();
        let bias = ops::prepare_bias(values, outputs, inputs, bias, output_multiplier);
        let packed = match kernel {
            // `None` if the rows are not a multiple of the register size.
            Kernel::Vector => PreparedB::new(values, outputs, inputs),
            Kernel::Scalar => None,
        };
        Self {
            weights: packed.map_or_else(|| Weights::Mapped(matrix), Weights::Packed),
            bias,
            inputs,
            outputs,
            input_multiplier,
            output_multiplier,
        }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Applies the layer to each of `rows` rows. `rounded` is room for the rounded input.
    pub(crate) fn apply(&self, input: &[f32], rows: usize, rounded: &mut Vec<u8>) -> Vec<f32> {
        round(input, self.input_multiplier, rounded);
        match &self.weights {
            Weights::Packed(weights) => {
                weights.matmul(rounded, rows, self.output_multiplier, &self.bias)
            }
            Weights::Mapped(weights) => ops::intgemm_affine(
                rounded,
                rows,
                self.inputs,
                weights.values(),
                self.outputs,
                self.output_multiplier,
                &self.bias,
            ),
        }
    }
}

/// 1.5 · 2^23. A number of this size has no bits for a fraction, so adding it rounds to the nearest whole number, ties to the even one,
/// and leaves that number in the lowest bits. Unlike `round_ties_even` this needs no more than the instructions every processor has.
const ROUNDING: f32 = 12_582_912.0;
/// Rounded inputs are from 0 to 254: 127 is added to each.
const SHIFT: i32 = 127;

/// Multiplies and rounds to whole numbers from −127 to 127, plus 127. `fxtranslate::ops::prepare_a` does the same, number by number.
pub(crate) fn round(input: &[f32], multiplier: f32, into: &mut Vec<u8>) {
    into.clear();
    into.extend(input.iter().map(|value| {
        let limited = (value * multiplier).clamp(-127.0, 127.0);
        let bits = (limited + ROUNDING).to_bits().cast_signed();
        let rounded = bits.wrapping_sub(ROUNDING.to_bits().cast_signed());
        // The lowest eight bits.
        rounded.wrapping_add(SHIFT) as u8
    }));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_is_that_of_the_library(
            input in prop::collection::vec(-1e6_f32..1e6, 0..64),
            multiplier in 1e-3_f32..1e3,
        ) {
            let mut rounded = Vec::new();
            round(&input, multiplier, &mut rounded);
            prop_assert_eq!(rounded, ops::prepare_a(&input, multiplier));
        }

        #[test]
        fn halves_go_to_the_even_neighbour(whole in -130_i16..130) {
            let input = [f32::from(whole) + 0.5, f32::from(whole)];
            let mut rounded = Vec::new();
            round(&input, 1.0, &mut rounded);
            prop_assert_eq!(rounded, ops::prepare_a(&input, 1.0));
        }
    }
}
