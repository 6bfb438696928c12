//! The protocol between a node and an engine process.
//!
//! A model actor starts one engine executable as a child process and speaks to it over the
//! child's standard input and output. Every message is a [frame]: a little-endian `u32`
//! with the number of bytes that follow, then that many bytes of [postcard]-encoded [`ToEngine`]
//! or [`FromEngine`]. The conversation is strictly one answer to one request, in order:
//!
//! ```text
//! engine  ── Hello{protocol, engine, version} ──►  node      (once, right after its start)
//! engine  ◄── Load(LoadRequest) ─────────────────  node      (once)
//! engine  ── Loaded(LoadReport) | Failed ────────► node
//! engine  ◄── Translate(TranslateRequest) ───────  node      (any number of times)
//! engine  ── Translated(TranslateReport) | Failed ►node
//! ```
//!
//! The engine ends when its standard input is closed, also in the middle of a batch: this is how no
//! engine outlives its node. Diagnostics go to standard error, one line each; the node turns them into log events.
//!
//! A segment may ask for a word [`Alignment`]; [`LoadReport`] says whether the engine can tell one, and which characters the model's
//! vocabulary has.
//!
//! This crate knows no asynchronous runtime: the node frames with tokio, the engines block.

mod alignment;
pub mod client;
mod coverage;
pub mod executable;
pub mod frame;
pub mod serve;

use serde::{Deserialize, Serialize};

pub use alignment::{Alignment, AlignmentError, Link, MAX_LINKS, Span};
pub use coverage::{CharacterSet, CharacterSetError, Coverage, MAX_RANGES};

/// Version of this protocol. Both sides refuse to talk to another one.
pub const PROTOCOL_VERSION: u16 = 6;

/// A message from the node to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToEngine {
    /// Load a model. Sent once, before anything else.
    Load(LoadRequest),
    /// Translate a batch.
    Translate(TranslateRequest),
}

/// A message from the engine to the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromEngine {
    /// The first message: who is speaking.
    Hello(Hello),
    /// The model is in memory and can be used.
    Loaded(LoadReport),
    /// The answer to [`ToEngine::Translate`].
    Translated(TranslateReport),
    /// The request could not be carried out; the engine itself goes on.
    Failed(Failure),
}

/// Identity of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the engine.
    pub protocol: u16,
    /// Name of the engine: `firefox`, `ctranslate2`, `rust-bert` or `openai`.
    pub engine: String,
    /// Version of the engine executable.
    pub version: String,
}

/// Numeric type of the weights during inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// The engine's choice on this machine.
    Auto,
    /// 8-bit integer weights.
    Int8,
    /// 16-bit floating point.
    Float16,
    /// 32-bit floating point.
    Float32,
}

/// Where the computation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The processor.
    Cpu,
    /// The CUDA device of this index.
    Cuda(u16),
}

/// The model to load, and its run-time settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadRequest {
    /// Absolute path of the folder with the model in this engine's own form
    /// (see the `babelmesh-models` crate for what each engine's folder holds).
    pub directory: String,
    /// Numeric type wanted.
    pub precision: Precision,
    /// Device wanted.
    pub device: Device,
    /// Threads inside one operation, at least 1.
    pub threads: u16,
    /// Beam size, at least 1; 1 is greedy.
    pub beam_size: u16,
    /// Longest source in tokens, end mark included; what is longer is not translated and reported as [too long](Completeness::TooLong).
    pub max_input_tokens: u32,
    /// Longest translation in tokens; one that has no end mark by then is reported as [unfinished](Completeness::Unfinished).
    pub max_output_tokens: u32,
}

/// The result of a [`LoadRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LoadReport {
    /// Numeric type really in use, in the engine's words (`int8_float32`, `float32`, …).
    pub numeric: String,
    /// Time the load took, in milliseconds. [`serve::serve`] measures it.
    pub load_ms: u64,
    /// Capabilities of the engine for this model.
    pub capabilities: Capabilities,
    /// Characters that the model's vocabulary covers.
    pub coverage: Coverage,
}

/// Capabilities of an engine for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether a segment that asks for a word alignment gets one.
    pub alignments: bool,
    /// Whether it can give other translations of a segment besides the best: see [`Segment::alternatives`].
    pub alternatives: bool,
}

/// A batch. The engine answers with exactly one [`Translation`] per segment, in the same order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TranslateRequest {
    /// Chosen by the node, repeated in the answer.
    pub id: u64,
    /// Segments to translate.
    pub segments: Vec<Segment>,
}

/// One piece of text, at most a few sentences long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The text.
    pub text: String,
    /// Source language, a tag such as `en`.
    pub source: String,
    /// Target language, a tag such as `fr`.
    pub target: String,
    /// Whether to return the translation's word [alignment](Translation::alignment), which costs time. It does not change the translation.
    pub align: bool,
    /// How many other translations to return besides the best one, if the engine [can](Capabilities::alternatives). The search for them is
    /// wider, so it may find another best one.
    pub alternatives: u8,
}

/// The answer to a [`TranslateRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TranslateReport {
    /// The request's id.
    pub id: u64,
    /// One translation per segment, in the order of the request.
    pub translations: Vec<Translation>,
    /// Time the engine spent on this batch, tokenisation included, in microseconds.
    pub elapsed_us: u64,
}

