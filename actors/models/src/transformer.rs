//! Marian, M2M100 and mBART: their configuration and the tensors they consist of. NLLB has the network of M2M100.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::weights::{Tensor, Weights};

/// The embedding table, which encoder, decoder and output layer share.
pub(crate) const EMBEDDING: &str = "model.shared.weight";
/// Added to the output layer's result.
pub(crate) const OUTPUT_BIAS: &str = "final_logits_bias";
pub(crate) const END_PIECE: &str = "</s>";
pub(crate) const UNKNOWN_PIECE: &str = "<unk>";
pub(crate) const PADDING_PIECE: &str = "<pad>";

/// Rows of a table of positions before that of the first position, in M2M100 and mBART.
pub(crate) const POSITION_OFFSET: usize = 2;

/// The used subset of Hugging Face's `config.json`. Other keys are about training or are defaults.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NetworkConfig {
    pub(crate) model_type: String,
    pub(crate) d_model: usize,
    pub(crate) encoder_layers: usize,
    pub(crate) decoder_layers: usize,
    pub(crate) encoder_attention_heads: usize,
    pub(crate) decoder_attention_heads: usize,
    pub(crate) encoder_ffn_dim: usize,
    pub(crate) decoder_ffn_dim: usize,
    pub(crate) vocab_size: usize,
    pub(crate) decoder_vocab_size: Option<usize>,
    pub(crate) max_position_embeddings: usize,
    pub(crate) activation_function: String,
    pub(crate) eos_token_id: usize,
    pub(crate) pad_token_id: usize,
    pub(crate) decoder_start_token_id: usize,
    #[serde(default)]
    pub(crate) scale_embedding: bool,
    #[serde(default)]
    pub(crate) normalize_before: bool,
    #[serde(default)]
    pub(crate) normalize_embedding: bool,
    #[serde(default = "yes")]
    pub(crate) share_encoder_decoder_embeddings: bool,
    #[serde(default = "yes")]
    pub(crate) tie_word_embeddings: bool,
    /// Token sequences that must never be generated; kept from `generation_config.json` or, in older models,
    /// from `config.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bad_words_ids: Option<Vec<Vec<usize>>>,
}

fn yes() -> bool {
    true
}

/// What differs between the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Layers are normalised at their end, positions are sines and cosines.
    Marian,
    /// Layers are normalised at their start, positions are sines and cosines.
    M2m100,
    /// Layers are normalised at their start, and embeddings too; positions are trained.
    Mbart,
}

impl Layout {
    /// The layout of a `model_type`.
    pub(crate) fn of(model_type: &str) -> Option<Self> {
        match model_type {
            "marian" => Some(Self::Marian),
            "m2m_100" => Some(Self::M2m100),
            "mbart" => Some(Self::Mbart),
            _ => None,
        }
    }
}

/// Name of the trained positions of a stack.
pub(crate) fn positions_of(stack: &str) -> String {
    format!("model.{stack}.embed_positions.weight")
}

impl NetworkConfig {
    /// The layout; [`Self::read`] refuses other types.
    pub(crate) fn layout(&self) -> Layout {
        Layout::of(&self.model_type).unwrap_or(Layout::Marian)
    }

