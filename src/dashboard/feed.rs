//! What happened lately, for people who look.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use babelmesh_actors::events::{Event, Observer};
use serde::Serialize;

use crate::events::stop_reason;

/// Most events that are kept.
const KEPT: usize = 200;
/// Longest text of an event, in characters.
const LONGEST: usize = 300;

/// What a dashboard marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The number of actors wanted changed.
    Scaling,
    /// An actor came or went.
    Actor,
    /// Something failed.
    Failure,
    /// Reading stopped, or went on.
    Intake,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    /// Grows by one with each.
    pub(crate) number: u64,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    pub(crate) kind: Kind,
    /// Pool; empty where there is none.
    pub(crate) pool: String,
    pub(crate) text: String,
}

/// Remembers the last events of actors, except those that are counted only.
#[derive(Debug, Default)]
pub(crate) struct Feed(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    entries: VecDeque<Entry>,
    next: u64,
}

impl Feed {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept of the entries from a number on, and the number of the next one.
    pub(crate) fn since(&self, number: u64) -> (Vec<Entry>, u64) {
        let seen = self.seen();
        let newer = seen.entries.iter().filter(|e| e.number >= number);
        (newer.cloned().collect(), seen.next)
    }

    fn add(&self, kind: Kind, pool: &str, text: String) {
        let mut seen = self.seen();
        let number = seen.next;
        seen.next += 1;
        if seen.entries.len() == KEPT {
            seen.entries.pop_front();
        }
        seen.entries.push_back(Entry {
            number,
            at_ms: now_ms(),
            kind,
            pool: pool.to_owned(),
            text: text.chars().take(LONGEST).collect(),
        });
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

impl Observer for Feed {
    fn observe(&self, event: &Event) {
        match event {
            Event::Scaled {
                pool,
                from,
                decision,
            } => {
                let (to, reason) = (decision.target, decision.reason.label());
                let reason = reason.replace('_', " ");
                self.add(Kind::Scaling, pool, format!("{from} → {to}: {reason}"));
            }
            Event::ActorReady {
                pool,
                actor,
                cold_start,
                ..
            } => {
                let seconds = cold_start.as_secs_f32();
                let text = format!("{actor} is warm after {seconds:.1} s");
                self.add(Kind::Actor, pool, text);
            }
            Event::ActorStopped {
                pool,
                actor,
                reason,
            } => {
                let text = format!("{actor} stops: {}", stop_reason(*reason));
                self.add(Kind::Actor, pool, text);
            }
            Event::ActorFailed {
                pool,
                actor,
                error,
                requeued,
                ..
            } => {
                let text = format!("{actor} failed, {requeued} segments queued again: {error}");
                self.add(Kind::Failure, pool, text);
            }
            Event::TextPoisoned {
                pool, message_id, ..
            } => {
                let text = format!("the text of message {message_id} makes the engine fail");
                self.add(Kind::Failure, pool, text);
            }
            Event::JobsExpired { pool, jobs } => {
                let text = format!("{jobs} deadlines passed");
                self.add(Kind::Failure, pool, text);
            }
            Event::JobsRetried {
                code, jobs, after, ..
            } => {
                let (code, seconds) = (code.name(), after.as_secs_f32());
                let text = format!("{jobs} jobs are tried again in {seconds:.1} s: {code}");
                self.add(Kind::Failure, "", text);
            }
            Event::IntakePaused { tokens } => {
                let text = format!("reading stops, {tokens} tokens wait");
                self.add(Kind::Intake, "", text);
            }
            Event::IntakeResumed { tokens } => {
                let text = format!("reading goes on, {tokens} tokens wait");
                self.add(Kind::Intake, "", text);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feed_keeps_the_newest_events_and_numbers_all() {
        let feed = Feed::default();
        for tokens in 0..500 {
            feed.observe(&Event::IntakePaused { tokens });
        }
        let (all, next) = feed.since(0);
        assert_eq!((all.len(), next), (KEPT, 500));
        assert_eq!(all.last().map(|entry| entry.number), Some(499));
        let (newer, _) = feed.since(498);
        assert_eq!(newer.len(), 2);
    }
}
