//! From texts to the numbers that the network reads, and from the numbers it writes to texts.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use babelmesh_engine_protocol::Coverage;
use babelmesh_models::forms::{SOURCE_SPM, VOCABULARY};

use crate::{
    coverage::covered,
    normaliser::{Normaliser, SPACE},
    spm::{SpmError, SpmFile, only},
    unigram::Unigram,
};

const END_PIECE: &str = "</s>";
const UNKNOWN_PIECE: &str = "<unk>";

/// A model's tokeniser.
#[derive(Debug)]
pub struct Tokeniser {
    normaliser: Normaliser,
    unigram: Unigram,
    ids: HashMap<String, u32>,
    pieces: Vec<String>,
    end_id: u32,
    unknown_id: u32,
    coverage: Coverage,
}

/// A text as the network reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Language token if there is one, pieces, end mark.
    pub ids: Vec<u32>,
    /// Numbers of the whole text, with the language token and the end mark. More than there are in `ids` when pieces were cut off.
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
        let file = SpmFile::parse(&read(&path)?);
        let (file, normaliser) = file
            .and_then(|file| match file.byte_fallback {
                true => Err(SpmError::Unsupported("it falls back to bytes")),
                false => Ok(file),
            })
            .and_then(|file| Normaliser::new(&file).map(|normaliser| (file, normaliser)))
            .map_err(|source| TokeniserError::Spm { path, source })?;
        let path = directory.join(VOCABULARY);
        let bytes = read(&path)?;
        Vocabulary::parse(&bytes)
            .map(|vocabulary| Self {
                coverage: vocabulary.coverage(&file, &normaliser),
                normaliser,
                unigram: Unigram::new(&file),
                ids: vocabulary.ids,
                pieces: vocabulary.pieces,
                end_id: vocabulary.end_id,
                unknown_id: vocabulary.unknown_id,
            })
            .map_err(|reason| TokeniserError::Vocabulary { path, reason })
    }

    /// The characters that the model can read and write.
    #[must_use]
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// The number of a piece, if it is in the vocabulary.
    #[must_use]
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.ids.get(piece).copied()
    }

    /// The piece of a number, the unknown one for a number outside the vocabulary.
    #[must_use]
    pub fn piece(&self, id: u32) -> &str {
        self.pieces
            .get(id as usize)
            .map_or(UNKNOWN_PIECE, String::as_str)
    }

    /// Tokenises a text, putting `first` before it. At most `limit` numbers come out (and no fewer than the first
    /// and the end mark); pieces are cut off at the end, the end mark stays.
    #[must_use]
    pub fn encode(&self, text: &str, first: Option<u32>, limit: usize) -> Encoded {
        let normal = self.normaliser.normalise(text);
        let parts = self.unigram.split(&normal);
        let room = limit.saturating_sub(1 + usize::from(first.is_some()));
        let known = parts
            .iter()
            .take(room)
            .map(|part| self.id(part).unwrap_or(self.unknown_id));
        Encoded {
            ids: first
                .into_iter()
                .chain(known)
                .chain([self.end_id])
                .collect(),
            tokens: parts.len() + 1 + usize::from(first.is_some()),
            empty: parts.is_empty(),
        }
    }

    /// The text of a translation. The units are joined as they are: French wants its space before `?` and `!`.
    /// End, padding and unknown marks have no text.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut text = String::new();
        for piece in ids
            .iter()
            .map(|id| self.piece(*id))
            .filter(|piece| !is_mark(piece))
        {
            text.extend(piece.chars().map(|c| if c == SPACE { ' ' } else { c }));
        }
        // The first piece begins with the space that encoding puts before every text.
        match text.strip_prefix(' ') {
            Some(stripped) => stripped.to_owned(),
            None => text,
        }
    }
}

fn is_mark(piece: &str) -> bool {
    matches!(piece, END_PIECE | UNKNOWN_PIECE | "<pad>")
}

fn read(path: &Path) -> Result<Vec<u8>, TokeniserError> {
    fs::read(path).map_err(|source| TokeniserError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

struct Vocabulary {
    ids: HashMap<String, u32>,
    pieces: Vec<String>,
    end_id: u32,
    unknown_id: u32,
}

impl Vocabulary {
    /// A source's characters need a piece and a number. A translation is put together from whatever has a number.
    fn coverage(&self, file: &SpmFile, normaliser: &Normaliser) -> Coverage {
        let written = self.pieces.iter().filter_map(|piece| only(piece));
        let written = written.collect::<HashSet<_>>();
        let read = file.characters();
        let read = read.intersection(&written).copied().collect();
        Coverage {
            source: covered(&read, normaliser),
            target: covered(&written, normaliser),
        }
    }

    /// Reads a `vocab.json`; the error is a sentence.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let ids = serde_json::from_slice::<HashMap<String, u32>>(bytes)
            .map_err(|error| error.to_string())?;
        let mark = |piece: &str| {
            ids.get(piece)
                .copied()
                .ok_or_else(|| format!("piece {piece} is missing"))
        };
        let (end_id, unknown_id) = (mark(END_PIECE)?, mark(UNKNOWN_PIECE)?);
        let mut pieces = vec![String::new(); ids.len()];
        for (piece, id) in &ids {
            let place = pieces
                .get_mut(*id as usize)
                .filter(|place| place.is_empty());
            piece.clone_into(place.ok_or_else(|| {
                format!("piece {piece} has number {id}, which is taken or too large")
            })?);
        }
        Ok(Self {
            ids,
            pieces,
            end_id,
            unknown_id,
        })
    }
}
