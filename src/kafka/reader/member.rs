//! A node's membership of a consumer group. It outlives its consumer: one that was fenced is of no use any more and is replaced.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult},
};

use super::{ReaderContext, assignment::Assignment};
use crate::kafka::{ownership::Ownership, publisher::Settlements};

/// How often is looked whether anybody uses a consumer that was replaced.
const LOOK: Duration = Duration::from_millis(20);

/// What librdkafka calls a member.
pub type MemberConsumer = BaseConsumer<ReaderContext>;

/// A member of a consumer group.
pub struct Member {
    config: ClientConfig,
    pub(super) assignment: Arc<Assignment>,
    current: Mutex<Current>,
}

struct Current {
    topics: Vec<String>,
    /// Absent once it has left.
    consumer: Option<Arc<MemberConsumer>>,
}

impl Member {
    /// A member that is not subscribed to anything yet. Its partitions are told to `settlements`; of those that go, what was read is waited for
    /// until `revoke_within`.
    ///
    /// # Errors
    /// When the configuration is refused.
    pub fn new(
        config: ClientConfig,
        settlements: Settlements,
        ownership: Ownership,
        revoke_within: Duration,
    ) -> KafkaResult<Self> {
        let assignment = Arc::new(Assignment::new(settlements, ownership, revoke_within));
        let consumer = create(&config, &assignment)?;
        Ok(Self {
            config,
            assignment,
            current: Mutex::new(Current {
                topics: Vec::new(),
                consumer: Some(consumer),
            }),
        })
    }

    /// Its consumer at this moment; none once it has left. It is not to be held on to: one that is could not be closed.
    #[must_use]
    pub fn consumer(&self) -> Option<Arc<MemberConsumer>> {
        self.current().consumer.clone()
    }

    /// Reads these topics from now on, and no others.
    pub(super) fn subscribe(&self, topics: &[String]) -> KafkaResult<()> {
        let mut current = self.current();
        topics.clone_into(&mut current.topics);
        match &current.consumer {
            Some(consumer) => subscribe(consumer, topics),
            None => Ok(()),
        }
    }

    /// Joins again with another consumer, after all partitions were given up. Only the thread that polls may do so.
    pub(super) fn replace(&self) -> KafkaResult<()> {
        let mut current = self.current();
        let Some(old) = current.consumer.take() else {
            return Ok(());
        };
        old.context().retire();
        // Whoever drops it last closes it and may wait for a broker. That is neither this thread nor one that is just asking it something.
        thread::Builder::new()
            .name("close".to_owned())
            .spawn(move || {
                while Arc::strong_count(&old) > 1 {
                    thread::sleep(LOOK);
                }
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        let consumer = create(&self.config, &self.assignment)?;
        subscribe(&consumer, &current.topics)?;
        current.consumer = Some(consumer);
        Ok(())
    }

    /// Takes the consumer out, so that it can leave its group.
    pub(super) fn take(&self) -> Option<Arc<MemberConsumer>> {
        self.current().consumer.take()
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn create(config: &ClientConfig, assignment: &Arc<Assignment>) -> KafkaResult<Arc<MemberConsumer>> {
    let context = ReaderContext::new(Arc::clone(assignment));
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
