//! Which source partitions wait because their next answer goes to an unwritable topic. Pure: executed by the
//! deliveries.
//!
//! A topic is blocked when records for it are not taken. A source partition is parked while its first answer goes to a blocked topic; all others go
//! on. A blocked topic falls due: after a pause, or when the brokers have ended the transaction that it had held up. Then the first answers of the
//! partitions that wait for it are tried, alone. Jobs do not wait indefinitely: if their topic stays blocked they are
//! answered with an error.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Publishing,
    partition::{Partition, Partitions},
    topic_failures::{Reason, Scope, TopicFailure},
    waiting_partitions::Waiting,
};
use crate::record::OutRecord;

/// Initial and maximum pause before a blocked topic is retried.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));
/// Pause, for each failure, before a topic is tried again although its transaction has not ended.
const HELD_UP_PAUSE: Duration = Duration::from_secs(30);
/// A due topic without pending records is forgotten after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// How long it is shown to operators while it is due.
const SHOWN_FOR: Duration = Duration::from_secs(2);

/// How long answers wait for topics that cannot be written.
#[derive(Debug, Clone, Copy)]
pub struct WriteTimeouts {
    /// A topic that takes nothing for so long is blocked.
    pub block_after: Duration,
    /// Jobs for a topic that has been blocked for so long are answered with an error.
    pub answer_after: Duration,
}

/// Whether an answer may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// It may.
    Free,
    /// It is to be tried, alone.
    Due,
    /// It has to wait.
    Blocked,
}

/// End condition of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// A pause, which grows with every failure.
    Pause,
    /// The end of the transaction of the producer with this number.
    Ended(u32),
}

/// The topics that are blocked.
#[derive(Debug)]
pub(super) struct Parking {
    timeouts: WriteTimeouts,
    blocks: BTreeMap<Arc<str>, Block>,
}

#[derive(Debug)]
struct Block {
    scope: Scope,
    reason: Reason,
    since: Instant,
    /// When it was found to be unwritable last.
    found: Instant,
    failures: u32,
    /// When it falls due; none while a transaction has to end first.
    due: Option<Instant>,
    /// The producer whose transaction that is.
    producer: Option<u32>,
}

impl Block {
    /// The end of the pause after it was found to be unwritable.
    fn after_pause(&self) -> Instant {
        let (first, most) = PAUSE;
        let doublings = self.failures.saturating_sub(1).min(10);
        self.found + first.saturating_mul(1 << doublings).min(most)
    }

    fn verdict(&self, source: u32, now: Instant) -> Verdict {
        let is_meant = match &self.scope {
            Scope::All => true,
            Scope::Only(sources) => sources.contains(&source),
        };
        match self.due {
            _ if !is_meant => Verdict::Free,
            Some(due) if due <= now => Verdict::Due,
            _ => Verdict::Blocked,
        }
    }
}

impl Parking {
    pub(super) const fn new(timeouts: WriteTimeouts) -> Self {
        Self {
            timeouts,
            blocks: BTreeMap::new(),
        }
    }

    pub(super) const fn timeouts(&self) -> WriteTimeouts {
        self.timeouts
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether an answer to a record of `source` may be written to a topic.
    pub(super) fn verdict(&self, topic: &str, source: u32, now: Instant) -> Verdict {
        let block = self.blocks.get(topic);
        block.map_or(Verdict::Free, |block| block.verdict(source, now))
    }

    /// Whether a job for this topic has to be answered with an error: its topic has been blocked for too long, or needs an operator.
    pub(super) fn is_given_up(&self, topic: &str, source: u32, now: Instant) -> bool {
        self.blocks.get(topic).is_some_and(|block| {
            let is_late = now.saturating_duration_since(block.since) >= self.timeouts.answer_after;
            (is_late || block.reason.needs_operator())
                && block.verdict(source, now) == Verdict::Blocked
        })
    }

    /// Like [`Parking::verdict`], for a record; also considers the health of its topic.
    pub(super) fn judge(
        &self,
        source: u32,
        record: &OutRecord,
        with: &Publishing,
        now: Instant,
    ) -> Verdict {
        match with.topics.is_unavailable(&record.topic) {
            true => Verdict::Blocked,
            false => self.verdict(&record.topic, source, now),
        }
    }

    /// Notes that a partition waits, if one of its next answers may not be written now.
    pub(super) fn note<'r>(
        &self,
        waiting: &mut Waiting,
        (id, partition): (u32, &Partition),
        mut answers: impl Iterator<Item = &'r OutRecord>,
        (with, now): (&Publishing, Instant),
    ) {
        let is_free = |record: &OutRecord| self.judge(id, record, with, now) == Verdict::Free;
        if let Some(record) = answers.find(|record| !is_free(record)) {
            waiting.add(id, partition, &record.topic, self.reason(&record.topic));
        }
    }

