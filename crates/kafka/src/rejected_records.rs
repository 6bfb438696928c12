//! Rejected records: each is answered if its sender can be identified, and dead-lettered once.

use babelmesh_actors::{
    containment::{Contained, contain},
    domain::{ErrorCode, RequestError, TranslationRequest},
    splitting::{Limits, check_fan_out, distinct_targets},
};
use rdkafka::Message;

use super::record::{self, Encoder, Origin, OutRecord, Trace};

/// Where a record was read.
pub(super) fn origin(message: &impl Message) -> Origin {
    Origin {
        topic: message.topic().into(),
        partition: message.partition(),
        offset: message.offset(),
    }
}

/// Makes the answers and dead letters of records that no job is made of.
#[derive(Debug, Clone)]
pub struct Refusals {
    encoder: Encoder,
    limits: Limits,
}

impl Refusals {
    /// For one node. A request beyond `limits` gets one answer instead of one for each language.
    #[must_use]
    pub const fn new(encoder: Encoder, limits: Limits) -> Self {
        Self { encoder, limits }
    }

    /// The request in a record, or the answers to an invalid record.
    pub(super) fn decode(
        &self,
        message: &impl Message,
        trace: impl FnOnce() -> Trace,
    ) -> Result<TranslationRequest, Vec<OutRecord>> {
        let payload = message.payload().unwrap_or_default();
        TranslationRequest::decode(payload).map_err(|error| {
            let salvaged = TranslationRequest::salvage(payload, self.limits.targets);
            self.whole(message, salvaged.as_ref(), &error, &trace())
        })
    }

    /// Answers and dead-letters a record as a whole. `request` is what could be read of it.
    pub(super) fn whole(
        &self,
        message: &impl Message,
        request: Option<&TranslationRequest>,
        error: &RequestError,
        trace: &Trace,
    ) -> Vec<OutRecord> {
        let mut records: Vec<_> = request.map_or_else(Vec::new, |request| {
            if check_fan_out(request, self.limits).is_err() {
                return Vec::new();
            }
            let named = distinct_targets(request).filter(|(target, _)| !target.is_empty());
            named
                .map(|(target, _)| self.encoder.refusal(request, target, error, trace))
                .collect()
        });
        if let Some(request) = request
            && records.is_empty()
        {
            records.push(self.encoder.refusal(request, "", error, trace));
        }
        let payload = message.payload().unwrap_or_default().to_vec();
        records.push(self.letter(message, payload, error, trace));
        records
    }

    /// Answers a record whose processing panicked. The payload is dead-lettered as it is, and the sender gets an error if it can be identified. If
    /// that panics as well, only the dead letter remains.
    pub(super) fn after_panic(&self, message: &impl Message, panic: &Contained) -> Vec<OutRecord> {
        let error = RequestError::new(
            ErrorCode::InternalError,
            "internal error while processing the record",
        );
        let payload = message.payload().unwrap_or_default();
        let answered = contain(|| {
            let request = TranslationRequest::salvage(payload, self.limits.targets);
            self.whole(message, request.as_ref(), &error, &None)
        });
        let mut records = answered.unwrap_or_else(|_| {
            // Without the headers: reading them may be what panicked.
            let key = message.key().unwrap_or_default();
            let origin = &origin(message);
            vec![
                self.encoder
                    .dead_letter(key, payload.to_vec(), &error, origin, &None),
            ]
        });
        // Internal details go to the dead letter, not to the sender.
        if let Some(letter) = records.last_mut() {
            letter.describe(format!("{}: {panic}", error.message));
        }
        records
    }

    /// Writes error results.
    pub(super) const fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The dead letter of a record, with its payload or with a request for the targets that are left.
    pub(super) fn letter(
        &self,
        message: &impl Message,
        payload: Vec<u8>,
        error: &RequestError,
        trace: &Trace,
    ) -> OutRecord {
        let key = message.key().unwrap_or_default();
        self.encoder
            .dead_letter(key, payload, error, &origin(message), trace)
            .replayed(record::replays(message))
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{Timestamp, message::OwnedMessage};

    use super::*;
    use crate::topics::TopicNames;

    fn message(payload: &str) -> OwnedMessage {
        let (payload, key) = (payload.as_bytes().to_vec(), b"c".to_vec());
        let topic = "translation.requests".to_owned();
        let time = Timestamp::NotAvailable;
        OwnedMessage::new(Some(payload), Some(key), topic, time, 3, 42, None)
    }

    fn after(payload: &str) -> Vec<OutRecord> {
        let limits = Limits {
            text_chars: 100,
            targets: 64,
            id_bytes: 20,
        };
        let refusals = Refusals::new(Encoder::new(&TopicNames::default(), "n1"), limits);
        refusals.after_panic(&message(payload), &Contained("a bug at x.rs:1".into()))
    }

    #[test]
    fn a_record_whose_handling_panicked_is_answered_and_dead_lettered_as_it_came() {
        let payload = r#"{"messageId":"m","text":"hi","targetLanguages":["fr","de"]}"#;
        let records = after(payload);
        let topics: Vec<_> = records.iter().map(|record| &*record.topic).collect();
        let (results, letters) = ("translation.results", "translation.dead-letters");
        assert_eq!(topics, [results, results, letters]);
        let letter = &records[2];
        assert_eq!(letter.payload, payload.as_bytes());
        assert_eq!(letter.error_code(), Some("internal_error"));
        assert!(
            letter
                .headers
                .iter()
                .any(|(_, value)| value.contains("a bug at x.rs:1"))
        );
        let told = String::from_utf8_lossy(&records[0].payload);
        assert!(
            told.contains("internal_error") && !told.contains("x.rs"),
            "{told}"
        );
    }

    #[test]
    fn a_record_without_ids_is_only_dead_lettered() {
        assert_eq!(after("\u{0}\u{1}").len(), 1);
    }

    #[test]
    fn a_language_that_is_spelled_twice_is_answered_once() {
        let payload = r#"{"messageId":"m","text":"","targetLanguages":["xx","XX","yy","klingon"]}"#;
        assert_eq!(after(payload).len(), 4);
    }

    #[test]
    fn an_id_that_is_too_long_is_answered_once() {
        let id = "i".repeat(21);
        let payload = serde_json::json!({"messageId": id, "targetLanguages": ["fr", "de"]});
        assert_eq!(after(&payload.to_string()).len(), 2);
    }

    #[test]
    fn more_targets_than_are_allowed_get_one_answer() {
        let targets: Vec<String> = (0..65).map(|n| format!("x{n}")).collect();
        let payload = serde_json::json!({"messageId": "m", "targetLanguages": targets});
        assert_eq!(after(&payload.to_string()).len(), 2);
    }
}
