//! Kafka: requests in, jobs by language, results and dead letters out.
//!
//! ```text
//! translation.requests ─► Reader ─► splitter ─────────────────► Publisher ─► translation.jobs.<language>[.any]
//! translation.jobs.*   ─► Reader ─► Intake ─► pools ─► outcomes ─► Publisher ─► translation.results
//!                                                                         └► translation.dead-letters
//! ```
//!
//! A [`reader`] owns a consumer, a [`publisher`] a producer; each runs on a thread of its own, because librdkafka's calls block. The
//! publisher keeps a ledger for every partition: outcomes leave in the order of their records, and an offset is stored
//! for commit only when everything up to it is acknowledged by the broker. That is at least once: what was published and
//! not yet committed when a node dies is translated again.

pub mod admin;
pub mod client;
pub mod embedded;
pub mod jobs;
pub mod letters;
pub mod publisher;
pub mod reader;
pub mod record;
pub mod requests;
pub mod topics;
