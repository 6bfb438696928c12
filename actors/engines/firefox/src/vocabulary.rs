//! The vocabularies of a model.

use std::{fs, path::Path};

use fxtranslate::spm::SpmVocab;

const END: &str = "</s>";

/// Source and target vocabulary, which may be one.
pub(crate) struct Vocabularies {
    source: SpmVocab,
    target: Option<SpmVocab>,
}

impl Vocabularies {
    /// Reads a model's vocabularies; without the second file both languages share the first. The error is a sentence.
    pub(crate) fn open(source: &Path, target: &Path) -> Result<Self, String> {
        Ok(Self {
            source: read(source)?,
            target: target.exists().then(|| read(target)).transpose()?,
        })
    }

    fn target(&self) -> &SpmVocab {
        self.target.as_ref().unwrap_or(&self.source)
    }

    /// Number of tokens of the target vocabulary.
    pub(crate) fn target_tokens(&self) -> usize {
        self.target().len()
    }

    /// Checks that the network has an embedding for every token.
    pub(crate) fn check(&self, (source, target): (usize, usize)) -> Result<(), String> {
        for (vocabulary, tokens) in [(&self.source, source), (self.target(), target)] {
            if vocabulary.len() > tokens {
                return Err(format!(
                    "a vocabulary has {} tokens, the network {tokens}",
                    vocabulary.len()
                ));
            }
        }
        Ok(())
    }

    /// Tokens of a source, its end mark included.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        self.source.encode_with_eos(text)
    }

    /// The mark that ends a translation.
    pub(crate) fn end(&self) -> u32 {
        self.target().eos_id()
    }

    /// The text of a translation.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        let vocabulary = self.target();
        match tokens
            .iter()
            .any(|token| byte(vocabulary.piece(*token)).is_some())
        {
            true => decode_bytes(vocabulary, tokens),
            false => vocabulary.decode(tokens),
        }
    }
}

fn read(path: &Path) -> Result<SpmVocab, String> {
    let in_file = |reason: String| format!("{}: {reason}", path.display());
    let bytes = fs::read(path).map_err(|error| in_file(error.to_string()))?;
    let vocabulary = SpmVocab::from_bytes(&bytes);
    match vocabulary.piece(vocabulary.eos_id()) {
        END => Ok(vocabulary),
        _ => Err(in_file(format!("it is not a vocabulary with {END}"))),
    }
}

/// Decodes a translation with byte pieces such as `<0xF0>`, which spell characters outside the vocabulary. The library would print them.
fn decode_bytes(vocabulary: &SpmVocab, tokens: &[u32]) -> String {
    let mut bytes = Vec::new();
    for run in tokens.chunk_by(|a, b| {
        byte(vocabulary.piece(*a)).is_some() == byte(vocabulary.piece(*b)).is_some()
    }) {
        let spelled = run
            .iter()
            .filter_map(|token| byte(vocabulary.piece(*token)));
        let spelled = spelled.collect::<Vec<_>>();
        match spelled.is_empty() {
            false => bytes.extend(spelled),
            true => {
                // The library trims the leading space.
                let first = run.first().map(|token| vocabulary.piece(*token));
                if !bytes.is_empty() && first.is_some_and(|piece| piece.starts_with('\u{2581}')) {
                    bytes.push(b' ');
                }
                bytes.extend(vocabulary.decode(run).bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte that a piece such as `<0xF0>` stands for.
fn byte(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    match digits.len() {
        2 => u8::from_str_radix(digits, 16).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SentencePiece model of these pieces, each with its type.
    fn vocabulary(pieces: &[(&str, u8)]) -> SpmVocab {
        let mut file = Vec::new();
        for (piece, kind) in pieces {
            let length = u8::try_from(piece.len()).unwrap();
            // Field 1 is the text, field 3 the type.
            let message = [&[0x0A, length], piece.as_bytes(), &[0x18, *kind]].concat();
            file.extend([0x0A, u8::try_from(message.len()).unwrap()]);
            file.extend(message);
        }
        SpmVocab::from_bytes(&file)
    }

    #[test]
    fn bytes_become_the_character_that_they_spell() {
        let source = vocabulary(&[
            ("</s>", 3),
            ("<unk>", 2),
            ("\u{2581}hi", 1),
            ("<0xF0>", 6),
            ("<0x9F>", 6),
            ("<0x98>", 6),
            ("<0x80>", 6),
            ("!", 1),
        ]);
        let both = Vocabularies {
            source,
            target: None,
        };
        assert_eq!(both.decode(&[2, 7]), "hi!");
        assert_eq!(both.decode(&[2, 3, 4, 5, 6, 7, 2]), "hi😀! hi");
        assert_eq!(both.decode(&[3, 4, 5, 6, 2, 0]), "😀 hi");
        assert_eq!(both.decode(&[3]), "\u{FFFD}");
        assert_eq!(both.decode(&[]), "");
    }

    #[test]
    fn files_without_an_end_mark_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source.spm");
        for content in ["", "x", "\u{a}\u{1}"] {
            fs::write(&path, content).unwrap();
            let error = Vocabularies::open(&path, &path).err().unwrap();
            assert!(error.contains("source.spm: it is not"), "{error}");
        }
    }
}
