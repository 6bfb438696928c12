//! The offload decision: whether a pool borrows from peers, and from which.
//!
//! A pool borrows when jobs wait too long, it cannot scale up locally (or has not done so in the time of a cold start),
//! and a peer would return a batch before the pool's own actors reach it. It stops when its own actors suffice. A peer
//! that failed or slowed the pool down enters a cooldown.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Offer, OffloadConfig};

/// Share of their capacity at which the pool's own actors count as enough.
const ENOUGH: f64 = 0.85;
/// Multiple of the delay target at which no confirmation is required.
const EXCESSIVE: f64 = 2.0;
/// A batch is recalled after this multiple of its expected time ...
const OVERDUE_FACTOR: f64 = 4.0;
/// ... but not before this much more time has passed.
const OVERDUE_GRACE: Duration = Duration::from_secs(1);
/// A remote worker that is not ready after this long never will be.
const START_LIMIT: Duration = Duration::from_secs(5);
/// A remote worker without a batch for so long is not needed.
const IDLE_LIMIT: Duration = Duration::from_secs(10);
/// Batches after which a peer's measured speed counts.
const BATCHES_TO_JUDGE: u32 = 3;
/// What is given to the policy in which own actors grow, beyond a cold start.
const GROWTH_GRACE: Duration = Duration::from_secs(2);

/// A pool that may borrow, and peers that may lend. Times are since the pool started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OffloadSnapshot {
    /// Warm own actors.
    pub warm: u32,
    /// Whether own actors are starting or could still be started.
    pub may_grow: bool,
    /// Time from an own actor's start to its first batch.
    pub cold_start: Duration,
    /// Estimated tokens that one own actor does in a second.
    pub tokens_per_second: f64,
    /// Estimated tokens that arrive in a second.
    pub arrivals: f64,
    /// Estimated tokens that wait in the pool, and that remote workers may be given.
    pub waiting_tokens: u64,
    /// Estimated tokens of a usual batch.
    pub batch_tokens: u32,
    /// The delay of jobs in multiples of their target.
    pub pressure: f64,
    /// Since when the pressure is above one without a break.
    pub pressed_since: Option<Duration>,
    /// Since when own actors would be enough without a break.
    pub self_sufficient_since: Option<Duration>,
    /// Peers that can be reached and have the model.
    pub peers: Vec<PeerView>,
    /// Remote workers of this pool.
    pub workers: Vec<RemoteWorkerView>,
}

/// A peer: its offer and its history.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerView {
    /// Its name.
    pub node: Arc<str>,
    /// Its offer.
    pub offer: Offer,
    /// The time that a trip to it and back takes.
    pub round_trip: Duration,
    /// Tokens a second that a remote worker of it really did beyond the trips, and in how many batches.
    pub measured: Option<(f64, u32)>,
    /// End of its cooldown.
    pub cooldown_until: Option<Duration>,
}

/// A remote worker.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteWorkerView {
    /// Its number in the pool.
    pub number: u64,
    /// The peer.
    pub node: Arc<str>,
    /// Its state.
    pub doing: RemoteWorkerState,
    /// Since when.
    pub since: Duration,
    /// Whether it stops after its batch.
    pub leaving: bool,
}

/// State of a remote worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteWorkerState {
    /// It has not answered its warm-up.
    Starting,
    /// It waits for a batch.
    Idle,
    /// It has a batch of so many estimated tokens.
    Busy(u32),
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OffloadDecision {
    /// Peers at which to start a remote worker; one that is named twice gets two.
    pub start: Vec<Arc<str>>,
    /// Remote workers to stop after their current batch.
    pub stop: Vec<(u64, RemoteWorkerStop)>,
    /// Remote workers whose batch is recalled now.
    pub recall: Vec<(u64, Recall)>,
    /// The reason for the decision.
    pub reason: OffloadReason,
}

/// Why a remote worker is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemoteWorkerStop {
    /// Own actors are enough, or the remote worker had nothing to do.
    NotNeeded,
    /// The peer offers less than it did.
    OfferShrank,
    /// It is too slow. The peer enters a cooldown.
    TooSlow,
    /// The pool is closing.
    Closing,
}

/// Why a batch is recalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recall {
    /// The peer is unreachable.
    PeerGone,
    /// It has had the batch, or has been starting, for too long. The peer enters a cooldown.
    Overdue,
}

