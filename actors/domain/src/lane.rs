//! Lanes: priority classes that share a pool without delaying each other.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// A lane of a pool's backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Interactive work: HTTP, the command line, requests of high priority.
    Interactive,
    /// Messages of conversations.
    Normal,
    /// Bulk work: conversation `any`, requests of low priority.
    Any,
}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Normal, Self::Any];

    /// The lane's name in configuration, metrics and results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Normal => "normal",
            Self::Any => "any",
        }
    }
}

/// One value for each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lanes<T> {
    /// The value of [`Lane::Interactive`].
    pub interactive: T,
    /// The value of [`Lane::Normal`].
    pub normal: T,
    /// The value of [`Lane::Any`].
    pub any: T,
}

impl<T> Index<Lane> for Lanes<T> {
    type Output = T;

    fn index(&self, lane: Lane) -> &T {
        match lane {
            Lane::Interactive => &self.interactive,
            Lane::Normal => &self.normal,
            Lane::Any => &self.any,
        }
    }
}

impl<T> IndexMut<Lane> for Lanes<T> {
    fn index_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Interactive => &mut self.interactive,
            Lane::Normal => &mut self.normal,
            Lane::Any => &mut self.any,
        }
    }
}
