//! From what a language model answers to a translation.
//!
//! What is provably not part of the translation is removed: thoughts, announcements, marks around the whole answer, notes below it. Proof is
//! the source: it has no such thing itself. An answer that cannot be a translation, or in which the translation cannot be told from the
//! rest, is rejected. All of it takes linear time.

mod announcement;
mod notes;
mod refusal;
mod thoughts;
mod wrapping;

/// Why an answer is not a translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    /// There is nothing, or nothing but chatter.
    #[error("the model's answer is empty")]
    Empty,
    /// The model says that it will not or cannot translate.
    #[error("the model refused to translate")]
    Refusal,
    /// The translation cannot be told from what else is said.
    #[error("the model's answer contains more than a translation")]
    Chatter,
    /// There is a beginning or an end of thoughts only.
    #[error("the model's answer has unfinished thoughts")]
    Thoughts,
}

/// Languages of a segment, as far as an answer depends on them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'n> {
    /// Tag of the target language.
    pub(crate) tag: &'n str,
    /// Its name in the prompt.
    pub(crate) name: &'n str,
}

/// Most layers around a translation, such as quotes below an announcement.
const MAX_LAYERS: usize = 4;

/// The translation in an answer.
pub(crate) fn translation(
    source: &str,
    answer: &str,
    target: Target<'_>,
) -> Result<String, Rejection> {
    let source = source.trim();
    let mut rest = thoughts::strip(source, answer)?.trim();
    if rest == source {
        return match rest.is_empty() {
            true => Err(Rejection::Empty),
            false => Ok(rest.to_owned()),
        };
    }
    if refusal::is_refusal(source, rest, target.tag) {
        return Err(Rejection::Refusal);
    }
    for layer in 0.. {
        let stripped = peel(source, rest, target)?;
        if stripped.len() == rest.len() {
            break;
        }
        if layer == MAX_LAYERS {
            return Err(Rejection::Chatter);
        }
        rest = stripped;
    }
    match rest.is_empty() {
        true => Err(Rejection::Empty),
        false => notes::check_lines(source, rest).map(|()| rest.to_owned()),
    }
}

/// Takes one layer off, of each kind.
fn peel<'a>(source: &str, answer: &'a str, target: Target<'_>) -> Result<&'a str, Rejection> {
    let rest = wrapping::strip_fence(source, answer)?;
    let rest = announcement::strip(source, rest, target.name)?;
    let rest = notes::strip(source, rest);
    Ok(wrapping::strip_marks(source, rest))
}

#[cfg(test)]
mod tests;
