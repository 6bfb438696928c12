//! Marks around a whole answer.

use super::Rejection;

const FENCE: &str = "```";

/// Pairs of marks.
const MARKS: [(&str, &str); 14] = [
    ("\"", "\""),
    ("“", "”"),
    ("„", "“"),
    ("„", "”"),
    ("”", "”"),
    ("«", "»"),
    ("»", "«"),
    ("‘", "’"),
    ("'", "'"),
    ("「", "」"),
    ("『", "』"),
    ("`", "`"),
    ("**", "**"),
    ("*", "*"),
];

/// The answer in a fence of code. A fence elsewhere means that there is more than a translation.
pub(super) fn strip_fence<'a>(source: &str, answer: &'a str) -> Result<&'a str, Rejection> {
    if source.contains(FENCE) || !answer.contains(FENCE) {
        return Ok(answer);
    }
    let inner = answer.strip_prefix(FENCE);
    let inner = inner.and_then(|inner| inner.strip_suffix(FENCE));
    let inner = inner.filter(|inner| !inner.contains(FENCE));
    let inner = inner.ok_or(Rejection::Chatter)?;
    // The first line may name a language.
    let inner = match inner.split_once('\n') {
        Some((name, text)) if name.chars().all(|c| c.is_ascii_alphanumeric()) => text,
        _ => inner,
    };
    Ok(inner.trim())
}

/// The answer without quotation marks or emphasis around it, unless the source begins or ends with a mark of any kind. Marks that occur inside
/// as well may be two pairs.
pub(super) fn strip_marks<'a>(source: &str, answer: &'a str) -> &'a str {
    let is_mark = |c: char| "\"“”„«»‘’'「」『』`*".contains(c);
    let is_end = |c: char| is_mark(c) || c.is_ascii_punctuation() || "。！？…".contains(c);
    let ends_with_mark = || {
        let end = source.chars().rev().take_while(|c| is_end(*c));
        end.into_iter().any(is_mark)
    };
    if source.starts_with(is_mark) || ends_with_mark() {
        return answer;
    }
    for (open, close) in MARKS {
        let inner = answer.strip_prefix(open);
        let Some(inner) = inner.and_then(|inner| inner.strip_suffix(close)) else {
            continue;
        };
        let is_one_pair = match open {
            // An apostrophe inside a word is not a mark.
            "'" | "‘" => !has_outer(inner, open) && !has_outer(inner, close),
            _ => !inner.contains(open) && !inner.contains(close),
        };
        if is_one_pair && !inner.trim().is_empty() {
            return inner.trim();
        }
    }
    answer
}

/// Whether a mark occurs where a word begins or ends.
fn has_outer(text: &str, mark: &str) -> bool {
    text.match_indices(mark).any(|(place, mark)| {
        let before = text[..place].chars().next_back();
        let after = text[place + mark.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) || !after.is_some_and(char::is_alphanumeric)
    })
}
