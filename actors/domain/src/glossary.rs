//! Glossaries: terms with the translations that they must get.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Language;

/// Longest name of a glossary, in bytes.
pub const MAX_GLOSSARY_NAME_BYTES: usize = 1_024;

/// A term and its translation. With a translation that is the term itself, the term is not translated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Term {
    /// The term in the source language.
    pub source: String,
    /// What stands in its place in translations.
    pub target: String,
}

impl Term {
    /// A term with its translation.
    #[must_use]
    pub fn new(source: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
        }
    }

    fn bytes(&self) -> usize {
        self.source.len() + self.target.len()
    }
}

/// Limits of a list of terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TermLimits {
    /// Most terms.
    pub entries: usize,
    /// Most bytes of all terms and translations together.
    pub bytes: usize,
    /// Longest term or translation, in bytes.
    pub term_bytes: usize,
}

impl Default for TermLimits {
    fn default() -> Self {
        Self {
            entries: 20_000,
            bytes: 512 << 10,
            term_bytes: 1_024,
        }
    }
}

/// Why terms are refused. Entries are counted from 1. No message quotes a term.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// There are none.
    #[error("there are no entries")]
    None,
    /// Too many.
    #[error("there are {count} entries, the limit is {limit}")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// They are too long together.
    #[error("the entries have {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// How many they have.
        bytes: usize,
        /// How many they may have.
        limit: usize,
    },
    /// A text of an entry is empty.
    #[error("entry {entry} has an empty {part}")]
    Empty {
        /// Number of the entry.
        entry: usize,
        /// Which of its texts.
        part: &'static str,
    },
    /// A text of an entry is too long.
    #[error("the {part} of entry {entry} has {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// Number of the entry.
        entry: usize,
        /// Which of its texts.
        part: &'static str,
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A text of an entry holds a control character or a line separator.
    #[error("the {part} of entry {entry} holds a control character")]
    Control {
        /// Number of the entry.
        entry: usize,
        /// Which of its texts.
        part: &'static str,
    },
    /// A text of an entry begins or ends with white space.
    #[error("the {part} of entry {entry} begins or ends with white space")]
    Untrimmed {
        /// Number of the entry.
        entry: usize,
        /// Which of its texts.
        part: &'static str,
    },
    /// Two entries have the same term.
    #[error("the source of entry {entry} duplicates the one of entry {first}")]
    Duplicate {
        /// Number of the entry.
        entry: usize,
        /// Number of the entry that has the term already.
        first: usize,
    },
}

/// Checks a list of terms.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_terms(terms: &[Term], limits: TermLimits) -> Result<(), TermsError> {
    let (count, bytes) = (terms.len(), terms.iter().map(Term::bytes).sum());
    match () {
        () if count == 0 => return Err(TermsError::None),
        () if count > limits.entries => {
            let limit = limits.entries;
            return Err(TermsError::TooMany { count, limit });
        }
        () if bytes > limits.bytes => {
            let limit = limits.bytes;
            return Err(TermsError::TooLarge { bytes, limit });
        }
        () => {}
    }
    let mut seen = HashMap::with_capacity(count);
    for (term, entry) in terms.iter().zip(1..) {
        check_text(&term.source, "source", entry, limits)?;
        check_text(&term.target, "target", entry, limits)?;
        if let Some(first) = seen.insert(term.source.as_str(), entry) {
            return Err(TermsError::Duplicate { entry, first });
        }
    }
    Ok(())
}

fn check_text(
    text: &str,
    part: &'static str,
    entry: usize,
    limits: TermLimits,
) -> Result<(), TermsError> {
    let is_control = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    match (text.len(), limits.term_bytes) {
        _ if text.trim().is_empty() => Err(TermsError::Empty { entry, part }),
        (bytes, limit) if bytes > limit => Err(TermsError::TooLong {
            entry,
            part,
            bytes,
            limit,
        }),
        _ if text.contains(is_control) => Err(TermsError::Control { entry, part }),
        _ if text.trim() != text => Err(TermsError::Untrimmed { entry, part }),
        _ => Ok(()),
    }
}

/// A glossary: a dictionary for each pair of languages that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Glossary {
    /// Its name. Several glossaries may have the same.
    pub name: String,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// Its dictionaries, each for another pair.
    pub dictionaries: Vec<GlossaryDictionary>,
}

/// The terms of a pair of languages, in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlossaryDictionary {
    /// Language of the terms.
    pub source_language: Language,
    /// Language of their translations.
    pub target_language: Language,
    /// The terms.
    pub terms: Vec<Term>,
}

/// Why a glossary is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlossaryError {
    /// Its name is empty, too long, or holds a control character.
    #[error("the name must have 1 to {MAX_GLOSSARY_NAME_BYTES} bytes, and no control characters")]
    Name,
    /// There is no dictionary.
    #[error("there are no dictionaries")]
    NoDictionary,
    /// A dictionary translates a language into itself.
    #[error("a dictionary needs two different languages, not twice {0}")]
    SameLanguage(Language),
    /// There are two dictionaries for one pair.
    #[error("there are two dictionaries for {0} to {1}")]
    TwoDictionaries(Language, Language),
    /// The terms of a dictionary.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// All dictionaries together have too many terms or bytes.
    #[error("all dictionaries together: {0}")]
    Total(TermsError),
}

