//! Patterns of the operator.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

/// Longest stretch that a pattern is searched in, in bytes. A search for all matches of a pattern
/// may cost the square of its stretch; the bound makes that a constant.
const WINDOW: usize = 4 << 10;

/// Most memory that a compiled pattern may use, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// Regular expressions whose matches are tokens.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<Regex>);

/// Why patterns were rejected.
#[derive(Debug)]
pub struct PatternsError {
    pattern: String,
    reason: String,
}

impl std::fmt::Display for PatternsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "invalid token pattern {:?}: {}",
            self.pattern, self.reason
        )
    }
}

impl std::error::Error for PatternsError {}

impl Patterns {
    /// Compiles patterns in the syntax of the crate `regex`.
    ///
    /// # Errors
    /// If one is not valid, matches the empty text, or needs too much memory.
    pub fn new<I>(patterns: I) -> Result<Self, PatternsError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let compile = |pattern: &str| {
            let error = |reason: String| PatternsError {
                pattern: pattern.to_owned(),
                reason,
            };
            let regex = RegexBuilder::new(pattern)
                .size_limit(SIZE_LIMIT)
                .dfa_size_limit(SIZE_LIMIT)
                .build()
                .map_err(|cause| error(cause.to_string()))?;
            if regex.is_match("") {
                return Err(error("it matches the empty text".to_owned()));
            }
            Ok(regex)
        };
        patterns
            .into_iter()
            .map(|pattern| compile(pattern.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The matches in `text`, in order and without overlap.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut start = 0;
        while start < text.len() && !self.0.is_empty() {
            let window = window(&text[start..]);
            let matches = self.0.iter().flat_map(|regex| regex.find_iter(window));
            found.extend(
                matches
                    .filter(|found| !found.is_empty())
                    .map(|found| start + found.start()..start + found.end()),
            );
            start += window.len();
        }
        found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        let mut end = 0;
        found.retain(|range| {
            let is_free = range.start >= end;
            if is_free {
                end = range.end;
            }
            is_free
        });
        found
    }
}

/// The start of a text, up to white space where there is some.
fn window(text: &str) -> &str {
    let window = &text[..text.floor_char_boundary(WINDOW)];
    if window.len() == text.len() {
        return window;
    }
    match window.rfind(char::is_whitespace) {
        Some(space) if space > WINDOW / 2 => &window[..space],
        _ => window,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_of_all_patterns_are_found_and_the_longer_one_wins() {
        let patterns = Patterns::new(["ACME", "ACME-[0-9]+", "case [a-z]"]).unwrap();
        let text = "ACME and ACME-42, case b";
        let found: Vec<_> = patterns.find(text).into_iter().map(|r| &text[r]).collect();
        assert_eq!(found, ["ACME", "ACME-42", "case b"]);
    }

    #[test]
    fn invalid_empty_and_huge_patterns_are_rejected() {
        for pattern in ["(", "a*", "(\\w{100}){1000}"] {
            assert!(Patterns::new([pattern]).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_long_text_is_searched_in_windows() {
        let patterns = Patterns::new(["x.*y", "word"]).unwrap();
        let text = "word ".repeat(50_000) + &"x".repeat(1 << 20);
        assert_eq!(patterns.find(&text).len(), 50_000);
    }
}
