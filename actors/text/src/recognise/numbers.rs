//! Numbers of every kind, and hashes, which are found at their first digit.

use std::ops::Range;

use super::{Scan, run};

/// Longest number or hash, in bytes.
const MAX_LEN: usize = 128;

/// Units that belong to the number before them.
pub(crate) const UNITS: &[&str] = &[
    "%", "€", "$", "£", "¥", "₹", "°", "km/h", "km", "cm", "mm", "kg", "mg", "ml", "GB", "MB",
    "TB", "kB", "GHz", "MHz", "Hz", "kW", "EUR", "USD", "GBP", "CHF", "JPY",
];

/// The run of ASCII letters, digits, hyphens and underscores around the digit at `at`; `None` if
/// an earlier digit of the run was examined already, or if the run is too long.
fn word(scan: &Scan<'_>, at: usize) -> Option<Range<usize>> {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let before = &scan.text.as_bytes()[scan.floor..at];
    let before = &before[before.len().saturating_sub(MAX_LEN)..];
    let head = before.iter().rev().take_while(|&&b| is_part(b));
    let (len, digits) = head.fold((0, 0), |(len, digits), b| {
        (len + 1, digits + usize::from(b.is_ascii_digit()))
    });
    let tail = run(scan.ahead(at, MAX_LEN), is_part);
    (digits == 0 && len + tail < MAX_LEN && !scan.is_after_word(at - len))
        .then_some(at - len..at + tail)
}

/// `3f2504e0-4f89-11d3-9a0c-0305e82c3301`, `a1b2c3d4e5f6`, `0x1f`, `ABC-123`, `ORD-2026-17`.
pub(super) fn hash(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let range = word(scan, at)?;
    let word = &scan.text[range.clone()];
    if scan.is_before_word(range.end) {
        return None;
    }
    let is_hex = word.len() >= 7
        && word.bytes().all(|b| b.is_ascii_hexdigit())
        && word.bytes().any(|b| b.is_ascii_alphabetic());
    let is_uuid = word.len() == 36
        && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
        && word.bytes().filter(|&b| b == b'-').count() == 4;
    let is_literal = word.len() > 2
        && word.starts_with("0x")
        && word[2..].bytes().all(|b| b.is_ascii_hexdigit());
    let is_capital = |b: u8| b.is_ascii_uppercase();
    let is_group = |group: &str| {
        !group.is_empty() && group.bytes().all(|b| is_capital(b) || b.is_ascii_digit())
    };
    let is_ticket = word.split_once('-').is_some_and(|(project, rest)| {
        project.len() > 1 && project.bytes().all(is_capital) && rest.split('-').all(is_group)
    });
    // Keys and tokens: letters and digits mixed, too long for a word.
    let is_key = word.len() >= 20 && word.bytes().filter(u8::is_ascii_digit).count() > 3;
    (is_hex || is_uuid || is_literal || is_ticket || is_key).then_some(range)
}

/// `v1.2.3-rc.1`, `1.2.3`, `10.0.0.1:8080`.
pub(super) fn version(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let marked = scan.text[scan.floor..at].ends_with(['v', 'V']);
    let start = at - usize::from(marked);
    if scan
        .before(start)
        .is_some_and(|c| c.is_alphanumeric() || "_.,".contains(c))
    {
        return None;
    }
    let ahead = scan.ahead(at, MAX_LEN);
    let len = run(ahead, |b| b.is_ascii_digit() || b == b'.');
    let digits = ahead[..len].trim_end_matches('.');
    let dots = digits.bytes().filter(|&b| b == b'.').count();
    if digits.contains("..") || dots < 2 && !(marked && dots == 1) || is_date(digits) {
        return None;
    }
    let mut end = at + digits.len();
    let rest = &ahead[digits.len()..];
    if let Some(label) = rest.strip_prefix(['-', '+']) {
        let len = run(label, |b| {
            b.is_ascii_alphanumeric() || b == b'.' || b == b'-'
        });
        let label = label[..len].trim_end_matches(['.', '-']);
        end += if label.is_empty() { 0 } else { 1 + label.len() };
    } else if let Some(port) = rest.strip_prefix(':') {
        let port = run(port, |b| b.is_ascii_digit());
        end += if port > 0 { 1 + port } else { 0 };
    }
    (!scan.is_before_word(end)).then_some(start..end)
}

