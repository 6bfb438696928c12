//! Broker connectivity: detects clients that have lost all brokers.
//!
//! librdkafka forgets every broker that an answer about the cluster does not name. An empty answer, for example while
//! the controller has fenced all brokers, leaves a client without any broker to ask, permanently (its issue 5301).
//! Messages queued for a forgotten broker can even keep it in a terminating state. Unreachable brokers are different:
//! they stay known and are retried. A disconnected client has to be replaced.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::statistics::Statistics;

/// How long a client must have known no broker to count as disconnected. A client that recovers by itself returns to its configured brokers within
/// milliseconds, and retries unreachable ones [within less](super::client::RECONNECT_WITHIN_MS).
const DISCONNECTED_AFTER: Duration = Duration::from_secs(3);

/// Whether a client knows a broker.
#[derive(Debug, Default)]
pub(super) struct BrokerConnectivity(Mutex<ConnectivityState>);

#[derive(Debug, Default)]
struct ConnectivityState {
    /// Since when it knows none.
    silent_since: Option<Instant>,
    /// Its last report.
    last: Statistics,
}

impl BrokerConnectivity {
    /// Takes a client's statistics, which come every second.
    pub(super) fn statistics(&self, statistics: Statistics) {
        self.statistics_at(statistics, Instant::now());
    }

    /// Whether the client has lost all brokers permanently.
    pub(super) fn is_disconnected(&self) -> bool {
        self.is_disconnected_at(Instant::now())
    }

    fn statistics_at(&self, statistics: Statistics, now: Instant) {
        let mut heard = self.heard();
        heard.silent_since = match statistics.knows_a_broker(&heard.last) {
            true => None,
            false => Some(heard.silent_since.unwrap_or(now)),
        };
        heard.last = statistics;
    }

    fn is_disconnected_at(&self, now: Instant) -> bool {
        let since = self.heard().silent_since;
        since.is_some_and(|since| now.duration_since(since) >= DISCONNECTED_AFTER)
    }

    fn heard(&self) -> MutexGuard<'_, ConnectivityState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Statistics of a second, with brokers by name, source, state, wake-ups and attempts to connect.
    fn statistics(second: u64, brokers: &[(&str, &str, &str, u64, u64)]) -> Statistics {
        let brokers = brokers
            .iter()
            .map(|(name, source, state, wakeups, connects)| {
                let broker = json!({"name": name, "source": source, "state": state,
                    "wakeups": wakeups, "connects": connects, "toppars": {}});
                format!("{name:?}: {broker}")
            });
        let brokers: Vec<_> = brokers.collect();
        let ts = second * 1_000_000;
        // Written by hand: names may be repeated.
        let json = format!(
            r#"{{"name": "c", "ts": {ts}, "brokers": {{{}}}}}"#,
            brokers.join(", ")
        );
        Statistics::read(json.as_bytes()).unwrap()
    }

    fn knows(sources: &[&str]) -> bool {
        let brokers: Vec<_> = sources.iter().map(|s| ("b", *s, "DOWN", 0, 0)).collect();
        statistics(0, &brokers).knows_a_broker(&Statistics::default())
    }

    #[test]
    fn brokers_that_are_away_are_known_and_roles_are_no_brokers() {
        assert!(knows(&["configured"]));
        assert!(knows(&["logical", "learned"]));
        assert!(!knows(&["logical", "internal"]));
        assert!(!knows(&[]));
    }

    /// Whether a broker is known that said one thing and, two seconds later, another.
    fn is_known(
        before: (&str, &str, &str, u64, u64),
        now: &[(&str, &str, &str, u64, u64)],
    ) -> bool {
        statistics(7, now).knows_a_broker(&statistics(5, &[before]))
    }

    #[test]
    fn a_terminating_broker_does_not_count_as_known() {
        let before = ("b", "learned", "INIT", 3_400, 8);
        let ending = ("b", "learned", "TRY_CONNECT", 5_300, 8);
        assert!(!is_known(before, &[ending]));
        assert!(
            is_known(before, &[("b", "learned", "INIT", 3_404, 8)]),
            "rests"
        );
        assert!(
            is_known(before, &[("b", "learned", "TRY_CONNECT", 5_300, 9)]),
            "tries"
        );
        assert!(
            is_known(before, &[("b", "learned", "UP", 9_999, 8)]),
            "works"
        );
        let successor = ("b", "learned", "TRY_CONNECT", 4, 0);
        assert!(is_known(before, &[successor, ending]));
        assert!(
            is_known(before, &[ending, successor]),
            "whatever comes first"
        );
    }

    proptest! {
        #[test]
        fn a_client_is_disconnected_exactly_when_it_knew_no_broker_for_the_timeout(
            seconds in prop::collection::vec(any::<bool>(), 0..30),
        ) {
            let (connectivity, began) = (BrokerConnectivity::default(), Instant::now());
            for (second, knows) in seconds.iter().enumerate() {
                let now = began + Duration::from_secs(second as u64);
                let source = if *knows { "learned" } else { "logical" };
                let told = statistics(second as u64, &[("b", source, "UP", 0, 0)]);
                connectivity.statistics_at(told, now);
                let silent = seconds[..=second].iter().rev().take_while(|knows| !**knows).count();
                prop_assert_eq!(connectivity.is_disconnected_at(now), silent > DISCONNECTED_AFTER.as_secs() as usize);
            }
        }
    }
}
