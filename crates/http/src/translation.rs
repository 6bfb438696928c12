//! A translation: how it is wanted, and its result, on any node.

use std::time::Duration;

use babelmesh_actors::domain::{
    Format, ModelType, Priority, RequestError, Splitting, TextChecks, Translated,
    TranslationResult, XmlOptions,
};

use super::error::ApiError;

/// How the texts of a request are translated.
#[derive(Debug, Clone)]
pub(super) struct TranslationOptions {
    /// Tag of their language, or `auto`.
    pub(super) source: String,
    /// Tag of the language wanted.
    pub(super) target: String,
    /// Quality tier wanted.
    pub(super) tier: ModelType,
    /// Their format.
    pub(super) format: Format,
    /// How the text is split into sentences.
    pub(super) splitting: Splitting,
    /// How elements divide an XML text.
    pub(super) xml: Option<Box<XmlOptions>>,
    /// Urgency.
    pub(super) priority: Priority,
    /// Longest time for the translation; `http.timeout_ms` if absent.
    pub(super) timeout: Option<Duration>,
    /// Glossary whose terms are used.
    pub(super) glossary_id: Option<String>,
    /// How many other translations are wanted.
    pub(super) alternatives: u8,
}

impl TranslationOptions {
    /// Plain text, interactively, by a model of the basic tier.
    pub(super) fn new(source: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
            tier: ModelType::default(),
            format: Format::default(),
            splitting: Splitting::default(),
            xml: None,
            priority: Priority::High,
            timeout: None,
            glossary_id: None,
            alternatives: 0,
        }
    }
}

/// A text that was translated, or needs no translation.
#[derive(Debug, Clone)]
pub(super) struct Translation {
    pub(super) text: String,
    /// Other translations, the likeliest first.
    pub(super) alternatives: Vec<String>,
    /// The model's output; none if no model was needed.
    pub(super) made: Option<ModelOutput>,
}

/// Output of a model.
#[derive(Debug, Clone)]
pub(super) struct ModelOutput {
    /// Language that the text was in.
    pub(super) source: String,
    /// How sure that is, from 0 to 1, if it was detected; `None` if it was given.
    pub(super) detected: Option<f64>,
    /// From 0 to 1.
    pub(super) confidence: f64,
    /// Empty when no model was needed.
    pub(super) model_id: String,
    /// Its tier.
    pub(super) tier: ModelType,
    /// Whether all of it was translated before, or is just then for another request.
    pub(super) from_cache: bool,
    /// What its checks found, if anything.
    pub(super) checks: Option<TextChecks>,
    /// From the request to the end of the last batch, in milliseconds.
    pub(super) took_ms: f64,
}

impl Translation {
    pub(super) fn untouched(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            alternatives: Vec::new(),
            made: None,
        }
    }

    /// The answer or error of another node.
    pub(super) fn of(answer: anyhow::Result<TranslationResult>) -> Result<Self, ApiError> {
        let result = answer.map_err(|error| ApiError::unavailable(&format!("{error:#}")))?;
        if let Some(error) = result.error {
            return Err(RequestError::new(error.code, error.message).into());
        }
        let confidence = result.detection_confidence.unwrap_or_default();
        let detected = result.detected_language.is_some().then_some(confidence);
        Ok(Self {
            text: result.translated_text.unwrap_or_default(),
            alternatives: result.alternatives,
            made: Some(ModelOutput {
                source: result.detected_language.unwrap_or(result.source_language),
                detected,
                confidence: result.confidence_score,
                model_id: result.model_id,
                tier: result.model_type,
                from_cache: result.from_cache,
                checks: result.checks,
                took_ms: result.queue_time_ms + result.processing_time_ms,
            }),
        })
    }
}

impl From<Translated> for Translation {
    fn from(translated: Translated) -> Self {
        let took = translated.queue_time + translated.processing_time;
        Self {
            made: Some(ModelOutput {
                source: translated.source.to_string(),
                detected: translated.detected,
                confidence: translated.confidence,
                model_id: translated.model_id.to_string(),
                tier: translated.model_type,
                from_cache: translated.from_cache,
                checks: translated.checks,
                took_ms: took.as_secs_f64() * 1e3,
            }),
            text: translated.text,
            alternatives: translated.alternatives,
        }
    }
}