/// One translated segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Translation {
    /// The text.
    pub text: String,
    /// Mean log-probability per generated token, the end mark included: zero or below. `exp` of it is
    /// the geometric mean of the tokens' probabilities, which is what becomes `confidenceScore`.
    pub score: f32,
    /// Source length in tokens, language token and end mark included: of the whole source, also of one that is too long.
    pub input_tokens: u32,
    /// Translation length in tokens, end mark included.
    pub output_tokens: u32,
    /// Whether this is a translation of the whole segment.
    pub completeness: Completeness,
    /// The word alignment, if the segment asked for it and the engine [can](Capabilities::alignments) tell it. Without links where none
    /// could be found.
    pub alignment: Option<Alignment>,
    /// Other whole translations, the likeliest first, each different from the text and from the others: as many as the segment asked for at
    /// most.
    pub alternatives: Vec<String>,
}

impl Translation {
    /// Whether this is a translation of the whole segment. Any other must not be used.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.completeness, Completeness::Whole)
    }

    /// Whether the alignment, if there is one, was asked for and connects parts of the segment and of this translation.
    #[must_use]
    pub fn is_aligned_with(&self, segment: &Segment) -> bool {
        let alignment = self.alignment.as_ref();
        alignment.is_none_or(|links| segment.align && links.fits(&segment.text, &self.text))
    }

    /// Whether it is an answer to the segment: its alignment is that of both texts, and there are no more alternatives than were asked for.
    #[must_use]
    pub fn answers(&self, segment: &Segment) -> bool {
        self.is_aligned_with(segment) && self.alternatives.len() <= segment.alternatives.into()
    }
}

/// How much of a segment was translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Completeness {
    /// All of it.
    Whole,
    /// Nothing: the source has more tokens than the model takes. Reported before any inference; the text is empty.
    TooLong {
        /// Most source tokens, language token and end mark included.
        limit: u32,
    },
    /// The translation reached its longest length without an end mark, so its end is missing.
    Unfinished,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Kind of failure.
    pub kind: FailureKind,
    /// One line for people.
    pub message: String,
}

/// Kinds of [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The model could not be loaded, for example for lack of memory; the engine ends after saying so.
    Load,
    /// A segment asks for what the model does not have (a language, say).
    Unsupported,
    /// The engine's library reported an error during inference.
    Inference,
    /// Protocol violation by the node.
    Protocol,
    /// The model cannot be loaded here, now or later: the device does not exist, or the engine rejects the model. The engine ends after saying so.
    Unloadable,
    /// A server that the engine depends on does not answer, so no batch can be translated. The engine ends after saying so; its next load tells
    /// whether the server is back.
    Unavailable,
}

impl FailureKind {
    /// Whether the engine ends after a failure of this kind.
    #[must_use]
    pub const fn ends_engine(self) -> bool {
        matches!(self, Self::Load | Self::Unloadable | Self::Unavailable)
    }
}

/// Error texts of libraries for transient resource shortages.
const SHORTAGES: [&str; 5] = [
    "memory",
    "alloc",
    "too many open files",
    "resource temporarily unavailable",
    "interrupted",
];

impl Failure {
    /// A failed load. Only resource shortages are transient; other errors of the library are permanent.
    #[must_use]
    pub fn of_load(message: String) -> Self {
        let lower = message.to_lowercase();
        let is_shortage = SHORTAGES.iter().any(|shortage| lower.contains(shortage));
        let kind = match is_shortage {
            true => FailureKind::Load,
            false => FailureKind::Unloadable,
        };
        Self { kind, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alignment_must_be_asked_for_and_fit_its_texts() {
        let span = |end| Span { start: 0, end };
        let link = |source, target| Link {
            source: span(source),
            target: span(target),
            weight: 255,
        };
        let is_accepted = |align, links: Option<Vec<Link>>| {
            let segment = Segment {
                text: "né".to_owned(),
                source: "fr".to_owned(),
                target: "en".to_owned(),
                align,
                alternatives: 0,
            };
            let translation = Translation {
                text: "born".to_owned(),
                score: 0.0,
                input_tokens: 2,
                output_tokens: 2,
                completeness: Completeness::Whole,
                alignment: links.map(Alignment::new),
                alternatives: Vec::new(),
            };
            translation.is_aligned_with(&segment)
        };
        assert!(is_accepted(true, None) && is_accepted(false, None));
        assert!(is_accepted(true, Some(vec![link(3, 4)])));
        assert!(!is_accepted(false, Some(vec![])));
        for (source, target) in [(2, 4), (4, 4), (3, 5), (0, 4), (3, 0)] {
            assert!(!is_accepted(true, Some(vec![link(source, target)])));
        }
    }

    #[test]
    fn only_shortages_may_pass() {
        let kind = |message: &str| Failure::of_load(message.to_owned()).kind;
        for message in [
            "std::bad_alloc",
            "CUDA failed: out of memory",
            "Too many open files",
        ] {
            assert_eq!(kind(message), FailureKind::Load, "{message}");
        }
        for message in [
            "Unsupported model binary version",
            "there is no CUDA device 7",
        ] {
            assert_eq!(kind(message), FailureKind::Unloadable, "{message}");
        }
    }
}
