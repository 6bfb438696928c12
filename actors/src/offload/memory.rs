//! State of a pool between offload decisions: its load, the time under pressure, and the performance of peers.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::scaling::{ServiceRate, Totals, window::RateWindow};

use super::{OffloadConfig, OffloadSnapshot, PeerError, PeerOffer, PeerView};

/// Speed of an actor that was never busy, in estimated tokens a second.
const PRIOR_SPEED: f64 = 500.0;
/// Time constant of the measured speeds, in seconds of busy time.
const SPEED_MEMORY: f64 = 5.0;
/// Windows of the arrival rate.
const ARRIVALS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(30)];
/// Cooldown of a busy peer; it doubles with each consecutive refusal, up to this many times.
const BUSY_HOLD_OFF: Duration = Duration::from_secs(1);
const BUSY_DOUBLINGS: u32 = 4;
/// Batches in a row after which earlier failures are forgiven.
const FORGIVEN_AFTER: u32 = 10;

/// The memory of one pool. Times are since the pool started.
#[derive(Debug)]
pub struct OffloadMemory {
    arrivals: [RateWindow; 2],
    speed: ServiceRate,
    pressed_since: Option<Duration>,
    self_sufficient_since: Option<Duration>,
    peers: HashMap<Arc<str>, PeerRecord>,
}

#[derive(Debug)]
struct PeerRecord {
    speed: ServiceRate,
    tokens: u64,
    elapsed: Duration,
    batches: u32,
    /// Batches since the last failure.
    good: u32,
    strikes: u32,
    /// Refusals in a row.
    refusals: u32,
    cooldown_until: Option<Duration>,
}

impl Default for OffloadMemory {
    fn default() -> Self {
        Self {
            arrivals: ARRIVALS.map(RateWindow::new),
            speed: ServiceRate::new(PRIOR_SPEED, SPEED_MEMORY),
            pressed_since: None,
            self_sufficient_since: None,
            peers: HashMap::new(),
        }
    }
}

impl OffloadMemory {
    /// Takes the counters of own work.
    pub fn observe(&mut self, totals: &Totals, now: Duration) {
        for window in &mut self.arrivals {
            window.record(now, totals.arrived_tokens);
        }
        self.speed.record(totals.completed_tokens, totals.busy);
    }

    /// Estimated tokens of own work that arrive in a second.
    #[must_use]
    pub fn arrivals(&self) -> f64 {
        let rates = self.arrivals.iter().map(RateWindow::per_second);
        rates.fold(0.0, f64::max)
    }

    /// Estimated tokens that one own actor does in a second.
    #[must_use]
    pub fn tokens_per_second(&self) -> f64 {
        self.speed.per_second()
    }

    /// Adds the remembered state to a snapshot. Peers that are neither reachable nor in a cooldown are forgotten.
    pub fn complete(
        &mut self,
        snapshot: &mut OffloadSnapshot,
        offers: Vec<PeerOffer>,
        config: &OffloadConfig,
        now: Duration,
    ) {
        snapshot.arrivals = self.arrivals();
        snapshot.tokens_per_second = self.tokens_per_second();
        let pressed = snapshot.pressure > 1.0;
        self.pressed_since = pressed.then(|| self.pressed_since.unwrap_or(now));
        let calm = snapshot.is_self_sufficient(config);
        self.self_sufficient_since = calm.then(|| self.self_sufficient_since.unwrap_or(now));
        snapshot.pressed_since = self.pressed_since;
        snapshot.self_sufficient_since = self.self_sufficient_since;
        self.peers.retain(|node, record| {
            record.is_in_cooldown(now) || offers.iter().any(|offer| offer.node == *node)
        });
        snapshot.peers = offers
            .into_iter()
            .map(|offer| {
                let record = self.peers.get(&offer.node);
                PeerView {
                    measured: record.and_then(PeerRecord::measured),
                    cooldown_until: record.and_then(|record| record.cooldown_until),
                    node: offer.node,
                    offer: offer.offer,
                    round_trip: offer.round_trip,
                }
            })
            .collect();
    }

    /// A peer did a batch; `elapsed` is from hand-over to answer, a trip of `round_trip` included.
    pub fn done(&mut self, node: &Arc<str>, tokens: u32, elapsed: Duration, round_trip: Duration) {
        let record = self.record(node);
        record.tokens += u64::from(tokens);
        // A trip that was quicker than usual makes no peer infinitely fast.
        record.elapsed += elapsed.saturating_sub(round_trip).max(elapsed / 10);
        record.speed.record(record.tokens, record.elapsed);
        record.batches = record.batches.saturating_add(1);
        record.good = record.good.saturating_add(1);
        record.refusals = 0;
        if record.good >= FORGIVEN_AFTER {
            record.strikes = 0;
        }
    }

