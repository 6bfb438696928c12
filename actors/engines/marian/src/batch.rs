//! Everything of a batch that is not the network.

use std::{collections::HashSet, path::Path};

use babelmesh_engine_protocol::{
    Completeness, Failure, FailureKind, LoadReport, LoadRequest, Segment, Translation,
};
use babelmesh_models::EngineFile;

use crate::tokeniser::{Encoded, Frame, Tokeniser};

/// A source for the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    /// The source's numbers.
    pub ids: &'a [u32],
    /// Number of the token that the translation must begin with, if the model wants one: its language.
    pub target_token: Option<u32>,
    /// How many other translations are wanted besides the best.
    pub alternatives: u8,
}

/// The network's output for one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The translation's numbers, without the token that it must begin with. An end mark closes them, unless the translation is unfinished.
    pub ids: Vec<u32>,
    /// Mean log-probability per token, the end mark included.
    pub score: f32,
    /// Number of tokens, the end mark included.
    pub tokens: usize,
    /// Other translations, the likeliest first.
    pub alternatives: Vec<Self>,
}

/// A loaded model but for its network.
#[derive(Debug)]
pub struct MarianSession {
    file: EngineFile,
    tokeniser: Tokeniser,
    /// Tokens without text.
    silent: HashSet<u32>,
    max_input: usize,
    max_output: usize,
}

impl MarianSession {
    /// Reads the engine file and the tokeniser that a request to load names.
    ///
    /// # Errors
    /// A [`Failure`] of a load that names the file.
    pub fn open(request: &LoadRequest) -> Result<Self, Failure> {
        let directory = Path::new(&request.directory);
        let file = EngineFile::read(directory).map_err(|error| load_failure(&error))?;
        let tokeniser = Tokeniser::open(directory).map_err(|error| load_failure(&error))?;
        // The network has no positions beyond its own limit, and the translation's language takes one.
        let within = |limit: u32, positions: usize| (limit as usize).clamp(1, positions.max(1));
        let target_token = usize::from(file.target_token.is_some());
        let output_positions = file.max_positions.saturating_sub(target_token);
        Ok(Self {
            max_input: within(request.max_input_tokens, file.max_positions),
            max_output: within(request.max_output_tokens, output_positions),
            silent: file.silent_ids.iter().copied().collect(),
            file,
            tokeniser,
        })
    }

    /// The content of the engine file.
    #[must_use]
    pub fn file(&self) -> &EngineFile {
        &self.file
    }

    /// The model's tokeniser.
    #[must_use]
    pub fn tokeniser(&self) -> &Tokeniser {
        &self.tokeniser
    }

    /// The report of a load: neither alignments nor alternatives, and the characters of the tokeniser.
    #[must_use]
    pub fn report(&self, numeric: &str) -> LoadReport {
        LoadReport {
            numeric: numeric.to_owned(),
            coverage: self.tokeniser.coverage().clone(),
            ..LoadReport::default()
        }
    }

    /// Longest translation in tokens, without the token that it must begin with.
    #[must_use]
    pub fn max_output(&self) -> usize {
        self.max_output
    }

