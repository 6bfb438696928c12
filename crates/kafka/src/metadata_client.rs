//! Connection check: the first metadata request, and diagnosis of its failure.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    metadata::Metadata,
};

use super::client::{self, Clients};

/// Initial wait before client errors are examined; doubles with each attempt.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// The longest such time. An answer that takes longer than this is never seen.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// How long events are polled per attempt: errors and log lines share the queue, and a poll without a timeout returns
/// only one event.
const LISTEN: Duration = Duration::from_millis(20);

/// A metadata client that records why brokers did not answer.
pub struct MetadataClient {
    consumer: BaseConsumer<Listener>,
    brokers: String,
}

impl MetadataClient {
    /// A client; it connects when it is asked for something.
    ///
    /// # Errors
    /// When librdkafka refuses an option or cannot read a certificate.
    pub fn open(clients: &Clients) -> Result<Self> {
        let mut config = clients.admin();
        if !matches!(config.log_level, RDKafkaLogLevel::Debug) {
            // A connection that a broker closed is told of at this level, and nowhere else.
            config.set_log_level(RDKafkaLogLevel::Info);
        }
        let consumer = create(&config, Listener::default())?;
        Ok(Self {
            consumer,
            brokers: clients.bootstrap().to_owned(),
        })
    }

    /// Every topic of the cluster, or one. A node's first question to the brokers: it also tells whether they can be reached.
    ///
    /// # Errors
    /// When no broker answers in time, and at once when all of them refuse this client. Both with the reasons that librdkafka has.
    pub fn metadata(&self, topic: Option<&str>, within: Duration) -> Result<Metadata> {
        let started = Instant::now();
        let mut look = FIRST_LOOK;
        loop {
            let end = Instant::now() + look.min(within.saturating_sub(started.elapsed()));
            let left = || end.saturating_duration_since(Instant::now());
            let error = match self.consumer.fetch_metadata(topic, left()) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            // Errors arrive as events; the poll keeps this loop from spinning after an early failure.
            while self.consumer.poll(left().max(LISTEN)).is_some() {}
            let heard = self.consumer.context().heard();
            let brokers = &self.brokers;
            if is_refused(&heard, brokers) {
                return Err(anyhow!(
                    "no Kafka broker at {brokers} accepts this client{}",
                    reasons(&heard)
                ));
            }
            if started.elapsed() >= within {
                let ms = within.as_millis();
                let message = format!(
                    "no Kafka broker answers at {brokers} within {ms} ms{}",
                    reasons(&heard)
                );
                return Err(match heard.is_empty() {
                    true => anyhow::Error::from(error).context(message),
                    false => anyhow!(message),
                });
            }
            look = (look * 2).min(LONGEST_LOOK);
        }
    }

    /// Whether the cluster is the embedded broker of some process, which knows little of administration.
    pub(super) fn is_embedded(&self, within: Duration) -> bool {
        let id = self.consumer.client().fetch_cluster_id(within);
        id.is_some_and(|id| id.starts_with("mockCluster"))
    }

    /// The first offset and that behind the last record of a partition.
    ///
    /// # Errors
    /// When its leader does not answer.
    pub(super) fn offsets(
        &self,
        topic: &str,
        partition: i32,
        within: Duration,
    ) -> Result<(i64, i64)> {
        self.consumer
            .fetch_watermarks(topic, partition, within)
            .with_context(|| format!("asking for the offsets of {topic}/{partition}"))
    }
}

fn create(config: &ClientConfig, listener: Listener) -> Result<BaseConsumer<Listener>> {
    config
        .create_with_context(listener)
        .map_err(client::without_value)
        .context("making a Kafka client")
}

/// An error that librdkafka reported for a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BrokerError {
    code: RDKafkaErrorCode,
    reason: String,
}

