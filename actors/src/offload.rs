//! Help between nodes: a hot pool lends batches out to pools of the same model on other nodes.
//!
//! ```text
//! hot pool ── remote worker "model/7@node-2" ── PeerLink ──► (network) ──► PoolMessage::Lend ── pool on node-2
//!    ▲                                                                           │ behind its own work
//!    └──────────────────── translations, or a PeerError ◄────────────────────────┘
//! ```
//!
//! The pool that asks keeps every job: a *remote worker* is a model actor whose engine is on a peer, and its batch stays in the
//! pool's books until the answer is there. A peer that disappears therefore loses nothing, and results leave from the
//! node that owns the offsets. The pool that lends offers *credits*, batches that it takes at once, from what its own
//! work leaves ([`credits`]); when a pool asks, whom, and when it stops is [`decide_offload`]. Both are pure functions.
//!
//! What lies between the pools is the node's business: it implements [`Peers`] and [`PeerLink`], and hands what
//! comes from a peer to its own pool as a [`Loan`].

mod config;
mod decision;
mod lending;
mod memory;
mod port;
mod remote;
#[cfg(test)]
mod simulation;

pub use config::OffloadConfig;
pub use decision::{
    GuestStop, OffloadDecision, OffloadReason, OffloadSnapshot, PeerView, Recall,
    RemoteWorkerState, RemoteWorkerView, decide_offload, own_wait, trip,
};
pub use lending::{LendingSnapshot, credits};
pub use memory::OffloadMemory;
pub use port::{Loan, LoanReply, Offer, PeerError, PeerLink, PeerOffer, Peers};
pub(crate) use remote::RemoteEngine;