/// Why a pool borrows or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffloadReason {
    /// It needs none.
    #[default]
    NotNeeded,
    /// The configuration says so.
    Disabled,
    /// The delay is above its target, but not for long.
    Observing,
    /// The pool is scaling up locally.
    Growing,
    /// No peer offers any.
    NoOffers,
    /// All offering peers are in a cooldown.
    HeldOff,
    /// No peer would have a batch back before the pool's own actors got to it, or would be fast enough.
    NoGain,
    /// It borrows.
    Helped,
}

/// Seconds that a batch of this many tokens takes at a peer, there and back.
#[must_use]
pub fn trip(peer: &PeerView, tokens: u32) -> f64 {
    let speed = match peer.measured {
        Some((speed, _)) => speed,
        None => peer.offer.tokens_per_second,
    };
    peer.round_trip.as_secs_f64() + f64::from(tokens.max(1)) / speed.max(1e-9)
}

/// Seconds until so many warm actors alone get to what is queued now.
#[must_use]
pub fn own_wait(waiting_tokens: u64, warm: u32, tokens_per_second: f64) -> f64 {
    match (waiting_tokens, warm) {
        (0, _) => 0.0,
        (_, 0) => f64::INFINITY,
        (tokens, warm) => tokens as f64 / (f64::from(warm) * tokens_per_second),
    }
}

impl OffloadSnapshot {
    /// Tokens a second that own actors do.
    fn own_rate(&self) -> f64 {
        f64::from(self.warm) * self.tokens_per_second
    }

    /// Seconds until own actors alone get to what is queued now.
    #[must_use]
    pub fn own_wait(&self) -> f64 {
        own_wait(self.waiting_tokens, self.warm, self.tokens_per_second)
    }

    /// Whether local actors suffice.
    #[must_use]
    pub fn is_self_sufficient(&self, config: &OffloadConfig) -> bool {
        self.arrivals <= ENOUGH * self.own_rate()
            && self.own_wait() <= config.target_delay().as_secs_f64()
    }

    /// Tokens a second that are missing: for what arrives, and to be back on target soon.
    fn missing_rate(&self, config: &OffloadConfig) -> f64 {
        let target = config.target_delay().as_secs_f64();
        let excess = (self.waiting_tokens as f64 - self.arrivals * target).max(0.0);
        self.arrivals + excess / (4.0 * target) - ENOUGH * self.own_rate()
    }

    fn peer(&self, node: &str) -> Option<&PeerView> {
        self.peers.iter().find(|peer| &*peer.node == node)
    }

    fn gain(&self, peer: &PeerView, config: &OffloadConfig) -> Option<f64> {
        let tokens = self.batch_tokens;
        let trip = trip(peer, tokens);
        let rate = f64::from(tokens.max(1)) / trip;
        let fast_enough = rate >= config.min_speed * self.tokens_per_second;
        (fast_enough && trip < self.own_wait()).then_some(rate)
    }

    fn workers_at<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a RemoteWorkerView> {
        self.workers
            .iter()
            .filter(move |worker| &*worker.node == node && !worker.leaving)
    }
}

/// Decides which remote workers to start, stop and recall.
#[must_use]
pub fn decide_offload(
    snapshot: &OffloadSnapshot,
    config: &OffloadConfig,
    now: Duration,
) -> OffloadDecision {
    let mut decision = OffloadDecision {
        recall: recalls(snapshot, now),
        ..OffloadDecision::default()
    };
    decision.stop = stops(snapshot, config, now, &decision.recall);
    decision.reason = match reason_not_to_ask(snapshot, config, now) {
        Some(reason) => reason,
        None => {
            let (start, reason) = starts(snapshot, config, now);
            decision.start = start;
            reason
        }
    };
    let leaving = snapshot
        .workers
        .iter()
        .filter(|worker| worker.leaving)
        .count();
    let going = decision.recall.len() + decision.stop.len() + leaving;
    let staying = snapshot.workers.len().saturating_sub(going);
    if staying > 0 && decision.reason != OffloadReason::Disabled {
        decision.reason = OffloadReason::Helped;
    }
    decision
}

fn recalls(snapshot: &OffloadSnapshot, now: Duration) -> Vec<(u64, Recall)> {
    let recall = |worker: &RemoteWorkerView| {
        let Some(peer) = snapshot.peer(&worker.node) else {
            return Some(Recall::PeerGone);
        };
        let limit = match worker.doing {
            RemoteWorkerState::Starting => START_LIMIT,
            RemoteWorkerState::Busy(tokens) => {
                let due = OVERDUE_FACTOR * trip(peer, tokens);
                OVERDUE_GRACE + Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX)
            }
            RemoteWorkerState::Idle => return None,
        };
        (now.saturating_sub(worker.since) > limit).then_some(Recall::Overdue)
    };
    let workers = snapshot.workers.iter();
    workers
        .filter_map(|worker| Some((worker.number, recall(worker)?)))
        .collect()
}

