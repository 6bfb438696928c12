//! The actors of a node: a root that supervises the intake and a pool for each model.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use babelmesh_actors::{
    domain::Language,
    engine::Segment,
    events::Observer,
    intake::{Intake, IntakeMessage, IntakeStart, Route},
    pool::{BatchBudget, PoolLag, PoolMessage, PoolSpec, PoolStart, PoolStatus, PoolSupervisor},
    retry::RetryPolicy,
    routing::Ability,
    scaling::{Bounds, DelayTarget, ScalingPolicy, Threshold},
};
use babelmesh_models::Model;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent, rpc::CallResult};

use super::{engines, limits};
use crate::{
    config::{Config, PolicyKind},
    failure::Failures,
};

/// The actors of a node.
pub struct Actors {
    root: ActorRef<()>,
    intake: ActorRef<IntakeMessage>,
    pools: Vec<ActorRef<PoolMessage>>,
    lags: Vec<(Vec<Language>, PoolLag)>,
}

impl Actors {
    /// Starts pools for `models` and an intake before them. Returns before any model is warm.
    ///
    /// # Errors
    /// When an engine executable is missing or a model's form cannot be made.
    pub async fn start(
        config: &Config,
        models: &[Model],
        observer: Arc<dyn Observer>,
        failures: Failures,
    ) -> Result<Self> {
        let (root, _) = Actor::spawn(None, Root, failures).await?;
        let budget = limits::budget(&config.limits);
        let mut routes = Vec::with_capacity(models.len());
        let mut lags = Vec::with_capacity(models.len());
        for model in models {
            let factory_config = config.clone();
            let factory_model = model.clone();
            let factory_observer = Arc::clone(&observer);
            // Making an engine's form of a model reads and writes files.
            let engines = tokio::task::spawn_blocking(move || {
                engines::factory(&factory_config, &factory_model, factory_observer)
            })
            .await??;
            let lag = PoolLag::default();
            let start = PoolStart {
                spec: spec(config, model),
                engines,
                policy: policy(config),
                budget: Arc::clone(&budget),
                observer: Arc::clone(&observer),
                warm_up: warm_up(model),
                lag: lag.clone(),
            };
            let (pool, _) =
                Actor::spawn_linked(None, PoolSupervisor, start, root.get_cell()).await?;
            let limit = model.manifest().limits.max_input_tokens;
            let ability = ability(model)?;
            lags.push((ability.targets.clone(), lag));
            routes.push(Route {
                ability,
                pool,
                // Estimates err by some tokens; a piece must not be cut by the engine.
                max_piece_tokens: (limit as usize * 3 / 4).max(1),
            });
        }
        let pools = routes.iter().map(|route| route.pool.clone()).collect();
        let max_text_chars = config.intake.max_text_chars;
        let start = IntakeStart {
            routes,
            max_text_chars,
            retry: RetryPolicy {
                attempts: config.retry.attempts,
                first: Duration::from_millis(config.retry.first_ms),
                most: Duration::from_millis(config.retry.most_ms),
            },
            observer,
        };
        let (intake, _) = Actor::spawn_linked(None, Intake, start, root.get_cell()).await?;
        Ok(Self {
            root,
            intake,
            pools,
            lags,
        })
    }

    /// The intake.
    #[must_use]
    pub fn intake(&self) -> ActorRef<IntakeMessage> {
        self.intake.clone()
    }

    /// The pools.
    #[must_use]
    pub fn pools(&self) -> Vec<ActorRef<PoolMessage>> {
        self.pools.clone()
    }

    /// Where pools are told what is unread.
    pub(super) fn lags(&self) -> PoolLags {
        PoolLags(self.lags.clone())
    }

    /// Whether every pool has a warm model actor, or needs none.
    pub async fn are_warm(&self) -> bool {
        let pools = futures_util::future::join_all(self.pools.iter().map(status)).await;
        pools.into_iter().all(|pool| {
            pool.is_some_and(|pool| {
                pool.wanted == 0 || pool.actors.iter().any(|a| a.phase.is_warm())
            })
        })
    }

