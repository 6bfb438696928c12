//! The network: a transformer reads the source, recurrent units write the translation.

use std::path::Path;

use fxtranslate::{model::Model, shortlist::Shortlist};

use crate::{
    attention::{Attention, Memory},
    embedding::{Embedding, Positions},
    layers::{FeedForward, Ssru},
    linear::Kernel,
    output::Output,
    parameters::Parameters,
    shape::Shape,
};

/// The embeddings of models with one vocabulary.
const SHARED: &str = "Wemb";

pub(crate) struct Network {
    shape: Shape,
    positions: Positions,
    source: Embedding,
    target: Embedding,
    encoder: Vec<EncoderLayer>,
    decoder: Vec<DecoderLayer>,
    output: Output,
}

struct EncoderLayer {
    attention: Attention,
    feed_forward: FeedForward,
}

struct DecoderLayer {
    memory: Ssru,
    attention: Attention,
    feed_forward: FeedForward,
}

/// The network's output for one source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Generated {
    /// The translation, without its end mark.
    pub(crate) tokens: Vec<u32>,
    /// Sum of the tokens' log-probabilities, that of the end mark included.
    pub(crate) log_probability: f64,
    /// Whether the end mark was written.
    pub(crate) finished: bool,
}

impl Network {
    /// Reads a model. The file stays mapped. Sources and translations may have up to `most_tokens` tokens. The error is a sentence about the
    /// file's content.
    pub(crate) fn open(
        path: &Path,
        shortlist: Option<Shortlist>,
        kernel: Kernel,
        most_tokens: usize,
    ) -> Result<Self, String> {
        let model = Model::load_mmapped(path).map_err(|error| error.to_string())?;
        let parameters = Parameters(&model);
        let shape = Shape::parse(&parameters.architecture()?)?;
        let shared = parameters.has(SHARED);
        let (source, target) = match shared {
            true => (SHARED, SHARED),
            false => ("encoder_Wemb", "decoder_Wemb"),
        };
        let attention = |name: &str| Attention::read(&parameters, name, &shape, kernel);
        let feed_forward = |name: &str| FeedForward::read(&parameters, name, shape.width, kernel);
        let encoder = (1..=shape.encoder_layers).map(|layer| {
            Ok(EncoderLayer {
                attention: attention(&format!("encoder_l{layer}_self"))?,
                feed_forward: feed_forward(&format!("encoder_l{layer}_ffn"))?,
            })
        });
        let decoder = (1..=shape.decoder_layers).map(|layer| {
            let memory = format!("decoder_l{layer}_rnn");
            Ok(DecoderLayer {
                memory: Ssru::read(&parameters, &memory, shape.width, kernel)?,
                attention: attention(&format!("decoder_l{layer}_context"))?,
                feed_forward: feed_forward(&format!("decoder_l{layer}_ffn"))?,
            })
        });
        Ok(Self {
            positions: Positions::new(&shape, most_tokens),
            source: Embedding::read(&parameters, source, &shape)?,
            target: Embedding::read(&parameters, target, &shape)?,
            encoder: encoder.collect::<Result<_, String>>()?,
            decoder: decoder.collect::<Result<_, String>>()?,
            output: Output::read(&parameters, target, shared, &shape, shortlist, kernel)?,
            shape,
        })
    }

    /// Numbers of source and of target tokens.
    pub(crate) fn vocabularies(&self) -> (usize, usize) {
        (self.source.tokens(), self.target.tokens())
    }

    /// Translates source tokens, their end mark included, by choosing the most probable token at each step. `attention`, if given, gets a
    /// row for each token that is written, the end mark included: what the first head of the last layer attends to in the source. Models are
    /// trained so that this head aligns words.
    pub(crate) fn translate(
        &self,
        source: &[u32],
        end: u32,
        most_tokens: usize,
        mut attention: Option<&mut Vec<f32>>,
    ) -> Generated {
        let mut rounded = Vec::new();
        let context = self.encode(source, &mut rounded);
        let memories = self.decoder.iter().map(|layer| {
            let attention = &layer.attention;
            attention.memory(&context, source.len(), &mut rounded)
        });
        let memories = memories.collect::<Vec<_>>();
        let projection = self.output.projection(source);
        let mut cells = vec![vec![0.0; self.shape.width]; self.decoder.len()];
        let mut generated = Generated {
            tokens: Vec::new(),
            log_probability: 0.0,
            finished: false,
        };
        for position in 0..most_tokens {
            let previous = generated.tokens.last().copied();
            let shares = attention.as_deref_mut();
            let top = self.step(
                previous,
                position,
                &memories,
                &mut cells,
                &mut rounded,
                shares,
            );
            let choice = projection.choose(&top, &mut rounded);
            generated.log_probability += choice.log_probability;
            if choice.token == end {
                generated.finished = true;
                break;
            }
            generated.tokens.push(choice.token);
        }
        generated
    }

    fn encode(&self, source: &[u32], rounded: &mut Vec<u8>) -> Vec<f32> {
        let width = self.shape.width;
        let mut rows = vec![0.0; source.len() * width];
        for (position, (token, row)) in source.iter().zip(rows.chunks_exact_mut(width)).enumerate()
        {
            self.source.write_row(*token, row);
            self.positions.add(position, row);
        }
        for layer in &self.encoder {
            let memory = layer.attention.memory(&rows, source.len(), rounded);
            rows = layer
                .attention
                .attend(&rows, source.len(), &memory, rounded, None);
            rows = layer.feed_forward.run(&rows, source.len(), rounded);
        }
        rows
    }

    /// One step of the decoder. At the first one there is no previous token, and its embedding is zeros.
    fn step(
        &self,
        previous: Option<u32>,
        position: usize,
        memories: &[Memory],
        cells: &mut [Vec<f32>],
        rounded: &mut Vec<u8>,
        mut shares: Option<&mut Vec<f32>>,
    ) -> Vec<f32> {
        let last = memories.len().saturating_sub(1);
        let mut row = vec![0.0; self.shape.width];
        if let Some(token) = previous {
            self.target.write_row(token, &mut row);
        }
        self.positions.add(position, &mut row);
        let layers = self.decoder.iter().zip(memories).zip(cells).enumerate();
        for (number, ((layer, memory), cell)) in layers {
            let shares = shares.take_if(|_| number == last);
            row = layer.memory.step(&row, cell, rounded);
            row = layer.attention.attend(&row, 1, memory, rounded, shares);
            row = layer.feed_forward.run(&row, 1, rounded);
        }
        row
    }
}

#[cfg(test)]
mod tests;