impl GlossaryDictionary {
    /// Whether it is for this pair.
    #[must_use]
    pub fn is_for(&self, source: Language, target: Language) -> bool {
        (self.source_language, self.target_language) == (source, target)
    }
}

impl Glossary {
    /// The dictionary of a pair.
    #[must_use]
    pub fn dictionary(&self, source: Language, target: Language) -> Option<&GlossaryDictionary> {
        let mut all = self.dictionaries.iter();
        all.find(|dictionary| dictionary.is_for(source, target))
    }

    /// Bytes of its name, terms and translations.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let terms = self.dictionaries.iter().flat_map(|one| &one.terms);
        self.name.len() + terms.map(Term::bytes).sum::<usize>()
    }

    /// Checks a glossary. The limits hold for all dictionaries together.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, limits: TermLimits) -> Result<(), GlossaryError> {
        let is_named = !self.name.trim().is_empty() && self.name.len() <= MAX_GLOSSARY_NAME_BYTES;
        if !is_named || self.name.contains(char::is_control) {
            return Err(GlossaryError::Name);
        }
        if self.dictionaries.is_empty() {
            return Err(GlossaryError::NoDictionary);
        }
        let mut pairs = std::collections::HashSet::new();
        for dictionary in &self.dictionaries {
            let (source, target) = (dictionary.source_language, dictionary.target_language);
            if source == target {
                return Err(GlossaryError::SameLanguage(source));
            }
            if !pairs.insert((source, target)) {
                return Err(GlossaryError::TwoDictionaries(source, target));
            }
            check_terms(&dictionary.terms, limits)?;
        }
        let count = self.dictionaries.iter().map(|one| one.terms.len()).sum();
        if count > limits.entries {
            let limit = limits.entries;
            return Err(GlossaryError::Total(TermsError::TooMany { count, limit }));
        }
        let (bytes, limit) = (self.bytes(), limits.bytes);
        if bytes > limit.saturating_add(self.name.len()) {
            return Err(GlossaryError::Total(TermsError::TooLarge { bytes, limit }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TermLimits = TermLimits {
        entries: 3,
        bytes: 60,
        term_bytes: 20,
    };

    fn check(pairs: &[(&str, &str)]) -> Result<(), TermsError> {
        let terms: Vec<_> = pairs.iter().map(|(s, t)| Term::new(*s, *t)).collect();
        check_terms(&terms, LIMITS)
    }

    #[test]
    fn terms_are_texts_of_limited_length_without_control_characters() {
        assert_eq!(check(&[("a b", "c"), ("B", "c")]), Ok(()));
        for (wrong, message) in [
            (vec![], "there are no entries"),
            (vec![("a", "b"); 4], "4 entries, the limit is 3"),
            (vec![("a", " ")], "entry 1 has an empty target"),
            (vec![("a", "b"), ("", "b")], "entry 2 has an empty source"),
            (vec![("a\tb", "c")], "control character"),
            (vec![("a", "b\u{2028}c")], "control character"),
            (vec![(" a", "c")], "white space"),
            (vec![("a", "012345678901234567890")], "the limit is 20"),
            (
                vec![("a", "b"), ("a", "c")],
                "entry 2 duplicates the one of entry 1",
            ),
        ] {
            let error = check(&wrong).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let long = "x".repeat(20);
        let many: Vec<_> = ["a", "b", "c"]
            .map(|source| Term::new(source, &long))
            .to_vec();
        assert!(matches!(
            check_terms(&many, LIMITS),
            Err(TermsError::TooLarge {
                bytes: 63,
                limit: 60
            })
        ));
    }

    fn glossary(pairs: &[(&str, &str)]) -> Glossary {
        let dictionary = |(source, target): &(&str, &str)| GlossaryDictionary {
            source_language: source.parse().unwrap(),
            target_language: target.parse().unwrap(),
            terms: vec![Term::new("a", "b"), Term::new("c", "d")],
        };
        Glossary {
            name: "Shop".to_owned(),
            created_ms: 0,
            dictionaries: pairs.iter().map(dictionary).collect(),
        }
    }

    #[test]
    fn a_glossary_has_a_name_and_one_dictionary_for_each_pair() {
        let limits = TermLimits::default();
        assert_eq!(
            glossary(&[("en", "fr"), ("fr", "en")]).check(limits),
            Ok(())
        );
        assert_eq!(
            glossary(&[]).check(limits),
            Err(GlossaryError::NoDictionary)
        );
        let twice = glossary(&[("en", "fr"), ("en-GB", "fr")]).check(limits);
        assert!(matches!(twice, Err(GlossaryError::TwoDictionaries(..))));
        let same = glossary(&[("en", "en-US")]).check(limits);
        assert!(matches!(same, Err(GlossaryError::SameLanguage(_))));
        let mut unnamed = glossary(&[("en", "fr")]);
        unnamed.name = " ".to_owned();
        assert_eq!(unnamed.check(limits), Err(GlossaryError::Name));
        let total = glossary(&[("en", "fr"), ("fr", "en")]).check(LIMITS);
        assert!(matches!(total, Err(GlossaryError::Total(_))), "{total:?}");
    }
}
