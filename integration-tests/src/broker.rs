//! An embedded broker that belongs to the test, not to a node.

use babelmesh::{
    config::KafkaConfig,
    kafka::{client::Clients, embedded::EmbeddedBroker, topic_settings::plan},
};

use crate::{Backend, Settings};

/// A broker that outlives nodes, with topics for French and German.
pub struct Broker {
    broker: EmbeddedBroker,
}

impl Default for Broker {
    fn default() -> Self {
        Self::start()
    }
}

impl Broker {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        let languages = ["fr", "de"].map(|tag| tag.parse().expect("it is a language"));
        let settings = KafkaConfig {
            partitions: 4,
            ..KafkaConfig::default()
        };
        Self {
            broker: EmbeddedBroker::start(&plan(&settings, &languages))
                .expect("a broker can be started"),
        }
    }

    /// Clients for it.
    #[must_use]
    pub fn clients(&self) -> Clients {
        let address = self.broker.bootstrap();
        Clients::new(&KafkaConfig::default(), &address, "backend", true)
    }

    /// A backend of it.
    #[must_use]
    pub fn backend(&self) -> Backend {
        Backend::connect(&self.clients())
    }

    /// A node at this broker, which notices soon that another one is gone.
    #[must_use]
    pub fn node(&self, settings: Settings) -> Settings {
        let options = [
            ("fetch.wait.max.ms", "5"),
            ("session.timeout.ms", "3000"),
            ("heartbeat.interval.ms", "500"),
        ];
        let options = options
            .map(|(key, value)| format!("{key:?}={value:?}"))
            .join(",");
        let bootstrap = format!("{:?}", self.broker.bootstrap());
        settings
            .set("kafka.bootstrap_servers", bootstrap)
            // Its transactions commit nothing.
            .set("kafka.delivery", "at-least-once")
            .set("kafka.static_membership", false)
            .set("kafka.options", format_args!("{{{options}}}"))
    }
}
