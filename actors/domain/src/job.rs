//! Jobs (one text into one target language) and their outcomes.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    ClientId, Lane, Language, ModelType, Origin, RequestError, TextChecks, Trace,
    TranslationRequest,
};

/// Where a job came from: a position in a source whose positions are completed one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Ticket {
    /// The source's own number of the partition (of whatever topic).
    pub partition: u32,
    /// Offset in that partition.
    pub offset: i64,
    /// Assignment epoch of the partition; outcomes of earlier epochs are ignored.
    pub epoch: u32,
}

/// Receives job outcomes. Called by pools; must neither block nor fail.
pub trait OutcomeSink: Send + Sync {
    /// Takes outcomes, several at once when they end together.
    fn deliver(&self, outcomes: Vec<JobOutcome>);

    /// Whether an outcome for this position is still wanted. An abandoned job reaches no engine and gets no outcome:
    /// its sender has disconnected, or its partition was revoked and the next owner reads it again.
    fn wants(&self, _ticket: Ticket) -> bool {
        true
    }
}

/// Where an order may be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Locality {
    /// By this model of this node only. For health probes.
    Model(Arc<str>),
    /// By any model of this node.
    #[default]
    Node,
    /// By any model of this node, or by another node that can do it now. It waits for no node that is away.
    Reachable,
    /// By any model of this node, or by another node if this one has no suitable model. It waits for a node that is away.
    Cluster,
}

impl Locality {
    /// Whether another node may do it.
    #[must_use]
    pub const fn may_leave(&self) -> bool {
        matches!(self, Self::Reachable | Self::Cluster)
    }

    /// Whether it waits for nodes that are away and for routes of two steps that do not work now.
    #[must_use]
    pub const fn waits(&self) -> bool {
        matches!(self, Self::Cluster)
    }
}

/// Which part of a route an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Leg {
    /// All of it.
    #[default]
    Whole,
    /// The translation into the pivot language.
    ToPivot,
    /// The translation out of the pivot language. Its text was made by a model: the limit for texts of senders does not apply.
    FromPivot,
    /// A job of another node, of any part. That node has checked the length of the text, and chooses the pivot.
    Forwarded,
    /// A job that is translated again by a model of a higher tier, without a pivot.
    Escalated,
}

/// One text that is wanted in one language, as it was accepted.
pub struct Order {
    /// Where it came from.
    pub ticket: Ticket,
    /// The request, with exactly one target.
    pub request: TranslationRequest,
    /// When the sender submitted it, as nearly as is known.
    pub submitted: Instant,
    /// W3C trace context: the sender's, or one below it.
    pub trace: Option<Arc<Trace>>,
    /// Number of replays after a permanent failure.
    pub replays: u32,
    /// Whether to bypass the cache.
    pub fresh: bool,
    /// Where it may be done.
    pub locality: Locality,
    /// Which part of a route it is. Only a whole one may be translated over a pivot.
    pub leg: Leg,
    /// The sink of the outcome.
    pub sink: Arc<dyn OutcomeSink>,
}

impl Order {
    /// The target as the request spells it.
    #[must_use]
    pub fn target_tag(&self) -> &str {
        self.request.targets().next().unwrap_or_default()
    }

    /// Its deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let after = Duration::from_millis(self.request.deadline_ms?);
        self.submitted.checked_add(after)
    }

    /// Ends it with an error.
    #[must_use]
    pub fn failed(self, error: RequestError) -> JobOutcome {
        JobOutcome {
            order: self,
            result: Err(error),
        }
    }
}

impl Order {
    /// The client that takes turns with others: the conversation, else the message alone.
    #[must_use]
    pub fn client(&self) -> ClientId {
        // Only records wait for a node that is away.
        let origin = match self.locality.waits() {
            true => Origin::Records,
            false => Origin::Calls,
        };
        ClientId::of(self.request.key()).from_origin(origin)
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text is the sender's; it stays out of logs.
        f.debug_struct("Order")
            .field("ticket", &self.ticket)
            .field("message_id", &self.request.message_id)
            .finish_non_exhaustive()
    }
}

