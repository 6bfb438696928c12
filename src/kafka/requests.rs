//! The splitter: from requests to jobs by language.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use babelmesh_actors::{
    domain::{Language, RequestError, Ticket, TranslationRequest},
    flow::Flow,
    splitting::{Part, split},
};
use rdkafka::{Message, message::BorrowedMessage};

use super::{
    publisher::{Settled, Settlements},
    reader::Handler,
    record::{self, Encoder, Origin, OutRecord, SUBMITTED_AT, Trace, push_trace},
    topics::TopicNames,
};
use crate::telemetry::{
    Traces,
    traces::{Journey, Split},
};

/// Reads requests, settles them with their jobs.
pub struct Splitter {
    settlements: Settlements,
    traces: Traces,
    encoder: Encoder,
    topics: TopicNames,
    served: Vec<Language>,
    max_text_chars: usize,
    /// Names of job topics, made once.
    names: HashMap<String, Arc<str>>,
    settled: Vec<(Ticket, Settled)>,
}

impl Splitter {
    /// A splitter for a cluster that has topics for `served`.
    #[must_use]
    pub fn new(
        (settlements, traces): (Settlements, Traces),
        encoder: Encoder,
        topics: TopicNames,
        served: Vec<Language>,
        max_text_chars: usize,
    ) -> Self {
        Self {
            settlements,
            traces,
            encoder,
            topics,
            served,
            max_text_chars,
            names: HashMap::new(),
            settled: Vec::new(),
        }
    }

    fn split(&mut self, message: &BorrowedMessage<'_>, trace: &Trace) -> Vec<OutRecord> {
        let payload = message.payload().unwrap_or_default();
        let replays = record::replays(message);
        let letter = |splitter: &Self, payload: Vec<u8>, error: &RequestError| {
            let key = message.key().unwrap_or_default();
            let origin = origin(message);
            splitter
                .encoder
                .dead_letter(key, payload, error, &origin, trace)
                .replayed(replays)
        };
        let request = match TranslationRequest::decode(payload) {
            Ok(request) => request,
            Err(error) => return vec![letter(self, payload.to_vec(), &error)],
        };
        let parts = match split(&request, self.max_text_chars, &self.served) {
            Ok(parts) => parts,
            Err(error) => {
                let mut records = self.refuse_all(&request, &error, trace);
                records.push(letter(self, payload.to_vec(), &error));
                return records;
            }
        };
        let submitted = record::submitted_at(message)
            .unwrap_or_else(now_ms)
            .to_string();
        let alone = parts.len() == 1;
        let mut records = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Part::Job { target, request } => {
                    let job = self.job(target, &request, &submitted, trace);
                    records.push(job.replayed(replays));
                }
                Part::Refused { target, error } => {
                    records.push(self.encoder.refusal(&request, &target, &error, trace));
                    // The other targets are answered: only this one is left to be tried again.
                    let left = if alone {
                        payload.to_vec()
                    } else {
                        record::json(&request.only_for(&target))
                    };
                    records.push(letter(self, left, &error));
                }
            }
        }
        records
    }

    /// The request on its way, if it is watched.
    fn journey(
        &self,
        message: &BorrowedMessage<'_>,
        trace: &Trace,
        records: &[OutRecord],
    ) -> Option<Box<Journey>> {
        self.traces.split(trace.as_ref(), || Split {
            origin: origin(message),
            records: records.len(),
            jobs: records.iter().filter(|record| is_job(record)).count(),
        })
    }

    /// One error for each target, or a single one when the request names none.
    fn refuse_all(
        &self,
        request: &TranslationRequest,
        error: &RequestError,
        trace: &Trace,
    ) -> Vec<OutRecord> {
        let refusal = |target: &str| self.encoder.refusal(request, target, error, trace);
        let records: Vec<_> = request.targets().map(refusal).collect();
        if records.is_empty() {
            vec![refusal("")]
        } else {
            records
        }
    }

    fn job(
        &mut self,
        target: Language,
        request: &TranslationRequest,
        submitted: &str,
        trace: &Trace,
    ) -> OutRecord {
        let name = self.topics.jobs_of(target, request.lane());
        let topic = self
            .names
            .entry(name)
            .or_insert_with_key(|name| Arc::from(name.as_str()));
        let mut headers = vec![(SUBMITTED_AT, submitted.to_owned())];
        push_trace(&mut headers, trace);
        OutRecord {
            topic: Arc::clone(topic),
            key: request.key().as_bytes().to_vec(),
            payload: record::json(request),
            headers,
        }
    }
}

fn is_job(record: &OutRecord) -> bool {
    record.headers.iter().any(|(key, _)| *key == SUBMITTED_AT)
}

impl Handler for Splitter {
    fn read(&mut self, ticket: Ticket, message: &BorrowedMessage<'_>) -> u64 {
        let trace = record::accepted(message, &self.traces);
        let records = self.split(message, &trace);
        let journey = self.journey(message, &trace, &records);
        self.settled
            .push((ticket, Settled::Records { records, journey }));
        weight(message)
    }

    fn hand_on(&mut self) {
        self.settlements.settle(std::mem::take(&mut self.settled));
    }
}

pub(super) fn origin(message: &BorrowedMessage<'_>) -> Origin {
    Origin {
        topic: Arc::from(message.topic()),
        partition: message.partition(),
        offset: message.offset(),
    }
}

pub(super) fn weight(message: &BorrowedMessage<'_>) -> u64 {
    Flow::weight_of(message.payload_len())
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
