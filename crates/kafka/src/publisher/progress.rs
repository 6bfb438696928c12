//! How far a partition is committed, and how far its committed offset can be moved past markers of transactions.
//!
//! External monitors count a marker behind the last record as lag. So offsets behind markers are committed too, but
//! only when nothing before them is in flight, never below what is committed, and in the same order as every other
//! offset of the partition.

/// The committed offset of one assignment of a partition.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Progress {
    /// Every commit so far was of at most this offset.
    committed: i64,
    /// An offset behind markers, all records before which were read.
    passed: Option<i64>,
}

impl Progress {
    /// Every record before this offset was read.
    pub(super) fn pass(&mut self, offset: i64) {
        self.passed = self.passed.max(Some(offset));
    }

    /// The offset to commit for markers, if there is any. Only to be asked when no record is in flight.
    pub(super) fn due(&self) -> Option<i64> {
        self.passed.filter(|offset| *offset > self.committed)
    }

    /// This offset is committed.
    pub(super) fn commit(&mut self, offset: i64) {
        self.committed = self.committed.max(offset);
    }
}
