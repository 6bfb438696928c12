//! The partitions that a publisher works for.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use babelmesh_actors::{delivery::Ledger, domain::Ticket, flow::Flow};
use babelmesh_telemetry::{events::NodeEvent, traces::RequestTrace};

use super::{
    Publishing,
    answers::{Answers, Dispatch},
    encoding::encode,
    progress::Progress,
    run::LARGEST,
    waiting_partitions::Waiting,
};
use crate::{
    gauges::DeliveryGauges,
    publisher_handle::{Completed, Ingested},
    record::{Encoder, Origin, OutRecord},
};

/// A partition from its assignment to its end here.
pub(super) struct Partition {
    pub(super) topic: Arc<str>,
    pub(super) number: i32,
    pub(super) epoch: u32,
    ledger: Ledger<Completed>,
    /// Unfinished records, in order.
    accepted: VecDeque<Ingested>,
    /// Their total weight.
    weight: u64,
    /// Answers to publish, in order; kept until the broker has both the records and the offset.
    pub(super) released: VecDeque<Released>,
    progress: Progress,
}

/// The answer to one record of the partition.
pub(super) struct Released {
    pub(super) offset: i64,
    pub(super) answers: Answers,
    /// The record on its way, if it is watched.
    pub(super) request_trace: Option<Box<RequestTrace>>,
}

impl Partition {
    fn new(topic: Arc<str>, number: i32, epoch: u32) -> Self {
        Self {
            topic,
            number,
            epoch,
            ledger: Ledger::default(),
            accepted: VecDeque::new(),
            weight: 0,
            released: VecDeque::new(),
            progress: Progress::default(),
        }
    }

    pub(super) fn origin(&self, offset: i64) -> Origin {
        Origin {
            topic: Arc::clone(&self.topic),
            partition: self.number,
            offset,
        }
    }

    /// Whether everything that was read is published and committed.
    pub(super) fn is_finished(&self) -> bool {
        self.ledger.is_empty() && self.released.is_empty()
    }

    /// Every record before this offset was read.
    pub(super) fn pass(&mut self, offset: i64) {
        self.progress.pass(offset);
    }

    /// The offset behind markers to commit, if everything that was read is finished.
    pub(super) fn passed(&self) -> Option<i64> {
        self.progress.due().filter(|_| self.is_finished())
    }

    /// Takes outcomes whose turn it is; returns how many.
    fn release(&mut self, with: &Publishing) -> usize {
        let before = self.released.len();
        while let Some((offset, settled)) = self.ledger.release() {
            let (records, request_trace) = match settled {
                Completed::Records {
                    records,
                    request_trace,
                } => (records, request_trace),
                Completed::Outcome(outcome) => encode(*outcome, &self.origin(offset), with),
            };
            self.released.push_back(Released {
                offset,
                answers: Answers::new(records),
                request_trace,
            });
        }
        self.released.len() - before
    }

    /// What answers the record at this offset, if that is released and not finished.
    pub(super) fn find_released(&mut self, offset: i64) -> Option<&mut Released> {
        let found = self.released.binary_search_by_key(&offset, |r| r.offset);
        self.released.get_mut(found.ok()?)
    }

    /// The broker has everything up to this offset, records and offsets.
    pub(super) fn finish(&mut self, upto: i64, flow: &Flow, gauges: &DeliveryGauges) {
        self.progress.commit(upto + 1);
        while let Some(released) = self.released.pop_front_if(|r| r.offset <= upto) {
            for code in released.answers.records().filter_map(OutRecord::error_code) {
                gauges.laid_aside(code);
            }
            if let Some(request_trace) = released.request_trace {
                request_trace.committed();
            }
        }
        let mut weight = 0;
        while let Some(opened) = self.accepted.front().filter(|o| o.ticket.offset <= upto) {
            weight += opened.weight;
            self.accepted.pop_front();
        }
        self.weight -= weight;
        flow.done(weight);
    }
}

/// The reader's numbers of partitions, and the partitions.
#[derive(Default)]
pub(super) struct Partitions(HashMap<u32, Partition>);

impl Partitions {
    pub(super) fn assigned(&mut self, id: u32, partition: (Arc<str>, i32, u32), flow: &Flow) {
        let (topic, number, epoch) = partition;
        if let Some(old) = self.0.insert(id, Partition::new(topic, number, epoch)) {
            forget(&old, flow);
        }
    }

