//! The result as it travels: JSON in camel case.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ErrorCode, JobOutcome, Lane, ModelType, RequestError, Translated, TranslationRequest};

/// One target's answer: a translation or an error, never both, never neither.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TranslationResult {
    /// The request's task id, else its message id.
    pub task_id: String,
    /// The request's message id.
    pub message_id: String,
    /// The translation; absent when there is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translated_text: Option<String>,
    /// Other translations, the likeliest first; absent where none were asked for, or the model has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<String>,
    /// The error; absent if there is a translation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// The source language as the request spelled it.
    pub source_language: String,
    /// The language that was found when the request said `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detected_language: Option<String>,
    /// How sure that is, 0 to 1, to four decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection_confidence: Option<f64>,
    /// The target language as the request spelled it.
    pub target_language: String,
    /// Geometric mean of the model's token probabilities, 0 to 1, to four decimals; 0 in an error.
    pub confidence_score: f64,
    /// Tier of the model that was used; the tier asked for in an error.
    pub model_type: ModelType,
    /// Model that was used, or both models of a route over a pivot, joined by `+`; empty when none was.
    pub model_id: String,
    /// Languages on the way from source to target, both included.
    pub route: Vec<String>,
    /// Kind of lane: `normal` or `any`.
    pub pool_type: PoolType,
    /// Name of the model actor that made the last piece; empty when none was used.
    pub worker_name: String,
    /// Name of the node.
    pub node: String,
    /// Whether every piece of this text came from the cache or was deduplicated with another text.
    pub from_cache: bool,
    /// Number of segments in the largest batch that a piece of this text was in; 0 when none was.
    pub batch_size: u32,
    /// Number of pieces of this text that are translations.
    pub segments_count: u32,
    /// Findings of the checks of the translation; absent when every sentence was translated whole and passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<TextChecks>,
    /// Milliseconds from the sender's record to the start of the first batch, to the microsecond.
    pub queue_time_ms: f64,
    /// Milliseconds from the start of the first batch to the end of the last.
    pub processing_time_ms: f64,
}

/// Findings of the checks of a text's sentences.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TextChecks {
    /// Number of sentences that were translated with stand-ins for some of their tokens.
    pub stand_in: u32,
    /// Number of sentences that were cut at tokens or markup, and translated in parts.
    pub cut: u32,
    /// Number of sentences of which a part was left untranslated, since no answer of the model passed the checks.
    pub source: u32,
    /// Checks that failed in some sentence: `token`, `tag`, `number`, `truncated`, `repetition`, `length`, `empty`, `untranslated`,
    /// `added_markup` or `source_kept`.
    pub flags: Vec<String>,
    /// Kinds of the tokens that the model did not copy.
    pub kinds: Vec<String>,
}

/// The error of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// Kind of error.
    pub code: ErrorCode,
    /// One line for the sender.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retriable: bool,
}

impl TextChecks {
    /// Merges the findings of both.
    #[must_use]
    pub fn merged(mut self, other: Self) -> Self {
        self.stand_in += other.stand_in;
        self.cut += other.cut;
        self.source += other.source;
        for (all, more) in [
            (&mut self.flags, other.flags),
            (&mut self.kinds, other.kinds),
        ] {
            all.extend(more);
            all.sort_unstable();
            all.dedup();
        }
        self
    }
}

/// Kind of lane, in the words of the service that this cluster succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PoolType {
    /// Conversations and interactive work.
    Normal,
    /// Bulk work.
    Any,
}

impl From<Lane> for PoolType {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Interactive | Lane::Normal => Self::Normal,
            Lane::Any => Self::Any,
        }
    }
}

impl From<RequestError> for ErrorBody {
    fn from(error: RequestError) -> Self {
        Self {
            retriable: error.code.retriable(),
            code: error.code,
            message: error.message,
        }
    }
}

impl TranslationResult {
    /// The answer to one target of a request that failed before any model saw it.
    #[must_use]
    pub fn failed(
        request: &TranslationRequest,
        target: &str,
        node: &str,
        error: RequestError,
    ) -> Self {
        Self {
            task_id: request.task_id().to_owned(),
            message_id: request.message_id.clone(),
            translated_text: None,
            alternatives: Vec::new(),
            error: Some(error.into()),
            source_language: request.source_language.clone(),
            detected_language: None,
            detection_confidence: None,
            target_language: target.to_owned(),
            confidence_score: 0.0,
            model_type: request.model_type,
            model_id: String::new(),
            route: Vec::new(),
            pool_type: request.lane().into(),
            worker_name: String::new(),
            node: node.to_owned(),
            from_cache: false,
            batch_size: 0,
            segments_count: 0,
            checks: None,
            queue_time_ms: 0.0,
            processing_time_ms: 0.0,
        }
    }

