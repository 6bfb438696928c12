//! Delimiters that come in pairs, matched once for a whole line, since searching from each opening
//! one for its other half would be quadratic in "{{{{" or "` `` ```".

use std::collections::HashMap;

/// Pairs of delimiters, looked up from left to right.
pub(crate) struct Pairs {
    /// Start of the opening delimiter and end of the closing one, by start.
    pairs: Vec<(usize, usize)>,
    next: usize,
}

impl Pairs {
    /// Balanced braces; an unmatched one pairs with nothing.
    pub(crate) fn of_braces(line: &str) -> Self {
        let mut open = Vec::new();
        let mut pairs = Vec::new();
        for (at, brace) in line.match_indices(['{', '}']) {
            if brace == "{" {
                open.push(at);
            } else if let Some(start) = open.pop() {
                pairs.push((start, at + 1));
            }
        }
        pairs.sort_unstable();
        Self { pairs, next: 0 }
    }

    /// Inline code: a run of backticks up to the next run of the same length.
    pub(crate) fn of_backticks(line: &str) -> Self {
        let mut pairs = Vec::new();
        let mut next_of_len = HashMap::new();
        for run in backtick_runs(line).into_iter().rev() {
            if let Some(end) = next_of_len.insert(run.len(), run.end) {
                pairs.push((run.start, end));
            }
        }
        pairs.reverse();
        Self { pairs, next: 0 }
    }

    /// End of the pair that opens at `start`, which must not be less than in the last call.
    pub(crate) fn end_of(&mut self, start: usize) -> Option<usize> {
        while self.pairs.get(self.next).is_some_and(|pair| pair.0 < start) {
            self.next += 1;
        }
        let &(opens, end) = self.pairs.get(self.next)?;
        (opens == start).then_some(end)
    }
}

fn backtick_runs(line: &str) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, _) in line.match_indices('`') {
        match runs.last_mut() {
            Some(run) if run.end == at => run.end += 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_pair_inside_out_and_unmatched_ones_do_not() {
        let mut pairs = Pairs::of_braces("}{ {a{b}} {");
        assert_eq!(pairs.end_of(1), None);
        assert_eq!(pairs.end_of(3), Some(9));
        assert_eq!(pairs.end_of(5), Some(8));
        assert_eq!(pairs.end_of(10), None);
    }

    #[test]
    fn backticks_pair_with_the_next_run_of_their_length() {
        let mut pairs = Pairs::of_backticks("``a`b`` `c");
        assert_eq!(pairs.end_of(0), Some(7));
        assert_eq!(pairs.end_of(1), None, "a run is looked up by its start");
        assert_eq!(pairs.end_of(3), Some(9));
        assert_eq!(pairs.end_of(5), None);
    }
}
