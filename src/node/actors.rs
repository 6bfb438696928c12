//! The actors of a node: a root that supervises the intake and a pool for each model.

use std::{
    sync::{Arc, RwLock, atomic::AtomicU64},
    time::Duration,
};

use anyhow::{Context, Result};
use babelmesh_actors::{
    ModelText, TextOptions,
    cache::CacheSpace,
    domain::Language,
    engine::Segment,
    events::Observer,
    glossaries::Glossaries,
    intake::{Intake, IntakeMessage, IntakeStart, Route},
    offload::Peers,
    pool::{BatchBudget, PoolMessage, PoolSpec, PoolStatus, SharingConfig},
    remote_nodes::RemoteNodes,
    retry::RetryPolicy,
    routing::Capability,
    scaling::{Bounds, DelayTarget, ScalingPolicy, Threshold},
    text::recognise::Patterns,
};
use babelmesh_models::Model;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent, rpc::CallResult};

use super::{
    BrokenModel,
    engines::{self, Selection},
    limits,
    pools::{PoolEntry, Pools},
};
use crate::{
    cache::Cache,
    config::{Config, PolicyKind, TextConfig},
    failure::Failures,
};

/// How long all actors may take to end.
const STOP: Duration = Duration::from_secs(2);

/// What actors work with beside each other: pools of other nodes, other nodes as a whole, and glossaries.
pub(crate) type Around = (Arc<dyn Peers>, Arc<dyn RemoteNodes>, Arc<Glossaries>);

/// The actors of a node.
pub struct Actors {
    root: ActorRef<NoMessage>,
    intake: ActorRef<IntakeMessage>,
    pools: Arc<Pools>,
    models: Vec<Model>,
}

impl Actors {
    /// Starts pools for models and an intake before them. Returns before any model is warm. A model whose pool cannot be started is reported and left out.
    ///
    /// # Errors
    /// When no pool can be started, or the certificates of a Redis cannot be read. What was started is stopped.
    pub(crate) async fn start(
        config: &Config,
        selection: Selection,
        observer: Arc<dyn Observer>,
        failures: Failures,
        around: Around,
    ) -> Result<Self> {
        let (root, _) = Actor::spawn(None, Root, failures).await?;
        let started = Self::start_below(&root, config, selection, observer, around).await;
        if started.is_err() {
            let _ = root.stop_and_wait(None, Some(STOP)).await;
        }
        started
    }

    async fn start_below(
        root: &ActorRef<NoMessage>,
        config: &Config,
        selection: Selection,
        observer: Arc<dyn Observer>,
        (peers, remote_nodes, glossaries): Around,
    ) -> Result<Self> {
        let pools = Pools {
            config: config.clone(),
            observer: Arc::clone(&observer),
            budget: limits::budget(&config.limits),
            peers,
            cache: Cache::start(&config.cache)?,
            text: text_options(&config.text)?,
            root: root.get_cell(),
            entries: RwLock::default(),
            version: AtomicU64::default(),
            broken: RwLock::default(),
        };
        for broken in selection.broken {
            pools.report_broken(broken);
        }
        let mut models = selection.models;
        let routes = start_pools(&pools, &models).await?;
        models.retain(|model| pools.of(model.id()).is_some());
        let max_text_chars = config.intake.max_text_chars;
        let start = IntakeStart {
            routes,
            max_text_chars,
            retry: RetryPolicy {
                attempts: config.retry.attempts,
                first: Duration::from_millis(config.retry.initial_backoff_ms),
                most: Duration::from_millis(config.retry.max_backoff_ms),
            },
            observer,
            pivot: config.models.pivots(),
            escalation: config.models.escalation.policy(),
            glossaries,
            remote_nodes,
            max_wait: Duration::from_millis(config.pool.unavailable_after_ms),
        };
        let (intake, _) = Actor::spawn_linked(None, Intake, start, root.get_cell()).await?;
        Ok(Self {
            root: root.clone(),
            intake,
            pools: Arc::new(pools),
            models,
        })
    }

    /// The models that it was started with and that can be served.
    pub(super) fn models(&self) -> &[Model] {
        &self.models
    }

    /// The intake.
    #[must_use]
    pub fn intake(&self) -> ActorRef<IntakeMessage> {
        self.intake.clone()
    }

    /// The pools.
    pub(super) const fn pools(&self) -> &Arc<Pools> {
        &self.pools
    }

