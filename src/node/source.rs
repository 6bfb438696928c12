//! What a pipeline tells about its source and its delivery.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use babelmesh_actors::{
    domain::{Lane, Language},
    flow::Flow,
};
use serde::{Deserialize, Serialize};

use crate::kafka::{
    gauges::{DeliveryCounts, DeliveryGauges},
    lag::{LagGauge, TopicLag},
    ownership::Ownership,
    topic_health::{TopicHealth, TopicProblem},
    topics::TopicNames,
};

/// A pipeline's source at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// Partitions that are read.
    pub partitions: usize,
    /// Whether nothing is accepted because too much waits.
    pub gate_closed: bool,
    /// Whether that has lasted so long that the partitions are paused.
    pub paused: bool,
    /// Work accepted and not yet published, in tokens.
    pub queued_tokens: u64,
    /// Records that are not read yet.
    pub lag_records: u64,
    /// The same in tokens, estimated from the records that were read.
    pub lag_tokens: u64,
    /// Age of the oldest record that is not answered, in milliseconds; where records are not even read, at least that.
    pub oldest_age_ms: u64,
    /// Unread records by topic.
    pub topics: Vec<TopicLag>,
    /// What was published.
    pub delivery: DeliveryCounts,
    /// Dead letters that were written, by error code.
    pub dead_letters: BTreeMap<String, u64>,
}

/// Where a pipeline's gauges are read.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) ownership: Ownership,
    pub(super) flow: Arc<Flow>,
    pub(super) lag: Arc<LagGauge>,
    pub(super) delivery: Arc<DeliveryGauges>,
}

/// The sources of a node.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) requests: Source,
    pub(super) jobs: Source,
    pub(super) topics: Arc<TopicHealth>,
}

impl Sources {
    /// Whether partitions of both are read, and answered without delay.
    pub(super) fn are_read(&self) -> bool {
        let is_read = |s: &Source| s.ownership.count() > 0 && s.delivery.can_publish();
        is_read(&self.requests) && is_read(&self.jobs)
    }

    /// What is wrong with topics and with the partitions that are read, if anything.
    pub(super) fn problems(&self) -> Vec<TopicProblem> {
        let mut problems = self.topics.problems();
        for Source { lag, delivery, .. } in [&self.requests, &self.jobs] {
            problems.extend(delivery.unwritable());
            // That a partition waits for a topic is told with that topic.
            let stalled = lag.stalled().into_iter();
            let stalled = stalled.filter(|(topic, partition)| !delivery.waits(topic, *partition));
            problems.extend(stalled.map(|(topic, partition)| TopicProblem {
                problem: format!("partition {partition} is not read any further"),
                topic: topic.to_string(),
            }));
        }
        problems
    }

    /// Unread work for a language, in tokens.
    pub(super) fn unread(&self, topics: &TopicNames, target: Language) -> u64 {
        let names = [Lane::Normal, Lane::Any].map(|lane| topics.jobs_of(target, lane));
        let lags = self.jobs.lag.topics();
        let of_target = lags.iter().filter(|lag| names.contains(&lag.topic));
        let records: u64 = of_target.map(|lag| lag.records).sum();
        (records as f64 * self.jobs.lag.tokens_per_record()).round() as u64
    }
}

impl Source {
    pub(super) fn status(&self) -> SourceStatus {
        let topics = self.lag.topics();
        let lag_records: u64 = topics.iter().map(|topic| topic.records).sum();
        let unread = (lag_records > 0)
            .then(|| self.lag.read_up_to_ms())
            .flatten();
        let oldest = [self.delivery.oldest_ms(), unread]
            .into_iter()
            .flatten()
            .min();
        SourceStatus {
            partitions: self.ownership.count(),
            gate_closed: self.flow.is_closed(),
            paused: self.lag.is_paused(),
            queued_tokens: self.flow.queued(),
            lag_records,
            lag_tokens: (lag_records as f64 * self.lag.tokens_per_record()).round() as u64,
            oldest_age_ms: oldest.map_or(0, age_ms),
            topics,
            delivery: self.delivery.counts(),
            dead_letters: self.delivery.dead_letters(),
        }
    }
}

fn age_ms(written_ms: i64) -> u64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let written = u64::try_from(written_ms).unwrap_or(0);
    u64::try_from(now.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_sub(written)
}
