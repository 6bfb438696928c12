//! The transactional producers of a publisher, one of which is used at a time.
//!
//! A transaction that holds a record for a partition that cannot be written does not end, not even by being given up, before that partition can be
//! written again: its marker is written there too. Until then its `transactional.id` is unusable, and the publisher
//! continues with another one. When the id becomes usable again, the partition is writable.
//!
//! No offset is committed under an id that is left: it is left only before offsets are sent. The group generation
//! ensures that a partition has one owner, independent of the id.

use std::time::{Duration, Instant};

use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError, producer::Producer};

use super::reports::Reports;
use crate::polled_producer::PolledProducer;

/// Most ids of one publisher.
const MOST: u32 = 8;
/// How often it is looked whether an id can be used again, and for how long each time.
const LOOK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_millis(10));

/// Creates producers, and tracks blocked ids.
pub(super) struct Producers {
    config: ClientConfig,
    /// The id in use.
    current: u32,
    blocked: Vec<BlockedTransaction>,
    looked: Instant,
}

/// An id whose transaction does not end.
struct BlockedTransaction {
    number: u32,
    producer: PolledProducer<Reports>,
}

impl Producers {
    pub(super) fn new(config: ClientConfig) -> Self {
        Self {
            config,
            current: 0,
            blocked: Vec::new(),
            looked: Instant::now(),
        }
    }

    /// Number of the id in use.
    pub(super) const fn current(&self) -> u32 {
        self.current
    }

    /// Another producer with the same id.
    pub(super) fn again(&self) -> anyhow::Result<PolledProducer<Reports>> {
        self.make(self.current)
    }

    /// A producer with another id, if there is one that is not held up.
    pub(super) fn next(&mut self) -> anyhow::Result<PolledProducer<Reports>> {
        let next = next(self.current, |number| {
            self.blocked.iter().any(|held| held.number == number)
        });
        let producer = self.make(next)?;
        self.current = next;
        Ok(producer)
    }

    /// A producer with the first id. Where the cluster allows only one id, it is this one.
    pub(super) fn first(&mut self) -> anyhow::Result<PolledProducer<Reports>> {
        self.blocked.retain(|held| held.number != 0);
        self.current = 0;
        self.again()
    }

    /// Starts to check whether an id can be used again.
    pub(super) fn watch(&mut self, number: u32) {
        let mut quiet = self.config_of(number);
        // It would say several times a second that the transaction has not ended.
        quiet.set_log_level(RDKafkaLogLevel::Error);
        if number != self.current
            && let Ok(producer) = PolledProducer::new(&quiet, Reports::default())
        {
            self.blocked.push(BlockedTransaction { number, producer });
        }
    }

    /// Whether more than half of the ids can be used.
    pub(super) const fn has_spare(&self) -> bool {
        self.blocked.len() < MOST as usize / 2
    }

    /// The ids that can be used again, each once.
    pub(super) fn ended(&mut self) -> Vec<u32> {
        let (every, within) = LOOK;
        if self.blocked.is_empty() || self.looked.elapsed() < every {
            return Vec::new();
        }
        self.looked = Instant::now();
        let has_ended =
            |held: &mut BlockedTransaction| match held.producer.init_transactions(within) {
                Ok(()) => true,
                Err(KafkaError::Transaction(error)) => error.is_fatal() || !error.is_retriable(),
                Err(_) => true,
            };
        let ended = self.blocked.extract_if(.., has_ended);
        ended.map(|held| held.number).collect()
    }

    fn make(&self, number: u32) -> anyhow::Result<PolledProducer<Reports>> {
        PolledProducer::new(&self.config_of(number), Reports::default())
    }

    fn config_of(&self, number: u32) -> ClientConfig {
        let mut config = self.config.clone();
        if let Some(id) = self.config.get("transactional.id") {
            config.set("transactional.id", name(id, number));
        }
        config
    }
}

/// The name of an id. No node is named like the later ones.
fn name(id: &str, number: u32) -> String {
    match number {
        0 => id.to_owned(),
        number => format!("{id}~{number}"),
    }
}

/// The number after `current`, in a circle, of an id that is not held up; `current` if there is none.
fn next(current: u32, is_blocked: impl Fn(u32) -> bool) -> u32 {
    let others = (1..MOST).map(|step| (current + step) % MOST);
    let mut free = others.filter(|number| !is_blocked(*number));
    free.next().unwrap_or(current)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_next_id_is_another_one_that_is_free_if_there_is_one(
            current in 0..MOST,
            blocked in prop::collection::btree_set(0..MOST, 0..MOST as usize),
        ) {
            let next = next(current, |number| blocked.contains(&number));
            let free: BTreeSet<_> = (0..MOST).filter(|n| *n != current && !blocked.contains(n)).collect();
            prop_assert!(free.contains(&next) || free.is_empty() && next == current);
            let names: BTreeSet<_> = (0..MOST).map(|number| name("id", number)).collect();
            prop_assert!(names.len() == MOST as usize && names.contains("id"));
        }
    }
}
