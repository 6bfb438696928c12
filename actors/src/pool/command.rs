//! Results of operator commands. All commands are idempotent.

use serde::{Deserialize, Serialize};

/// Effect of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Applied {
    /// The command changed the state.
    Changed,
    /// The state was already as requested.
    Unchanged,
}

impl Applied {
    /// From whether anything changed.
    #[must_use]
    pub const fn of(changed: bool) -> Self {
        if changed {
            Self::Changed
        } else {
            Self::Unchanged
        }
    }
}

/// Invalid bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("min ({min}) must not exceed max ({max})")]
pub struct BoundsError {
    /// Requested minimum.
    pub min: u32,
    /// Requested maximum.
    pub max: u32,
}

/// How the unloading of a model went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unloaded {
    /// Whether there was such a model.
    pub was_loaded: bool,
    /// Jobs that were not finished in time and were handed back, for another model or to be answered with a retriable error.
    pub handed_back: usize,
}
