//! Offload between nodes: a hot pool sends batches to pools of the same model on other nodes.
//!
//! ```text
//! hot pool ── remote worker "model/7@node-2" ── PeerLink ──► (network) ──► PoolMessage::Lend ── pool on node-2
//!    ▲                                                                           │ behind its own work
//!    └──────────────────── translations, or a PeerError ◄────────────────────────┘
//! ```
//!
//! The pool that asks keeps every job: a *remote worker* is a model actor whose engine is on a peer, and its batch stays in the
//! pool's books until the answer is there. A peer that disappears therefore loses nothing, and results leave from the
//! node that owns the offsets. The lending pool offers *credits*, the batches that it accepts with its spare capacity
//! ([`credits`]); [`decide_offload`] decides when and from which peers a pool borrows. Both are pure functions.
//!
//! What lies between the pools is the node's business: it implements [`Peers`] and [`PeerLink`], and hands what
//! comes from a peer to its own pool as a [`OffloadRequest`].

mod config;
mod credits;
mod decision;
mod memory;
mod port;
mod remote;
#[cfg(test)]
mod simulation;

pub use crate::peer_error::PeerError;
pub use config::OffloadConfig;
pub use credits::{SpareCapacitySnapshot, credits};
pub use decision::{
    OffloadDecision, OffloadReason, OffloadSnapshot, PeerView, Recall, RemoteWorkerState,
    RemoteWorkerStop, RemoteWorkerView, decide_offload, own_wait, trip,
};
pub use memory::OffloadMemory;
pub use port::{Offer, OffloadReply, OffloadRequest, PeerLink, PeerOffer, Peers};
pub(crate) use remote::RemoteEngine;
