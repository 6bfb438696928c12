//! rust-bert's form: the weights in single precision with what checkpoints leave out, and `config.json`.

use std::{fs, path::Path};

use super::{EngineKind, FormError, WEIGHTS, parts::Parts};
use crate::{
    model::Model,
    transformer::{Layout, OUTPUT_BIAS, positions_of},
    weights::{Tensor, WeightsError, Width},
};

/// Activation functions that rust-bert knows and these models use.
const ACTIVATIONS: [&str; 4] = ["gelu", "relu", "swish", "gelu_new"];

pub(super) fn write(model: &Model, parts: &Parts, into: &Path) -> Result<(), FormError> {
    const ENGINE: EngineKind = EngineKind::RustBert;
    let config = &parts.config;
    // The same function under its newer name.
    let activation = match config.activation_function.as_str() {
        "silu" => "swish",
        name => name,
    };
    if !ACTIVATIONS.contains(&activation) {
        let reason = format!("it has no activation function {activation}");
        return Err(FormError::Unsupported {
            engine: ENGINE,
            id: model.id().to_owned(),
            reason,
        });
    }
    let mut weights = parts.weights.clone();
    if config.layout() == Layout::Marian {
        for stack in ["encoder", "decoder"] {
            let table = config.position_table();
            weights.tensors.insert(positions_of(stack), table);
        }
    }
    let bias = weights
        .tensors
        .entry(OUTPUT_BIAS.to_owned())
        .or_insert_with(|| Tensor {
            shape: vec![1, config.vocab_size],
            values: vec![0.0; config.vocab_size],
        });
    // rust-bert's own list of forbidden tokens panics where it has none of several tokens.
    for id in config.suppressed_ids() {
        bias.values[id] = f32::NEG_INFINITY;
    }
    let path = into.join(WEIGHTS);
    weights
        .write(&path, Width::Single)
        .map_err(|error| match error {
            WeightsError::Io(source) => FormError::Cache {
                engine: ENGINE,
                path,
                source,
            },
            other => FormError::Content {
                path,
                reason: other.to_string(),
            },
        })?;
    let path = into.join("config.json");
    fs::write(&path, configuration(parts, activation).to_string()).map_err(|source| {
        FormError::Cache {
            engine: ENGINE,
            path,
            source,
        }
    })
}

/// The configuration that rust-bert reads has more keys.
fn configuration(parts: &Parts, activation: &str) -> serde_json::Value {
    let config = &parts.config;
    let forced_end = (config.layout() == Layout::Marian).then_some(config.eos_token_id);
    serde_json::json!({
        "activation_function": activation,
        "activation_dropout": 0.0,
        "attention_dropout": 0.0,
        "dropout": 0.0,
        "encoder_layerdrop": 0.0,
        "decoder_layerdrop": 0.0,
        "init_std": 0.02,
        "d_model": config.d_model,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "num_hidden_layers": config.encoder_layers,
        "encoder_attention_heads": config.encoder_attention_heads,
        "decoder_attention_heads": config.decoder_attention_heads,
        "encoder_ffn_dim": config.encoder_ffn_dim,
        "decoder_ffn_dim": config.decoder_ffn_dim,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_position_embeddings,
        "static_position_embeddings": true,
        "scale_embedding": config.scale_embedding,
        "normalize_embedding": false,
        "is_encoder_decoder": true,
        "eos_token_id": config.eos_token_id,
        "forced_eos_token_id": forced_end,
        "pad_token_id": config.pad_token_id,
        "decoder_start_token_id": config.decoder_start_token_id,
    })
}
