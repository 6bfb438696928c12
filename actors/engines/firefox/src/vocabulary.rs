//! The vocabularies of a model.

use std::{fs, ops::Range, path::Path};

use babelmesh_engine_protocol::{CharacterSet, Coverage};
use babelmesh_marian::{Normaliser, coverage};
use babelmesh_models::spm::{Algorithm, SpmFile};
use fxtranslate::spm::SpmVocab;

const END: &str = "</s>";

/// Source and target vocabulary, which may be one.
pub(crate) struct Vocabularies {
    source: SpmVocab,
    target: Option<SpmVocab>,
    /// Does what the library does, and tells what became of which character.
    normaliser: Normaliser,
    coverage: Coverage,
}

/// A text and the place of each of its tokens, the end mark excluded.
pub(crate) type Places = Vec<Range<usize>>;

impl Vocabularies {
    /// Reads a model's vocabularies; without the second file both languages share the first. The error is a sentence.
    pub(crate) fn open(source: &Path, target: &Path) -> Result<Self, String> {
        let source = read(source)?;
        let target = target.exists().then(|| read(target)).transpose()?;
        let written = target.as_ref().map(|file| file.covered());
        let read = source.covered();
        Ok(Self {
            coverage: Coverage {
                target: written.unwrap_or_else(|| read.clone()),
                source: read,
            },
            source: source.vocabulary,
            normaliser: source.normaliser,
            target: target.map(|file| file.vocabulary),
        })
    }

