//! The pool's own model actors, their states and batches.

mod member;

use std::{collections::HashMap, sync::Arc, time::Duration};

use babelmesh_engine_protocol::LoadReport;
use ractor::{Actor, ActorId, ActorRef, SpawnErr};

use crate::{
    domain::Lane,
    engine::{EngineBatch, EngineFactory, Segment, Usage},
    scaling::ActorCounts,
};

use super::{
    budget::Permit,
    message::PoolMessage,
    model_actor::{ModelActor, ModelStart},
    status::ActorStatus,
};
pub(super) use member::{InFlight, LostWorker, Work};
use member::{Member, Phase};

/// Cold start that is assumed until one was measured.
const ASSUMED_COLD_START: Duration = Duration::from_secs(2);

/// All model actors of a pool with an engine of this node.
pub(super) struct Workers {
    members: HashMap<ActorId, Member>,
    engines: Arc<dyn EngineFactory>,
    /// A text that every engine can translate.
    warm_up: Arc<Segment>,
    cold_start: Option<Duration>,
    /// Last report of an engine.
    last_report: Option<LoadReport>,
}

impl Workers {
    pub(super) fn new(engines: Arc<dyn EngineFactory>, warm_up: Segment) -> Self {
        Self {
            members: HashMap::new(),
            engines,
            warm_up: Arc::new(warm_up),
            cold_start: None,
            last_report: None,
        }
    }

    /// Starts one more.
    pub(super) async fn spawn(
        &mut self,
        name: Arc<str>,
        permit: Permit,
        supervisor: &ActorRef<PoolMessage>,
    ) -> Result<(), SpawnErr> {
        let start = ModelStart {
            engine: self.engines.create(),
            supervisor: supervisor.clone(),
            warm_up: Arc::clone(&self.warm_up),
        };
        let cell = supervisor.get_cell();
        let (actor, _) = Actor::spawn_linked(None, ModelActor, start, cell).await?;
        let id = actor.get_id();
        self.members.insert(id, Member::new(actor, name, permit));
        Ok(())
    }

    /// The engine of a worker is warm. Returns the worker's name.
    pub(super) fn ready(
        &mut self,
        id: ActorId,
        report: LoadReport,
        usage: Usage,
        cold_start: Duration,
    ) -> Option<Arc<str>> {
        let member = self.members.get_mut(&id)?;
        member.ready(&report, usage);
        self.last_report = Some(report);
        self.cold_start = Some(cold_start);
        Some(Arc::clone(member.name()))
    }

    /// The name of a worker.
    pub(super) fn name(&self, id: ActorId) -> Option<&Arc<str>> {
        self.members.get(&id).map(Member::name)
    }

    /// Assigns a batch to a worker, and tracks it.
    pub(super) fn assign(&mut self, id: ActorId, batch: EngineBatch, in_flight: InFlight) {
        if let Some(member) = self.members.get_mut(&id) {
            member.assign(batch, in_flight);
        }
    }

    /// A worker answered its batch. Returns the worker's name, and the batch.
    pub(super) fn answered(&mut self, id: ActorId, usage: Usage) -> Option<(Arc<str>, InFlight)> {
        let member = self.members.get_mut(&id)?;
        let batch = member.answered(usage)?;
        Some((Arc::clone(member.name()), batch))
    }

    /// Stops an idle worker. Returns its name.
    pub(super) fn retire(&mut self, id: ActorId) -> Option<Arc<str>> {
        let member = self.members.get_mut(&id)?;
        member.retire();
        Some(Arc::clone(member.name()))
    }

    /// A worker stopped without a failure. Removes it and returns true if that was requested.
    pub(super) fn ended(&mut self, id: ActorId) -> bool {
        let is_expected = |member: &Member| matches!(member.phase(), Phase::Draining);
        let expected = self.members.get(&id).is_none_or(is_expected);
        if expected {
            self.members.remove(&id);
        }
        expected
    }

