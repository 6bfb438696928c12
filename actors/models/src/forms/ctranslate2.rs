//! CTranslate2's form: `model.bin`, `config.json` and `shared_vocabulary.json`.
//!
//! `model.bin` is a list of named arrays and a list of aliases between them (binary version 6). Its names, and which
//! arrays are fused into one, are those of CTranslate2's own converters; for the demo model and the checkpoints of
//! `integration-tests/checkpoints` both wrote the same names, shapes, numbers and aliases, M2M100's positions
//! within 1e-5 (`actors/models/tests/official_converter.py` compares them).

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use super::{EngineKind, FormError, parts::Parts};
use crate::{
    model::Model,
    transformer::{
        EMBEDDING, END_PIECE, Layout, NetworkConfig, OUTPUT_BIAS, PADDING_PIECE, UNKNOWN_PIECE,
    },
    weights::{Tensor, Weights},
};

const BINARY_VERSION: u32 = 6;
const SPECIFICATION: &str = "TransformerSpec";
const SPECIFICATION_REVISION: u32 = 7;

pub(super) fn write(model: &Model, parts: &Parts, into: &Path) -> Result<(), FormError> {
    let network =
        Network::new(&parts.config, &parts.weights, &parts.vocabulary).map_err(|reason| {
            FormError::Unsupported {
                engine: EngineKind::Ctranslate2,
                id: model.id().to_owned(),
                reason,
            }
        })?;
    let in_cache = |source| FormError::Cache {
        engine: EngineKind::Ctranslate2,
        path: into.to_owned(),
        source,
    };
    let mut file = BufWriter::new(File::create(into.join("model.bin")).map_err(in_cache)?);
    network
        .write(&mut file)
        .and_then(|()| file.flush())
        .map_err(in_cache)?;
    let pieces = &parts.vocabulary[..parts.vocabulary.len() - unused_pieces(&parts.config)];
    fs::write(
        into.join("shared_vocabulary.json"),
        serde_json::json!(pieces).to_string(),
    )
    .and_then(|()| fs::write(into.join("config.json"), config().to_string()))
    .map_err(in_cache)
}

/// Pieces at the end that CTranslate2 does not get: it knows Marian's padding only as the decoder's start, an embedding of zeros.
fn unused_pieces(config: &NetworkConfig) -> usize {
    usize::from(config.layout() == Layout::Marian)
}

fn config() -> serde_json::Value {
    serde_json::json!({
        "add_source_bos": false,
        "add_source_eos": false,
        "bos_token": "<s>",
        // For Marian any token would do, as the decoder starts from an embedding of zeros.
        "decoder_start_token": END_PIECE,
        "eos_token": END_PIECE,
        "layer_norm_epsilon": null,
        "multi_query_attention": false,
        "unk_token": UNKNOWN_PIECE,
    })
}

/// The numbers by which CTranslate2 knows activation functions.
fn activation(name: &str) -> Result<i8, String> {
    match name {
        "relu" => Ok(0),
        "gelu_new" => Ok(1),
        "swish" | "silu" => Ok(2),
        "gelu" => Ok(3),
        other => Err(format!("it has no activation function {other}")),
    }
}

/// A value of `model.bin`.
enum Value {
    Flag(i8),
    Short(i16),
    Number(f32),
    Array(Tensor),
}

/// The content of `model.bin`.
struct Network {
    /// Sorted by name, as the official converter does.
    values: Vec<(String, Value)>,
    aliases: Vec<(&'static str, &'static str)>,
}

