//! The publisher: a thread that writes outcomes in the order of their records and commits the offsets that they complete.
//!
//! Every partition has a ledger: outcomes are released in order, and stay here until the brokers have both the answers and the offset.
//! How these two get there is a `Delivery`: `acknowledged` stores offsets after the answers are acknowledged (at
//! least once), `transactions` writes both in one transaction (exactly once). Failed writes are retried from here;
//! nothing is translated twice.

mod acknowledged;
mod answers;
mod encoding;
mod pace;
mod parking;
mod partition;
mod producers;
mod progress;
mod refusal;
mod reports;
mod revocations;
mod run;
mod thread_handle;
mod topic_failures;
mod transactions;
mod waiting_partitions;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use babelmesh_actors::{events::Observer, flow::Flow};
use babelmesh_telemetry::{Traces, failure::Failures, status::Delivery as Guarantee};
pub use parking::WriteTimeouts;
pub use thread_handle::PublisherThread;

use self::{
    acknowledged::Acknowledged,
    partition::Partitions,
    revocations::{Revocation, Revocations},
    transactions::Transactions,
    waiting_partitions::Waiting,
};
use super::{
    gauges::DeliveryGauges,
    member::Member,
    ownership::Ownership,
    publisher_handle::{Command, PublisherHandle},
    record::Encoder,
    topic_health::TopicHealth,
};

/// How often deadlines of revocations are looked at.
const TICK: Duration = Duration::from_millis(20);
/// The same while nothing is under way: commands end the wait.
const IDLE_TICK: Duration = Duration::from_millis(200);

/// Why a producer is replaced; see [`super::broker_connectivity`].
const DISCONNECTED: &str = "disconnected from all brokers";

/// Dependencies of a publisher.
pub struct Publishing {
    /// The member whose offsets are committed.
    pub member: Arc<Member>,
    /// Which of its partitions are still ours.
    pub ownership: Ownership,
    /// Makes records of outcomes.
    pub encoder: Encoder,
    /// Which topics can be written to.
    pub topics: Arc<TopicHealth>,
    /// How long answers wait for those that cannot.
    pub timeouts: WriteTimeouts,
    /// Told of panics that were contained.
    pub observer: Arc<dyn Observer>,
    /// Tracks completed work.
    pub flow: Arc<Flow>,
    /// Told what happened.
    pub gauges: Arc<DeliveryGauges>,
    /// Told when the thread dies.
    pub failures: Failures,
    /// Follows answers to where they are committed.
    pub traces: Traces,
    /// A topic that stands for all those of the member when the brokers refuse one of its clients.
    pub source: String,
}

/// The thread's state.
pub struct Publisher {
    publishing: Publishing,
    delivery: Box<dyn Delivery>,
    commands: Receiver<Command>,
    partitions: Partitions,
    revocations: Revocations,
    /// Topics of paused languages.
    held: BTreeSet<String>,
    /// Whether some unfinished records do not count as waiting work.
    has_excused: bool,
    /// Partitions that wait for topics that cannot be written.
    waiting: Waiting,
}

/// A way to get answers and offsets to the brokers.
trait Delivery: Send {
    /// Publishes what is released; blocks only for short moments.
    fn work(&mut self, partitions: &mut Partitions, publishing: &Publishing) -> Next;

    /// The broker took a record, or did not.
    fn reported(&mut self, report: reports::Report, partitions: &mut Partitions, with: &Publishing);

    /// Whether something that concerns a partition is on its way to the brokers, besides what its answers say.
    fn is_busy_with(&self, partition: u32) -> bool;

    /// Which partitions wait for topics that cannot be written.
    fn waiting(&self, partitions: &Partitions, with: &Publishing) -> Waiting;

    /// These partitions are no longer ours.
    fn dropped(&mut self, partitions: &[u32]);
}

/// When to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// There is more to do right now.
    Now,
    /// After the next command, or after a short wait.
    Later,
    /// At this time; commands that arrive earlier do not bring it forward.
    At(Instant),
}

impl Publisher {
    /// Starts a publisher. Its configuration is that of a producer; for transactions it names the `transactional.id`.
    ///
    /// # Errors
    /// When the producer's configuration is refused.
    pub fn start(
        config: rdkafka::ClientConfig,
        guarantee: Guarantee,
        publishing: Publishing,
        (publisher_handle, commands): (PublisherHandle, Receiver<Command>),
    ) -> anyhow::Result<PublisherThread> {
        let handle = publisher_handle.clone();
        let delivery: Box<dyn Delivery> = match guarantee {
            Guarantee::AtLeastOnce => {
                // No broker call is needed.
                publishing.gauges.set_can_publish();
                Box::new(Acknowledged::new(
                    config,
                    publisher_handle,
                    publishing.timeouts,
                )?)
            }
            Guarantee::ExactlyOnce => Box::new(Transactions::new(config, publishing.timeouts)?),
        };
        let guard = publishing.failures.guard("the publisher");
        let publisher = Self {
            publishing,
            delivery,
            commands,
            partitions: Partitions::default(),
            revocations: Revocations::default(),
            held: BTreeSet::new(),
            has_excused: false,
            waiting: Waiting::default(),
        };
        let run = move || {
            let _guard = guard;
            publisher.run();
        };
        let thread = thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(run)?;
        Ok(PublisherThread::new(handle, thread))
    }

