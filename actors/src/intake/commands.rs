//! Runtime changes by operators: paused languages; loaded, replaced and unloaded models.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::{
    domain::{ErrorCode, Language, RequestError},
    events::Event,
    pool::{Applied, PoolMessage, Unloaded},
    routing::Capability,
};

use super::{IntakeMessage, IntakeState, IntakeStatus, Route, failover, segmentation::Turn};

/// Active operator overrides.
#[derive(Default)]
pub(super) struct OperatorOverrides {
    paused: BTreeSet<Language>,
    /// Capabilities of unloaded models: a job that only they could do fails with `model_unavailable`, not with an unsupported pair.
    unloaded: BTreeMap<Arc<str>, Capability>,
}

impl OperatorOverrides {
    /// The error of a pair that an unloaded model served.
    pub(super) fn unloaded_error(
        &self,
        source: Language,
        target: Language,
    ) -> Option<RequestError> {
        let (model, _) = self
            .unloaded
            .iter()
            .find(|(_, ability)| ability.serves(source, target))?;
        let message = format!("model {model}, which translates {source} to {target}, was unloaded");
        Some(RequestError {
            is_lasting: true,
            ..RequestError::new(ErrorCode::ModelUnavailable, message)
        })
    }
}

/// Languages that some model reads.
pub(super) fn sources(routes: &[Route]) -> Vec<Language> {
    let all = routes.iter().flat_map(|route| &route.ability.sources);
    let mut sources: Vec<_> = all.copied().collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

impl IntakeState {
    pub(super) fn pause(&mut self, target: Language) -> Result<Applied, ActorProcessingErr> {
        let changed = self.overrides.paused.insert(target);
        if changed {
            self.tell_pools(target, true)?;
            self.start
                .observer
                .observe(&Event::LanguagePaused { target });
        }
        Ok(Applied::of(changed))
    }

    pub(super) fn resume(&mut self, target: Language) -> Result<Applied, ActorProcessingErr> {
        let changed = self.overrides.paused.remove(&target);
        if changed {
            self.tell_pools(target, false)?;
            self.start
                .observer
                .observe(&Event::LanguageResumed { target });
        }
        Ok(Applied::of(changed))
    }

    /// Lets all languages go on.
    pub(super) fn release(&mut self) -> Result<(), ActorProcessingErr> {
        for target in std::mem::take(&mut self.overrides.paused) {
            self.tell_pools(target, false)?;
        }
        Ok(())
    }

    fn tell_pools(&self, target: Language, hold: bool) -> Result<(), ActorProcessingErr> {
        for route in &self.start.routes {
            route.pool.cast(PoolMessage::HoldBack { target, hold })?;
        }
        Ok(())
    }

    pub(super) fn load(
        &mut self,
        route: Route,
        myself: &ActorRef<IntakeMessage>,
    ) -> Result<Applied, ActorProcessingErr> {
        if self.start.routes.iter().any(|r| r.model == route.model) {
            return Ok(Applied::Unchanged);
        }
        for target in self.overrides.paused.iter().copied() {
            let hold = true;
            route.pool.cast(PoolMessage::HoldBack { target, hold })?;
        }
        self.overrides.unloaded.remove(&route.model);
        failover::watch(&route, myself)?;
        let model = Arc::clone(&route.model);
        self.start.routes.push(route);
        self.sources = sources(&self.start.routes);
        self.start.observer.observe(&Event::ModelLoaded { model });
        self.hand_over()?;
        Ok(Applied::Changed)
    }

    /// Carries out what had to wait until no text is being parsed.
    pub(super) fn take_turn(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        turn: Turn,
    ) -> Result<(), ActorProcessingErr> {
        match turn {
            Turn::Unload {
                model,
                within,
                reply,
            } => self.unload(model, within, reply),
            Turn::Replace {
                route,
                within,
                reply,
            } => self.replace(myself, *route, within, reply),
        }
    }

    /// Replaces the route of a model and unloads the old pool, which sends the reply.
    fn replace(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        route: Route,
        within: Duration,
        reply: RpcReplyPort<Unloaded>,
    ) -> Result<(), ActorProcessingErr> {
        let mut routes = self.start.routes.iter();
        let Some(index) = routes.position(|old| old.model == route.model) else {
            let _ = reply.send(Unloaded::default());
            return Ok(());
        };
        for target in self.overrides.paused.iter().copied() {
            let hold = true;
            route.pool.cast(PoolMessage::HoldBack { target, hold })?;
        }
        let model = Arc::clone(&route.model);
        self.broken.remove(&model);
        let old = std::mem::replace(&mut self.start.routes[index], route);
        failover::watch(&self.start.routes[index], myself)?;
        self.sources = sources(&self.start.routes);
        self.start.observer.observe(&Event::ModelReplaced { model });
        // Messages keep their order: the pool has everything that was submitted to it. Jobs that it hands back go to the new pool.
        old.pool.cast(PoolMessage::Unload { within, reply })?;
        self.hand_over()
    }

    /// Removes the route of a model and unloads its pool, which sends the reply.
    fn unload(
        &mut self,
        model: Arc<str>,
        within: Duration,
        reply: RpcReplyPort<Unloaded>,
    ) -> Result<(), ActorProcessingErr> {
        let routes = &mut self.start.routes;
        let Some(index) = routes.iter().position(|route| route.model == model) else {
            let _ = reply.send(Unloaded::default());
            return Ok(());
        };
        let route = routes.remove(index);
        self.broken.remove(&route.model);
        self.sources = sources(routes);
        let model = Arc::clone(&route.model);
        self.overrides
            .unloaded
            .insert(Arc::clone(&model), route.ability);
        self.start
            .observer
            .observe(&Event::ModelUnloading { model });
        // Everything that was submitted to it is before this message.
        route.pool.cast(PoolMessage::Unload { within, reply })?;
        Ok(())
    }

    pub(super) fn status(&self) -> IntakeStatus {
        IntakeStatus {
            models: self
                .start
                .routes
                .iter()
                .map(|route| Arc::clone(&route.model))
                .collect(),
            paused: self.overrides.paused.iter().copied().collect(),
            waiting: self.waiting.jobs(),
        }
    }
}
