//! Status of the cache.

use serde::{Deserialize, Serialize};

/// A cache at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheStatus {
    /// Cached translations.
    pub entries: u64,
    /// Memory that they take, estimated.
    pub bytes: u64,
    /// Most memory that they may take.
    pub max_bytes: u64,
    /// The Redis that nodes share, if one is configured.
    pub shared: Option<SharedStatus>,
}

/// A Redis as a node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedStatus {
    /// Whether it answers.
    pub reachable: bool,
    /// Lookups that hit.
    pub found: u64,
    /// Lookups that missed.
    pub missed: u64,
    /// Those for which it did not answer in time, or with an error.
    pub failed: u64,
    /// Translations that were written to it.
    pub written: u64,
    /// Translations that were not, because it was away or slow.
    pub dropped: u64,
}
