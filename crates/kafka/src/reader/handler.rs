//! What a reader does with each record.

use babelmesh_actors::{
    containment::contain,
    domain::Ticket,
    events::{Event, Observer, Stage},
};
use rdkafka::message::BorrowedMessage;

use crate::{publisher_handle::CompletedBatch, record::weight, rejected_records::Refusals};

/// Handler of records. Called on the reader's thread.
pub trait Handler: Send + 'static {
    /// Takes a record; returns what it weighs (see [`Flow::weight_of`](babelmesh_actors::flow::Flow::weight_of)).
    fn read(&mut self, ticket: Ticket, message: &BorrowedMessage<'_>) -> u64;

    /// Answers rejected records.
    fn refusals(&self) -> &Refusals;

    /// Outcomes that are not flushed yet.
    fn completed(&mut self) -> &mut CompletedBatch;

    /// The records read since the last call are known to the publisher: flush them.
    fn flush(&mut self);
}

/// Has a handler take a record. A panic of it concerns this record alone; returns what the record weighs.
pub(super) fn handle(
    handler: &mut impl Handler,
    observer: &dyn Observer,
    ticket: Ticket,
    message: &BorrowedMessage<'_>,
) -> u64 {
    contain(|| handler.read(ticket, message)).unwrap_or_else(|panic| {
        let (stage, said) = (Stage::Read, panic.to_string());
        observer.observe(&Event::PanicContained { stage, panic: said });
        let records = handler.refusals().after_panic(message, &panic);
        handler.completed().answer(ticket, records);
        weight(message)
    })
}
