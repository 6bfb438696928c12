//! The pools of a node, which come and go with models.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use babelmesh_actors::{
    TextOptions,
    domain::Language,
    events::Observer,
    intake::{IntakeMessage, Route},
    offload::Peers,
    pool::{
        ActorStatus, Applied, NodeBudget, PoolLag, PoolMessage, PoolSpec, PoolStart,
        PoolSupervisor, Unloaded,
    },
    routing::Capability,
};
use babelmesh_models::Model;
use ractor::{Actor, ActorCell, ActorRef, MessagingErr, rpc::CallResult};
use tokio::time::Instant;

use super::{BrokenModel, actors, engines};
use crate::{cache::Cache, config::Config, events::NodeEvent};

/// How long an intake or a pool may take to answer.
const WAIT: Duration = Duration::from_secs(5);
/// How long a new version of a model may take to start.
const WARM: Duration = Duration::from_secs(40);
/// How often a new pool is asked whether it has started.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

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

    /// Replaces a model by the version that is in its folder now. The old version serves until an engine has loaded the
    /// new one and translated its warm-up texts; then the old pool has this time to finish its jobs, and the rest goes
    /// to the new one.
    ///
    /// # Errors
    /// When the model has no pool, or the new version does not start. The old one stays in use then.
    pub(super) async fn reload(
        &self,
        intake: &ActorRef<IntakeMessage>,
        id: &str,
        within: Duration,
    ) -> Result<Unloaded> {
        let (config, wanted) = (self.config.clone(), id.to_owned());
        let find = move || find(&config, &wanted);
        let model = tokio::task::spawn_blocking(find).await??;
        let (route, entry) = self.start(&model, self.all().len() + 1, true).await?;
        if let Err(error) = warm(&entry.pool).await {
            entry.pool.stop(None);
            let message = format!("the new version of {id} does not start, the old one stays");
            return Err(error.context(message));
        }
        let message = |reply| IntakeMessage::Replace {
            route: Box::new(route),
            within,
            reply,
        };
        let asked = intake.call(message, Some(within + WAIT)).await;
        if asked.is_ok() {
            // The intake uses the new one, even if the old one takes longer to end.
            let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
            entries.retain(|old| old.model != entry.model);
            entries.push(entry);
            self.version.fetch_add(1, Ordering::Release);
        }
        unloaded(asked, id)
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
        unloaded(asked, id)
    }
}

/// The answer of an intake that has ended the pool of a model.
fn unloaded(
    asked: Result<CallResult<Unloaded>, MessagingErr<IntakeMessage>>,
    id: &str,
) -> Result<Unloaded> {
    match asked {
        Ok(CallResult::Success(unloaded)) => Ok(unloaded),
        Ok(CallResult::Timeout) => Err(anyhow!("the pool of {id} has not ended yet")),
        _ => Err(anyhow!("the intake does not answer")),
    }
}

/// Waits until a new pool has an actor that is ready for work.
///
/// # Errors
/// When an actor fails, or none is ready in time.
async fn warm(pool: &ActorRef<PoolMessage>) -> Result<()> {
    let end = Instant::now() + WARM;
    while Instant::now() < end {
        let status = match pool.call(PoolMessage::Status, Some(WAIT)).await {
            Ok(CallResult::Success(status)) => status,
            _ => bail!("its pool does not answer"),
        };
        if let Some(error) = status.failing {
            bail!(error);
        }
        let is_ready = |actor: &ActorStatus| actor.phase.is_warm();
        if status.actors.iter().any(is_ready) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    bail!("no actor is ready after {} s", WARM.as_secs())
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
