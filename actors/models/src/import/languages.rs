//! Which languages a model translates.

use std::{collections::BTreeMap, fs, path::Path};

use super::{ImportError, ImportOptions};
use crate::{families::Family, manifest::is_language};

/// Languages of a model and the tokens that select them.
pub(super) struct Languages {
    pub(super) sources: Vec<String>,
    pub(super) targets: Vec<String>,
    /// Pattern of the source's first token.
    pub(super) token: Option<String>,
    /// Pattern of the translation's first token.
    pub(super) target_token: Option<String>,
    /// Whether an end mark follows the source.
    pub(super) source_end: bool,
    /// Codes that are not the tags.
    pub(super) codes: BTreeMap<String, String>,
}

impl Languages {
    /// Languages of a model of one pair, or of one that finds the target at the source's begin.
    pub(super) fn new(sources: Vec<String>, targets: Vec<String>, token: Option<String>) -> Self {
        Self {
            sources,
            targets,
            token,
            target_token: None,
            source_end: true,
            codes: BTreeMap::new(),
        }
    }
}

/// Languages of a many-to-many model: those of its vocabulary, or the chosen ones of them.
pub(super) fn of_family(
    family: Family,
    vocabulary: &[String],
    options: &ImportOptions,
) -> Result<Languages, ImportError> {
    let known = family.languages(vocabulary);
    let select = |chosen: &[String]| match chosen {
        [] => Ok(known.keys().cloned().collect()),
        chosen => chosen.iter().map(|tag| canonical(&known, tag)).collect(),
    };
    let sources: Vec<String> = select(&options.source_languages)?;
    let targets: Vec<String> = select(&options.target_languages)?;
    let used = |tag: &String| sources.contains(tag) || targets.contains(tag);
    let codes = known
        .iter()
        .filter(|(tag, code)| tag != code && used(tag))
        .map(|(tag, code)| (tag.clone(), code.clone()))
        .collect();
    Ok(Languages {
        token: Some(family.language_token().to_owned()),
        target_token: Some(family.target_token().to_owned()),
        codes,
        ..Languages::new(sources, targets, None)
    })
}

/// The tag of a language that was named by its tag or its code.
fn canonical(known: &BTreeMap<String, String>, named: &str) -> Result<String, ImportError> {
    let found = known
        .iter()
        .find(|(tag, code)| *tag == named || *code == named);
    found.map(|(tag, _)| tag.clone()).ok_or_else(|| {
        let known = known.keys().map(String::as_str).collect::<Vec<_>>();
        ImportError::Languages(format!(
            "the model has no {named}; it has {}",
            known.join(", ")
        ))
    })
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
        None => Ok(Languages::new(sources, targets, Some(TOKEN.to_owned()))),
        Some(_) if from_tokens.is_empty() && targets.len() == 1 => {
            Ok(Languages::new(sources, targets, None))
        }
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
    fn languages_of_a_family_are_all_or_the_chosen_ones() {
        let vocabulary = ["eng_Latn", "fra_Latn", "deu_Latn"].map(str::to_owned);
        let find = |sources: &[&str], targets: &[&str]| {
            of_family(Family::Nllb, &vocabulary, &options(sources, targets))
        };
        let all = find(&[], &[]).unwrap();
        assert_eq!(all.sources, ["de", "en", "fr"]);
        assert_eq!((all.sources, all.codes.len()), (all.targets, 3));
        let some = find(&["en"], &["fra_Latn"]).unwrap();
        assert_eq!((some.targets, some.codes.len()), (vec!["fr".to_owned()], 2));
        let error = find(&["it"], &[]).err().unwrap().to_string();
        assert_eq!(error, "the model has no it; it has de, en, fr");
    }

    #[test]
    fn missing_languages_are_requested() {
        let error = find_in("/m/x", &["fr"], &options(&[], &[])).err().unwrap();
        assert!(error.contains("source languages"), "{error}");
        let error = find_in("/m/x", &[], &options(&["en"], &[])).err().unwrap();
        assert!(error.contains("target languages"), "{error}");
    }
}
