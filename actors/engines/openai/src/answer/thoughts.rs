//! Thoughts before an answer.

use super::Rejection;

const TAGS: [(&str, &str); 2] = [("<think>", "</think>"), ("<thinking>", "</thinking>")];

/// The answer after the thoughts. Tags that the source has too are text.
pub(super) fn strip<'a>(source: &str, answer: &'a str) -> Result<&'a str, Rejection> {
    let mut rest = answer.trim_start();
    for (open, close) in TAGS {
        if source.contains(open) || source.contains(close) {
            continue;
        }
        while let Some(thoughts) = rest.strip_prefix(open) {
            let (_, after) = thoughts.split_once(close).ok_or(Rejection::Thoughts)?;
            rest = after.trim_start();
        }
        // Some prompts end with the opening tag, so the answer has the closing one only.
        if let Some((_, after)) = rest.split_once(close) {
            rest = after.trim_start();
        }
        if rest.contains(open) || rest.contains(close) {
            return Err(Rejection::Thoughts);
        }
    }
    Ok(rest)
}