    /// Answers the jobs that are not to wait any longer.
    pub(super) fn answer(&self, partitions: &mut Partitions, with: &Publishing, now: Instant) {
        if self.is_empty() && !with.topics.has_unavailable() {
            return;
        }
        partitions.answer_unavailable(&with.encoder, |source, record| {
            with.topics.is_unavailable(&record.topic)
                || self.is_given_up(&record.topic, source, now)
        });
    }

    /// Blocks a topic that cannot be written. The latest failure decides whether all of it is blocked or only some source partitions.
    pub(super) fn block(&mut self, topic_failure: TopicFailure, until: Until, now: Instant) {
        let block = self.blocks.entry(topic_failure.topic).or_insert(Block {
            scope: Scope::Only(BTreeSet::new()),
            reason: topic_failure.reason,
            since: now,
            found: now,
            failures: 0,
            due: None,
            producer: None,
        });
        block.scope = match (topic_failure.scope, &mut block.scope) {
            // Source partitions that were blocked before stay blocked.
            (Scope::Only(mut new), Scope::Only(old)) => {
                new.append(old);
                Scope::Only(new)
            }
            (new, _) => new,
        };
        (block.reason, block.found) = (topic_failure.reason, now);
        block.failures = block.failures.saturating_add(1);
        (block.due, block.producer) = match until {
            Until::Pause => (Some(block.after_pause()), None),
            Until::Ended(producer) => (None, Some(producer)),
        };
    }

    /// The transaction of a producer has ended.
    pub(super) fn ended(&mut self, producer: u32, now: Instant) {
        for block in self.blocks.values_mut() {
            if block.producer == Some(producer) {
                (block.due, block.producer) = (Some(now.max(block.after_pause())), None);
            }
        }
    }

    /// Report timeout while a blocked topic is tried. Everything else waits meanwhile, so it is short at first and grows with each failure.
    pub(super) fn trial_timeout(&self, topic: &str) -> Duration {
        let failures = self.blocks.get(topic).map_or(1, |block| block.failures);
        self.timeouts.block_after * failures.clamp(1, 4) / 4
    }

    /// Makes topics due whose transactions have not ended for long: brokers may never end one. Each attempt may block
    /// another producer.
    pub(super) fn try_held_up(&mut self, now: Instant) {
        for block in self.blocks.values_mut() {
            let pause = HELD_UP_PAUSE.saturating_mul(block.failures.clamp(1, 20));
            if block.producer.is_some() && now.saturating_duration_since(block.found) >= pause {
                (block.due, block.producer) = (Some(now), None);
            }
        }
    }

    /// A topic took an answer to a record of `source`. The other partitions of a topic that was blocked as a whole are tried next.
    pub(super) fn written(&mut self, topic: &str, source: u32) {
        if self.blocks.is_empty() {
            return;
        }
        let is_over = self.blocks.get_mut(topic).is_some_and(|block| {
            if let Scope::Only(sources) = &mut block.scope {
                sources.remove(&source);
                return sources.is_empty();
            }
            true
        });
        if is_over {
            self.blocks.remove(topic);
        }
    }

    /// A source partition is gone.
    pub(super) fn dropped(&mut self, source: u32) {
        self.blocks.retain(|_, block| match &mut block.scope {
            Scope::All => true,
            Scope::Only(sources) => {
                sources.remove(&source);
                !sources.is_empty()
            }
        });
    }

    /// Forgets topics that have been due for long without pending records.
    pub(super) fn forget(&mut self, now: Instant) {
        let is_recent = |due: Instant| now.saturating_duration_since(due) < FORGOTTEN_AFTER;
        self.blocks
            .retain(|_, block| block.due.is_none_or(is_recent));
    }

    /// The topics that operators are to know of, and why they are blocked. A due one without pending records may be
    /// writable again.
    pub(super) fn blocked(&self, now: Instant) -> impl Iterator<Item = (&Arc<str>, Reason)> {
        let is_shown = move |due: Instant| now < due + SHOWN_FOR;
        let blocks = self.blocks.iter();
        blocks
            .filter(move |(_, block)| block.due.is_none_or(is_shown))
            .map(|(topic, block)| (topic, block.reason))
    }

