//! A model's architecture, from its `special:model.yml`.

/// Sizes of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Numbers that stand for one token.
    pub(crate) width: usize,
    /// Attention heads.
    pub(crate) heads: usize,
    pub(crate) encoder_layers: usize,
    pub(crate) decoder_layers: usize,
}

/// Settings that change what is computed. A model that has another value is refused; one without the key is taken.
const EXPECTED: [(&str, &str); 9] = [
    ("type", "transformer"),
    ("dec-cell", "ssru"),
    ("transformer-decoder-autoreg", "rnn"),
    ("transformer-ffn-activation", "relu"),
    ("transformer-ffn-depth", "2"),
    ("transformer-preprocess", ""),
    ("transformer-postprocess", "dan"),
    ("transformer-tied-layers", "[]"),
    ("transformer-train-position-embeddings", "false"),
];
/// More layers than any model has.
const MOST_LAYERS: usize = 64;
/// A token is wider than that in no model.
const WIDEST: usize = 8_192;

impl Shape {
    /// Reads the text of `special:model.yml`; the error is a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value = |key: &str| {
            let mut lines = text.lines();
            let found = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            found.map(|value| value.trim().trim_matches('"'))
        };
        for (key, expected) in EXPECTED {
            if let Some(other) = value(key).filter(|value| *value != expected) {
                return Err(format!(
                    "{key} is `{other}`, only `{expected}` is supported"
                ));
            }
        }
        let number = |key: &str, most: usize| {
            let text = value(key).ok_or_else(|| format!("{key} is missing"))?;
            match text.parse() {
                Ok(number) if (1..=most).contains(&number) => Ok(number),
                _ => Err(format!("{key} is `{text}`, not a number from 1 to {most}")),
            }
        };
        let shape = Self {
            width: number("dim-emb", WIDEST)?,
            heads: number("transformer-heads", WIDEST)?,
            encoder_layers: number("enc-depth", MOST_LAYERS)?,
            decoder_layers: number("dec-depth", MOST_LAYERS)?,
        };
        // Positions are sines in one half and cosines in the other.
        let is_even = shape.width.is_multiple_of(2);
        match shape.width >= 4 && is_even && shape.width.is_multiple_of(shape.heads) {
            true => Ok(shape),
            false => Err(format!(
                "dim-emb {} is not divisible by {} transformer-heads",
                shape.width, shape.heads
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "dec-cell: ssru\ndec-depth: 2\ndim-emb: 256\nenc-depth: 6\n\
                        transformer-heads: 8\ntransformer-preprocess: \"\"\ntype: transformer\n";

    #[test]
    fn sizes_are_read_and_other_architectures_refused() {
        let shape = Shape::parse(TEXT).unwrap();
        assert_eq!((shape.width, shape.heads), (256, 8));
        assert_eq!((shape.encoder_layers, shape.decoder_layers), (6, 2));
        for (from, to, reason) in [
            ("ssru", "gru", "dec-cell is `gru`, only `ssru` is supported"),
            (
                "\"\"",
                "n",
                "transformer-preprocess is `n`, only `` is supported",
            ),
            ("enc-depth: 6\n", "", "enc-depth is missing"),
            ("256", "-1", "dim-emb is `-1`, not a number from 1 to 8192"),
            (
                "256",
                "100",
                "dim-emb 100 is not divisible by 8 transformer-heads",
            ),
        ] {
            assert_eq!(Shape::parse(&TEXT.replace(from, to)).unwrap_err(), reason);
        }
    }
}
