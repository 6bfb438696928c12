//! Supported languages, in the formats of the APIs.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::web::Bytes;
use babelmesh_actors::{
    domain::Language,
    routing::{Capability, PivotPolicy, reachable},
};
use serde::Serialize;
use utoipa::ToSchema;

/// A language.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LanguageBody {
    /// Its code.
    code: String,
    /// Its English name.
    name: String,
    /// Codes of the languages that it is translated to, by one model or over a pivot language.
    targets: Vec<String>,
}

impl LanguageBody {
    pub(super) fn new(language: Language, targets: &BTreeSet<Language>) -> Self {
        Self {
            code: language.to_string(),
            name: language.english_name().to_owned(),
            targets: targets.iter().map(Language::to_string).collect(),
        }
    }
}

/// Capabilities of models. Made when that changes, and not for each request.
#[derive(Debug)]
pub(super) struct Catalogue {
    /// What it was made of.
    pub(super) capabilities: Vec<Capability>,
    /// Languages that are read.
    pub(super) sources: BTreeSet<Language>,
    /// Languages that are written.
    pub(super) targets: BTreeSet<Language>,
    /// Languages that are read or written.
    pub(super) all: Vec<Language>,
    /// For each language, those that it is translated to, by one model or over a pivot language.
    reached: BTreeMap<Language, BTreeSet<Language>>,
    /// The body of LibreTranslate's `/languages`.
    pub(super) languages: Bytes,
}

impl Catalogue {
    pub(super) fn new(capabilities: Vec<Capability>, pivot: &PivotPolicy) -> Self {
        let sources: BTreeSet<Language> = capabilities
            .iter()
            .flat_map(|a| &a.sources)
            .copied()
            .collect();
        let targets: BTreeSet<Language> = capabilities
            .iter()
            .flat_map(|a| &a.targets)
            .copied()
            .collect();
        let all: Vec<_> = sources.union(&targets).copied().collect();
        let mut reached = BTreeMap::new();
        let languages = all.iter().map(|language| {
            let mut written = reachable(&capabilities, *language, pivot);
            reached.insert(*language, written.clone());
            // LibreTranslate names a language among its own targets.
            if targets.contains(language) {
                written.insert(*language);
            }
            LanguageBody::new(*language, &written)
        });
        let languages: Vec<_> = languages.collect();
        Self {
            // Texts and lists of texts can always be written as JSON.
            languages: serde_json::to_vec(&languages).unwrap_or_default().into(),
            capabilities,
            sources,
            targets,
            all,
            reached,
        }
    }

    /// The pairs of different languages that are translated, by one model or over a pivot language.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (Language, Language)> {
        let reached = self.reached.iter();
        reached.flat_map(|(source, targets)| targets.iter().map(|target| (*source, *target)))
    }

    /// Whether a language is read or written.
    pub(super) fn knows(&self, language: Language) -> bool {
        self.all.binary_search(&language).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use babelmesh_actors::domain::ModelType;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_language_lists_what_it_is_translated_to_and_itself_if_it_is_written() {
        let tags = |tags: &[&str]| tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let ability = |sources: &[&str], targets: &[&str]| Capability {
            sources: tags(sources),
            targets: tags(targets),
            tier: ModelType::Basic,
        };
        let capabilities = [
            ability(&["en"], &["fr", "zh-TW"]),
            ability(&["fr"], &["en", "fr"]),
        ];
        let catalogue = Catalogue::new(capabilities.to_vec(), &PivotPolicy::NONE);
        let languages: Value = serde_json::from_slice(&catalogue.languages).unwrap();
        assert_eq!(
            languages,
            json!([
                {"code": "en", "name": "English", "targets": ["en", "fr", "zh-Hant"]},
                {"code": "fr", "name": "French", "targets": ["en", "fr"]},
                {"code": "zh-Hant", "name": "Chinese (traditional)", "targets": ["zh-Hant"]},
            ])
        );
        let pivoted = Catalogue::new(capabilities.to_vec(), &PivotPolicy::default());
        let languages: Value = serde_json::from_slice(&pivoted.languages).unwrap();
        assert_eq!(languages[1]["targets"], json!(["en", "fr", "zh-Hant"]));
        let pairs = |catalogue: &Catalogue| {
            let pairs = catalogue.pairs().map(|(from, to)| format!("{from} {to}"));
            pairs.collect::<Vec<_>>()
        };
        assert_eq!(pairs(&catalogue), ["en fr", "en zh-Hant", "fr en"]);
        assert_eq!(pairs(&pivoted)[3], "fr zh-Hant");
        assert!(catalogue.knows("fra".parse().unwrap()));
        assert!(!catalogue.knows("zh".parse().unwrap()));
    }
}
