//! The splitter: from requests to jobs by language.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use babelmesh_actors::{
    domain::{Language, Ticket, TranslationRequest},
    splitting::{self, Limits, split},
};
use babelmesh_telemetry::{
    Traces,
    traces::{RequestTrace, Split},
};
use rdkafka::message::BorrowedMessage;

use super::{
    publisher_handle::{Completed, CompletedBatch, PublisherHandle},
    reader::Handler,
    record::{self, OutRecord, SUBMITTED_AT, Trace, push_trace, weight},
    rejected_records::{Refusals, origin},
    topics::TopicNames,
};

/// Reads requests, settles them with their jobs.
pub struct Splitter {
    publisher_handle: PublisherHandle,
    traces: Traces,
    refusals: Refusals,
    topics: TopicNames,
    served: Vec<Language>,
    limits: Limits,
    /// Names of job topics, made once.
    names: HashMap<String, Arc<str>>,
    completed: CompletedBatch,
}

impl Splitter {
    /// A splitter for a cluster that has topics for `served`.
    #[must_use]
    pub fn new(
        (publisher_handle, traces): (PublisherHandle, Traces),
        refusals: Refusals,
        topics: TopicNames,
        served: Vec<Language>,
        limits: Limits,
    ) -> Self {
        Self {
            publisher_handle,
            traces,
            refusals,
            topics,
            served,
            limits,
            names: HashMap::new(),
            completed: CompletedBatch::default(),
        }
    }

    fn split(&mut self, message: &BorrowedMessage<'_>, trace: &Trace) -> Vec<OutRecord> {
        let request = match self.refusals.decode(message, || trace.clone()) {
            Ok(request) => request,
            Err(records) => return records,
        };
        match split(&request, self.limits, &self.served) {
            Ok(split) => self.records(message, &request, split, trace),
            Err(error) => self.refusals.whole(message, Some(&request), &error, trace),
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
            // Nothing else was requested, so the request is dead-lettered as it is.
            return self.refusals.whole(message, Some(request), error, trace);
        }
        let mut records = self.jobs(message, &jobs, trace);
        let answers = refused.iter().map(|(target, error)| {
            self.refusals
                .encoder()
                .refusal(request, target, error, trace)
        });
        records.extend(answers);
        // The other targets have jobs: the dead letter asks only for the refused ones.
        let targets: Vec<String> = refused.iter().map(|(target, _)| target.clone()).collect();
        let left = record::json(&request.only_for_all(&targets));
        records.push(self.refusals.letter(message, left, error, trace));
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
    fn request_trace(
        &self,
        message: &BorrowedMessage<'_>,
        trace: &Trace,
        records: &[OutRecord],
    ) -> Option<Box<RequestTrace>> {
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
            asked: None,
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
        let request_trace = self.request_trace(message, &trace, &records);
        // Each job holds the text again.
        let copies = records.len().max(1) as u64;
        let weight = weight(message).saturating_mul(copies);
        let completed = Completed::Records {
            records,
            request_trace,
        };
        self.completed.push(ticket, completed);
        weight
    }

    fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    fn completed(&mut self) -> &mut CompletedBatch {
        &mut self.completed
    }

    fn flush(&mut self) {
        self.completed.flush(&self.publisher_handle);
    }
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
