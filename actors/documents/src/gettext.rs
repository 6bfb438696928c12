//! String literals of gettext.

/// The value of a quoted string.
pub(crate) fn unquoted(quoted: &str) -> Result<String, &'static str> {
    let inside = quoted.strip_prefix('"').ok_or("a string without quotes")?;
    let mut value = String::with_capacity(inside.len());
    let mut chars = inside.chars().peekable();
    loop {
        match chars.next().ok_or("a string without its closing quote")? {
            '"' => break,
            '\\' => match chars.next().ok_or("a string without its closing quote")? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                'a' => value.push('\u{7}'),
                'b' => value.push('\u{8}'),
                'v' => value.push('\u{b}'),
                'f' => value.push('\u{c}'),
                c @ ('"' | '\\' | '\'' | '?') => value.push(c),
                _ => return Err("an unknown escape sequence"),
            },
            c => value.push(c),
        }
    }
    match chars.next() {
        None => Ok(value),
        Some(_) => Err("text after a string"),
    }
}

/// Writes a string, each of its lines on a line of its own where it has several.
pub(crate) fn literal(value: &str, line_end: &str, written: &mut String) {
    let lines: Vec<&str> = value.split_inclusive('\n').collect();
    if lines.len() > 1 {
        written.push_str("\"\"");
    }
    for line in &lines {
        if lines.len() > 1 {
            written.push_str(line_end);
        }
        quote(line, written);
    }
    if lines.is_empty() {
        written.push_str("\"\"");
    }
}

fn quote(value: &str, written: &mut String) {
    written.push('"');
    for c in value.chars() {
        match c {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\t' => written.push_str("\\t"),
            '\r' => written.push_str("\\r"),
            '\u{7}' => written.push_str("\\a"),
            '\u{8}' => written.push_str("\\b"),
            '\u{b}' => written.push_str("\\v"),
            '\u{c}' => written.push_str("\\f"),
            c => written.push(c),
        }
    }
    written.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_written_string_is_read_as_it_was(value in "(?s)[^\0]*") {
            let mut written = String::new();
            literal(&value, "\n", &mut written);
            let read: Result<String, _> = written.split('\n').map(unquoted).collect();
            prop_assert_eq!(read, Ok(value));
        }
    }
}
