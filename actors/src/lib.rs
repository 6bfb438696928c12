//! The actors of babelmesh: pools of model actors that grow and shrink with their backlog.
//!
//! ```text
//! Delivery ──► Intake ──► PoolSupervisor ──► ModelActor ──► engine process
//!                              │ backlog: lanes × clients × messages, in tokens
//!                              │ scaling: decide(snapshot) → spawn or stop model actors
//! OutcomeSink ◄────────────────┘ exactly one outcome per job
//! ```
//!
//! Decisions ([`scaling`], batching, routing, handling of failed batches) are pure functions; actors carry them out.
//! This crate knows no Kafka, HTTP, exporter or ML library: sources offer deliveries to the [`intake`], sinks implement
//! [`domain::OutcomeSink`], engines implement [`engine::Engine`], and everything that happens is an [`events::Event`].

mod batch_budget;
pub mod cache;
pub mod caller;
pub mod containment;
pub mod delivery;
pub mod engine;
pub mod events;
mod fair;
pub mod flow;
pub mod glossaries;
pub mod intake;
mod model_text;
pub mod offload;
mod peer_error;
pub mod pool;
pub mod remote_nodes;
pub mod retry;
pub mod routing;
pub mod splitting;

pub use babelmesh_domain as domain;
pub use babelmesh_scaling as scaling;
pub use babelmesh_text::{self as text, detect};
pub use model_text::{ModelText, TextOptions};
