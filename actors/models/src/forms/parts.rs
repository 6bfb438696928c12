//! The files of a model in Hugging Face's form, read for the engines' forms.

use std::{collections::HashSet, fs, io, path::Path};

use super::{ENGINE_FILE, EngineFile, FormError, SOURCE_SPM, VOCABULARY, engine_file, required};
use crate::{
    manifest::{Architecture, Role},
    model::Model,
    spm::{PieceKind, SpmFile},
    transformer::{self, NetworkConfig},
    weights::{Weights, WeightsError},
};

/// A model's files in memory.
pub(super) struct Parts {
    pub(super) config: NetworkConfig,
    pub(super) weights: Weights,
    pub(super) vocabulary: Vec<String>,
}

impl Parts {
    pub(super) fn read(model: &Model) -> Result<Self, FormError> {
        let path = |role: Role| {
            required(model, role).map_err(|error| FormError::Content {
                path: model.directory().to_owned(),
                reason: error.to_string(),
            })
        };
        let content = |path: &Path| {
            let path = path.to_owned();
            move |reason: String| FormError::Content { path, reason }
        };
        let file = path(Role::Config)?;
        let config = NetworkConfig::read(&file).map_err(content(&file))?;
        let file = path(Role::Vocab)?;
        let vocabulary = transformer::read_vocabulary(&file).map_err(content(&file))?;
        if vocabulary.len() != config.vocab_size {
            return Err(content(&file)(format!(
                "has {} pieces, the configuration says {}",
                vocabulary.len(),
                config.vocab_size
            )));
        }
        let file = path(Role::Weights)?;
        let weights = Weights::read(&file)
            .map_err(|error: WeightsError| content(&file)(error.to_string()))?;
        config.check(&weights).map_err(content(&file))?;
        Ok(Self {
            config,
            weights,
            vocabulary,
        })
    }

    /// Writes what both engines read: the tokeniser's files and the engine file.
    pub(super) fn write_common(&self, model: &Model, into: &Path) -> io::Result<()> {
        fs::copy(required(model, Role::SourceSpm)?, into.join(SOURCE_SPM))?;
        fs::copy(required(model, Role::Vocab)?, into.join(VOCABULARY))?;
        let manifest = model.manifest();
        let silent_ids = match manifest.architecture {
            // Its two SentencePiece models may differ, and it generates no marks.
            Architecture::Marian => Vec::new(),
            _ => silent_ids(&self.vocabulary, &into.join(SOURCE_SPM)).map_err(io::Error::other)?,
        };
        let file = EngineFile {
            end_id: self.config.eos_token_id,
            padding_id: Some(self.config.pad_token_id),
            start_id: Some(self.config.decoder_start_token_id),
            suppressed_ids: self.config.suppressed_ids(),
            max_positions: self.config.max_position_embeddings,
            ..engine_file(manifest, silent_ids)
        };
        fs::write(into.join(ENGINE_FILE), file.to_toml())
    }
}

/// The numbers of the tokens that are not pieces of the one SentencePiece model of both languages: marks and languages.
pub(super) fn silent_ids(vocabulary: &[String], spm: &Path) -> Result<Vec<u32>, String> {
    let bytes = fs::read(spm).map_err(|error| error.to_string())?;
    let file = SpmFile::parse(&bytes).map_err(|error| error.to_string())?;
    let pieces = file.pieces.iter();
    let pieces = pieces
        .filter(|piece| piece.kind != PieceKind::Other)
        .map(|piece| piece.text.as_str())
        .collect::<HashSet<_>>();
    let silent = (0..).zip(vocabulary);
    let silent = silent.filter(|(_, piece)| !pieces.contains(piece.as_str()));
    Ok(silent.map(|(id, _)| id).collect())
}
