//! From texts to the numbers that the network reads, and from the numbers it writes to texts.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use babelmesh_engine_protocol::{CharacterSet, Coverage};
use babelmesh_models::{
    forms::{SOURCE_SPM, TARGET_VOCABULARY, VOCABULARY},
    spm::{Algorithm, SpmError, SpmFile},
};

use crate::{
    bpe::Bpe, coverage::covered, normaliser::Normaliser, unigram::Unigram, vocabulary::Vocabulary,
};

/// A model's tokeniser.
#[derive(Debug)]
pub struct Tokeniser {
    normaliser: Normaliser,
    splitter: Splitter,
    byte_fallback: bool,
    vocabulary: Vocabulary,
    /// That of the translation, if it is another one.
    target_vocabulary: Option<Vocabulary>,
    coverage: Coverage,
}

#[derive(Debug)]
enum Splitter {
    Unigram(Unigram),
    Bpe(Bpe),
}

/// The tokens around the pieces of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Frame {
    /// Number of the token before them.
    pub first: Option<u32>,
    /// Whether the end mark follows them.
    pub end: bool,
}

/// A text as the network reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// First token if there is one, pieces, end mark if there is one.
    pub ids: Vec<u32>,
    /// Numbers of the whole text, with the frame. More than there are in `ids` when pieces were cut off.
    pub tokens: usize,
    /// Whether there is no piece at all: the text was empty or nothing but spaces.
    pub empty: bool,
}

/// Why a tokeniser cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TokeniserError {
    /// A file cannot be read.
    #[error("reading {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// The SentencePiece model cannot be used.
    #[error("{}: {source}", path.display())]
    Spm {
        /// The file.
        path: PathBuf,
        /// The error.
        source: SpmError,
    },
    /// The vocabulary cannot be used.
    #[error("{}: {reason}", path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// The error.
        reason: String,
    },
}

impl Encoded {
    /// Whether pieces were cut off.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.tokens > self.ids.len()
    }
}

impl Tokeniser {
    /// Reads the tokeniser's files in the folder of an engine's form.
    ///
    /// # Errors
    /// Any [`TokeniserError`].
    pub fn open(directory: &Path) -> Result<Self, TokeniserError> {
        let path = directory.join(SOURCE_SPM);
        let (file, normaliser) = SpmFile::parse(&read(&path)?)
            .and_then(|file| Normaliser::new(&file).map(|normaliser| (file, normaliser)))
            .map_err(|source| TokeniserError::Spm { path, source })?;
        let vocabulary = read_vocabulary(&directory.join(VOCABULARY))?;
        let target = directory.join(TARGET_VOCABULARY);
        let target_vocabulary = match target.exists() {
            true => Some(read_vocabulary(&target)?),
            false => None,
        };
        let target = target_vocabulary.as_ref().unwrap_or(&vocabulary);
        Ok(Self {
            coverage: coverage(&file, &normaliser, &vocabulary, target),
            normaliser,
            splitter: match file.algorithm {
                Algorithm::Unigram => Splitter::Unigram(Unigram::new(&file)),
                Algorithm::Bpe => Splitter::Bpe(Bpe::new(&file)),
            },
            byte_fallback: file.byte_fallback && vocabulary.has_all_bytes(),
            vocabulary,
            target_vocabulary,
        })
    }

    /// The characters that the model can read and write.
    #[must_use]
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// The number of a piece of the source, if it is in the vocabulary.
    #[must_use]
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.vocabulary.id(piece)
    }

    /// The piece of a number of the source, the unknown one for a number outside the vocabulary.
    #[must_use]
    pub fn piece(&self, id: u32) -> &str {
        self.vocabulary.piece(id)
    }

    /// The number of a piece of the translation, if it is in the vocabulary.
    #[must_use]
    pub fn target_id(&self, piece: &str) -> Option<u32> {
        self.target().id(piece)
    }

    /// The piece of a number of the translation, the unknown one for a number outside the vocabulary.
    #[must_use]
    pub fn target_piece(&self, id: u32) -> &str {
        self.target().piece(id)
    }

    /// The number of the end mark of a translation.
    #[must_use]
    pub fn target_end_id(&self) -> u32 {
        self.target().end_id()
    }

    fn target(&self) -> &Vocabulary {
        self.target_vocabulary.as_ref().unwrap_or(&self.vocabulary)
    }

    /// Tokenises a text and puts it into a frame. At most `limit` numbers come out (and no fewer than the frame has);
    /// pieces are cut off at the end, the frame stays.
    #[must_use]
    pub fn encode(&self, text: &str, frame: Frame, limit: usize) -> Encoded {
        let normal = self.normaliser.normalise(text);
        let parts = match &self.splitter {
            Splitter::Unigram(unigram) => unigram.split(&normal),
            Splitter::Bpe(bpe) => bpe.split(&normal),
        };
        let framing = usize::from(frame.end) + usize::from(frame.first.is_some());
        let mut ids = Vec::with_capacity(parts.len() + framing);
        ids.extend(frame.first);
        for part in &parts {
            self.add_part(part, &mut ids);
        }
        let tokens = ids.len() + usize::from(frame.end);
        ids.truncate(limit.max(framing) - usize::from(frame.end));
        ids.extend(frame.end.then_some(self.vocabulary.end_id()));
        Encoded {
            ids,
            tokens,
            empty: parts.is_empty(),
        }
    }

    /// Adds the number of a part, or, of an unknown one, those of its bytes.
    fn add_part(&self, part: &str, ids: &mut Vec<u32>) {
        match self.id(part) {
            Some(id) => ids.push(id),
            None if self.byte_fallback => {
                let bytes = part
                    .bytes()
                    .filter_map(|byte| self.vocabulary.byte_id(byte));
                ids.extend(bytes);
            }
            None => ids.push(self.vocabulary.unknown_id()),
        }
    }

    /// The text of a translation. The units are joined as they are: French wants its space before `?` and `!`.
    /// End, padding and unknown marks have no text.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        self.target().decode(ids)
    }
}

/// A source's characters need a piece and a number, or bytes. A translation is put together from whatever has a number.
fn coverage(
    file: &SpmFile,
    normaliser: &Normaliser,
    source: &Vocabulary,
    target: &Vocabulary,
) -> Coverage {
    let known = source.characters();
    let read = file.characters();
    let read = read.intersection(&known).copied().collect();
    let spelt = file.byte_fallback && source.has_all_bytes();
    Coverage {
        source: match spelt {
            true => CharacterSet::all(),
            false => covered(&read, normaliser),
        },
        target: match target.has_all_bytes() {
            true => CharacterSet::all(),
            false => covered(&target.characters(), normaliser),
        },
    }
}

fn read_vocabulary(path: &Path) -> Result<Vocabulary, TokeniserError> {
    Vocabulary::parse(&read(path)?).map_err(|reason| TokeniserError::Vocabulary {
        path: path.to_owned(),
        reason,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TokeniserError> {
    fs::read(path).map_err(|source| TokeniserError::Unreadable {
        path: path.to_owned(),
        source,
    })
}