    /// A worker failed. Forgets it.
    pub(super) fn lost(&mut self, id: ActorId) -> Option<LostWorker> {
        self.members.remove(&id).map(Member::lost)
    }

    /// An idle worker.
    pub(super) fn idle(&self) -> Option<ActorId> {
        self.find(|phase| matches!(phase, Phase::Idle))
    }

    /// The worker that is cheapest to stop: one that is still starting, else an idle one. Busy workers are never stopped.
    pub(super) fn most_dispensable(&self) -> Option<ActorId> {
        self.find(|phase| matches!(phase, Phase::Starting))
            .or_else(|| self.idle())
    }

    fn find(&self, is: impl Fn(&Phase) -> bool) -> Option<ActorId> {
        let mut all = self.members.iter();
        all.find(|(_, member)| is(member.phase()))
            .map(|(id, _)| *id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn counts(&self) -> ActorCounts {
        let mut counts = ActorCounts::default();
        for member in self.members.values() {
            match member.phase() {
                Phase::Starting => counts.starting += 1,
                Phase::Idle => counts.ready += 1,
                Phase::Busy(_) => counts.busy += 1,
                Phase::Draining => counts.draining += 1,
            }
        }
        counts
    }

    /// Whether a worker has a batch.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight().next().is_some()
    }

    /// Whether every worker is idle.
    pub(super) fn all_idle(&self) -> bool {
        let mut all = self.members.values();
        all.all(|member| matches!(member.phase(), Phase::Idle))
    }

    /// Workers that are busy with bulk work.
    pub(super) fn on_bulk(&self) -> usize {
        self.in_flight()
            .filter(|batch| batch.lane == Lane::Any)
            .count()
    }

    /// Batches of peers that workers have.
    pub(super) fn lent(&self) -> usize {
        self.in_flight()
            .filter(|batch| matches!(batch.work, Work::Lent(_)))
            .count()
    }

    /// Tokens that workers have.
    pub(super) fn in_flight_tokens(&self) -> u64 {
        self.in_flight().map(|batch| u64::from(batch.tokens)).sum()
    }

    fn in_flight(&self) -> impl Iterator<Item = &InFlight> {
        self.members.values().filter_map(Member::batch)
    }

    /// Time from a worker's start to its first batch.
    pub(super) fn cold_start(&self) -> Duration {
        self.cold_start.unwrap_or(ASSUMED_COLD_START)
    }

    /// The numeric type that the engines translate in, as they reported it; none while they differ or none has reported yet.
    pub(super) fn numeric(&self) -> Option<&str> {
        let reported = self.members.values().filter_map(Member::numeric);
        let last = self.last_report.as_ref();
        agreed(reported, last.map(|report| report.numeric.as_str()))
    }

    /// Name of the engine.
    pub(super) fn engine(&self) -> &str {
        self.engines.name()
    }

    /// Whether an engine is asked which stand-ins for tokens it copies.
    pub(super) fn is_probed(&self) -> bool {
        self.engines.is_probed()
    }

    /// A text that every engine can translate.
    pub(super) fn warm_up(&self) -> Arc<Segment> {
        Arc::clone(&self.warm_up)
    }

    pub(super) fn status(&self) -> Vec<ActorStatus> {
        let mut all: Vec<_> = self.members.values().map(Member::status).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// The numeric type that all actors reported, or without actors the last one.
fn agreed<'a>(
    mut reported: impl Iterator<Item = &'a str>,
    last: Option<&'a str>,
) -> Option<&'a str> {
    let numeric = reported.next().or(last)?;
    reported.all(|other| other == numeric).then_some(numeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numeric_type_of_a_pool_is_the_one_that_all_actors_reported() {
        let of = |reported: &[&'static str], last| agreed(reported.iter().copied(), last);
        assert_eq!(of(&[], None), None);
        assert_eq!(of(&["int8", "int8"], Some("int8")), Some("int8"));
        assert_eq!(of(&["int8", "float32"], Some("int8")), None);
        assert_eq!(of(&[], Some("int8")), Some("int8"));
    }
}