impl Network {
    fn new(
        config: &NetworkConfig,
        weights: &Weights,
        vocabulary: &[String],
    ) -> Result<Self, String> {
        check_start(config, weights, vocabulary)?;
        let activation = activation(&config.activation_function)?;
        let mut network = Self {
            values: Vec::new(),
            aliases: vec![
                ("decoder/projection/weight", "decoder/embeddings/weight"),
                ("encoder/embeddings_0/weight", "decoder/embeddings/weight"),
            ],
        };
        network.add_positions(config, weights);
        for (stack, heads) in [
            ("encoder", config.encoder_attention_heads),
            ("decoder", config.decoder_attention_heads),
        ] {
            network.add_stack(config, weights, stack, heads, activation);
        }
        let starts_from_zero = i8::from(config.layout() == Layout::Marian);
        network.add("encoder/embeddings_merge", Value::Flag(0));
        network.add("encoder/multi_query_attention", Value::Flag(0));
        network.add(
            "decoder/start_from_zero_embedding",
            Value::Flag(starts_from_zero),
        );
        network.add("decoder/alibi", Value::Flag(0));
        network.add("decoder/alibi_use_positive_positions", Value::Flag(0));
        network.add("decoder/scale_alibi", Value::Flag(0));
        network.add("decoder/alignment_heads", Value::Short(1));
        network.add("decoder/alignment_layer", Value::Short(-1));
        let embedding = &weights.tensors[EMBEDDING];
        let rows = config.vocab_size - unused_pieces(config);
        network.add(
            "decoder/embeddings/weight",
            Value::Array(embedding.first_rows(rows)),
        );
        if let Some(bias) = weights
            .tensors
            .get(OUTPUT_BIAS)
            .filter(|bias| !bias.is_zero())
        {
            let values = bias.values[..rows].to_vec();
            let shape = vec![rows];
            network.add(
                "decoder/projection/bias",
                Value::Array(Tensor { shape, values }),
            );
        }
        for layer in 0..config.encoder_layers {
            network.add_layer(weights, "encoder", layer);
        }
        for layer in 0..config.decoder_layers {
            network.add_layer(weights, "decoder", layer);
            network.add_cross_attention(weights, layer);
        }
        network.values.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(network)
    }

    fn add(&mut self, name: impl Into<String>, value: Value) {
        self.values.push((name.into(), value));
    }

    fn add_positions(&mut self, config: &NetworkConfig, weights: &Weights) {
        const ENCODER: &str = "encoder/position_encodings/encodings";
        const DECODER: &str = "decoder/position_encodings/encodings";
        self.add(DECODER, Value::Array(config.positions(weights, "decoder")));
        match config.layout() {
            Layout::Marian | Layout::M2m100 => self.aliases.push((ENCODER, DECODER)),
            Layout::Mbart => {
                self.add(ENCODER, Value::Array(config.positions(weights, "encoder")));
            }
        }
    }

    fn add_stack(
        &mut self,
        config: &NetworkConfig,
        weights: &Weights,
        stack: &str,
        heads: usize,
        activation: i8,
    ) {
        let scale = if config.scale_embedding {
            (config.d_model as f32).sqrt()
        } else {
            1.0
        };
        let layout = config.layout();
        let is_normalised_first = i8::from(layout != Layout::Marian);
        self.add(format!("{stack}/activation"), Value::Flag(activation));
        self.add(format!("{stack}/num_heads"), Value::Short(heads as i16));
        self.add(
            format!("{stack}/pre_norm"),
            Value::Flag(is_normalised_first),
        );
        self.add(format!("{stack}/scale_embeddings"), Value::Number(scale));
        let norms = match layout {
            Layout::Marian => &[][..],
            Layout::M2m100 => &["layer_norm"],
            Layout::Mbart => &["layer_norm", "layernorm_embedding"],
        };
        for norm in norms {
            self.add_norm(
                weights,
                &format!("model.{stack}.{norm}"),
                &format!("{stack}/{norm}"),
            );
        }
    }

    fn add_layer(&mut self, weights: &Weights, stack: &str, layer: usize) {
        let from = format!("model.{stack}.layers.{layer}");
        let to = format!("{stack}/layer_{layer}");
        let (source, target) = (format!("{from}.self_attn"), format!("{to}/self_attention"));
        let projections = ["q_proj", "k_proj", "v_proj"].map(|name| format!("{source}.{name}"));
        self.add_linear(weights, &projections, &format!("{target}/linear_0"));
        self.add_linear(
            weights,
            &[format!("{source}.out_proj")],
            &format!("{target}/linear_1"),
        );
        self.add_norm(
            weights,
            &format!("{source}_layer_norm"),
            &format!("{target}/layer_norm"),
        );
        self.add_linear(
            weights,
            &[format!("{from}.fc1")],
            &format!("{to}/ffn/linear_0"),
        );
        self.add_linear(
            weights,
            &[format!("{from}.fc2")],
            &format!("{to}/ffn/linear_1"),
        );
        let (source, target) = (
            format!("{from}.final_layer_norm"),
            format!("{to}/ffn/layer_norm"),
        );
        self.add_norm(weights, &source, &target);
    }