    /// Translates segments: `generate` is given the sources of those that are not empty and not too long, in their order.
    ///
    /// A source that is too long costs no inference. A translation without an end mark is unfinished.
    ///
    /// # Errors
    /// [`FailureKind::Unsupported`] for a language that the model does not have, and the failures of `generate`.
    pub fn translate(
        &self,
        segments: &[Segment],
        generate: impl FnOnce(&[Source<'_>]) -> Result<Vec<Generated>, Failure>,
    ) -> Result<Vec<Translation>, Failure> {
        let sources = segments
            .iter()
            .map(|segment| self.encode(segment))
            .collect::<Result<Vec<_>, _>>()?;
        let full = sources.iter().zip(segments);
        let full = full.filter(|((source, _), _)| is_translated(source));
        let full = full
            .map(|((source, target_token), segment)| Source {
                ids: &source.ids,
                target_token: *target_token,
                alternatives: segment.alternatives,
            })
            .collect::<Vec<_>>();
        let generated = if full.is_empty() {
            Vec::new()
        } else {
            generate(&full)?
        };
        if generated.len() != full.len() {
            return Err(Failure {
                kind: FailureKind::Inference,
                message: format!("{} sources gave {} results", full.len(), generated.len()),
            });
        }
        let mut generated = generated.into_iter();
        Ok(sources
            .iter()
            .zip(segments)
            .map(|((source, _), segment)| self.translation(source, segment, &mut generated))
            .collect())
    }

    fn translation(
        &self,
        source: &Encoded,
        segment: &Segment,
        generated: &mut impl Iterator<Item = Generated>,
    ) -> Translation {
        let result = is_translated(source).then(|| generated.next()).flatten();
        let completeness = match &result {
            Some(result) if !self.is_finished(result) => Completeness::Unfinished,
            None if source.is_cut() => Completeness::TooLong {
                limit: count(self.max_input),
            },
            _ => Completeness::Whole,
        };
        let result = result.unwrap_or(Generated {
            ids: Vec::new(),
            score: 0.0,
            tokens: 0,
            alternatives: Vec::new(),
        });
        let text = self.tokeniser.decode(&self.written(&result.ids));
        Translation {
            alternatives: self.alternatives(&result, &text, segment.alternatives),
            text,
            // Rounding may put a certain token just above zero.
            score: result.score.min(0.0),
            input_tokens: count(source.tokens),
            output_tokens: count(result.tokens),
            completeness,
            alignment: None,
        }
    }

    /// At most so many other whole translations, each of another text.
    fn alternatives(&self, result: &Generated, text: &str, most: u8) -> Vec<String> {
        let mut texts = Vec::new();
        let finished = result
            .alternatives
            .iter()
            .filter(|other| self.is_finished(other));
        for other in finished {
            let other = self.tokeniser.decode(&self.written(&other.ids));
            if other != text && !texts.contains(&other) && texts.len() < most.into() {
                texts.push(other);
            }
        }
        texts
    }

    /// The tokens that have a text.
    fn written(&self, ids: &[u32]) -> Vec<u32> {
        let ids = ids.iter().copied();
        ids.filter(|id| !self.silent.contains(id)).collect()
    }

    fn is_finished(&self, generated: &Generated) -> bool {
        let last = generated.ids.last().copied();
        // Beam search may put an end mark at the last place, whatever is missing before it.
        last == Some(self.tokeniser.target_end_id()) && generated.tokens < self.max_output
    }

    /// The source's numbers, and that of the token that the translation must begin with.
    fn encode(&self, segment: &Segment) -> Result<(Encoded, Option<u32>), Failure> {
        let Segment { source, target, .. } = segment;
        let file = &self.file;
        if !file.source_languages.contains(source) || !file.target_languages.contains(target) {
            return Err(unsupported(format!(
                "model {} translates from {} to {}, not from {source} to {target}",
                file.model,
                file.source_languages.join(", "),
                file.target_languages.join(", "),
            )));
        }
        let number = |token: Option<String>, of: fn(&Tokeniser, &str) -> Option<u32>| match token {
            None => Ok(None),
            Some(token) => match of(&self.tokeniser, &token) {
                Some(id) => Ok(Some(id)),
                None => Err(unsupported(format!(
                    "model {} has no token {token}",
                    file.model
                ))),
            },
        };
        let frame = Frame {
            first: number(file.language_token(source, target), Tokeniser::id)?,
            end: file.source_end,
        };
        let target_token = number(file.target_token(source, target), Tokeniser::target_id)?;
        let encoded = self.tokeniser.encode(&segment.text, frame, self.max_input);
        Ok((encoded, target_token))
    }
}

/// Whether the network has something to do.
fn is_translated(source: &Encoded) -> bool {
    !source.empty && !source.is_cut()
}

fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

fn unsupported(message: String) -> Failure {
    Failure {
        kind: FailureKind::Unsupported,
        message,
    }
}

fn load_failure(error: &dyn std::error::Error) -> Failure {
    Failure::of_load(error.to_string())
}
