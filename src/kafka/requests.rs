//! The splitter: from requests to jobs by language.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use babelmesh_actors::{
    containment::Contained,
    domain::{Language, Ticket, TranslationRequest},
    flow::Flow,
    splitting::{self, Limits, split},
};
use rdkafka::{Message, message::BorrowedMessage};

use super::{
    headers,
    publisher::{Settled, Settlements},
    reader::Handler,
    record::{self, Encoder, OutRecord, SUBMITTED_AT, Trace, push_trace},
    refusals::{self, origin},
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
    limits: Limits,
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
        limits: Limits,
    ) -> Self {
        Self {
            settlements,
            traces,
            encoder,
            topics,
            served,
            limits,
            names: HashMap::new(),
            settled: Vec::new(),
        }
    }

    fn split(&mut self, message: &BorrowedMessage<'_>, trace: &Trace) -> Vec<OutRecord> {
        let payload = message.payload().unwrap_or_default();
        let refuse = |splitter: &Self, request: Option<&TranslationRequest>, error| {
            let most = splitter.limits.targets;
            refusals::refuse(&splitter.encoder, message, request, error, trace, most)
        };
        let request = match TranslationRequest::decode(payload) {
            Ok(request) => request,
            Err(error) => {
                let salvaged = TranslationRequest::salvage(payload);
                return refuse(self, salvaged.as_ref(), &error);
            }
        };
        match split(&request, self.limits, &self.served) {
            Ok(split) => self.records(message, &request, split, trace),
            Err(error) => refuse(self, Some(&request), &error),
        }
    }

    /// Jobs and refusals, and one dead letter for all that is refused.
    fn records(
        &mut self,
        message: &BorrowedMessage<'_>,
        request: &TranslationRequest,
        split: splitting::Split,
        trace: &Trace,
    ) -> Vec<OutRecord> {
        let splitting::Split { jobs, refused } = split;
        let Some((_, error)) = refused.first() else {
            return self.jobs(message, &jobs, trace);
        };
        if jobs.is_empty() && refused.len() == 1 {
            // The request as it came is what is left.
            let most = self.limits.targets;
            return refusals::refuse(&self.encoder, message, Some(request), error, trace, most);
        }
        let mut records = self.jobs(message, &jobs, trace);
        let refusals = refused
            .iter()
            .map(|(target, error)| self.encoder.refusal(request, target, error, trace));
        records.extend(refusals);
        // The other targets are answered: only these are left to be tried again.
        let targets: Vec<String> = refused.iter().map(|(target, _)| target.clone()).collect();
        let left = record::json(&request.only_for_all(&targets));
        let key = message.key().unwrap_or_default();
        let letter = self
            .encoder
            .dead_letter(key, left, error, &origin(message), trace);
        records.push(letter.replayed(record::replays(message)));
        records
    }

    fn jobs(
        &mut self,
        message: &BorrowedMessage<'_>,
        jobs: &[(Language, TranslationRequest)],
        trace: &Trace,
    ) -> Vec<OutRecord> {
        let replays = record::replays(message);
        let submitted = record::submitted_at(message)
            .unwrap_or_else(now_ms)
            .to_string();
        jobs.iter()
            .map(|(target, request)| {
                self.job(*target, request, &submitted, trace)
                    .replayed(replays)
            })
            .collect()
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
        // Each job holds the text again.
        let copies = records.len().max(1) as u64;
        let weight = weight(message).saturating_mul(copies);
        self.settled
            .push((ticket, Settled::Records { records, journey }));
        weight
    }

    fn panicked(
        &mut self,
        ticket: Ticket,
        message: &BorrowedMessage<'_>,
        panic: &Contained,
    ) -> u64 {
        let most = self.limits.targets;
        let records = refusals::after_panic(&self.encoder, message, panic, most);
        let journey = None;
        self.settled
            .push((ticket, Settled::Records { records, journey }));
        weight(message)
    }

    fn hand_on(&mut self) {
        self.settlements.settle(std::mem::take(&mut self.settled));
    }
}

/// What a record weighs: its value and its headers, which its jobs keep.
pub(super) fn weight(message: &BorrowedMessage<'_>) -> u64 {
    Flow::weight_of(message.payload_len() + headers::bytes(message))
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
