//! Records that the broker rejects permanently.

use babelmesh_telemetry::events::NodeEvent;

use super::partition::Partition;
use crate::record::Encoder;

/// Replaces a record that the broker rejected by something smaller, or removes it if nothing smaller is possible. If nothing replaces it and no dead
/// letter is left either, an error is logged and counted as `record_given_up`.
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
