//! Asks the brokers where partitions begin and end, and who owns them.

mod coverage;
mod trailing_markers;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};

use self::coverage::Coverage;
use super::{
    client,
    heartbeat::Heartbeat,
    lag::LagGauge,
    member::{Member, MemberConsumer},
    topic_health::TopicHealth,
};

/// How often ends are asked for.
const EVERY: Duration = Duration::from_secs(1);
/// How often, at most, partitions are checked for records before their ends.
const CHECK_EVERY: Duration = Duration::from_secs(4);
/// How long the brokers may take to tell.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks for the ends of partitions until it is dropped.
pub(super) struct LagWatch {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl LagWatch {
    /// Watches on a thread of its own: the brokers may take their time to answer.
    pub(super) fn start(
        member: Arc<Member>,
        gauge: Arc<LagGauge>,
        health: Arc<TopicHealth>,
        heartbeat: Arc<Heartbeat>,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let watch = move || {
            let mut check_at = Instant::now();
            let mut coverage = Coverage::new(health);
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                heartbeat.beat();
                if let Some(consumer) = member.consumer() {
                    look(&consumer, &gauge, |topic| member.holds_back(topic));
                }
                coverage.look(&member, &gauge);
                let unchecked = gauge.unchecked();
                if !unchecked.is_empty() && Instant::now() >= check_at {
                    check_at = Instant::now() + CHECK_EVERY;
                    trailing_markers::check(member.config(), &gauge, &unchecked);
                }
            }
        };
        let thread = thread::Builder::new().name("lag".to_owned()).spawn(watch)?;
        Ok(Self { stop, thread })
    }

    /// Stops, and waits until its thread holds the consumer no more.
    pub(super) fn end(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

fn look(consumer: &MemberConsumer, gauge: &LagGauge, is_held: impl Fn(&str) -> bool) {
    let Ok(mut wanted) = consumer.assignment() else {
        return;
    };
    if wanted.count() == 0 {
        // librdkafka rejects an empty request. The lag of revoked partitions is reported by their new owners.
        gauge.ends(&wanted, &HashMap::new(), &wanted, is_held);
        return;
    }
    let mut unread = TopicPartitionList::new();
    for element in wanted.elements() {
        if !gauge.has_start(element.topic(), element.partition()) {
            unread.add_partition(element.topic(), element.partition());
        }
    }
    // Nothing was read of these yet: they begin where the group has got to.
    let mut starts = HashMap::new();
    if unread.count() > 0
        && let Ok(committed) = consumer.committed_offsets(unread, TIMEOUT)
    {
        for element in committed.elements() {
            let start = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            starts.insert((element.topic().to_owned(), element.partition()), start);
        }
    }
    let mut begins = TopicPartitionList::new();
    for element in wanted.elements() {
        if is_held(element.topic()) || gauge.stands(element.topic(), element.partition()) {
            begins.add_partition(element.topic(), element.partition());
        }
    }
    if begins.count() > 0 && begins.set_all_offsets(Offset::Beginning).is_ok() {
        begins = consumer
            .offsets_for_times(begins, TIMEOUT)
            .unwrap_or_default();
    }
    if wanted.set_all_offsets(Offset::End).is_err() {
        return;
    }
    match consumer.offsets_for_times(wanted, TIMEOUT) {
        Ok(ends) => gauge.ends(&ends, &starts, &begins, is_held),
        Err(error) => client::error(&error, "asking for the ends of partitions"),
    }
}
