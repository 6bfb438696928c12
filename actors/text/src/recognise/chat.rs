//! Addresses, mentions and the entities of chat systems.

use std::ops::Range;

use super::{Scan, is_name_byte, run};
use crate::protect::address;

/// Longest entity of a chat system, in bytes.
const MAX_ENTITY: usize = 2048;

pub(super) fn email(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    address::email(scan.text, scan.floor, at)
}

/// `@name`, `@name@server.org`, `@name:server.org`, and `#room:server.org`.
pub(super) fn mention(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let text = scan.text;
    if text.as_bytes()[at] == b'#' {
        let end = address::hashtag_end(text, at)?;
        return matrix_server(text, end).map(|end| at..end);
    }
    let end = address::mention_end(text, at)?;
    Some(at..matrix_server(text, end).unwrap_or(end))
}

/// End of the ":server.org" at `at`.
fn matrix_server(text: &str, at: usize) -> Option<usize> {
    let server = at + 1;
    text[at..].strip_prefix(':')?;
    address::domain_end(text, server)
}

pub(super) fn hashtag(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    address::hashtag_end(scan.text, at).map(|end| at..end)
}

/// URLs with a scheme, after `www.`, and domains of well-known kinds.
pub(super) fn url(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let (text, floor) = (scan.text, scan.floor);
    match text.as_bytes()[at] {
        b':' => address::url_with_scheme(text, floor, at).or_else(|| data_uri(scan, at)),
        b'w' | b'W' => address::www_end(text, at).map(|end| at..end),
        _ if at >= scan.domains_seen => {
            let (run, domain) = address::bare_domain(text, floor, at);
            scan.domains_seen = run.end;
            domain.or_else(|| country_domain(scan, run))
        }
        _ => None,
    }
}

/// `data:image/png;base64,…`
fn data_uri(scan: &Scan<'_>, at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub("data".len()).filter(|&s| s >= scan.floor)?;
    let is_data = scan.text.get(start..at)?.eq_ignore_ascii_case("data");
    if !is_data || scan.is_after_word(start) {
        return None;
    }
    let head = scan.ahead(at + 1, 128);
    let kind = run(head, |b| {
        b.is_ascii_alphanumeric() || b"/+.-;=_".contains(&b)
    });
    if !head[kind..].starts_with(',') || !head[..kind].contains(['/', ';']) {
        return None;
    }
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"/+.-;=_,%".contains(&b);
    let uri = &scan.text[at + 1..];
    let uri = uri[..run(uri, is_part)].trim_end_matches(['.', ',', ';']);
    Some(start..at + 1 + uri.len())
}

/// A domain of a country whose code is a word in many languages: only with a path or a port, or
/// where its first label is not short.
fn country_domain(scan: &Scan<'_>, run: Range<usize>) -> Option<Range<usize>> {
    const COUNTRIES: &[&str] = &[
        "de", "nl", "it", "es", "ru", "jp", "pl", "be", "at", "se", "no", "dk", "fi", "pt", "br",
        "cn", "in", "ca", "au", "ie", "cz", "gr", "hu", "ro", "tr", "ua", "mx", "ar", "kr", "tw",
        "example", "test", "ai", "me", "tv", "xyz", "online", "shop", "cloud",
    ];
    let domain = scan.text[run.clone()].trim_end_matches(['.', '-']);
    let (labels, top) = domain.rsplit_once('.')?;
    let end = run.start + domain.len();
    if labels.split('.').any(str::is_empty)
        || !labels.starts_with(|c: char| c.is_ascii_alphanumeric())
        || !COUNTRIES.contains(&top)
        || scan.is_before_word(end)
        || scan.is_after_word(run.start)
    {
        return None;
    }
    if scan.text[end..].starts_with(['/', '?']) {
        return Some(run.start..address::url_end(scan.text, end).max(end));
    }
    let is_unlikely_a_word = matches!(top, "nl" | "ru" | "jp" | "pl" | "dk" | "cz" | "cn" | "tv")
        || top == "de" && labels.len() >= 4 && labels.bytes().all(|b| !b.is_ascii_uppercase())
        || labels.contains('.');
    is_unlikely_a_word.then_some(run.start..end)
}