    /// Lag inputs of pools.
    pub(super) fn lags(&self) -> PoolLags {
        PoolLags(Arc::clone(&self.pools))
    }

    /// Whether every pool has a warm model actor, or needs none.
    pub async fn are_warm(&self) -> bool {
        let entries = self.pools.all();
        let asked = entries.iter().map(|entry| status(&entry.pool));
        let pools = futures_util::future::join_all(asked).await;
        pools.into_iter().all(|pool| {
            pool.is_some_and(|pool| {
                pool.wanted == 0 || pool.actors.iter().any(|a| a.phase.is_warm())
            })
        })
    }

    /// Stops retries: transient failures and waiting retries end with their error.
    pub fn stop_retrying(&self) {
        // A stopped intake retries nothing.
        let _ = self.intake.cast(IntakeMessage::StopRetrying);
    }

    /// Drains the pools, then ends all actors. Unfinished work is abandoned after the timeout.
    pub async fn stop(&self, within: Duration) {
        self.stop_retrying();
        let entries = self.pools.all();
        let drains = entries
            .iter()
            .map(|entry| entry.pool.call(PoolMessage::Drain, Some(within)));
        futures_util::future::join_all(drains).await;
        // What the pools sent back to it last is delivered.
        let wait = Some(Duration::from_secs(1));
        let _ = self.intake.drain_and_wait(wait).await;
        // Ends whatever is left below the root.
        let _ = self.root.stop_and_wait(None, Some(STOP)).await;
    }

    /// Ends all actors without waiting for anything.
    pub(super) fn abandon(&self) {
        self.root.stop(None);
    }
}

