//! Whether brokers let a member read.
//!
//! A consumer that is denied a topic gets one error without the name of the topic. One that is denied its group gets an
//! error with every join attempt.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::member::Assignment;
use crate::topic_health::{Client, TopicHealth};

/// A member that has partitions and was not refused for so long is not refused any more.
const LONGEST: Duration = Duration::from_secs(60);

/// Permission state of a member.
pub(super) struct Permission {
    /// A topic that stands for all those of the member.
    source: String,
    health: Arc<TopicHealth>,
    /// When its group was refused last, and how many times it had been given partitions.
    refused: Option<(Instant, u64)>,
}

impl Permission {
    pub(super) fn of(topics: &[String], health: Arc<TopicHealth>) -> Self {
        Self {
            source: topics.first().cloned().unwrap_or_default(),
            health,
            refused: None,
        }
    }

    /// Takes an error of the member's consumer.
    pub(super) fn refused(&mut self, error: &KafkaError, group: &str, assignment: &Assignment) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => self.health.suspect_reading(),
            Some(code @ RDKafkaErrorCode::GroupAuthorizationFailed) => {
                self.refused = Some((Instant::now(), assignment.assignments()));
                let problem =
                    format!("cannot be read: {code}; allow Read on the consumer group {group}");
                self.health
                    .set_client_problem(&self.source, Client::Reader, Some(problem));
            }
            _ => {}
        }
    }

    /// Looks whether the member is let in again.
    pub(super) fn look(&mut self, assignment: &Assignment) {
        let is_over = |(at, before): &mut (Instant, u64)| {
            let is_late = at.elapsed() >= LONGEST && assignment.ownership.count() > 0;
            assignment.assignments() != *before || is_late
        };
        if self.refused.take_if(is_over).is_some() {
            self.health
                .set_client_problem(&self.source, Client::Reader, None);
        }
    }
}
