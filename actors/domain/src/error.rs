//! Errors reported to senders.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kinds of errors in results and dead letters. The spelling on the wire is snake case and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The bytes are not JSON, or not text in UTF-8.
    InvalidJson,
    /// The JSON is not a request: a field is missing, or of the wrong type or value.
    InvalidRequest,
    /// There is no text, or only white space.
    EmptyText,
    /// The text has more characters than the limit.
    TextTooLong,
    /// An invalid language tag.
    InvalidLanguage,
    /// A target language that no node of the cluster supports.
    UnsupportedLanguage,
    /// No model translates from this source to this target.
    UnsupportedPair,
    /// The source was `auto` and the language could not be detected.
    UndetectedLanguage,
    /// The deadline passed before the translation was made.
    DeadlineExceeded,
    /// The model has been unavailable for too long.
    ModelUnavailable,
    /// The text makes the engine crash or hang, alone and more than once.
    PoisonText,
    /// The engine refused or failed on this text without crashing.
    EngineFailed,
    /// The answer exceeds the broker's size limit.
    ResultTooLarge,
    /// The node is stopping.
    ShuttingDown,
    /// Internal error while processing the record; it was contained, logged and counted.
    InternalError,
    /// The job topic does not exist or is not writable.
    TopicUnavailable,
    /// The glossary does not exist, or has no dictionary for the pair of languages.
    UnknownGlossary,
    /// The node has not read the glossaries yet, or cannot.
    GlossariesUnavailable,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 18] = [
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
        Self::UnknownGlossary,
        Self::GlossariesUnavailable,
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
                | Self::GlossariesUnavailable
        )
    }

    /// Whether the node retries before it returns the error: only for failures that are transient on this node. An
    /// expired deadline needs a new request, and work of a stopping node is taken over by another node.
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
            Self::UnknownGlossary => "unknown_glossary",
            Self::GlossariesUnavailable => "glossaries_unavailable",
        }
    }

    /// Whether a message with this error is dead-lettered because the failure is permanent.
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
    /// Whether a retry on this node is pointless, regardless of the code.
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
