//! At least once: an offset is stored for commit when everything up to it is acknowledged.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use babelmesh_telemetry::events::NodeEvent;
use rdkafka::{
    ClientConfig,
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, Producer},
};

use super::{
    DISCONNECTED, Delivery, Next, Publishing,
    answers::Dispatch,
    parking::{Parking, Until, Verdict, WriteTimeouts},
    partition::{Partition, Partitions},
    refusal::replace_refused,
    reports::{Report, ToPublisher},
    topic_failures::{Reason, Scope, TopicFailure},
    waiting_partitions::Waiting,
};
use crate::{
    polled_producer::PolledProducer, publisher_handle::PublisherHandle, record::OutRecord,
};

/// How long to wait before a producer is replaced that could not write.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Answers first, then offsets.
pub(super) struct Acknowledged {
    config: ClientConfig,
    publisher_handle: PublisherHandle,
    producer: PolledProducer<ToPublisher>,
    /// Records on their way to the broker: mark → where they belong.
    units: HashMap<usize, Unit>,
    next_unit: usize,
    /// By the reader's number of the partition.
    windows: HashMap<u32, Window>,
    parking: Parking,
    /// Records that were rejected, perhaps only because of others in their batch. Each is sent again alone.
    suspects: VecDeque<Unit>,
    /// The suspect that is on its way.
    alone: Option<usize>,
    restart_at: Option<Instant>,
}

/// A record on its way.
#[derive(Clone)]
struct Unit {
    partition: u32,
    epoch: u32,
    offset: i64,
    /// Its number among the answers there.
    number: u32,
    topic: Arc<str>,
}

/// How far a partition's answers have got.
struct Window {
    epoch: u32,
    /// The last offset whose answers have all been sent at least once.
    upto: i64,
    /// The first offset with answers in flight, and since when it is the first.
    first: Option<(i64, Instant)>,
}

/// librdkafka's queue is full.
struct QueueFull;

impl Acknowledged {
    pub(super) fn new(
        config: ClientConfig,
        publisher_handle: PublisherHandle,
        timeouts: WriteTimeouts,
    ) -> anyhow::Result<Self> {
        let producer = PolledProducer::new(&config, ToPublisher::new(publisher_handle.clone()))?;
        Ok(Self {
            config,
            publisher_handle,
            producer,
            units: HashMap::new(),
            next_unit: 0,
            windows: HashMap::new(),
            parking: Parking::new(timeouts),
            suspects: VecDeque::new(),
            alone: None,
            restart_at: None,
        })
    }

    /// Writes every answer that was not written yet, unless it has to wait for its topic.
    fn send(&mut self, partitions: &mut Partitions, with: &Publishing) {
        let now = Instant::now();
        let suspected = self.send_suspect(partitions);
        for id in partitions.ids() {
            let Some(partition) = partitions.get_any(id) else {
                continue;
            };
            let window = self
                .windows
                .entry(id)
                .or_insert_with(|| Window::of(partition));
            if window.epoch != partition.epoch {
                *window = Window::of(partition);
            }
            if window.is_silent(now, self.parking.timeouts()) {
                continue;
            }
            let new = partition
                .released
                .partition_point(|r| r.offset <= window.upto);
            if self
                .send_new(id, partition, new, &suspected, (with, now))
                .is_err()
            {
                return;
            }
        }
    }

    /// Writes the answers of a partition from an index on.
    fn send_new(
        &mut self,
        id: u32,
        partition: &mut Partition,
        from: usize,
        suspected: &BTreeSet<Arc<str>>,
        (with, now): (&Publishing, Instant),
    ) -> Result<(), QueueFull> {
        let epoch = partition.epoch;
        for released in partition.released.range_mut(from..) {
            let waiting = || {
                let answers = released.answers.iter();
                answers.filter(|answer| answer.dispatch == Dispatch::Waiting)
            };
            let judge = |record: &OutRecord| match suspected.contains(&record.topic) {
                true => Verdict::Blocked,
                false => self.parking.judge(id, record, with, now),
            };
            let verdict = waiting().map(|answer| judge(&answer.record)).max();
            let is_trial = verdict == Some(Verdict::Due);
            let on_its_way = |unit: &Unit| unit.partition == id;
            if verdict == Some(Verdict::Blocked) || is_trial && self.units.values().any(on_its_way)
            {
                break;
            }
            let offset = released.offset;
            for answer in released.answers.iter_mut() {
                if answer.dispatch == Dispatch::Waiting {
                    let unit = Unit {
                        partition: id,
                        epoch,
                        offset,
                        number: answer.number,
                        topic: Arc::clone(&answer.record.topic),
                    };
                    self.produce(&answer.record, unit)?;
                    answer.dispatch = Dispatch::Sent;
                }
            }
            if let Some(window) = self.windows.get_mut(&id) {
                window.upto = window.upto.max(offset);
            }
        }
        Ok(())
    }

