//! Errors that a sender is told about.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kinds of errors in results and dead letters. The spelling on the wire is snake case and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The bytes are not JSON, or not text in UTF-8, or hold a lone surrogate.
    InvalidJson,
    /// The JSON is not a request: a field is missing, or of the wrong type or value.
    InvalidRequest,
    /// There is no text, or only white space.
    EmptyText,
    /// The text has more characters than the limit.
    TextTooLong,
    /// A language tag that is none.
    InvalidLanguage,
    /// A target language that no node of this cluster is set up for.
    UnsupportedLanguage,
    /// No model translates from this source to this target.
    UnsupportedPair,
    /// `auto` was asked for, and the language could not be told.
    UndetectedLanguage,
    /// The deadline passed before the translation was made.
    DeadlineExceeded,
    /// The model could not be loaded for too long.
    ModelUnavailable,
    /// The text makes the engine crash or hang, alone and more than once.
    PoisonText,
    /// The engine refused or failed on this text without crashing.
    EngineFailed,
    /// The answer is larger than the broker takes.
    ResultTooLarge,
    /// The node is stopping.
    ShuttingDown,
    /// Handling the record failed inside the node; the failure was contained, logged and counted.
    InternalError,
    /// The topic that the job belongs into does not exist, or the node may not write to it.
    TopicUnavailable,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 16] = [
        Self::InvalidJson,
        Self::InvalidRequest,
        Self::EmptyText,
        Self::TextTooLong,
        Self::InvalidLanguage,
        Self::UnsupportedLanguage,
        Self::UnsupportedPair,
        Self::UndetectedLanguage,
        Self::DeadlineExceeded,
        Self::ModelUnavailable,
        Self::PoisonText,
        Self::EngineFailed,
        Self::ResultTooLarge,
        Self::ShuttingDown,
        Self::InternalError,
        Self::TopicUnavailable,
    ];

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn retriable(self) -> bool {
        matches!(
            self,
            Self::DeadlineExceeded
                | Self::ModelUnavailable
                | Self::ShuttingDown
                | Self::TopicUnavailable
        )
    }

    /// Whether the node tries again by itself before it answers: only what may heal here, in a while. A deadline that has
    /// passed comes back only with a new request, and what ends with the node is another node's.
    #[must_use]
    pub const fn is_retried(self) -> bool {
        matches!(self, Self::ModelUnavailable)
    }

    /// The spelling on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidRequest => "invalid_request",
            Self::EmptyText => "empty_text",
            Self::TextTooLong => "text_too_long",
            Self::InvalidLanguage => "invalid_language",
            Self::UnsupportedLanguage => "unsupported_language",
            Self::UnsupportedPair => "unsupported_pair",
            Self::UndetectedLanguage => "undetected_language",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::ModelUnavailable => "model_unavailable",
            Self::PoisonText => "poison_text",
            Self::EngineFailed => "engine_failed",
            Self::ResultTooLarge => "result_too_large",
            Self::ShuttingDown => "shutting_down",
            Self::InternalError => "internal_error",
            Self::TopicUnavailable => "topic_unavailable",
        }
    }

    /// Whether a message that ended so also belongs into the dead letters, because it can never succeed.
    #[must_use]
    pub const fn is_dead(self) -> bool {
        !self.retriable()
    }
}

/// Why a request, or one target of it, cannot be answered with a translation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// Kind of error.
    pub code: ErrorCode,
    /// One line for the sender; never holds the text itself.
    pub message: String,
    /// Whether it is of no use that this node tries again, whatever the code says.
    pub is_lasting: bool,
}

impl RequestError {
    /// An error with its line.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            is_lasting: false,
        }
    }
}
