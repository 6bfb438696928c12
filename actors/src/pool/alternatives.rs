//! Other models for the jobs of a broken pool.

use std::{collections::HashMap, sync::Arc};

use crate::{
    domain::{Job, Language, Leg, Locality, ModelType},
    remote_nodes::RemoteCapabilities,
    routing::{Capability, PivotPolicy, choose_pivot},
};

/// Models that can take over jobs of a broken pool.
#[derive(Debug)]
pub struct Alternatives {
    here: Vec<Capability>,
    elsewhere: Arc<RemoteCapabilities>,
    pivot: PivotPolicy,
    /// Answers so far: jobs of a pool are of few kinds.
    known: HashMap<JobKind, bool>,
}

/// The properties of a job that decide which models can do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct JobKind {
    pair: (Language, Language),
    tier: ModelType,
    may_leave: bool,
    may_pivot: bool,
}

impl Alternatives {
    /// The other models of this node that work, those of other nodes, and which pairs go over a pivot.
    #[must_use]
    pub fn new(
        here: Vec<Capability>,
        elsewhere: Arc<RemoteCapabilities>,
        pivot: PivotPolicy,
    ) -> Self {
        Self {
            here,
            elsewhere,
            pivot,
            known: HashMap::new(),
        }
    }

    /// Whether one of these models can do a job now, directly or over a pivot.
    #[must_use]
    pub fn serve(&mut self, job: &Job) -> bool {
        let order = &job.order;
        if matches!(order.locality, Locality::Model(_)) {
            return false;
        }
        let kind = JobKind {
            pair: (job.source, job.target),
            tier: order.request.model_type,
            may_leave: order.locality.may_leave(),
            may_pivot: order.leg == Leg::Whole,
        };
        if let Some(known) = self.known.get(&kind) {
            return *known;
        }
        let found = self.find(kind);
        self.known.insert(kind, found);
        found
    }

    fn find(&self, kind: JobKind) -> bool {
        let elsewhere = match kind.may_leave {
            true => self.elsewhere.now(),
            false => &[],
        };
        let (source, target) = kind.pair;
        let all = || self.here.iter().chain(elsewhere);
        all().any(|model| model.serves(source, target))
            || kind.may_pivot && choose_pivot(all(), kind.pair, kind.tier, &self.pivot).is_some()
    }
}
