//! Whose work it is, as far as sharing fairly needs to know.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

/// Keyed at random for each process: nobody can choose a name that collides with another client's, and an id tells nothing about the name.
static NAMES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A client: work of different clients takes turns. Only a keyed hash of its name is kept.
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