    fn run(mut self) {
        let mut next = Next::Later;
        loop {
            let wait = match next {
                Next::Now => Duration::ZERO,
                Next::Later if self.is_idle() => IDLE_TICK,
                Next::Later => TICK,
                Next::At(then) => then.saturating_duration_since(Instant::now()).min(TICK),
            };
            match self.commands.recv_timeout(wait) {
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // All pending answers form one run.
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command);
            }
            self.partitions.release(&self.publishing);
            next = self.delivery.work(&mut self.partitions, &self.publishing);
            self.refresh_waiting_partitions();
            let oldest = self.partitions.oldest_ms();
            self.publishing.gauges.set_oldest_ms(oldest);
            if self.end_revocations() {
                return;
            }
        }
    }

    /// Partitions that wait for topics are paused. They do not count as waiting work, nor do records of paused or
    /// forbidden topics, so they do not close the gate for others.
    fn refresh_waiting_partitions(&mut self) {
        let with = &self.publishing;
        let waiting = self.delivery.waiting(&self.partitions, with);
        if waiting != self.waiting {
            waiting.tell(&self.waiting);
            let partitions = waiting.partitions();
            with.gauges
                .set_unwritable(waiting.problems(), partitions.clone());
            with.member.park(partitions);
            self.waiting = waiting;
        }
        self.discount_held();
    }

    fn discount_held(&mut self) {
        let with = &self.publishing;
        let mut resting = with.topics.unreadable();
        resting.extend(self.held.iter().cloned());
        let excuses = !resting.is_empty() || !self.waiting.is_empty();
        if excuses || self.has_excused {
            self.has_excused = excuses;
            let weight = self.partitions.weight_of(&resting, &self.waiting);
            with.flow.discount_held(weight);
        }
    }

    /// Whether all read records are answered, and no drain is pending.
    fn is_idle(&self) -> bool {
        let mut partitions = self.partitions.iter();
        self.revocations.is_empty() && partitions.all(|(_, partition)| partition.is_finished())
    }

    fn obey(&mut self, command: Command) {
        let flow = &self.publishing.flow;
        match command {
            Command::Assigned {
                partition,
                epoch,
                topic,
                number,
            } => {
                // Remaining state of an earlier assignment is discarded.
                self.revocations.assigned(partition);
                self.delivery.dropped(&[partition]);
                self.partitions
                    .assigned(partition, (topic, number, epoch), flow);
            }
            Command::Ingested(records) => {
                for opened in records {
                    self.partitions.open(opened, flow);
                }
            }
            Command::Completed(settled) => {
                for (ticket, outcome) in settled {
                    self.partitions.settle(ticket, outcome);
                }
            }
            Command::Reported { mark, failure } => {
                let report = reports::Report { mark, failure };
                self.delivery
                    .reported(report, &mut self.partitions, &self.publishing);
            }
            Command::Passed(partitions) => {
                for (id, epoch, offset) in partitions {
                    if let Some(partition) = self.partitions.get(id, epoch) {
                        partition.pass(offset);
                    }
                }
            }
            Command::Paused(topics) => {
                self.held = topics;
                self.discount_held();
            }
            Command::Revoked {
                partitions,
                deadline,
                reply,
            } => self.revocations.add(Revocation {
                partitions,
                deadline,
                reply,
                stop: false,
            }),
            Command::Unfinished(reply) => {
                let unfinished = self.partitions.iter().filter(|(_, p)| !p.is_finished());
                let topics = unfinished.map(|(_, p)| p.topic.to_string()).collect();
                // The requester may have given up.
                let _ = reply.try_send(topics);
            }
            Command::Stop { deadline, reply } => self.revocations.add(Revocation {
                partitions: self.partitions.ids(),
                deadline,
                reply,
                stop: true,
            }),
        }
    }

    /// Drops revoked partitions that are finished or whose deadline has passed. Returns whether to end.
    fn end_revocations(&mut self) -> bool {
        let mut stop = false;
        // A partition that waits for a topic may wait for long, so it is dropped: its next owner reads its records again. A partition without
        // unfinished records may still have a commit of markers in flight.
        let (partitions, delivery, waiting) = (&self.partitions, &self.delivery, &self.waiting);
        let is_done = |id| partitions.is_finished(id) || waiting.has(id);
        let is_finished = |id| is_done(id) && !delivery.is_busy_with(id);
        for revocation in self.revocations.due(Instant::now(), is_finished) {
            self.delivery.dropped(&revocation.partitions);
            for id in &revocation.partitions {
                self.partitions.drop_one(*id, &self.publishing.flow);
            }
            stop |= revocation.stop;
            let _ = revocation.reply.send(());
        }
        stop
    }
}
