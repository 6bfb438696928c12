//! Runtime control of a reader.

use std::{
    collections::BTreeSet,
    sync::Weak,
    thread,
    time::{Duration, Instant},
};

use rdkafka::error::KafkaResult;

use crate::member::Member;

/// Interval of checks whether partitions have been revoked.
const LOOK: Duration = Duration::from_millis(20);

/// A handle that controls a reader. If the reader has ended, every call succeeds at once.
#[derive(Clone)]
pub struct Reading(pub(super) Weak<Member>);

impl Reading {
    /// Subscribes to exactly these topics. Partitions of other topics are finished and handed over; partitions of new ones arrive with the next
    /// rebalance.
    ///
    /// # Errors
    /// When librdkafka refuses them.
    pub fn subscribe(&self, topics: &[String]) -> KafkaResult<()> {
        match self.0.upgrade() {
            Some(member) => member.subscribe(topics),
            None => Ok(()),
        }
    }

    /// Does not read these topics until told otherwise. Their partitions stay.
    pub fn hold(&self, topics: BTreeSet<String>) {
        if let Some(member) = self.0.upgrade() {
            member.assignment.hold(topics);
        }
    }

    /// Waits until no partition of these topics is left; says whether that is so. Blocks.
    #[must_use]
    pub fn have_gone(&self, topics: &[String], within: Duration) -> bool {
        let until = Instant::now() + within;
        loop {
            let Some(member) = self.0.upgrade() else {
                return true;
            };
            if !topics.iter().any(|t| member.assignment.has_any_of(t)) {
                return true;
            }
            drop(member);
            if Instant::now() > until {
                return false;
            }
            thread::sleep(LOOK);
        }
    }
}
