//! Unread work (lag).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Unread work for one pool. Updated by the reader; read by the pool's scaling policy.
#[derive(Debug, Clone, Default)]
pub struct PoolLag(Arc<AtomicU64>);

impl PoolLag {
    /// So many tokens are unread now.
    pub fn set(&self, tokens: u64) {
        self.0.store(tokens, Ordering::Relaxed);
    }

    /// Unread tokens.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
