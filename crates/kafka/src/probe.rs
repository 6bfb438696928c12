//! Looks at partitions with a consumer of its own, which is in no group's assignment and commits nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use super::client;

/// How long a poll waits for one partition.
const POLL: Duration = Duration::from_millis(50);

/// First content of a partition from an offset on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// A committed record, at this offset.
    Record(i64),
    /// Its end: no committed record.
    End,
    /// It cannot be read.
    Error(RDKafkaErrorCode),
}

/// A partition by its topic and number, and where to begin.
pub(super) type Place = (Arc<str>, i32, Offset);

/// First content of each partition, as far as the brokers answer in time. `config` is that of a consumer.
pub(super) fn look(
    config: &ClientConfig,
    places: &[Place],
    within: Duration,
) -> KafkaResult<Vec<(Place, First)>> {
    let config = observing(config.clone());
    let consumer: Arc<BaseConsumer<Quiet>> = Arc::new(config.create_with_context(Quiet)?);
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition, offset) in places {
        list.add_partition_offset(topic, *partition, *offset)?;
    }
    consumer.assign(&list)?;
    // The end of a partition is reported without the name of its topic: each has a queue of its own.
    let queue = |place: &Place| consumer.split_partition_queue(&place.0, place.1);
    let queues = places.iter().map(|place| (place, queue(place)));
    let mut left: Vec<_> = queues
        .filter_map(|(place, queue)| Some((place, queue?)))
        .collect();
    let until = Instant::now() + within;
    let mut found = Vec::new();
    while !left.is_empty() && Instant::now() < until {
        // Errors of the client and its log lines come here.
        let _ = consumer.poll(Duration::ZERO);
        left.retain(|(place, queue)| {
            let first = match queue.poll(POLL) {
                None => return true,
                Some(Ok(record)) => First::Record(record.offset()),
                Some(Err(KafkaError::PartitionEOF(_))) => First::End,
                Some(Err(error)) => {
                    First::Error(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
                }
            };
            found.push(((*place).clone(), first));
            false
        });
    }
    Ok(found)
}

/// What librdkafka tells goes where that of other clients goes. That a partition ends is what is looked for, and no error.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if is_error(&error) {
            client::error(&error, reason);
        }
    }
}

impl ConsumerContext for Quiet {}

fn is_error(error: &KafkaError) -> bool {
    let is_end = matches!(error, KafkaError::PartitionEOF(_));
    !is_end && error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF)
}

fn observing(mut config: ClientConfig) -> ClientConfig {
    for key in ["group.instance.id", "debug", "statistics.interval.ms"] {
        config.remove(key);
    }
    config
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        // The end of a partition is reported by an empty answer, which brokers hold back for so long.
        .set("fetch.wait.max.ms", "10")
        .set_log_level(RDKafkaLogLevel::Warning);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_partition_is_no_error() {
        let global = KafkaError::Global(RDKafkaErrorCode::PartitionEOF);
        assert!(!is_error(&global) && !is_error(&KafkaError::PartitionEOF(3)));
        let away = RDKafkaErrorCode::BrokerTransportFailure;
        assert!(is_error(&KafkaError::Global(away)));
    }
}
