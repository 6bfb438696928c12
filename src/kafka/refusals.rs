//! Records that no job is made of: each is answered where its sender can be told, and dead-lettered once.

use babelmesh_actors::{
    containment::{Contained, contain},
    domain::{ErrorCode, RequestError, TranslationRequest},
    splitting::check_targets,
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

/// Answers and dead-letters a record as a whole. `request` is what could be read of it; a request with more than `max_targets` gets one answer.
pub(super) fn refuse(
    encoder: &Encoder,
    message: &impl Message,
    request: Option<&TranslationRequest>,
    error: &RequestError,
    trace: &Trace,
    max_targets: usize,
) -> Vec<OutRecord> {
    let mut records: Vec<_> = request.map_or_else(Vec::new, |request| {
        let refusal = |target: &str| encoder.refusal(request, target, error, trace);
        let named = request.targets().filter(|target| !target.is_empty());
        match check_targets(request, max_targets) {
            Ok(()) => named.map(refusal).collect(),
            Err(_) => Vec::new(),
        }
    });
    if let Some(request) = request
        && records.is_empty()
    {
        records.push(encoder.refusal(request, "", error, trace));
    }
    records.push(letter(encoder, message, error, trace));
    records
}

/// What becomes of a record whose handling panicked: its bytes are dead-lettered as they came, and its sender is answered if it can be read whom
/// to answer. Uses as little as possible of what may have panicked.
pub(super) fn after_panic(
    encoder: &Encoder,
    message: &impl Message,
    panic: &Contained,
    max_targets: usize,
) -> Vec<OutRecord> {
    let error = RequestError::new(
        ErrorCode::InternalError,
        "handling the record failed inside the node",
    );
    let payload = message.payload().unwrap_or_default();
    let request = contain(|| TranslationRequest::salvage(payload)).unwrap_or_default();
    let mut records = refuse(
        encoder,
        message,
        request.as_ref(),
        &error,
        &None,
        max_targets,
    );
    // The sender is not told about the node's inside; who reads dead letters is.
    if let Some(letter) = records.last_mut() {
        letter.describe(format!("{}: {panic}", error.message));
    }
    records
}

fn letter(
    encoder: &Encoder,
    message: &impl Message,
    error: &RequestError,
    trace: &Trace,
) -> OutRecord {
    let key = message.key().unwrap_or_default();
    let payload = message.payload().unwrap_or_default().to_vec();
    encoder
        .dead_letter(key, payload, error, &origin(message), trace)
        .replayed(record::replays(message))
}

#[cfg(test)]
mod tests {
    use rdkafka::{Timestamp, message::OwnedMessage};

    use super::*;
    use crate::kafka::topics::TopicNames;

    fn message(payload: &str) -> OwnedMessage {
        let (payload, key) = (payload.as_bytes().to_vec(), b"c".to_vec());
        let topic = "translation.requests".to_owned();
        let time = Timestamp::NotAvailable;
        OwnedMessage::new(Some(payload), Some(key), topic, time, 3, 42, None)
    }

    fn after(payload: &str) -> Vec<OutRecord> {
        let encoder = Encoder::new(&TopicNames::default(), "n1");
        after_panic(
            &encoder,
            &message(payload),
            &Contained("a bug at x.rs:1".into()),
            64,
        )
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
    fn a_record_that_names_nobody_is_only_dead_lettered() {
        assert_eq!(after("\u{0}\u{1}").len(), 1);
    }

    #[test]
    fn more_targets_than_are_allowed_get_one_answer() {
        let targets: Vec<String> = (0..65).map(|n| format!("x{n}")).collect();
        let payload = serde_json::json!({"messageId": "m", "targetLanguages": targets});
        assert_eq!(after(&payload.to_string()).len(), 2);
    }
}
