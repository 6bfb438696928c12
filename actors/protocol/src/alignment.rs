//! Word alignments: which words of a translation come from which words of its source.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Most links of one segment.
pub const MAX_LINKS: usize = 8_192;

/// A range of bytes in a text; both ends lie on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

impl Span {
    /// The range as indices into a text.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Whether the range is a part of this text that is not empty.
    #[must_use]
    pub fn is_in(self, text: &str) -> bool {
        self.start < self.end && text.get(self.range()).is_some()
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        // Segments are far shorter than that.
        let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Self {
            start: place(range.start),
            end: place(range.end),
        }
    }
}

/// A word of the source and a word of the translation that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// The word in [`Segment::text`](crate::Segment::text).
    pub source: Span,
    /// The word in [`Translation::text`](crate::Translation::text).
    pub target: Span,
    /// Share of the model's attention for the target word that the source word gets: 255 is all of it.
    pub weight: u8,
}

/// The links between a source and its translation, ordered by target word, then by source word.
///
/// A word has any number of links, none included. Two words of one text are the same or do not overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Link>", into = "Vec<Link>")]
pub struct Alignment(Vec<Link>);

/// Why links are no alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AlignmentError {
    /// There are more than [`MAX_LINKS`].
    #[error("an alignment of {0} links is longer than the limit of {MAX_LINKS}")]
    TooLong(usize),
    /// They are not in order, or one is repeated.
    #[error("the links of an alignment are not in order")]
    Disordered,
}

impl Alignment {
    /// An alignment of these links in any order. Beyond [`MAX_LINKS`] the weakest are dropped.
    #[must_use]
    pub fn new(mut links: Vec<Link>) -> Self {
        if links.len() > MAX_LINKS {
            links.sort_by_key(|link| std::cmp::Reverse(link.weight));
            links.truncate(MAX_LINKS);
        }
        links.sort_by_key(|link| (place(link), std::cmp::Reverse(link.weight)));
        links.dedup_by_key(|link| place(link));
        Self(links)
    }

    /// The links.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.0
    }

    /// Whether every link connects parts of these two texts.
    #[must_use]
    pub fn fits(&self, source: &str, target: &str) -> bool {
        let mut links = self.0.iter();
        links.all(|link| link.source.is_in(source) && link.target.is_in(target))
    }
}

impl TryFrom<Vec<Link>> for Alignment {
    type Error = AlignmentError;

    fn try_from(links: Vec<Link>) -> Result<Self, AlignmentError> {
        if links.len() > MAX_LINKS {
            return Err(AlignmentError::TooLong(links.len()));
        }
        match links.is_sorted_by(|a, b| place(a) < place(b)) {
            true => Ok(Self(links)),
            false => Err(AlignmentError::Disordered),
        }
    }
}

impl From<Alignment> for Vec<Link> {
    fn from(alignment: Alignment) -> Self {
        alignment.0
    }
}

fn place(link: &Link) -> (Span, Span) {
    (link.target, link.source)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame;

    fn span() -> impl Strategy<Value = Span> {
        (0_u32..40, 0_u32..40).prop_map(|(start, end)| Span { start, end })
    }

    fn link() -> impl Strategy<Value = Link> {
        (span(), span(), any::<u8>()).prop_map(|(source, target, weight)| Link {
            source,
            target,
            weight,
        })
    }

    proptest! {
        #[test]
        fn an_alignment_is_read_as_it_was_written(links in prop::collection::vec(link(), 0..60)) {
            let alignment = Alignment::new(links.clone());
            let frame = frame::encode(&alignment).unwrap();
            prop_assert_eq!(frame::decode::<Alignment>(&frame[4..]).unwrap(), alignment.clone());
            for link in links {
                prop_assert!(alignment.links().iter().any(|kept| place(kept) == place(&link) && kept.weight >= link.weight));
            }
        }

        #[test]
        fn links_that_fit_can_be_used_as_ranges(
            links in prop::collection::vec(link(), 0..9),
            source in "[aé😀]{0,9}",
            target in "[aé😀]{0,9}",
        ) {
            let alignment = Alignment::new(links);
            if alignment.fits(&source, &target) {
                for link in alignment.links() {
                    prop_assert!(!source[link.source.range()].is_empty());
                    prop_assert!(!target[link.target.range()].is_empty());
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(alignment) = frame::decode::<Alignment>(&bytes) {
                prop_assert_eq!(Alignment::new(alignment.links().to_vec()), alignment);
            }
        }
    }

    fn at(place: u32, weight: u8) -> Link {
        let span = Span {
            start: place,
            end: place + 1,
        };
        Link {
            source: span,
            target: span,
            weight,
        }
    }

    #[test]
    fn links_in_disorder_and_too_many_are_refused() {
        let read = |links: Vec<Link>| {
            let frame = frame::encode(&links).unwrap();
            frame::decode::<Alignment>(&frame[4..]).is_ok()
        };
        assert!(read(vec![at(1, 9), at(2, 9)]));
        assert!(!read(vec![at(2, 9), at(1, 9)]));
        assert!(!read(vec![at(1, 9), at(1, 9)]));
        let many = |count: usize| (0..count as u32).map(|place| at(place, 1)).collect();
        assert!(read(many(MAX_LINKS)));
        assert!(!read(many(MAX_LINKS + 1)));
    }

    #[test]
    fn of_too_many_links_the_strongest_are_kept() {
        let links = (0..2 * MAX_LINKS as u32).map(|place| at(place, (place % 2) as u8));
        let alignment = Alignment::new(links.collect());
        assert_eq!(alignment.links().len(), MAX_LINKS);
        assert!(alignment.links().iter().all(|link| link.weight == 1));
    }
}
