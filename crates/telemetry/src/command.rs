//! Operator commands.

use serde::{Deserialize, Serialize};

/// A command for one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Idempotency key: a node that has executed it returns the same result.
    pub id: String,
    /// The node that is to do it.
    pub node: String,
    /// The action.
    pub action: Action,
}

/// Actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Drain: stop consuming, finish in-flight work, hand over, exit.
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
    /// Pause a language: its jobs are accepted and wait.
    Pause {
        /// Which.
        language: String,
    },
    /// Resume a language.
    Resume {
        /// Which.
        language: String,
    },
    /// Load a model of the configured folders.
    Load {
        /// Its id.
        model: String,
    },
    /// Unload a model.
    Unload {
        /// Its id.
        model: String,
    },
    /// Replace a loaded model by the version that is in its folder now, once that has translated its warm-up texts.
    Reload {
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
    /// The outcome.
    pub outcome: String,
}