    /// From now on nothing is tried again: what fails for now, or waits for its next try, ends with its error.
    pub fn stop_retrying(&self) {
        // An intake that is gone tries nothing again.
        let _ = self.intake.cast(IntakeMessage::StopRetrying);
    }

    /// Drains the pools, then ends all actors. What does not finish in time is given up.
    pub async fn stop(self, within: Duration) {
        self.stop_retrying();
        let drains = self
            .pools
            .iter()
            .map(|pool| pool.call(PoolMessage::Drain, Some(within)));
        futures_util::future::join_all(drains).await;
        // What the pools sent back to it last is delivered.
        let wait = Some(Duration::from_secs(1));
        let _ = self.intake.drain_and_wait(wait).await;
        // Ends whatever is left below the root.
        let _ = self
            .root
            .stop_and_wait(None, Some(Duration::from_secs(2)))
            .await;
    }
}

/// The languages that pools write, and where they are told what is unread.
pub(super) struct PoolLags(Vec<(Vec<Language>, PoolLag)>);

impl PoolLags {
    /// Tells the tokens that are unread for each language. Pools that write the same language share them.
    pub(super) fn set(&self, tokens_of: impl Fn(Language) -> u64) {
        let sharing = |target: &Language| {
            let writes = |(targets, _): &&(Vec<Language>, PoolLag)| targets.contains(target);
            self.0.iter().filter(writes).count() as u64
        };
        for (targets, lag) in &self.0 {
            let share = |target: &Language| tokens_of(*target) / sharing(target).max(1);
            lag.set(targets.iter().map(share).sum());
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

impl Actor for Root {
    type Msg = ();
    type State = Failures;
    type Arguments = Failures;

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        failures: Failures,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(failures)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        failures: &mut Failures,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            failures.tell(format!("an actor failed: {error}"));
        }
        Ok(())
    }
}

fn spec(config: &Config, model: &Model) -> PoolSpec {
    let pool = &config.pool;
    let threads = usize::from(config.engine.threads);
    let room = limits::cores(&config.limits) / threads;
    let max = match pool.max_actors {
        0 => u32::try_from(room.max(1)).unwrap_or(u32::MAX),
        max => max,
    };
    let seconds = Duration::from_millis;
    PoolSpec {
        model_id: Arc::from(model.id()),
        model_type: engines::model_type(model.tier()),
        bounds: Bounds {
            min: pool.min_actors.min(max),
            max,
        },
        batch: BatchBudget {
            items: pool.batch.segments,
            padded_tokens: pool.batch.padded_tokens,
        },
        weights: pool.weights,
        threads,
        // Weights in the widest type and as much again for everything else.
        expected_memory: model.bytes() * 4 + (128 << 20),
        memory_limit: config.engine.memory_limit_mb << 20,
        restart: (
            seconds(pool.restart_first_ms),
            seconds(pool.restart_most_ms),
        ),
        unavailable_after: seconds(pool.unavailable_after_ms),
    }
}

fn policy(config: &Config) -> Box<dyn ScalingPolicy> {
    match config.scaling.policy {
        PolicyKind::DelayTarget => Box::new(DelayTarget::new(config.scaling.delay_target.clone())),
        PolicyKind::Threshold => Box::new(Threshold::new(config.scaling.threshold.clone())),
    }
}

pub(super) fn ability(model: &Model) -> Result<Ability> {
    let parse = |tags: &[String]| {
        let tags = tags.iter().map(|tag| tag.parse::<Language>());
        tags.collect::<Result<Vec<_>, _>>()
            .with_context(|| format!("model {}", model.id()))
    };
    let manifest = model.manifest();
    Ok(Ability {
        sources: parse(&manifest.source_languages)?,
        targets: parse(&manifest.target_languages)?,
        tier: engines::model_type(model.tier()),
    })
}

/// A text for the first pair of languages of a model. What comes of it does not matter.
fn warm_up(model: &Model) -> Segment {
    let first = |tags: &[String]| tags.first().cloned().unwrap_or_default();
    let manifest = model.manifest();
    Segment {
        text: "1, 2, 3.".to_owned(),
        source: first(&manifest.source_languages),
        target: first(&manifest.target_languages),
    }
}
