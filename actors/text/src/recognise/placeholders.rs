//! Placeholders of message formats and template languages.

use std::ops::Range;

use super::{Scan, is_name_byte, run};

/// Longest placeholder with a closing mark of its own, in bytes.
const MAX_LEN: usize = 512;

pub(super) fn code(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    scan.code.as_mut()?.end_of(at).map(|end| at..end)
}

/// `{name}`, `{{name}}`, `${name}`, `#{name}`, `%{name}`, ICU's `{n, plural, …}`.
pub(super) fn braces(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let open = if scan.text.as_bytes()[at] == b'{' {
        at
    } else {
        at + 1
    };
    if scan.text.as_bytes().get(open) != Some(&b'{') {
        return None;
    }
    scan.braces.as_mut()?.end_of(open).map(|end| at..end)
}

/// `%s`, `%1$d`, `%5.2f`, `%(name)s`, `%@`, `%%`, and `%name%`.
pub(super) fn percent(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let head = scan.ahead(at + 1, 64);
    let name = run(head, |b| is_name_byte(b) || b == b'.' || b == b'-');
    if name > 1
        && head[name..].starts_with('%')
        && head.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && !scan.is_before_word(at + 1 + name + 1)
    {
        return Some(at..at + 1 + name + 1);
    }
    // "20%s" is no placeholder.
    if scan.before(at).is_some_and(|c| c.is_ascii_digit()) {
        return None;
    }
    if head.starts_with('%') {
        return Some(at..at + 2);
    }
    let mut rest = head;
    if let Some(named) = rest.strip_prefix('(') {
        let len = named.find([')', '\n', '(', ' '])?;
        rest = named[len..].strip_prefix(')')?;
    } else {
        let digits = run(rest, |b| b.is_ascii_digit());
        rest = rest[digits..]
            .strip_prefix('$')
            .filter(|_| digits > 0)
            .unwrap_or(rest);
    }
    rest = &rest[run(rest, |b| b"-+0#'".contains(&b))..];
    rest = &rest[run(rest, |b| b.is_ascii_digit() || b == b'.' || b == b'*')..];
    rest = &rest[run(rest, |b| b"hlLqjzt".contains(&b)).min(2)..];
    let letter = rest.bytes().next()?;
    let end = at + 1 + head.len() - rest.len() + 1;
    let is_conversion = b"sdiufFeEgGxXoOcpaAbn@".contains(&letter);
    (is_conversion && (letter == b'@' || !scan.is_before_word(end))).then_some(at..end)
}

/// `:name` of Laravel and of database queries; `@:key` of vue-i18n is found at its "@".
pub(super) fn colon(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let head = scan.ahead(at + 1, 64);
    let len = run(head, is_name_byte);
    let name = &head.as_bytes()[..len];
    let is_name = len > 1
        && (name[0].is_ascii_alphabetic() || name[0] == b'_')
        && name.iter().any(|b| *b != name[0])
        && name[1..].iter().any(u8::is_ascii_alphabetic);
    let is_free = scan
        .before(at)
        .is_none_or(|c| c.is_whitespace() || "([\"'«“/-".contains(c));
    (is_name && is_free && !scan.is_before_word(at + 1 + len)).then_some(at..at + 1 + len)
}

/// `@:common.ok`, `@.lower:common.ok`
pub(super) fn linked_key(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    if scan.is_after_word(at) {
        return None;
    }
    let head = scan.ahead(at + 1, 96);
    let modifier = head
        .strip_prefix('.')
        .map_or(0, |rest| 1 + run(rest, is_name_byte));
    let key = head[modifier..].strip_prefix(':')?;
    let key = key.strip_prefix('(').unwrap_or(key);
    let len = run(key, |b| is_name_byte(b) || b == b'.');
    let len = key[..len].trim_end_matches('.').len();
    let end = at + 1 + head.len() - key.len() + len;
    let closed = scan.text[end..].starts_with(')') && scan.text[..end - len].ends_with('(');
    (len > 0).then_some(at..end + usize::from(closed))
}

/// `$Name`, `$t(key)`
pub(super) fn dollar(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let head = scan.ahead(at + 1, 128);
    let len = run(head, is_name_byte);
    let starts = head.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || scan.is_after_word(at) {
        return None;
    }
    let end = at + 1 + len;
    if &head[..len] == "t" {
        let arguments = head[len..].strip_prefix('(')?;
        let close = arguments.find([')', '\n'])?;
        return arguments[close..]
            .starts_with(')')
            .then_some(at..end + 1 + close + 1);
    }
    (len > 1 && !scan.is_before_word(end)).then_some(at..end)
}

/// `__name__`
pub(super) fn underscores(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let head = scan.ahead(at, 96);
    let name = head.strip_prefix("__")?;
    let len = run(name, is_name_byte);
    let inside = name[..len].strip_suffix("__")?;
    let is_name = inside.bytes().any(|b| b.is_ascii_alphanumeric());
    (is_name && !scan.is_after_word(at) && !scan.is_before_word(at + 2 + len))
        .then_some(at..at + 2 + len)
}

/// `[[first name]]`
pub(super) fn double_brackets(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let inside = scan.ahead(at, MAX_LEN).strip_prefix("[[")?;
    let len = inside.find([']', '[', '\n'])?;
    (len > 0 && inside[len..].starts_with("]]")).then_some(at..at + len + 4)
}

/// `###NAME###`
pub(super) fn hashes(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let name = scan.ahead(at, 96).strip_prefix("###")?;
    let len = run(name, is_name_byte);
    (len > 0 && name[len..].starts_with("###")).then_some(at..at + len + 6)
}

/// `<%= name %>`
pub(super) fn template(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let inside = scan.ahead(at, MAX_LEN).strip_prefix("<%")?;
    Some(at..at + 2 + inside.find("%>")? + 2)
}

/// `\n` written as two characters.
pub(super) fn escape(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let letter = scan.text.as_bytes().get(at + 1)?;
    (b"nrtN\\".contains(letter)).then_some(at..at + 2)
}

/// `[00:01:05.250 --> 00:01:09.000]` of transcripts.
pub(super) fn times(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let inside = scan.ahead(at + 1, 48);
    let len = run(inside, |b| b.is_ascii_digit() || b":., ->".contains(&b));
    let is_times = inside[..len].contains("-->") && inside[len..].starts_with(']');
    is_times.then_some(at..at + 1 + len + 1)
}
