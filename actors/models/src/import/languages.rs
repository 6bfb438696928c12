//! Which languages a Hugging Face Marian model translates.

use std::{fs, path::Path};

use super::{ImportError, ImportOptions};
use crate::manifest::is_language;

/// Languages of a model, and how it is told the target.
pub(super) struct Languages {
    pub(super) sources: Vec<String>,
    pub(super) targets: Vec<String>,
    pub(super) token: Option<String>,
}

/// Pattern of the language tokens in a vocabulary.
const TOKEN: &str = ">>{target}<<";
/// What OPUS-MT writes for "several languages".
const SEVERAL: &str = "mul";

/// Takes the languages from the options, else from the model.
pub(super) fn find(
    from: &Path,
    vocabulary: &[String],
    options: &ImportOptions,
) -> Result<Languages, ImportError> {
    let hints = Hints::read(from);
    let from_tokens = token_languages(vocabulary);
    let sources = chosen(&options.source_languages, hints.source);
    if sources.is_empty() {
        return Err(ImportError::Languages(
            "name the source languages: the model does not".into(),
        ));
    }
    let targets = if !options.target_languages.is_empty() {
        options.target_languages.clone()
    } else if from_tokens.is_empty() {
        chosen(&[], hints.target)
    } else {
        // A vocabulary that serves several models may have tokens for their sources too.
        from_tokens
            .iter()
            .filter(|language| !sources.contains(language))
            .cloned()
            .collect()
    };
    if targets.is_empty() {
        return Err(ImportError::Languages(
            "name the target languages: the model does not".into(),
        ));
    }
    if let Some(tag) = sources.iter().chain(&targets).find(|tag| !is_language(tag)) {
        return Err(ImportError::Languages(format!(
            "`{tag}` is not a language tag such as `en`"
        )));
    }
    let without_token = |target: &&String| !from_tokens.contains(target);
    match targets.iter().find(without_token) {
        None => Ok(Languages {
            sources,
            targets,
            token: Some(TOKEN.to_owned()),
        }),
        Some(_) if from_tokens.is_empty() && targets.len() == 1 => Ok(Languages {
            sources,
            targets,
            token: None,
        }),
        Some(target) => Err(ImportError::Languages(format!(
            "the vocabulary has no language token for {target}; it has {}",
            if from_tokens.is_empty() {
                "none".to_owned()
            } else {
                from_tokens.join(", ")
            }
        ))),
    }
}

fn chosen(option: &[String], hint: Option<String>) -> Vec<String> {
    if option.is_empty() {
        hint.into_iter().collect()
    } else {
        option.to_vec()
    }
}

fn token_languages(vocabulary: &[String]) -> Vec<String> {
    let language = |piece: &String| {
        let language = piece.strip_prefix(">>")?.strip_suffix("<<")?;
        is_language(language).then(|| language.to_owned())
    };
    vocabulary.iter().filter_map(language).collect()
}

/// The languages that the model's tokeniser configuration or its folder's name mention.
#[derive(Default)]
struct Hints {
    source: Option<String>,
    target: Option<String>,
}

impl Hints {
    fn read(from: &Path) -> Self {
        let configured = fs::read(from.join("tokenizer_config.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        let configured = |key: &str| {
            let value = configured.as_ref()?.get(key)?.as_str()?;
            Some(value.to_owned())
        };
        let named = Self::of_folder(from);
        let usable = |language: &String| is_language(language) && language != SEVERAL;
        Self {
            source: configured("source_lang").filter(usable).or(named.source),
            target: configured("target_lang").filter(usable).or(named.target),
        }
    }

    /// `opus-mt-en-fr` is from `en` to `fr`.
    fn of_folder(from: &Path) -> Self {
        let name = from
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let Some(pair) = name.strip_prefix("opus-mt-") else {
            return Self::default();
        };
        let mut parts = pair
            .split('-')
            .filter(|part| *part != "tc" && *part != "big");
        let mut next = || {
            let part = parts.next()?;
            (is_language(part) && part != SEVERAL).then(|| part.to_owned())
        };
        Self {
            source: next(),
            target: next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(languages: &[&str]) -> Vec<String> {
        let tokens = languages.iter().map(|language| format!(">>{language}<<"));
        ["</s>".to_owned(), "a".to_owned()]
            .into_iter()
            .chain(tokens)
            .collect()
    }

    fn options(sources: &[&str], targets: &[&str]) -> ImportOptions {
        let owned = |tags: &[&str]| tags.iter().map(ToString::to_string).collect();
        ImportOptions {
            source_languages: owned(sources),
            target_languages: owned(targets),
            ..ImportOptions::default()
        }
    }

    fn find_in(
        folder: &str,
        vocabulary: &[&str],
        options: &ImportOptions,
    ) -> Result<Languages, String> {
        find(Path::new(folder), &pieces(vocabulary), options).map_err(|error| error.to_string())
    }

    #[test]
    fn a_folder_of_one_pair_is_read_from_its_name() {
        let languages = find_in("/m/opus-mt-en-fr", &[], &options(&[], &[])).unwrap();
        assert_eq!(
            (languages.sources, languages.targets),
            (vec!["en".into()], vec!["fr".into()])
        );
        assert_eq!(languages.token, None);
    }

    #[test]
    fn language_tokens_are_the_targets_but_for_the_source() {
        let languages = find_in("/m/x", &["en", "fr", "de"], &options(&["en"], &[])).unwrap();
        assert_eq!(languages.targets, ["fr", "de"]);
        assert_eq!(languages.token.as_deref(), Some(TOKEN));
    }

    #[test]
    fn a_target_without_its_token_is_refused() {
        let error = find_in("/m/x", &["fr"], &options(&["en"], &["it"]))
            .err()
            .unwrap();
        assert_eq!(
            error,
            "the vocabulary has no language token for it; it has fr"
        );
        assert!(find_in("/m/x", &[], &options(&["en"], &["it", "fr"])).is_err());
    }

    #[test]
    fn missing_languages_are_requested() {
        let error = find_in("/m/x", &["fr"], &options(&[], &[])).err().unwrap();
        assert!(error.contains("source languages"), "{error}");
        let error = find_in("/m/x", &[], &options(&["en"], &[])).err().unwrap();
        assert!(error.contains("target languages"), "{error}");
    }
}
