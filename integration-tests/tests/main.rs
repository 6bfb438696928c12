//! Behaviour of whole nodes. One executable holds every test, because linking a node takes longer than compiling a test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod back_pressure;
mod bad_input;
mod cache;
mod cli;
mod cluster;
mod cluster_certificates;
mod cluster_kafka;
mod cluster_mixed;
mod cluster_network;
mod cluster_offload;
mod dashboard;
mod dead_letters;
mod docker;
mod docs;
mod engine_faults;
mod engines_agree;
mod exactly_once;
mod failover;
mod fairness;
mod fuzz_records;
mod hostile_headers;
mod http;
mod http_clients;
mod http_overload;
mod lanes;
mod languages;
mod libretranslate;
mod lifecycle;
mod many_models;
mod node_death;
mod open_files;
mod readme;
mod real_kafka;
mod real_model;
mod recreated_topics;
mod retries;
mod scaling;
mod security;
mod topic_health;
mod topics;
mod traces;
mod translate_command;
mod translates;
mod unreadable_partitions;
