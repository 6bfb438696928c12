//! Forwarding of jobs to other nodes: the intake forwards jobs that no local model supports, and publishes the results.

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
    remote_nodes::{ForwardedJob, RemoteCapabilities, RemoteNodes},
};
use babelmesh_telemetry::events::NodeEvent;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::{
    Cluster,
    node_selection::{Requirements, candidates},
};

/// How long the capabilities of other nodes are cached.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Shortest and longest wait before nodes are asked again.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Longest time for one node to do a job; a node that hangs is noticed much sooner.
const LONGEST: Duration = Duration::from_secs(120);

/// Next step of a forwarded job.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Ask this node.
    Ask(String),
    /// Look again after a while.
    Wait(Duration),
    /// No node could do it in time.
    GiveUp,
}

/// Progress of a forwarded job.
#[derive(Debug, Clone, Copy)]
struct Progress<'a> {
    /// Nodes that can do it, the best one first, without this one.
    able: &'a [String],
    /// Those that were asked in this round.
    asked: &'a [String],
    /// Rounds before this one.
    rounds: u32,
    /// How long no node has been available.
    waited: Duration,
    /// How long it may wait for that.
    max_wait: Duration,
    /// Until its deadline, if it has one.
    left: Option<Duration>,
    /// Whether the node stops waiting.
    stopping: bool,
}

/// Decides the next step: every node that can do it is asked once in a round, and rounds are further and further apart.
fn next(progress: &Progress<'_>) -> Step {
    let Progress {
        able,
        asked,
        rounds,
        waited,
        max_wait,
        left,
        stopping,
    } = *progress;
    if left == Some(Duration::ZERO) {
        return Step::GiveUp;
    }
    if let Some(node) = able.iter().find(|node| !asked.contains(node)) {
        return Step::Ask(node.clone());
    }
    if stopping || waited >= max_wait {
        return Step::GiveUp;
    }
    let (first, most) = WAITS;
    let factor = 1u32.checked_shl(rounds).unwrap_or(u32::MAX);
    let wait = first.saturating_mul(factor).min(most);
    Step::Wait(wait.min(max_wait - waited).min(left.unwrap_or(wait)))
}

/// Port to other nodes for an intake that starts before the node joins its cluster.
#[derive(Default)]
pub struct DeferredRemoteNodes(OnceLock<JobForwarder>);

struct JobForwarder {
    cluster: Arc<Cluster>,
    /// Limits of jobs that other nodes do at a time, by lane: bulk work cannot use up the places of conversations.
    places: Lanes<Arc<Semaphore>>,
    /// Cached capabilities of other nodes.
    known: Mutex<Option<(Instant, Arc<RemoteCapabilities>)>>,
}

impl DeferredRemoteNodes {
    /// Connects the port to the cluster. In each lane, other nodes do at most `most` jobs of this node at a time.
    pub fn arrive(&self, cluster: Arc<Cluster>, most: usize) {
        let place = || Arc::new(Semaphore::new(most));
        let places = Lanes {
            interactive: place(),
            normal: place(),
            any: place(),
        };
        // A node joins its cluster once.
        let _ = self.0.set(JobForwarder {
            cluster,
            places,
            known: Mutex::default(),
        });
    }
}

#[async_trait]
impl RemoteNodes for DeferredRemoteNodes {
    fn remote_capabilities(&self) -> Arc<RemoteCapabilities> {
        match self.0.get() {
            Some(forwarder) => forwarder.remote_capabilities(),
            None => Arc::new(RemoteCapabilities::new(Vec::new(), Vec::new(), true)),
        }
    }

    async fn translate(&self, forwarded: ForwardedJob) -> Result<Translated, RequestError> {
        let Some(forwarder) = self.0.get() else {
            return Err(unavailable("this node has not joined the cluster yet"));
        };
        let parent = forwarded.trace.as_ref().map(|trace| trace.parent.clone());
        let span = forwarder.cluster.traces.forward(parent.as_deref());
        let doing = forwarder.run(forwarded);
        match span {
            Some(span) => doing.instrument(span).await,
            None => doing.await,
        }
    }
}

