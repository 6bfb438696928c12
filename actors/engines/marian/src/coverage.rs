//! The characters that a vocabulary covers.

use std::collections::HashSet;

use babelmesh_engine_protocol::CharacterSet;
use babelmesh_models::spm::SpmFile;

use crate::normaliser::{Normaliser, SPACE};

/// The characters that a SentencePiece model covers by itself: those whose normal form it has pieces for, or all where it has a piece for
/// every byte. A model with the pieces `f` and `i` covers `ﬁ`, whose normal form is `fi`.
#[must_use]
pub fn coverage(file: &SpmFile, normaliser: &Normaliser) -> CharacterSet {
    match file.has_all_bytes() {
        true => CharacterSet::all(),
        false => covered(&file.characters(), normaliser),
    }
}

/// The characters whose normal form consists of these.
pub(crate) fn covered(pieces: &HashSet<char>, normaliser: &Normaliser) -> CharacterSet {
    let replaced = normaliser.replaced();
    let candidates = pieces.iter().chain(&replaced).copied().chain([' ']);
    // The mark of a space is read as a space, so it is lost.
    let candidates = candidates.filter(|candidate| *candidate != SPACE);
    candidates
        .filter(|candidate| {
            let normal = normaliser.of(*candidate);
            // What is replaced by nothing is lost too.
            !normal.is_empty() && normal.chars().all(|c| c == ' ' || pieces.contains(&c))
        })
        .collect()
}
