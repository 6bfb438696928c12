//! What operators' commands answer. All of them may be given twice: the second time changes nothing.

use serde::{Deserialize, Serialize};

/// What a command did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Applied {
    /// Things are as was asked for, and were not before.
    Changed,
    /// Things were so already.
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

/// Bounds that no pool can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("a pool of at least {min} and at most {max} model actors cannot be")]
pub struct BoundsError {
    /// Fewest actors asked for.
    pub min: u32,
    /// Most actors asked for.
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
