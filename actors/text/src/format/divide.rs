//! Places where a long text can be divided, so that its parts are read as they are in the whole.

use std::ops::Range;

use pulldown_cmark::{Event, Parser, Tag};

use super::{
    Format,
    html::{Dialect, Html, raw_end, translate_wish},
    markdown,
    subtitles::{is_times, lines},
    tags::{TagKind, Tags},
};
use crate::lines::prose;

/// Divides a text into consecutive parts of about `chars` characters: at line ends, between cues, or between blocks. Each part is read as
/// it is in the whole text. Where there is no such place a part is longer.
///
/// ```
/// use babelmesh_text::format::{Format, divide};
///
/// let text = "<p>One.</p><p>Two.</p>";
/// let parts: Vec<_> = divide(text, Format::Html, 12).into_iter().map(|part| &text[part]).collect();
/// assert_eq!(parts, ["<p>One.</p>", "<p>Two.</p>"]);
/// ```
#[must_use]
pub fn divide(text: &str, format: Format, chars: usize) -> Vec<Range<usize>> {
    // A text has at most as many characters as bytes.
    if text.len() <= chars {
        return std::iter::once(0..text.len()).collect();
    }
    pack(text, &places(text, format), chars)
}

/// Joins what lies between neighbouring places as long as it fits.
fn pack(text: &str, places: &[usize], chars: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut end, mut held) = (0, 0, 0);
    for &place in places.iter().chain(std::iter::once(&text.len())) {
        let more = text[end..place].chars().count();
        if held > 0 && held + more > chars {
            parts.push(start..end);
            (start, held) = (end, 0);
        }
        held += more;
        end = place;
    }
    parts.push(start..end);
    parts
}

/// Where a part may start, in order.
fn places(text: &str, format: Format) -> Vec<usize> {
    let mut places = match format {
        Format::Text => prose(text)
            .map(|line| line_start(text, line.start))
            .filter(|&at| at > 0)
            .collect(),
        Format::Html => blocks_of_html(text),
        Format::Xml => Vec::new(),
        Format::Markdown => blocks_of_markdown(text),
        Format::Srt | Format::Vtt => cues(text),
    };
    places.dedup();
    places
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// The first lines of cues: a line with times, or the number or name before it, that follows a blank line.
fn cues(text: &str) -> Vec<usize> {
    let mut places = Vec::new();
    let mut after_blank = false;
    let mut lines = lines(text).peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().map(|next| &text[next.clone()]);
        let words = &text[line.clone()];
        if after_blank && (is_times(words) || next.is_some_and(is_times)) {
            places.push(line.start);
        }
        after_blank = words.trim().is_empty();
    }
    places
}

