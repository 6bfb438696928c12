//! Plain text, as people write it in a chat.

use std::ops::Range;

use super::{
    Splitting, bbcode,
    builder::{AtomKind, Builder},
    elements,
    tags::{Nesting, TagKind, Tags},
};
use crate::{
    lines,
    protect::pairs::Pairs,
    recognise::{TokenKind, entity_end},
};

/// Longest content of a `[code]`, in bytes. The bound keeps the search for the end linear.
const MAX_CODE: usize = 2 << 10;

pub(super) fn read(builder: &mut Builder<'_>) {
    let text = builder.text;
    let tags = Tags::new(text);
    let mut last_end = None;
    for line in lines::prose(text) {
        if let Some(end) = last_end {
            let gap = &text[end..line.start];
            let is_wrapped = builder.options.splitting == Splitting::IgnoreLineBreaks
                && gap.chars().all(char::is_whitespace)
                && gap.matches('\n').count() == 1;
            match is_wrapped {
                true => builder.space(end..line.start),
                false => builder.end_run(),
            }
        }
        last_end = Some(line.end);
        read_line(builder, &tags, line);
    }
    builder.end_run();
}

fn read_line(builder: &mut Builder<'_>, tags: &Tags<'_>, line: Range<usize>) {
    let text = builder.text;
    let words = &text[line.clone()];
    let is_special = |b: &u8| matches!(b, b'<' | b'[' | 0..b' ' | 0x7f);
    if !words.as_bytes().iter().any(is_special) && !words.contains("   ") {
        builder.escaped(line);
        return;
    }
    let mut code = Pairs::of_backticks(words);
    let mut braces = Pairs::of_braces(words);
    let mut nesting = Nesting::default();
    // Where the words begin that are not read yet, and where to look on.
    let (mut from, mut at) = (line.start, line.start);
    while let Some(offset) = text.as_bytes()[at..line.end]
        .iter()
        .position(|&b| is_special(&b) || matches!(b, b'`' | b'{' | b' '))
    {
        at += offset;
        let skipped = match text.as_bytes()[at] {
            b'`' => code.end_of(at - line.start).map(|end| line.start + end),
            b'{' => braces.end_of(at - line.start).map(|end| line.start + end),
            b'<' => entity_end(text, at).or_else(|| template_end(&text[..line.end], at)),
            _ => None,
        };
        if let Some(end) = skipped.filter(|&end| end <= line.end) {
            at = end;
            continue;
        }
        let end = match text.as_bytes()[at] {
            b'<' => tags.at(at).map(|tag| tag.range.end),
            b'[' => bbcode::tag(text, at).map(|tag| tag.end),
            b'`' | b'{' => None,
            _ => columns_end(text, at),
        };
        let Some(end) = end.filter(|&end| end <= line.end) else {
            at += 1;
            continue;
        };
        builder.escaped(from..at);
        from = read_mark(builder, &mut nesting, tags, at..end, line.end);
        at = from;
    }
    builder.escaped(from..line.end);
}

/// Reads a tag, or white space that separates columns. Returns where to go on.
fn read_mark(
    builder: &mut Builder<'_>,
    nesting: &mut Nesting,
    tags: &Tags<'_>,
    range: Range<usize>,
    line_end: usize,
) -> usize {
    let text = builder.text;
    let (at, end) = (range.start, range.end);
    match text.as_bytes()[at] {
        b'<' => {
            let Some(tag) = tags.at(at) else { return end };
            let name = tag.name.to_ascii_lowercase();
            match tag.kind {
                TagKind::Open if name == "br" => builder.end_run(),
                TagKind::SelfClosing if name == "br" => builder.end_run(),
                TagKind::Open if !elements::is_void(&name) => {
                    let opened = builder.open(range);
                    nesting.open(tag.name, opened);
                }
                TagKind::Close => {
                    let opened = nesting.close(tag.name);
                    builder.close(range, opened);
                }
                _ => builder.mark(range, AtomKind::Empty),
            }
        }
        b'[' => {
            let Some(tag) = bbcode::tag(text, at) else {
                return end;
            };
            let name = format!("[{}", tag.name.to_ascii_lowercase());
            if tag.closes {
                let opened = nesting.close(&name);
                builder.close(range, opened);
            } else if matches!(name.as_str(), "[code" | "[img") {
                let close = format!("[/{}]", tag.name);
                let content = &text[end..line_end];
                let content = &content[..content.floor_char_boundary(MAX_CODE)];
                let Some(len) = content.find(&close) else {
                    builder.mark(range, AtomKind::Empty);
                    return end;
                };
                let end = end + len + close.len();
                builder.opaque(at..end, &text[at..end], TokenKind::Code);
                return end;
            } else {
                let opened = builder.open(range);
                nesting.open(&name, opened);
            }
        }
        _ => builder.end_run(),
    }
    end
}

/// End of the `<%= … %>` at `at`.
fn template_end(text: &str, at: usize) -> Option<usize> {
    let inside = text[at..].strip_prefix("<%")?;
    let inside = &inside[..inside.floor_char_boundary(512)];
    Some(at + 2 + inside.find("%>")? + 2)
}

/// End of the tabs, control characters, or three spaces or more at `at`: they separate columns,
/// and a tokenizer would change them.
fn columns_end(text: &str, at: usize) -> Option<usize> {
    let rest = &text.as_bytes()[at..];
    let controls = rest.iter().take_while(|b| b.is_ascii_control()).count();
    let spaces = rest.iter().take_while(|&&b| b == b' ').count();
    match (controls, spaces) {
        (1.., _) => Some(at + controls),
        (0, 3..) => Some(at + spaces),
        _ => None,
    }
}
