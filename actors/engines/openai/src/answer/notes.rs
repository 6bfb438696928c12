//! Notes below a translation.

use super::Rejection;

/// How notes begin.
const NOTES: [&str; 16] = [
    "note:",
    "notes:",
    "note that",
    "(note",
    "[note",
    "explanation",
    "(explanation",
    "let me know",
    "please let me know",
    "i hope this",
    "(literally",
    "remarque :",
    "hinweis:",
    "anmerkung:",
    "this translation",
    "alternative",
];

/// The answer without the notes below it. Only the translation of a single line is known to end with its line.
pub(super) fn strip<'a>(source: &str, answer: &'a str) -> &'a str {
    if source.contains('\n') {
        return answer;
    }
    let Some((line, rest)) = answer.split_once('\n') else {
        return answer;
    };
    let is_mark = |c: char| matches!(c, '*' | '_' | '#' | '-' | '>') || c.is_whitespace();
    let start: String = rest.trim_start_matches(is_mark).chars().take(24).collect();
    let start = start.to_lowercase();
    match NOTES.iter().any(|note| start.starts_with(note)) {
        true => line.trim_end(),
        false => answer,
    }
}

/// A translation has no more lines than its source.
pub(super) fn check_lines(source: &str, answer: &str) -> Result<(), Rejection> {
    let lines = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).count();
    match lines(answer) <= lines(source).max(1) {
        true => Ok(()),
        false => Err(Rejection::Chatter),
    }
}
