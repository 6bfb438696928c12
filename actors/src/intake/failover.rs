//! Failover: work of broken models goes to other models of the same language pairs.

use std::sync::Arc;

use ractor::{ActorId, ActorProcessingErr, ActorRef};
use tokio::time::Instant;

use crate::{
    domain::{ErrorCode, JobOutcome, Locality},
    pool::{Alternatives, PoolMessage},
    remote_nodes::Place,
};

use super::{
    IntakeMessage, IntakeState, Route, pivot::Models, placement::Wanted, resolution::Resolved,
};

/// Subscribes to the condition of a route's pool.
pub(super) fn watch(
    route: &Route,
    intake: &ActorRef<IntakeMessage>,
) -> Result<(), ActorProcessingErr> {
    let (model, pool, intake) = (
        Arc::clone(&route.model),
        route.pool.get_id(),
        intake.clone(),
    );
    let watch = move |broken| {
        let model = Arc::clone(&model);
        // If the intake fails, the node exits.
        let _ = intake.cast(IntakeMessage::Condition {
            model,
            pool,
            broken,
        });
    };
    Ok(route.pool.cast(PoolMessage::Watch(Box::new(watch)))?)
}

impl IntakeState {
    /// Whether a route's model works, as far as is known.
    pub(super) fn works(&self, route: &Route) -> bool {
        !self.broken.contains(&route.model)
    }

    /// Records whether the pool of a model is broken. Reports of a pool that was replaced are ignored.
    pub(super) fn condition(
        &mut self,
        model: Arc<str>,
        pool: ActorId,
        broken: bool,
    ) -> Result<(), ActorProcessingErr> {
        let mut routes = self.start.routes.iter();
        let route = routes.find(|route| route.model == model);
        if route.is_some_and(|route| route.pool.get_id() != pool) {
            return Ok(());
        }
        let is_here = route.is_some();
        match broken && is_here {
            true => self.broken.insert(model),
            false => self.broken.remove(&model),
        };
        self.hand_over()
    }

    /// Asks broken pools to hand back the jobs that other models can do.
    pub(super) fn hand_over(&self) -> Result<(), ActorProcessingErr> {
        if self.broken.is_empty() || self.is_stopping() {
            return Ok(());
        }
        let (working, broken): (Vec<_>, Vec<_>) = self
            .start
            .routes
            .iter()
            .partition(|route| self.works(route));
        let here: Vec<_> = working.iter().map(|route| route.ability.clone()).collect();
        let elsewhere = self.start.remote_nodes.remote_capabilities();
        if here.is_empty() && elsewhere.now().is_empty() {
            return Ok(());
        }
        for route in broken {
            let pivot = self.start.pivot.clone();
            let others = Alternatives::new(here.clone(), Arc::clone(&elsewhere), pivot);
            route.pool.cast(PoolMessage::HandOver(others))?;
        }
        Ok(())
    }

    /// Offers jobs again at once if another model can do them now. This counts as a try, up to the number of retries (at least 1). Returns the other
    /// jobs.
    pub(super) fn fail_over(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        outcomes: Vec<JobOutcome>,
        tries: u32,
    ) -> Result<Vec<JobOutcome>, ActorProcessingErr> {
        let most = self.start.retry.attempts.max(1);
        if self.is_stopping() || tries >= most {
            return Ok(outcomes);
        }
        let now = Instant::now();
        let (again, others): (Vec<_>, Vec<_>) = outcomes
            .into_iter()
            .partition(|outcome| self.has_another(outcome, now, tries));
        if !again.is_empty() {
            let orders = again.into_iter().map(|outcome| outcome.order);
            self.accept(myself, orders.collect(), tries + 1)?;
        }
        Ok(others)
    }

    /// Whether another working model exists for a job that failed without one.
    fn has_another(&self, outcome: &JobOutcome, now: Instant, tries: u32) -> bool {
        let order = &outcome.order;
        let error = outcome.result.as_ref().err();
        let Some(error) = error.filter(|error| error.code == ErrorCode::ModelUnavailable) else {
            return false;
        };
        if matches!(order.locality, Locality::Model(_)) {
            return false;
        }
        match self.contained(|| self.resolve(order, now, tries + 1)) {
            Ok(Ok(Resolved {
                source,
                target,
                place: Some(place),
                ..
            })) => match place {
                Place::Here(route) => self.works(&self.start.routes[route]),
                // A job that returned from another node is retried after a delay.
                Place::Remote => error.is_lasting,
                Place::Over(_) => {
                    let tier = order.request.model_type;
                    let wanted = Wanted {
                        source,
                        target,
                        tier,
                    };
                    self.pivot(wanted, order, Models::Working).is_some()
                }
                Place::Better(_) | Place::Nowhere(_) => false,
            },
            _ => false,
        }
    }
}