fn stops(
    snapshot: &OffloadSnapshot,
    config: &OffloadConfig,
    now: Duration,
    recalled: &[(u64, Recall)],
) -> Vec<(u64, RemoteWorkerStop)> {
    let calm = snapshot.self_sufficient_since.is_some_and(|since| {
        now.saturating_sub(since) >= Duration::from_millis(config.cooldown_ms)
    });
    let mut stops = Vec::new();
    for peer in &snapshot.peers {
        let slow = peer.measured.is_some_and(|(rate, batches)| {
            batches >= BATCHES_TO_JUDGE && rate < config.min_speed * snapshot.tokens_per_second
        });
        let mut workers: Vec<_> = snapshot
            .workers_at(&peer.node)
            .filter(|worker| recalled.iter().all(|(number, _)| *number != worker.number))
            .collect();
        // Those without a batch go first when the offer shrinks.
        workers.sort_by_key(|worker| {
            (
                !matches!(worker.doing, RemoteWorkerState::Busy(_)),
                worker.number,
            )
        });
        for (place, worker) in (0u32..).zip(workers) {
            let idle = worker.doing == RemoteWorkerState::Idle
                && now.saturating_sub(worker.since) > IDLE_LIMIT;
            let why = if !config.borrow || calm || idle {
                RemoteWorkerStop::NotNeeded
            } else if slow {
                RemoteWorkerStop::TooSlow
            } else if place >= peer.offer.credits {
                RemoteWorkerStop::OfferShrank
            } else {
                continue;
            };
            stops.push((worker.number, why));
        }
    }
    stops
}

fn reason_not_to_ask(
    snapshot: &OffloadSnapshot,
    config: &OffloadConfig,
    now: Duration,
) -> Option<OffloadReason> {
    if !config.borrow {
        return Some(OffloadReason::Disabled);
    }
    let Some(since) = snapshot.pressed_since.filter(|_| snapshot.pressure > 1.0) else {
        return Some(OffloadReason::NotNeeded);
    };
    let pressed = now.saturating_sub(since);
    if snapshot.may_grow && pressed < snapshot.cold_start + GROWTH_GRACE {
        return Some(OffloadReason::Growing);
    }
    let sustained = pressed >= Duration::from_millis(config.sustain_ms);
    if !sustained && snapshot.pressure <= EXCESSIVE {
        return Some(OffloadReason::Observing);
    }
    None
}

fn starts(
    snapshot: &OffloadSnapshot,
    config: &OffloadConfig,
    now: Duration,
) -> (Vec<Arc<str>>, OffloadReason) {
    let offering = || snapshot.peers.iter().filter(|peer| peer.offer.credits > 0);
    if offering().next().is_none() {
        return (Vec::new(), OffloadReason::NoOffers);
    }
    let free: Vec<_> = offering()
        .filter(|peer| peer.cooldown_until.is_none_or(|until| until <= now))
        .collect();
    if free.is_empty() {
        return (Vec::new(), OffloadReason::HeldOff);
    }
    let mut useful: Vec<_> = free
        .into_iter()
        .filter_map(|peer| Some((snapshot.gain(peer, config)?, peer)))
        .collect();
    if useful.is_empty() {
        return (Vec::new(), OffloadReason::NoGain);
    }
    useful.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.node.cmp(&b.1.node)));
    let rate_at = |node: &str| useful.iter().find(|(_, peer)| &*peer.node == node);
    let have: f64 = snapshot
        .workers
        .iter()
        .filter(|worker| !worker.leaving)
        .filter_map(|worker| rate_at(&worker.node))
        .map(|(rate, _)| rate)
        .sum();
    let mut missing = snapshot.missing_rate(config) - have;
    // Each remote worker must find a batch.
    let batches = snapshot.waiting_tokens / u64::from(snapshot.batch_tokens.max(1));
    let mut places = usize::try_from(batches.max(1))
        .unwrap_or(usize::MAX)
        .saturating_sub(snapshot.workers.len());
    let mut start = Vec::new();
    for (rate, peer) in &useful {
        let used = snapshot.workers_at(&peer.node).count();
        for _ in used..peer.offer.credits as usize {
            if places == 0 || missing <= 0.0 {
                return (start, OffloadReason::Helped);
            }
            start.push(Arc::clone(&peer.node));
            places -= 1;
            missing -= rate;
        }
    }
    (start, OffloadReason::Helped)
}

#[cfg(test)]
mod tests;
