//! The models of the demo.

use std::{fmt, path::Path};

use anyhow::Result;
use babelmesh_models::{Architecture, Model, ModelRegistry};

use super::round_trip::RoundTrip;
use crate::{
    config::Config,
    node::{find_folder, select_models},
};

/// Where `make models` puts real models.
const REAL: &str = ".models";
/// The model that comes along.
const TOY: &str = "demo-en-fr-de";
/// Most target languages, unless the command line names them.
const TARGETS: usize = 4;

/// Presets with the real models among them, where there are some.
pub(super) fn presets<'a>(others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let has_models = |folder: &Path| !ModelRegistry::scan_usable(&[folder]).0.is_empty();
    let real = find_folder(Path::new(REAL)).is_some_and(|folder| has_models(&folder));
    let real = real.then_some(("models.directories", "[\".models\"]"));
    others.iter().copied().chain(real).collect()
}

/// The models of the demo; displayed as its introduction.
pub(super) struct Models(Vec<Model>);

impl Models {
    /// Those that the configuration asks for.
    pub(super) fn select(config: &Config) -> Result<Self> {
        Ok(Self(select_models(config)?.models))
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// The languages that a source can be translated to.
    pub(super) fn targets(&self, source: &str) -> Vec<String> {
        let manifests = self.0.iter().map(Model::manifest);
        let from = manifests.filter(|manifest| {
            let mut sources = manifest.source_languages.iter();
            sources.any(|language| language == source)
        });
        let mut targets: Vec<String> = Vec::new();
        for target in from.flat_map(|manifest| &manifest.target_languages) {
            if target != source && !targets.contains(target) {
                targets.push(target.clone());
            }
        }
        targets.truncate(TARGETS);
        targets
    }

    /// A round trip through one of the targets.
    pub(super) fn round_trip(&self, source: &str, targets: &[String]) -> Option<RoundTrip> {
        let translates = |source: &str, target: &str| {
            let mut models = self.0.iter().map(Model::manifest);
            models.any(|manifest| manifest.translates(source, target))
        };
        let is_both_ways =
            |target: &&String| translates(source, target) && translates(target, source);
        let target = targets.iter().find(is_both_ways)?;
        RoundTrip::new(source, target)
    }
}

impl fmt::Display for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "active models:")?;
        for model in &self.0 {
            let manifest = model.manifest();
            write!(
                f,
                "\n  {}: {} → {}, {:.0} MB, {}",
                model.id(),
                manifest.source_languages.join(", "),
                manifest.target_languages.join(", "),
                model.bytes() as f64 / 1e6,
                match manifest.architecture {
                    Architecture::Firefox => "a Firefox Translations model",
                    Architecture::Marian if model.id() == TOY => {
                        "a toy model that exercises the pipeline; its translations are often wrong (`make models` fetches real models)"
                    }
                    Architecture::Marian => "a Marian model",
                    Architecture::M2m100 => "an M2M100 model",
                    Architecture::Nllb => "an NLLB model",
                    Architecture::Openai => "a model of a server",
                    Architecture::Mbart => "an mBART model",
                    Architecture::Ctranslate2 => "a CTranslate2 model",
                }
            )?;
        }
        Ok(())
    }
}
