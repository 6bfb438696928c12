//! The keys of `[kafka]`.

mod topics;
mod validate;

use std::collections::BTreeMap;

use babelmesh_settings::ConfigError;
use babelmesh_telemetry::status::Delivery;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{security::SecurityConfig, topics::TopicNames};
pub use topics::{CleanupPolicy, TopicOverrides, TopicSettingsConfig};

/// Kafka.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas, or `embedded`.
    pub bootstrap_servers: String,
    /// Consumer group of the nodes that translate; the splitters' is this with `-splitter` behind it.
    pub group_id: String,
    /// Delivery guarantee.
    pub delivery: Delivery,
    /// Whether a node that comes back under its name within the session timeout gets its partitions back at once.
    pub static_membership: bool,
    /// Session timeout of the consumer group, in milliseconds.
    pub session_timeout_ms: u64,
    /// How often clients ask the brokers which partitions there are, in milliseconds: added ones are read after that time.
    pub metadata_refresh_ms: u64,
    /// How long brokers keep a transaction open whose node is silent, in milliseconds. Nobody reads results past an open transaction.
    pub transaction_timeout_ms: u64,
    /// Languages that the cluster has topics for; empty means those that this node's models write.
    pub languages: Vec<String>,
    /// Names of topics.
    pub topics: TopicNames,
    /// Partitions of topics for which `topic_settings` says nothing else.
    pub partitions: i32,
    /// Replicas of topics for which `topic_settings` says nothing else.
    pub replication: i32,
    /// What else topics are like.
    pub topic_settings: TopicSettingsConfig,
    /// Nodes that should be able to work on one language at the same time; its topics need as many partitions.
    pub parallelism: i32,
    /// TLS and SASL.
    pub security: SecurityConfig,
    /// Longest time to reach the brokers at start, in milliseconds.
    pub startup_timeout_ms: u64,
    /// Longest time to finish a partition that is being revoked, in milliseconds.
    pub revoke_timeout_ms: u64,
    /// A topic that accepts no records for so long is blocked, in milliseconds: what has to be written there waits, and everything else goes on. With exactly-once
    /// delivery, at most half of `transaction_timeout_ms`.
    pub block_topic_after_ms: u64,
    /// Jobs for a topic that has been blocked for so long are answered with `topic_unavailable`, in milliseconds.
    pub answer_jobs_after_ms: u64,
    /// Further options of librdkafka, for all clients, such as `socket.keepalive.enable`; they win.
    #[serde(deserialize_with = "scalars")]
    pub options: BTreeMap<String, String>,
}

/// Reads numbers and switches as text: an error about the type of a value would print the value, which may be a password.
fn scalars<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
    let scalar = |(key, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(text) => Ok((key, text)),
        serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Ok((key, value.to_string())),
        _ => Err(D::Error::custom(format!(
            "the value of \"{key}\" must be text, a number, or true or false"
        ))),
    };
    values.into_iter().map(scalar).collect()
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: "127.0.0.1:9092".to_owned(),
            group_id: "babelmesh".to_owned(),
            delivery: Delivery::ExactlyOnce,
            static_membership: true,
            session_timeout_ms: 30_000,
            metadata_refresh_ms: 5_000,
            transaction_timeout_ms: 10_000,
            languages: Vec::new(),
            topics: TopicNames::default(),
            partitions: 8,
            replication: 1,
            topic_settings: TopicSettingsConfig::default(),
            parallelism: 1,
            security: SecurityConfig::default(),
            startup_timeout_ms: 15_000,
            revoke_timeout_ms: 3_000,
            block_topic_after_ms: 4_000,
            answer_jobs_after_ms: 30_000,
            options: BTreeMap::new(),
        }
    }
}

impl KafkaConfig {
    /// Reads the secrets that are in files.
    pub fn read_secrets(&mut self, errors: &mut Vec<ConfigError>) {
        validate::read_secrets(&mut self.security, errors);
    }

    /// Adds what is wrong. An error about a secret that could not be read is among `errors` already.
    pub fn check(&self, errors: &mut Vec<ConfigError>) {
        validate::check(self, errors);
        validate::check_topics(self, errors);
        validate::check_security(self, errors);
    }
}

impl std::fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values of options may be passwords; their names are enough.
        let options: Vec<_> = self.options.keys().collect();
        f.debug_struct("KafkaConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_id", &self.group_id)
            .field("security", &self.security)
            .field("options", &options)
            .finish_non_exhaustive()
    }
}