impl BrokerError {
    /// Whether a retry is pointless: the broker rejects this client, or the client rejects the broker.
    fn is_refusal(&self) -> bool {
        match self.code {
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism => true,
            // A certificate of this client is asked for after the handshake: then the connection just ends.
            RDKafkaErrorCode::SSL | RDKafkaErrorCode::BrokerTransportFailure => [
                "certificate verify failed",
                "alert certificate required",
                "alert bad certificate",
                "alert unknown ca",
                "alert certificate unknown",
            ]
            .iter()
            .any(|reason| self.reason.contains(reason)),
            _ => false,
        }
    }

    /// The broker that it is about: `ssl://127.0.0.1:9093/bootstrap`.
    fn broker(&self) -> &str {
        self.reason.split(": ").next().unwrap_or_default()
    }

    /// The reason without how long that took, which is different each time.
    fn summary(&self) -> &str {
        self.reason.split(" (after ").next().unwrap_or_default()
    }

    /// Which keys it has to do with.
    fn advice(&self) -> Option<&'static str> {
        let says = |text: &str| self.reason.contains(text);
        if says("certificate verify failed") || says("could not be verified") {
            Some(
                "check kafka.security.ca_file, and that the broker's certificate names the host in kafka.bootstrap_servers",
            )
        } else if says("alert") && says("certificate") || says("alert unknown ca") {
            Some("check kafka.security.certificate_file")
        } else if says("SASL mechanism") && says("supported mechanisms") {
            Some("check kafka.security.sasl.mechanism")
        } else if self.is_refusal() {
            Some("check kafka.security.sasl")
        } else if says("security.protocol")
            || says("wrong version number")
            || says("SSL handshake")
            || says("Disconnected")
        {
            Some("check kafka.security.protocol")
        } else {
            None
        }
    }
}

/// Whether as many brokers refuse this client as it knows addresses of.
fn is_refused(heard: &[BrokerError], brokers: &str) -> bool {
    let known = brokers.split(',').filter(|b| !b.trim().is_empty()).count();
    let refusals = heard.iter().filter(|complaint| complaint.is_refusal());
    refusals
        .map(BrokerError::broker)
        .collect::<BTreeSet<_>>()
        .len()
        >= known.max(1)
}

/// The distinct reasons, only rejections if there are any, followed by advice.
fn reasons(heard: &[BrokerError]) -> String {
    const MOST: usize = 3;
    let refused = heard.iter().any(BrokerError::is_refusal);
    let telling = heard.iter().filter(|c| !refused || c.is_refusal());
    let mut reasons: Vec<&str> = Vec::new();
    let mut advice: Vec<&str> = Vec::new();
    for complaint in telling {
        if reasons.len() < MOST && !reasons.contains(&complaint.summary()) {
            reasons.push(complaint.summary());
        }
        advice.extend(complaint.advice().filter(|a| !advice.contains(a)));
    }
    let mut text = String::new();
    for (separator, part) in [(": ", reasons), ("; ", advice)] {
        if !part.is_empty() {
            text.push_str(separator);
            text.push_str(&part.join("; "));
        }
    }
    text
}

/// Records client errors.
#[derive(Default)]
struct Listener {
    heard: Mutex<Vec<BrokerError>>,
}

impl Listener {
    /// More than can be read is not kept.
    const MOST: usize = 100;

    fn hear(&self, code: RDKafkaErrorCode, reason: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < Self::MOST {
            heard.push(BrokerError {
                code,
                reason: reason.to_owned(),
            });
        }
    }

    fn heard(&self) -> Vec<BrokerError> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" && matches!(level, RDKafkaLogLevel::Warning | RDKafkaLogLevel::Info) {
            // Behind the name of a thread. Worse ones come as errors too.
            let reason = message
                .split_once("]: ")
                .map_or(message, |(_, reason)| reason);
            self.hear(RDKafkaErrorCode::BrokerTransportFailure, reason);
        }
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // It only counts the others.
            None | Some(RDKafkaErrorCode::AllBrokersDown) => {}
            Some(code) => self.hear(code, reason),
        }
    }
}

impl ConsumerContext for Listener {}

#[cfg(test)]
mod tests;
