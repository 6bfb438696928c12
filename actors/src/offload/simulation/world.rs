//! The simulated world: nodes that queue and translate messages, and that lend their actors to each other.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    BATCH, LOOK, OFFER_AGE, Outcome, Scenario, TOKENS, batch_time,
    event_queue::{EventQueue, Happening},
};
use crate::{
    offload::{
        Offer, OffloadConfig, OffloadDecision, OffloadMemory, OffloadSnapshot, PeerError,
        PeerOffer, RemoteWorkerState, RemoteWorkerStop, RemoteWorkerView, SpareCapacitySnapshot,
        credits, decide_offload, trip,
    },
    scaling::Totals,
};

type Message = (usize, f64);

struct Worker {
    number: u64,
    peer: usize,
    batch: Option<Vec<Message>>,
    since: f64,
    leaving: bool,
}

struct Node {
    queue: VecDeque<Message>,
    busy: Vec<Vec<Message>>,
    lent_busy: u32,
    /// Batches of others that wait: borrower and remote worker.
    lent: VecDeque<(usize, u64)>,
    workers: Vec<Worker>,
    totals: Totals,
    memory: OffloadMemory,
    offer: Offer,
    /// State visible to the others.
    published: (f64, Offer),
}

pub(super) struct World {
    scenario: Scenario,
    config: OffloadConfig,
    now: f64,
    events: EventQueue,
    nodes: Vec<Node>,
    answers: Vec<u32>,
    delays: f64,
    workers: u64,
    outcome: Outcome,
    random: StdRng,
}

impl World {
    pub(super) fn new(scenario: Scenario) -> Self {
        let nodes = scenario.load.iter().map(|_| Node {
            queue: VecDeque::new(),
            busy: Vec::new(),
            lent_busy: 0,
            lent: VecDeque::new(),
            workers: Vec::new(),
            totals: Totals::default(),
            memory: OffloadMemory::default(),
            offer: Offer::default(),
            published: (0.0, Offer::default()),
        });
        let count = scenario.load.len();
        let mut world = Self {
            nodes: nodes.collect(),
            config: OffloadConfig {
                borrow: scenario.borrow,
                ..OffloadConfig::default()
            },
            now: 0.0,
            events: EventQueue::default(),
            answers: Vec::new(),
            delays: 0.0,
            workers: 0,
            random: StdRng::seed_from_u64(scenario.seed),
            outcome: Outcome {
                done: vec![0; count],
                ..Outcome::default()
            },
            scenario,
        };
        for node in 0..count {
            world.at(0.01 * node as f64, Happening::Look { node });
            world.at(0.001 * node as f64, Happening::Arrival { node });
        }
        world
    }

    fn at(&mut self, time: f64, what: Happening) {
        self.events.push(time, what);
    }

    pub(super) fn run(mut self) -> Outcome {
        while let Some((time, what)) = self.events.pop() {
            if time > self.scenario.seconds {
                break;
            }
            self.now = time;
            match what {
                Happening::Arrival { node } => self.arrive(node),
                Happening::OwnDone { node } => self.own_done(node),
                Happening::Reaches { borrower, worker } => self.reaches(borrower, worker),
                Happening::LentDone {
                    node,
                    borrower,
                    worker,
                } => {
                    self.nodes[node].lent_busy -= 1;
                    self.at(
                        self.now + self.scenario.round_trip / 2.0,
                        Happening::Back { borrower, worker },
                    );
                }
                Happening::Back { borrower, worker } => self.back(borrower, worker),
                Happening::Look { node } => self.look(node),
            }
            for node in 0..self.nodes.len() {
                self.dispatch(node);
            }
        }
        self.finish()
    }

    fn finish(mut self) -> Outcome {
        let waiting: usize = self
            .nodes
            .iter()
            .map(|node| {
                let lent = node.workers.iter().flat_map(|g| &g.batch).map(Vec::len);
                node.queue.len()
                    + node.busy.iter().map(Vec::len).sum::<usize>()
                    + lent.sum::<usize>()
            })
            .sum();
        let unanswered = self.answers.iter().filter(|n| **n == 0).count();
        self.outcome.lost = (unanswered - waiting) as u64;
        self.outcome.doubled = self.answers.iter().filter(|n| **n > 1).count() as u64;
        let done: u64 = self.outcome.done.iter().sum();
        self.outcome.mean_delay = self.delays / done.max(1) as f64;
        self.outcome
    }

