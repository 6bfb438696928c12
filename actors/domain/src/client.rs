//! Client identity for fair sharing.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

/// The hash key is random per process: clients cannot provoke collisions, and an id reveals nothing about the name.
static NAMES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Where work comes from. Origins take turns before the clients of each do, so that no number of clients of one starves the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Origin {
    /// Callers who wait for the answer: HTTP, the command line, health probes.
    #[default]
    Calls,
    /// Records of Kafka topics.
    Records,
}

/// A client for fair scheduling. Only a keyed hash of its name is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ClientId {
    origin: Origin,
    name: u64,
}

impl ClientId {
    /// The client of this name among callers. Two ids of one process are equal when their names and origins are.
    ///
    /// # Examples
    /// ```
    /// use babelmesh_domain::{ClientId, Origin};
    ///
    /// assert_eq!(ClientId::of("shop"), ClientId::of("shop"));
    /// assert_ne!(ClientId::of("shop"), ClientId::of("blog"));
    /// assert_ne!(ClientId::of("shop"), ClientId::of("shop").from_origin(Origin::Records));
    /// ```
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self {
            origin: Origin::Calls,
            name: NAMES.hash_one(name),
        }
    }

    /// The client of the same name of another origin.
    #[must_use]
    pub const fn from_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// Where its work comes from.
    #[must_use]
    pub const fn origin(self) -> Origin {
        self.origin
    }
}

/// Sixteen hexadecimal digits of the name.
impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.name)
    }
}
