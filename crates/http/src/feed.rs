//! Recent events for the dashboard.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use babelmesh_actors::events::{Event, Observer};
use serde::Serialize;

use babelmesh_telemetry::{events::stop_reason, status::MemberState};

/// Most events of a kind that are kept: a storm of failures does not push out how the pools were scaled.
const KEPT: usize = 200;
/// Longest text of an event, in characters.
const LONGEST: usize = 300;

/// Kinds of dashboard events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    /// Another node came or went.
    Cluster,
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
    /// Actors wanted before and after.
    pub(crate) change: Option<[u64; 2]>,
    pub(crate) text: String,
}

/// Remembers the last events of actors, except those that are counted only.
#[derive(Debug, Default)]
pub struct Feed(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    entries: BTreeMap<Kind, VecDeque<Entry>>,
    next: u64,
}

impl Feed {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept of the entries from a number on, and the number of the next one.
    pub(crate) fn since(&self, number: u64) -> (Vec<Entry>, u64) {
        let seen = self.seen();
        let all = seen.entries.values().flatten();
        let mut newer: Vec<_> = all.filter(|e| e.number >= number).cloned().collect();
        newer.sort_unstable_by_key(|entry| entry.number);
        (newer, seen.next)
    }

    /// Another node is in another state than before.
    pub(super) fn member_changed(&self, node: &str, state: MemberState) {
        let text = match state {
            MemberState::Left => format!("{node} left the cluster"),
            _ => format!("{node} is {}", state.name()),
        };
        self.add(Kind::Cluster, "", text);
    }

    fn add(&self, kind: Kind, pool: &str, text: String) {
        self.add_change(kind, pool, None, text);
    }

    fn add_change(&self, kind: Kind, pool: &str, change: Option<[u64; 2]>, text: String) {
        let mut seen = self.seen();
        let number = seen.next;
        seen.next += 1;
        let entries = seen.entries.entry(kind).or_default();
        if entries.len() == KEPT {
            entries.pop_front();
        }
        entries.push_back(Entry {
            number,
            at_ms: now_ms(),
            kind,
            pool: pool.to_owned(),
            change,
            text: text.chars().take(LONGEST).collect(),
        });
    }

    fn intake(&self, change: &str, tokens: u64) {
        let text = format!("intake {change}, {tokens} tokens queued");
        self.add(Kind::Intake, "", text);
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
                let text = format!("{from} → {to} actors: {reason}");
                self.add_change(
                    Kind::Scaling,
                    pool,
                    Some([*from as u64, u64::from(to)]),
                    text,
                );
            }
            Event::ActorReady {
                pool,
                actor,
                cold_start,
                ..
            } => {
                let seconds = cold_start.as_secs_f32();
                let text = format!("{actor} ready after {seconds:.1} s");
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
                let text = format!("{actor} failed ({requeued} segments requeued): {error}");
                self.add(Kind::Failure, pool, text);
            }
            Event::TextPoisoned {
                pool, message_id, ..
            } => {
                let text = format!("poison text in message {message_id}");
                self.add(Kind::Failure, pool, text);
            }
            Event::PanicContained { stage, panic } => {
                let text = format!("contained a panic in {}: {panic}", stage.name());
                self.add(Kind::Failure, "", text);
            }
            Event::JobsRefused { pool, jobs } => {
                let text = format!("jobs rejected, deadline too short for the queue: {jobs}");
                self.add(Kind::Failure, pool, text);
            }
            Event::JobsExpired { pool, jobs } => {
                let text = format!("jobs with expired deadline: {jobs}");
                self.add(Kind::Failure, pool, text);
            }
            Event::JobsRetried {
                code, jobs, after, ..
            } => {
                let (code, seconds) = (code.name(), after.as_secs_f32());
                let text = format!("{jobs} jobs retried in {seconds:.1} s: {code}");
                self.add(Kind::Failure, "", text);
            }
            Event::IntakePaused { tokens } => self.intake("paused", *tokens),
            Event::IntakeResumed { tokens } => self.intake("resumed", *tokens),
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
        let (pool, jobs) = ("m".into(), 1);
        feed.observe(&Event::JobsExpired { pool, jobs });
        feed.observe(&Event::IntakePaused { tokens: 1 });
        let (all, _) = feed.since(0);
        let numbers: Vec<_> = all.iter().map(|entry| entry.number).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert_eq!(all.len(), KEPT + 1, "each kind has room of its own");
    }
}
