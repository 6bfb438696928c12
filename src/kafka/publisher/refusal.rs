//! Records that the broker will not take.

use super::partition::{Partition, Released};
use crate::{
    events::NodeEvent,
    kafka::{
        record::{Encoder, OutRecord},
        topic_health::TopicHealth,
    },
};

/// Whether a record is a job whose topic cannot be written to.
pub(super) fn is_unavailable(record: &OutRecord, encoder: &Encoder, topics: &TopicHealth) -> bool {
    encoder.is_job(record) && topics.is_unavailable(&record.topic)
}

/// Puts errors in the place of jobs whose topics cannot be written to: those jobs would hold up all others.
pub(super) fn answer_unavailable(
    records: &mut Vec<OutRecord>,
    encoder: &Encoder,
    topics: &TopicHealth,
) {
    if !topics.has_unavailable() {
        return;
    }
    let such = |record: &mut OutRecord| is_unavailable(record, encoder, topics);
    let jobs: Vec<_> = records.extract_if(.., such).collect();
    records.extend(jobs.iter().flat_map(|job| encoder.unavailable(job)));
}

/// Puts something smaller in the place of the largest record that answers `offset`, and returns it. Nothing is returned when there is nothing
/// smaller left to say; where no dead letter is left either, that is an error in the log and counts as `record_given_up`.
pub(super) fn replace_largest<'p>(
    partition: &'p mut Partition,
    offset: i64,
    encoder: &Encoder,
) -> &'p [OutRecord] {
    let origin = partition.origin(offset);
    let find = |released: &Released| released.offset;
    let Ok(index) = partition.released.binary_search_by_key(&offset, find) else {
        return &[];
    };
    let records = &mut partition.released[index].records;
    let largest = records
        .iter()
        .enumerate()
        .max_by_key(|(_, record)| record.bytes());
    let Some((largest, _)) = largest else {
        return &[];
    };
    let refused = records.remove(largest);
    let instead = encoder.instead_of(&refused, &origin);
    let (topic, bytes) = (&refused.topic, refused.bytes());
    let is_kept = records.iter().any(|record| record.error_code().is_some());
    match !instead.is_empty() || is_kept {
        true => NodeEvent::RecordRefused { topic, bytes },
        false => NodeEvent::RecordGivenUp { topic, bytes },
    }
    .emit();
    let first_new = records.len();
    records.extend(instead);
    &records[first_new..]
}
