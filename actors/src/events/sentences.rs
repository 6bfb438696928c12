//! How sentences were translated, in numbers.

use crate::text::{
    plan::{Flag, Way},
    recognise::TokenKind,
};

/// Counts of sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SentenceCounts {
    /// By the [`Way`] in which they were translated.
    pub ways: [u32; Way::ALL.len()],
    /// Those of which a check found this, by [`Flag`].
    pub flags: [u32; Flag::ALL.len()],
    /// Those with a token of this kind that the model did not copy, by [`TokenKind`].
    pub kinds: [u32; TokenKind::ALL.len()],
}

impl SentenceCounts {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ways.iter().all(|count| *count == 0)
    }

    /// Adds other ones.
    pub fn add(&mut self, other: &Self) {
        fn sum<const N: usize>(into: &mut [u32; N], from: &[u32; N]) {
            for (into, from) in into.iter_mut().zip(from) {
                *into = into.saturating_add(*from);
            }
        }
        sum(&mut self.ways, &other.ways);
        sum(&mut self.flags, &other.flags);
        sum(&mut self.kinds, &other.kinds);
    }

    /// The ways with their counts.
    pub fn by_way(&self) -> impl Iterator<Item = (Way, u32)> {
        Way::ALL.into_iter().zip(self.ways)
    }

    /// The flags with their counts.
    pub fn by_flag(&self) -> impl Iterator<Item = (Flag, u32)> {
        Flag::ALL.into_iter().zip(self.flags)
    }

    /// The kinds of tokens with their counts.
    pub fn by_kind(&self) -> impl Iterator<Item = (TokenKind, u32)> {
        TokenKind::ALL.into_iter().zip(self.kinds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_the_place_of_its_value() {
        assert!(
            Way::ALL
                .into_iter()
                .enumerate()
                .all(|(at, way)| way as usize == at)
        );
        assert!(
            Flag::ALL
                .into_iter()
                .enumerate()
                .all(|(at, flag)| flag as usize == at)
        );
        let mut kinds = TokenKind::ALL.into_iter().enumerate();
        assert!(kinds.all(|(at, kind)| kind as usize == at));
    }
}
