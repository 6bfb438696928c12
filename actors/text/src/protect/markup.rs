//! HTML and XML tags, comments and declarations, within one line.

/// End of the tag that starts with the "<" at `at`.
///
/// `last_comment_end` is where the line's last "-->" starts.
pub(crate) fn tag_end(line: &str, at: usize, last_comment_end: Option<usize>) -> Option<usize> {
    let inside = at + 1;
    let rest = &line[inside..];
    if rest.starts_with("!--") {
        // Found if searched for, so the search reads nothing that the span does not take up.
        let text = inside + "!--".len();
        last_comment_end.filter(|&end| end >= text)?;
        return Some(text + line[text..].find("-->")? + "-->".len());
    }
    let name = inside + rest.len() - rest.trim_start_matches(['/', '!', '?']).len();
    if name > inside + 1 || !line[name..].starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let name_len = line[name..]
        .bytes()
        .take_while(|b| b.is_ascii_alphanumeric() || b"-_:.".contains(b))
        .count();
    // "<https://…>" and "a <b, c> d" are no tags.
    let after_name = name + name_len;
    let after = &line[after_name..];
    (after.starts_with(|c: char| c.is_whitespace() || matches!(c, '>' | '?'))
        || after.starts_with("/>"))
    .then(|| closing_end(line, after_name))?
}

/// End of the next ">" outside quotes, unless another tag starts before it.
///
/// Linear over all the tags of a line, though a scan may fail only at its end: two scans that are
/// under way at the same place differ in what quote they are in, and a quote mark changes that
/// state one to one, so they never become alike. Hence no byte is read by more than three scans.
fn closing_end(line: &str, start: usize) -> Option<usize> {
    let mut quote = None;
    for (offset, byte) in line[start..].bytes().enumerate() {
        match (byte, quote) {
            (b'"' | b'\'', None) => quote = Some(byte),
            (_, Some(open)) if byte == open => quote = None,
            (b'>', None) => return Some(start + offset + 1),
            (b'<', None) => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag_at_start(line: &str) -> Option<&str> {
        tag_end(line, 0, line.rfind("-->")).map(|end| &line[..end])
    }

    #[test]
    fn tags_comments_and_declarations_are_recognised() {
        for tag in [
            "<b>",
            "</b>",
            "<br/>",
            "<br />",
            "<a href=\"x > y\" title='<'>",
            "<x-y:z.1>",
            "<input disabled>",
            "<!-- a <b> -->",
            "<!---->",
            "<!DOCTYPE html>",
            "<?xml version=\"1.0\"?>",
        ] {
            let line = format!("{tag} and > more");
            assert_eq!(tag_at_start(&line), Some(tag));
        }
    }

    #[test]
    fn an_invalid_tag_is_not_recognised() {
        for text in [
            "<",
            "<3 you>",
            "< b>",
            "<b",
            "<b <i>",
            "<a href=\"x>",
            "<//b>",
            "<https://a.b>",
            "<b, c>",
            "<!-- a",
            "<!-->",
            "<>",
        ] {
            assert_eq!(tag_at_start(text), None, "{text}");
        }
    }
}