impl JobForwarder {
    fn remote_capabilities(&self) -> Arc<RemoteCapabilities> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((at, remote_capabilities)) if at.elapsed() < LOOK_AGAIN => {
                Arc::clone(remote_capabilities)
            }
            _ => {
                let remote_capabilities = Arc::new(self.cluster.remote_capabilities());
                *known = Some((Instant::now(), Arc::clone(&remote_capabilities)));
                remote_capabilities
            }
        }
    }

    async fn run(&self, mut forwarded: ForwardedJob) -> Result<Translated, RequestError> {
        let need = Requirements {
            source: Some(forwarded.source.to_string()),
            target: forwarded.target.to_string(),
            tier: forwarded.request.model_type,
            nearer_than: forwarded.nearer_than,
        };
        let lane = forwarded.request.lane();
        let (mut asked, mut rounds, mut since) = (Vec::new(), 0, Instant::now());
        let mut last = format!(
            "no node that translates {} to {} can be reached",
            forwarded.source, forwarded.target
        );
        loop {
            let me = &self.cluster.shared.me().name;
            let mut able = candidates(&self.cluster.shared.node_snapshot().members, &need).nodes;
            able.retain(|node| node != me);
            let left = forwarded
                .deadline
                .map(|at| at.saturating_duration_since(tokio::time::Instant::now()));
            let step = next(&Progress {
                able: &able,
                asked: &asked,
                rounds,
                waited: since.elapsed(),
                max_wait: forwarded.max_wait,
                left,
                stopping: *forwarded.stopping.borrow(),
            });
            match step {
                Step::Ask(node) => {
                    match self.ask(&node, &forwarded, lane).await {
                        AttemptOutcome::Answered(answer) => return *answer,
                        // It works, so there is something to wait for.
                        AttemptOutcome::Busy => since = Instant::now(),
                        AttemptOutcome::Failed(error) => {
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
                    let stopped = forwarded.stopping.wait_for(|stopping| *stopping);
                    // An abandoned job blocks nothing.
                    let _ = tokio::time::timeout(wait, stopped).await;
                }
                Step::GiveUp if left == Some(Duration::ZERO) => {
                    let message = "deadline exceeded while another node was translating";
                    return Err(RequestError::new(ErrorCode::DeadlineExceeded, message));
                }
                Step::GiveUp => return Err(unavailable(&last)),
            }
        }
    }

    /// Has a node do it, once there is a place for it.
    async fn ask(&self, node: &str, forwarded: &ForwardedJob, lane: Lane) -> AttemptOutcome {
        let places = Arc::clone(&self.places[lane]);
        let far = tokio::time::Instant::now() + LONGEST;
        let until = match forwarded.nearer_than {
            // A job that this node can do does not wait for a place.
            Some(_) => tokio::time::Instant::now(),
            None => forwarded.deadline.unwrap_or(far),
        };
        let Ok(_place) = tokio::time::timeout_at(until, places.acquire_owned()).await else {
            return AttemptOutcome::Busy;
        };
        let left = forwarded
            .deadline
            .map(|at| at.saturating_duration_since(tokio::time::Instant::now()));
        let request = TranslationRequest {
            source_language: forwarded.source.to_string(),
            deadline_ms: left.and_then(|left| u64::try_from(left.as_millis()).ok()),
            ..forwarded.request.clone()
        };
        let within = left.unwrap_or(LONGEST).min(LONGEST);
        let request = match serde_json::to_vec(&request) {
            Ok(request) => request,
            Err(error) => return AttemptOutcome::Failed(error.to_string()),
        };
        match self.cluster.translate_once(node, request, within).await {
            Ok(Some(result)) => judge(result, forwarded),
            Ok(None) => AttemptOutcome::Busy,
            Err(error) => AttemptOutcome::Failed(format!("{error:#}")),
        }
    }
}

/// Result of an attempt on one node.
enum AttemptOutcome {
    /// The job is done, or can be done nowhere.
    Answered(Box<Result<Translated, RequestError>>),
    /// It has too much to do.
    Busy,
    /// It cannot do it now.
    Failed(String),
}

/// Classifies a node's answer: node failures are not failures of the job.
fn judge(result: TranslationResult, forwarded: &ForwardedJob) -> AttemptOutcome {
    let Some(error) = result.error else {
        return AttemptOutcome::Answered(Box::new(Ok(translated(result, forwarded))));
    };
    match error.code {
        ErrorCode::ModelUnavailable
        | ErrorCode::ShuttingDown
        | ErrorCode::UnsupportedPair
        | ErrorCode::UnsupportedLanguage => AttemptOutcome::Failed(error.message),
        code => {
            let error = RequestError::new(code, error.message);
            AttemptOutcome::Answered(Box::new(Err(error)))
        }
    }
}

fn translated(result: TranslationResult, forwarded: &ForwardedJob) -> Translated {
    let processing_time =
        Duration::from_secs_f64((result.processing_time_ms / 1e3).clamp(0.0, 1e6));
    let worker = format!("{}@{}", result.worker_name, result.node);
    let via = match result.route.as_slice() {
        [_, via, _] => via.parse().ok(),
        _ => None,
    };
    Translated {
        text: result.translated_text.unwrap_or_default(),
        alternatives: result.alternatives,
        confidence: result.confidence_score,
        source: forwarded.source,
        target: forwarded.target,
        via,
        detected: forwarded.detected,
        model_id: Arc::from(result.model_id),
        model_type: result.model_type,
        worker: Arc::from(worker),
        batch_size: result.batch_size,
        segments: result.segments_count,
        from_cache: result.from_cache,
        checks: result.checks,
        queue_time: forwarded
            .submitted
            .elapsed()
            .saturating_sub(processing_time),
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
            rounds in 0u32..80, waited in 0u64..90_000, max_wait in 0u64..60_000,
            left in prop::option::of(0u64..60_000), stopping: bool,
        ) {
            let (able, asked): (Vec<_>, Vec<_>) = (able.into_iter().collect(), asked.into_iter().collect());
            let (able, asked) = (names(&able), names(&asked));
            let progress = Progress {
                able: &able,
                asked: &asked,
                rounds,
                waited: Duration::from_millis(waited),
                max_wait: Duration::from_millis(max_wait),
                left: left.map(Duration::from_millis),
                stopping,
            };
            let fresh = able.iter().find(|node| !asked.contains(node));
            match next(&progress) {
                Step::Ask(node) => prop_assert_eq!(Some(&node), fresh),
                Step::Wait(wait) => {
                    prop_assert!(fresh.is_none() && !stopping);
                    prop_assert!(wait > Duration::ZERO && wait <= WAITS.1);
                    prop_assert!(progress.waited + wait <= progress.max_wait);
                    prop_assert!(progress.left.is_none_or(|left| wait <= left));
                }
                Step::GiveUp => {
                    let late = progress.left == Some(Duration::ZERO);
                    prop_assert!(late || fresh.is_none() && (stopping || waited >= max_wait));
                }
            }
        }
    }
}
