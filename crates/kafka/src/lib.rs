//! Kafka: requests in, jobs by language, results and dead letters out.
//!
//! ```text
//! translation.requests ─► Reader ─► splitter ─────────────────► Publisher ─► translation.jobs.<language>[.any]
//! translation.jobs.*   ─► Reader ─► Intake ─► pools ─► outcomes ─► Publisher ─► translation.results
//!                                                                         └► translation.dead-letters
//! ```
//!
//! A [`reader`] owns a consumer, a [`publisher`] a producer; each runs on a thread of its own, because librdkafka's calls block. The
//! publisher keeps a ledger for every partition: outcomes leave in the order of their records, and offsets are committed with
//! them, in one transaction (exactly once), or after them (at least once: what was published and not yet committed when a node dies is
//! translated again). The embedded broker, whose transactions commit nothing, gets the second.
//!
//! This is on the floor of the cluster and HTTP and knows neither. It offers what it reads to the actors' intake, and takes their outcomes.
//!
//! ```
//! use babelmesh_kafka::{KafkaConfig, topic_settings};
//!
//! let kafka = KafkaConfig::default();
//! let planned = topic_settings::plan(&kafka, &["fr".parse().expect("a language")]);
//! assert!(planned.iter().any(|topic| topic.name == "translation.jobs.fr"));
//! ```

pub mod admin;
mod broker_connectivity;
pub mod client;
mod config;
pub mod dead_letters;
pub mod embedded;
pub mod gauges;
pub mod glossaries;
mod headers;
pub mod heartbeat;
pub mod jobs;
pub mod lag;
mod lag_watch;
pub mod member;
pub mod metadata_client;
pub mod ownership;
mod polled_producer;
mod probe;
pub mod publisher;
pub mod publisher_handle;
pub mod reader;
pub mod record;
pub mod rejected_records;
pub mod requests;
pub mod security;
mod statistics;
mod threads;
pub mod topic_health;
pub mod topic_settings;
pub mod topic_state;
pub mod topic_watch;
pub mod topics;

pub use config::KafkaConfig;
