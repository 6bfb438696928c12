//! Encodes outcomes and refused records as records to publish.

use std::sync::Arc;

use babelmesh_actors::domain::{
    ErrorCode, JobOutcome, RequestError, TranslationRequest, TranslationResult,
};

use super::{
    AnsweredRequest, ERROR_CODE, ERROR_MESSAGE, IDEMPOTENCY_KEY, NODE, ORIGIN_OFFSET,
    ORIGIN_PARTITION, ORIGIN_TOPIC, ORIGINAL_BYTES, Origin, OutRecord, TRACEPARENT, TRACESTATE,
    Trace, incoming::plain, json, push_trace,
};
use crate::topics::TopicNames;

/// Longest value of a dead letter, in bytes. With its headers it must fit where the record itself just fitted, or an
/// oversized request could not be dead-lettered either, and its partition would stall permanently.
const MAX_LETTER_BYTES: usize = 900_000;

/// Longest key of a dead letter, in bytes: a longer one is cut, for the same reason.
const MAX_LETTER_KEY_BYTES: usize = 4_096;
/// Makes records of outcomes.
#[derive(Debug, Clone)]
pub struct Encoder {
    node: Arc<str>,
    results: Arc<str>,
    dead_letters: Arc<str>,
}

impl Encoder {
    /// An encoder for one node.
    #[must_use]
    pub fn new(topics: &TopicNames, node: &str) -> Self {
        Self {
            node: Arc::from(node),
            results: Arc::from(topics.results.as_str()),
            dead_letters: Arc::from(topics.dead_letters.as_str()),
        }
    }

    /// The records of an outcome: its result, and a dead letter if the error is permanent.
    #[must_use]
    pub fn outcome(&self, outcome: JobOutcome, origin: &Origin) -> Vec<OutRecord> {
        let records = self.encode(&outcome, origin);
        self.with_request(records, outcome)
    }

    /// Like [`Encoder::outcome`], but results do not keep their requests.
    pub(crate) fn encode(&self, outcome: &JobOutcome, origin: &Origin) -> Vec<OutRecord> {
        let order = &outcome.order;
        let result = TranslationResult::of(outcome, &self.node);
        let mut records = vec![self.result(&order.request, &result, &order.trace)];
        if let Err(error) = &outcome.result
            && error.code.is_dead()
        {
            let (key, payload) = (order.request.key().as_bytes(), json(&order.request));
            let letter = self.dead_letter(key, payload, error, origin, &order.trace);
            records.push(letter.replayed(order.replays));
        }
        records
    }

    /// Has a result keep its request, unless a dead letter of the same outcome contains it.
    pub(crate) fn with_request(
        &self,
        mut records: Vec<OutRecord>,
        outcome: JobOutcome,
    ) -> Vec<OutRecord> {
        if let [answer] = records.as_mut_slice() {
            let (request, replays) = (outcome.order.request, outcome.order.replays);
            answer.asked = Some(Box::new(AnsweredRequest { request, replays }));
        }
        records
    }

    /// The error result of one target of a request that no job was made of.
    #[must_use]
    pub fn refusal(
        &self,
        request: &TranslationRequest,
        target: &str,
        error: &RequestError,
        trace: &Trace,
    ) -> OutRecord {
        let result = TranslationResult::failed(request, target, &self.node, error.clone());
        self.result(request, &result, trace)
    }

    fn result(
        &self,
        request: &TranslationRequest,
        result: &TranslationResult,
        trace: &Trace,
    ) -> OutRecord {
        let mut headers = vec![(IDEMPOTENCY_KEY, result.idempotency_key())];
        push_trace(&mut headers, trace);
        OutRecord {
            topic: Arc::clone(&self.results),
            key: request.key().as_bytes().to_vec(),
            payload: json(result),
            headers,
            asked: None,
        }
    }

    /// A dead letter: the record as it was, with the reason and where it was read in its headers.
    #[must_use]
    pub fn dead_letter(
        &self,
        key: &[u8],
        mut payload: Vec<u8>,
        error: &RequestError,
        origin: &Origin,
        trace: &Trace,
    ) -> OutRecord {
        let bytes = payload.len();
        payload.truncate(MAX_LETTER_BYTES);
        let mut headers = vec![
            (ERROR_CODE, error.code.name().to_owned()),
            (ERROR_MESSAGE, error.message.clone()),
            (ORIGIN_TOPIC, origin.topic.to_string()),
            (ORIGIN_PARTITION, origin.partition.to_string()),
            (ORIGIN_OFFSET, origin.offset.to_string()),
            (NODE, self.node.to_string()),
        ];
        if bytes > MAX_LETTER_BYTES {
            headers.push((ORIGINAL_BYTES, bytes.to_string()));
        }
        push_trace(&mut headers, trace);
        OutRecord {
            topic: Arc::clone(&self.dead_letters),
            key: key[..key.len().min(MAX_LETTER_KEY_BYTES)].to_vec(),
            payload,
            headers,
            asked: None,
        }
    }

