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

/// Bytes from the start of a page in which it may declare its encoding.
const HEAD_BYTES: usize = 1 << 10;

/// Whether HTML or XML declares another encoding than UTF-8: what is translated would be read in that one.
pub(crate) fn declares_other_encoding(text: &str) -> bool {
    let head = text[..text.floor_char_boundary(HEAD_BYTES)].to_ascii_lowercase();
    let is_declaration = |tag: &&str| tag.starts_with("?xml") || tag.starts_with("meta");
    let tags = head.split('<').filter(is_declaration);
    let mut declared = tags.filter_map(|tag| {
        let tag = tag.split('>').next()?;
        let (_, value) = tag
            .split_once("encoding")
            .or_else(|| tag.split_once("charset"))?;
        let value = value.trim_start().strip_prefix('=')?;
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let is_end = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | ':');
        Some(value.split(is_end).next().unwrap_or_default())
    });
    declared.any(|encoding| !matches!(encoding, "utf-8" | "utf8"))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_encodings_than_utf8_are_found_where_they_are_declared() {
        for (text, is_other) in [
            ("<?xml version=\"1.0\"?><a/>", false),
            ("<?xml version='1.0' encoding='UTF-8'?><a/>", false),
            (
                "<?xml version=\"1.0\" encoding = \"ISO-8859-1\"?><a/>",
                true,
            ),
            ("<html><meta charset=utf-8><p>charset=latin1</p>", false),
            ("<html><META CHARSET=\"windows-1252\">", true),
            (
                "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=iso-8859-1\">",
                true,
            ),
            (
                "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf8\"/>",
                false,
            ),
            ("<p>an encoding=ascii</p>", false),
            ("", false),
        ] {
            assert_eq!(declares_other_encoding(text), is_other, "{text}");
        }
    }
}
