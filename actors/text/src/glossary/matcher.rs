//! Finds patterns in a text in linear time.
//!
//! The automaton reads text and patterns from their ends: so one pass finds, for every place, the longest pattern that starts there.

use aho_corasick::{
    Anchored, MatchKind,
    automaton::{Automaton as _, StateID},
    nfa::contiguous::NFA,
};

/// An automaton for patterns.
pub(super) struct Matcher {
    automaton: NFA,
    start: StateID,
}

/// For each byte of a text, the state after it, if patterns start there.
pub(super) struct Matches(Vec<Option<StateID>>);

impl Matcher {
    pub(super) fn new(patterns: &[Vec<u8>]) -> Result<Self, String> {
        let reversed = patterns.iter().map(|pattern| {
            let bytes: Vec<u8> = pattern.iter().rev().copied().collect();
            bytes
        });
        let mut builder = NFA::builder();
        builder.match_kind(MatchKind::Standard).prefilter(false);
        let automaton = builder.build(reversed).map_err(|error| error.to_string())?;
        let start = automaton.start_state(Anchored::No);
        let start = start.map_err(|error| error.to_string())?;
        Ok(Self { automaton, start })
    }

    /// Where patterns start.
    pub(super) fn longest(&self, text: &[u8]) -> Matches {
        let mut found = vec![None; text.len()];
        let mut state = self.start;
        for (place, byte) in found.iter_mut().zip(text).rev() {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            *place = self.automaton.is_match(state).then_some(state);
        }
        Matches(found)
    }

    /// The patterns that start at a place, the longest one first, with their lengths.
    pub(super) fn patterns_at(
        &self,
        found: &Matches,
        at: usize,
    ) -> impl Iterator<Item = (usize, usize)> {
        let state = found.0[at];
        let count = state.map_or(0, |state| self.automaton.match_len(state));
        let states = state.into_iter().flat_map(move |state| {
            (0..count).map(move |index| self.automaton.match_pattern(state, index))
        });
        states.map(|pattern| (pattern.as_usize(), self.automaton.pattern_len(pattern)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_pattern_is_found_wherever_it_starts_and_the_longest_first(
            patterns in prop::collection::hash_set("[ab]{1,4}", 0..8), text in "[abc]{0,30}",
        ) {
            let patterns: Vec<Vec<u8>> = patterns.into_iter().map(String::into_bytes).collect();
            let matcher = Matcher::new(&patterns).unwrap();
            let matches = matcher.longest(text.as_bytes());
            for at in 0..text.len() {
                let found: Vec<_> = matcher.patterns_at(&matches, at).collect();
                let mut expected: Vec<_> = patterns.iter().enumerate()
                    .filter(|(_, pattern)| text.as_bytes()[at..].starts_with(pattern))
                    .map(|(index, pattern)| (index, pattern.len()))
                    .collect();
                expected.sort_by_key(|(_, len)| std::cmp::Reverse(*len));
                prop_assert_eq!(found, expected);
            }
        }
    }
}