    /// Whether a record is a job: neither a result nor a dead letter.
    #[must_use]
    pub fn is_job(&self, record: &OutRecord) -> bool {
        record.topic != self.results && record.topic != self.dead_letters
    }

    /// The answers of a job whose topic cannot be written to.
    #[must_use]
    pub fn unavailable(&self, job: &OutRecord) -> Vec<OutRecord> {
        let error = RequestError::new(
            ErrorCode::TopicUnavailable,
            "the job topic of this language is not writable",
        );
        self.refusals(job, &error)
    }

    /// The error of each target of a job.
    fn refusals(&self, job: &OutRecord, error: &RequestError) -> Vec<OutRecord> {
        let trace = trace_of(job);
        // What the splitter wrote can be read.
        let request = TranslationRequest::decode(&job.payload).ok();
        let targets = request.iter().flat_map(|request| {
            let targets = request.targets();
            targets.map(|target| self.refusal(request, target, error, &trace))
        });
        targets.collect()
    }

    /// The records to publish instead of one that the broker rejects for its size: an error in place of a result; errors and a dead letter in place
    /// of a job; the dead letter of the request in place of an error; a shorter one in place of a dead letter. Empty if a dead letter of the same
    /// outcome contains the request already, or if nothing smaller is possible.
    #[must_use]
    pub fn instead_of(&self, refused: &OutRecord, origin: &Origin) -> Vec<OutRecord> {
        let bytes = refused.bytes();
        let error = || {
            let text = format!("the broker rejects a record of {bytes} bytes");
            RequestError::new(ErrorCode::ResultTooLarge, text)
        };
        if refused.topic == self.dead_letters {
            return shortened(refused).into_iter().collect();
        }
        if refused.topic == self.results {
            return match serde_json::from_slice::<TranslationResult>(&refused.payload) {
                Ok(result) if result.error.is_none() => {
                    let payload = json(&result.into_error(error()));
                    vec![OutRecord {
                        payload,
                        ..refused.clone()
                    }]
                }
                // Not even the error fits: only the operator can be notified.
                _ => {
                    let letter = |asked: &AnsweredRequest| {
                        let (payload, trace) = (json(&asked.request), trace_of(refused));
                        let key = &refused.key;
                        let letter = self.dead_letter(key, payload, &error(), origin, &trace);
                        letter.replayed(asked.replays)
                    };
                    refused.asked.iter().map(|asked| letter(asked)).collect()
                }
            };
        }
        let trace = trace_of(refused);
        let mut records = self.refusals(refused, &error());
        let payload = refused.payload.clone();
        records.push(self.dead_letter(&refused.key, payload, &error(), origin, &trace));
        records
    }
}

/// Half of a dead letter; of one without a value, the same without its key. `None` if it has neither.
fn shortened(letter: &OutRecord) -> Option<OutRecord> {
    let bytes = letter.payload.len();
    if bytes == 0 && letter.key.is_empty() {
        return None;
    }
    let mut shorter = letter.clone();
    match bytes {
        0 => shorter.key.clear(),
        _ => shorter.payload.truncate(bytes / 2),
    }
    if !letter.headers.iter().any(|(key, _)| *key == ORIGINAL_BYTES) {
        shorter.headers.push((ORIGINAL_BYTES, bytes.to_string()));
    }
    Some(shorter)
}

