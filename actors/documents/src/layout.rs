//! A text with places in it that are translated.

use std::ops::Range;

use crate::{Segment, gettext};

/// The text of a file or of an entry, and the places of its segments, in order.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) text: String,
    pub(crate) places: Vec<Range<usize>>,
    pub(crate) encoding: Encoding,
}

/// How a translation is written into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Plain,
    /// As a literal of JSON.
    Json,
    /// As a literal of gettext, over several lines that end so.
    Po { line_end: &'static str },
}

impl Layout {
    /// The text with translations. A segment that is unchanged keeps the bytes of its place, if the place held it.
    pub(crate) fn write(&self, segments: &[Segment], translations: &[String]) -> String {
        let mut written = String::with_capacity(self.text.len());
        let mut from = 0;
        let translated = segments.iter().zip(translations);
        for (place, (segment, translation)) in self.places.iter().zip(translated) {
            written.push_str(&self.text[from..place.start]);
            from = place.end;
            let is_unchanged = segment.text == *translation;
            match self.encoding {
                Encoding::Plain => written.push_str(translation),
                Encoding::Json if is_unchanged => written.push_str(&self.text[place.clone()]),
                Encoding::Json => {
                    // A string is always a literal of JSON.
                    written.push_str(&serde_json::json!(translation).to_string());
                }
                Encoding::Po { line_end } => gettext::literal(translation, line_end, &mut written),
            }
        }
        written.push_str(&self.text[from..]);
        written
    }
}
