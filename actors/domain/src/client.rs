//! Client identity for fair sharing.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

/// The hash key is random per process: clients cannot provoke collisions, and an id reveals nothing about the name.
static NAMES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A client for fair scheduling. Only a keyed hash of its name is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ClientId(u64);

impl ClientId {
    /// The client of this name. Two ids of one process are equal when their names are.
    ///
    /// # Examples
    /// ```
    /// use babelmesh_domain::ClientId;
    ///
    /// assert_eq!(ClientId::of("shop"), ClientId::of("shop"));
    /// assert_ne!(ClientId::of("shop"), ClientId::of("blog"));
    /// ```
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(NAMES.hash_one(name))
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