    /// Reads a `config.json`; the error is a sentence about its content.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        let config = serde_json::from_str::<Self>(&text).map_err(|error| error.to_string())?;
        let problems = config.problems();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems.join("; "))
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, problem: String| {
            if !holds {
                problems.push(problem);
            }
        };
        let layout = Layout::of(&self.model_type);
        require(
            layout.is_some(),
            format!(
                "model_type is {}, only marian, m2m_100 and mbart are supported",
                self.model_type
            ),
        );
        require(
            self.share_encoder_decoder_embeddings
                && self.tie_word_embeddings
                && self
                    .decoder_vocab_size
                    .is_none_or(|size| size == self.vocab_size),
            "source and target have separate vocabularies, only a shared one is supported".into(),
        );
        require(
            layout != Some(Layout::Marian) || !self.normalize_before && !self.normalize_embedding,
            "normalize_before and normalize_embedding are not part of Marian".into(),
        );
        for (name, heads) in [
            ("encoder_attention_heads", self.encoder_attention_heads),
            ("decoder_attention_heads", self.decoder_attention_heads),
        ] {
            require(
                heads > 0 && self.d_model > 0 && self.d_model.is_multiple_of(heads),
                format!(
                    "d_model {} cannot be divided by {name} {heads}",
                    self.d_model
                ),
            );
        }
        for (name, id) in [
            ("eos_token_id", self.eos_token_id),
            ("pad_token_id", self.pad_token_id),
            ("decoder_start_token_id", self.decoder_start_token_id),
        ] {
            require(
                id < self.vocab_size,
                format!(
                    "{name} {id} is outside the vocabulary of {}",
                    self.vocab_size
                ),
            );
        }
        problems
    }

    /// Tokens that must never be generated, the padding aside. Longer forbidden sequences do not occur in Marian models.
    pub(crate) fn suppressed_ids(&self) -> Vec<usize> {
        let single = |ids: &Vec<usize>| match ids[..] {
            [id] if id != self.pad_token_id => Some(id),
            _ => None,
        };
        self.bad_words_ids
            .iter()
            .flatten()
            .filter_map(single)
            .collect()
    }

    /// Names and shapes of the tensors that a model must have.
    pub(crate) fn tensors(&self) -> BTreeMap<String, Vec<usize>> {
        let mut wanted =
            BTreeMap::from([(EMBEDDING.to_owned(), vec![self.vocab_size, self.d_model])]);
        for layer in 0..self.encoder_layers {
            let prefix = format!("model.encoder.layers.{layer}");
            self.add_attention(&mut wanted, &format!("{prefix}.self_attn"));
            self.add_feed_forward(&mut wanted, &prefix, self.encoder_ffn_dim);
        }
        for layer in 0..self.decoder_layers {
            let prefix = format!("model.decoder.layers.{layer}");
            self.add_attention(&mut wanted, &format!("{prefix}.self_attn"));
            self.add_attention(&mut wanted, &format!("{prefix}.encoder_attn"));
            self.add_feed_forward(&mut wanted, &prefix, self.decoder_ffn_dim);
        }
        for stack in ["encoder", "decoder"] {
            self.add_stack(&mut wanted, stack);
        }
        wanted
    }

    fn add_stack(&self, wanted: &mut BTreeMap<String, Vec<usize>>, stack: &str) {
        let layout = self.layout();
        if layout != Layout::Marian {
            self.add_norm(wanted, &format!("model.{stack}.layer_norm"));
        }
        if layout == Layout::Mbart {
            self.add_norm(wanted, &format!("model.{stack}.layernorm_embedding"));
            let rows = self.max_position_embeddings + POSITION_OFFSET;
            wanted.insert(positions_of(stack), vec![rows, self.d_model]);
        }
    }

    fn add_attention(&self, wanted: &mut BTreeMap<String, Vec<usize>>, prefix: &str) {
        for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            let shape = [self.d_model, self.d_model];
            add_linear(wanted, &format!("{prefix}.{projection}"), shape);
        }
        self.add_norm(wanted, &format!("{prefix}_layer_norm"));
    }

    fn add_feed_forward(
        &self,
        wanted: &mut BTreeMap<String, Vec<usize>>,
        prefix: &str,
        inner: usize,
    ) {
        add_linear(wanted, &format!("{prefix}.fc1"), [inner, self.d_model]);
        add_linear(wanted, &format!("{prefix}.fc2"), [self.d_model, inner]);
        self.add_norm(wanted, &format!("{prefix}.final_layer_norm"));
    }

    fn add_norm(&self, wanted: &mut BTreeMap<String, Vec<usize>>, prefix: &str) {
        wanted.insert(format!("{prefix}.weight"), vec![self.d_model]);
        wanted.insert(format!("{prefix}.bias"), vec![self.d_model]);
    }

    /// Checks that the weights are those of this configuration; the error is a sentence.
    pub(crate) fn check(&self, weights: &Weights) -> Result<(), String> {
        let mut problems = Vec::new();
        for (name, shape) in self.tensors() {
            match weights.tensors.get(&name) {
                None => problems.push(format!("tensor {name} is missing")),
                Some(tensor) if tensor.shape != shape => problems.push(format!(
                    "tensor {name} has shape {:?}, the configuration says {shape:?}",
                    tensor.shape
                )),
                Some(_) => {}
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }

    /// The sine and cosine of each position, where they are added to the embeddings: sines in the first half of a
    /// row, cosines in the second.
    pub(crate) fn position_table(&self) -> Tensor {
        let (positions, width) = (self.max_position_embeddings, self.d_model);
        let mut values = Vec::with_capacity(positions * width);
        for position in 0..positions {
            let angles =
                |columns: usize| (0..columns).map(move |column| self.angle(position, column));
            values.extend(angles(width.div_ceil(2)).map(|angle| angle.sin() as f32));
            values.extend(angles(width / 2).map(|angle| angle.cos() as f32));
        }
        Tensor {
            shape: vec![positions, width],
            values,
        }
    }

    fn angle(&self, position: usize, column: usize) -> f64 {
        match self.layout() {
            Layout::Marian => {
                position as f64 / 10_000_f64.powf((2 * column) as f64 / self.d_model as f64)
            }
            Layout::M2m100 | Layout::Mbart => {
                let steps = (self.d_model / 2).saturating_sub(1).max(1);
                let step = 10_000_f64.ln() / steps as f64;
                (position + POSITION_OFFSET) as f64 * (-step * column as f64).exp()
            }
        }
    }

    /// What is added to the embeddings at each position of a stack.
    pub(crate) fn positions(&self, weights: &Weights, stack: &str) -> Tensor {
        match self.layout() {
            Layout::Mbart => weights.tensors[&positions_of(stack)].without_rows(POSITION_OFFSET),
            Layout::Marian | Layout::M2m100 => self.position_table(),
        }
    }
}

fn add_linear(wanted: &mut BTreeMap<String, Vec<usize>>, prefix: &str, shape: [usize; 2]) {
    wanted.insert(format!("{prefix}.weight"), shape.to_vec());
    wanted.insert(format!("{prefix}.bias"), vec![shape[0]]);
}

/// Reads a `vocab.json`: the pieces in the order of their numbers. The error is a sentence.
pub(crate) fn read_vocabulary(path: &Path) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let numbers = serde_json::from_str::<BTreeMap<String, usize>>(&text)
        .map_err(|error| error.to_string())?;
    let mut pieces = vec![None; numbers.len()];
    for (piece, number) in numbers {
        match pieces.get_mut(number) {
            Some(place @ None) => *place = Some(piece),
            _ => {
                return Err(format!(
                    "piece {piece} has number {number}, which is taken or too large"
                ));
            }
        }
    }
    // As many pieces as places, no place twice: none is empty.
    Ok(pieces.into_iter().flatten().collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn config() -> NetworkConfig {
        serde_json::from_value(serde_json::json!({
            "model_type": "marian", "d_model": 4, "encoder_layers": 1, "decoder_layers": 1,
            "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 8,
            "decoder_ffn_dim": 8, "vocab_size": 5, "max_position_embeddings": 3,
            "activation_function": "swish", "eos_token_id": 0, "pad_token_id": 4,
            "decoder_start_token_id": 4
        }))
        .unwrap()
    }

    /// Weights of the right names and shapes.
    pub(crate) fn zeros(config: &NetworkConfig) -> Weights {
        let tensor = |shape: Vec<usize>| {
            let values = vec![0.0; shape.iter().product()];
            Tensor { shape, values }
        };
        let tensors = config
            .tensors()
            .into_iter()
            .map(|(name, shape)| (name, tensor(shape)));
        Weights {
            tensors: tensors.collect(),
        }
    }

    #[test]
    fn positions_are_sines_then_cosines() {
        let table = config().position_table();
        assert_eq!(table.shape, [3, 4]);
        assert_eq!(table.values[..4], [0.0, 0.0, 1.0, 1.0]);
        assert!((table.values[4] - 1_f32.sin()).abs() < 1e-7);
        assert!((table.values[5] - 0.01_f32.sin()).abs() < 1e-7);
        assert!((table.values[7] - 0.01_f32.cos()).abs() < 1e-7);
    }

    #[test]
    fn missing_and_misshapen_tensors_are_all_named() {
        let config = config();
        let mut weights = zeros(&config);
        config.check(&weights).unwrap();
        weights.tensors.remove("model.encoder.layers.0.fc1.bias");
        weights.tensors.get_mut(EMBEDDING).unwrap().shape = vec![5, 5];
        let error = config.check(&weights).unwrap_err();
        assert!(
            error.contains("model.encoder.layers.0.fc1.bias is missing"),
            "{error}"
        );
        assert!(
            error.contains("model.shared.weight has shape [5, 5]"),
            "{error}"
        );
    }

    #[test]
    fn the_padding_is_not_among_the_suppressed() {
        let config = NetworkConfig {
            bad_words_ids: Some(vec![vec![4], vec![1]]),
            ..config()
        };
        assert_eq!(config.suppressed_ids(), [1]);
    }

    #[test]
    fn every_unsupported_setting_is_named() {
        let config = NetworkConfig {
            model_type: "bart".into(),
            pad_token_id: 9,
            tie_word_embeddings: false,
            ..config()
        };
        assert_eq!(config.problems().len(), 3);
    }
}
