//! The end of a pool: drained with its node, or unloaded while the node goes on.

use std::time::Duration;

use ractor::RpcReplyPort;
use tokio::time::Instant;

use crate::{
    domain::ErrorCode,
    events::Event,
    offload::{GuestStop, PeerError},
};

use super::{command::Unloaded, core::Pool};

/// A pool that finishes its work and then ends. Every asker is answered at the end.
#[derive(Default)]
pub(super) struct Closing {
    drains: Vec<RpcReplyPort<()>>,
    unloads: Vec<RpcReplyPort<Unloaded>>,
    /// When what is left is handed back.
    hand_back_at: Option<Instant>,
    handed_back: usize,
}

impl Pool {
    /// Accepts a request to finish all work and end.
    pub(super) fn drain(&mut self, reply: RpcReplyPort<()>) {
        self.close().drains.push(reply);
    }

    /// Accepts a request to end, with whatever work can be finished within a time.
    pub(super) fn unload(&mut self, within: Duration, reply: RpcReplyPort<Unloaded>) {
        let at = Instant::now() + within;
        let closing = self.close();
        closing.unloads.push(reply);
        closing.hand_back_at = Some(closing.hand_back_at.map_or(at, |before| before.min(at)));
    }

    fn close(&mut self) -> &mut Closing {
        if self.closing.is_none() {
            // Nobody could let them go on later: what was accepted is finished.
            self.release_held();
            self.refuse_loans(&PeerError::Closing);
        }
        self.closing.get_or_insert_default()
    }

    /// Hands back what is left of an unloaded pool when its time has come. What engines still make of it is dropped.
    pub(super) fn hand_back_in_time(&mut self, now: Instant) {
        let due = |closing: &Closing| closing.hand_back_at.is_some_and(|at| at <= now);
        if !self.closing.as_ref().is_some_and(due) || !self.has_jobs() {
            return;
        }
        let message = format!("model {} is being unloaded", self.spec.model_id);
        let outcomes = self.jobs.fail_all(ErrorCode::ModelUnavailable, &message);
        if let Some(closing) = &mut self.closing {
            closing.handed_back += outcomes.len();
        }
        self.backlog.remove(|_| false);
        self.retries.clear();
        self.known.forget_twins();
        self.finish(outcomes);
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether the pool was told to end and has nothing left to do.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closing() && !self.has_jobs() && self.members.all.is_empty()
    }

    pub(super) fn answer_closing(&mut self) {
        self.dismiss_guests(GuestStop::Closing);
        let Some(closing) = self.closing.take() else {
            return;
        };
        for reply in closing.drains {
            let _ = reply.send(());
        }
        let unloaded = Unloaded {
            was_loaded: true,
            handed_back: closing.handed_back,
        };
        if !closing.unloads.is_empty() {
            self.observe(Event::PoolClosed {
                pool: self.pool(),
                handed_back: unloaded.handed_back,
            });
        }
        for reply in closing.unloads {
            let _ = reply.send(unloaded);
        }
    }
}
