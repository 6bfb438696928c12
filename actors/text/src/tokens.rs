//! How many subword tokens a text will be, without a tokenizer.

/// One estimated token, in the unit of the weights below.
const TOKEN: u64 = 64;

/// Bytes counted at once: the counters of a block are bytes, so that sixteen of them fit in one
/// register of any x86-64 or `AArch64` processor.
const BLOCK: usize = 255;

/// Estimates how many subword tokens a model's tokenizer makes of `text`: at least 1, and 0 for
/// the empty text. Neither special tokens nor an end-of-sentence token are counted.
///
/// Every byte has a weight by its class, in 64ths of a token, and the sum is rounded up:
///
/// | class | weight |
/// |---|---|
/// | a–z | 14 |
/// | A–Z | 26 |
/// | 0–9 | 36 |
/// | other ASCII | 83 |
/// | space and control characters | 19 |
/// | first byte of a two-byte character (é, д, ע) | 30 |
/// | first byte of a longer character (字, 한, 😀) | 64 |
/// | further bytes of a character | 0 |
///
/// The first six are a least-squares fit to the `SentencePiece` vocabulary of the demo model (8,000
/// pieces) on 20,000 of its English, French and German training sentences; the last is set by hand,
/// as the model does not know those scripts. On held-out sentences the mean absolute error is 1.3
/// tokens of 10.6 in English (12 %), 1.7 of 12.6 in French (13 %) and 2.0 of 11.4 in German (18 %),
/// the mean error +3 %, +3 % and +6 %; "characters / 4" errs by 1.6, 2.2 and 1.9.
///
/// It is a sum over bytes, so it never grows when a text is cut: the parts together
/// are estimated at no less than the whole.
///
/// ```
/// use babelmesh_text::estimate_tokens;
///
/// assert_eq!(estimate_tokens(""), 0);
/// assert_eq!(estimate_tokens("a"), 1);
/// assert_eq!(estimate_tokens("Where is the station?"), 7);
/// ```
#[must_use]
pub fn estimate_tokens(text: &str) -> u32 {
    tokens_of(weight(text))
}

/// The tokens of a text of this weight.
pub(super) fn tokens_of(weight: u64) -> u32 {
    u32::try_from(weight.div_ceil(TOKEN)).unwrap_or(u32::MAX)
}

/// The weight that `tokens` tokens allow.
pub(super) fn weight_of(tokens: u32) -> u64 {
    u64::from(tokens) * TOKEN
}

/// The unrounded estimate in 64ths of a token. That of a text is the sum of that of its parts.
pub(super) fn weight(text: &str) -> u64 {
    text.as_bytes().chunks(BLOCK).map(block_weight).sum()
}

/// Counts by differences: each counter needs one comparison, and the compiler turns the loop into
/// vector instructions.
fn block_weight(block: &[u8]) -> u64 {
    let (mut upper, mut lower, mut digits, mut blanks, mut ascii, mut leads, mut long_leads) =
        (0_u8, 0_u8, 0_u8, 0_u8, 0_u8, 0_u8, 0_u8);
    for &byte in block {
        upper += u8::from(byte.wrapping_sub(b'A') < 26);
        lower += u8::from(byte.wrapping_sub(b'a') < 26);
        digits += u8::from(byte.wrapping_sub(b'0') < 10);
        blanks += u8::from(byte <= b' ');
        ascii += u8::from(byte < 0x80);
        leads += u8::from(byte >= 0xc0);
        long_leads += u8::from(byte >= 0xe0);
    }
    let of = u64::from;
    let visible = of(ascii) - of(upper) - of(lower) - of(digits) - of(blanks);
    14 * of(lower)
        + 26 * of(upper)
        + 36 * of(digits)
        + 83 * visible
        + 19 * of(blanks)
        + 30 * (of(leads) - of(long_leads))
        + 64 * of(long_leads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, one byte at a time.
    fn plain_weight(text: &str) -> u64 {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' => 14,
                b'A'..=b'Z' => 26,
                b'0'..=b'9' => 36,
                0..=b' ' => 19,
                b'!'..=b'/' | b':'..=b'@' | b'['..=b'`' | b'{'..=0x7f => 83,
                0x80..=0xbf => 0,
                0xc0..=0xdf => 30,
                0xe0.. => 64,
            })
            .sum()
    }

    proptest! {
        #[test]
        fn counting_in_blocks_follows_the_definition(text in "(?s).{0,700}") {
            prop_assert_eq!(weight(&text), plain_weight(&text));
        }

        #[test]
        fn the_parts_are_estimated_at_no_less_than_the_whole(
            left in "(?s).{0,40}", right in "(?s).{0,40}"
        ) {
            let whole = format!("{left}{right}");
            prop_assert!(
                estimate_tokens(&left) + estimate_tokens(&right) >= estimate_tokens(&whole)
            );
        }
    }

    #[test]
    fn only_the_empty_text_has_no_tokens() {
        assert_eq!(estimate_tokens(""), 0);
        for text in ["a", " ", "\0", "é", "字", "😀"] {
            assert_eq!(estimate_tokens(text), 1, "{text:?}");
        }
    }

    #[test]
    fn a_full_block_of_one_class_does_not_overflow_its_counter() {
        for text in ["a", "A", "7", "!", " "] {
            let text = text.repeat(3 * BLOCK + 1);
            assert_eq!(weight(&text), plain_weight(&text));
        }
    }
}
