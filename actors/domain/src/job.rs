//! A job: one text into one language, and what came of it.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{ClientId, Lane, Language, ModelType, RequestError, Trace, TranslationRequest};

/// Where a job came from: a position in a source whose positions are completed one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Ticket {
    /// The source's own number of the partition (of whatever topic).
    pub partition: u32,
    /// Offset in that partition.
    pub offset: i64,
    /// Counts the times this partition was assigned; an outcome of an earlier assignment is void.
    pub epoch: u32,
}

/// Receives what came of jobs. Called by pools; must neither block nor fail.
pub trait OutcomeSink: Send + Sync {
    /// Takes outcomes, several at once when they end together.
    fn deliver(&self, outcomes: Vec<JobOutcome>);

    /// Whether an outcome for this position is still of use. What is not is given to no engine and ends without an outcome: its sender has
    /// gone, or its partition has, and that one's next owner reads it again.
    fn wants(&self, _ticket: Ticket) -> bool {
        true
    }
}

/// Where an order may be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reach {
    /// By this model of this node, even while another one would do it. For probes.
    Model(Arc<str>),
    /// By any model of this node.
    #[default]
    Node,
    /// By any model of this node, or by another node where this one has none that can.
    Cluster,
}

/// One text that is wanted in one language, as it was accepted.
pub struct Order {
    /// Where it came from.
    pub ticket: Ticket,
    /// What is wanted, with exactly one target.
    pub request: TranslationRequest,
    /// When the sender submitted it, as nearly as is known.
    pub submitted: Instant,
    /// W3C trace context: the sender's, or one below it.
    pub trace: Option<Arc<Trace>>,
    /// How often it was offered anew after it had failed for good.
    pub replays: u32,
    /// Whether a model is to do it even where its translation is remembered.
    pub fresh: bool,
    /// Where it may be done.
    pub reach: Reach,
    /// Who wants to know.
    pub sink: Arc<dyn OutcomeSink>,
}

impl Order {
    /// The target as the request spells it.
    #[must_use]
    pub fn target_tag(&self) -> &str {
        self.request.targets().next().unwrap_or_default()
    }

    /// When it loses its use.
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
    /// How sure the detection of the source language is, from 0 to 1; `None` where the language was told.
    pub detected: Option<f64>,
    /// When the order loses its use.
    pub deadline: Option<Instant>,
}

impl Job {
    /// The lane it travels in.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.order.request.lane()
    }

    /// Whose it is, where clients take turns.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.order.request.client()
    }

    /// The outcome of a job whose text goes out as it came in: nothing in it is language, or it is in the target
    /// language already.
    #[must_use]
    pub fn untouched(self) -> JobOutcome {
        let translated = Translated {
            text: self.order.request.text.clone(),
            confidence: 1.0,
            source: self.source,
            target: self.target,
            detected: self.detected,
            model_id: Arc::from(""),
            model_type: self.order.request.model_type,
            worker: Arc::from(""),
            batch_size: 0,
            segments: 0,
            from_cache: false,
            queue_time: self.order.submitted.elapsed(),
            processing_time: Duration::ZERO,
        };
        JobOutcome {
            order: self.order,
            result: Ok(translated),
        }
    }
}

/// What came of an order.
#[derive(Debug)]
pub struct JobOutcome {
    /// The order.
    pub order: Order,
    /// Its translation, or why there is none.
    pub result: Result<Translated, RequestError>,
}

/// A finished translation.
#[derive(Debug, Clone, PartialEq)]
pub struct Translated {
    /// The text.
    pub text: String,
    /// Geometric mean of the token probabilities, 0 to 1; 1 when nothing needed translation.
    pub confidence: f64,
    /// Language the text was in.
    pub source: Language,
    /// Language it is in now.
    pub target: Language,
    /// How sure the detection of the source language is, from 0 to 1; `None` where the language was told.
    pub detected: Option<f64>,
    /// Model used; empty when nothing needed translation.
    pub model_id: Arc<str>,
    /// Its tier.
    pub model_type: ModelType,
    /// Model actor that made the last part; empty when none made any.
    pub worker: Arc<str>,
    /// Number of segments in the largest batch that a part was in; 0 when none was.
    pub batch_size: u32,
    /// Number of parts translated.
    pub segments: u32,
    /// Whether no part of it needed a model: all were made before, or with those of another job.
    pub from_cache: bool,
    /// From the submission to the start of the first batch.
    pub queue_time: Duration,
    /// From the start of the first batch to the end of the last.
    pub processing_time: Duration,
}

/// Ends outcomes where their senders want them, keeping together what goes to one sink.
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
