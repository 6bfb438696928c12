//! Handling of a run whose records were not all acknowledged.

use std::time::Instant;

use babelmesh_telemetry::events::NodeEvent;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::Producer,
};

use super::{
    State, Step, Transactions,
    commit_outcome::{committed, settle},
};
use crate::publisher::{
    Publishing,
    parking::Until,
    partition::Partitions,
    refusal::replace_refused,
    reports::{RecordStatus, Report},
    run::{Place, Run},
    topic_failures::{self, Sent, TopicFailure},
};

/// Why the id of a producer is left.
const BLOCKED: &str = "the transaction cannot end until a topic is writable again; continuing with another transactional.id";

impl Transactions {
    /// Whether too much time has passed since the last record was sent or reported: brokers that are slow are not silent.
    pub(super) fn is_silent(&self, run: &Run) -> bool {
        let heard = self.producer.context().heard();
        let elapsed = heard
            .map_or(self.wrote, |heard| heard.max(self.wrote))
            .elapsed();
        if run.is_trial() {
            let topics = run.places().iter().map(|place| &place.topic);
            let timeouts = topics.map(|topic| self.parking.trial_timeout(topic));
            return timeouts.max().is_some_and(|timeout| elapsed > timeout);
        }
        elapsed > self.parking.timeouts().block_after
    }

    /// Nothing is heard of some records. The topics that they go to are blocked; if nothing is heard of any, only when that happens under another id too.
    pub(super) fn silent(&mut self, run: Run, with: &Publishing) -> Step {
        let sent = self.sent(&run);
        let mut failures = topic_failures::silent(&sent);
        if failures.is_empty() {
            if !run.is_trial() && !with.topics.have_answered_since(self.wrote) {
                // The brokers cannot be reached: that says nothing of topics.
                self.state = State::Open(run);
                return Step::Reports;
            }
            if run.is_trial() || self.was_silent {
                failures = topic_failures::all_silent(&sent);
            }
        }
        self.was_silent = failures.is_empty();
        if sent.iter().any(|sent| sent.status == RecordStatus::Taken) {
            // What comes behind need not wait for as much.
            self.limit = (run.len() / 2).max(1);
        }
        NodeEvent::TransactionAborted {
            error: "some topics accept no records",
        }
        .emit();
        self.block(failures, Until::Ended(self.producers.current()));
        self.leaving = Some(Instant::now());
        self.state = State::Aborting;
        Step::On
    }

    /// Some records were not taken. One that never will be is replaced by something smaller. Brokers refuse whole batches: where several are refused, the
    /// run is halved until the one is found.
    pub(super) fn not_taken(
        &mut self,
        run: &Run,
        partitions: &mut Partitions,
        with: &Publishing,
    ) -> Step {
        let sent = self.sent(run);
        let is_refused =
            |status| matches!(status, RecordStatus::Failed(code) if Report::is_refusal(code));
        let refused = run.places().iter().zip(&sent);
        let refused: Vec<&Place> = refused
            .filter(|(_, sent)| is_refused(sent.status))
            .map(|(place, _)| place)
            .collect();
        match refused.as_slice() {
            [] => {}
            [place] => {
                if let Some(partition) = partitions.get(place.id, place.epoch) {
                    replace_refused(partition, place.offset, place.number, &with.encoder);
                }
                return Step::On;
            }
            [_, ..] => {
                self.limit = (run.len() / 2).max(1);
                return Step::On;
            }
        }
        let failures = topic_failures::refusing(&sent);
        let codes = sent.iter().filter_map(|sent| match sent.status {
            RecordStatus::Failed(code) => Some(code),
            RecordStatus::Pending | RecordStatus::Taken => None,
        });
        let error = codes.max_by_key(|code| *code == RDKafkaErrorCode::MessageTimedOut);
        let error = error.unwrap_or(RDKafkaErrorCode::Fail);
        if !failures.is_empty() {
            self.block(failures, Until::Pause);
        } else if error == RDKafkaErrorCode::MessageTimedOut {
            let silent = topic_failures::silent(&sent);
            if !silent.is_empty() {
                self.block(silent, Until::Ended(self.producers.current()));
                self.leaving = Some(Instant::now());
                return Step::On;
            }
            // Brokers were away for a whole transaction. When they are back, librdkafka does not always find the partitions' leaders again.
            return self.replace(&error.to_string(), with);
        } else {
            self.pause();
        }
        let error = &error.to_string();
        NodeEvent::TransactionAborted { error }.emit();
        Step::On
    }

    /// What is known of each record of a run.
    fn sent(&self, run: &Run) -> Vec<Sent> {
        let reports = self.producer.context();
        let statuses = reports.statuses();
        let denied = reports.denied();
        let sent = run
            .places()
            .iter()
            .zip(statuses)
            .map(|(place, status)| Sent {
                source: place.id,
                topic: place.topic.clone(),
                status: match status {
                    RecordStatus::Failed(_) if denied.contains(&*place.topic) => {
                        RecordStatus::Failed(RDKafkaErrorCode::TopicAuthorizationFailed)
                    }
                    status => status,
                },
            });
        sent.collect()
    }

    fn block(&mut self, failures: Vec<TopicFailure>, until: Until) {
        let now = Instant::now();
        for topic_failure in failures {
            self.parking.block(topic_failure, until, now);
        }
    }

    /// Goes on under another id.
    pub(super) fn leave(&mut self, with: &Publishing) -> Step {
        let left = self.producers.current();
        NodeEvent::ProducerBroken { error: BLOCKED }.emit();
        match self.producers.next() {
            Ok(producer) => {
                self.leaving = None;
                self.start_with(producer, with);
                // This also ends the transaction that is left, as soon as the brokers can: readers of other topics wait for that.
                self.producers.watch(left);
                Step::On
            }
            Err(error) => {
                let error = &error.to_string();
                NodeEvent::ProducerBroken { error }.emit();
                self.leaving = Some(Instant::now());
                self.state = State::Aborting;
                self.pause();
                Step::Wait
            }
        }
    }

    /// A producer cannot be initialised, or not yet. A transaction that its predecessor left may be held up.
    pub(super) fn not_initialised(
        &mut self,
        error: &KafkaError,
        partitions: &mut Partitions,
        with: &Publishing,
    ) -> Step {
        let is_retriable = matches!(error, KafkaError::Transaction(e) if e.is_retriable());
        if is_retriable {
            // Brokers that answer need a moment to end a transaction that was left open.
            let soon = self.began + self.parking.timeouts().block_after * 2;
            if !with.topics.have_answered_since(soon) {
                return Step::Wait;
            }
            // The brokers show offsets only of transactions that have ended for the group: those of a commit that was cut off show that it was decided, also
            // while a topic cannot take its marker.
            let ended = |run: &mut Run| committed(run, with) == Some(true);
            if let Some(run) = self.in_doubt.take_if(ended) {
                settle(&run, true, partitions, with);
            }
            if self.in_doubt.is_some() {
                self.pause();
                return Step::Wait;
            }
            return self.leave(with);
        }
        if self.producers.current() > 0 && self.in_doubt.is_none() {
            // The cluster may allow no other id than the first.
            if let Ok(producer) = self.producers.first() {
                self.pause();
                self.start_with(producer, with);
                return Step::Wait;
            }
        }
        self.failed(error, with)
    }
}
