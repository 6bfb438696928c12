//! Asking peers for help: carries out what [`decide_offload`] decides, and keeps what was lent out in the pool's books.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ractor::{Actor, ActorId, ActorRef};
use tokio::time::Instant;

use crate::{
    domain::Lane,
    events::Event,
    offload::{
        GuestStop, LendingSnapshot, OffloadDecision, OffloadMemory, OffloadReason, OffloadSnapshot,
        PeerError, PeerOffer, Peers, Recall, RemoteEngine, credits, decide_offload, trip,
    },
};

use super::{
    batching::BatchBudget,
    core::Pool,
    guests::{Guest, GuestPhase},
    model_actor::{ModelActor, ModelStart},
    status::GuestStatus,
    supervisor::PoolMessage,
};

/// How often a pool looks at its peers.
const LOOK: Duration = Duration::from_millis(250);
/// Bulk work may wait this many times as long as the rest.
const BULK_PATIENCE: f64 = 10.0;

/// What peers do for a pool.
pub(super) struct Help {
    peers: Arc<dyn Peers>,
    pub(super) guests: HashMap<ActorId, Guest>,
    pub(super) memory: OffloadMemory,
    pub(super) reason: OffloadReason,
    next_look: Option<Instant>,
}

impl Help {
    pub(super) fn new(peers: Arc<dyn Peers>) -> Self {
        Self {
            peers,
            guests: HashMap::new(),
            memory: OffloadMemory::default(),
            reason: OffloadReason::default(),
            next_look: None,
        }
    }

    /// Whether a guest has shown that its peer answers.
    pub(super) fn is_at_work(&self) -> bool {
        let mut guests = self.guests.values();
        guests.any(|guest| !matches!(guest.phase, GuestPhase::Starting))
    }

    /// An idle guest that is worth its trip when own actors need `own_wait` seconds to get to what is queued.
    pub(super) fn idle(&self, own_wait: f64) -> Option<ActorId> {
        let worth = |guest: &Guest| {
            matches!(guest.phase, GuestPhase::Idle) && guest.trip.as_secs_f64() < own_wait
        };
        let mut guests = self.guests.iter();
        guests.find(|(_, guest)| worth(guest)).map(|(id, _)| *id)
    }
}

impl Pool {
    /// Looks at the pool's own load and at its peers when it is time: what to offer, and whether to ask for help.
    pub(super) async fn look_at_peers(&mut self, myself: &ActorRef<PoolMessage>) {
        let now = Instant::now();
        self.sweep_loans(now);
        if self.help.next_look.is_some_and(|at| now < at) {
            return;
        }
        self.help.next_look = Some(now + LOOK);
        let at = now.saturating_duration_since(self.started);
        self.help.memory.observe(&self.totals, at);
        let config = self.spec.offload.clone();
        let pressure = self.pressure(now);
        self.loans.credits = credits(&self.lending_snapshot(pressure), &config);
        let offers = self.help.peers.offers(&self.spec.model_id);
        let mut snapshot = self.offload_snapshot(pressure);
        self.help
            .memory
            .complete(&mut snapshot, offers.clone(), &config, at);
        let decision = decide_offload(&snapshot, &config, at);
        self.note_trips(&snapshot);
        self.carry_out(decision, &offers, myself).await;
    }

    async fn carry_out(
        &mut self,
        decision: OffloadDecision,
        offers: &[PeerOffer],
        myself: &ActorRef<PoolMessage>,
    ) {
        for (number, why) in decision.recall {
            if let Some(id) = self.guest_number(number) {
                self.recall(id, why);
            }
        }
        for (number, why) in decision.stop {
            if let Some(id) = self.guest_number(number) {
                self.send_away(id, why);
            }
        }
        for node in decision.start {
            if let Some(offer) = offers.iter().find(|offer| offer.node == node) {
                self.start_guest(offer, myself).await;
            }
        }
        self.change_reason(decision.reason);
    }

    fn change_reason(&mut self, reason: OffloadReason) {
        let before = std::mem::replace(&mut self.help.reason, reason);
        if before != reason {
            self.observe(Event::OffloadChanged {
                pool: self.pool(),
                from: before,
                to: reason,
                guests: self.help.guests.len(),
            });
        }
    }