/// An order whose languages are known.
#[derive(Debug)]
pub struct Job {
    /// The order.
    pub order: Order,
    /// Language the text is in.
    pub source: Language,
    /// Language wanted.
    pub target: Language,
    /// How sure the detection of the source language is, from 0 to 1; `None` if the language was given.
    pub detected: Option<f64>,
    /// Deadline of the order.
    pub deadline: Option<Instant>,
}

impl Job {
    /// The lane it travels in.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.order.request.lane()
    }

    /// The client, for fair scheduling.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.order.client()
    }

    /// The outcome of a job whose text is passed through: it contains no words, or is in the target language already.
    #[must_use]
    pub fn untouched(self) -> JobOutcome {
        let translated = Translated {
            text: self.order.request.text.clone(),
            alternatives: Vec::new(),
            confidence: 1.0,
            source: self.source,
            target: self.target,
            via: None,
            detected: self.detected,
            model_id: Arc::from(""),
            model_type: self.order.request.model_type,
            worker: Arc::from(""),
            batch_size: 0,
            segments: 0,
            from_cache: false,
            checks: None,
            queue_time: self.order.submitted.elapsed(),
            processing_time: Duration::ZERO,
        };
        JobOutcome {
            order: self.order,
            result: Ok(translated),
        }
    }
}

/// The outcome of an order.
#[derive(Debug)]
pub struct JobOutcome {
    /// The order.
    pub order: Order,
    /// Its translation or error.
    pub result: Result<Translated, RequestError>,
}

/// A finished translation.
#[derive(Debug, Clone, PartialEq)]
pub struct Translated {
    /// The text.
    pub text: String,
    /// Other translations, the likeliest first: as many as were asked for at most, and fewer where the model has no more that pass the checks.
    pub alternatives: Vec<String>,
    /// Geometric mean of the token probabilities, 0 to 1; 1 when nothing needed translation. Over a pivot, the product of both steps.
    pub confidence: f64,
    /// Language the text was in.
    pub source: Language,
    /// Language it is in now.
    pub target: Language,
    /// Pivot language of its route, if it had one.
    pub via: Option<Language>,
    /// How sure the detection of the source language is, from 0 to 1; `None` if the language was given.
    pub detected: Option<f64>,
    /// Model used, or both models of a route over a pivot, joined by `+`; empty when nothing needed translation.
    pub model_id: Arc<str>,
    /// Its tier; the lower one of two models.
    pub model_type: ModelType,
    /// Model actor that made the last part; empty when none made any.
    pub worker: Arc<str>,
    /// Number of segments in the largest batch that a part was in; 0 when none was.
    pub batch_size: u32,
    /// Number of parts translated.
    pub segments: u32,
    /// Whether no part needed a model: all were cached or deduplicated with another job.
    pub from_cache: bool,
    /// What its checks found; `None` when every sentence was translated whole and passed.
    pub checks: Option<TextChecks>,
    /// From the submission to the start of the first batch.
    pub queue_time: Duration,
    /// From the start of the first batch to the end of the last.
    pub processing_time: Duration,
}

/// Delivers outcomes to their sinks, grouped by sink.
pub fn deliver_all(outcomes: Vec<JobOutcome>) {
    let mut run: Vec<JobOutcome> = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let same = run
            .last()
            .is_none_or(|last| Arc::ptr_eq(&last.order.sink, &outcome.order.sink));
        if !same {
            flush(&mut run);
        }
        run.push(outcome);
    }
    flush(&mut run);
}

fn flush(run: &mut Vec<JobOutcome>) {
    if let Some(first) = run.first() {
        let sink = Arc::clone(&first.order.sink);
        sink.deliver(std::mem::take(run));
    }
}
