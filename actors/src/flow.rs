//! Back-pressure: the limit of accepted work at which a source pauses.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// High- and low-water mark, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaterMarks {
    /// At or above this the gate closes.
    pub high: u64,
    /// At or below this it opens again.
    pub low: u64,
}

/// Whether a source may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Continue.
    Open,
    /// Pause consumption, but keep polling.
    Closed,
}

impl Gate {
    /// The gate after a look at the queue. Between the marks it stays as it is.
    #[must_use]
    pub const fn next(self, queued: u64, marks: WaterMarks) -> Self {
        if queued >= marks.high {
            Self::Closed
        } else if queued <= marks.low {
            Self::Open
        } else {
            self
        }
    }
}

/// Counts accepted work until it is published. One source adds, its publisher takes away.
#[derive(Debug)]
pub struct Flow {
    queued: AtomicU64,
    excused: AtomicU64,
    closed: AtomicBool,
    marks: WaterMarks,
}

impl Flow {
    /// An empty flow.
    #[must_use]
    pub const fn new(marks: WaterMarks) -> Self {
        Self {
            queued: AtomicU64::new(0),
            excused: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            marks,
        }
    }

    /// Tokens that a message of this many bytes is counted as: one for four bytes, and a part for what travels with it, so that
    /// a flood of tiny messages is bounded too.
    #[must_use]
    pub const fn weight_of(bytes: usize) -> u64 {
        16 + bytes as u64 / 4
    }

    /// Accepts work.
    pub fn add(&self, weight: u64) {
        self.queued.fetch_add(weight, Ordering::Relaxed);
    }

    /// Work was published or given back.
    pub fn done(&self, weight: u64) {
        self.queued.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Excludes this much paused work from the gate, so that it does not block other work. Replaces the previous value.
    pub fn discount_held(&self, weight: u64) {
        self.excused.store(weight, Ordering::Relaxed);
    }

    /// Tokens accepted and not yet published.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Looks at the queue and says whether to read on.
    pub fn gate(&self) -> Gate {
        let before = if self.closed.load(Ordering::Relaxed) {
            Gate::Closed
        } else {
            Gate::Open
        };
        let excused = self.excused.load(Ordering::Relaxed);
        let gate = before.next(self.queued().saturating_sub(excused), self.marks);
        self.closed.store(gate == Gate::Closed, Ordering::Relaxed);
        gate
    }

    /// The last result of [`Flow::gate`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARKS: WaterMarks = WaterMarks { high: 100, low: 40 };

    proptest! {
        #[test]
        fn the_gate_changes_only_at_its_marks(levels in prop::collection::vec(0u64..150, 1..100)) {
            let mut gate = Gate::Open;
            for level in levels {
                let next = gate.next(level, MARKS);
                prop_assert!(level < MARKS.high || next == Gate::Closed);
                prop_assert!(level > MARKS.low || next == Gate::Open);
                prop_assert!(next == gate || level >= MARKS.high || level <= MARKS.low);
                gate = next;
            }
        }
    }

    #[test]
    fn a_full_flow_opens_again_only_when_it_has_drained() {
        let flow = Flow::new(MARKS);
        flow.add(100);
        assert_eq!(flow.gate(), Gate::Closed);
        flow.done(50);
        assert_eq!(flow.gate(), Gate::Closed, "50 is above the low mark");
        flow.done(10);
        assert_eq!(flow.gate(), Gate::Open);
    }

    #[test]
    fn paused_work_does_not_close_the_gate_to_others() {
        let flow = Flow::new(MARKS);
        flow.add(130);
        assert_eq!(flow.gate(), Gate::Closed);
        flow.discount_held(95);
        assert_eq!(flow.gate(), Gate::Open);
        flow.add(70);
        assert_eq!(flow.gate(), Gate::Closed);
        flow.discount_held(0);
        flow.done(100);
        assert_eq!((flow.gate(), flow.queued()), (Gate::Closed, 100));
    }
}