fn trace_of(record: &OutRecord) -> Trace {
    let value = |name| record.headers.iter().find(|(key, _)| *key == name);
    let (_, parent) = value(TRACEPARENT)?;
    let state = value(TRACESTATE).map_or("", |(_, state)| state);
    plain(parent, state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::REPLAYS;

    fn letter(payload: Vec<u8>) -> OutRecord {
        let error = RequestError::new(ErrorCode::TextTooLong, "the text is too long");
        let origin = Origin {
            topic: Arc::from("translation.requests"),
            partition: 3,
            offset: 42,
        };
        Encoder::new(&TopicNames::default(), "n1")
            .dead_letter(b"key", payload, &error, &origin, &None)
    }

    fn value<'r>(record: &'r OutRecord, name: &str) -> Option<&'r str> {
        record
            .headers
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_dead_letter_is_the_unchanged_record_with_its_origin_and_reason() {
        let record = letter(b"{broken".to_vec());
        assert_eq!(
            (record.key.as_slice(), record.payload.as_slice()),
            (&b"key"[..], &b"{broken"[..])
        );
        assert_eq!(value(&record, ERROR_CODE), Some("text_too_long"));
        assert_eq!(value(&record, ORIGIN_TOPIC), Some("translation.requests"));
        assert_eq!(value(&record, ORIGIN_PARTITION), Some("3"));
        assert_eq!(value(&record, ORIGIN_OFFSET), Some("42"));
        assert_eq!(value(&record, ORIGINAL_BYTES), None);
    }

    #[test]
    fn a_giant_record_leaves_its_beginning_and_its_size() {
        let record = letter(vec![b'x'; 1_048_000]);
        assert_eq!(record.payload.len(), MAX_LETTER_BYTES);
        assert_eq!(value(&record, ORIGINAL_BYTES), Some("1048000"));
    }

    #[test]
    fn a_rejected_dead_letter_is_shortened_until_it_is_empty() {
        let encoder = Encoder::new(&TopicNames::default(), "n1");
        let origin = Origin {
            topic: Arc::from("translation.requests"),
            partition: 3,
            offset: 42,
        };
        let mut record = letter(vec![b'x'; 5_000]);
        let mut sizes = Vec::new();
        while let Some(shorter) = encoder.instead_of(&record, &origin).pop() {
            assert_eq!(value(&shorter, ORIGINAL_BYTES), Some("5000"));
            sizes.push(shorter.payload.len());
            record = shorter;
        }
        assert_eq!(sizes[..4], [2_500, 1_250, 625, 312]);
        assert_eq!((record.payload.len(), record.key.len()), (0, 0));
    }

    #[test]
    fn a_rejected_job_is_answered_and_dead_lettered() {
        let encoder = Encoder::new(&TopicNames::default(), "n1");
        let payload =
            br#"{"messageId":"m","text":"t","sourceLanguage":"en","targetLanguages":["fr"]}"#;
        let job = OutRecord {
            topic: Arc::from("translation.jobs.fr"),
            key: b"m".to_vec(),
            payload: payload.to_vec(),
            headers: vec![(TRACEPARENT, "00-1".to_owned())],
            asked: None,
        };
        let origin = Origin {
            topic: Arc::from("translation.requests"),
            partition: 0,
            offset: 1,
        };
        let instead = encoder.instead_of(&job, &origin);
        let topics: Vec<_> = instead.iter().map(|record| &*record.topic).collect();
        assert_eq!(topics, ["translation.results", "translation.dead-letters"]);
        let result: TranslationResult = serde_json::from_slice(&instead[0].payload).unwrap();
        assert_eq!(result.error.unwrap().code, ErrorCode::ResultTooLarge);
        assert!(
            instead
                .iter()
                .all(|r| value(r, TRACEPARENT) == Some("00-1"))
        );
        // The answer to it is an error already; the dead letter contains the job.
        assert!(encoder.instead_of(&instead[0], &origin).is_empty());
    }

    #[test]
    fn an_answer_that_is_refused_even_as_an_error_leaves_the_request_to_be_replayed() {
        let encoder = Encoder::new(&TopicNames::default(), "n1");
        let origin = Origin {
            topic: Arc::from("translation.jobs.fr"),
            partition: 0,
            offset: 1,
        };
        let request = TranslationRequest::new("m", "t", "fr");
        let error = RequestError::new(ErrorCode::DeadlineExceeded, "too late");
        let mut answer = encoder.refusal(&request, "fr", &error, &None);
        answer.asked = Some(Box::new(AnsweredRequest {
            request: request.clone(),
            replays: 3,
        }));
        let letters = encoder.instead_of(&answer, &origin);
        assert_eq!(letters.len(), 1);
        assert_eq!(&*letters[0].topic, "translation.dead-letters");
        assert_eq!(letters[0].error_code(), Some("result_too_large"));
        assert_eq!(value(&letters[0], REPLAYS), Some("3"));
        assert_eq!(TranslationRequest::decode(&letters[0].payload), Ok(request));
    }
}