    fn add_cross_attention(&mut self, weights: &Weights, layer: usize) {
        let from = format!("model.decoder.layers.{layer}.encoder_attn");
        let to = format!("decoder/layer_{layer}/attention");
        let memory = ["k_proj", "v_proj"].map(|name| format!("{from}.{name}"));
        self.add_linear(
            weights,
            &[format!("{from}.q_proj")],
            &format!("{to}/linear_0"),
        );
        self.add_linear(weights, &memory, &format!("{to}/linear_1"));
        self.add_linear(
            weights,
            &[format!("{from}.out_proj")],
            &format!("{to}/linear_2"),
        );
        self.add_norm(
            weights,
            &format!("{from}_layer_norm"),
            &format!("{to}/layer_norm"),
        );
    }

    /// Adds linear layers, several fused into one.
    fn add_linear(&mut self, weights: &Weights, from: &[String], to: &str) {
        for kind in ["weight", "bias"] {
            let parts = from
                .iter()
                .map(|name| &weights.tensors[&format!("{name}.{kind}")])
                .collect::<Vec<_>>();
            self.add(
                format!("{to}/{kind}"),
                Value::Array(Tensor::stacked(&parts)),
            );
        }
    }

    fn add_norm(&mut self, weights: &Weights, from: &str, to: &str) {
        for (kind, name) in [("weight", "gamma"), ("bias", "beta")] {
            let tensor = weights.tensors[&format!("{from}.{kind}")].clone();
            self.add(format!("{to}/{name}"), Value::Array(tensor));
        }
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&BINARY_VERSION.to_le_bytes())?;
        write_text(to, SPECIFICATION)?;
        to.write_all(&SPECIFICATION_REVISION.to_le_bytes())?;
        write_number(to, self.values.len())?;
        for (name, value) in &self.values {
            write_text(to, name)?;
            value.write(to)?;
        }
        write_number(to, self.aliases.len())?;
        for (alias, name) in &self.aliases {
            write_text(to, alias)?;
            write_text(to, name)?;
        }
        Ok(())
    }
}

/// Checks that the decoder starts as CTranslate2 can start it.
fn check_start(
    config: &NetworkConfig,
    weights: &Weights,
    vocabulary: &[String],
) -> Result<(), String> {
    let last = config.vocab_size - 1;
    if config.layout() != Layout::Marian {
        let start = vocabulary[config.decoder_start_token_id].as_str();
        return match start == END_PIECE {
            true => Ok(()),
            false => Err(format!(
                "its decoder must start from {END_PIECE}, not from {start}"
            )),
        };
    }
    if vocabulary[last] != PADDING_PIECE
        || config.pad_token_id != last
        || config.decoder_start_token_id != last
    {
        return Err("its padding must be the last piece and start the decoder".into());
    }
    let padding = weights.tensors[EMBEDDING].without_rows(last);
    match padding.is_zero() {
        true => Ok(()),
        false => Err("its padding must have an embedding of zeros".into()),
    }
}

impl Value {
    /// Writes shape, type and bytes. The types are numbered as in CTranslate2's `DataType`.
    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        const FLOAT32: u8 = 0;
        const INT8: u8 = 1;
        const INT16: u8 = 2;
        match self {
            Self::Flag(value) => write_array(to, &[], INT8, &value.to_le_bytes()),
            Self::Short(value) => write_array(to, &[], INT16, &value.to_le_bytes()),
            Self::Number(value) => write_array(to, &[], FLOAT32, &value.to_le_bytes()),
            Self::Array(tensor) => {
                let bytes = tensor
                    .values
                    .iter()
                    .flat_map(|v| v.to_le_bytes())
                    .collect::<Vec<_>>();
                write_array(to, &tensor.shape, FLOAT32, &bytes)
            }
        }
    }
}

fn write_array(to: &mut impl Write, shape: &[usize], kind: u8, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&[u8::try_from(shape.len()).map_err(io::Error::other)?])?;
    for dimension in shape {
        write_number(to, *dimension)?;
    }
    to.write_all(&[kind])?;
    write_number(to, bytes.len())?;
    to.write_all(bytes)
}

fn write_number(to: &mut impl Write, number: usize) -> io::Result<()> {
    to.write_all(
        &u32::try_from(number)
            .map_err(io::Error::other)?
            .to_le_bytes(),
    )
}

/// A text is its length with a closing zero, its bytes and the zero.
fn write_text(to: &mut impl Write, text: &str) -> io::Result<()> {
    to.write_all(
        &u16::try_from(text.len() + 1)
            .map_err(io::Error::other)?
            .to_le_bytes(),
    )?;
    to.write_all(text.as_bytes())?;
    to.write_all(&[0])
}
