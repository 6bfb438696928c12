//! The events of a simulated pool and what they do.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::SimulationConfig;
use super::lanes::Lanes;
use super::report::{DelayReport, Report, Scaling};
use super::trace::{Arrival, SimulatedLane, Trace};
use crate::{ActorCounts, Ceilings, Decision, PoolSnapshot, ScalingPolicy, Totals};

/// A moment's events in the order in which they happen: work ends before more arrives, and the policy
/// sees what has happened up to its tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    BatchDone { actor: u32 },
    ActorWarm { actor: u32 },
    Arrival { id: usize },
    Tick,
}

#[derive(Debug)]
struct SimulatedActor {
    spawned: Duration,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Starting,
    Ready,
    Busy {
        batch: Vec<(usize, Arrival)>,
        since: Duration,
        last: bool,
    },
}

/// One run: a pool, a policy and the events between them.
pub(super) struct Engine<'a> {
    config: &'a SimulationConfig,
    trace: &'a Trace,
    policy: &'a mut dyn ScalingPolicy,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    lanes: Lanes,
    actors: BTreeMap<u32, SimulatedActor>,
    spawned: u32,
    in_flight_tokens: u64,
    idle_since: Option<Duration>,
    totals: Totals,
    /// Answers by message id: a message is lost or doubled if this is not exactly one.
    answers: Vec<u32>,
    delays: [Vec<Duration>; 3],
    actor_time: Duration,
    scalings: Vec<Scaling>,
    peak_actors: u32,
    peak_waiting_tokens: u64,
    peak_unmet_actors: u32,
}

impl<'a> Engine<'a> {
    pub(super) fn new(
        config: &'a SimulationConfig,
        trace: &'a Trace,
        policy: &'a mut dyn ScalingPolicy,
    ) -> Self {
        let mut engine = Self {
            config,
            trace,
            policy,
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            lanes: Lanes::default(),
            actors: BTreeMap::new(),
            spawned: 0,
            in_flight_tokens: 0,
            idle_since: Some(Duration::ZERO),
            totals: Totals::default(),
            answers: vec![0; trace.arrivals.len()],
            delays: [const { Vec::new() }; 3],
            actor_time: Duration::ZERO,
            scalings: Vec::new(),
            peak_actors: 0,
            peak_waiting_tokens: 0,
            peak_unmet_actors: 0,
        };
        for _ in 0..config.bounds.min {
            let actor = engine.spawn();
            engine.set_phase(actor, Phase::Ready);
        }
        engine.schedule(Duration::ZERO, Event::Tick);
        engine.schedule_arrival(0);
        engine
    }