    /// Sends a suspect when nothing else is in flight to its topic, so that it is a batch of its own. Returns the topics of all suspects: nothing
    /// else may be sent to them.
    fn send_suspect(&mut self, partitions: &mut Partitions) -> BTreeSet<Arc<str>> {
        while self.alone.is_none()
            && let Some(suspect) = self.suspects.front()
            && !self.units.values().any(|unit| unit.topic == suspect.topic)
        {
            let suspect = suspect.clone();
            let partition = partitions.get(suspect.partition, suspect.epoch);
            let released = partition.and_then(|p| p.find_released(suspect.offset));
            let answer = released.and_then(|r| r.answers.find_mut(suspect.number));
            if let Some(answer) = answer.filter(|a| a.dispatch == Dispatch::Waiting) {
                let mark = self.next_unit;
                if self.produce(&answer.record, suspect).is_err() {
                    break;
                }
                answer.dispatch = Dispatch::Sent;
                self.alone = Some(mark);
            }
            self.suspects.pop_front();
        }
        let alone = self.alone.and_then(|mark| self.units.get(&mark));
        let suspects = self.suspects.iter().chain(alone);
        suspects.map(|unit| Arc::clone(&unit.topic)).collect()
    }

    /// Stores the offsets up to which every answer is acknowledged.
    fn store_offsets(&mut self, partitions: &mut Partitions, with: &Publishing) {
        let Some(consumer) = with.member.consumer() else {
            return;
        };
        for (id, window) in &mut self.windows {
            let Some(partition) = partitions.get(*id, window.epoch) else {
                continue;
            };
            let sent = partition
                .released
                .iter()
                .take_while(|r| r.offset <= window.upto);
            let done = sent.take_while(|released| released.answers.are_taken());
            let (count, complete) = done.fold((0, None), |(n, _), r| (n + 1, Some(r.offset)));
            if let Some(offset) = complete {
                with.gauges.finished(count);
                partition.finish(offset, &with.flow, &with.gauges);
                let (topic, number) = (&partition.topic, partition.number);
                if let Err(error) = consumer.store_offset(topic, number, offset) {
                    // The partition was lost meanwhile: its next owner reads from the last commit.
                    let error = &error.to_string();
                    NodeEvent::OffsetNotStored { topic, error }.emit();
                }
            }
            window.look(partition.released.front().map(|released| released.offset));
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
            // librdkafka commits the offset after the stored one.
            let (topic, last) = (&partition.topic, offset - 1);
            let store = || consumer.store_offset(topic, partition.number, last).ok();
            let stored = with.ownership.while_held([(id, epoch)].into_iter(), store);
            if stored.is_some() {
                partition.finish(last, &with.flow, &with.gauges);
            }
        }
    }

    /// A failed producer may be unusable, and its queued records would be written out of order. Acknowledged records
    /// are not sent again.
    fn restart(&mut self, partitions: &mut Partitions, with: &Publishing) {
        match PolledProducer::new(
            &self.config,
            ToPublisher::new(self.publisher_handle.clone()),
        ) {
            Ok(producer) => {
                self.producer = producer;
                self.units.clear();
                self.windows.clear();
                self.suspects.clear();
                self.alone = None;
                self.restart_at = None;
                partitions.send_again();
                with.gauges.producer_restarted();
            }
            Err(error) => {
                let error = &error.to_string();
                NodeEvent::ProducerBroken { error }.emit();
                self.restart_at = Some(Instant::now() + RESTART_AFTER);
            }
        }
    }

    fn produce(&mut self, record: &OutRecord, unit: Unit) -> Result<(), QueueFull> {
        let mark = self.next_unit;
        let pending = BaseRecord::with_opaque_to(&record.topic, mark)
            .key(&record.key)
            .payload(&record.payload)
            .headers(record.kafka_headers());
        match self.producer.send(pending) {
            Ok(()) => {}
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                return Err(QueueFull);
            }
            Err((error, _)) => {
                let failure = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                let failure = Some(failure);
                self.publisher_handle
                    .tell(super::Command::Reported { mark, failure });
            }
        }
        self.next_unit += 1;
        self.units.insert(mark, unit);
        Ok(())
    }

    /// A record was not taken.
    fn not_taken(
        &mut self,
        (mark, unit): (usize, Unit),
        failure: RDKafkaErrorCode,
        partitions: &mut Partitions,
        with: &Publishing,
    ) {
        let was_alone = self.alone.take_if(|alone| *alone == mark).is_some();
        let Some(partition) = partitions.get(unit.partition, unit.epoch) else {
            return;
        };
        let reason = Reason::Refused(failure);
        if Report::is_refusal(failure) {
            match was_alone {
                true => replace_refused(partition, unit.offset, unit.number, &with.encoder),
                false => self.suspects.push_back(unit.clone()),
            }
        } else if reason.is_of_topic() {
            let now = Instant::now();
            let verdict = self.parking.verdict(&unit.topic, unit.partition, now);
            // Of those that fail together only the first counts.
            if verdict != Verdict::Blocked {
                let (topic, scope) = (Arc::clone(&unit.topic), Scope::All);
                let topic_failure = TopicFailure {
                    topic,
                    scope,
                    reason,
                };
                self.parking.block(topic_failure, Until::Pause, now);
            }
        } else if self.restart_at.is_none() {
            let error = &failure.to_string();
            NodeEvent::PublishFailed { error }.emit();
            self.restart_at = Some(Instant::now() + RESTART_AFTER);
        }
        let released = partition.find_released(unit.offset);
        if let Some(answer) = released.and_then(|r| r.answers.find_mut(unit.number)) {
            answer.dispatch = Dispatch::Waiting;
        }
        if let Some(window) = self.windows.get_mut(&unit.partition) {
            window.upto = window.upto.min(unit.offset - 1);
        }
    }
}

