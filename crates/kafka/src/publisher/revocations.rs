//! Revocations: partitions to release, and their deadlines.

use std::{sync::mpsc::SyncSender, time::Instant};

/// Some partitions that go together.
pub(super) struct Revocation {
    pub(super) partitions: Vec<u32>,
    pub(super) deadline: Instant,
    /// Reply when they are gone.
    pub(super) reply: SyncSender<()>,
    /// Whether the publisher ends with them.
    pub(super) stop: bool,
}

/// Those that are not carried out yet.
#[derive(Default)]
pub(super) struct Revocations(Vec<Revocation>);

impl Revocations {
    pub(super) fn add(&mut self, revocation: Revocation) {
        self.0.push(revocation);
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A partition was assigned again. Remaining revocations of its earlier assignment must not remove the new one.
    pub(super) fn assigned(&mut self, partition: u32) {
        for revocation in &mut self.0 {
            revocation.partitions.retain(|id| *id != partition);
        }
    }

    /// Takes those whose partitions are finished, or whose time is over.
    pub(super) fn due(
        &mut self,
        now: Instant,
        is_finished: impl Fn(u32) -> bool,
    ) -> Vec<Revocation> {
        let is_due = |revocation: &mut Revocation| {
            let mut ids = revocation.partitions.iter();
            now >= revocation.deadline || ids.all(|id| is_finished(*id))
        };
        self.0.extract_if(.., is_due).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::mpsc, time::Duration};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Assign(u32),
        Revoke(Vec<u32>, u64),
        Finish(u32),
        /// Time passes, and what is due is carried out.
        Look(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let partition = 0_u32..4;
        let step = prop_oneof![
            partition.clone().prop_map(Step::Assign),
            (prop::collection::vec(partition.clone(), 1..4), 0_u64..50)
                .prop_map(|(partitions, ms)| Step::Revoke(partitions, ms)),
            partition.prop_map(Step::Finish),
            (0_u64..60).prop_map(Step::Look),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn a_revocation_takes_only_what_was_assigned_before_it_and_waits_for_it_until_its_deadline(
            steps in steps(),
        ) {
            let mut now = Instant::now();
            let mut revocations = Revocations::default();
            // Partition → number of its assignment; number of the latest one that was revoked; whether it is finished.
            let mut held: HashMap<u32, (usize, bool)> = HashMap::new();
            let mut revoked: HashMap<u32, usize> = HashMap::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Assign(partition) => {
                        revocations.assigned(partition);
                        held.insert(partition, (number, false));
                    }
                    Step::Revoke(partitions, ms) => {
                        for partition in &partitions {
                            if let Some((assignment, _)) = held.get(partition) {
                                revoked.insert(*partition, *assignment);
                            }
                        }
                        let (reply, _) = mpsc::sync_channel(1);
                        let deadline = now + Duration::from_millis(ms);
                        revocations.add(Revocation { partitions, deadline, reply, stop: false });
                    }
                    Step::Finish(partition) => {
                        if let Some((_, finished)) = held.get_mut(&partition) {
                            *finished = true;
                        }
                    }
                    Step::Look(ms) => {
                        now += Duration::from_millis(ms);
                        let is_finished = |id: u32| held.get(&id).is_none_or(|(_, finished)| *finished);
                        for due in revocations.due(now, is_finished) {
                            let finished = due.partitions.iter().all(|id| is_finished(*id));
                            prop_assert!(finished || now >= due.deadline);
                            for partition in due.partitions {
                                if let Some((assignment, _)) = held.get(&partition) {
                                    prop_assert_eq!(revoked.get(&partition), Some(assignment));
                                }
                            }
                        }
                        prop_assert!(revocations.0.iter().all(|r| now < r.deadline));
                        for partition in revoked.keys() {
                            let waits = revocations.0.iter().any(|r| r.partitions.contains(partition));
                            if !waits && held.get(partition).map(|(a, _)| a) == revoked.get(partition) {
                                held.remove(partition);
                            }
                        }
                    }
                }
            }
        }
    }
}