    fn arrive(&mut self, node: usize) {
        let id = self.answers.len();
        self.answers.push(0);
        let to = &mut self.nodes[node];
        to.queue.push_back((id, self.now));
        to.totals.arrived_tokens += u64::from(TOKENS);
        // Independent messages, as many senders make them.
        let gap = -(1.0 - self.random.random::<f64>()).ln() / self.scenario.load[node];
        self.at(self.now + gap, Happening::Arrival { node });
    }

    fn own_done(&mut self, node: usize) {
        let batch = self.nodes[node].busy.remove(0);
        self.nodes[node].totals.busy += seconds(batch_time(batch.len()));
        self.nodes[node].totals.completed_tokens += batch.len() as u64 * u64::from(TOKENS);
        self.answer(node, batch);
    }

    fn answer(&mut self, node: usize, batch: Vec<Message>) {
        for (id, arrived) in batch {
            self.answers[id] += 1;
            self.outcome.done[node] += 1;
            self.delays += self.now - arrived;
        }
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.now >= self.scenario.cut_at && (a == 1 || b == 1)
    }

    fn reaches(&mut self, borrower: usize, worker: u64) {
        let Some(peer) = self.peer_of(borrower, worker) else {
            return;
        };
        if self.is_cut(borrower, peer) {
            return;
        }
        let lender = &mut self.nodes[peer];
        let taken = lender.lent.len() as u32 + lender.lent_busy;
        if taken >= lender.offer.credits {
            let name = name(peer);
            let now = seconds(self.now);
            let config = self.config.clone();
            let to = &mut self.nodes[borrower];
            to.memory.failed(&name, &PeerError::Busy, &config, now);
            return self.requeue(borrower, worker);
        }
        lender.lent.push_back((borrower, worker));
    }

    fn peer_of(&self, borrower: usize, worker: u64) -> Option<usize> {
        let mut workers = self.nodes[borrower].workers.iter();
        workers.find(|g| g.number == worker).map(|g| g.peer)
    }

    fn back(&mut self, borrower: usize, number: u64) {
        let now = self.now;
        let Some(peer) = self.peer_of(borrower, number) else {
            // Too late: it was recalled.
            return;
        };
        if self.is_cut(borrower, peer) {
            return;
        }
        let to = &mut self.nodes[borrower];
        let Some(worker) = to.workers.iter_mut().find(|g| g.number == number) else {
            return;
        };
        let Some(batch) = worker.batch.take() else {
            return;
        };
        let tokens = batch.len() as u32 * TOKENS;
        let elapsed = seconds(now - worker.since);
        worker.since = now;
        let trip = seconds(self.scenario.round_trip);
        to.memory.done(&name(peer), tokens, elapsed, trip);
        to.workers
            .retain(|worker| !worker.leaving || worker.batch.is_some());
        self.outcome.helped += batch.len() as u64;
        self.answer(borrower, batch);
    }

    fn requeue(&mut self, borrower: usize, number: u64) {
        let node = &mut self.nodes[borrower];
        let Some(index) = node.workers.iter().position(|g| g.number == number) else {
            return;
        };
        let worker = node.workers.remove(index);
        for message in worker.batch.into_iter().flatten().rev() {
            node.queue.push_front(message);
            self.outcome.requeued += 1;
        }
    }

    fn dispatch(&mut self, index: usize) {
        loop {
            let actors = self.scenario.actors;
            let node = &mut self.nodes[index];
            if node.busy.len() as u32 + node.lent_busy >= actors {
                break;
            }
            if !node.queue.is_empty() {
                let take = node.queue.len().min(BATCH);
                let batch: Vec<_> = node.queue.drain(..take).collect();
                let time = self.now + batch_time(batch.len());
                node.busy.push(batch);
                self.at(time, Happening::OwnDone { node: index });
            } else if let Some((borrower, worker)) = node.lent.pop_front() {
                let batch = self.nodes[borrower]
                    .workers
                    .iter()
                    .find(|g| g.number == worker)
                    .and_then(|g| g.batch.as_ref());
                let Some(messages) = batch.map(Vec::len) else {
                    continue;
                };
                self.nodes[index].lent_busy += 1;
                let time = self.now + batch_time(messages) / self.scenario.lending_speed;
                let node = index;
                self.at(
                    time,
                    Happening::LentDone {
                        node,
                        borrower,
                        worker,
                    },
                );
            } else {
                break;
            }
        }
        self.dispatch_to_workers(index);
    }

    fn dispatch_to_workers(&mut self, index: usize) {
        let (now, half) = (self.now, self.scenario.round_trip / 2.0);
        let node = &mut self.nodes[index];
        let mut leaving = Vec::new();
        for worker in node.workers.iter_mut().filter(|g| g.batch.is_none()) {
            let take = node.queue.len().min(BATCH);
            if take == 0 {
                break;
            }
            worker.batch = Some(node.queue.drain(..take).collect());
            worker.since = now;
            leaving.push(worker.number);
        }
        for worker in leaving {
            let borrower = index;
            self.at(now + half, Happening::Reaches { borrower, worker });
        }
    }

