//! How large a batch may be.

use serde::{Deserialize, Serialize};

/// Bounds of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchBudget {
    /// Most segments.
    pub items: usize,
    /// Most tokens, padding included: the longest segment times the number of segments.
    pub padded_tokens: u32,
}

impl Default for BatchBudget {
    fn default() -> Self {
        Self {
            items: 64,
            padded_tokens: 2_048,
        }
    }
}

impl BatchBudget {
    /// The budget of bulk work while urgent lanes are in use: a quarter, so that an urgent batch that comes
    /// meanwhile does not wait long for the actor.
    #[must_use]
    pub fn for_bulk(self) -> Self {
        Self {
            items: (self.items / 4).max(1),
            padded_tokens: (self.padded_tokens / 4).max(1),
        }
    }

    /// A batch that keeps both budgets.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            items: self.items.min(other.items),
            padded_tokens: self.padded_tokens.min(other.padded_tokens),
        }
    }
}
