//! Readiness: a warm model answered recently, and the brokers are reachable.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use babelmesh_actors::{
    caller,
    domain::{Locality, Priority, TranslationRequest},
    events::{Event, Observer},
    intake::IntakeMessage,
    pool::PoolStatus,
    routing::Capability,
};
use ractor::ActorRef;
use serde::Serialize;

use babelmesh_telemetry::status::{NodeStatus, StatusSource, TopicProblem};

/// An answer is recent for so long.
const LATELY: Duration = Duration::from_secs(60);
/// A model that has not answered for so long is asked.
const ASK_AFTER: Duration = Duration::from_secs(20);
/// How long it may take to answer then.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A text that every model can translate.
const QUESTION: &str = "Hello.";

/// Health state of the node.
#[derive(Debug, Default)]
pub struct Health(Mutex<HealthState>);

#[derive(Debug, Default)]
struct HealthState {
    /// When each pool answered last.
    answered: HashMap<Arc<str>, Instant>,
    draining: bool,
}

/// Whether a node is ready, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether it is.
    pub ready: bool,
    /// The missing items.
    pub missing: Vec<String>,
    /// Models that are broken. The node serves the others, so it may be ready all the same.
    pub broken: Vec<String>,
}

impl Health {
    fn known(&self) -> MutexGuard<'_, HealthState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node ends: it is not ready from now on.
    pub fn drain(&self) {
        self.known().draining = true;
    }

    /// Whether the node is ready.
    #[must_use]
    pub fn readiness(&self, status: &NodeStatus) -> Readiness {
        let known = self.known();
        let mut missing = Vec::new();
        if known.draining {
            missing.push("the node is shutting down".to_owned());
        }
        if !status.brokers_answer {
            missing.push("no Kafka broker answers".to_owned());
        }
        for TopicProblem { topic, problem } in &status.topic_problems {
            missing.push(format!("topic {topic} {problem}"));
        }
        if status.pools.is_empty() {
            missing.push("no pool is running".to_owned());
        } else if status.pools.iter().all(|pool| pool.broken) {
            missing.push("every model is broken".to_owned());
        } else if known.answered.is_empty() {
            missing.push("no model has answered yet".to_owned());
        }
        for pool in &status.pools {
            let id = &pool.model_id;
            let warm = pool.actors.iter().any(|actor| actor.phase.is_warm());
            let lately = known
                .answered
                .get(id.as_str())
                .is_some_and(|at| at.elapsed() < LATELY);
            // A pool that was idle for so long that it has no actor starts one when it is asked.
            if pool.broken {
                // Other models are served, and requests for this one fail at once.
            } else if !pool.resting && !warm {
                missing.push(format!("model {id} is not warm"));
            } else if pool.wanted > 0 && !lately && pool.held.targets.is_empty() {
                missing.push(format!("model {id} has not answered recently"));
            }
        }
        Readiness {
            ready: missing.is_empty(),
            missing,
            broken: status
                .broken_models
                .iter()
                .map(|b| b.model.clone())
                .collect(),
        }
    }

    /// The pools that have answered before, and not lately.
    fn stale<'p>(&self, pools: &'p [PoolStatus]) -> Vec<&'p PoolStatus> {
        let known = self.known();
        let is_stale = |pool: &&PoolStatus| {
            known
                .answered
                .get(pool.model_id.as_str())
                .is_some_and(|at| at.elapsed() > ASK_AFTER)
        };
        pools.iter().filter(is_stale).collect()
    }
}

impl Observer for Health {
    fn observe(&self, event: &Event) {
        if let Event::ActorReady { pool, .. } | Event::BatchDone { pool, .. } = event {
            self.known()
                .answered
                .insert(Arc::clone(pool), Instant::now());
        }
    }
}

/// Asks models that have not answered for a while, until it is aborted. One that never was warm is not asked: its actor's warm-up does that.
pub(super) async fn ask_models(
    health: Arc<Health>,
    intake: ActorRef<IntakeMessage>,
    status: Arc<dyn StatusSource>,
) {
    loop {
        tokio::time::sleep(ASK_AFTER / 4).await;
        // Models come and go while the node runs.
        let pools = status.read().await.pools;
        let awake = health
            .stale(&pools)
            .into_iter()
            .filter(|pool| pool.wanted > 0);
        let asked = awake.filter_map(|pool| {
            let question = pool.ability.as_ref().and_then(question)?;
            // Another model of the same pair must not answer for this one.
            let locality = Locality::Model(Arc::from(pool.model_id.as_str()));
            let asking = caller::translate(&intake, question, locality);
            Some(tokio::time::timeout(ANSWER_WITHIN, asking))
        });
        // The answers are seen as events; what a failure means, time tells. One that fails does not keep the others waiting.
        futures_util::future::join_all(asked).await;
    }
}

fn question(ability: &Capability) -> Option<TranslationRequest> {
    let source = ability.sources.first()?;
    let target = ability.targets.iter().find(|target| *target != source)?;
    Some(TranslationRequest {
        source_language: source.to_string(),
        model_type: ability.tier,
        priority: Some(Priority::High),
        deadline_ms: u64::try_from(ANSWER_WITHIN.as_millis()).ok(),
        ..TranslationRequest::new("health", QUESTION, target.to_string())
    })
}

#[cfg(test)]
mod tests {
    use babelmesh_actors::domain::ModelType;

    use super::*;

    #[test]
    fn a_model_is_asked_for_what_it_can_do() {
        let language = |tag: &str| tag.parse().unwrap();
        let ability = Capability {
            sources: vec![language("en")],
            targets: vec![language("en"), language("fr")],
            tier: ModelType::Premium,
        };
        let question = question(&ability).unwrap();
        assert_eq!(question.targets().collect::<Vec<_>>(), ["fr"]);
        assert_eq!(question.model_type, ModelType::Premium);
    }
}