    fn pressure(&self, node: usize) -> f64 {
        let node = &self.nodes[node];
        let oldest = node.queue.front().map_or(0.0, |(_, at)| self.now - at);
        let tokens = node.queue.len() as f64 * f64::from(TOKENS);
        let own = f64::from(self.scenario.actors) * node.memory.tokens_per_second();
        oldest.max(tokens / own) / self.config.target_delay().as_secs_f64()
    }

    fn offers_to(&self, to: usize) -> Vec<PeerOffer> {
        let others = (0..self.nodes.len()).filter(|from| *from != to && !self.is_cut(to, *from));
        others
            .map(|from| PeerOffer {
                node: name(from),
                offer: self.nodes[from].published.1,
                round_trip: seconds(self.scenario.round_trip),
            })
            .collect()
    }

    fn look(&mut self, index: usize) {
        self.at(self.now + LOOK, Happening::Look { node: index });
        let (now, pressure) = (seconds(self.now), self.pressure(index));
        let (offers, actors) = (self.offers_to(index), self.scenario.actors);
        let config = self.config.clone();
        let age = self.now;
        let node = &mut self.nodes[index];
        node.memory.observe(&node.totals, now);
        let lending = SpareCapacitySnapshot {
            warm: actors,
            arrivals: node.memory.arrivals(),
            tokens_per_second: node.memory.tokens_per_second(),
            pressure,
            is_helped: !node.workers.is_empty(),
            is_closing: false,
        };
        node.offer = Offer {
            credits: credits(&lending, &config),
            tokens_per_second: node.memory.tokens_per_second(),
            ..Offer::default()
        };
        if age - node.published.0 >= OFFER_AGE {
            node.published = (age, node.offer);
        }
        let view = |worker: &Worker| RemoteWorkerView {
            number: worker.number,
            node: name(worker.peer),
            doing: match &worker.batch {
                Some(batch) => RemoteWorkerState::Busy(batch.len() as u32 * TOKENS),
                None => RemoteWorkerState::Idle,
            },
            since: seconds(worker.since),
            leaving: worker.leaving,
        };
        let mut snapshot = OffloadSnapshot {
            warm: actors,
            cold_start: Duration::from_secs(2),
            waiting_tokens: node.queue.len() as u64 * u64::from(TOKENS),
            batch_tokens: node.queue.len().clamp(1, BATCH) as u32 * TOKENS,
            pressure,
            workers: node.workers.iter().map(view).collect(),
            ..OffloadSnapshot::default()
        };
        node.memory.complete(&mut snapshot, offers, &config, now);
        let decision = decide_offload(&snapshot, &config, now);
        self.carry_out(index, &decision, &config);
        debug_assert!(snapshot.peers.iter().all(|peer| trip(peer, 1) >= 0.0));
    }

    /// Recalls, stops and starts remote workers of a node as decided.
    fn carry_out(&mut self, index: usize, decision: &OffloadDecision, config: &OffloadConfig) {
        let now = seconds(self.now);
        for (number, _) in &decision.recall {
            let peer = self.peer_of(index, *number).map(name);
            let error = PeerError::TimedOut(Duration::ZERO);
            if let Some(peer) = peer {
                let memory = &mut self.nodes[index].memory;
                memory.failed(&peer, &error, config, now);
            }
            self.requeue(index, *number);
        }
        for (number, why) in &decision.stop {
            if *why == RemoteWorkerStop::TooSlow
                && let Some(peer) = self.peer_of(index, *number).map(name)
            {
                self.nodes[index].memory.leave_alone(&peer, config, now);
            }
            let workers = &mut self.nodes[index].workers;
            if let Some(worker) = workers.iter_mut().find(|g| g.number == *number) {
                worker.leaving = true;
            }
            workers.retain(|worker| !worker.leaving || worker.batch.is_some());
        }
        for node in &decision.start {
            self.workers += 1;
            self.outcome.workers += 1;
            let peer = (0..self.nodes.len()).find(|peer| name(*peer) == *node);
            let Some(peer) = peer else { continue };
            self.nodes[index].workers.push(Worker {
                number: self.workers,
                peer,
                batch: None,
                since: self.now,
                leaving: false,
            });
        }
    }
}

fn seconds(time: f64) -> Duration {
    Duration::from_secs_f64(time)
}

fn name(node: usize) -> Arc<str> {
    Arc::from(format!("node-{node}"))
}
