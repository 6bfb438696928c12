//! CTranslate2's form of a model that was converted for it: the model's own files, and what the tokeniser reads.

use std::{fs, io, path::Path};

use super::{
    ENGINE_FILE, EngineFile, EngineKind, FormError, SOURCE_SPM, TARGET_VOCABULARY, VOCABULARY,
    engine_file, parts::silent_ids, required,
};
use crate::{
    families::Family,
    manifest::Role,
    model::Model,
    transformer::{END_PIECE, UNKNOWN_PIECE},
};

pub(super) fn write(model: &Model, into: &Path) -> Result<(), FormError> {
    let in_cache = |source| FormError::Cache {
        engine: EngineKind::Ctranslate2,
        path: into.to_owned(),
        source,
    };
    copy_files(model, into).map_err(in_cache)?;
    let vocabulary = |role: Role| match model.path(role) {
        Some(path) => read_pieces(&path)
            .map(Some)
            .map_err(|reason| FormError::Content { path, reason }),
        None => Ok(None),
    };
    let (source, target) = match vocabulary(Role::Vocab)? {
        Some(shared) => (shared, None),
        None => (
            vocabulary(Role::SourceVocab)?.unwrap_or_default(),
            vocabulary(Role::TargetVocab)?,
        ),
    };
    write_numbers(&source, &into.join(VOCABULARY)).map_err(in_cache)?;
    if let Some(target) = &target {
        write_numbers(target, &into.join(TARGET_VOCABULARY)).map_err(in_cache)?;
    }
    let manifest = model.manifest();
    let digest = |role: Role| manifest.file(role).map(|file| &file.sha256);
    let target = target.unwrap_or(source);
    let silent_ids = match digest(Role::SourceSpm) == digest(Role::TargetSpm) {
        true => silent_ids(&target, &into.join(SOURCE_SPM)).map_err(|reason| {
            let path = model.path(Role::SourceSpm).unwrap_or_default();
            FormError::Content { path, reason }
        })?,
        false => Vec::new(),
    };
    // These models learn from sources with unknown words to write the unknown piece, which has no text. The others do not.
    let is_of_opennmt = Family::of_vocabulary(&target).is_none()
        && target.first().is_none_or(|first| first != END_PIECE);
    let number = |piece: &str| target.iter().position(|other| other == piece);
    let limits = manifest.limits;
    let file = EngineFile {
        end_id: number(END_PIECE).unwrap_or_default(),
        suppressed_ids: number(UNKNOWN_PIECE)
            .filter(|_| is_of_opennmt)
            .into_iter()
            .collect(),
        max_positions: limits.max_input_tokens.max(limits.max_output_tokens) as usize,
        ..engine_file(manifest, silent_ids)
    };
    fs::write(into.join(ENGINE_FILE), file.to_toml()).map_err(in_cache)
}

/// Copies what the library reads, under the names that it expects. The files are copied and not linked, like those of the firefox engine.
fn copy_files(model: &Model, into: &Path) -> io::Result<()> {
    fs::copy(required(model, Role::Weights)?, into.join("model.bin"))?;
    fs::copy(required(model, Role::SourceSpm)?, into.join(SOURCE_SPM))?;
    for (role, name) in [
        (Role::Config, "config.json"),
        (Role::Vocab, "shared_vocabulary.json"),
        (Role::SourceVocab, "source_vocabulary.json"),
        (Role::TargetVocab, "target_vocabulary.json"),
    ] {
        if let Some(path) = model.path(role) {
            fs::copy(path, into.join(name))?;
        }
    }
    Ok(())
}

/// Reads a list of pieces; the error is a sentence.
fn read_pieces(path: &Path) -> Result<Vec<String>, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

fn write_numbers(pieces: &[String], path: &Path) -> io::Result<()> {
    let numbers = pieces.iter().zip(0..);
    let numbers = numbers.map(|(piece, id): (&String, u32)| (piece.clone(), id.into()));
    let numbers = serde_json::Value::Object(numbers.collect());
    fs::write(path, numbers.to_string())
}
