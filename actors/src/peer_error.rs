//! Errors of a peer that was sent a batch.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Errors of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PeerError {
    /// It has no spare capacity.
    #[error("the peer has no spare capacity")]
    Busy,
    /// Its pool of this model is gone or about to go.
    #[error("the peer's pool is closing")]
    Closing,
    /// The batch is empty, or larger than what was offered.
    #[error("the peer rejected the batch: {0}")]
    Unsuitable(String),
    /// Its engine failed or refused. That this batch made it fail is possible.
    #[error("the peer's engine failed: {0}")]
    Failed(String),
    /// It is unreachable.
    #[error("the peer is unreachable: {0}")]
    Gone(String),
    /// No answer in time.
    #[error("no answer from the peer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// It violated the protocol.
    #[error("peer protocol error: {0}")]
    Protocol(String),
}
