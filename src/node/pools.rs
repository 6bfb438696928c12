//! The pools of a node, which come and go with models.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use babelmesh_actors::{
    TextOptions,
    domain::Language,
    events::Observer,
    intake::{IntakeMessage, Route},
    offload::Peers,
    pool::{
        Applied, NodeBudget, PoolLag, PoolMessage, PoolSpec, PoolStart, PoolSupervisor, Unloaded,
    },
    routing::Capability,
};
use babelmesh_models::Model;
use ractor::{Actor, ActorCell, ActorRef, rpc::CallResult};

use super::{BrokenModel, actors, engines};
use crate::{cache::Cache, config::Config, events::NodeEvent};

/// How long an intake may take to answer.
const WAIT: Duration = Duration::from_secs(5);

/// A pool.
#[derive(Clone)]
pub(super) struct PoolEntry {
    pub(super) model: Arc<str>,
    pub(super) pool: ActorRef<PoolMessage>,
    /// Capabilities of the model.
    pub(super) ability: Capability,
    /// Licence of its weights.
    pub(super) licence: Arc<str>,
    /// Its lag input.
    pub(super) lag: PoolLag,
}

/// The pools, and what new ones are made of.
pub(super) struct Pools {
    pub(super) config: Config,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) budget: Arc<NodeBudget>,
    pub(super) peers: Arc<dyn Peers>,
    /// The cache, if enabled.
    pub(super) cache: Option<Arc<Cache>>,
    /// How texts are read for all models.
    pub(super) text: Arc<TextOptions>,
    /// Supervises them.
    pub(super) root: ActorCell,
    pub(super) entries: RwLock<Vec<PoolEntry>>,
    /// Changes whenever `entries` does.
    pub(super) version: AtomicU64,
    /// Models that cannot be served.
    pub(super) broken: RwLock<Vec<BrokenModel>>,
}