/// Starts a pool for each model. A model whose pool cannot be started is reported; it is an error when that is all of them.
async fn start_pools(pools: &Pools, models: &[Model]) -> Result<Vec<Route>> {
    let mut routes = Vec::with_capacity(models.len());
    // Where pools rest until there is work, the first ones start an actor, which shows that the engine works.
    let tried = limits::cores(&pools.config.limits);
    let mut first_error = None;
    for (index, model) in models.iter().enumerate() {
        match pools.start(model, models.len(), index < tried).await {
            Ok((route, entry)) => {
                pools.add(entry);
                routes.push(route);
            }
            Err(error) => {
                pools.report_broken(BrokenModel {
                    model: model.id().to_owned(),
                    error: format!("{error:#}"),
                });
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        Some(error) if routes.is_empty() => Err(error),
        _ => Ok(routes),
    }
}

/// The languages that pools write, and where they are told what is unread.
pub(super) struct PoolLags(Arc<Pools>);

impl PoolLags {
    /// Tells the tokens that are unread for each language. Pools that write the same language share them.
    pub(super) fn set(&self, tokens_of: impl Fn(Language) -> u64) {
        let pools = self.0.all();
        let sharing = |target: &Language| {
            let writes = |pool: &&PoolEntry| pool.ability.targets.contains(target);
            pools.iter().filter(writes).count() as u64
        };
        for pool in &pools {
            let share = |target: &Language| tokens_of(*target) / sharing(target).max(1);
            pool.lag.set(pool.ability.targets.iter().map(share).sum());
        }
    }
}

/// Asks a pool about itself.
pub(super) async fn status(pool: &ActorRef<PoolMessage>) -> Option<PoolStatus> {
    match pool
        .call(PoolMessage::Status, Some(Duration::from_secs(2)))
        .await
    {
        Ok(CallResult::Success(status)) => Some(status),
        _ => None,
    }
}

/// Ends the node when a supervisor fails: its backlog is lost, and only a restart from the committed offsets brings it back.
struct Root;

/// The root receives no messages.
enum NoMessage {}

impl ractor::Message for NoMessage {}

impl Actor for Root {
    type Msg = NoMessage;
    type State = Failures;
    type Arguments = Failures;

    async fn pre_start(
        &self,
        _: ActorRef<NoMessage>,
        failures: Failures,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(failures)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<NoMessage>,
        event: SupervisionEvent,
        failures: &mut Failures,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            failures.tell(format!("an actor failed: {error}"));
        }
        Ok(())
    }
}

/// The spec of the pool of a model that translates this in this space, on a node with so many models.
pub(super) fn spec(
    config: &Config,
    model: &Model,
    (ability, space): (Capability, CacheSpace),
    models: usize,
    initial: bool,
) -> PoolSpec {
    let pool = &config.pool;
    let threads = usize::from(config.engine.threads);
    let cores = limits::cores(&config.limits);
    let room = cores / threads;
    let max = match pool.max_actors {
        0 => u32::try_from(room.max(1)).unwrap_or(u32::MAX),
        max => max,
    };
    let min = u32::from(models <= cores);
    let seconds = Duration::from_millis;
    PoolSpec {
        model_id: Arc::from(model.id()),
        model_type: engines::model_type(model.tier()),
        ability,
        space: Some(space),
        bounds: Bounds {
            min: pool.min_actors.unwrap_or(min).min(max),
            max,
        },
        initial: u32::from(initial),
        batch: BatchBudget {
            items: pool.batch.segments,
            padded_tokens: pool.batch.padded_tokens,
        },
        weights: pool.weights,
        sharing: SharingConfig {
            turn: seconds(pool.sharing.turn_ms),
            refuse_above: pool.sharing.refuse_above,
        },
        threads,
        // Weights in the widest type and as much again for everything else.
        expected_memory: model.bytes() * 4 + (128 << 20),
        memory_limit: config.engine.memory_limit_mb << 20,
        restart: (
            seconds(pool.restart_initial_backoff_ms),
            seconds(pool.restart_max_backoff_ms),
        ),
        unavailable_after: seconds(pool.unavailable_after_ms),
        min_piece_tokens: pool.min_piece_tokens,
        offload: config.offload.clone(),
        confidence: model.manifest().confidence.clone().map(Arc::new),
        text: Arc::default(),
    }
}

/// How texts are read for all models.
fn text_options(config: &TextConfig) -> Result<Arc<TextOptions>> {
    let patterns = match config.patterns.as_slice() {
        [] => None,
        patterns => Some(Patterns::new(patterns).map_err(anyhow::Error::msg)?),
    };
    Ok(Arc::new(TextOptions {
        patterns,
        attributes: config.attributes,
    }))
}

/// How texts are read for a model.
pub(super) fn model_text(model: &Model, options: &Arc<TextOptions>) -> Arc<ModelText> {
    // Estimates err by some tokens; a piece must not be cut by the engine.
    let most = model.manifest().limits.max_input_tokens.saturating_mul(3) / 4;
    Arc::new(ModelText::new(most, Arc::clone(options)))
}

/// What translations of a model depend on beside text, languages and the numeric type, which engines report: the one that is configured may be "auto",
/// or one that this machine lacks. Engines differ in the last bits of their sums.
pub(super) fn space(config: &Config, model: &Model, engine: &str) -> CacheSpace {
    let settings = &config.engine;
    let beams = settings.beam_size.to_string();
    let manifest = model.manifest().to_toml();
    let made_by = [model.id(), &manifest, engine, &settings.device, &beams];
    CacheSpace::new(made_by)
}

pub(super) fn policy(config: &Config) -> Box<dyn ScalingPolicy> {
    match config.scaling.policy {
        PolicyKind::DelayTarget => Box::new(DelayTarget::new(config.scaling.delay_target.clone())),
        PolicyKind::Threshold => Box::new(Threshold::new(config.scaling.threshold.clone())),
    }
}

pub(super) fn ability(model: &Model) -> Result<Capability> {
    let parse = |tags: &[String]| -> Result<Vec<Language>> {
        let mut languages = Vec::with_capacity(tags.len());
        for tag in tags {
            let language = tag.parse();
            let language = language.with_context(|| format!("model {}", model.id()))?;
            // Two tags may name one language.
            if !languages.contains(&language) {
                languages.push(language);
            }
        }
        Ok(languages)
    };
    let manifest = model.manifest();
    Ok(Capability {
        sources: parse(&manifest.source_languages)?,
        targets: parse(&manifest.target_languages)?,
        tier: engines::model_type(model.tier()),
    })
}

/// A text for the first pair of languages of a model. What comes of it does not matter.
pub(super) fn warm_up(model: &Model) -> Segment {
    let first = |tags: &[String]| {
        let language = tags.first().and_then(|tag| tag.parse::<Language>().ok());
        language.map_or_else(String::new, |language| language.to_string())
    };
    let manifest = model.manifest();
    Segment {
        text: "1, 2, 3.".to_owned(),
        source: first(&manifest.source_languages),
        target: first(&manifest.target_languages),
        align: false,
        alternatives: 0,
    }
}
