//! How a member leaves its group.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use babelmesh_telemetry::events::NodeEvent;
use rdkafka::{
    consumer::{CommitMode, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use crate::{client, lag_watch::LagWatch, member::MemberConsumer};

/// How long a poll of a member that leaves waits.
const POLL: Duration = Duration::from_millis(100);
/// How long the brokers may take to tell who is in the group, and how long they may be silent altogether before that is no use.
const ANSWER: Duration = Duration::from_secs(2);

/// How a reader leaves its group.
pub enum Departure {
    /// Temporarily: a static member keeps its partitions until its session expires.
    ToReturn,
    /// Others get its partitions now.
    ForGood {
        /// The group.
        group: String,
        /// Name of this client, by which the group's members are told apart.
        client_id: String,
    },
}

/// A reader that leaves its group.
pub struct GroupDeparture {
    ended: mpsc::Receiver<()>,
    until: Instant,
}

impl GroupDeparture {
    /// Starts to leave, within a time. If a broker does not answer, the group removes this member when its session expires.
    pub(super) fn start(
        (consumer, watch): (Option<Arc<MemberConsumer>>, Option<LagWatch>),
        departure: Departure,
        within: Duration,
    ) -> Self {
        let (done, ended) = mpsc::sync_channel(1);
        let until = Instant::now() + within;
        let leaving = move || {
            if let Some(consumer) = &consumer {
                depart(consumer, departure, until);
            }
            // The watch may be waiting for the brokers with a reference to the consumer. The last reference leaves the group when it is dropped, and
            // only this thread is waited for.
            if let Some(watch) = watch {
                watch.end();
            }
            // Closing the consumer waits for the broker without a limit of its own.
            drop(consumer);
            let _ = done.send(());
        };
        // If no thread can be started, it ends at once.
        let _ = thread::Builder::new()
            .name("leave".to_owned())
            .spawn(leaving);
        Self { ended, until }
    }

    /// Waits until it has left.
    pub fn wait(self) {
        let left = self.until.saturating_duration_since(Instant::now());
        if self.ended.recv_timeout(left).is_err() {
            NodeEvent::KafkaError {
                error: "timed out; the group waits for the session to expire",
                doing: "leaving the group",
            }
            .emit();
        }
    }
}

/// Commits what is stored, and hands the partitions over if it goes for good.
fn depart(consumer: &MemberConsumer, departure: Departure, until: Instant) {
    match consumer.commit_consumer_state(CommitMode::Sync) {
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
        Err(error) => client::error(&error, "committing the last offsets"),
    }
    if let Departure::ForGood { group, client_id } = departure {
        hand_over(consumer, &group, &client_id, until);
    }
}

/// Makes the group reassign the partitions of a static member. Closing the consumer would keep them; unsubscribing leaves the group. During a
/// rebalance, librdkafka leaves only after its end, which needs all other members and may take longer than one of them needs to finish its work.
fn hand_over(consumer: &MemberConsumer, group: &str, client_id: &str, until: Instant) {
    consumer.unsubscribe();
    let mut answered = Instant::now();
    while Instant::now() < until {
        // What librdkafka wants to have done about the partitions is done while it is polled.
        let _ = consumer.poll(POLL);
        match is_member(consumer, group, client_id) {
            Ok(true) => answered = Instant::now(),
            Ok(false) => return,
            Err(error) if answered.elapsed() > ANSWER => {
                return client::error(&error, "leaving the group");
            }
            // A coordinator that has just moved.
            Err(_) => {}
        }
    }
}

fn is_member(consumer: &MemberConsumer, group: &str, client_id: &str) -> KafkaResult<bool> {
    let list = consumer.fetch_group_list(Some(group), ANSWER)?;
    let mut members = list.groups().iter().flat_map(|g| g.members());
    Ok(members.any(|member| member.client_id() == client_id))
}
