//! Source and delivery status of a pipeline.

use std::{sync::Arc, time::SystemTime};

use babelmesh_actors::{
    domain::{Lane, Language},
    flow::Flow,
};

use crate::{
    kafka::{
        gauges::DeliveryGauges, heartbeat::ReaderHeartbeats, lag::LagGauge, ownership::Ownership,
        topic_health::TopicHealth, topics::TopicNames,
    },
    telemetry::status::{SourceStatus, TopicProblem},
};

/// Where a pipeline's gauges are read.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) ownership: Ownership,
    pub(super) flow: Arc<Flow>,
    pub(super) lag: Arc<LagGauge>,
    pub(super) delivery: Arc<DeliveryGauges>,
    pub(super) heartbeats: ReaderHeartbeats,
    /// The first of its topics, which stands for all of them.
    pub(super) topic: Arc<str>,
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

    /// Problems of topics and of assigned partitions.
    pub(super) fn problems(&self) -> Vec<TopicProblem> {
        let mut problems = self.topics.problems();
        problems.extend(self.blocked());
        for Source { lag, delivery, .. } in [&self.requests, &self.jobs] {
            problems.extend(delivery.unwritable());
            // That a partition waits for a topic is told with that topic.
            let stalled = lag.stalled().into_iter();
            let stalled = stalled.filter(|(topic, partition)| !delivery.waits(topic, *partition));
            problems.extend(stalled.map(|(topic, partition)| TopicProblem {
                problem: format!("partition {partition} is stalled"),
                topic: topic.to_string(),
            }));
            let held = lag.held().into_iter();
            problems.extend(held.map(|(topic, partition, at)| TopicProblem {
                problem: format!(
                    "partition {partition} is held up by an open transaction of a producer at offset {at}"
                ),
                topic: topic.to_string(),
            }));
            let unowned = lag.unowned().into_iter();
            problems.extend(unowned.map(|(topic, partition)| TopicProblem {
                problem: format!("partition {partition} is not assigned to any node"),
                topic: topic.to_string(),
            }));
        }
        problems
    }

    /// Problems of topics whose reader is blocked.
    pub(super) fn blocked(&self) -> Vec<TopicProblem> {
        let problem = |source: &Source| {
            let problem = source.heartbeats.problem()?.to_owned();
            let topic = source.topic.to_string();
            Some(TopicProblem { topic, problem })
        };
        [&self.requests, &self.jobs]
            .into_iter()
            .filter_map(problem)
            .collect()
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
