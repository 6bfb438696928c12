//! The request as it travels: JSON in camel case.

mod wire;

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use wire::decoded_leniently;
pub(crate) use wire::present;

use super::{ErrorCode, Format, Lane, Language, RequestError, Splitting, Term, XmlOptions};

/// Longest text that is accepted, in characters, unless configured otherwise.
pub const DEFAULT_MAX_TEXT_CHARS: usize = 100_000;

/// Most [alternatives](TranslationRequest::alternatives) of a text.
pub const MAX_ALTERNATIVES: u8 = 10;

/// A request to translate one text into one or several languages. Unknown fields are ignored; `null` means absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TranslationRequest {
    /// Repeated in every result; the message id when absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "wire::optional_id"
    )]
    pub task_id: Option<String>,
    /// The sender's name for this message. A number is taken as its digits.
    #[serde(deserialize_with = "wire::id")]
    pub message_id: String,
    /// The text to translate.
    pub text: String,
    /// Format of the text.
    #[serde(
        default,
        skip_serializing_if = "is_default",
        deserialize_with = "wire::name"
    )]
    pub format: Format,
    /// How the text is split into sentences.
    #[serde(
        default,
        skip_serializing_if = "is_default",
        deserialize_with = "wire::name"
    )]
    pub splitting: Splitting,
    /// How elements divide an XML text; only with the format `xml`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "wire::optional_object"
    )]
    pub xml: Option<Box<XmlOptions>>,
    /// Id of the glossary whose terms are used; needs `sourceLanguage`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        alias = "glossary_id",
        deserialize_with = "wire::optional_id"
    )]
    pub glossary_id: Option<String>,
    /// Terms for this request alone, with their translations into its only target language; not together with `glossaryId`.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "wire::objects"
    )]
    pub terms: Vec<Term>,
    /// BCP 47 tag of the text's language, or `auto`.
    #[serde(default = "auto", deserialize_with = "wire::tag_or_auto")]
    pub source_language: String,
    /// BCP 47 tags of the languages wanted.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "wire::present"
    )]
    pub target_languages: Vec<String>,
    /// The same for a single language; counts as one more of `targetLanguages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_language: Option<String>,
    /// Quality tier wanted; the nearest one that the node which translates has is used.
    #[serde(default, deserialize_with = "wire::name")]
    pub model_type: ModelType,
    /// Conversation whose results leave in order; `any` marks bulk work.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "wire::optional_id"
    )]
    pub conversation_id: Option<String>,
    /// Urgency.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "wire::optional_name"
    )]
    pub priority: Option<Priority>,
    /// Deadline in milliseconds, counted from the timestamp of the sender's Kafka record.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "wire::optional_millis"
    )]
    pub deadline_ms: Option<u64>,
    /// How many other translations are wanted besides the best one, 10 at most.
    #[serde(
        default,
        skip_serializing_if = "is_default",
        deserialize_with = "wire::alternatives"
    )]
    #[schemars(range(max = MAX_ALTERNATIVES))]
    pub alternatives: u8,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn auto() -> String {
    "auto".to_owned()
}

/// Quality tier of a model.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ModelType {
    /// Small and fast.
    #[default]
    Basic,
    /// Between the two.
    Medium,
    /// The best there is.
    Premium,
}

impl ModelType {
    /// Name in requests, results and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Medium => "medium",
            Self::Premium => "premium",
        }
    }
}

/// Urgency of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before other messages.
    High,
    /// As other messages.
    #[serde(alias = "medium")]
    Normal,
    /// When there is room.
    Low,
}

impl TranslationRequest {
    /// A request for one target with nothing else said.
    #[must_use]
    pub fn new(
        message_id: impl Into<String>,
        text: impl Into<String>,
        target: impl Into<String>,
    ) -> Self {
        Self {
            task_id: None,
            message_id: message_id.into(),
            text: text.into(),
            format: Format::default(),
            splitting: Splitting::default(),
            xml: None,
            glossary_id: None,
            terms: Vec::new(),
            source_language: auto(),
            target_languages: Vec::new(),
            target_language: Some(target.into()),
            model_type: ModelType::default(),
            conversation_id: None,
            priority: None,
            deadline_ms: None,
            alternatives: 0,
        }
    }

    /// The same request for this target alone.
    #[must_use]
    pub fn only_for(&self, target: &str) -> Self {
        Self {
            target_language: Some(target.to_owned()),
            ..self.without_targets()
        }
    }

    /// The same request for these targets alone.
    #[must_use]
    pub fn only_for_all(&self, targets: &[String]) -> Self {
        Self {
            target_languages: targets.to_vec(),
            ..self.without_targets()
        }
    }

    fn without_targets(&self) -> Self {
        // Field by field: a list of targets may be long, and is not wanted.
        Self {
            task_id: self.task_id.clone(),
            message_id: self.message_id.clone(),
            text: self.text.clone(),
            format: self.format,
            splitting: self.splitting,
            xml: self.xml.clone(),
            glossary_id: self.glossary_id.clone(),
            terms: self.terms.clone(),
            source_language: self.source_language.clone(),
            target_languages: Vec::new(),
            target_language: None,
            model_type: self.model_type,
            conversation_id: self.conversation_id.clone(),
            priority: self.priority,
            deadline_ms: self.deadline_ms,
            alternatives: self.alternatives,
        }
    }

