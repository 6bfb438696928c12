//! The backlog of a pool: lanes × clients × messages, counted in tokens.
//!
//! Lanes share the pool by weight (stride scheduling after Waldspurger, 1995: the lane with the smallest pass goes next, and
//! what it takes divided by its weight moves its pass on), so a flood of one never starves another. Within a lane, clients take turns
//! (start-time fair queueing), and within a client, messages do (the one that would be complete first if all got equal shares goes first). So
//! neither a client with much work nor a long message delays those of others.

mod client;
mod lane;
#[cfg(test)]
mod tests;

use tokio::time::Instant;

use crate::domain::{ClientId, Lane, Lanes};

use super::{
    batching::{BatchBudget, BatchShape},
    item::Item,
};
use client::ClientQueue;
use lane::LaneQueue;

/// Shares of the lanes when all of them have work.
pub const DEFAULT_WEIGHTS: Lanes<u32> = Lanes {
    interactive: 8,
    normal: 4,
    any: 1,
};

/// Limits of a batch that starts with a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Bounds of the batch.
    pub budget: BatchBudget,
    /// Most tokens of one client, unless a single item has more. `None` for no such limit.
    pub per_client: Option<u32>,
}

impl From<BatchBudget> for BatchLimits {
    fn from(budget: BatchBudget) -> Self {
        Self {
            budget,
            per_client: None,
        }
    }
}

/// Waiting work in a lane, from one client's perspective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneLoad {
    /// Waiting tokens of all clients.
    pub tokens: u64,
    /// Other clients with waiting work, scaled to the share of this client: clients of another origin (Kafka or HTTP) share that origin's part.
    pub other_clients: usize,
    /// Waiting tokens of the client.
    pub own_tokens: u64,
    /// Messages that they belong to.
    pub own_messages: usize,
}

/// Items waiting for a free actor.
#[derive(Debug)]
pub struct Backlog {
    lanes: Lanes<LaneQueue>,
    weights: Lanes<u32>,
    /// The largest pass at which a lane was served: where a lane that was empty starts.
    clock: f64,
}

impl Backlog {
    /// An empty backlog. A weight of zero counts as one.
    #[must_use]
    pub fn new(weights: Lanes<u32>) -> Self {
        Self {
            lanes: Lanes::default(),
            weights,
            clock: 0.0,
        }
    }

    /// Queues an item behind those of its job.
    pub fn push(&mut self, item: Item) {
        if self.lanes[item.lane].is_empty() {
            // An idle lane accumulates no credit, even if all lanes were idle.
            let lane = &mut self.lanes[item.lane];
            lane.pass = lane.pass.max(self.clock);
        }
        self.lanes[item.lane].push(item);
    }

    /// Takes a batch for a free actor: from the lane whose turn it is among those allowed, items of similar length first.
    /// Empty only when no allowed lane has any. The first lane decides the limits; `rest` says whether room that it leaves is
    /// given to the other allowed lanes.
    pub fn take(
        &mut self,
        limits: impl Fn(Lane) -> BatchLimits,
        allowed: impl Fn(Lane) -> bool,
        rest: bool,
    ) -> Vec<Item> {
        let mut batch = Vec::new();
        let mut growing = None;
        while let Some(lane) = self.next_lane(&allowed) {
            let (shape, per_client) = growing.get_or_insert_with(|| {
                let BatchLimits { budget, per_client } = limits(lane);
                (BatchShape::new(budget), per_client)
            });
            let before = batch.len();
            let weight = self.weight(lane);
            self.clock = self.clock.max(self.lanes[lane].pass);
            self.lanes[lane].take(shape, *per_client, &mut batch);
            let taken: u64 = batch[before..]
                .iter()
                .map(|item| u64::from(item.tokens))
                .sum();
            self.lanes[lane].pass += taken as f64 / weight;
            // If the lane still has items, the batch is full or its clients have had their shares.
            if !rest || !self.lanes[lane].is_empty() {
                break;
            }
        }
        batch
    }

    /// The weight of a lane now. One client of the interactive lane never has a smaller share of the pool than one of the normal lane, however many
    /// share their lanes: the interactive lane's weight grows with the number of its clients as far as that needs.
    fn weight(&self, lane: Lane) -> f64 {
        let of = |lane| f64::from(self.weights[lane].max(1));
        let clients = |lane| self.lanes[lane].clients() as f64;
        match (lane, clients(Lane::Normal)) {
            (Lane::Interactive, normal) if normal > 0.0 => {
                let equal = of(Lane::Normal) * clients(Lane::Interactive) / normal;
                of(Lane::Interactive).max(equal)
            }
            _ => of(lane),
        }
    }

    fn active(&self) -> impl Iterator<Item = Lane> {
        Lane::ALL
            .into_iter()
            .filter(|lane| !self.lanes[*lane].is_empty())
    }

    fn next_lane(&self, allowed: &impl Fn(Lane) -> bool) -> Option<Lane> {
        self.active()
            .filter(|lane| allowed(*lane))
            .min_by(|a, b| self.lanes[*a].pass.total_cmp(&self.lanes[*b].pass))
    }

    /// Takes out every item that `keep` refuses.
    pub fn remove(&mut self, mut keep: impl FnMut(&Item) -> bool) -> Vec<Item> {
        let mut removed = Vec::new();
        for lane in Lane::ALL {
            self.lanes[lane].remove(&mut keep, &mut removed);
        }
        removed
    }

    /// Forgets what waits of a job.
    pub fn forget(&mut self, lane: Lane, client: ClientId, job: u64) {
        self.lanes[lane].forget(client, job);
    }

    /// Returns items that were removed. Their clients and jobs take turns as if they had just arrived; the items of a job are ordered by the time
    /// when they were queued.
    pub fn restore(&mut self, mut items: Vec<Item>) {
        items.sort_by_key(|item| (item.queued, item.job, item.piece));
        for item in &items {
            self.push(*item);
        }
        for item in items {
            self.lanes[item.lane].sort(item.client, item.job);
        }
    }

    /// Waiting tokens of all lanes.
    #[must_use]
    pub fn all_tokens(&self) -> u64 {
        Lane::ALL.into_iter().map(|lane| self.tokens(lane)).sum()
    }

    /// When the oldest waiting item of a lane was queued.
    #[must_use]
    pub fn oldest(&self, lane: Lane) -> Option<Instant> {
        self.lanes[lane].oldest()
    }

    /// Waiting items of a lane.
    #[must_use]
    pub fn items(&self, lane: Lane) -> usize {
        self.lanes[lane].items()
    }

    /// Waiting tokens of a lane.
    #[must_use]
    pub fn tokens(&self, lane: Lane) -> u64 {
        self.lanes[lane].tokens()
    }

    /// Clients with waiting work in a lane.
    #[must_use]
    pub fn clients(&self, lane: Lane) -> usize {
        self.lanes[lane].clients()
    }

    /// Waiting work in a lane, from a client's perspective.
    #[must_use]
    pub fn load(&self, lane: Lane, client: ClientId) -> LaneLoad {
        let queue = &self.lanes[lane];
        let own = queue.client(client);
        LaneLoad {
            tokens: queue.tokens(),
            other_clients: queue.rivals(client),
            own_tokens: own.map_or(0, ClientQueue::tokens),
            own_messages: own.map_or(0, ClientQueue::messages),
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.active().next().is_none()
    }
}
