//! What an operator can tell a node to do.

use serde::{Deserialize, Serialize};

/// A command for one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Names it: a node that has carried it out answers the same again and does nothing.
    pub id: String,
    /// The node that is to do it.
    pub node: String,
    /// What is to be done.
    pub action: Action,
}

/// What can be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Read no more, finish what was read, hand over, end.
    Drain,
    /// Change how many actors a pool may have.
    SetBounds {
        /// Its model.
        model: String,
        /// Fewest actors.
        min: u32,
        /// Most actors.
        max: u32,
    },
    /// Hold jobs of a language back: they are accepted and wait.
    Pause {
        /// Which.
        language: String,
    },
    /// Do the jobs of a language again.
    Resume {
        /// Which.
        language: String,
    },
    /// Load a model of the configured folders.
    Load {
        /// Its id.
        model: String,
    },
    /// Use a model no more.
    Unload {
        /// Its id.
        model: String,
    },
    /// Change which log lines there are.
    LogFilter {
        /// As in `log.filter`.
        filter: String,
    },
}

/// A command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandDone {
    /// Its id.
    pub id: String,
    /// The node that did it.
    pub node: String,
    /// Whether it had been done before.
    pub repeated: bool,
    /// What came of it.
    pub outcome: String,
}
