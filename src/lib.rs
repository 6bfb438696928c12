//! babelmesh: an actor-based, distributed translation cluster.
//!
//! This library wires the parts into a node: [`config`], [`kafka`], the actors in a [`node`], and the commands of the
//! executable ([`cli`]). What the product is about, pools of model actors that grow and shrink with their backlog, is in
//! `babelmesh-actors`; models are in `babelmesh-models`; engines are executables of their own.

pub mod api;
pub mod cache;
pub mod cli;
pub mod cluster;
pub mod config;
mod dashboard;
pub mod events;
pub mod failure;
pub mod kafka;
pub mod load;
pub mod logging;
pub mod node;
pub mod telemetry;
pub mod throttle;
