//! Callbacks of a consumer.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use babelmesh_telemetry::events::{NodeEvent, PartitionChange};
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
    error::KafkaError,
};

use super::{assignment::Assignment, recreation::Recreations, skipping::Resets};
use crate::{broker_connectivity::BrokerConnectivity, client, statistics::Statistics};

/// A consumer's part in the assignment of its member, until another consumer takes its place.
pub struct ReaderContext {
    assignment: Arc<Assignment>,
    retired: AtomicBool,
    /// Whether an operator wants to see what librdkafka logs for debugging.
    verbose: bool,
    pub(crate) recreations: Recreations,
    pub(crate) resets: Resets,
    /// Of its consumer.
    pub(crate) connectivity: BrokerConnectivity,
}

impl ReaderContext {
    pub(crate) fn new(assignment: Arc<Assignment>, verbose: bool) -> Self {
        Self {
            assignment,
            retired: AtomicBool::new(false),
            verbose,
            recreations: Recreations::default(),
            resets: Resets::default(),
            connectivity: BrokerConnectivity::default(),
        }
    }

    /// Marks the consumer as replaced: callbacks while it closes do not concern the partitions that its successor owns.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "METADATA" {
            self.recreations.hear(message);
        }
        if facility == "OFFSET" {
            self.resets.hear(message);
        }
        // Levels count downwards.
        if self.verbose || level as i32 <= RDKafkaLogLevel::Warning as i32 {
            client::log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if self.is_retired() {
            return;
        }
        if let Some(statistics) = Statistics::read(statistics) {
            self.assignment.lag.statistics(&statistics);
            self.connectivity.statistics(statistics);
        }
    }
}

impl ConsumerContext for ReaderContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if self.is_retired() {
            return;
        }
        let assignment = &self.assignment;
        match rebalance {
            Rebalance::Assign(list) => assignment.assign(list),
            // Lost partitions have a new owner: there is nothing to wait for or to commit.
            Rebalance::Revoke(list) if consumer.assignment_lost() => {
                assignment.revoke_at_once(list);
            }
            Rebalance::Revoke(list) => {
                assignment.revoke(list);
                let _ = consumer.commit_consumer_state(CommitMode::Sync);
            }
            Rebalance::Error(_) => {}
        }
        tell(rebalance);
    }
}

/// Tells what a rebalance did.
pub(crate) fn tell(rebalance: &Rebalance<'_>) {
    let (count, partitions, error);
    let change = match rebalance {
        Rebalance::Assign(list) => {
            (count, partitions) = (list.count(), names(list));
            PartitionChange::Assigned {
                count,
                partitions: &partitions,
            }
        }
        Rebalance::Revoke(list) => {
            (count, partitions) = (list.count(), names(list));
            PartitionChange::Revoked {
                count,
                partitions: &partitions,
            }
        }
        Rebalance::Error(failed) => {
            error = failed.to_string();
            PartitionChange::Failed { error: &error }
        }
    };
    NodeEvent::Rebalanced { change }.emit();
}

/// Partitions by topic: `translation.jobs.fr[0,1,2]`.
fn names(list: &TopicPartitionList) -> String {
    let mut topics: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for element in list.elements() {
        let numbers = topics.entry(element.topic().to_owned()).or_default();
        numbers.push(element.partition().to_string());
    }
    let topics = topics
        .iter()
        .map(|(topic, numbers)| format!("{topic}[{}]", numbers.join(",")));
    topics.collect::<Vec<_>>().join(" ")
}
