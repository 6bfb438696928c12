//! From job records to orders for the intake.

use std::{sync::Arc, time::Duration};

use babelmesh_actors::{
    domain::{ErrorCode, JobOutcome, Leg, Locality, Order, OutcomeSink, RequestError, Ticket},
    intake::IntakeMessage,
};
use babelmesh_telemetry::Traces;
use ractor::ActorRef;
use rdkafka::message::BorrowedMessage;
use tokio::time::Instant;

use super::{
    ownership::Ownership,
    publisher_handle::{CompletedBatch, PublisherHandle},
    reader::Handler,
    record::{self, OutRecord, weight},
    rejected_records::Refusals,
    requests::now_ms,
};

/// The sink of outcomes. Outcomes of revoked partitions are unwanted, so a node that lost a large backlog stops working
/// on it.
struct Sink {
    publisher_handle: PublisherHandle,
    ownership: Ownership,
}

impl OutcomeSink for Sink {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        self.publisher_handle.deliver(outcomes);
    }

    fn wants(&self, ticket: Ticket) -> bool {
        self.ownership.holds(ticket.partition, ticket.epoch)
    }
}

/// Reads jobs, offers them to the intake.
pub struct JobReader {
    publisher_handle: PublisherHandle,
    sink: Arc<dyn OutcomeSink>,
    refusals: Refusals,
    intake: ActorRef<IntakeMessage>,
    traces: Traces,
    orders: Vec<Order>,
    completed: CompletedBatch,
}

impl JobReader {
    /// A reader for one intake, of the partitions that are owned.
    #[must_use]
    pub fn new(
        publisher_handle: PublisherHandle,
        ownership: Ownership,
        refusals: Refusals,
        intake: ActorRef<IntakeMessage>,
        traces: Traces,
    ) -> Self {
        let sink = Arc::new(Sink {
            publisher_handle: publisher_handle.clone(),
            ownership,
        });
        Self {
            publisher_handle,
            sink,
            refusals,
            intake,
            traces,
            orders: Vec::new(),
            completed: CompletedBatch::default(),
        }
    }

    /// The order in a record, or the records that answer an invalid one.
    fn order(
        &self,
        ticket: Ticket,
        message: &BorrowedMessage<'_>,
    ) -> Result<Order, Vec<OutRecord>> {
        let request = self.refusals.decode(message, || record::trace(message))?;
        if request.targets().count() != 1 {
            let text = "a job must have exactly one target language";
            let error = RequestError::new(ErrorCode::InvalidRequest, text);
            let trace = record::trace(message);
            return Err(self.refusals.whole(message, Some(&request), &error, &trace));
        }
        let age = record::submitted_at(message).map_or(0, |at| now_ms().saturating_sub(at));
        let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        let now = Instant::now();
        Ok(Order {
            ticket,
            request,
            submitted: now.checked_sub(age).unwrap_or(now),
            trace: record::accepted(message, &self.traces),
            replays: record::replays(message),
            fresh: false,
            locality: Locality::Cluster,
            leg: Leg::Whole,
            sink: Arc::clone(&self.sink),
        })
    }
}

impl Handler for JobReader {
    fn read(&mut self, ticket: Ticket, message: &BorrowedMessage<'_>) -> u64 {
        let weight = weight(message);
        match self.order(ticket, message) {
            Ok(order) => self.orders.push(order),
            Err(records) => self.completed.answer(ticket, records),
        }
        weight
    }

    fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    fn completed(&mut self) -> &mut CompletedBatch {
        &mut self.completed
    }

    fn flush(&mut self) {
        self.completed.flush(&self.publisher_handle);
        if !self.orders.is_empty() {
            // If the intake fails, the node exits; the records are delivered again.
            let _ = self
                .intake
                .cast(IntakeMessage::Offer(std::mem::take(&mut self.orders)));
        }
    }
}
