//! What the intake is sent, what it is started with, and what it reports.

use std::{sync::Arc, time::Duration};

use ractor::{ActorId, ActorRef, RpcReplyPort};
use serde::{Deserialize, Serialize};

use crate::{
    cache::CacheSpace,
    domain::{JobOutcome, Language, Order},
    events::Observer,
    glossaries::Glossaries,
    model_text::ModelText,
    pool::{Applied, PoolMessage, Unloaded},
    remote_nodes::RemoteNodes,
    retry::RetryPolicy,
    routing::{Capability, EscalationPolicy, PivotPolicy},
};

use super::segmentation::SegmentedJob;

/// A pool and what its model can do.
#[derive(Clone)]
pub struct Route {
    /// Model id.
    pub model: Arc<str>,
    /// Capabilities of the model.
    pub ability: Capability,
    /// Its pool.
    pub pool: ActorRef<PoolMessage>,
    /// How texts are read for the model; its pool learns that from its engines.
    pub text: Arc<ModelText>,
    /// Cache space: everything that translations depend on besides text and languages.
    pub space: Option<CacheSpace>,
}

/// Messages of the intake.
pub enum IntakeMessage {
    /// Find pools for these. Every one of them ends in its sink, once.
    Offer(Vec<Order>),
    /// Jobs that failed transiently. Sent by the sinks that the intake wraps around those of its orders.
    Failed {
        /// Their outcomes if they are not retried.
        outcomes: Vec<JobOutcome>,
        /// How often they were tried before.
        tries: u32,
    },
    /// A translation of low confidence, to be escalated or delivered. Sent by the sinks that the intake wraps around those of its orders.
    Doubtful(Box<JobOutcome>),
    /// Place one step of a pivoted order. Sent when the first step has ended, or when the glossary terms of the first step are known.
    Step {
        /// The step.
        step: Box<Order>,
        /// How often the whole order was tried before.
        tries: u32,
    },
    /// The pool of this model is broken, or works again. Sent by pools.
    Condition {
        /// Model id.
        model: Arc<str>,
        /// The pool: a model that is replaced has two for a while.
        pool: ActorId,
        /// Whether it is broken.
        broken: bool,
    },
    /// Look at more of the orders that wait. Sent when the pools have taken in the last step.
    Continue,
    /// A long text has been cut. Sent by the intake to itself.
    SegmentedText(Box<SegmentedJob>),
    /// A pool has accepted a long text that was segmented on another thread.
    CutTaken,
    /// The jobs of this number have waited long enough. Sent by the intake to itself.
    Due(u64),
    /// Stop retrying: jobs that wait for a retry end with their error at once. A drain does not wait for retries.
    StopRetrying,
    /// Pause a target language: its jobs are accepted and wait in their pools. Deadlines still apply.
    Pause(Language, RpcReplyPort<Applied>),
    /// Resume a target language.
    Resume(Language, RpcReplyPort<Applied>),
    /// Use this pool from now on. Changes nothing if there is one of the same model.
    Load(Box<Route>, RpcReplyPort<Applied>),
    /// Use this pool in place of the one of the same model, and stop that one. Replies when it has stopped; at once if
    /// the model has no pool, which changes nothing.
    Replace {
        /// The new pool.
        route: Box<Route>,
        /// How long the old pool may finish its work. The rest goes to the new one.
        within: Duration,
        /// Reply at the end.
        reply: RpcReplyPort<Unloaded>,
    },
    /// Unload a model and stop its pool. Replies when the pool has stopped, or at once if there is none.
    Unload {
        /// Model id.
        model: Arc<str>,
        /// How long the pool may finish its work. The rest is returned: it goes to another model, or fails with
        /// model_unavailable.
        within: Duration,
        /// Reply at the end.
        reply: RpcReplyPort<Unloaded>,
    },
    /// Report the status.
    Status(RpcReplyPort<IntakeStatus>),
}

/// An intake at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntakeStatus {
    /// Models in use.
    pub models: Vec<Arc<str>>,
    /// Paused languages.
    pub paused: Vec<Language>,
    /// Jobs that wait for a retry.
    pub waiting: usize,
}

impl ractor::Message for IntakeMessage {}

/// Start arguments of an intake.
pub struct IntakeStart {
    /// The pools of this node.
    pub routes: Vec<Route>,
    /// Longest text, in characters.
    pub max_text_chars: usize,
    /// Retry policy for transient failures.
    pub retry: RetryPolicy,
    /// Gets the events.
    pub observer: Arc<dyn Observer>,
    /// Which pairs are translated over a pivot language.
    pub pivot: PivotPolicy,
    /// Which translations are made again by a model of a higher tier.
    pub escalation: EscalationPolicy,
    /// The glossaries that requests may name.
    pub glossaries: Arc<Glossaries>,
    /// Port to other nodes; `()` for none.
    pub remote_nodes: Arc<dyn RemoteNodes>,
    /// How long jobs wait for another node that is missing, each time they are tried.
    pub max_wait: Duration,
}
