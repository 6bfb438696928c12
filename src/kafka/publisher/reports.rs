//! What librdkafka tells about the records that it was given.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::ProducerContext,
};

use super::settlements::{Command, Settlements};
use crate::kafka::client;

/// The broker took a record, or did not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    /// What the record was sent with.
    pub(super) mark: usize,
    /// Why it was not taken.
    pub(super) failure: Option<RDKafkaErrorCode>,
}

impl Report {
    /// Whether the broker will never take this record, whenever it is asked.
    pub(super) const fn is_refusal(failure: RDKafkaErrorCode) -> bool {
        matches!(
            failure,
            RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidRecord
        )
    }
}

fn report(mark: usize, result: &DeliveryResult<'_>) -> Report {
    let failure = match result {
        Ok(_) => None,
        Err((error, _)) => Some(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
    };
    Report { mark, failure }
}

/// Tells the publisher about every record.
pub(super) struct ToPublisher(pub(super) Settlements);

/// Keeps the failures of a transaction's records.
#[derive(Clone, Default)]
pub(super) struct Failures(Arc<Mutex<Vec<RDKafkaErrorCode>>>);

impl Failures {
    pub(super) fn push(&self, failure: RDKafkaErrorCode) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(failure);
    }

    pub(super) fn take(&self) -> Vec<RDKafkaErrorCode> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for ToPublisher {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
    }
}

impl ProducerContext for ToPublisher {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, mark: usize) {
        let Report { mark, failure } = report(mark, result);
        self.0.tell(Command::Reported { mark, failure });
    }
}

impl ClientContext for Failures {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
    }
}

impl ProducerContext for Failures {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, mark: usize) {
        if let Some(failure) = report(mark, result).failure {
            self.push(failure);
        }
    }
}