    /// A record was read. It weighs nothing here if its partition is gone.
    pub(super) fn open(&mut self, opened: Ingested, flow: &Flow) {
        if let Some(partition) = self.held(opened.ticket)
            && partition.ledger.open(opened.ticket.offset)
        {
            partition.accepted.push_back(opened);
            partition.weight += opened.weight;
        } else {
            flow.done(opened.weight);
        }
    }

    pub(super) fn settle(&mut self, ticket: Ticket, settled: Completed) {
        if let Some(partition) = self.held(ticket) {
            // Known already only if the record was read twice: the first outcome counts.
            let _ = partition.ledger.settle(ticket.offset, settled);
        }
    }

    fn held(&mut self, ticket: Ticket) -> Option<&mut Partition> {
        self.get(ticket.partition, ticket.epoch)
    }

    /// The partition, if this is still its assignment.
    pub(super) fn get(&mut self, id: u32, epoch: u32) -> Option<&mut Partition> {
        self.0.get_mut(&id).filter(|p| p.epoch == epoch)
    }

    /// The partition, whichever assignment it is.
    pub(super) fn get_any(&mut self, id: u32) -> Option<&mut Partition> {
        self.0.get_mut(&id)
    }

    /// Unacknowledged records are to be sent again.
    pub(super) fn send_again(&mut self) {
        let released = self.0.values_mut().flat_map(|p| &mut p.released);
        for answer in released.flat_map(|released| released.answers.iter_mut()) {
            if answer.dispatch == Dispatch::Sent {
                answer.dispatch = Dispatch::Waiting;
            }
        }
    }

    /// [`Partitions::get`], to look at.
    pub(super) fn find(&self, id: u32, epoch: u32) -> Option<&Partition> {
        self.0.get(&id).filter(|p| p.epoch == epoch)
    }

    /// Has every partition release what it can; returns how many outcomes that were.
    pub(super) fn release(&mut self, with: &Publishing) -> usize {
        self.0.values_mut().map(|p| p.release(with)).sum()
    }

    /// Answers released, unsent jobs for which `is_such` is true with an error. It is called with the source partition and the job.
    pub(super) fn answer_unavailable(
        &mut self,
        encoder: &Encoder,
        is_such: impl Fn(u32, &OutRecord) -> bool,
    ) {
        for (id, partition) in &mut self.0 {
            // Those behind are looked at when their turn comes.
            for released in partition.released.iter_mut().take(LARGEST) {
                released.answers.replace_all(
                    |record| encoder.is_job(record) && is_such(*id, record),
                    |job| encoder.unavailable(job),
                );
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Partition)> {
        self.0.iter().map(|(id, partition)| (*id, partition))
    }

    pub(super) fn ids(&self) -> Vec<u32> {
        self.0.keys().copied().collect()
    }

    pub(super) fn is_finished(&self, id: u32) -> bool {
        self.0.get(&id).is_none_or(Partition::is_finished)
    }

    /// Removes the partition, finished or not.
    pub(super) fn drop_one(&mut self, id: u32, flow: &Flow) {
        if let Some(partition) = self.0.remove(&id) {
            forget(&partition, flow);
        }
    }

    /// Total weight of unfinished records of these topics and of waiting partitions.
    pub(super) fn weight_of(&self, topics: &BTreeSet<String>, waiting: &Waiting) -> u64 {
        let those = self
            .0
            .iter()
            .filter(|(id, partition)| topics.contains(&*partition.topic) || waiting.has(**id));
        those.map(|(_, partition)| partition.weight).sum()
    }

    /// Time of the oldest unfinished record, in milliseconds since 1970.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        let oldest = |p: &Partition| p.accepted.front().map(|opened| opened.written_ms);
        self.0.values().filter_map(oldest).min()
    }
}

/// Releases the accepted weight of a removed partition.
fn forget(partition: &Partition, flow: &Flow) {
    flow.done(partition.weight);
    let unfinished = partition.accepted.len();
    if unfinished > 0 {
        NodeEvent::PartitionDropped {
            topic: &partition.topic,
            partition: partition.number,
            unfinished,
        }
        .emit();
    }
}

#[cfg(test)]
mod tests;
