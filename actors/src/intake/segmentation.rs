//! Segmentation of long texts and of those with a glossary: it takes tens of milliseconds, so it runs on another thread, a few
//! texts at a time, while other orders proceed.

use std::{sync::Arc, time::Duration};

use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::{
    containment::{Contained, contain},
    domain::{ErrorCode, Job, Locality, Order, RequestError, deliver_all},
    events::{Event, Stage},
    pool::{ParsedText, PoolMessage, Submission, Unloaded},
};

use super::{
    IntakeMessage, IntakeState, Route,
    pending::Pending,
    retrying::Wrapper,
    step_flow::StepCompletion,
    terms::{TermSource, has_terms},
};

/// Texts of more bytes than this are parsed on another thread: to parse so many takes some milliseconds.
const LONG_BYTES: usize = 4 << 10;
/// Texts that are parsed, or on their way to a pool, at the same time.
const AT_ONCE: usize = 2;

/// Long texts that are being parsed, and those that wait for that.
#[derive(Default)]
pub(super) struct SegmentationQueue {
    waiting: Pending,
    running: usize,
    /// Changes of routes that wait until no text is being parsed.
    turns: Vec<Turn>,
}

/// A change of the routes. It waits for running segmentation tasks, because these use the current routes.
pub(super) enum Turn {
    /// A model is to be unloaded, once what was offered before is with its pool.
    Unload {
        model: Arc<str>,
        /// How long its pool goes on.
        within: Duration,
        /// Reply at the end.
        reply: RpcReplyPort<Unloaded>,
    },
    /// A model gets a new pool.
    Replace {
        route: Box<Route>,
        /// How long the old pool goes on.
        within: Duration,
        /// Reply at the end.
        reply: RpcReplyPort<Unloaded>,
    },
}

impl SegmentationQueue {
    /// Whether a text waits that can be parsed now.
    pub(super) fn can_go_on(&self) -> bool {
        self.running < AT_ONCE && self.turns.is_empty() && self.waiting.len() > 0
    }

    /// The text whose turn it is, if it can be parsed now.
    pub(super) fn next(&mut self) -> Option<(Order, u32)> {
        match self.can_go_on() {
            true => self.waiting.pop(),
            false => None,
        }
    }

    /// The next waiting text, even if no further text may be parsed on another thread now.
    pub(super) fn take(&mut self) -> Option<(Order, u32)> {
        self.waiting.pop()
    }

    /// Queues an order with its number of earlier tries if its text is long; returns it otherwise.
    pub(super) fn keep(&mut self, order: Order, tries: u32) -> Option<(Order, u32)> {
        if !is_long(&order) {
            return Some((order, tries));
        }
        self.waiting.push(order, tries);
        None
    }
}

/// Whether the text of an order is parsed on another thread: where it is long, or a glossary may have to be prepared for it.
pub(super) fn is_long(order: &Order) -> bool {
    order.request.text.len() > LONG_BYTES || has_terms(&order.request)
}

/// A long text that was parsed for the pool of a model.
pub struct SegmentedJob {
    model: Arc<str>,
    job: Job,
    tries: u32,
    /// None if the task was dropped before it ran.
    parsed: Option<Result<ParsedText, Unparsed>>,
}

/// Why a text was not parsed.
enum Unparsed {
    Panicked(Contained),
    /// Its glossary cannot be used.
    Refused(RequestError),
}

/// A segmentation task. The intake always gets the job back.
struct Task {
    intake: ActorRef<IntakeMessage>,
    text: Option<Box<SegmentedJob>>,
}

impl Task {
    fn run(mut self, route: &Route, terms: &TermSource) {
        if let Some(text) = &mut self.text {
            let job = &text.job;
            let glossary = terms.dictionary(&job.order.request, (job.source, job.target));
            let parsed = glossary.map_err(Unparsed::Refused).and_then(|glossary| {
                let parse = || ParsedText::of(job, &route.text, route.space.as_ref(), glossary);
                contain(parse).map_err(Unparsed::Panicked)
            });
            text.parsed = Some(parsed);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(text) = self.text.take() {
            // If the intake fails, the node exits; the records are delivered again.
            let _ = self.intake.cast(IntakeMessage::SegmentedText(text));
        }
    }
}

impl IntakeState {
    /// Parses a long text on another thread. `tries` is the number of earlier tries.
    pub(super) fn segment_in_background(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        route: usize,
        job: Job,
        tries: u32,
    ) {
        let route = self.start.routes[route].clone();
        let task = Task {
            intake: myself.clone(),
            text: Some(Box::new(SegmentedJob {
                model: Arc::clone(&route.model),
                job,
                tries,
                parsed: None,
            })),
        };
        self.segmentation.running += 1;
        let terms = self.terms();
        tokio::task::spawn_blocking(move || task.run(&route, &terms));
    }

    /// Hands a long text that was parsed to its pool, and goes on with others.
    pub(super) fn segmentation_done(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        text: SegmentedJob,
    ) -> Result<(), ActorProcessingErr> {
        let SegmentedJob {
            model,
            mut job,
            tries,
            parsed,
        } = text;
        let route = self.start.routes.iter().find(|route| route.model == model);
        match (route.filter(|route| self.works(route)), parsed) {
            // The model was unloaded or broke in the meantime, or the task was dropped before it ran.
            (None, _) | (_, None) => self.offer_here(myself, vec![(job.order, tries)])?,
            (Some(route), Some(Ok(text))) => {
                if !self.is_stopping() && !matches!(job.order.locality, Locality::Model(_)) {
                    Wrapper::new(myself).wrap(&mut job.order, tries);
                }
                self.submit(route, vec![Submission::new(job, text)])?;
                // The text occupies its place until the pool has accepted it. A pool that has ended drops the message, which frees the place as well.
                let taken = StepCompletion::new(myself, || IntakeMessage::CutTaken);
                let _ = route.pool.cast(PoolMessage::Reached(taken));
                return Ok(());
            }
            (Some(_), Some(Err(unparsed))) => {
                let observer = &self.start.observer;
                let error = match unparsed {
                    Unparsed::Refused(error) => error,
                    Unparsed::Panicked(panic) => {
                        let (stage, panic) = (Stage::Intake, panic.to_string());
                        observer.observe(&Event::PanicContained { stage, panic });
                        let message = "internal error while processing the text";
                        RequestError::new(ErrorCode::InternalError, message)
                    }
                };
                let ended = vec![job.order.failed(error)];
                observer.answered(None, &ended);
                deliver_all(ended);
            }
        }
        self.segmentation_ended(myself)
    }

    /// A long text was handed over or has failed: continues with others.
    pub(super) fn segmentation_ended(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
    ) -> Result<(), ActorProcessingErr> {
        self.segmentation.running -= 1;
        if self.segmentation.running == 0 {
            for turn in std::mem::take(&mut self.segmentation.turns) {
                self.take_turn(myself, turn)?;
            }
        }
        self.go_on(myself, &[])
    }

    /// Changes the routes as soon as no text is being parsed. Before a model is unloaded, all pending orders are placed, so that they still reach its
    /// pool.
    pub(super) fn in_turn(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        turn: Turn,
    ) -> Result<(), ActorProcessingErr> {
        if matches!(turn, Turn::Unload { .. }) {
            self.place_all(myself)?;
        }
        if self.segmentation.running > 0 {
            self.segmentation.turns.push(turn);
            return Ok(());
        }
        self.take_turn(myself, turn)
    }
}
