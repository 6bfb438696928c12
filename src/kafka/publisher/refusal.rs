//! Records that the broker will never take.

use super::partition::{Partition, Released};
use crate::{
    events::NodeEvent,
    kafka::record::{Encoder, OutRecord},
};

/// Puts something smaller in the place of the largest record that answers `offset`, and returns it. Nothing is returned when there is nothing
/// smaller left to say: the record is given up then, and the log says so.
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
        .max_by_key(|(_, record)| record.payload.len());
    let Some((largest, _)) = largest else {
        return &[];
    };
    let refused = records.remove(largest);
    let instead = encoder.instead_of(&refused, &origin);
    NodeEvent::RecordRefused {
        topic: &refused.topic,
        bytes: refused.payload.len(),
        replaced: !instead.is_empty(),
    }
    .emit();
    let first_new = records.len();
    records.extend(instead);
    &records[first_new..]
}
