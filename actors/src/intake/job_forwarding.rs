//! Forwarding of jobs to other nodes, and waiting for cluster discovery.

use std::{slice, sync::Arc, time::Duration};

use ractor::ActorRef;

use crate::{
    containment::contain_future,
    detect::{Detected, Finding, detect},
    domain::{
        ErrorCode, Job, JobOutcome, Language, Locality, ModelType, Order, RequestError, deliver_all,
    },
    events::{Event, Stage},
    remote_nodes::ForwardedJob,
    routing,
    text::format::{Options, parse},
};

use super::{
    IntakeMessage, IntakeState,
    resolution::PlacementFailure,
    retrying::Run,
    terms::{TermSource, has_terms},
};

/// Delay before deferred orders are placed again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Interval of checks whether the sender still wants a forwarded job.
const ASK_WANTED: Duration = Duration::from_millis(500);

impl IntakeState {
    /// Detects the language of an order's text among the languages that any node of the cluster reads. A text without words counts as text in the
    /// target language.
    pub(super) fn detect(
        &self,
        order: &Order,
        target: Language,
    ) -> Result<Detected, PlacementFailure> {
        let request = &order.request;
        let (text, format) = (request.text.as_str(), request.format);
        let remote_capabilities = self.start.remote_nodes.remote_capabilities();
        if remote_capabilities.is_incomplete() && !matches!(order.locality, Locality::Model(_)) {
            return Err(PlacementFailure::early());
        }
        let mut sources = [self.sources.as_slice(), remote_capabilities.sources()].concat();
        sources.sort_unstable();
        sources.dedup();
        match detect(text, format, &sources, target) {
            Some(Finding::Candidate(found)) => return Ok(found),
            Some(Finding::Foreign(language)) => return Err(unread(language, &sources).into()),
            None => {}
        }
        if !parse(text, format, &Options::default()).has_prose() {
            return Ok(Detected {
                language: target,
                confidence: 0.0,
            });
        }
        let known = routing::list(&sources);
        let message = format!("the language of the text is not one of {known}");
        Err(RequestError::new(ErrorCode::UndetectedLanguage, message).into())
    }

    /// Defers orders that cannot be placed before more is known of the cluster or of the glossaries. This does not count as a try.
    pub(super) fn defer(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        outcomes: Vec<JobOutcome>,
        tries: u32,
    ) {
        let number = self.waiting.put(Run { outcomes, tries });
        myself.send_after(LOOK_AGAIN, move || IntakeMessage::Due(number));
    }

    /// Forwards a job to a node with a model whose tier is nearer to the requested one than `nearer_than`. Its outcome
    /// is delivered to its sink once, unless the job was abandoned.
    pub(super) fn forward(&self, job: Job, nearer_than: Option<ModelType>) {
        let Job {
            order,
            source,
            target,
            detected,
            deadline,
        } = job;
        let terms = self.terms();
        let mut forwarded = ForwardedJob {
            request: order.request.clone(),
            source,
            target,
            detected,
            deadline,
            submitted: order.submitted,
            trace: order.trace.clone(),
            // A job that this node can do itself does not wait for another node.
            max_wait: match nearer_than {
                None if order.locality.waits() => self.start.max_wait,
                _ => Duration::ZERO,
            },
            nearer_than,
            stopping: self.stopping.subscribe(),
        };
        let remote_nodes = Arc::clone(&self.start.remote_nodes);
        let observer = Arc::clone(&self.start.observer);
        tokio::spawn(async move {
            let doing = contain_future(async move {
                if has_terms(&forwarded.request) {
                    forwarded = with_own_terms(forwarded, terms).await?;
                }
                remote_nodes.translate(forwarded).await
            });
            let done = tokio::select! {
                done = doing => done,
                () = until_abandoned(&order) => return,
            };
            let result = done.unwrap_or_else(|panic| {
                let (stage, panic) = (Stage::Intake, panic.to_string());
                observer.observe(&Event::PanicContained { stage, panic });
                let message = "internal error while forwarding the text to another node";
                Err(RequestError::new(ErrorCode::InternalError, message))
            });
            let outcome = JobOutcome { order, result };
            observer.answered(None, slice::from_ref(&outcome));
            deliver_all(vec![outcome]);
        });
    }
}

/// Replaces the job's glossary by those of its terms that are in the text. The other node may not have this glossary or this version of it.
async fn with_own_terms(
    mut forwarded: ForwardedJob,
    terms: TermSource,
) -> Result<ForwardedJob, RequestError> {
    let adding = tokio::task::spawn_blocking(move || {
        let request = forwarded.request.clone();
        let pair = (forwarded.source, forwarded.target);
        forwarded.request = terms.with_own_terms(request, pair)?;
        Ok(forwarded)
    });
    adding.await.unwrap_or_else(|_| {
        let message = "the node is shutting down";
        Err(RequestError::new(ErrorCode::ShuttingDown, message))
    })
}

/// Why a text in a language that no model reads is not translated.
fn unread(language: Option<Language>, sources: &[Language]) -> RequestError {
    let language = match language {
        Some(language) => format!("{} ({language})", language.english_name()),
        None => "another language".to_owned(),
    };
    let known = routing::list(sources);
    let message = format!("the text is in {language}, which no model reads, only {known}");
    RequestError::new(ErrorCode::UnsupportedPair, message)
}

async fn until_abandoned(order: &Order) {
    while order.sink.wants(order.ticket) {
        tokio::time::sleep(ASK_WANTED).await;
    }
}
