//! Records that the broker rejects permanently.

use babelmesh_telemetry::events::NodeEvent;

use super::partition::Partition;
use crate::record::Encoder;

/// Puts something smaller in the place of a record that the broker refused. Nothing takes its place when there is nothing smaller left to say; where no
/// dead letter is left either, that is an error in the log and counts as `record_given_up`.
pub(super) fn replace_refused(
    partition: &mut Partition,
    offset: i64,
    number: u32,
    encoder: &Encoder,
) {
    let origin = partition.origin(offset);
    let Some(released) = partition.find_released(offset) else {
        return;
    };
    let mut stands_for_it = false;
    let refused = released.answers.replace(number, |refused| {
        let instead = encoder.instead_of(refused, &origin);
        stands_for_it = !instead.is_empty();
        instead
    });
    let Some(refused) = refused else {
        return;
    };
    let (topic, bytes) = (&refused.topic, refused.bytes());
    let mut left = released.answers.records();
    let is_kept = stands_for_it || left.any(|record| record.error_code().is_some());
    match is_kept {
        true => NodeEvent::RecordRefused { topic, bytes },
        false => NodeEvent::RecordGivenUp { topic, bytes },
    }
    .emit();
}