    pub(super) fn run(mut self) -> Report {
        let end = self.trace.duration + self.config.tail;
        let patience = end + self.config.patience;
        while let Some(Reverse((at, event))) = self.events.pop() {
            if at > patience || (at > end && self.is_idle()) {
                break;
            }
            self.now = at;
            self.handle(event);
            self.dispatch();
            self.peak_waiting_tokens = self.peak_waiting_tokens.max(self.lanes.tokens());
            self.peak_actors = self.peak_actors.max(self.actors.len() as u32);
            self.idle_since = self.is_idle().then(|| self.idle_since.unwrap_or(at));
        }
        self.report()
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrival { id } => self.arrive(id),
            Event::ActorWarm { actor } => self.set_phase(actor, Phase::Ready),
            Event::BatchDone { actor } => self.finish_batch(actor),
            Event::Tick => self.tick(),
        }
    }

    fn arrive(&mut self, id: usize) {
        let arrival = self.trace.arrivals[id];
        self.totals.arrived_jobs += 1;
        self.totals.arrived_tokens += arrival.tokens;
        self.lanes.push(id, arrival);
        self.schedule_arrival(id + 1);
    }

    /// Gives batches to free actors. A free actor takes what is queued at once.
    fn dispatch(&mut self) {
        while !self.lanes.is_empty() {
            let free = self
                .actors
                .iter()
                .find(|(_, actor)| matches!(actor.phase, Phase::Ready));
            let Some((&id, _)) = free else { break };
            let batch = self.lanes.take_batch(self.config.batch_tokens);
            let tokens: u64 = batch.iter().map(|(_, arrival)| arrival.tokens).sum();
            self.in_flight_tokens += tokens;
            self.set_phase(
                id,
                Phase::Busy {
                    batch,
                    since: self.now,
                    last: false,
                },
            );
            let duration = self.config.batch_time(tokens, self.busy_actors());
            self.schedule(self.now + duration, Event::BatchDone { actor: id });
        }
    }

    fn finish_batch(&mut self, id: u32) {
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        let Phase::Busy { batch, since, last } = std::mem::replace(&mut actor.phase, Phase::Ready)
        else {
            return;
        };
        self.totals.busy += self.now - since;
        for (message, arrival) in batch {
            self.in_flight_tokens -= arrival.tokens;
            self.totals.completed_jobs += 1;
            self.totals.completed_tokens += arrival.tokens;
            self.answers[message] += 1;
            self.delays[arrival.lane.index()].push(self.now - arrival.at);
        }
        if last {
            self.stop(id);
        }
    }

    fn tick(&mut self) {
        let snapshot = self.snapshot();
        let decision = self.policy.decide(&snapshot, self.now);
        self.peak_unmet_actors = self.peak_unmet_actors.max(decision.unmet_actors);
        self.resize(&decision);
        self.schedule(self.now + self.policy.interval(), Event::Tick);
    }

    fn snapshot(&self) -> PoolSnapshot {
        let actors = self.counts();
        let existing = self.actors.len() as u32;
        PoolSnapshot {
            actors,
            bounds: self.config.bounds,
            ceilings: Ceilings {
                cores: self.config.most_actors.saturating_sub(existing),
                memory: u32::MAX,
            },
            queued: self.lanes.backlogs(),
            in_flight_tokens: self.in_flight_tokens,
            lag_tokens: 0,
            oldest_wait: self.lanes.oldest_waits(self.now),
            totals: self.totals,
            cold_start: self.config.cold_start,
            idle_since: self.idle_since,
        }
    }

    fn counts(&self) -> ActorCounts {
        let mut counts = ActorCounts::default();
        for actor in self.actors.values() {
            match actor.phase {
                Phase::Starting => counts.starting += 1,
                Phase::Ready => counts.ready += 1,
                Phase::Busy { last: false, .. } => counts.busy += 1,
                Phase::Busy { last: true, .. } => counts.draining += 1,
            }
        }
        counts
    }

    fn busy_actors(&self) -> u32 {
        self.counts().busy + self.counts().draining
    }

    fn resize(&mut self, decision: &Decision) {
        let from = self.counts().owned();
        if decision.target == from {
            return;
        }
        let Decision { target, reason, .. } = *decision;
        self.scalings.push(Scaling {
            at: self.now,
            from,
            to: target,
            reason,
        });
        for _ in from..target {
            let actor = self.spawn();
            self.schedule(
                self.now + self.config.cold_start,
                Event::ActorWarm { actor },
            );
        }
        for _ in target..from {
            self.retire();
        }
    }

    /// Stops the actor that costs least to lose: one without work, else one that is not warm yet,
    /// else one that then finishes its batch.
    fn retire(&mut self) {
        let rank = |phase: &Phase| match phase {
            Phase::Ready => Some(0),
            Phase::Starting => Some(1),
            Phase::Busy { last: false, .. } => Some(2),
            Phase::Busy { last: true, .. } => None,
        };
        let candidates = self
            .actors
            .iter()
            .filter_map(|(&id, actor)| Some((rank(&actor.phase)?, Reverse(id))));
        let Some((_, Reverse(id))) = candidates.min() else {
            return;
        };
        match self.actors.get_mut(&id).map(|actor| &mut actor.phase) {
            Some(Phase::Busy { last, .. }) => *last = true,
            _ => self.stop(id),
        }
    }

    fn spawn(&mut self) -> u32 {
        let id = self.spawned;
        self.spawned += 1;
        self.actors.insert(
            id,
            SimulatedActor {
                spawned: self.now,
                phase: Phase::Starting,
            },
        );
        id
    }

    fn stop(&mut self, id: u32) {
        if let Some(actor) = self.actors.remove(&id) {
            self.actor_time += self.now - actor.spawned;
        }
    }

    fn set_phase(&mut self, id: u32, phase: Phase) {
        // An actor that was stopped before it was warm is gone.
        if let Some(actor) = self.actors.get_mut(&id) {
            actor.phase = phase;
        }
    }

    fn is_idle(&self) -> bool {
        self.lanes.is_empty() && self.in_flight_tokens == 0
    }

    fn schedule(&mut self, at: Duration, event: Event) {
        self.events.push(Reverse((at, event)));
    }

    fn schedule_arrival(&mut self, id: usize) {
        if let Some(arrival) = self.trace.arrivals.get(id) {
            self.schedule(arrival.at, Event::Arrival { id });
        }
    }

    fn report(mut self) -> Report {
        let final_actors = self.counts().owned();
        let ids: Vec<u32> = self.actors.keys().copied().collect();
        let in_flight: usize = self
            .actors
            .values()
            .map(|actor| match &actor.phase {
                Phase::Busy { batch, .. } => batch.len(),
                Phase::Starting | Phase::Ready => 0,
            })
            .sum();
        ids.into_iter().for_each(|id| self.stop(id));
        let not_arrived = self.answers.len() as u64 - self.totals.arrived_jobs;
        let unfinished = (self.lanes.messages() + in_flight) as u64 + not_arrived;
        let unanswered = self.answers.iter().filter(|&&answers| answers == 0).count() as u64;
        let duplicates = self
            .answers
            .iter()
            .map(|&n| u64::from(n.saturating_sub(1)))
            .sum();
        let all = DelayReport::of(self.delays.concat());
        let lanes = SimulatedLane::ALL
            .into_iter()
            .zip(self.delays)
            .filter(|(_, delays)| !delays.is_empty())
            .map(|(lane, delays)| (lane, DelayReport::of(delays)))
            .collect();
        Report {
            policy: self.policy.name().to_owned(),
            lanes,
            all,
            actor_seconds: self.actor_time.as_secs_f64(),
            scalings: self.scalings,
            peak_actors: self.peak_actors,
            final_actors,
            peak_waiting_tokens: self.peak_waiting_tokens,
            peak_unmet_actors: self.peak_unmet_actors,
            lost: unanswered.saturating_sub(unfinished),
            duplicates,
            unfinished,
            simulated: self.now,
        }
    }
}
