//! Documents that are texts in one format.

use babelmesh_domain::Format;
use babelmesh_text::format::divide;

use crate::{
    Limits, Segment,
    layout::{Encoding, Layout},
    segment::has_words,
};

/// About how many characters a segment has. Segments of this size show progress, and a failure of one is known soon.
const SEGMENT_CHARS: usize = 4_000;

/// Divides a text into segments.
pub(crate) fn read(text: String, format: Format, limits: &Limits) -> (Layout, Vec<Segment>) {
    let chars = SEGMENT_CHARS.min(limits.max_segment_chars);
    let mut places = divide(&text, format, chars);
    places.retain(|place| has_words(&text[place.clone()]));
    let segment = |place: &std::ops::Range<usize>| Segment {
        text: text[place.clone()].to_owned(),
        format,
    };
    let segments = places.iter().map(segment).collect();
    let layout = Layout {
        text,
        places,
        encoding: Encoding::Plain,
    };
    (layout, segments)
}
