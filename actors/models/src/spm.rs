//! Reading of a SentencePiece model, a Protocol Buffers message.

use std::collections::HashSet;

/// The part of a SentencePiece model that is used for encoding.
#[derive(Debug, Default)]
pub struct SpmFile {
    /// The vocabulary, in the order of its numbers.
    pub pieces: Vec<Piece>,
    /// How a text is split into pieces.
    pub algorithm: Algorithm,
    /// Whether a character without a piece is spelt in bytes.
    pub byte_fallback: bool,
    /// Table of replacements, in SentencePiece's own compiled form.
    pub normalisation_table: Vec<u8>,
    /// Whether a space is put before every text.
    pub add_dummy_prefix: bool,
    /// Whether repeated spaces become one.
    pub remove_extra_whitespaces: bool,
}

/// How a text is split into pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// The most probable split.
    #[default]
    Unigram,
    /// Byte-pair encoding: the best pair of neighbours is merged first.
    Bpe,
}

/// One piece of the vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Logarithm of its probability, or, of byte-pair encoding, its negative rank.
    pub score: f32,
    /// Purpose of the piece.
    pub kind: PieceKind,
}

/// Purpose of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// A part of a text.
    Normal,
    /// A part of a text that is never split or merged.
    UserDefined,
    /// Stands for one byte of a character that has no piece.
    Byte,
    /// Control marks, the unknown piece and unused pieces: no text is ever split into them.
    Other,
}

/// Why a SentencePiece model cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpmError {
    /// The bytes are not such a message.
    #[error("not a SentencePiece model: {0}")]
    Malformed(&'static str),
    /// It is one of a kind that translation models do not use.
    #[error("a SentencePiece model of an unsupported kind: {0}")]
    Unsupported(&'static str),
}

impl SpmFile {
    /// Reads a unigram model or one of byte-pair encoding.
    ///
    /// # Errors
    /// Any [`SpmError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SpmError> {
        // These are the defaults of the message's definition.
        let mut file = Self {
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            ..Self::default()
        };
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(piece)) => file.pieces.push(Piece::parse(piece)?),
                (2, Field::Bytes(trainer)) => file.read_trainer(trainer)?,
                (3, Field::Bytes(normaliser)) => file.read_normaliser(normaliser)?,
                _ => {}
            }
        }
        if file.pieces.is_empty() {
            return Err(SpmError::Malformed("it has no pieces"));
        }
        Ok(file)
    }

    /// Characters that are a piece by themselves.
    #[must_use]
    pub fn characters(&self) -> HashSet<char> {
        let pieces = self
            .pieces
            .iter()
            .filter(|piece| matches!(piece.kind, PieceKind::Normal | PieceKind::UserDefined));
        pieces.filter_map(|piece| only(&piece.text)).collect()
    }

    /// Whether any character can be spelt in bytes.
    #[must_use]
    pub fn has_all_bytes(&self) -> bool {
        let bytes = self.pieces.iter();
        bytes.filter(|piece| piece.kind == PieceKind::Byte).count() == 256
    }

    fn read_trainer(&mut self, bytes: &[u8]) -> Result<(), SpmError> {
        for field in Fields(bytes) {
            match field? {
                (3, Field::Number(1)) => self.algorithm = Algorithm::Unigram,
                (3, Field::Number(2)) => self.algorithm = Algorithm::Bpe,
                (3, Field::Number(_)) => {
                    let reason = "only unigram models and byte-pair encoding can be used";
                    return Err(SpmError::Unsupported(reason));
                }
                (35, Field::Number(flag)) => self.byte_fallback = flag != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normaliser(&mut self, bytes: &[u8]) -> Result<(), SpmError> {
        for field in Fields(bytes) {
            match field? {
                (2, Field::Bytes(table)) => self.normalisation_table = table.to_vec(),
                (3, Field::Number(flag)) => self.add_dummy_prefix = flag != 0,
                (4, Field::Number(flag)) => self.remove_extra_whitespaces = flag != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Piece {
    fn parse(bytes: &[u8]) -> Result<Self, SpmError> {
        let mut piece = Self {
            text: String::new(),
            score: 0.0,
            kind: PieceKind::Normal,
        };
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(text)) => {
                    piece.text = std::str::from_utf8(text)
                        .map_err(|_| SpmError::Malformed("a piece is not UTF-8"))?
                        .to_owned();
                }
                (2, Field::Word(score)) => piece.score = f32::from_le_bytes(score),
                (3, Field::Number(kind)) => {
                    piece.kind = match kind {
                        1 => PieceKind::Normal,
                        4 => PieceKind::UserDefined,
                        6 => PieceKind::Byte,
                        _ => PieceKind::Other,
                    }
                }
                _ => {}
            }
        }
        Ok(piece)
    }
}

/// The character of a piece that has no other.
#[must_use]
pub fn only(piece: &str) -> Option<char> {
    let mut characters = piece.chars();
    characters.next().filter(|_| characters.next().is_none())
}

/// The value of a field.
enum Field<'a> {
    Number(u64),
    Word([u8; 4]),
    Bytes(&'a [u8]),
    /// A double word; the fields read here have none.
    Long,
}

/// The fields of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u64, SpmError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(SpmError::Malformed("a number is too long"))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], SpmError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(SpmError::Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Field<'a>), SpmError> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Field::Number(self.number()?),
            1 => {
                self.take(8)?;
                Field::Long
            }
            2 => {
                let count = usize::try_from(self.number()?)
                    .map_err(|_| SpmError::Malformed("it ends too early"))?;
                Field::Bytes(self.take(count)?)
            }
            5 => {
                let word = self.take(4)?;
                Field::Word([word[0], word[1], word[2], word[3]])
            }
            _ => return Err(SpmError::Malformed("a field has an unknown type")),
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), SpmError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = SpmFile::parse(&bytes);
        }
    }

    #[test]
    fn a_piece_is_read_with_its_score_and_kind() {
        let bytes = b"\x0a\x0a\x0a\x01a\x15\x00\x00\x80\xbf\x18\x04";
        let file = SpmFile::parse(bytes).unwrap();
        let piece = Piece {
            text: "a".into(),
            score: -1.0,
            kind: PieceKind::UserDefined,
        };
        assert_eq!(file.pieces, [piece]);
        assert!(file.add_dummy_prefix && file.remove_extra_whitespaces);
    }

    #[test]
    fn truncated_messages_are_malformed() {
        assert!(matches!(
            SpmFile::parse(b"\x0a\x0a\x0a\x01a"),
            Err(SpmError::Malformed(_))
        ));
    }

    #[test]
    fn models_of_another_kind_are_refused() {
        let bytes = b"\x0a\x03\x0a\x01a\x12\x02\x18\x03";
        assert!(matches!(
            SpmFile::parse(bytes),
            Err(SpmError::Unsupported(_))
        ));
    }
}