    /// Why a topic is blocked.
    pub(super) fn reason(&self, topic: &str) -> Option<Reason> {
        self.blocks.get(topic).map(|block| block.reason)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::publisher::topic_failures;

    const TIMEOUTS: WriteTimeouts = WriteTimeouts {
        block_after: Duration::from_secs(4),
        answer_after: Duration::from_secs(30),
    };

    fn whole(topic: &str, reason: Reason) -> TopicFailure {
        TopicFailure {
            topic: Arc::from(topic),
            scope: Scope::All,
            reason,
        }
    }

    proptest! {
        #[test]
        fn a_failed_topic_is_blocked_becomes_due_within_the_longest_pause_and_is_free_once_written(
            runs in prop::collection::vec(topic_failures::tests::run(), 1..8),
        ) {
            let mut parking = Parking::new(TIMEOUTS);
            let mut now = Instant::now();
            let mut blamed = BTreeSet::new();
            for sent in &runs {
                for topic_failure in topic_failures::refusing(sent) {
                    let sources: Vec<_> = match &topic_failure.scope {
                        Scope::All => (0..4).collect(),
                        Scope::Only(sources) => sources.iter().copied().collect(),
                    };
                    let topic = Arc::clone(&topic_failure.topic);
                    parking.block(topic_failure, Until::Pause, now);
                    for source in sources {
                        prop_assert_eq!(parking.verdict(&topic, source, now), Verdict::Blocked);
                    }
                    blamed.insert(topic);
                }
                now += Duration::from_millis(100);
            }
            for topic in ["results", "letters", "jobs.de", "jobs.fr"] {
                for source in 0..4 {
                    let verdict = parking.verdict(topic, source, now + PAUSE.1);
                    prop_assert!(verdict != Verdict::Blocked);
                    prop_assert!(blamed.contains(topic) || verdict == Verdict::Free);
                    parking.written(topic, source);
                    prop_assert_eq!(parking.verdict(topic, source, now), Verdict::Free);
                }
            }
            prop_assert!(parking.is_empty());
        }
    }

    #[test]
    fn a_topic_that_holds_up_a_transaction_is_due_when_that_has_ended() {
        let (mut parking, now) = (Parking::new(TIMEOUTS), Instant::now());
        assert_eq!(parking.trial_timeout("a"), TIMEOUTS.block_after / 4);
        parking.block(whole("a", Reason::Silent), Until::Ended(2), now);
        parking.ended(2, now);
        assert_eq!(
            parking.verdict("a", 0, now),
            Verdict::Blocked,
            "there is a pause"
        );
        assert_eq!(parking.verdict("a", 0, now + PAUSE.0), Verdict::Due);
        parking.block(whole("a", Reason::Silent), Until::Ended(3), now);
        assert_eq!(parking.trial_timeout("a"), TIMEOUTS.block_after / 2);
        let later = now + Duration::from_secs(3600);
        parking.ended(2, now);
        assert_eq!(parking.verdict("a", 0, later), Verdict::Blocked);
        parking.try_held_up(now + HELD_UP_PAUSE / 2);
        assert_eq!(parking.verdict("a", 0, later), Verdict::Blocked);
        let mut tried = Parking::new(TIMEOUTS);
        tried.block(whole("a", Reason::Silent), Until::Ended(3), now);
        tried.try_held_up(now + HELD_UP_PAUSE);
        let verdict = tried.verdict("a", 0, now + HELD_UP_PAUSE);
        assert_eq!(verdict, Verdict::Due, "brokers may never end it");
        parking.ended(3, later);
        assert_eq!(parking.verdict("a", 0, later), Verdict::Due);
        assert_eq!(parking.verdict("b", 0, later), Verdict::Free);
        parking.written("a", 5);
        assert_eq!(parking.verdict("a", 0, later), Verdict::Free);
    }

    #[test]
    fn a_partition_of_a_topic_blocks_only_the_sources_that_write_to_it() {
        let (mut parking, now) = (Parking::new(TIMEOUTS), Instant::now());
        let only = |source| TopicFailure {
            scope: Scope::Only([source].into()),
            ..whole("a", Reason::Silent)
        };
        parking.block(only(1), Until::Pause, now);
        parking.block(only(2), Until::Pause, now);
        let verdicts = |parking: &Parking| [0, 1, 2].map(|s| parking.verdict("a", s, now));
        let (free, blocked) = (Verdict::Free, Verdict::Blocked);
        assert_eq!(verdicts(&parking), [free, blocked, blocked]);
        parking.written("a", 1);
        assert_eq!(verdicts(&parking), [free, free, blocked]);
        parking.dropped(2);
        assert!(parking.is_empty());
    }

    #[test]
    fn jobs_wait_for_a_while_but_not_for_an_operator_and_not_while_their_topic_is_tried() {
        let (mut parking, now) = (Parking::new(TIMEOUTS), Instant::now());
        let denied = Reason::Refused(rdkafka::error::RDKafkaErrorCode::TopicAuthorizationFailed);
        parking.block(whole("denied", denied), Until::Pause, now);
        parking.block(whole("silent", Reason::Silent), Until::Ended(0), now);
        assert!(parking.is_given_up("denied", 0, now));
        assert!(!parking.is_given_up("silent", 0, now));
        assert!(parking.is_given_up("silent", 0, now + TIMEOUTS.answer_after));
        let due = now + PAUSE.1;
        assert_eq!(parking.verdict("denied", 0, due), Verdict::Due);
        assert!(!parking.is_given_up("denied", 0, due));
        let shown = |at| {
            parking
                .blocked(at)
                .map(|(topic, _)| &**topic)
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(now + PAUSE.0), ["denied", "silent"]);
        assert_eq!(shown(now + PAUSE.0 + SHOWN_FOR), ["silent"]);
        assert!(parking.reason("denied").is_some());
        parking.forget(due + FORGOTTEN_AFTER);
        assert!(!parking.is_empty(), "a transaction has to end");
        assert_eq!(parking.verdict("denied", 0, due), Verdict::Free);
    }
}
