//! Delivery reports of librdkafka.

use std::{
    collections::BTreeSet,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::ProducerContext,
};

use crate::{
    broker_connectivity::BrokerConnectivity,
    client,
    publisher_handle::{Command, PublisherHandle},
    statistics::Statistics,
};

/// Records of one batch are reported within so long.
const TOGETHER: Duration = Duration::from_millis(100);

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
    publisher_handle: PublisherHandle,
    /// Of its producer.
    pub(super) connectivity: BrokerConnectivity,
}

impl ToPublisher {
    pub(super) fn new(publisher_handle: PublisherHandle) -> Self {
        Self {
            publisher_handle,
            connectivity: BrokerConnectivity::default(),
        }
    }
}

/// Delivery status of a sent record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordStatus {
    /// Nothing yet.
    Pending,
    /// The broker has it.
    Taken,
    /// The broker does not have it.
    Failed(RDKafkaErrorCode),
}

/// Waits for the reports of a transaction's records. They come on the producer's own thread.
#[derive(Clone, Default)]
pub(super) struct Reports(Arc<Shared>);

#[derive(Default)]
struct Shared {
    open: Mutex<Open>,
    changed: Condvar,
    connectivity: BrokerConnectivity,
}

/// The transaction that is open.
#[derive(Default)]
struct Open {
    /// Its number: reports for an earlier transaction that was given up may still arrive.
    transaction: u32,
    /// Of each record that was sent.
    statuses: Vec<RecordStatus>,
    missing: usize,
    /// When a record was reported last.
    heard: Option<Instant>,
    /// When the first record was reported as failed.
    failed: Option<Instant>,
    /// Topics that this producer may not write to.
    denied: BTreeSet<String>,
}

/// A record of a transaction, as one number that librdkafka carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    transaction: u32,
    /// Counts the records of the transaction.
    record: u32,
}

const _: () = assert!(usize::BITS >= 64, "a mark has two numbers of 32 bits");

impl Mark {
    const fn number(self) -> usize {
        (self.transaction as usize) << 32 | self.record as usize
    }

    const fn of(number: usize) -> Self {
        Self {
            transaction: (number >> 32) as u32,
            record: number as u32,
        }
    }
}

impl Reports {
    /// A transaction begins.
    pub(super) fn begin(&self) {
        let mut open = self.open();
        *open = Open {
            transaction: open.transaction.wrapping_add(1),
            ..Open::default()
        };
    }

    /// A record is going to be sent, with the mark that this returns.
    pub(super) fn expect_one(&self) -> usize {
        let mut open = self.open();
        let mark = Mark {
            transaction: open.transaction,
            record: open.statuses.len() as u32,
        };
        open.statuses.push(RecordStatus::Pending);
        open.missing += 1;
        mark.number()
    }

    /// A record that was expected could not even be sent.
    pub(super) fn not_sent(&self, mark: usize, failure: RDKafkaErrorCode) {
        self.open().settle(Mark::of(mark), Some(failure));
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

    /// Whether a record was reported as failed some time ago: others of its batch are reported by then, and further reports may never come.
    pub(super) fn has_failed(&self) -> bool {
        let failed = self.open().failed;
        failed.is_some_and(|failed| failed.elapsed() > TOGETHER)
    }

    /// When a record of the transaction was reported last.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.open().heard
    }

    /// What is known of each record of the transaction, in the order in which they were sent.
    pub(super) fn statuses(&self) -> Vec<RecordStatus> {
        self.open().statuses.clone()
    }

    /// Topics that the brokers do not let this producer write to in the transaction. No report says so: all records are purged then.
    pub(super) fn denied(&self) -> BTreeSet<String> {
        self.open().denied.clone()
    }

    /// Whether all records that were sent so far are taken.
    pub(super) fn are_taken(&self) -> bool {
        self.open()
            .statuses
            .iter()
            .all(|status| *status == RecordStatus::Taken)
    }