    /// The characters that the vocabularies cover.
    pub(crate) fn coverage(&self) -> &Coverage {
        &self.coverage
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

    /// Tokens of a source, its end mark included, and the places of the others in it; no places in the unlikely case that they cannot be told.
    pub(crate) fn encode_placed(&self, text: &str) -> (Vec<u32>, Option<Places>) {
        let (normal, tokens) = self.source.encode_with_offsets(text);
        let traced = self.normaliser.trace(text);
        let places = tokens.iter().map(|(_, range)| traced.source(range));
        let places = (traced.normal() == normal).then(|| places.collect());
        let tokens = tokens.iter().map(|(token, _)| *token);
        (tokens.chain([self.source.eos_id()]).collect(), places)
    }

    /// The mark that ends a translation.
    pub(crate) fn end(&self) -> u32 {
        self.target().eos_id()
    }

    /// The text of a translation, and the places of its tokens in it.
    pub(crate) fn decode(&self, tokens: &[u32]) -> (String, Places) {
        let vocabulary = self.target();
        match tokens
            .iter()
            .any(|token| byte(vocabulary.piece(*token)).is_some())
        {
            true => decode_bytes(vocabulary, tokens),
            false => vocabulary.decode_with_offsets(tokens),
        }
    }
}

/// A vocabulary's file.
struct File {
    vocabulary: SpmVocab,
    normaliser: Normaliser,
    spm: SpmFile,
}

impl File {
    fn covered(&self) -> CharacterSet {
        coverage(&self.spm, &self.normaliser)
    }
}

fn read(path: &Path) -> Result<File, String> {
    let in_file = |reason: String| format!("{}: {reason}", path.display());
    let bytes = fs::read(path).map_err(|error| in_file(error.to_string()))?;
    let vocabulary = SpmVocab::from_bytes(&bytes);
    if vocabulary.piece(vocabulary.eos_id()) != END {
        return Err(in_file(format!("it is not a vocabulary with {END}")));
    }
    let spm = SpmFile::parse(&bytes).map_err(|error| in_file(error.to_string()))?;
    if spm.algorithm != Algorithm::Unigram {
        return Err(in_file("only unigram models can be used".into()));
    }
    let normaliser = Normaliser::new(&spm).map_err(|error| in_file(error.to_string()))?;
    Ok(File {
        vocabulary,
        normaliser,
        spm,
    })
}

/// Decodes a translation with byte pieces such as `<0xF0>`, which spell characters outside the vocabulary. The library would print them.
fn decode_bytes(vocabulary: &SpmVocab, tokens: &[u32]) -> (String, Places) {
    let (mut text, mut places) = (String::new(), Places::new());
    for run in tokens.chunk_by(|a, b| {
        byte(vocabulary.piece(*a)).is_some() == byte(vocabulary.piece(*b)).is_some()
    }) {
        let spelled = run
            .iter()
            .filter_map(|token| byte(vocabulary.piece(*token)));
        let spelled = spelled.collect::<Vec<_>>();
        match spelled.is_empty() {
            false => {
                let start = text.len();
                text.push_str(&String::from_utf8_lossy(&spelled));
                places.extend(run.iter().map(|_| start..text.len()));
            }
            true => {
                // The library trims the leading space.
                let first = run.first().map(|token| vocabulary.piece(*token));
                if !text.is_empty() && first.is_some_and(|piece| piece.starts_with('\u{2581}')) {
                    text.push(' ');
                }
                let (part, ranges) = vocabulary.decode_with_offsets(run);
                let start = text.len();
                let moved = |range: Range<usize>| start + range.start..start + range.end;
                places.extend(ranges.into_iter().map(moved));
                text.push_str(&part);
            }
        }
    }
    (text, places)
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
    fn vocabularies(pieces: &[(&str, u8)]) -> Vocabularies {
        let mut file = Vec::new();
        for (piece, kind) in pieces {
            let length = u8::try_from(piece.len()).unwrap();
            // Field 1 is the text, field 3 the type.
            let message = [&[0x0A, length], piece.as_bytes(), &[0x18, *kind]].concat();
            file.extend([0x0A, u8::try_from(message.len()).unwrap()]);
            file.extend(message);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source.spm");
        fs::write(&path, file).unwrap();
        Vocabularies::open(&path, &folder.path().join("target.spm")).unwrap()
    }

    #[test]
    fn bytes_become_the_character_that_they_spell() {
        let both = vocabularies(&[
            ("</s>", 3),
            ("<unk>", 2),
            ("\u{2581}hi", 1),
            ("<0xF0>", 6),
            ("<0x9F>", 6),
            ("<0x98>", 6),
            ("<0x80>", 6),
            ("!", 1),
        ]);
        let decode = |tokens: &[u32]| {
            let (text, places) = both.decode(tokens);
            assert_eq!(places.len(), tokens.len());
            let parts = places.into_iter().map(|place| text[place].to_owned());
            (text.clone(), parts.collect::<Vec<_>>())
        };
        let expect = |tokens: &[u32], text: &str, parts: &[&str]| {
            let (decoded, found) = decode(tokens);
            assert_eq!(
                (decoded.as_str(), found),
                (text, parts.iter().map(|part| (*part).to_owned()).collect())
            );
        };
        expect(&[2, 7], "hi!", &["hi", "!"]);
        let face = "😀";
        expect(
            &[2, 3, 4, 5, 6, 7, 2],
            "hi😀! hi",
            &["hi", face, face, face, face, "!", " hi"],
        );
        expect(
            &[3, 4, 5, 6, 2, 0],
            "😀 hi",
            &[face, face, face, face, "hi", ""],
        );
        expect(&[3], "\u{FFFD}", &["\u{FFFD}"]);
        expect(&[], "", &[]);
    }

    #[test]
    fn tokens_have_places_in_the_source() {
        let both = vocabularies(&[
            ("</s>", 3),
            ("<unk>", 2),
            ("\u{2581}hi", 1),
            ("!", 1),
            ("\u{2581}", 1),
        ]);
        let text = "  hi\u{3000} é! ";
        let (tokens, places) = both.encode_placed(text);
        assert_eq!(tokens, both.encode(text));
        let places = places.unwrap();
        let parts = places.into_iter().map(|place| &text[place]);
        // Without a table of its own, a vocabulary keeps the wide space.
        assert_eq!(parts.collect::<Vec<_>>(), ["hi", "\u{3000}", " ", "é", "!"]);
        assert!(both.coverage().contains('!') && both.coverage().contains(' '));
        assert!(!both.coverage().contains('h') && !both.coverage().contains('é'));
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
