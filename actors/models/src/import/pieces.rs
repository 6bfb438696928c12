//! The vocabularies of M2M100, NLLB and mBART: pieces, then languages, then fill-ins.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::{
    families::M2M100_CODES,
    spm::{PieceKind, SpmFile},
    transformer::{END_PIECE, PADDING_PIECE, UNKNOWN_PIECE},
};

/// The SentencePiece model of both languages.
pub(super) const SHARED_SPM: &str = "sentencepiece.bpe.model";
const START_PIECE: &str = "<s>";
/// Pieces of the network before those of the SentencePiece model, whose own marks are left out.
const FIRST: [&str; 4] = [START_PIECE, PADDING_PIECE, END_PIECE, UNKNOWN_PIECE];

/// Reads the pieces in the order of their numbers; the error is a sentence.
pub(super) fn of_folder(from: &Path, size: usize) -> Result<Vec<String>, String> {
    let vocabulary = from.join("vocab.json");
    let pieces = match vocabulary.is_file() {
        true => crate::transformer::read_vocabulary(&vocabulary)?,
        false => of_spm(&from.join(SHARED_SPM))?,
    };
    let mut added = added(from, pieces.len());
    if added.is_empty() && vocabulary.is_file() {
        let codes = M2M100_CODES.iter().map(|code| format!("__{code}__"));
        added = (pieces.len()..).zip(codes).collect();
    }
    completed(pieces, &added, size)
}

/// The pieces of a model that has no vocabulary of its own.
fn of_spm(path: &Path) -> Result<Vec<String>, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let file = SpmFile::parse(&bytes).map_err(|error| error.to_string())?;
    let texts = file
        .pieces
        .into_iter()
        .filter(|piece| piece.kind != PieceKind::Other)
        .map(|piece| piece.text);
    Ok(FIRST.map(str::to_owned).into_iter().chain(texts).collect())
}

/// Adds the other pieces, and fill-ins where a number has none.
fn completed(
    mut pieces: Vec<String>,
    added: &BTreeMap<usize, String>,
    size: usize,
) -> Result<Vec<String>, String> {
    if pieces.len() > size {
        return Err(format!(
            "{} pieces, the configuration says {size}",
            pieces.len()
        ));
    }
    let mut known = pieces.iter().cloned().collect::<HashSet<_>>();
    for number in pieces.len()..size {
        let piece = added.get(&number).filter(|piece| !known.contains(*piece));
        let piece = piece
            .cloned()
            .unwrap_or_else(|| format!("madeupword{number}"));
        known.insert(piece.clone());
        pieces.push(piece);
    }
    Ok(pieces)
}

/// The pieces with numbers above those of the SentencePiece model, from the first file that tells them.
fn added(from: &Path, first: usize) -> BTreeMap<usize, String> {
    let json = |name: &str| {
        let bytes = fs::read(from.join(name)).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let numbered = [
        json("tokenizer.json").map(|file| of_list(&file["added_tokens"])),
        json("tokenizer_config.json").map(|file| of_decoder(&file["added_tokens_decoder"])),
        json("added_tokens.json").map(|file| of_encoder(&file)),
    ];
    let above = |mut pieces: BTreeMap<usize, String>| pieces.split_off(&first);
    let numbered = numbered.into_iter().flatten().map(above);
    let mut numbered = numbered.filter(|pieces| !pieces.is_empty());
    numbered.next().unwrap_or_else(|| {
        let listed = json("special_tokens_map.json");
        let listed = listed.map(|file| texts(&file["additional_special_tokens"]));
        (first..).zip(listed.unwrap_or_default()).collect()
    })
}

/// `[{"id": 7, "content": "fra_Latn"}]`
fn of_list(list: &Value) -> BTreeMap<usize, String> {
    let tokens = list.as_array().into_iter().flatten();
    let pair = |token: &Value| Some((number(token["id"].as_u64()?)?, text(&token["content"])?));
    tokens.filter_map(pair).collect()
}

/// `{"7": {"content": "fra_Latn"}}`
fn of_decoder(map: &Value) -> BTreeMap<usize, String> {
    let tokens = map.as_object().into_iter().flatten();
    tokens
        .filter_map(|(id, token)| Some((id.parse().ok()?, text(&token["content"])?)))
        .collect()
}

/// `{"fra_Latn": 7}`
fn of_encoder(map: &Value) -> BTreeMap<usize, String> {
    let tokens = map.as_object().into_iter().flatten();
    tokens
        .filter_map(|(piece, id)| Some((number(id.as_u64()?)?, piece.clone())))
        .collect()
}

/// Texts, or objects with a text as content.
fn texts(list: &Value) -> Vec<String> {
    let tokens = list.as_array().into_iter().flatten();
    tokens
        .filter_map(|token| text(token).or_else(|| text(&token["content"])))
        .collect()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(ToOwned::to_owned)
}

fn number(id: u64) -> Option<usize> {
    usize::try_from(id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added_by(files: &[(&str, &str)]) -> Vec<(usize, String)> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        added(folder.path(), 5).into_iter().collect()
    }

    #[test]
    fn languages_are_found_in_each_file_that_may_tell_them() {
        let expected = [(5, "a".to_owned()), (6, "b".to_owned())];
        for file in [
            (
                "tokenizer.json",
                r#"{"added_tokens": [{"id": 1, "content": "<pad>"}, {"id": 5, "content": "a"}, {"id": 6, "content": "b"}]}"#,
            ),
            (
                "tokenizer_config.json",
                r#"{"added_tokens_decoder": {"1": {"content": "<pad>"}, "5": {"content": "a"}, "6": {"content": "b"}}}"#,
            ),
            ("added_tokens.json", r#"{"a": 5, "b": 6}"#),
            (
                "special_tokens_map.json",
                r#"{"additional_special_tokens": ["a", {"content": "b"}]}"#,
            ),
        ] {
            let empty = ("tokenizer_config.json", r#"{"src_lang": null}"#);
            let files = match file.0 == empty.0 {
                true => vec![file],
                false => vec![empty, file],
            };
            assert_eq!(added_by(&files), expected, "{}", file.0);
        }
        assert_eq!(added_by(&[("tokenizer.json", "[1]")]), []);
    }

    #[test]
    fn numbers_without_a_piece_get_a_fill_in() {
        let pieces = ["a", "b"].map(str::to_owned).to_vec();
        let added = BTreeMap::from([
            (3, "c".to_owned()),
            (4, "a".to_owned()),
            (9, "x".to_owned()),
        ]);
        let found = completed(pieces.clone(), &added, 5).unwrap();
        assert_eq!(found, ["a", "b", "madeupword2", "c", "madeupword4"]);
        assert!(completed(pieces, &added, 1).is_err());
    }
}
