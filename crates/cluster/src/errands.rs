//! Jobs of this node's partitions that another node does: its intake gives them away where no model here can do them, and publishes what comes back.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use async_trait::async_trait;
use babelmesh_actors::{
    domain::{
        ErrorCode, Lane, Lanes, RequestError, Translated, TranslationRequest, TranslationResult,
    },
    elsewhere::{Abroad, Elsewhere, Errand},
};
use babelmesh_telemetry::events::NodeEvent;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::{
    Cluster,
    choice::{Need, candidates},
};

/// How long it is believed what other nodes can do.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Shortest and longest wait before nodes are asked again.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Longest time for one node to do a job; a node that hangs is noticed much sooner.
const LONGEST: Duration = Duration::from_secs(120);

/// What to do next with an errand.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Ask this node.
    Ask(String),
    /// Look again after a while.
    Wait(Duration),
    /// No node could do it in time.
    GiveUp,
}

/// How an errand stands.
#[derive(Debug, Clone, Copy)]
struct Progress<'a> {
    /// Nodes that can do it, the best one first, without this one.
    able: &'a [String],
    /// Those that were asked in this round.
    asked: &'a [String],
    /// Rounds before this one.
    rounds: u32,
    /// How long nobody has been able to do it.
    waited: Duration,
    /// How long it may wait for that.
    patience: Duration,
    /// Until its deadline, if it has one.
    left: Option<Duration>,
    /// Whether nothing is waited for any more.
    stopping: bool,
}

/// Decides the next step: every node that can do it is asked once in a round, and rounds are further and further apart.
fn next(progress: &Progress<'_>) -> Step {
    let Progress {
        able,
        asked,
        rounds,
        waited,
        patience,
        left,
        stopping,
    } = *progress;
    if left == Some(Duration::ZERO) {
        return Step::GiveUp;
    }
    if let Some(node) = able.iter().find(|node| !asked.contains(node)) {
        return Step::Ask(node.clone());
    }
    if stopping || waited >= patience {
        return Step::GiveUp;
    }
    let (first, most) = WAITS;
    let factor = 1u32.checked_shl(rounds).unwrap_or(u32::MAX);
    let wait = first.saturating_mul(factor).min(most);
    Step::Wait(wait.min(patience - waited).min(left.unwrap_or(wait)))
}

/// Other nodes for an intake that is there before them.
#[derive(Default)]
pub struct LateElsewhere(OnceLock<Errands>);

struct Errands {
    cluster: Arc<Cluster>,
    /// Jobs that other nodes may have at a time, by lane: bulk work keeps conversations waiting for no place.
    places: Lanes<Arc<Semaphore>>,
    /// What other nodes can do, and when that was looked up.
    known: Mutex<Option<(Instant, Arc<Abroad>)>>,
}

impl LateElsewhere {
    /// From now on there is a cluster, whose nodes may have so many jobs of this one in each lane.
    pub fn arrive(&self, cluster: Arc<Cluster>, most: usize) {
        let place = || Arc::new(Semaphore::new(most));
        let places = Lanes {
            interactive: place(),
            normal: place(),
            any: place(),
        };
        // A node joins its cluster once.
        let _ = self.0.set(Errands {
            cluster,
            places,
            known: Mutex::default(),
        });
    }
}

#[async_trait]
impl Elsewhere for LateElsewhere {
    fn abroad(&self) -> Arc<Abroad> {
        match self.0.get() {
            Some(errands) => errands.abroad(),
            None => Arc::new(Abroad::new(Vec::new(), Vec::new(), true)),
        }
    }

    async fn translate(&self, errand: Errand) -> Result<Translated, RequestError> {
        let Some(errands) = self.0.get() else {
            return Err(unavailable("this node has not joined its cluster yet"));
        };
        let parent = errand.trace.as_ref().map(|trace| trace.parent.clone());
        let span = errands.cluster.traces.forward(parent.as_deref());
        let doing = errands.run(errand);
        match span {
            Some(span) => doing.instrument(span).await,
            None => doing.await,
        }
    }
}

