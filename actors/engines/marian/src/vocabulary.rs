//! Pieces and their numbers.

use std::collections::{HashMap, HashSet};

use babelmesh_models::spm::only;

use crate::normaliser::SPACE;

pub(crate) const END_PIECE: &str = "</s>";
pub(crate) const UNKNOWN_PIECE: &str = "<unk>";
/// Pieces without text.
const MARKS: [&str; 5] = [END_PIECE, UNKNOWN_PIECE, "<s>", "<pad>", "<blank>"];

/// A vocabulary of the network.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    ids: HashMap<String, u32>,
    pieces: Vec<String>,
    end_id: u32,
    unknown_id: u32,
    /// Numbers of the 256 pieces that stand for a byte, if it has all.
    bytes: Option<Vec<u32>>,
}

impl Vocabulary {
    /// Reads a `vocab.json`; the error is a sentence.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
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
        let bytes = (0..=u8::MAX).map(|byte| ids.get(&byte_piece(byte)).copied());
        Ok(Self {
            bytes: bytes.collect(),
            ids,
            pieces,
            end_id,
            unknown_id,
        })
    }

    pub(crate) fn id(&self, piece: &str) -> Option<u32> {
        self.ids.get(piece).copied()
    }

    pub(crate) fn piece(&self, id: u32) -> &str {
        self.pieces
            .get(id as usize)
            .map_or(UNKNOWN_PIECE, String::as_str)
    }

    pub(crate) fn end_id(&self) -> u32 {
        self.end_id
    }

    pub(crate) fn unknown_id(&self) -> u32 {
        self.unknown_id
    }

    pub(crate) fn has_all_bytes(&self) -> bool {
        self.bytes.is_some()
    }

    /// The number of a byte, where each has one.
    pub(crate) fn byte_id(&self, byte: u8) -> Option<u32> {
        self.bytes
            .as_ref()
            .and_then(|ids| ids.get(usize::from(byte)).copied())
    }

    /// Characters that are a piece by themselves.
    pub(crate) fn characters(&self) -> HashSet<char> {
        self.pieces.iter().filter_map(|piece| only(piece)).collect()
    }

    /// The text of a translation. The units are joined as they are: French wants its space before `?` and `!`.
    /// End, padding and unknown marks have no text.
    pub(crate) fn decode(&self, ids: &[u32]) -> String {
        let (mut text, mut bytes) = (String::new(), Vec::new());
        for piece in ids.iter().map(|id| self.piece(*id)) {
            if let Some(byte) = self.bytes.as_ref().and_then(|_| byte_of(piece)) {
                bytes.push(byte);
                continue;
            }
            text.push_str(&String::from_utf8_lossy(&std::mem::take(&mut bytes)));
            if !MARKS.contains(&piece) {
                text.extend(piece.chars().map(|c| if c == SPACE { ' ' } else { c }));
            }
        }
        text.push_str(&String::from_utf8_lossy(&bytes));
        // The first piece begins with the space that encoding puts before every text.
        match text.strip_prefix(' ') {
            Some(stripped) => stripped.to_owned(),
            None => text,
        }
    }
}

/// How SentencePiece writes the piece of a byte.
fn byte_piece(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

fn byte_of(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16)
        .ok()
        .filter(|byte| byte_piece(*byte) == piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(pieces: &[&str], with_bytes: bool) -> Vocabulary {
        let bytes = (0..=u8::MAX).filter(|_| with_bytes).map(byte_piece);
        let pieces = pieces.iter().map(ToString::to_string).chain(bytes);
        let numbered = pieces.enumerate().map(|(id, piece)| (piece, id));
        let json = serde_json::json!(numbered.collect::<HashMap<_, _>>());
        Vocabulary::parse(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn bytes_spell_characters_and_broken_ones_are_replaced() {
        let vocabulary = vocabulary(&["</s>", "<unk>", "▁a"], true);
        let bytes = |bytes: &[u8]| {
            let ids = bytes.iter().map(|byte| vocabulary.byte_id(*byte).unwrap());
            ids.collect::<Vec<_>>()
        };
        let mut ids = bytes("😀".as_bytes());
        ids.extend([2, 0]);
        assert_eq!(vocabulary.decode(&ids), "😀 a");
        assert_eq!(vocabulary.decode(&bytes(&[0xf0, 0x9f])), "\u{fffd}");
    }

    #[test]
    fn a_piece_that_looks_like_a_byte_is_text_where_not_all_bytes_have_one() {
        let vocabulary = vocabulary(&["</s>", "<unk>", "<0x41>"], false);
        assert!(!vocabulary.has_all_bytes());
        assert_eq!(vocabulary.decode(&[2, 1, 0]), "<0x41>");
    }

    #[test]
    fn numbers_that_are_taken_or_too_large_are_refused() {
        for json in [
            r#"{"</s>": 0, "<unk>": 0}"#,
            r#"{"</s>": 0, "<unk>": 2}"#,
            r#"{"</s>": 0}"#,
        ] {
            assert!(Vocabulary::parse(json.as_bytes()).is_err(), "{json}");
        }
    }
}
