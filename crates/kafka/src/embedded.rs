//! The embedded broker: librdkafka's mock cluster, for demonstrations and fast tests.
//!
//! It speaks Kafka's protocol on loopback ports, so other processes can use it too. It keeps everything in memory, at
//! most 5 MiB and 100,000 messages per partition (older ones are dropped), and its transactions commit nothing: do not
//! use it for important messages.

use anyhow::{Context, Result};
use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

use super::topic_settings::PlannedTopic;

/// An embedded broker. It ends when dropped.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl EmbeddedBroker {
    /// Starts one with these topics.
    ///
    /// # Errors
    /// When librdkafka cannot open its ports.
    pub fn start(topics: &[PlannedTopic]) -> Result<Self> {
        let cluster = MockCluster::new(1).context("starting the embedded broker")?;
        for PlannedTopic { name, settings, .. } in topics {
            cluster
                .create_topic(name, settings.partitions, 1)
                .with_context(|| format!("creating topic {name} on the embedded broker"))?;
        }
        Ok(Self { cluster })
    }

    /// Its address, for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