    /// Number of records that were sent.
    pub(super) fn sent(&self) -> usize {
        self.open().statuses.len()
    }

    /// Of its producer.
    pub(super) fn connectivity(&self) -> &BrokerConnectivity {
        &self.0.connectivity
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Takes a report; says whether it was the last one that was missing.
    fn settle(&mut self, mark: Mark, failure: Option<RDKafkaErrorCode>) -> bool {
        if mark.transaction != self.transaction {
            return false;
        }
        match self.statuses.get_mut(mark.record as usize) {
            Some(status) if *status == RecordStatus::Pending => {
                *status = failure.map_or(RecordStatus::Taken, RecordStatus::Failed);
                self.heard = Some(Instant::now());
                if failure.is_some() {
                    self.failed.get_or_insert_with(Instant::now);
                }
                self.missing -= 1;
                self.missing == 0
            }
            _ => false,
        }
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
            self.connectivity.statistics(statistics);
        }
    }
}

impl ProducerContext for ToPublisher {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, mark: usize) {
        let Report { mark, failure } = report(mark, result);
        self.publisher_handle
            .tell(Command::Reported { mark, failure });
    }
}

/// The topic that may not be written to, if a line of librdkafka says so.
fn denied<'m>(facility: &str, message: &'m str) -> Option<&'m str> {
    let (_, rest) = message.split_once("Failed to add partition \"")?;
    let (topic, why) = rest.split_once("\" [")?;
    let is_denied = facility == "ADDPARTS" && why.contains("Topic authorization failed");
    is_denied.then_some(topic)
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some(topic) = denied(facility, message) {
            self.open().denied.insert(topic.to_owned());
        }
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(statistics) = Statistics::read(statistics) {
            self.connectivity().statistics(statistics);
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, mark: usize) {
        let Report { mark, failure } = report(mark, result);
        if self.open().settle(Mark::of(mark), failure) {
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_mark_is_one_number(transaction: u32, record: u32) {
            let mark = Mark { transaction, record };
            prop_assert_eq!(Mark::of(mark.number()), mark);
        }
    }

    #[test]
    fn only_the_topic_that_is_denied_is_found_in_the_log() {
        let line = |topic: &str, why: &str| {
            format!(
                "[thrd:main]: b:9092/1: Failed to add partition \"{topic}\" [3] to transaction: Broker: {why}"
            )
        };
        let denied_line = line("jobs.de", "Topic authorization failed");
        assert_eq!(denied("ADDPARTS", &denied_line), Some("jobs.de"));
        let other = line("jobs.fr", "Operation not attempted");
        assert_eq!(denied("ADDPARTS", &other), None);
        assert_eq!(denied("FAIL", &denied_line), None);
        assert_eq!(denied("ADDPARTS", "something else"), None);
    }

    #[test]
    fn each_report_is_about_one_record_of_the_open_transaction() {
        let reports = Reports::default();
        reports.begin();
        let early = reports.expect_one();
        reports.begin();
        let marks = [reports.expect_one(), reports.expect_one()];
        let tell = |mark, failure| reports.open().settle(Mark::of(mark), failure);
        let refused = RDKafkaErrorCode::MessageSizeTooLarge;
        assert!(!tell(early, None), "it was given up");
        assert!(reports.heard().is_none());
        assert!(!tell(marks[1], Some(refused)));
        assert_eq!(
            reports.statuses(),
            [RecordStatus::Pending, RecordStatus::Failed(refused)]
        );
        assert!(!reports.wait(Duration::ZERO) && reports.heard().is_some());
        assert!(!tell(marks[1], None), "only the first report counts");
        assert!(tell(marks[0], None), "nothing is missing");
        assert_eq!(
            reports.statuses(),
            [RecordStatus::Taken, RecordStatus::Failed(refused)]
        );
        assert!(reports.wait(Duration::ZERO) && !reports.are_taken());
    }
}
