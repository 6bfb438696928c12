//! What librdkafka tells about the records that it was given.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::ProducerContext,
};

use super::settlements::{Command, Settlements};
use crate::kafka::{client, hearing::Hearing, statistics::Statistics};

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
pub(super) struct ToPublisher {
    settlements: Settlements,
    /// Of its producer.
    pub(super) hearing: Hearing,
}

impl ToPublisher {
    pub(super) fn new(settlements: Settlements) -> Self {
        Self {
            settlements,
            hearing: Hearing::default(),
        }
    }
}

/// Waits for the reports of a transaction's records. They come on the producer's own thread.
#[derive(Clone, Default)]
pub(super) struct Reports(Arc<Shared>);

#[derive(Default)]
struct Shared {
    open: Mutex<Open>,
    changed: Condvar,
    hearing: Hearing,
}

/// The transaction that is open.
#[derive(Default)]
struct Open {
    /// Its number: reports of records of an earlier one, which was given up, may still come.
    mark: usize,
    missing: usize,
    failures: Vec<RDKafkaErrorCode>,
}

impl Reports {
    /// A transaction begins. Its records are to be sent with this mark.
    pub(super) fn begin(&self) -> usize {
        let mut open = self.open();
        *open = Open {
            mark: open.mark + 1,
            ..Open::default()
        };
        open.mark
    }

    /// A record is going to be sent.
    pub(super) fn expect_one(&self) {
        self.open().missing += 1;
    }

    /// A record that was expected could not even be sent.
    pub(super) fn refused(&self, failure: RDKafkaErrorCode) {
        self.open().settle(Some(failure));
    }

    /// Waits until every record of the transaction is reported, but not longer than `within`; says whether that is so.
    pub(super) fn wait(&self, within: Duration) -> bool {
        let missing = |open: &mut Open| open.missing > 0;
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.open(), within, missing);
        waited.unwrap_or_else(PoisonError::into_inner).0.missing == 0
    }

    /// Why records of the transaction were not taken, as far as is known.
    pub(super) fn failures(&self) -> Vec<RDKafkaErrorCode> {
        self.open().failures.clone()
    }

    /// Of its producer.
    pub(super) fn hearing(&self) -> &Hearing {
        &self.0.hearing
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn settle(&mut self, failure: Option<RDKafkaErrorCode>) {
        self.missing = self.missing.saturating_sub(1);
        self.failures.extend(failure);
    }
}

impl ClientContext for ToPublisher {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(statistics) = Statistics::read(statistics) {
            self.hearing.statistics(statistics);
        }
    }
}

impl ProducerContext for ToPublisher {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, mark: usize) {
        let Report { mark, failure } = report(mark, result);
        self.settlements.tell(Command::Reported { mark, failure });
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(statistics) = Statistics::read(statistics) {
            self.hearing().statistics(statistics);
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, mark: usize) {
        let Report { mark, failure } = report(mark, result);
        let mut open = self.open();
        if open.mark == mark {
            open.settle(failure);
            if open.missing == 0 {
                self.0.changed.notify_all();
            }
        }
    }
}