    /// The answer that an outcome makes on `node`.
    #[must_use]
    pub fn of(outcome: &JobOutcome, node: &str) -> Self {
        let JobOutcome { order, result } = outcome;
        let target = order.target_tag();
        let translated = match result {
            Ok(translated) => translated,
            Err(error) => return Self::failed(&order.request, target, node, error.clone()),
        };
        let request = &order.request;
        Self {
            task_id: request.task_id().to_owned(),
            message_id: request.message_id.clone(),
            translated_text: Some(translated.text.clone()),
            alternatives: translated.alternatives.clone(),
            error: None,
            source_language: request.source_language.clone(),
            detected_language: translated.detected.map(|_| translated.source.to_string()),
            detection_confidence: translated.detected.map(|sure| rounded(sure, 1e4)),
            target_language: target.to_owned(),
            confidence_score: rounded(translated.confidence, 1e4),
            model_type: translated.model_type,
            model_id: translated.model_id.to_string(),
            route: route(translated),
            pool_type: request.lane().into(),
            worker_name: translated.worker.to_string(),
            node: node.to_owned(),
            from_cache: translated.from_cache,
            batch_size: translated.batch_size,
            segments_count: translated.segments,
            checks: translated.checks.clone(),
            queue_time_ms: rounded(translated.queue_time.as_secs_f64() * 1e3, 1e3),
            processing_time_ms: rounded(translated.processing_time.as_secs_f64() * 1e3, 1e3),
        }
    }

    /// The same answer with an error in place of the translation.
    #[must_use]
    pub fn into_error(self, error: RequestError) -> Self {
        Self {
            translated_text: None,
            error: Some(error.into()),
            confidence_score: 0.0,
            checks: None,
            ..self
        }
    }

    /// The header by which receivers may drop repetitions: the same for every delivery of one target of one message.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}:{}", self.message_id, self.target_language)
    }
}

/// The languages on the way from source to target.
fn route(translated: &Translated) -> Vec<String> {
    let first = [
        Some(translated.source),
        translated.via,
        Some(translated.target),
    ];
    first
        .into_iter()
        .flatten()
        .map(|language| language.to_string())
        .collect()
}

/// Cuts a number to what it is worth: JSON's readers differ in the last of 17 digits, and each digit is a byte in every record.
fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_result_survives_the_wire(
            id in ".*", text in prop::option::of(".*"), target in ".*",
            score in 0.0..=1.0f64, times in (0.0..1e9f64, 0.0..1e9f64), counts: (u32, u32),
        ) {
            let request = TranslationRequest::decode(br#"{"messageId":"","text":"x"}"#).unwrap();
            let error = RequestError::new(ErrorCode::PoisonText, "the engine died");
            let mut result = TranslationResult::failed(&request, &target, "n1", error);
            result.message_id = id;
            if text.is_some() {
                result.error = None;
            }
            result.translated_text = text;
            result.confidence_score = rounded(score, 1e4);
            (result.queue_time_ms, result.processing_time_ms) = (rounded(times.0, 1e3), rounded(times.1, 1e3));
            (result.batch_size, result.segments_count) = counts;
            let bytes = serde_json::to_vec(&result).unwrap();
            prop_assert_eq!(serde_json::from_slice::<TranslationResult>(&bytes).unwrap(), result);
        }
    }

    #[test]
    fn field_names_on_the_wire_are_the_contract() {
        let request = TranslationRequest::decode(br#"{"messageId":"m","text":"x"}"#).unwrap();
        let error = RequestError::new(ErrorCode::EmptyText, "the text is empty");
        let json =
            serde_json::to_value(TranslationResult::failed(&request, "fr", "n1", error)).unwrap();
        let mut names: Vec<_> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "batchSize",
                "confidenceScore",
                "error",
                "fromCache",
                "messageId",
                "modelId",
                "modelType",
                "node",
                "poolType",
                "processingTimeMs",
                "queueTimeMs",
                "route",
                "segmentsCount",
                "sourceLanguage",
                "targetLanguage",
                "taskId",
                "workerName",
            ]
        );
        assert_eq!(json["error"]["code"], "empty_text");
    }
}
