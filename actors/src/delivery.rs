//! The ledger of a partition: records read, their outcomes, and the outcomes that may be published, in order.
//!
//! Results leave a partition in the order of its records, so that one conversation stays in order, and an offset is complete only
//! with all offsets before it: this is the base of both delivery guarantees, commits after publication and transactions.

use std::collections::VecDeque;

/// Records of one partition that were read and are not yet released.
#[derive(Debug)]
pub struct Ledger<T> {
    entries: VecDeque<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    offset: i64,
    settled: Option<T>,
}

/// A position that is unknown to the ledger or already completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("offset {0} is not open")]
pub struct NotOpen(pub i64);

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
        }
    }
}

impl<T> Ledger<T> {
    /// A record was read. Offsets grow, with gaps where the topic has some; one that does not grow was read before and is ignored: then
    /// the answer is `false`.
    pub fn open(&mut self, offset: i64) -> bool {
        let is_new = self.entries.back().is_none_or(|last| last.offset < offset);
        if is_new {
            self.entries.push_back(Entry {
                offset,
                settled: None,
            });
        }
        is_new
    }

    /// A record's outcome is known.
    ///
    /// # Errors
    /// [`NotOpen`] when the offset is unknown or has an outcome; the ledger is unchanged then.
    pub fn settle(&mut self, offset: i64, outcome: T) -> Result<(), NotOpen> {
        let index = self.entries.binary_search_by_key(&offset, |e| e.offset);
        let entry = index.ok().and_then(|i| self.entries.get_mut(i));
        match entry {
            Some(entry) if entry.settled.is_none() => {
                entry.settled = Some(outcome);
                Ok(())
            }
            _ => Err(NotOpen(offset)),
        }
    }

    /// The next outcome in order, if the oldest record has one.
    pub fn release(&mut self) -> Option<(i64, T)> {
        self.entries.front()?.settled.as_ref()?;
        let entry = self.entries.pop_front()?;
        entry.settled.map(|outcome| (entry.offset, outcome))
    }

    /// Number of records that were read and are not released.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether everything that was read is released.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn outcomes_leave_in_the_order_of_their_records_and_each_once(
            gaps in prop::collection::vec(1i64..4, 1..200), seed: u64,
        ) {
            let offsets: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut order = offsets.clone();
            // A shuffle that shrinks well: sort by a hash.
            order.sort_by_key(|offset| (*offset as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut ledger = Ledger::default();
            offsets.iter().for_each(|offset| assert!(ledger.open(*offset)));
            let mut released = Vec::new();
            for (settled, offset) in order.iter().enumerate() {
                ledger.settle(*offset, *offset).unwrap();
                prop_assert_eq!(ledger.settle(*offset, 0), Err(NotOpen(*offset)));
                while let Some((offset, outcome)) = ledger.release() {
                    prop_assert_eq!(offset, outcome);
                    released.push(offset);
                }
                // Nothing is released before all earlier records are completed.
                let ready = offsets.iter().take_while(|o| order[..=settled].contains(o)).count();
                prop_assert_eq!(released.len(), ready);
            }
            prop_assert_eq!(released, offsets);
            prop_assert!(ledger.is_empty());
        }
    }

    #[test]
    fn a_record_that_is_read_twice_is_open_once() {
        let mut ledger = Ledger::<()>::default();
        assert!(ledger.open(5));
        assert!(!ledger.open(5));
        assert!(!ledger.open(4));
        assert_eq!(ledger.len(), 1);
    }
}
