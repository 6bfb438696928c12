//! At least once: an offset is stored for commit when everything up to it is acknowledged.

use std::{
    collections::{HashMap, VecDeque},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, Producer},
};

use super::{
    DEAF, Delivery, Next, Publishing,
    partition::Partitions,
    refusal::replace_largest,
    reports::{Report, ToPublisher},
    settlements::Settlements,
};
use crate::{
    events::NodeEvent,
    kafka::{polled::PolledProducer, record::OutRecord},
};

/// How long to wait when librdkafka's queue is full.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(2);
/// How long to wait before a producer is replaced that could not write.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Answers first, then offsets.
pub(super) struct Acknowledged {
    config: ClientConfig,
    settlements: Settlements,
    producer: PolledProducer<ToPublisher>,
    /// Answers on their way to the broker: number → where they belong.
    units: HashMap<usize, Unit>,
    next_unit: usize,
    /// By the reader's number of the partition.
    sent: HashMap<u32, Sending>,
    restart_at: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Unit {
    partition: u32,
    epoch: u32,
    offset: i64,
}

/// How far a partition's answers have got.
struct Sending {
    epoch: u32,
    /// Sent and not yet acknowledged, in order: offset and number of records missing.
    waiting: VecDeque<(i64, usize)>,
    /// The last offset that was sent.
    upto: i64,
}

impl Acknowledged {
    pub(super) fn new(config: ClientConfig, settlements: Settlements) -> anyhow::Result<Self> {
        let producer = PolledProducer::new(&config, ToPublisher::new(settlements.clone()))?;
        Ok(Self {
            config,
            settlements,
            producer,
            units: HashMap::new(),
            next_unit: 0,
            sent: HashMap::new(),
            restart_at: None,
        })
    }

    /// Writes every answer that was not written yet.
    fn send(&mut self, partitions: &Partitions) {
        for (id, partition) in partitions.iter() {
            let epoch = partition.epoch;
            let fresh = || Sending {
                epoch,
                waiting: VecDeque::new(),
                upto: i64::MIN,
            };
            let sending = self.sent.entry(id).or_insert_with(fresh);
            if sending.epoch != epoch {
                *sending = fresh();
            }
            let new = partition
                .released
                .partition_point(|r| r.offset <= sending.upto);
            for released in partition.released.range(new..) {
                let (unit, offset) = (self.next_unit, released.offset);
                self.next_unit += 1;
                sending.upto = offset;
                sending.waiting.push_back((offset, released.records.len()));
                if !released.records.is_empty() {
                    let partition = id;
                    self.units.insert(
                        unit,
                        Unit {
                            partition,
                            epoch,
                            offset,
                        },
                    );
                }
                for record in &released.records {
                    produce(&self.producer, &self.settlements, record, unit);
                }
            }
        }
    }

    /// Stores the offsets that everything before is acknowledged of.
    fn store_offsets(&mut self, partitions: &mut Partitions, with: &Publishing) {
        let Some(consumer) = with.member.consumer() else {
            return;
        };
        for (id, sending) in &mut self.sent {
            let mut complete = None;
            while let Some((offset, 0)) = sending.waiting.front().copied() {
                sending.waiting.pop_front();
                with.gauges.finished(1);
                complete = Some(offset);
            }
            let (Some(offset), Some(partition)) = (complete, partitions.get(*id, sending.epoch))
            else {
                continue;
            };
            partition.finish(offset, &with.flow, &with.gauges);
            let (topic, number) = (&partition.topic, partition.number);
            if let Err(error) = consumer.store_offset(topic, number, offset) {
                // The partition was lost meanwhile: its next owner reads from the last commit.
                let error = &error.to_string();
                NodeEvent::OffsetNotStored { topic, error }.emit();
            }
        }
    }

