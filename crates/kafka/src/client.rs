//! Configuration of librdkafka clients, and handling of their errors.

use std::collections::BTreeMap;

use babelmesh_telemetry::{events::NodeEvent, status::Delivery};
use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError};

use super::security::SecurityConfig;
use crate::config::KafkaConfig;

/// Longest time between two attempts to reach a broker that is away, in milliseconds.
pub(super) const RECONNECT_WITHIN_MS: u64 = 2_000;

/// A consumer that has so many records in its queue fetches no more.
pub(super) const QUEUE_RECORDS: i64 = 5_000;
/// The same in bytes.
pub(super) const QUEUE_BYTES: i64 = 4 << 20;

/// What librdkafka logs for members of a group: it mentions nowhere else that a topic was recreated, see [`super::reader`].
///
/// Not `topic`, which has that line too: logs go to the queue of the consumer, and with `topic` librdkafka also logs while it holds the lock of
/// that queue, when it drops a record of a topic that is gone. The reader waits for itself then.
pub(super) const MEMBER_DEBUG: &str = "metadata";

/// Builds configurations for the clients of one node.
#[derive(Clone)]
pub struct Clients {
    bootstrap: String,
    client_id: String,
    security: SecurityConfig,
    /// Options of librdkafka that the operator set; they win.
    options: BTreeMap<String, String>,
    delivery: Delivery,
    static_membership: bool,
    session_timeout_ms: u64,
    metadata_refresh_ms: u64,
    revoke_timeout_ms: u64,
    transaction_timeout_ms: u64,
    node: String,
    embedded: bool,
}

impl Clients {
    /// Clients for brokers at `bootstrap`, or for the embedded broker there.
    #[must_use]
    pub fn new(config: &KafkaConfig, bootstrap: &str, node: &str, embedded: bool) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            client_id: format!("babelmesh-{node}"),
            security: config.security.clone(),
            options: config.options.clone(),
            // The embedded broker's transactions commit nothing, and it knows no static members.
            delivery: if embedded {
                Delivery::AtLeastOnce
            } else {
                config.delivery
            },
            static_membership: config.static_membership && !embedded,
            session_timeout_ms: config.session_timeout_ms,
            metadata_refresh_ms: config.metadata_refresh_ms,
            revoke_timeout_ms: config.revoke_timeout_ms,
            transaction_timeout_ms: config.transaction_timeout_ms,
            node: node.to_owned(),
            embedded,
        }
    }

    /// Addresses of the brokers.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Name by which brokers know the clients of this node.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", &self.client_id)
            // A text may be longer than the megabyte that is the default.
            .set("message.max.bytes", "10485760")
            .set("allow.auto.create.topics", "false")
            // With librdkafka's default, partitions that are added would not be read for five minutes.
            .set(
                "topic.metadata.refresh.interval.ms",
                self.metadata_refresh_ms.to_string(),
            )
            // Reconnect backoff: each attempt is a log line.
            .set("reconnect.backoff.ms", "200")
            .set("reconnect.backoff.max.ms", RECONNECT_WITHIN_MS.to_string())
            .set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    fn finish(&self, mut config: ClientConfig) -> ClientConfig {
        if !self.embedded {
            for (key, value) in self.security.options() {
                config.set(key, value);
            }
        }
        for (key, value) in &self.options {
            config.set(key, value);
        }
        if self.options.contains_key("debug") {
            // Required for librdkafka to emit the requested debug logs.
            config.set_log_level(RDKafkaLogLevel::Debug);
        }
        config
    }

    /// For administration.
    #[must_use]
    pub fn admin(&self) -> ClientConfig {
        self.finish(self.base())
    }

    /// The guarantee that these brokers can give.
    #[must_use]
    pub const fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// For the one consumer of this node in `group`, a member that is known by the node's name.
    #[must_use]
    pub fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer(group);
        let session = self.session_timeout_ms;
        config
            .set("session.timeout.ms", session.to_string())
            .set("heartbeat.interval.ms", heartbeat_ms(session).to_string())
            .set(
                "max.poll.interval.ms",
                rebalance_ms(session, self.revoke_timeout_ms).to_string(),
            )
            // For the fetch position and broker connectivity; see [`super::lag`] and [`super::broker_connectivity`].
            .set("statistics.interval.ms", "1000");
        if self.static_membership {
            config.set("group.instance.id", &self.node);
        }
        if self.delivery == Delivery::ExactlyOnce {
            // Offsets travel in transactions.
            config.set("enable.auto.commit", "false");
        }
        let mut config = self.finish(config);
        let debug = match self.options.get("debug") {
            Some(wanted) => format!("{wanted},{MEMBER_DEBUG}"),
            None => MEMBER_DEBUG.to_owned(),
        };
        config
            .set("debug", debug)
            .set_log_level(RDKafkaLogLevel::Debug);
        config
    }

    /// For the one producer of this node that answers what is read in `group`.
    #[must_use]
    pub fn publisher(&self, group: &str) -> ClientConfig {
        let mut config = self.producer();
        // For broker connectivity; see [`super::broker_connectivity`].
        config.set("statistics.interval.ms", "1000");
        if self.delivery == Delivery::ExactlyOnce {
            let timeout = self.transaction_timeout_ms.to_string();
            config
                // A node that comes back under its name ends what it left open.
                .set("transactional.id", format!("{group}-{}", self.node))
                .set("transaction.timeout.ms", &timeout)
                // A message cannot outlive its transaction.
                .set("message.timeout.ms", &timeout)
                // librdkafka waits without end for a group coordinator that has left the cluster, until the connection to any broker changes
                // its state (its issues 5456 and 5511). Connections that rest are closed, so that one does.
                .set("connections.max.idle.ms", &timeout)
                .set("linger.ms", "1");
        }
        self.finish(config)
    }

    /// For a consumer in `group`, whose offsets are stored by hand.
    #[must_use]
    pub fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.base();
        config
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "500")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            // Bounds what librdkafka reads ahead; with the default of 64 MB a partition, it would be most of a node's memory.
            .set(
                "queued.max.messages.kbytes",
                (QUEUE_BYTES >> 10).to_string(),
            )
            .set("queued.min.messages", QUEUE_RECORDS.to_string())
            .set("fetch.message.max.bytes", "1048576")
            // A partition whose queue was full is read again at once, not after the default second.
            .set("fetch.queue.backoff.ms", "5");
        if self.embedded {
            // The embedded broker answers an empty fetch only when its wait is over, whatever arrives meanwhile.
            config.set("fetch.wait.max.ms", "5");
        }
        self.finish(config)
    }

    /// For an idempotent producer.
    #[must_use]
    pub fn producer(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            // Retry without a limit while a broker is unreachable: giving up would lose the message.
            .set("message.timeout.ms", "0")
            .set("queue.buffering.max.messages", "100000");
        self.finish(config)
    }
}