    /// Reads a request from a record's bytes: JSON, with or without a byte order mark, and with or without Confluent's framing (a zero byte
    /// and four bytes of schema id). An escaped half of a surrogate pair is read as U+FFFD.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidJson`] when the bytes are not JSON, [`ErrorCode::InvalidRequest`] when the JSON is not a
    /// request. The message says where, and never quotes the text.
    pub fn decode(bytes: &[u8]) -> Result<Self, RequestError> {
        let decoded = decoded_leniently(wire::json(bytes), |json| {
            wire::check_is_object(json)?;
            serde_json::from_slice(json)
        });
        decoded.map_err(|error| {
            let code = match error.classify() {
                serde_json::error::Category::Data => ErrorCode::InvalidRequest,
                _ => ErrorCode::InvalidJson,
            };
            RequestError::new(
                code,
                format!("decoding the request: {}", without_quotes(&error)),
            )
        })
    }

    /// Ids and languages of a request that [`decode`](Self::decode) refuses, so that its sender can be answered: what stands before the first
    /// byte that is not valid JSON. The text is empty. Of more than `most_targets` targets, one more is kept. `None` where no message id can
    /// be read.
    #[must_use]
    pub fn salvage(bytes: &[u8], most_targets: usize) -> Option<Self> {
        wire::salvage(bytes, most_targets)
    }

    /// The languages asked for, in order, each spelling once however often it stands there.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let mut seen = HashSet::new();
        self.target_languages
            .iter()
            .chain(&self.target_language)
            .map(String::as_str)
            .filter(move |tag| seen.insert(*tag))
    }

    /// The id of the task: the sender's own, else the message id.
    #[must_use]
    pub fn task_id(&self) -> &str {
        self.task_id.as_deref().unwrap_or(&self.message_id)
    }

    /// The lane this request travels in.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match (self.priority, self.conversation_id.as_deref()) {
            (Some(Priority::High), _) => Lane::Interactive,
            (Some(Priority::Low), _) | (_, Some("any")) => Lane::Any,
            _ => Lane::Normal,
        }
    }

    /// The record key: what shares a key keeps its order. Bulk work has no conversation whose order could matter.
    #[must_use]
    pub fn key(&self) -> &str {
        match self.conversation_id.as_deref() {
            Some(conversation) if conversation != "any" => conversation,
            _ => &self.message_id,
        }
    }

    /// Validates the request as a whole.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidRequest`] without message id or target, for [`xml`](Self::xml) of a text that is not XML or with invalid
    /// names, for too many [`alternatives`](Self::alternatives), and for a [`glossary_id`](Self::glossary_id) or [`terms`](Self::terms) that cannot be used, [`ErrorCode::EmptyText`], [`ErrorCode::TextTooLong`],
    /// [`ErrorCode::InvalidLanguage`] for a source that is no tag.
    pub fn validate(&self, max_text_chars: usize) -> Result<(), RequestError> {
        if self.message_id.is_empty() {
            return Err(RequestError::new(
                ErrorCode::InvalidRequest,
                "messageId is empty",
            ));
        }
        if self.targets().next().is_none() {
            return Err(RequestError::new(
                ErrorCode::InvalidRequest,
                "no target language: set targetLanguages or targetLanguage",
            ));
        }
        if self.alternatives > MAX_ALTERNATIVES {
            return Err(RequestError::new(
                ErrorCode::InvalidRequest,
                format!("alternatives must be a number from 0 to {MAX_ALTERNATIVES}"),
            ));
        }
        self.validate_xml()?;
        self.validate_terms()?;
        if self.text.trim().is_empty() {
            return Err(RequestError::new(ErrorCode::EmptyText, "the text is empty"));
        }
        // A text has at most as many characters as bytes, so the common case counts nothing.
        if self.text.len() > max_text_chars {
            let chars = self.text.chars().count();
            if chars > max_text_chars {
                return Err(RequestError::new(
                    ErrorCode::TextTooLong,
                    format!("the text has {chars} characters, the limit is {max_text_chars}"),
                ));
            }
        }
        self.source().map(|_| ())
    }

    fn validate_xml(&self) -> Result<(), RequestError> {
        let Some(options) = &self.xml else {
            return Ok(());
        };
        let invalid = |message| Err(RequestError::new(ErrorCode::InvalidRequest, message));
        if self.format != Format::Xml {
            return invalid(format!(
                "xml is only possible with the format xml, the format is {}",
                self.format
            ));
        }
        match options.validate() {
            Ok(()) => Ok(()),
            Err((list, error)) => invalid(format!("xml.{list}: {error}")),
        }
    }

    fn validate_terms(&self) -> Result<(), RequestError> {
        let invalid = |message| Err(RequestError::new(ErrorCode::InvalidRequest, message));
        match &self.glossary_id {
            Some(_) if !self.terms.is_empty() => {
                invalid("glossaryId and terms cannot be used together")
            }
            Some(_) if self.source_language.eq_ignore_ascii_case("auto") => {
                invalid("glossaryId needs sourceLanguage")
            }
            None if !self.terms.is_empty() && self.targets().nth(1).is_some() => {
                invalid("terms are for one target language; use a glossary for several")
            }
            _ => Ok(()),
        }
    }

    /// The source language; `None` for `auto`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidLanguage`].
    pub fn source(&self) -> Result<Option<Language>, RequestError> {
        if self.source_language.eq_ignore_ascii_case("auto") {
            return Ok(None);
        }
        parse_language("sourceLanguage", &self.source_language).map(Some)
    }
}

/// Reads a tag from a field of a request.
///
/// # Errors
/// [`ErrorCode::InvalidLanguage`], with the field's name.
pub fn parse_language(field: &str, tag: &str) -> Result<Language, RequestError> {
    tag.parse()
        .map_err(|error| RequestError::new(ErrorCode::InvalidLanguage, format!("{field}: {error}")))
}

/// serde quotes offending string values (`invalid type: string "…"`); a text must not leak into logs that way.
fn without_quotes(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            format!("{}\"…\"{}", &message[..first], &message[last + 1..])
        }
        _ => message,
    }
}

#[cfg(test)]
mod tests;