    /// A peer did not do a batch.
    pub fn failed(
        &mut self,
        node: &Arc<str>,
        error: &PeerError,
        config: &OffloadConfig,
        now: Duration,
    ) {
        match error {
            PeerError::Busy | PeerError::Closing => {
                let record = self.record(node);
                let until = now + BUSY_HOLD_OFF * (1 << record.refusals);
                record.refusals = (record.refusals + 1).min(BUSY_DOUBLINGS);
                record.cooldown_until = record.cooldown_until.max(Some(until));
            }
            _ => self.leave_alone(node, config, now),
        }
    }

    /// A peer failed or was too slow: its cooldown doubles.
    pub fn leave_alone(&mut self, node: &Arc<str>, config: &OffloadConfig, now: Duration) {
        let record = self.record(node);
        let factor = 1u64.checked_shl(record.strikes).unwrap_or(u64::MAX);
        let time = config.cooldown_initial_backoff_ms.saturating_mul(factor);
        let until = now + Duration::from_millis(time.min(config.cooldown_max_backoff_ms));
        *record = PeerRecord {
            strikes: record.strikes.saturating_add(1).min(32),
            cooldown_until: Some(until),
            // What was measured before says nothing about the next time.
            ..PeerRecord::default()
        };
    }

    fn record(&mut self, node: &Arc<str>) -> &mut PeerRecord {
        self.peers.entry(Arc::clone(node)).or_default()
    }
}

impl Default for PeerRecord {
    fn default() -> Self {
        Self {
            speed: ServiceRate::new(PRIOR_SPEED, SPEED_MEMORY),
            tokens: 0,
            elapsed: Duration::ZERO,
            batches: 0,
            good: 0,
            strikes: 0,
            refusals: 0,
            cooldown_until: None,
        }
    }
}

impl PeerRecord {
    fn is_in_cooldown(&self, now: Duration) -> bool {
        self.cooldown_until.is_some_and(|until| until > now)
    }

    /// The mean until there is enough for a moving one.
    fn measured(&self) -> Option<(f64, u32)> {
        if self.batches == 0 {
            return None;
        }
        let seconds = self.elapsed.as_secs_f64();
        let speed = if seconds > 2.0 * SPEED_MEMORY {
            self.speed.per_second()
        } else {
            self.tokens as f64 / seconds.max(1e-6)
        };
        Some((speed, self.batches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::Offer;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn offer(node: &Arc<str>) -> PeerOffer {
        PeerOffer {
            node: Arc::clone(node),
            offer: Offer {
                credits: 1,
                tokens_per_second: 100.0,
                ..Offer::default()
            },
            round_trip: Duration::from_millis(1),
        }
    }

    fn view(memory: &mut OffloadMemory, node: &Arc<str>, now: Duration) -> PeerView {
        let mut snapshot = OffloadSnapshot::default();
        let config = OffloadConfig::default();
        memory.complete(&mut snapshot, vec![offer(node)], &config, now);
        snapshot.peers.remove(0)
    }

    #[test]
    fn the_cooldown_of_a_peer_doubles_with_each_failure_and_resets_after_successes() {
        let (config, node) = (OffloadConfig::default(), Arc::from("b"));
        let mut memory = OffloadMemory::default();
        let gone = PeerError::Gone("closed".to_owned());
        memory.failed(&node, &gone, &config, s(0));
        assert_eq!(view(&mut memory, &node, s(1)).cooldown_until, Some(s(5)));
        memory.failed(&node, &gone, &config, s(10));
        assert_eq!(view(&mut memory, &node, s(11)).cooldown_until, Some(s(20)));
        for _ in 0..FORGIVEN_AFTER {
            memory.done(&node, 100, s(1), s(0));
        }
        memory.failed(&node, &gone, &config, s(30));
        assert_eq!(view(&mut memory, &node, s(31)).cooldown_until, Some(s(35)));
    }

    #[test]
    fn a_peer_that_was_only_busy_is_asked_again_soon_and_less_often_if_it_stays_so() {
        let (config, node) = (OffloadConfig::default(), Arc::from("b"));
        let mut memory = OffloadMemory::default();
        let until = |memory: &mut OffloadMemory, second| {
            memory.failed(&node, &PeerError::Busy, &config, s(second));
            view(memory, &node, s(second)).cooldown_until
        };
        assert_eq!(until(&mut memory, 0), Some(s(1)));
        assert_eq!(until(&mut memory, 1), Some(s(3)));
        for second in (100..1_000).step_by(100) {
            assert!(until(&mut memory, second) <= Some(s(second + 16)));
        }
        memory.done(&node, 100, s(1), s(0));
        assert_eq!(until(&mut memory, 2_000), Some(s(2_001)));
    }

    #[test]
    fn the_measured_speed_of_a_peer_is_used_and_forgotten_with_it() {
        let (config, node) = (OffloadConfig::default(), Arc::from("b"));
        let mut memory = OffloadMemory::default();
        memory.done(&node, 300, s(2), s(1));
        memory.done(&node, 100, s(1), s(0));
        assert_eq!(
            view(&mut memory, &node, s(2)).measured,
            Some((200.0, 2)),
            "the mean"
        );
        let mut snapshot = OffloadSnapshot::default();
        memory.complete(&mut snapshot, Vec::new(), &config, s(3));
        assert!(memory.peers.is_empty());
    }
}
