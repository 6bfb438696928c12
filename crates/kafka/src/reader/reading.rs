//! Runtime control of a reader.

use std::{
    collections::BTreeSet,
    sync::Weak,
    thread,
    time::{Duration, Instant},
};

use rdkafka::error::KafkaResult;

use crate::member::Member;

/// How often is looked whether partitions have gone.
const LOOK: Duration = Duration::from_millis(20);

/// A reader to talk to. Of one that has ended everything is true that is wanted here.
#[derive(Clone)]
pub struct Reading(pub(super) Weak<Member>);

impl Reading {
    /// Reads these topics from now on, and no others. Partitions of others are finished and handed over; of new ones they come when the group
    /// has found out whose they are.
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
