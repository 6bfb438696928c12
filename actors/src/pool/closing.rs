//! The end of a pool: drained with its node, or unloaded while the node goes on.

use ractor::RpcReplyPort;
use tokio::time::Instant;

use super::command::Unloaded;

/// Closing state of a pool: draining or unloading, and the pending replies.
#[derive(Default)]
pub(super) struct Closing {
    is_closing: bool,
    drains: Vec<RpcReplyPort<()>>,
    unloads: Vec<RpcReplyPort<Unloaded>>,
    /// When what is left is handed back.
    hand_back_at: Option<Instant>,
    handed_back: usize,
}

impl Closing {
    /// Starts a drain: the pool finishes all work and ends. Returns false if it was closing already.
    pub(super) fn drain(&mut self, reply: RpcReplyPort<()>) -> bool {
        self.drains.push(reply);
        self.close()
    }

    /// Like [`drain`](Self::drain), but hands back the work that is left at that time.
    pub(super) fn unload(&mut self, at: Instant, reply: RpcReplyPort<Unloaded>) -> bool {
        self.unloads.push(reply);
        self.hand_back_at = Some(self.hand_back_at.map_or(at, |before| before.min(at)));
        self.close()
    }

    const fn close(&mut self) -> bool {
        !std::mem::replace(&mut self.is_closing, true)
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Whether what is left is to be handed back now.
    pub(super) fn hands_back(&self, now: Instant) -> bool {
        self.hand_back_at.is_some_and(|at| at <= now)
    }

    /// So many jobs were handed back.
    pub(super) const fn note_handed_back(&mut self, jobs: usize) {
        self.handed_back += jobs;
    }

    /// Replies to drains. Returns the reply for unloads, if any are pending.
    pub(super) fn answer_drains(&mut self) -> Option<Unloaded> {
        for reply in self.drains.drain(..) {
            let _ = reply.send(());
        }
        let unloaded = Unloaded {
            was_loaded: true,
            handed_back: self.handed_back,
        };
        (!self.unloads.is_empty()).then_some(unloaded)
    }

    /// Answers unloads.
    pub(super) fn answer_unloads(&mut self, unloaded: Unloaded) {
        for reply in self.unloads.drain(..) {
            let _ = reply.send(unloaded);
        }
    }
}
