//! The cluster as one node sees it.

use serde::{Deserialize, Serialize};

use super::{
    placement::{self, Coverage},
    report::NodeReport,
};

/// The whole cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterView {
    /// The observing node.
    pub node: String,
    /// All nodes, this one too, by their names.
    pub members: Vec<MemberView>,
    /// How many nodes serve each language.
    pub languages: Vec<Coverage>,
    /// Warnings for operators.
    pub warnings: Vec<String>,
    /// When this node's certificate expires, in seconds since 1970; absent without certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_not_after: Option<u64>,
    /// Messages that were dropped since the start because they came over no connection of this node: another one's, or one that had just ended.
    #[serde(default)]
    pub forged_messages: u64,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// Its name.
    pub node: String,
    /// Where it is dialled.
    pub address: String,
    /// Its incarnation.
    pub incarnation: u64,
    /// Its state.
    pub state: MemberState,
    /// Whether there is a connection to it.
    pub linked: bool,
    /// For how long that has been so, in milliseconds.
    pub since_ms: u64,
    /// Its last report.
    pub report: Option<NodeReport>,
}

/// State of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// The observing node itself.
    Own,
    /// Heard recently.
    Alive,
    /// It has been silent for a while.
    Suspect,
    /// It has been silent for too long.
    Down,
    /// It has left.
    Left,
    /// Known from gossip, never reached.
    Unreached,
}

impl MemberState {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::Own,
        Self::Alive,
        Self::Suspect,
        Self::Down,
        Self::Left,
        Self::Unreached,
    ];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
            Self::Unreached => "unreached",
        }
    }

    /// Whether work can be given to it.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Own | Self::Alive)
    }
}

impl ClusterView {
    /// A view of these nodes.
    #[must_use]
    pub fn new(node: String, mut members: Vec<MemberView>) -> Self {
        members.sort_by(|a, b| a.node.cmp(&b.node));
        let languages = placement::coverage(&members);
        let warnings = placement::warnings(&members, &languages);
        Self {
            node,
            members,
            languages,
            warnings,
            certificate_not_after: None,
            forged_messages: 0,
        }
    }

    /// A node of this name.
    #[must_use]
    pub fn member(&self, node: &str) -> Option<&MemberView> {
        self.members.iter().find(|member| member.node == node)
    }

    /// How many nodes are up, this one too.
    #[must_use]
    pub fn up(&self) -> usize {
        self.members.iter().filter(|m| m.state.is_up()).count()
    }
}
