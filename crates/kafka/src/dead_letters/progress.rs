//! Replay progress of a partition.
//!
//! A consumer group remembers one offset of each partition. Letters may be replayed in any order (by code, by position), so the offset
//! is that of the first letter that was not dealt with, and those behind it that were are noted in the text that Kafka keeps with an
//! offset.

use std::collections::BTreeMap;

/// Longest note; a broker takes 4,096 bytes unless it is told otherwise.
const MAX_NOTE: usize = 4_000;

/// Handled letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Everything before this.
    next: i64,
    /// And these: start → end, the end excluded. None touches another or `next`.
    ranges: BTreeMap<i64, i64>,
}

impl Progress {
    /// Nothing before `next`, and nothing else.
    pub(super) const fn new(next: i64) -> Self {
        Self {
            next,
            ranges: BTreeMap::new(),
        }
    }

    /// Reads what a group remembers; `None` for a note that is not ours.
    pub(super) fn read(next: i64, note: &str) -> Option<Self> {
        let mut this = Self::new(next);
        let mut end = next;
        for range in note.split(',').filter(|range| !range.is_empty()) {
            let (gap, length) = range.split_once('+')?;
            let gap: i64 = gap.parse().ok().filter(|gap| *gap > 0)?;
            let length: i64 = length.parse().ok().filter(|length| *length > 0)?;
            let start = end.checked_add(gap)?;
            end = start.checked_add(length)?;
            this.ranges.insert(start, end);
        }
        Some(this)
    }

    /// The note beside [`Progress::next`]: for each range its distance from the one before it, and its length. `None` when it is too long.
    pub(super) fn note(&self) -> Option<String> {
        let mut end = self.next;
        let mut note = String::new();
        for (start, stop) in &self.ranges {
            let comma = if note.is_empty() { "" } else { "," };
            note.push_str(&format!("{comma}{}+{}", start - end, stop - start));
            end = *stop;
        }
        (note.len() <= MAX_NOTE).then_some(note)
    }

    /// The first offset that was not dealt with.
    pub(super) const fn next(&self) -> i64 {
        self.next
    }

    pub(super) fn is_done(&self, offset: i64) -> bool {
        let before = self.ranges.range(..=offset).next_back();
        offset < self.next || before.is_some_and(|(_, end)| offset < *end)
    }

    /// Everything from `start` up to `last` was dealt with.
    pub(super) fn mark(&mut self, start: i64, last: i64) {
        let (mut start, mut end) = (start, last.saturating_add(1));
        if start >= end || end <= self.next {
            return;
        }
        while let Some((from, to)) = self.ranges.range(..=end).next_back().map(|(f, t)| (*f, *t))
            && to >= start
        {
            self.ranges.remove(&from);
            start = start.min(from);
            end = end.max(to);
        }
        if start <= self.next {
            self.next = end;
        } else {
            self.ranges.insert(start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exactly_what_was_marked_is_done_and_the_note_keeps_it(
            next in 0i64..50, marks in prop::collection::vec((0i64..200, 0i64..8), 0..40),
        ) {
            let mut progress = Progress::new(next);
            let mut done: BTreeSet<i64> = (0..next).collect();
            for (start, length) in marks {
                progress.mark(start, start + length - 1);
                done.extend(start..start + length);
            }
            let kept = Progress::read(progress.next(), &progress.note().unwrap()).unwrap();
            prop_assert_eq!(&kept, &progress);
            for offset in 0..250 {
                prop_assert_eq!(progress.is_done(offset), done.contains(&offset), "{}", offset);
            }
            let first = (0..).find(|offset| !done.contains(offset)).unwrap();
            prop_assert_eq!(progress.next(), first);
        }

        #[test]
        fn any_note_is_read_without_panic(next: i64, note in "[0-9+,-]{0,40}") {
            let _ = Progress::read(next, &note);
        }
    }

    #[test]
    fn letters_in_order_leave_no_note() {
        let mut progress = Progress::new(5);
        progress.mark(5, 5);
        progress.mark(6, 9);
        assert_eq!(
            (progress.next(), progress.note().as_deref()),
            (10, Some(""))
        );
    }

    #[test]
    fn a_note_that_is_too_long_is_rejected() {
        let mut progress = Progress::new(0);
        (1..2_000).for_each(|n| progress.mark(n * 2, n * 2));
        assert_eq!(progress.note(), None);
    }
}