/// Heartbeat interval of a member, in milliseconds. A member learns of a rebalance from a heartbeat response, and a cooperative rebalance takes two
/// rounds: with the usual three seconds, a partition that moves would not be read for six.
fn heartbeat_ms(session_ms: u64) -> u64 {
    (session_ms / 10).min(500)
}

/// Timeout of a rebalance, in milliseconds: how long the group waits for a member to rejoin, and a member for the response of the group. With the
/// usual five minutes, nobody would read for that long after brokers were silent. Members poll every few milliseconds, except while they release
/// partitions. The timeout cannot be shorter than the session.
fn rebalance_ms(session_ms: u64, revoke_ms: u64) -> u64 {
    session_ms.max(2 * revoke_ms).max(30_000)
}

/// An error of librdkafka without the value of an option, which may be a password.
pub(crate) fn without_value(error: KafkaError) -> KafkaError {
    match error {
        KafkaError::ClientConfig(code, text, key, value) => {
            let text = match value.is_empty() {
                true => text,
                false => text.replace(&value, "***"),
            };
            KafkaError::ClientConfig(code, text, key, "***".to_owned())
        }
        other => other,
    }
}

/// Takes a log line of librdkafka.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    NodeEvent::KafkaLog {
        is_warning: level as i32 <= RDKafkaLogLevel::Warning as i32,
        facility,
        message,
    }
    .emit();
}

/// Takes an error that librdkafka goes on after.
pub(super) fn error(error: &KafkaError, doing: &str) {
    NodeEvent::KafkaError {
        error: &error.to_string(),
        doing,
    }
    .emit();
}
