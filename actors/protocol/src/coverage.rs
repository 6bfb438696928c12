//! The characters that a model's vocabulary covers.

use serde::{Deserialize, Serialize};

/// Most ranges of a [`CharacterSet`]; no script needs as many.
pub const MAX_RANGES: usize = 65_536;

const LAST: u32 = char::MAX as u32;

/// A set of characters, as sorted ranges of code points, both ends included, with a gap between any two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u32, u32)>", into = "Vec<(u32, u32)>")]
pub struct CharacterSet(Vec<(u32, u32)>);

/// Why ranges are no set of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CharacterSetError {
    /// There are more than [`MAX_RANGES`].
    #[error("a character set of {0} ranges is longer than the limit of {MAX_RANGES}")]
    TooLong(usize),
    /// They are not in order, touch or overlap, or leave Unicode.
    #[error("the ranges of a character set are not in order")]
    Disordered,
}

impl CharacterSet {
    /// Every character.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![(0, LAST)])
    }

    /// Whether a character is in the set.
    #[must_use]
    pub fn contains(&self, character: char) -> bool {
        let code = u32::from(character);
        let next = self.0.partition_point(|(first, _)| *first <= code);
        next > 0 && code <= self.0[next - 1].1
    }

    /// The ranges of code points, both ends included.
    #[must_use]
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }
}

impl FromIterator<char> for CharacterSet {
    fn from_iter<T: IntoIterator<Item = char>>(characters: T) -> Self {
        let mut codes = characters.into_iter().map(u32::from).collect::<Vec<_>>();
        codes.sort_unstable();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for code in codes {
            match ranges.last_mut() {
                Some((_, last)) if code <= *last + 1 => *last = code,
                _ => ranges.push((code, code)),
            }
        }
        // The characters that are left out then count as not covered, which is safe.
        ranges.truncate(MAX_RANGES);
        Self(ranges)
    }
}

impl TryFrom<Vec<(u32, u32)>> for CharacterSet {
    type Error = CharacterSetError;

    fn try_from(ranges: Vec<(u32, u32)>) -> Result<Self, CharacterSetError> {
        if ranges.len() > MAX_RANGES {
            return Err(CharacterSetError::TooLong(ranges.len()));
        }
        let each = ranges
            .iter()
            .all(|(first, last)| first <= last && *last <= LAST);
        let apart = |a: &(u32, u32), b: &(u32, u32)| a.1 < b.0 && b.0 - a.1 > 1;
        match each && ranges.is_sorted_by(apart) {
            true => Ok(Self(ranges)),
            false => Err(CharacterSetError::Disordered),
        }
    }
}

impl From<CharacterSet> for Vec<(u32, u32)> {
    fn from(set: CharacterSet) -> Self {
        set.0
    }
}

/// What a model can read and write. A character counts if the vocabulary has its normal form: a model reads and writes `…` as `...`.
///
/// Each character is looked at alone. A combining mark is covered by itself or not at all, even where the model reads it together with
/// the letter before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Characters that the model can read. Any other becomes its unknown token, or nothing.
    pub source: CharacterSet,
    /// Characters that the model can write.
    pub target: CharacterSet,
}

impl Coverage {
    /// Whether the model can read and write a character, so that it can stand in a translation as it stood in the source.
    #[must_use]
    pub fn contains(&self, character: char) -> bool {
        self.source.contains(character) && self.target.contains(character)
    }
}

/// Everything: of a model about which nothing is known, nothing is known to be missing.
impl Default for Coverage {
    fn default() -> Self {
        Self {
            source: CharacterSet::all(),
            target: CharacterSet::all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::frame;

    proptest! {
        #[test]
        fn a_set_has_what_was_put_into_it_and_is_read_as_it_was_written(
            characters: BTreeSet<char>,
            near in prop::collection::btree_set(prop::char::range('a', 'z'), 0..26),
            others: Vec<char>,
        ) {
            let all = characters.union(&near).copied().collect::<BTreeSet<_>>();
            let set = all.iter().rev().copied().collect::<CharacterSet>();
            for character in all.iter().copied().chain(others).chain('a'..='z') {
                prop_assert_eq!(set.contains(character), all.contains(&character));
            }
            let frame = frame::encode(&set).unwrap();
            prop_assert_eq!(frame::decode::<CharacterSet>(&frame[4..]).unwrap(), set);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(set) = frame::decode::<CharacterSet>(&bytes) {
                let _ = set.contains('a');
            }
        }
    }

    #[test]
    fn ranges_that_are_no_set_are_refused() {
        let read = |ranges: &[(u32, u32)]| CharacterSet::try_from(ranges.to_vec()).is_ok();
        assert!(read(&[]));
        assert!(read(&[(1, 1), (3, 9)]));
        for ranges in [
            &[(2, 1)][..],
            &[(0, LAST + 1)],
            &[(1, 2), (3, 4)],
            &[(5, 6), (1, 2)],
            &[(1, u32::MAX), (1, 2)],
        ] {
            assert!(!read(ranges), "{ranges:?}");
        }
        let many = (0..=MAX_RANGES as u32).map(|n| (2 * n, 2 * n));
        assert!(!read(&many.collect::<Vec<_>>()));
    }

    #[test]
    fn all_has_everything_and_adjacent_characters_are_one_range() {
        assert!(CharacterSet::all().contains(char::MAX) && CharacterSet::all().contains('\0'));
        let letters = ('a'..='z').collect::<CharacterSet>();
        assert_eq!(letters.ranges(), [(97, 122)]);
        assert!(!CharacterSet::default().contains('a'));
    }

    #[test]
    fn a_character_stands_as_it_stood_if_it_can_be_read_and_written() {
        let coverage = Coverage {
            source: "ab".chars().collect(),
            target: "bc".chars().collect(),
        };
        assert!(coverage.contains('b') && Coverage::default().contains('😀'));
        assert!(!coverage.contains('a') && !coverage.contains('c'));
    }
}
