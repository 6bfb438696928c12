//! From job records to orders for the intake.

use std::{sync::Arc, time::Duration};

use babelmesh_actors::{
    domain::{JobOutcome, Order, OutcomeSink, RequestError, Ticket, TranslationRequest},
    intake::IntakeMessage,
};
use ractor::ActorRef;
use rdkafka::{Message, message::BorrowedMessage};
use tokio::time::Instant;

use super::{
    ownership::Ownership,
    publisher::{Settled, Settlements},
    reader::Handler,
    record::{self, Encoder},
    requests::{now_ms, origin, weight},
};
use crate::telemetry::Traces;

/// Where outcomes go. Of partitions that are gone none are wanted: a node that lost a large backlog does not work it off for nothing.
struct Sink {
    settlements: Settlements,
    ownership: Ownership,
}

impl OutcomeSink for Sink {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        self.settlements.deliver(outcomes);
    }

    fn wants(&self, ticket: Ticket) -> bool {
        self.ownership.holds(ticket.partition, ticket.epoch)
    }
}

/// Reads jobs, offers them to the intake.
pub struct JobReader {
    settlements: Settlements,
    sink: Arc<dyn OutcomeSink>,
    encoder: Encoder,
    intake: ActorRef<IntakeMessage>,
    traces: Traces,
    orders: Vec<Order>,
    settled: Vec<(Ticket, Settled)>,
}

impl JobReader {
    /// A reader for one intake, of the partitions that are owned.
    #[must_use]
    pub fn new(
        settlements: Settlements,
        ownership: Ownership,
        encoder: Encoder,
        intake: ActorRef<IntakeMessage>,
        traces: Traces,
    ) -> Self {
        let sink = Arc::new(Sink {
            settlements: settlements.clone(),
            ownership,
        });
        Self {
            settlements,
            sink,
            encoder,
            intake,
            traces,
            orders: Vec::new(),
            settled: Vec::new(),
        }
    }

    fn order(&self, ticket: Ticket, message: &BorrowedMessage<'_>) -> Result<Order, RequestError> {
        let request = TranslationRequest::decode(message.payload().unwrap_or_default())?;
        let single = request.targets().count() == 1;
        if !single {
            return Err(RequestError::new(
                babelmesh_actors::domain::ErrorCode::InvalidRequest,
                "a job names exactly one target language",
            ));
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
            sink: Arc::clone(&self.sink),
        })
    }
}

impl Handler for JobReader {
    fn read(&mut self, ticket: Ticket, message: &BorrowedMessage<'_>) -> u64 {
        match self.order(ticket, message) {
            Ok(order) => self.orders.push(order),
            Err(error) => {
                let key = message.key().unwrap_or_default();
                let payload = message.payload().unwrap_or_default().to_vec();
                let trace = record::trace(message);
                let letter = self
                    .encoder
                    .dead_letter(key, payload, &error, &origin(message), &trace)
                    .replayed(record::replays(message));
                let settled = Settled::Records {
                    records: vec![letter],
                    journey: None,
                };
                self.settled.push((ticket, settled));
            }
        }
        weight(message)
    }

    fn hand_on(&mut self) {
        if !self.settled.is_empty() {
            self.settlements.settle(std::mem::take(&mut self.settled));
        }
        if !self.orders.is_empty() {
            // An intake that is gone takes its node down; the records are delivered again.
            let _ = self
                .intake
                .cast(IntakeMessage::Offer(std::mem::take(&mut self.orders)));
        }
    }
}