/// Whether three groups of digits are a date such as 31.12.2024.
fn is_date(digits: &str) -> bool {
    let mut groups = digits.split('.');
    let (Some(day), Some(month), Some(year), None) =
        (groups.next(), groups.next(), groups.next(), groups.next())
    else {
        return false;
    };
    let fits = |group: &str, max: u32| {
        group.len() <= 2 && group.parse().is_ok_and(|n: u32| (1..=max).contains(&n))
    };
    fits(day, 31) && fits(month, 31) && year.len() == 4
}

/// `+49 30 1234567`, `(030) 1234-567`, `555-123-4567`.
pub(super) fn phone(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let before = &scan.text[scan.floor..at];
    let plus = before.ends_with('+');
    let bracket = before.ends_with('(');
    let ahead = scan.ahead(at, 40);
    let area = run(ahead, |b| b.is_ascii_digit());
    let bracket = bracket && ahead[area..].starts_with(')');
    let start = at - usize::from(plus || bracket);
    if scan
        .before(start)
        .is_some_and(|c| c.is_alphanumeric() || "_.,-/".contains(c))
    {
        return None;
    }
    let mut end = 0;
    let mut groups: Vec<usize> = Vec::new();
    let mut rest = ahead;
    loop {
        let digits = run(rest, |b| b.is_ascii_digit());
        if digits == 0 {
            break;
        }
        groups.push(digits);
        end = ahead.len() - rest.len() + digits;
        rest = &rest[digits..];
        let separators = run(rest, |b| b" -./".contains(&b) || b == b')' && bracket);
        if !(1..=2).contains(&separators) {
            break;
        }
        rest = &rest[separators..];
    }
    let digits: usize = groups.iter().sum();
    let end = at + end;
    let is_local = ahead.starts_with('0') && digits >= 8 && groups.len() > 1;
    let is_american = matches!(groups[..], [3, 3, 4]);
    let is_phone = (7..=15).contains(&digits) && (plus || is_local || is_american);
    (is_phone && !scan.is_before_word(end)).then_some(start..end)
}

/// `42`, `-3.5 %`, `$1,000.50`, `10:30`, `2024-05-01T10:00:00Z`, `20km`, `1st`.
pub(super) fn number(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    // "covid-19" and "mp3" are words.
    let before = &scan.text[scan.floor..at];
    let before = before.strip_suffix('-').unwrap_or(before);
    if scan.is_after_word(at) || before.ends_with(char::is_alphabetic) {
        return None;
    }
    let ahead = scan.ahead(at, MAX_LEN);
    let mut len = run(ahead, |b| b.is_ascii_digit());
    loop {
        let rest = &ahead[len..];
        let gap = match rest.chars().next() {
            Some(c) if ".,:/'-–T".contains(c) => c.len_utf8(),
            _ => break,
        };
        let digits = run(&rest[gap..], |b| b.is_ascii_digit());
        if digits == 0 {
            break;
        }
        len += gap + digits;
    }
    let letters = run(&ahead[len..], |b| b.is_ascii_alphabetic());
    // "20km", "1st", "10Z"; a longer word is joined by mistake or no unit.
    len += if letters <= 4 { letters } else { 0 };
    let rest = &ahead[len..];
    let spaces = run(rest, |b| b == b' ').min(1);
    let unit = UNITS.iter().find(|unit| {
        rest[spaces..].strip_prefix(**unit).is_some_and(|after| {
            let begins_placeholder = spaces > 0
                && matches!(**unit, "%" | "$")
                && after.starts_with(|c: char| c.is_alphanumeric() || "({<@%$_".contains(c));
            !begins_placeholder
                && (!unit.ends_with(char::is_alphabetic)
                    || !after.starts_with(crate::protect::is_word))
        })
    });
    len += unit.map_or(0, |unit| spaces + unit.len());
    let mut start = at;
    while let Some(sign) = scan.text[scan.floor..start].chars().next_back() {
        let is_sign = "$€£¥₹".contains(sign)
            || "+-−".contains(sign) && !scan.is_after_word(start - sign.len_utf8());
        if !is_sign || at - start > 6 {
            break;
        }
        start -= sign.len_utf8();
    }
    Some(start..at + len)
}
