//! Whether a client is deaf: it knows no broker any more.
//!
//! librdkafka forgets every broker that an answer about the cluster does not name. A cluster that names none, because its brokers were given up by
//! their controllers for a moment, leaves a client without anybody to ask, for ever (its issue 5301). Brokers that are away are
//! something else: they are known, and tried again. A deaf client has to be replaced.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::statistics::Statistics;

/// How long a client must have known no broker. It begins again at its configured ones by itself, if at all, within milliseconds.
const FOR_GOOD: Duration = Duration::from_secs(3);

/// Since when a client knows no broker, if so.
#[derive(Debug, Default)]
pub(super) struct Hearing(Mutex<Option<Instant>>);

impl Hearing {
    /// Takes a client's statistics, which come every second.
    pub(super) fn statistics(&self, statistics: &Statistics) {
        self.statistics_at(statistics, Instant::now());
    }

    /// Whether the client will never hear of a broker again.
    pub(super) fn is_deaf(&self) -> bool {
        self.is_deaf_at(Instant::now())
    }

    fn statistics_at(&self, statistics: &Statistics, now: Instant) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *since = match statistics.knows_a_broker() {
            true => None,
            false => Some(since.unwrap_or(now)),
        };
    }

    fn is_deaf_at(&self, now: Instant) -> bool {
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| now.duration_since(since) >= FOR_GOOD)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn statistics(sources: &[&str]) -> Statistics {
        let brokers = sources.iter().enumerate();
        let brokers: serde_json::Map<_, _> = brokers
            .map(|(i, source)| {
                (
                    format!("b{i}"),
                    serde_json::json!({"source": source, "state": "DOWN"}),
                )
            })
            .collect();
        let json = serde_json::json!({"name": "c", "brokers": brokers}).to_string();
        Statistics::read(json.as_bytes()).unwrap()
    }

    #[test]
    fn brokers_that_are_away_are_known_and_roles_are_no_brokers() {
        assert!(statistics(&["configured"]).knows_a_broker());
        assert!(statistics(&["logical", "learned"]).knows_a_broker());
        assert!(!statistics(&["logical", "internal"]).knows_a_broker());
        assert!(!statistics(&[]).knows_a_broker());
    }

    proptest! {
        #[test]
        fn it_is_deaf_exactly_when_it_knew_no_broker_for_so_long(
            seconds in prop::collection::vec(any::<bool>(), 0..30),
        ) {
            let (hearing, began) = (Hearing::default(), Instant::now());
            for (second, knows) in seconds.iter().enumerate() {
                let now = began + Duration::from_secs(second as u64);
                let source: &[&str] = if *knows { &["learned"] } else { &["logical"] };
                hearing.statistics_at(&statistics(source), now);
                let silent = seconds[..=second].iter().rev().take_while(|knows| !**knows).count();
                prop_assert_eq!(hearing.is_deaf_at(now), silent > FOR_GOOD.as_secs() as usize);
            }
        }
    }
}
