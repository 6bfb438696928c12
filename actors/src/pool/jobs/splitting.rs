//! Splitting of pieces that a model cannot translate whole: their parts are translated instead, so that no text is lost.
//!
//! An engine reports before inference that a source is too long, with its number of tokens; the piece is cut into as many parts as that needs. A
//! translation that reached its maximum length without an end token is discarded, and its piece is cut in two. A piece that cannot be cut further
//! fails its job if the model cannot take it, and keeps the source text if the model does not finish it. A text never has more pieces than
//! characters, and the number of rounds grows with the logarithm of its length.

use std::ops::Range;

use babelmesh_engine_protocol::{Completeness, Translation};

use crate::{
    containment::{Contained, contain},
    text,
};

/// Why a piece is not translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pool) struct Shortfall {
    completeness: Completeness,
    /// Tokens of the source, as the engine counted them.
    tokens: u32,
}

impl Shortfall {
    pub(in crate::pool) fn of(translation: &Translation) -> Self {
        Self {
            completeness: translation.completeness,
            tokens: translation.input_tokens,
        }
    }

    /// Whether the source is too long, and not the translation.
    pub(super) const fn is_of_the_input(self) -> bool {
        matches!(self.completeness, Completeness::TooLong { .. })
    }

    /// Error for a piece that cannot be split further.
    pub(in crate::pool) fn message(self, model: &str) -> String {
        let tokens = self.tokens;
        let limit = match self.completeness {
            Completeness::TooLong { limit } => format!(", the limit is {limit}"),
            _ => String::new(),
        };
        format!(
            "the text is too long for model {model}: an indivisible part has {tokens} tokens{limit}"
        )
    }
}

/// Into how many parts a piece is cut: `None` when it is not to be cut.
///
/// `bytes` and `estimate` are the length of the piece, `smallest` is the estimate up to which a piece is small.
fn parts(shortfall: Shortfall, bytes: usize, estimate: u32, smallest: u32) -> Option<u32> {
    match shortfall.completeness {
        Completeness::Whole => None,
        Completeness::TooLong { limit } => {
            // No tokeniser makes more tokens than there are bytes, apart from the special tokens at both ends.
            let most = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(2);
            let tokens = u64::from(shortfall.tokens.min(most));
            // Tokens are not distributed evenly over a text: an eighth is kept in reserve.
            let parts = (tokens * 9).div_ceil(u64::from(limit.max(1)) * 8);
            Some(u32::try_from(parts).unwrap_or(u32::MAX).max(2))
        }
        Completeness::Unfinished => (estimate > smallest).then_some(2),
    }
}

/// What a model should see of a text that is cut into so many parts. `None` when it cannot be cut.
fn cut(text: &str, parts: u32) -> Option<Vec<Range<usize>>> {
    let core = |part: Range<usize>| {
        let core = text::core(&text[part.clone()])?;
        Some(part.start + core.start..part.start + core.end)
    };
    let cores: Vec<_> = text::split(text, parts)?
        .into_iter()
        .filter_map(core)
        .collect();
    (!cores.is_empty()).then_some(cores)
}

/// A smaller piece of a piece.
pub(super) struct Part {
    /// Its bytes in the piece.
    pub(super) range: Range<usize>,
    /// Estimated tokens, at least 1.
    pub(super) tokens: u32,
}

/// The smaller pieces of a piece that was estimated to have so many tokens. `None` when it cannot be cut any further.
pub(super) fn split(
    text: &str,
    tokens: u32,
    shortfall: Shortfall,
    smallest: u32,
) -> Result<Option<Vec<Part>>, Contained> {
    let estimate = text::estimate_tokens(text);
    let Some(parts) = parts(shortfall, text.len(), estimate, smallest) else {
        return Ok(None);
    };
    // The estimate was too low for the whole; it is for the parts as well.
    let dense = shortfall.tokens.clamp(1, tokens.saturating_mul(64));
    let scale = |tokens: u32| {
        let scaled = u64::from(tokens) * u64::from(dense) / u64::from(estimate.max(1));
        u32::try_from(scaled).unwrap_or(u32::MAX).max(tokens).max(1)
    };
    let part = |range: Range<usize>| Part {
        tokens: scale(text::estimate_tokens(&text[range.clone()])),
        range,
    };
    let ranges = contain(|| cut(text, parts))?;
    Ok(ranges.map(|ranges| ranges.into_iter().map(part).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn too_long(tokens: u32, limit: u32) -> Shortfall {
        Shortfall {
            completeness: Completeness::TooLong { limit },
            tokens,
        }
    }

    proptest! {
        #[test]
        fn a_text_that_is_too_long_is_split_into_as_many_parts_as_needed(tokens: u32, limit: u32, bytes in 0usize..10_000) {
            let parts = parts(too_long(tokens, limit), bytes, 1, 8).unwrap();
            prop_assert!(parts >= 2);
            let told = u64::from(tokens).min(bytes as u64 + 2);
            prop_assert!(u64::from(parts) * u64::from(limit) >= told.min(u64::from(limit) * 2));
            prop_assert!(parts as usize <= 2 * bytes + 6, "{parts} parts of {bytes} bytes");
        }

        #[test]
        fn segmentation_keeps_every_character(text in "([a-zé ,;.]|\\PC){0,200}", parts in 0u32..50) {
            let letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).collect::<String>();
            if let Some(cores) = cut(&text, parts) {
                let kept: String = cores.iter().map(|core| letters(&text[core.clone()])).collect();
                prop_assert_eq!(kept, letters(&text));
                prop_assert!(cores.iter().all(|core| !core.is_empty() && core.len() < text.len()));
                prop_assert!(cores.windows(2).all(|two| two[0].end <= two[1].start));
            }
        }
    }

    #[test]
    fn an_unfinished_piece_is_halved_until_it_is_small() {
        let unfinished = Shortfall {
            completeness: Completeness::Unfinished,
            tokens: 100,
        };
        assert_eq!(parts(unfinished, 400, 9, 8), Some(2));
        assert_eq!(parts(unfinished, 400, 8, 8), None);
    }

    #[test]
    fn the_ratio_of_tokens_and_limit_leaves_room() {
        assert_eq!(parts(too_long(833, 512), 1_500, 357, 8), Some(2));
        assert_eq!(parts(too_long(512, 500), 1_500, 357, 8), Some(2));
        assert_eq!(parts(too_long(1_000, 500), 1_500, 357, 8), Some(3));
    }
}