impl Window {
    fn of(partition: &Partition) -> Self {
        Self {
            epoch: partition.epoch,
            upto: i64::MIN,
            first: None,
        }
    }

    /// Notices since when the first answers have been on their way.
    fn look(&mut self, first: Option<i64>) {
        let first = first.filter(|offset| *offset <= self.upto);
        self.first = first.map(|first| match self.first {
            Some((before, since)) if before == first => (first, since),
            _ => (first, Instant::now()),
        });
    }

    /// Whether nothing is heard of its first answers.
    fn is_silent(&self, now: Instant, timeouts: WriteTimeouts) -> bool {
        let elapsed = |(_, since): (i64, Instant)| now.saturating_duration_since(since);
        self.first
            .is_some_and(|first| elapsed(first) > timeouts.block_after)
    }
}

impl Delivery for Acknowledged {
    fn work(&mut self, partitions: &mut Partitions, with: &Publishing) -> Next {
        match self.restart_at {
            Some(at) if Instant::now() < at => return Next::Later,
            Some(_) => self.restart(partitions, with),
            None if self.producer.context().connectivity.is_disconnected() => {
                NodeEvent::ProducerBroken {
                    error: DISCONNECTED,
                }
                .emit();
                self.restart(partitions, with);
            }
            None => {}
        }
        let now = Instant::now();
        self.parking.forget(now);
        self.parking.answer(partitions, with, now);
        self.send(partitions, with);
        self.store_offsets(partitions, with);
        Self::pass(partitions, with);
        Next::Later
    }

    fn reported(&mut self, report: Report, partitions: &mut Partitions, with: &Publishing) {
        let Some(unit) = self.units.remove(&report.mark) else {
            return;
        };
        if let Some(failure) = report.failure {
            return self.not_taken((report.mark, unit), failure, partitions, with);
        }
        self.alone.take_if(|alone| *alone == report.mark);
        self.parking.written(&unit.topic, unit.partition);
        let partition = partitions.get(unit.partition, unit.epoch);
        let released = partition.and_then(|p| p.find_released(unit.offset));
        if let Some(answer) = released.and_then(|r| r.answers.find_mut(unit.number)) {
            answer.dispatch = Dispatch::Taken;
        }
    }

    fn is_busy_with(&self, _: u32) -> bool {
        false
    }

    fn waiting(&self, partitions: &Partitions, with: &Publishing) -> Waiting {
        let (now, timeouts) = (Instant::now(), self.parking.timeouts());
        let mut waiting = Waiting::of_topics(self.parking.blocked(now));
        for (id, partition) in partitions.iter() {
            let window = self.windows.get(&id);
            let upto = window.map_or(i64::MIN, |window| window.upto);
            let is_silent = window.is_some_and(|window| window.is_silent(now, timeouts));
            if is_silent && with.topics.brokers_answer() {
                let first = partition.released.front().into_iter();
                let mut answers = first.flat_map(|released| released.answers.iter());
                if let Some(answer) = answers.find(|answer| answer.dispatch == Dispatch::Sent) {
                    waiting.add(id, partition, &answer.record.topic, Some(Reason::Silent));
                    continue;
                }
            }
            let new = partition.released.partition_point(|r| r.offset <= upto);
            let first = partition.released.get(new).into_iter();
            let unsent = first.flat_map(|released| {
                let answers = released.answers.iter();
                let unsent = answers.filter(|answer| answer.dispatch == Dispatch::Waiting);
                unsent.map(|answer| &answer.record)
            });
            self.parking
                .note(&mut waiting, (id, partition), unsent, (with, now));
        }
        waiting
    }

    fn dropped(&mut self, partitions: &[u32]) {
        for id in partitions {
            self.windows.remove(id);
            self.parking.dropped(*id);
        }
        self.units
            .retain(|_, unit| !partitions.contains(&unit.partition));
        self.suspects
            .retain(|unit| !partitions.contains(&unit.partition));
        self.alone.take_if(|mark| !self.units.contains_key(mark));
    }
}

impl Drop for Acknowledged {
    fn drop(&mut self) {
        let _ = self.producer.flush(Duration::from_secs(1));
    }
}
