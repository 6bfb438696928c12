//! The output layer: from the decoder's output to the next token and its log-probability.

use fxtranslate::{ops, shortlist::Shortlist};

use crate::{
    linear::{Kernel, Linear, round},
    parameters::{Matrix, Parameters},
    shape::Shape,
};

const BIAS: &str = "decoder_ff_logit_out_b";
/// Name of the output layer's input in models with one vocabulary.
const SHARED_INPUT: &str = "none";

/// The output layer, whose weights are the embeddings of the target language.
pub(crate) enum Output {
    /// Every token may be written.
    Full(Linear),
    /// Only tokens on the sentence's shortlist may be written.
    Restricted(Restricted),
}

pub(crate) struct Restricted {
    shortlist: Shortlist,
    /// Whether source tokens are candidates too.
    shared: bool,
    embeddings: Matrix,
    bias: Vec<f32>,
    input_multiplier: f32,
    output_multiplier: f32,
}

/// The output layer for one sentence.
pub(crate) enum Projection<'a> {
    Full(&'a Linear),
    Restricted {
        layer: &'a Restricted,
        tokens: Vec<u32>,
        weights: Vec<i8>,
        bias: Vec<f32>,
    },
}

/// A token and how probable it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Choice {
    pub(crate) token: u32,
    /// Zero or below.
    pub(crate) log_probability: f64,
}

impl Output {
    /// Reads the layer whose weights are these embeddings.
    pub(crate) fn read(
        parameters: &Parameters<'_>,
        embeddings: &str,
        shared: bool,
        shape: &Shape,
        shortlist: Option<Shortlist>,
        kernel: Kernel,
    ) -> Result<Self, String> {
        let matrix = parameters.matrix(embeddings)?;
        let tokens = matrix.first;
        let bias = match parameters.has(BIAS) {
            true => parameters.floats(BIAS, tokens)?,
            false => vec![0.0; tokens],
        };
        let shared_input = parameters.has(&format!("{SHARED_INPUT}_QuantMultA"));
        let input = if shared_input {
            SHARED_INPUT
        } else {
            embeddings
        };
        let input_multiplier = parameters.input_multiplier(input)?;
        Ok(match shortlist {
            None => {
                let width = shape.width;
                let layer = Linear::new(matrix, width, tokens, &bias, input_multiplier, kernel);
                Self::Full(layer)
            }
            Some(shortlist) => Self::Restricted(Restricted {
                shortlist,
                shared,
                bias,
                input_multiplier,
                output_multiplier: 1.0 / (input_multiplier * matrix.multiplier),
                embeddings: matrix,
            }),
        })
    }

    /// The layer for a sentence of these source tokens.
    pub(crate) fn projection(&self, source: &[u32]) -> Projection<'_> {
        match self {
            Self::Full(layer) => Projection::Full(layer),
            Self::Restricted(layer) => layer.projection(source),
        }
    }
}

impl Restricted {
    fn projection(&self, source: &[u32]) -> Projection<'_> {
        let tokens = self.shortlist.candidates(source, self.shared);
        let width = self.embeddings.second;
        let mut weights = Vec::with_capacity(tokens.len() * width);
        for token in &tokens {
            weights.extend_from_slice(self.embeddings.row(*token as usize));
        }
        let bias = tokens.iter().map(|token| self.bias[*token as usize]);
        let bias = bias.collect::<Vec<_>>();
        let multiplier = self.output_multiplier;
        Projection::Restricted {
            layer: self,
            bias: ops::prepare_bias(&weights, tokens.len(), width, &bias, multiplier),
            tokens,
            weights,
        }
    }
}

impl Projection<'_> {
    /// The most probable next token for this decoder output.
    pub(crate) fn choose(&self, top: &[f32], rounded: &mut Vec<u8>) -> Choice {
        match self {
            Self::Full(layer) => {
                let (place, log_probability) = best(&layer.apply(top, 1, rounded));
                Choice {
                    // A vocabulary is numbered with 32 bits.
                    token: u32::try_from(place).unwrap_or_default(),
                    log_probability,
                }
            }
            Self::Restricted {
                layer,
                tokens,
                weights,
                bias,
            } => {
                round(top, layer.input_multiplier, rounded);
                let multiplier = layer.output_multiplier;
                let (width, count) = (top.len(), tokens.len());
                // The vector kernel's sums may overflow, and few rows are multiplied here.
                let logits =
                    ops::intgemm_affine(rounded, 1, width, weights, count, multiplier, bias);
                let (place, log_probability) = best(&logits);
                Choice {
                    token: tokens[place],
                    log_probability,
                }
            }
        }
    }
}

/// Place of the largest number, the first of equals, and the logarithm of its share when all are exponents.
fn best(logits: &[f32]) -> (usize, f64) {
    let mut place = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[place] {
            place = index;
        }
    }
    let most = logits[place];
    let sum: f64 = logits
        .iter()
        .map(|logit| f64::from((logit - most).exp()))
        .sum();
    (place, -sum.ln())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_of_equal_numbers_is_best() {
        let (place, log_probability) = best(&[1.0, 3.0, 3.0, 2.0]);
        assert_eq!(place, 1);
        let sum = 2.0 + (-1.0_f64).exp() + (-2.0_f64).exp();
        assert!((log_probability + sum.ln()).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn the_best_is_at_least_as_probable_as_the_average(
            logits in prop::collection::vec(-50_f32..50.0, 1..100),
        ) {
            let (place, log_probability) = best(&logits);
            prop_assert!(logits.iter().all(|logit| *logit <= logits[place]));
            let average = -(logits.len() as f64).ln();
            prop_assert!((average - 1e-6..=1e-6).contains(&log_probability));
        }
    }
}
