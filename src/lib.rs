//! babelmesh: an actor-based, distributed translation cluster.
//!
//! This library wires the parts into a node: [`config`], [`kafka`], [`cluster`], [`api`], the actors in a [`node`], and the commands of the
//! executable ([`cli`]). What the product is about, pools of model actors that grow and shrink with their backlog, is in
//! `babelmesh-actors`; models are in `babelmesh-models`; engines are executables of their own.
//!
//! This is the highest floor of the workspace: it may use every other crate, and none uses it.

pub mod cli;
pub mod config;
pub mod load;
pub mod logging;
pub mod node;

pub use babelmesh_cache as cache;
pub use babelmesh_cluster as cluster;
pub use babelmesh_http as api;
pub use babelmesh_kafka as kafka;
pub use babelmesh_telemetry::{self as telemetry, events, failure, throttle};