    /// The delay of the pool's jobs in multiples of their target: the oldest wait, or what own actors need to get to a new one.
    fn pressure(&self, now: Instant) -> f64 {
        let speed = self.help.memory.tokens_per_second();
        let warm = self.members.counts().warm();
        let wait = |tokens: u64| match (tokens, warm) {
            (0, _) => 0.0,
            (tokens, 0) => self.cold_start().as_secs_f64() + tokens as f64 / speed,
            (tokens, warm) => tokens as f64 / (f64::from(warm) * speed),
        };
        let oldest = |lane| {
            let at = self.backlog.oldest(lane);
            at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64())
        };
        let tokens = |lane| self.backlog.tokens(lane);
        let bulk = tokens(Lane::Any);
        let prompt = tokens(Lane::Interactive) + tokens(Lane::Normal);
        // What is not read yet is shared out as the backlog is mixed.
        let lag = self.lag.tokens();
        let bulk_lag = match bulk + prompt {
            0 => 0,
            all => (lag as f64 * bulk as f64 / all as f64) as u64,
        };
        let prompt = prompt + (lag - bulk_lag);
        let prompt_delay = oldest(Lane::Interactive)
            .max(oldest(Lane::Normal))
            .max(wait(prompt));
        let bulk_delay = match bulk {
            0 => 0.0,
            bulk => oldest(Lane::Any).max(wait(prompt + bulk + bulk_lag)),
        };
        let target = self.spec.offload.target_delay().as_secs_f64();
        prompt_delay.max(bulk_delay / BULK_PATIENCE) / target
    }

    fn lending_snapshot(&self, pressure: f64) -> LendingSnapshot {
        LendingSnapshot {
            warm: self.members.counts().warm(),
            arrivals: self.help.memory.arrivals(),
            tokens_per_second: self.help.memory.tokens_per_second(),
            pressure,
            is_helped: !self.help.guests.is_empty(),
            is_closing: self.is_closing(),
        }
    }

    fn offload_snapshot(&self, pressure: f64) -> OffloadSnapshot {
        let actors = self.members.counts();
        let room = self.room();
        let bounds = self.spec.bounds.max.saturating_sub(actors.owned());
        OffloadSnapshot {
            warm: actors.warm(),
            may_grow: actors.starting > 0
                || (self.may_start() && bounds.min(room.room()) > 0 && !self.is_closing()),
            cold_start: self.cold_start(),
            waiting_tokens: self.backlog.all_tokens(),
            batch_tokens: self.usual_batch(),
            pressure,
            guests: self
                .help
                .guests
                .values()
                .map(|guest| guest.view(self.started))
                .collect(),
            ..OffloadSnapshot::default()
        }
    }

    /// Estimated tokens of the batch that a free guest would get of what waits now.
    fn usual_batch(&self) -> u32 {
        let BatchBudget {
            items: most,
            padded_tokens,
        } = self.spec.batch;
        let items: usize = Lane::ALL.iter().map(|l| self.backlog.items(*l)).sum();
        let mean = self.backlog.all_tokens() / (items.max(1) as u64);
        let tokens = mean.saturating_mul(items.clamp(1, most) as u64);
        u32::try_from(tokens)
            .unwrap_or(u32::MAX)
            .clamp(1, padded_tokens)
    }

    /// Keeps what a trip to each guest's peer costs.
    fn note_trips(&mut self, snapshot: &OffloadSnapshot) {
        for guest in self.help.guests.values_mut() {
            if let Some(peer) = snapshot.peers.iter().find(|peer| peer.node == guest.node) {
                let seconds = trip(peer, snapshot.batch_tokens);
                guest.trip = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
                guest.round_trip = peer.round_trip;
                guest.budget = smaller(self.spec.batch, peer.offer.batch);
            }
        }
    }

    async fn start_guest(&mut self, peer: &PeerOffer, myself: &ActorRef<PoolMessage>) {
        let node = Arc::clone(&peer.node);
        let Some(link) = self.help.peers.link(&self.spec.model_id, &node) else {
            let gone = PeerError::Gone("there is no way to it".to_owned());
            return self.peer_failed(&node, &gone);
        };
        self.spawned += 1;
        let number = self.spawned;
        let name: Arc<str> = Arc::from(format!("{}/{number}@{node}", self.spec.model_id));
        let start = ModelStart {
            engine: Box::new(RemoteEngine::new(link)),
            supervisor: myself.clone(),
            warm_up: Arc::clone(&self.warm_up),
        };
        // An actor that holds nothing but a link starts unless the node is ending.
        let Ok((actor, _)) = Actor::spawn_linked(None, ModelActor, start, myself.get_cell()).await
        else {
            return;
        };
        self.observe(Event::GuestStarted {
            pool: self.pool(),
            guest: Arc::clone(&name),
            peer: Arc::clone(&node),
        });
        let guest = Guest {
            number,
            name,
            node,
            phase: GuestPhase::Starting,
            since: Instant::now(),
            leaving: false,
            batches: 0,
            budget: smaller(self.spec.batch, peer.offer.batch),
            trip: peer.round_trip,
            round_trip: peer.round_trip,
            actor,
        };
        self.help.guests.insert(guest.actor.get_id(), guest);
    }

    pub(super) fn own_wait(&self) -> f64 {
        let snapshot = OffloadSnapshot {
            warm: self.members.counts().warm(),
            tokens_per_second: self.help.memory.tokens_per_second(),
            waiting_tokens: self.backlog.all_tokens(),
            ..OffloadSnapshot::default()
        };
        snapshot.own_wait()
    }

    pub(super) fn own_actors_are_late(&self) -> bool {
        let oldest = self.backlog.oldest(Lane::Interactive);
        let late = oldest.is_some_and(|at| at.elapsed() > self.spec.offload.target_delay());
        late || self.members.counts().warm() == 0
    }

    pub(super) fn peer_failed(&mut self, node: &Arc<str>, error: &PeerError) {
        let at = self.started.elapsed();
        self.help.memory.failed(node, error, &self.spec.offload, at);
    }

    fn recall(&mut self, id: ActorId, why: Recall) {
        let waited = self.help.guests.get(&id).map(|guest| guest.since.elapsed());
        let error = match why {
            Recall::PeerGone => PeerError::Gone("it left the cluster".to_owned()),
            Recall::Overdue => PeerError::TimedOut(waited.unwrap_or_default()),
        };
        self.guest_failed(id, &error);
    }

    /// Sends a guest away, after its batch if it has one.
    fn send_away(&mut self, id: ActorId, why: GuestStop) {
        let Some(guest) = self.help.guests.get_mut(&id) else {
            return;
        };
        guest.leaving = true;
        let (name, node) = (Arc::clone(&guest.name), Arc::clone(&guest.node));
        let busy = matches!(guest.phase, GuestPhase::Busy(_));
        if why == GuestStop::TooSlow {
            let at = self.started.elapsed();
            let config = &self.spec.offload;
            self.help.memory.leave_alone(&node, config, at);
        }
        self.observe(Event::GuestStopped {
            pool: self.pool(),
            guest: name,
            peer: node,
            reason: why,
        });
        if !busy {
            self.remove_guest(id);
        }
    }

    pub(super) fn remove_guest(&mut self, id: ActorId) {
        if let Some(guest) = self.help.guests.remove(&id) {
            guest.actor.kill();
        }
    }

    /// Sends all guests away now. Called when no job is left.
    pub(super) fn dismiss_guests(&mut self, why: GuestStop) {
        let ids: Vec<_> = self.help.guests.keys().copied().collect();
        for id in ids {
            self.send_away(id, why);
            self.remove_guest(id);
        }
    }

    pub(super) fn guest_status(&self) -> Vec<GuestStatus> {
        let mut all: Vec<_> = self.help.guests.values().map(Guest::status).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn guest_number(&self, number: u64) -> Option<ActorId> {
        let mut guests = self.help.guests.iter();
        guests
            .find(|(_, guest)| guest.number == number)
            .map(|(id, _)| *id)
    }
}

fn smaller(a: BatchBudget, b: BatchBudget) -> BatchBudget {
    BatchBudget {
        items: a.items.min(b.items),
        padded_tokens: a.padded_tokens.min(b.padded_tokens),
    }
}
