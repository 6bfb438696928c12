//! Encoding of outcomes. A panic affects only one record: it is answered with an error, and its request is
//! dead-lettered.

use babelmesh_actors::{
    containment::{Contained, contain},
    domain::{ErrorCode, JobOutcome, RequestError},
    events::{Event, Observer, Stage},
};
use babelmesh_telemetry::traces::RequestTrace;

use super::Publishing;
use crate::record::{Encoder, Origin, OutRecord};

/// The records that an outcome makes, and the record on its way, if it is watched.
pub(super) fn encode(
    outcome: JobOutcome,
    origin: &Origin,
    with: &Publishing,
) -> (Vec<OutRecord>, Option<Box<RequestTrace>>) {
    let encoder = &with.encoder;
    encode_with(outcome, origin, encoder, &*with.observer, |outcome| {
        let request_trace = with.traces.answered(outcome, Some(origin));
        (encoder.encode(outcome, origin), request_trace)
    })
}

fn encode_with(
    outcome: JobOutcome,
    origin: &Origin,
    encoder: &Encoder,
    observer: &dyn Observer,
    make: impl FnOnce(&JobOutcome) -> (Vec<OutRecord>, Option<Box<RequestTrace>>),
) -> (Vec<OutRecord>, Option<Box<RequestTrace>>) {
    match contain(|| make(&outcome)) {
        Ok((records, request_trace)) => (encoder.with_request(records, outcome), request_trace),
        Err(panic) => {
            let (stage, said) = (Stage::Publish, panic.to_string());
            observer.observe(&Event::PanicContained { stage, panic: said });
            (after_panic(outcome, origin, encoder, &panic), None)
        }
    }
}

/// Handling of a record whose outcome cannot be encoded. If not even an error can be, the request's text is left for
/// the dead letters.
fn after_panic(
    outcome: JobOutcome,
    origin: &Origin,
    encoder: &Encoder,
    panic: &Contained,
) -> Vec<OutRecord> {
    let error = RequestError::new(
        ErrorCode::InternalError,
        "internal error while processing the record",
    );
    let failed = outcome.order.failed(error.clone());
    let answered = contain(|| encoder.encode(&failed, origin));
    let mut records = answered.unwrap_or_else(|_| {
        let request = &failed.order.request;
        let (key, text) = (request.key().as_bytes(), request.text.as_bytes().to_vec());
        vec![encoder.dead_letter(key, text, &error, origin, &None)]
    });
    // Internal details go to the dead letter, not to the sender.
    if let Some(letter) = records.last_mut() {
        letter.describe(format!("{}: {panic}", error.message));
    }
    records
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use babelmesh_actors::domain::{Leg, Locality, Order, OutcomeSink, Ticket, TranslationRequest};

    use super::*;
    use crate::topics::TopicNames;

    struct Nobody;

    impl OutcomeSink for Nobody {
        fn deliver(&self, _: Vec<JobOutcome>) {}
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<Event>>);

    impl Observer for Heard {
        fn observe(&self, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    fn outcome() -> JobOutcome {
        let request =
            r#"{"messageId":"m","text":"hi","targetLanguages":["fr"],"conversationId":"c"}"#;
        let order = Order {
            ticket: Ticket::default(),
            request: TranslationRequest::decode(request.as_bytes()).unwrap(),
            submitted: tokio::time::Instant::now(),
            trace: None,
            replays: 0,
            fresh: false,
            locality: Locality::default(),
            leg: Leg::Whole,
            sink: Arc::new(Nobody),
        };
        order.failed(RequestError::new(
            ErrorCode::ModelUnavailable,
            "the model is not loaded",
        ))
    }

    #[test]
    fn a_panic_of_the_encoder_is_answered_and_leaves_the_request_as_a_dead_letter() {
        let (encoder, heard) = (Encoder::new(&TopicNames::default(), "n1"), Heard::default());
        let origin = Origin {
            topic: Arc::from("translation.jobs.fr"),
            partition: 3,
            offset: 42,
        };
        let (records, request_trace) = encode_with(outcome(), &origin, &encoder, &heard, |_| {
            panic!("a bug of the encoder")
        });
        assert!(request_trace.is_none());
        let topics: Vec<_> = records.iter().map(|record| &*record.topic).collect();
        assert_eq!(topics, ["translation.results", "translation.dead-letters"]);
        let told = String::from_utf8_lossy(&records[0].payload);
        assert!(
            told.contains("internal_error") && !told.contains("a bug"),
            "{told}"
        );
        let letter = &records[1];
        assert_eq!(
            (letter.error_code(), &*letter.key),
            (Some("internal_error"), &b"c"[..])
        );
        let again = TranslationRequest::decode(&letter.payload).unwrap();
        assert_eq!(
            (again.text.as_str(), again.message_id.as_str()),
            ("hi", "m")
        );
        let said = letter
            .headers
            .iter()
            .any(|(_, value)| value.contains("a bug of the encoder"));
        assert!(said, "who reads dead letters is told");
        let heard = heard.0.into_inner().unwrap();
        let is_told = |e: &Event| {
            matches!(
                e,
                Event::PanicContained {
                    stage: Stage::Publish,
                    ..
                }
            )
        };
        assert!(heard.len() == 1 && heard.iter().all(is_told));
    }

    #[test]
    fn a_result_that_is_encoded_remembers_its_request() {
        let encoder = Encoder::new(&TopicNames::default(), "n1");
        let origin = Origin {
            topic: Arc::from("translation.jobs.fr"),
            partition: 3,
            offset: 42,
        };
        let make = |outcome: &JobOutcome| (encoder.encode(outcome, &origin), None);
        let (records, _) = encode_with(outcome(), &origin, &encoder, &Heard::default(), make);
        assert!(records.len() == 1 && records[0].asked.is_some());
    }
}
