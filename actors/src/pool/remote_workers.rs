//! Remote workers: slots borrowed from pools of the same model on other nodes, each behind a local model actor. They do
//! not count as [workers](super::workers) of the pool.
//!
//! [`decide_offload`] decides; this keeps what it needs to know.

mod remote_worker;

use std::{collections::HashMap, error::Error, sync::Arc, time::Duration};

use ractor::{Actor, ActorId, ActorRef};
use tokio::time::Instant;

use crate::{
    engine::{EngineBatch, EngineError, Segment},
    offload::{
        OffloadConfig, OffloadMemory, OffloadReason, OffloadSnapshot, PeerError, Peers, Recall,
        RemoteEngine, RemoteWorkerStop, decide_offload, trip,
    },
    scaling::Totals,
};

use super::{
    batching::BatchBudget,
    message::PoolMessage,
    model_actor::{ModelActor, ModelStart},
    status::RemoteWorkerStatus,
};
use remote_worker::RemoteWorker;
pub(super) use remote_worker::{BorrowedSlot, LostRemoteWorker, RemoteBatch, RemoteDone};

/// Interval of offload decisions.
const LOOK: Duration = Duration::from_millis(250);

/// Remote workers of a pool.
pub(super) struct RemoteWorkers {
    model: Arc<str>,
    peers: Arc<dyn Peers>,
    config: OffloadConfig,
    /// Largest batch of the pool's own.
    own_budget: BatchBudget,
    started: Instant,
    workers: HashMap<ActorId, RemoteWorker>,
    memory: OffloadMemory,
    reason: OffloadReason,
    next_look: Option<Instant>,
}

/// The action.
pub(super) struct OffloadPlan {
    /// Workers whose batch is recalled now.
    pub(super) recall: Vec<(ActorId, Recall)>,
    /// Workers to stop after their current batch.
    pub(super) stop: Vec<(ActorId, RemoteWorkerStop)>,
    /// Slots in which to start a worker.
    pub(super) start: Vec<BorrowedSlot>,
    pub(super) reason: OffloadReason,
}

/// A remote worker, for events.
pub(super) struct RemoteName {
    pub(super) name: Arc<str>,
    pub(super) node: Arc<str>,
}

impl RemoteWorkers {
    pub(super) fn new(
        model: Arc<str>,
        peers: Arc<dyn Peers>,
        config: OffloadConfig,
        own_budget: BatchBudget,
        started: Instant,
    ) -> Self {
        Self {
            model,
            peers,
            config,
            own_budget,
            started,
            workers: HashMap::new(),
            memory: OffloadMemory::default(),
            reason: OffloadReason::default(),
            next_look: None,
        }
    }

