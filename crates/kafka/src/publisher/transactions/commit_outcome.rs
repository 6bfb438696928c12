//! State that only the brokers know: the group generation, and the outcome of an interrupted commit.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer, ConsumerGroupMetadata},
};

use crate::publisher::{Publishing, run::Run};

/// How long the brokers may take to tell what is committed, before they are asked again.
const COMMITTED: Duration = Duration::from_secs(3);

/// The group's metadata with its current generation; `None` if this node no longer owns all partitions of the run.
pub(super) fn generation(run: &Run, with: &Publishing) -> Option<ConsumerGroupMetadata> {
    with.ownership.while_held(run.assignments(), || {
        let consumer = with.member.consumer()?;
        let group = consumer.group_metadata();
        // An expelled member has no generation, and an empty group accepts its offsets. librdkafka marks the assignment as lost before it forgets the
        // generation, so the metadata must be read before this check.
        if consumer.assignment_lost() {
            return None;
        }
        group
    })
}

/// Whether the group's committed offsets have reached those of a run; `None` if the brokers do not say. While its transaction may still end, only
/// `true` is conclusive.
pub(super) fn committed(run: &Run, with: &Publishing) -> Option<bool> {
    let consumer = with.member.consumer()?;
    let asked = consumer.committed_offsets(run.offsets(), COMMITTED);
    let list: TopicPartitionList = match asked {
        Ok(list) => list,
        Err(error) => {
            crate::client::error(&error, "asking for the committed offsets");
            return None;
        }
    };
    if let Some(error) = list.elements().iter().find_map(|e| e.error().err()) {
        crate::client::error(&error, "asking for the committed offsets");
        return None;
    }
    Some(list.elements().iter().all(|element| {
        let wanted = run.offset_of(element.topic(), element.partition());
        matches!((element.offset(), wanted), (Offset::Offset(there), Some(wanted)) if there >= wanted)
    }))
}