    /// Stores offsets behind markers of transactions. They are committed in the same way, and so in the same order, as all others.
    fn pass(partitions: &mut Partitions, with: &Publishing) {
        let due: Vec<_> = partitions
            .iter()
            .filter_map(|(id, partition)| Some((id, partition.epoch, partition.passed()?)))
            .collect();
        let Some(consumer) = with.member.consumer().filter(|_| !due.is_empty()) else {
            return;
        };
        for (id, epoch, offset) in due {
            let Some(partition) = partitions.get(id, epoch) else {
                continue;
            };
            // What is stored is the offset of the last record: the group goes on behind it.
            let (topic, last) = (&partition.topic, offset - 1);
            let store = || consumer.store_offset(topic, partition.number, last).ok();
            let stored = with.ownership.while_held([(id, epoch)].into_iter(), store);
            if stored.is_some() {
                partition.finish(last, &with.flow, &with.gauges);
            }
        }
    }

    /// A producer that failed may be of no use any more, and what it still holds would leave out of order.
    fn restart(&mut self, with: &Publishing) {
        match PolledProducer::new(&self.config, ToPublisher::new(self.settlements.clone())) {
            Ok(producer) => {
                self.producer = producer;
                self.units.clear();
                self.sent.clear();
                self.restart_at = None;
                with.gauges.producer_restarted();
            }
            Err(error) => {
                let error = &error.to_string();
                NodeEvent::ProducerBroken { error }.emit();
                self.restart_at = Some(Instant::now() + RESTART_AFTER);
            }
        }
    }
}

impl Delivery for Acknowledged {
    fn work(&mut self, partitions: &mut Partitions, with: &Publishing) -> Next {
        match self.restart_at {
            Some(at) if Instant::now() < at => return Next::Later,
            Some(_) => self.restart(with),
            None if self.producer.context().hearing.is_deaf() => {
                NodeEvent::ProducerBroken { error: DEAF }.emit();
                self.restart(with);
            }
            None => {}
        }
        if self.sent.is_empty() {
            partitions.answer_unavailable(with);
        }
        self.send(partitions);
        self.store_offsets(partitions, with);
        Self::pass(partitions, with);
        Next::Later
    }

    fn reported(&mut self, report: Report, partitions: &mut Partitions, with: &Publishing) {
        let Some(unit) = self.units.get(&report.mark).copied() else {
            return;
        };
        let Some(sending) = self.sent.get_mut(&unit.partition) else {
            return;
        };
        let index = sending.waiting.binary_search_by_key(&unit.offset, |w| w.0);
        let Some(waiting) = index.ok().and_then(|i| sending.waiting.get_mut(i)) else {
            return;
        };
        match report.failure {
            None => waiting.1 -= 1,
            Some(failure) if Report::is_refusal(failure) => {
                let Some(partition) = partitions.get(unit.partition, unit.epoch) else {
                    return;
                };
                let instead = replace_largest(partition, unit.offset, &with.encoder);
                waiting.1 = waiting.1 - 1 + instead.len();
                for record in instead {
                    produce(&self.producer, &self.settlements, record, report.mark);
                }
            }
            Some(failure) => {
                if self.restart_at.is_none() {
                    let error = &failure.to_string();
                    NodeEvent::PublishFailed { error }.emit();
                    self.restart_at = Some(Instant::now() + RESTART_AFTER);
                }
            }
        }
        if waiting.1 == 0 {
            self.units.remove(&report.mark);
        }
    }

    fn is_busy_with(&self, _: u32) -> bool {
        false
    }

    fn dropped(&mut self, partitions: &[u32]) {
        for id in partitions {
            self.sent.remove(id);
        }
        self.units
            .retain(|_, unit| !partitions.contains(&unit.partition));
    }
}

fn produce(
    producer: &PolledProducer<ToPublisher>,
    settlements: &Settlements,
    record: &OutRecord,
    mark: usize,
) {
    let mut pending = BaseRecord::with_opaque_to(&record.topic, mark)
        .key(&record.key)
        .payload(&record.payload)
        .headers(record.kafka_headers());
    loop {
        match producer.send(pending) {
            Ok(()) => return,
            // The queue of a producer that knows no broker never empties.
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                if !producer.context().hearing.is_deaf() =>
            {
                pending = back;
                thread::sleep(QUEUE_FULL_PAUSE);
            }
            Err((error, _)) => {
                let failure = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                let failure = Some(failure);
                settlements.tell(super::Command::Reported { mark, failure });
                return;
            }
        }
    }
}

impl Drop for Acknowledged {
    fn drop(&mut self) {
        let _ = self.producer.flush(Duration::from_secs(1));
    }
}
