//! A node's membership of a consumer group. It outlives its consumer: a fenced consumer is replaced.

mod assignment;
mod context;
mod recreation;
mod skipping;

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
    error::KafkaResult,
};

pub(crate) use self::assignment::Assignment;
pub use self::context::ReaderContext;
use super::{
    client, gauges::DeliveryGauges, ownership::Ownership, publisher_handle::PublisherHandle,
};

/// Interval of checks whether a replaced consumer is still in use.
const LOOK: Duration = Duration::from_millis(20);

/// The consumer type of a member.
pub type MemberConsumer = BaseConsumer<ReaderContext>;

/// A member of a consumer group.
pub struct Member {
    config: ClientConfig,
    pub(crate) assignment: Arc<Assignment>,
    gauges: Arc<DeliveryGauges>,
    current: Mutex<Current>,
}

struct Current {
    topics: Vec<String>,
    /// Absent once it has left.
    consumer: Option<Arc<MemberConsumer>>,
}

impl Member {
    /// A member without a subscription. It reports its partitions to `publisher_handle`, and gives revoked ones up to `revoke_within` to finish what
    /// was read. `gauges` count its consumers.
    ///
    /// # Errors
    /// When the configuration is refused.
    pub fn new(
        config: ClientConfig,
        publisher_handle: PublisherHandle,
        (ownership, gauges): (Ownership, Arc<DeliveryGauges>),
        revoke_within: Duration,
    ) -> KafkaResult<Self> {
        let assignment = Arc::new(Assignment::new(publisher_handle, ownership, revoke_within));
        let consumer = create(&config, &assignment)?;
        Ok(Self {
            config,
            assignment,
            gauges,
            current: Mutex::new(Current {
                topics: Vec::new(),
                consumer: Some(consumer),
            }),
        })
    }

    /// Its current consumer; `None` once the member has left. Do not keep it: a consumer that is still referenced cannot be closed.
    #[must_use]
    pub fn consumer(&self) -> Option<Arc<MemberConsumer>> {
        self.current().consumer.clone()
    }

    /// The configuration of its consumers.
    pub(crate) const fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Whether a topic is paused: its partitions stay assigned and are not consumed.
    pub(crate) fn holds_back(&self, topic: &str) -> bool {
        self.assignment.is_held(topic)
    }

    /// Does not read these partitions, whose answers cannot be written, until it is told otherwise.
    pub(crate) fn park(&self, partitions: BTreeSet<(Arc<str>, i32)>) {
        self.assignment.park(partitions);
    }

    /// The topics that it subscribes to.
    pub(crate) fn topics(&self) -> Vec<String> {
        self.current().topics.clone()
    }

    /// Counts offsets that were skipped because retention had deleted them.
    pub(crate) fn skipped(&self, records: u64) {
        self.gauges.skipped(records);
    }

    /// Leaves the group and rejoins it, which causes a rebalance. What was read is finished first. Replacing the consumer would not help: a static
    /// member that comes back within its session gets its old assignment.
    pub(crate) fn leave_and_join(&self) -> KafkaResult<()> {
        let current = self.current();
        match &current.consumer {
            Some(consumer) if consumer.client().fatal_error().is_none() => {
                consumer.unsubscribe();
                subscribe(consumer, &current.topics)
            }
            _ => Ok(()),
        }
    }

    /// Reads these topics from now on, and no others.
    pub(crate) fn subscribe(&self, topics: &[String]) -> KafkaResult<()> {
        let mut current = self.current();
        topics.clone_into(&mut current.topics);
        match &current.consumer {
            // A fenced consumer cannot subscribe; the one that replaces it will.
            Some(consumer) if consumer.client().fatal_error().is_none() => {
                subscribe(consumer, topics)
            }
            _ => Ok(()),
        }
    }

    /// Joins again with another consumer, after all partitions were given up. Only the thread that polls may do so. After an error everything
    /// is as it was.
    pub(crate) fn replace(&self) -> KafkaResult<()> {
        let mut current = self.current();
        let Current { topics, consumer } = &mut *current;
        let Some(place) = consumer else {
            return Ok(());
        };
        let new = create(&self.config, &self.assignment)?;
        subscribe(&new, topics)?;
        let old = mem::replace(place, new);
        drop(current);
        self.gauges.consumer_restarted();
        close(old);
        Ok(())
    }

    /// Takes the consumer out, so that it can leave its group.
    pub(crate) fn take(&self) -> Option<Arc<MemberConsumer>> {
        self.current().consumer.take()
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a consumer that was replaced. Dropping the last reference may wait for a broker, so that happens on a thread of its own, and blocks neither
/// this thread nor one that is still using the consumer.
fn close(old: Arc<MemberConsumer>) {
    old.context().retire();
    let closing = thread::Builder::new().name("close".to_owned());
    let _ = closing.spawn(move || {
        while Arc::strong_count(&old) > 1 {
            thread::sleep(LOOK);
        }
    });
}

fn create(config: &ClientConfig, assignment: &Arc<Assignment>) -> KafkaResult<Arc<MemberConsumer>> {
    let verbose = config.get("debug") != Some(client::MEMBER_DEBUG);
    let context = ReaderContext::new(Arc::clone(assignment), verbose);
    Ok(Arc::new(config.create_with_context(context)?))
}

fn subscribe(consumer: &MemberConsumer, topics: &[String]) -> KafkaResult<()> {
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    match topics.as_slice() {
        [] => {
            consumer.unsubscribe();
            Ok(())
        }
        topics => consumer.subscribe(topics),
    }
}