impl Errands {
    fn abroad(&self) -> Arc<Abroad> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((at, abroad)) if at.elapsed() < LOOK_AGAIN => Arc::clone(abroad),
            _ => {
                let abroad = Arc::new(self.cluster.abroad());
                *known = Some((Instant::now(), Arc::clone(&abroad)));
                abroad
            }
        }
    }

    async fn run(&self, mut errand: Errand) -> Result<Translated, RequestError> {
        let need = Need {
            source: Some(errand.source.to_string()),
            target: errand.target.to_string(),
            tier: errand.request.model_type,
            nearer_than: errand.nearer_than,
        };
        let lane = errand.request.lane();
        let (mut asked, mut rounds, mut since) = (Vec::new(), 0, Instant::now());
        let mut last = format!(
            "no node that translates {} to {} can be reached",
            errand.source, errand.target
        );
        loop {
            let me = &self.cluster.shared.me().name;
            let mut able = candidates(&self.cluster.shared.glance().members, &need);
            able.retain(|node| node != me);
            let left = errand
                .deadline
                .map(|at| at.saturating_duration_since(tokio::time::Instant::now()));
            let step = next(&Progress {
                able: &able,
                asked: &asked,
                rounds,
                waited: since.elapsed(),
                patience: errand.patience,
                left,
                stopping: *errand.stopping.borrow(),
            });
            match step {
                Step::Ask(node) => {
                    match self.ask(&node, &errand, lane).await {
                        Asking::Answered(answer) => return answer,
                        // It works, so there is something to wait for.
                        Asking::Busy => since = Instant::now(),
                        Asking::Failed(error) => {
                            let (node, error) = (node.as_str(), error.as_str());
                            NodeEvent::ForwardFailed { node, error }.emit();
                            last = error.to_owned();
                        }
                    }
                    asked.push(node);
                }
                Step::Wait(wait) => {
                    asked.clear();
                    rounds += 1;
                    let stopped = errand.stopping.wait_for(|stopping| *stopping);
                    // One whose sender is gone stops nothing.
                    let _ = tokio::time::timeout(wait, stopped).await;
                }
                Step::GiveUp if left == Some(Duration::ZERO) => {
                    let message = "the deadline passed before another node had translated it";
                    return Err(RequestError::new(ErrorCode::DeadlineExceeded, message));
                }
                Step::GiveUp => return Err(unavailable(&last)),
            }
        }
    }

    /// Has a node do it, once there is a place for it.
    async fn ask(&self, node: &str, errand: &Errand, lane: Lane) -> Asking {
        let places = Arc::clone(&self.places[lane]);
        let far = tokio::time::Instant::now() + LONGEST;
        let until = match errand.nearer_than {
            // A job that this node can do does not wait for a place.
            Some(_) => tokio::time::Instant::now(),
            None => errand.deadline.unwrap_or(far),
        };
        let Ok(_place) = tokio::time::timeout_at(until, places.acquire_owned()).await else {
            return Asking::Busy;
        };
        let left = errand
            .deadline
            .map(|at| at.saturating_duration_since(tokio::time::Instant::now()));
        let request = TranslationRequest {
            source_language: errand.source.to_string(),
            deadline_ms: left.and_then(|left| u64::try_from(left.as_millis()).ok()),
            ..errand.request.clone()
        };
        let within = left.unwrap_or(LONGEST).min(LONGEST);
        let request = match serde_json::to_vec(&request) {
            Ok(request) => request,
            Err(error) => return Asking::Failed(error.to_string()),
        };
        match self.cluster.translate_once(node, request, within).await {
            Ok(Some(result)) => judge(result, errand),
            Ok(None) => Asking::Busy,
            Err(error) => Asking::Failed(format!("{error:#}")),
        }
    }
}

/// What came of asking one node.
enum Asking {
    /// The job is done, or can be done nowhere.
    Answered(Result<Translated, RequestError>),
    /// It has too much to do.
    Busy,
    /// It cannot do it now.
    Failed(String),
}

/// What a node's answer means: what is wrong with the node is not the job's fault.
fn judge(result: TranslationResult, errand: &Errand) -> Asking {
    let Some(error) = result.error else {
        return Asking::Answered(Ok(translated(result, errand)));
    };
    match error.code {
        ErrorCode::ModelUnavailable
        | ErrorCode::ShuttingDown
        | ErrorCode::UnsupportedPair
        | ErrorCode::UnsupportedLanguage => Asking::Failed(error.message),
        code => Asking::Answered(Err(RequestError::new(code, error.message))),
    }
}

fn translated(result: TranslationResult, errand: &Errand) -> Translated {
    let processing_time =
        Duration::from_secs_f64((result.processing_time_ms / 1e3).clamp(0.0, 1e6));
    let worker = format!("{}@{}", result.worker_name, result.node);
    Translated {
        text: result.translated_text.unwrap_or_default(),
        confidence: result.confidence_score,
        source: errand.source,
        target: errand.target,
        detected: errand.detected,
        model_id: Arc::from(result.model_id),
        model_type: result.model_type,
        worker: Arc::from(worker),
        batch_size: result.batch_size,
        segments: result.segments_count,
        from_cache: result.from_cache,
        queue_time: errand.submitted.elapsed().saturating_sub(processing_time),
        processing_time,
    }
}

fn unavailable(message: &str) -> RequestError {
    RequestError::new(ErrorCode::ModelUnavailable, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(numbers: &[usize]) -> Vec<String> {
        numbers.iter().map(|number| format!("n{number}")).collect()
    }

    proptest! {
        #[test]
        fn every_node_is_asked_once_in_a_round_and_waiting_ends_in_time(
            able in prop::collection::hash_set(0usize..5, 0..5), asked in prop::collection::hash_set(0usize..5, 0..5),
            rounds in 0u32..80, waited in 0u64..90_000, patience in 0u64..60_000,
            left in prop::option::of(0u64..60_000), stopping: bool,
        ) {
            let (able, asked): (Vec<_>, Vec<_>) = (able.into_iter().collect(), asked.into_iter().collect());
            let (able, asked) = (names(&able), names(&asked));
            let progress = Progress {
                able: &able,
                asked: &asked,
                rounds,
                waited: Duration::from_millis(waited),
                patience: Duration::from_millis(patience),
                left: left.map(Duration::from_millis),
                stopping,
            };
            let fresh = able.iter().find(|node| !asked.contains(node));
            match next(&progress) {
                Step::Ask(node) => prop_assert_eq!(Some(&node), fresh),
                Step::Wait(wait) => {
                    prop_assert!(fresh.is_none() && !stopping);
                    prop_assert!(wait > Duration::ZERO && wait <= WAITS.1);
                    prop_assert!(progress.waited + wait <= progress.patience);
                    prop_assert!(progress.left.is_none_or(|left| wait <= left));
                }
                Step::GiveUp => {
                    let late = progress.left == Some(Duration::ZERO);
                    prop_assert!(late || fresh.is_none() && (stopping || waited >= patience));
                }
            }
        }
    }
}