    /// Whether an offload decision is due. If so, schedules the next one.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.next_look.is_none_or(|at| now >= at);
        if is_due {
            self.next_look = Some(now + LOOK);
        }
        is_due
    }

    /// Takes the counters of the pool's own work.
    pub(super) fn observe(&mut self, totals: &Totals, now: Instant) {
        self.memory.observe(totals, self.time(now));
    }

    /// Decides what to do, for a pool whose own side of the snapshot is this.
    pub(super) fn decide(&mut self, mut own: OffloadSnapshot, now: Instant) -> OffloadPlan {
        let at = self.time(now);
        let workers = self.workers.values();
        own.workers = workers.map(|worker| worker.view(self.started)).collect();
        let offers = self.peers.offers(&self.model);
        self.memory.complete(&mut own, offers, &self.config, at);
        let decision = decide_offload(&own, &self.config, at);
        self.note_trips(&own);
        let of = |number: u64| {
            let mut all = self.workers.iter();
            all.find(|(_, worker)| worker.number() == number)
                .map(|(id, _)| *id)
        };
        let slot = |node: Arc<str>| {
            let peer = own.peers.iter().find(|peer| peer.node == node)?;
            Some(BorrowedSlot {
                node,
                budget: self.own_budget.min(peer.offer.batch),
                trip: peer.round_trip,
                round_trip: peer.round_trip,
            })
        };
        let (recall, stop) = (decision.recall.into_iter(), decision.stop.into_iter());
        OffloadPlan {
            recall: recall.filter_map(|(n, why)| Some((of(n)?, why))).collect(),
            stop: stop.filter_map(|(n, why)| Some((of(n)?, why))).collect(),
            start: decision.start.into_iter().filter_map(slot).collect(),
            reason: decision.reason,
        }
    }

    /// Updates what is known of each worker's peer and of the duration of a trip.
    fn note_trips(&mut self, snapshot: &OffloadSnapshot) {
        for worker in self.workers.values_mut() {
            let peer = snapshot.peers.iter();
            if let Some(peer) = peer.clone().find(|peer| peer.node == *worker.node()) {
                let seconds = trip(peer, snapshot.batch_tokens);
                let trip = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
                worker.slot_mut().update(peer, trip, self.own_budget);
            }
        }
    }

    /// Records the reason of the last offload decision. Returns the previous reason if it was another one.
    pub(super) fn change_reason(&mut self, reason: OffloadReason) -> Option<OffloadReason> {
        let before = std::mem::replace(&mut self.reason, reason);
        (before != reason).then_some(before)
    }

    /// Starts a worker in a slot. `number` is called once the peer is reachable.
    pub(super) async fn start(
        &mut self,
        slot: BorrowedSlot,
        number: impl FnOnce() -> u64,
        supervisor: &ActorRef<PoolMessage>,
        warm_up: Arc<Segment>,
    ) -> Option<RemoteName> {
        let node = Arc::clone(&slot.node);
        let Some(link) = self.peers.link(&self.model, &node) else {
            let gone = PeerError::Gone("no route to the peer".to_owned());
            self.peer_failed(&node, &gone);
            return None;
        };
        let number = number();
        let name: Arc<str> = Arc::from(format!("{}/{number}@{node}", self.model));
        let start = ModelStart {
            engine: Box::new(RemoteEngine::new(link)),
            supervisor: supervisor.clone(),
            warm_up,
        };
        // An actor that has nothing but a link starts unless the node is ending.
        let spawned = Actor::spawn_linked(None, ModelActor, start, supervisor.get_cell()).await;
        let (actor, _) = spawned.ok()?;
        let id = actor.get_id();
        let worker = RemoteWorker::new(actor, number, Arc::clone(&name), slot);
        self.workers.insert(id, worker);
        Some(RemoteName { name, node })
    }

    /// The peer of a worker answered its warm-up.
    pub(super) fn ready(&mut self, id: ActorId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.ready();
        }
    }

    /// An idle worker whose trip takes less than `own_wait`, the seconds until own actors reach the queued work, and its largest batch.
    pub(super) fn idle(&self, own_wait: f64) -> Option<(ActorId, BatchBudget)> {
        let is_worth_it =
            |worker: &RemoteWorker| worker.is_idle() && worker.slot().trip.as_secs_f64() < own_wait;
        let mut all = self.workers.iter();
        all.find(|(_, worker)| is_worth_it(worker))
            .map(|(id, worker)| (*id, worker.slot().budget))
    }

    /// The name of a worker, and the node of its peer.
    pub(super) fn name(&self, id: ActorId) -> Option<RemoteName> {
        let worker = self.workers.get(&id)?;
        Some(RemoteName {
            name: Arc::clone(worker.name()),
            node: Arc::clone(worker.node()),
        })
    }

    /// Assigns a batch to a worker, and tracks it.
    pub(super) fn assign(&mut self, id: ActorId, batch: EngineBatch, in_flight: RemoteBatch) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.assign(batch, in_flight);
        }
    }

    /// A peer answered its batch after so long.
    pub(super) fn answered(&mut self, id: ActorId, elapsed: Duration) -> Option<RemoteDone> {
        let done = self.workers.get_mut(&id)?.answered()?;
        let tokens = done.batch.tokens;
        self.memory
            .done(&done.node, tokens, elapsed, done.round_trip);
        Some(done)
    }

    /// A peer did not do its batch, or its worker ended. The worker is ended and forgotten.
    pub(super) fn fail(&mut self, id: ActorId, error: PeerError) -> Option<LostRemoteWorker> {
        let lost = self.workers.remove(&id)?.kill(error);
        self.peer_failed(&lost.node, &lost.error);
        Some(lost)
    }

    /// Stops a worker and takes its batch back.
    pub(super) fn recall(&mut self, id: ActorId, why: Recall) -> Option<LostRemoteWorker> {
        let waited = self.workers.get(&id)?.since().elapsed();
        let error = match why {
            Recall::PeerGone => PeerError::Gone("it left the cluster".to_owned()),
            Recall::Overdue => PeerError::TimedOut(waited),
        };
        self.fail(id, error)
    }

    fn peer_failed(&mut self, node: &Arc<str>, error: &PeerError) {
        let at = self.started.elapsed();
        self.memory.failed(node, error, &self.config, at);
    }

    /// Stops a worker, after its current batch if it has one.
    pub(super) fn release(&mut self, id: ActorId, why: RemoteWorkerStop) -> Option<RemoteName> {
        let name = self.name(id)?;
        let worker = self.workers.get_mut(&id)?;
        worker.leave();
        let is_busy = worker.is_busy();
        if why == RemoteWorkerStop::TooSlow {
            let at = self.started.elapsed();
            self.memory.leave_alone(&name.node, &self.config, at);
        }
        if !is_busy {
            self.remove(id);
        }
        Some(name)
    }

    /// Ends a worker at once.
    pub(super) fn remove(&mut self, id: ActorId) {
        if let Some(worker) = self.workers.remove(&id) {
            worker.end();
        }
    }

    /// Ends all workers at once; for when no job is left.
    pub(super) fn dismiss(&mut self) -> Vec<RemoteName> {
        let all = std::mem::take(&mut self.workers);
        let names = all.into_values().map(|worker| {
            let (name, node) = (Arc::clone(worker.name()), Arc::clone(worker.node()));
            worker.end();
            RemoteName { name, node }
        });
        names.collect()
    }

    pub(super) fn contains(&self, id: ActorId) -> bool {
        self.workers.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether a worker has shown that its peer answers.
    pub(super) fn has_busy_workers(&self) -> bool {
        let mut all = self.workers.values();
        all.any(|worker| !worker.is_starting())
    }

    /// The reason for the decision.
    pub(super) const fn reason(&self) -> OffloadReason {
        self.reason
    }

    /// Estimated tokens that one own actor does in a second.
    pub(super) fn tokens_per_second(&self) -> f64 {
        self.memory.tokens_per_second()
    }

    /// Estimated tokens of own work that arrive in a second.
    pub(super) fn arrivals(&self) -> f64 {
        self.memory.arrivals()
    }

    pub(super) fn status(&self) -> Vec<RemoteWorkerStatus> {
        let mut all: Vec<_> = self.workers.values().map(RemoteWorker::status).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }
}

/// Maps the failure of a remote worker's actor to a peer error.
pub(super) fn peer_error(error: &(dyn Error + 'static)) -> PeerError {
    match error.downcast_ref::<EngineError>() {
        Some(EngineError::Peer(error)) => error.clone(),
        _ => PeerError::Failed(error.to_string()),
    }
}
