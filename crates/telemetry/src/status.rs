//! What nodes say about themselves and each other: the types that `babelmesh status`, metrics, the dashboard and the cluster read.
//!
//! A node is read through a [`StatusSource`]. Other nodes are told a [`NodeReport`], which is made of a [`NodeStatus`].

mod delivery;
mod node;
pub mod placement;
mod remembered;
mod report;
mod view;

use async_trait::async_trait;

pub use delivery::{Delivery, DeliveryCounts, SourceStatus, TopicLag, TopicProblem};
pub use node::{BrokenModel, ModelInfo, NodeStatus};
pub use remembered::{CacheStatus, SharedStatus};
pub use report::{Facts, NodeReport, PoolCapability, PoolReport, SourceReport};
pub use view::{ClusterView, MemberState, MemberView};

/// Where a node's status is read, whenever and by whomever it is asked for.
#[async_trait]
pub trait StatusSource: Send + Sync + 'static {
    /// The node now. A pool that does not answer in time is left out.
    async fn read(&self) -> NodeStatus;

    /// The models that the node has now.
    fn models(&self) -> Vec<ModelInfo>;

    /// A number that changes whenever the models of the node do.
    fn models_version(&self) -> u64;
}