impl Pools {
    /// All of them now.
    pub(super) fn all(&self) -> Vec<PoolEntry> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.clone()
    }

    /// The pool of a model.
    pub(super) fn of(&self, model: &str) -> Option<ActorRef<PoolMessage>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let found = entries.iter().find(|entry| *entry.model == *model);
        found.map(|entry| entry.pool.clone())
    }

    /// Languages that they write.
    pub(super) fn written(&self) -> Vec<Language> {
        self.written_without("")
    }

    /// Languages that they write, if the pool of a model were gone.
    pub(super) fn written_without(&self, model: &str) -> Vec<Language> {
        let entries = self.all();
        let others = entries.iter().filter(|entry| *entry.model != *model);
        others
            .flat_map(|entry| entry.ability.targets.iter().copied())
            .collect()
    }

    /// Models that cannot be served.
    pub(super) fn broken(&self) -> Vec<BrokenModel> {
        let broken = self.broken.read().unwrap_or_else(PoisonError::into_inner);
        broken.clone()
    }

    /// Reports a model that cannot be served.
    pub(super) fn report_broken(&self, model: BrokenModel) {
        NodeEvent::ModelBroken {
            model: &model.model,
            error: &model.error,
        }
        .emit();
        let mut broken = self.broken.write().unwrap_or_else(PoisonError::into_inner);
        broken.push(model);
    }

    /// Starts a pool on a node with so many models, with an actor at once or when its bounds ask for one. The route is for the intake; the entry counts once it is [added](Self::add).
    ///
    /// # Errors
    /// When an engine executable is missing or a model's form cannot be made.
    pub(super) async fn start(
        &self,
        model: &Model,
        models: usize,
        initial: bool,
    ) -> Result<(Route, PoolEntry)> {
        let (config, observer) = (self.config.clone(), Arc::clone(&self.observer));
        let of = model.clone();
        // Making an engine's form of a model reads and writes files.
        let make = move || engines::factory(&config, &of, observer);
        let engines = tokio::task::spawn_blocking(make).await??;
        let ability = actors::ability(model)?;
        let space = actors::space(&self.config, model, engines.name());
        let lag = PoolLag::default();
        let text = actors::model_text(model, &self.text);
        let spec = PoolSpec {
            text: Arc::clone(&text),
            ..actors::spec(
                &self.config,
                model,
                (ability.clone(), space.clone()),
                models,
                initial,
            )
        };
        let start = PoolStart {
            spec,
            engines,
            policy: actors::policy(&self.config),
            budget: Arc::clone(&self.budget),
            observer: Arc::clone(&self.observer),
            warm_up: actors::warm_up(model),
            lag: lag.clone(),
            peers: Arc::clone(&self.peers),
            cache: self.cache.clone().map(|cache| cache as _),
        };
        let (pool, _) = Actor::spawn_linked(None, PoolSupervisor, start, self.root.clone()).await?;
        let entry = PoolEntry {
            model: Arc::from(model.id()),
            pool: pool.clone(),
            ability: ability.clone(),
            licence: Arc::from(model.manifest().licence.as_str()),
            lag,
        };
        let route = Route {
            model: Arc::clone(&entry.model),
            ability,
            pool,
            text,
            space: self.cache.is_some().then_some(space),
        };
        Ok((route, entry))
    }

    pub(super) fn add(&self, entry: PoolEntry) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.push(entry);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Loads a model of the configured folders, and has the intake use it.
    ///
    /// # Errors
    /// When there is no such model, or it cannot be loaded.
    pub(super) async fn load(&self, intake: &ActorRef<IntakeMessage>, id: &str) -> Result<Applied> {
        if self.of(id).is_some() {
            return Ok(Applied::Unchanged);
        }
        let (config, wanted) = (self.config.clone(), id.to_owned());
        // Manifests are read and digests compared.
        let find = move || find(&config, &wanted);
        let model = tokio::task::spawn_blocking(find).await??;
        let (route, entry) = self.start(&model, self.all().len() + 1, true).await?;
        let asked = intake.call(
            |reply| IntakeMessage::Load(Box::new(route), reply),
            Some(WAIT),
        );
        match asked.await {
            Ok(CallResult::Success(Applied::Changed)) => {
                self.add(entry);
                let mut broken = self.broken.write().unwrap_or_else(PoisonError::into_inner);
                broken.retain(|broken| broken.model != id);
                Ok(Applied::Changed)
            }
            other => {
                entry.pool.stop(None);
                match other {
                    Ok(CallResult::Success(applied)) => Ok(applied),
                    _ => Err(anyhow!("the intake does not answer")),
                }
            }
        }
    }

    /// Removes a model from the intake, and stops its pool. Unfinished jobs are returned after this time.
    ///
    /// # Errors
    /// When the intake does not answer.
    pub(super) async fn unload(
        &self,
        intake: &ActorRef<IntakeMessage>,
        id: &str,
        within: Duration,
    ) -> Result<Unloaded> {
        let message = |reply| IntakeMessage::Unload {
            model: Arc::from(id),
            within,
            reply,
        };
        let asked = intake.call(message, Some(within + WAIT)).await;
        if asked.is_ok() {
            // The intake uses it no more, even if its pool takes longer to end.
            let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
            entries.retain(|entry| *entry.model != *id);
            self.version.fetch_add(1, Ordering::Release);
        }
        match asked {
            Ok(CallResult::Success(unloaded)) => Ok(unloaded),
            Ok(CallResult::Timeout) => Err(anyhow!("the pool of {id} has not ended yet")),
            _ => Err(anyhow!("the intake does not answer")),
        }
    }
}

/// A model of the configured folders.
fn find(config: &Config, id: &str) -> Result<Model> {
    let (registry, errors) = engines::usable(config);
    let found = registry.get(id).cloned();
    found.with_context(|| {
        let known: Vec<_> = registry.iter().map(Model::id).collect();
        let (known, errors) = (known.join(", "), engines::lines(&errors));
        format!("no usable model {id} in models.directories: found {known}{errors}")
    })
}