/// Lines on which a block begins that is in no other. There are none in a text with definitions that all of it may refer to.
fn blocks_of_markdown(text: &str) -> Vec<usize> {
    let parser = Parser::new_ext(text, markdown::OPTIONS);
    if parser.reference_definitions().iter().next().is_some() {
        return Vec::new();
    }
    let mut places = Vec::new();
    let mut depth = 0usize;
    for (event, range) in parser.into_offset_iter() {
        match event {
            Event::Start(Tag::FootnoteDefinition(_)) => return Vec::new(),
            Event::Start(_) => {
                let start = line_start(text, range.start);
                // At the start of a text these lines begin metadata.
                let is_rule = text[start..].starts_with("---") || text[start..].starts_with("+++");
                if depth == 0 && start > 0 && !is_rule {
                    places.push(start);
                }
                depth += 1;
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    places
}

/// Opening tags of blocks that are in no element whose content is left as it is.
fn blocks_of_html(text: &str) -> Vec<usize> {
    let tags = Tags::new(text);
    let mut places = Vec::new();
    // The outermost element with a content of its own kind, and how many of its name are open.
    let mut inside: Option<(String, usize)> = None;
    let mut at = 0;
    while let Some(tag) = tags.next(at, text.len()) {
        at = tag.range.end;
        let name = Html.name(tag.name).into_owned();
        if tag.kind == TagKind::Close {
            if let Some((open, count)) = &mut inside
                && *open == name
            {
                *count -= 1;
                inside = (*count > 0).then_some((name, *count));
            }
            continue;
        }
        if tag.kind != TagKind::Open {
            continue;
        }
        if inside.is_none() && Html.is_block(&name, 0) && tag.range.start > 0 {
            places.push(tag.range.start);
        }
        if Html.is_raw(&name) {
            at = raw_end(text, at..text.len(), &name);
        }
        if Html.is_void(&name) {
            continue;
        }
        match &mut inside {
            Some((open, count)) if *open == name => *count += 1,
            Some(_) => {}
            None if Html.is_untouched(&name) || translate_wish(&text[tag.range]).is_some() => {
                inside = Some((name, 1));
            }
            None => {}
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{Options, parse, tests::any_text},
        *,
    };

    fn parts(text: &str, format: Format, chars: usize) -> Vec<&str> {
        let parts = divide(text, format, chars);
        parts.into_iter().map(|part| &text[part]).collect()
    }

    /// The sentences of a text.
    fn sentences(text: &str, format: Format) -> Vec<String> {
        let document = parse(text, format, &Options::default());
        let units = document.units().iter();
        units.map(|unit| document.source(unit).to_owned()).collect()
    }

    #[test]
    fn lines_cues_and_blocks_are_where_texts_are_divided() {
        assert_eq!(parts("One.\nTwo.\n", Format::Text, 5), ["One.\n", "Two.\n"]);
        let srt = "1\n00:01 --> 00:02\nOne.\n\n2\n00:03 --> 00:04\nTwo.\n";
        assert_eq!(parts(srt, Format::Srt, 5).len(), 2);
        let markdown = "# One\n\nTwo.\n\n- three\n- four\n\n```\na\n\nb\n```\n";
        let expected = [
            "# One\n\n",
            "Two.\n\n",
            "- three\n- four\n\n",
            "```\na\n\nb\n```\n",
        ];
        assert_eq!(parts(markdown, Format::Markdown, 2), expected);
        let html = "<p>One.</p><pre><p>x</p></pre><script>'<p>'</script><p>Two.</p>";
        assert_eq!(parts(html, Format::Html, 2).len(), 4);
    }

    #[test]
    fn a_text_with_definitions_is_not_divided() {
        let text = "See [the guide][g].\n\nMore.\n\n[g]: https://example.org\n";
        assert_eq!(parts(text, Format::Markdown, 5), [text]);
    }

    #[test]
    fn elements_that_are_left_as_they_are_stay_whole() {
        let html =
            "<p>a</p><div translate=\"no\"><p>b</p><div><p>c</p></div><p>d</p></div><p>e</p>";
        let parts = parts(html, Format::Html, 1);
        assert!(
            parts[1].starts_with("<div translate") && parts[1].ends_with("</div>"),
            "{parts:?}"
        );
        assert_eq!(parts.len(), 3, "{parts:?}");
    }

    proptest! {
        #[test]
        fn parts_are_the_text_and_hold_its_sentences(
            pieces in prop::collection::vec(prop_oneof![
                Just("<p>"), Just("</p>"), Just("<b>"), Just("</b>"), Just("<pre>"), Just("</pre>"), Just("\n\n"), Just("\n"),
                Just("One two."), Just("Three "), Just("```\n"), Just("- "), Just("> "), Just("    "), Just("# "), Just("\n---\n"),
                Just("<div translate=no>"), Just("</div>"), Just("<script>"), Just("</script>"), Just("00:01 --> 00:02\n"),
            ], 0..20),
            chars in 1usize..30,
        ) {
            let text = pieces.concat();
            for format in Format::ALL {
                let parts = parts(&text, format, chars);
                prop_assert_eq!(parts.concat(), text.as_str());
                // Subtitles and HTML may end an element in another part.
                if matches!(format, Format::Text) {
                    let all: Vec<_> = parts.iter().flat_map(|part| sentences(part, format)).collect();
                    prop_assert_eq!(all, sentences(&text, format));
                }
            }
        }

        #[test]
        fn any_text_can_be_divided(text in any_text(), chars in 1usize..20) {
            for format in Format::ALL {
                prop_assert_eq!(parts(&text, format, chars).concat(), text.as_str());
            }
        }
    }
}
