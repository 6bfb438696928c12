//! A run whose records were not all acknowledged.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::{ABORTING, Machine, State};
use crate::publisher::{
    Next,
    parking::Until,
    reports::{RecordStatus, Report},
    run::{Place, Run},
    topic_failures::{self, Sent, TopicFailure},
    transactions::protocol::{Effect, Then},
};

impl Machine {
    /// Timeout for a report, counted from the last record that was sent or reported: slow brokers do not count as silent.
    pub(super) fn silent_after(&self, run: &Run) -> Option<Duration> {
        if run.is_trial() {
            let topics = run.places().iter().map(|place| &place.topic);
            return topics.map(|topic| self.parking.trial_timeout(topic)).max();
        }
        Some(self.parking.timeouts().block_after)
    }

    /// Some records are not reported. Their topics are blocked; if no record at all is reported, only when that happens again under another id.
    pub(super) fn silent(
        &mut self,
        run: &Run,
        sent: &[Sent],
        brokers_answer: bool,
        effects: &mut Vec<Effect>,
        now: Instant,
    ) -> Then {
        let mut failures = topic_failures::silent(sent);
        if failures.is_empty() {
            if !run.is_trial() && !brokers_answer {
                // The brokers cannot be reached: that says nothing of topics.
                return Then::Return(Next::Now);
            }
            if run.is_trial() || self.was_silent {
                failures = topic_failures::all_silent(sent);
            }
        }
        self.was_silent = failures.is_empty();
        if sent.iter().any(|sent| sent.status == RecordStatus::Taken) {
            // The next run is smaller, so that it waits for fewer reports.
            self.limit = (run.len() / 2).max(1);
        }
        let error = "some topics accept no records".to_owned();
        effects.push(Effect::TellAborting(error));
        self.block(failures, Until::Ended(self.id), now);
        self.state = State::Aborting { leaving: Some(now) };
        Then::Proceed
    }

    /// Some records failed. A record that was rejected permanently is replaced by a smaller one. Brokers reject whole batches: if several records are
    /// rejected, the run is halved until the cause is found.
    pub(super) fn not_taken(
        &mut self,
        run: &Run,
        sent: &[Sent],
        effects: &mut Vec<Effect>,
        now: Instant,
    ) -> Then {
        self.state = ABORTING;
        let is_refused =
            |status| matches!(status, RecordStatus::Failed(code) if Report::is_refusal(code));
        let places = run.places().iter().zip(sent);
        let refused: Vec<&Place> = places
            .filter(|(_, sent)| is_refused(sent.status))
            .map(|(place, _)| place)
            .collect();
        match refused.as_slice() {
            [] => self.not_written(sent, effects, now),
            [place] => {
                effects.push(Effect::ReplaceRefused((*place).clone()));
                Then::Proceed
            }
            [_, ..] => {
                self.limit = (run.len() / 2).max(1);
                Then::Proceed
            }
        }
    }

    /// Some records were not taken, for reasons that may pass.
    fn not_written(&mut self, sent: &[Sent], effects: &mut Vec<Effect>, now: Instant) -> Then {
        let codes = sent.iter().filter_map(|sent| match sent.status {
            RecordStatus::Failed(code) => Some(code),
            RecordStatus::Pending | RecordStatus::Taken => None,
        });
        let error = codes.max_by_key(|code| *code == RDKafkaErrorCode::MessageTimedOut);
        let error = error.unwrap_or(RDKafkaErrorCode::Fail);
        let failures = topic_failures::refusing(sent);
        if !failures.is_empty() {
            self.block(failures, Until::Pause, now);
        } else if error == RDKafkaErrorCode::MessageTimedOut {
            let silent = topic_failures::silent(sent);
            if silent.is_empty() {
                // Brokers were away for a whole transaction. When they are back, librdkafka does not always find the partitions' leaders again.
                return self.replace(error.to_string(), effects, now);
            }
            self.block(silent, Until::Ended(self.id), now);
            self.state = State::Aborting { leaving: Some(now) };
            return Then::Proceed;
        } else {
            self.retries.pause(now);
        }
        effects.push(Effect::TellAborting(error.to_string()));
        Then::Proceed
    }

    fn block(&mut self, failures: Vec<TopicFailure>, until: Until, now: Instant) {
        for topic_failure in failures {
            self.parking.block(topic_failure, until, now);
        }
    }
}