/// `localhost:3000`, `host.example:80`.
pub(super) fn host_port(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let head = scan.ahead(at + 1, 6);
    let port = run(head, |b| b.is_ascii_digit());
    if !(2..=5).contains(&port) || scan.is_before_word(at + 1 + port) {
        return None;
    }
    let before = &scan.text[scan.floor..at];
    let before = &before[before.ceil_char_boundary(before.len().saturating_sub(64))..];
    let host = before
        .bytes()
        .rev()
        .take_while(|&b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        .count();
    let name = &before[before.len() - host..];
    let is_host = name.eq_ignore_ascii_case("localhost")
        || name.contains('.') && !name.starts_with('.') && !name.ends_with('.');
    let start = at - host;
    if !is_host || scan.is_after_word(start) {
        return None;
    }
    let end = at + 1 + port;
    let path = scan.text[end..].starts_with('/');
    Some(
        start..if path {
            address::url_end(scan.text, end).max(end)
        } else {
            end
        },
    )
}

/// `<@U123>`, `<#C1|general>`, `<!here>`, `<https://…|label>`, `<:name:1>`, `<t:1:R>`.
pub(super) fn entity(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    entity_end(scan.text, at).map(|end| at..end)
}

/// End of the entity of a chat system that starts with the "<" at `at`.
pub(crate) fn entity_end(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at + 1..];
    let rest = &rest[..rest.floor_char_boundary(MAX_ENTITY)];
    let name = |text: &str| run(text, |b| is_name_byte(b) || b == b'-');
    let first = rest.bytes().next()?;
    let end = match first {
        b'@' | b'#' => closing(rest)?,
        b'!' if rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
            closing(rest).filter(|&end| !rest[..end].contains(' ') || rest[..end].contains('|'))?
        }
        b':' => discord_emoji(rest, 0)?,
        b'a' if rest.starts_with("a:") => discord_emoji(rest, 1)?,
        b't' if rest.starts_with("t:") => {
            let digits = run(rest[2..].trim_start_matches('-'), |b| b.is_ascii_digit());
            closing(rest).filter(|&end| digits > 3 && end <= 2 + 1 + digits + 3)?
        }
        b'/' => {
            let len = 1 + run(&rest[1..], |b| is_name_byte(b) || b" -".contains(&b));
            let id = rest[len..].strip_prefix(':')?;
            let digits = run(id, |b| b.is_ascii_digit());
            (digits > 5 && id[digits..].starts_with('>')).then_some(len + 1 + digits)?
        }
        b'h' | b'm' | b't'.. => {
            let scheme = name(rest);
            let is_url = rest[scheme..].starts_with("://") || rest.starts_with("mailto:");
            closing(rest).filter(|_| is_url && scheme > 1)?
        }
        _ => return None,
    };
    Some(at + 1 + end + 1)
}

/// Offset of the next ">", unless a "<" or a line break comes first.
fn closing(rest: &str) -> Option<usize> {
    let end = rest.find(['>', '<', '\n'])?;
    (end > 1 && rest.as_bytes()[end] == b'>').then_some(end)
}

fn discord_emoji(rest: &str, colon: usize) -> Option<usize> {
    let name = run(&rest[colon + 1..], is_name_byte);
    let id = colon + 1 + name;
    let digits = run(rest[id..].strip_prefix(':')?, |b| b.is_ascii_digit());
    let end = id + 1 + digits;
    (name > 0 && digits > 0 && rest[end..].starts_with('>')).then_some(end)
}

/// `:name:`
pub(super) fn shortcode(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let head = scan.ahead(at + 1, 64);
    let len = run(head, |b| is_name_byte(b) || b == b'+' || b == b'-');
    let name = &head[..len];
    let is_name =
        name.bytes().any(|b| b.is_ascii_alphabetic()) || matches!(name, "+1" | "-1" | "100");
    let end = at + 1 + len + 1;
    (is_name
        && head[len..].starts_with(':')
        && !scan.is_after_word(at)
        && !scan.is_before_word(end))
    .then_some(at..end)
}

#[cfg(test)]
mod tests {
    use super::entity_end;

    #[test]
    fn entities_of_chat_systems_are_told_from_tags() {
        for tag in [
            "<b>",
            "<a href=\"x\">",
            "</a>",
            "<a:b>",
            "<t>",
            "<table>",
            "<!-- a -->",
            "<!DOCTYPE html>",
            "<http>",
        ] {
            assert_eq!(entity_end(tag, 0), None, "{tag}");
        }
        for entity in [
            "<@U1>",
            "<#C1|a b>",
            "<!here>",
            "<a:b:1>",
            "<t:1700000000>",
            "<t:1700000000:R>",
            "<https://a.b|our page>",
            "<mailto:a@b.c|Ana>",
            "</cmd x:1234567>",
        ] {
            assert_eq!(entity_end(entity, 0), Some(entity.len()), "{entity}");
        }
    }
}
