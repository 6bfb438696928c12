//! `SubRip` and `WebVTT` subtitles.

use std::ops::Range;

use super::{
    Format,
    builder::{AtomKind, Builder},
    tags::{Nesting, TagKind, Tags},
};
use crate::escape::Escape;

pub(super) fn read(builder: &mut Builder<'_>, format: Format) {
    let text = builder.text;
    if format == Format::Vtt {
        builder.set_escape(Escape::Html);
    }
    let tags = Tags::new(text);
    let mut reader = Reader {
        nesting: Nesting::default(),
        tags,
        last_end: None,
    };
    // Whether the lines are the text of a cue.
    let mut is_cue = false;
    let mut lines = lines(text).peekable();
    while let Some(line) = lines.next() {
        let words = &text[line.clone()];
        let precedes_times = lines
            .peek()
            .is_some_and(|next| is_times(&text[next.clone()]));
        let is_blank = words.trim().is_empty();
        if is_blank || is_times(words) || precedes_times && !is_cue {
            reader.end_cue(builder);
            is_cue = is_times(words) || is_cue && is_blank && format == Format::Srt;
        } else if is_cue && precedes_times && words.trim().bytes().all(|b| b.is_ascii_digit()) {
            reader.end_cue(builder);
        } else if is_cue {
            reader.line(builder, line);
        }
    }
    reader.end_cue(builder);
}

/// The lines of a text, without their ends.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    text.split_inclusive('\n').map(move |line| {
        let from = start;
        start += line.len();
        from..from + line.trim_end_matches(['\n', '\r']).len()
    })
}

/// Whether a line says when its cue is shown: `00:00:01,000 --> 00:00:04,000`.
pub(super) fn is_times(line: &str) -> bool {
    line.split_once("-->").is_some_and(|(from, to)| {
        let is_time = |time: &str| time.trim_start().starts_with(|c: char| c.is_ascii_digit());
        is_time(from) && is_time(to)
    })
}

struct Reader<'a> {
    nesting: Nesting,
    tags: Tags<'a>,
    /// End of the last line of the cue.
    last_end: Option<usize>,
}

impl Reader<'_> {
    fn end_cue(&mut self, builder: &mut Builder<'_>) {
        builder.end_run();
        self.nesting = Nesting::default();
        self.last_end = None;
    }

    fn line(&mut self, builder: &mut Builder<'_>, line: Range<usize>) {
        let text = builder.text;
        let words = text[line.clone()].trim_start();
        // Each line of a dialogue is somebody else's.
        let is_dialogue = words.starts_with(['-', '–', '—', '♪', '♫']);
        match self.last_end.replace(line.end) {
            Some(end) if !is_dialogue => builder.space(end..line.start),
            _ => builder.end_run(),
        }
        let mut from = line.start;
        if is_dialogue {
            from = line.end
                - words
                    .trim_start_matches(['-', '–', '—', '♪', '♫', ' '])
                    .len();
        }
        let mut at = from;
        while let Some(offset) = text[at..line.end].find(['<', '{', '\\']) {
            at += offset;
            let Some(end) = self.mark_end(text, at, line.end) else {
                at += 1;
                continue;
            };
            builder.escaped(from..at);
            self.mark(builder, at..end);
            (from, at) = (end, end);
        }
        builder.escaped(from..line.end);
    }

    fn mark_end(&self, text: &str, at: usize, line_end: usize) -> Option<usize> {
        let rest = &text[at..line_end];
        let bytes = rest.as_bytes();
        let end = match bytes[0] {
            // A tag, or a time within a cue.
            b'<' => {
                let is_time = |b: &u8| b.is_ascii_digit() || b":.".contains(b);
                let len = 1 + rest[1..].bytes().take_while(is_time).count();
                let time = rest[len..].starts_with('>') && len > 1;
                time.then_some(at + len + 1)
                    .or_else(|| self.tags.at(at).map(|tag| tag.range.end))
            }
            b'{' if bytes.get(1) == Some(&b'\\') => {
                let inside = &rest[..rest.floor_char_boundary(256)];
                inside.find('}').map(|len| at + len + 1)
            }
            b'\\' if bytes.get(1).is_some_and(|b| b"Nnh".contains(b)) => Some(at + 2),
            _ => None,
        };
        end.filter(|&end| end <= line_end)
    }

    fn mark(&mut self, builder: &mut Builder<'_>, range: Range<usize>) {
        let text = builder.text;
        if text.as_bytes()[range.start] == b'\\' {
            return builder.space(range);
        }
        match self
            .tags
            .at(range.start)
            .filter(|tag| tag.range == range && !tag.name.is_empty())
        {
            Some(tag) if tag.kind == TagKind::Open && text.as_bytes()[range.start] == b'<' => {
                let opened = builder.open(range);
                // "<c.yellow>" is closed by "</c>".
                self.nesting.open(element(tag.name), opened);
            }
            Some(tag) if tag.kind == TagKind::Close => {
                let opened = self.nesting.close(element(tag.name));
                builder.close(range, opened);
            }
            _ => builder.mark(range, AtomKind::Empty),
        }
    }
}

fn element(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}
