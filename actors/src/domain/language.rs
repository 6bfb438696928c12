//! Language tags, as far as routing needs them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The primary language subtag of a BCP 47 tag: two or three lower-case ASCII letters.
///
/// `en`, `EN`, `en-GB` and `en_US.UTF-8` are all [`Language`] `en`; models and topics are found by it. What a sender wrote
/// is kept beside it and repeated in the result.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language {
    letters: [u8; 3],
}

/// A tag that is not a language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a language tag such as \"en\" or \"pt-BR\"")]
pub struct LanguageError(String);

impl Language {
    /// The subtag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = if self.letters[2] == 0 { 2 } else { 3 };
        // The constructor lets only ASCII letters in.
        std::str::from_utf8(&self.letters[..length]).unwrap_or_default()
    }

    /// Its English name, where ISO 639 has one; else the subtag.
    #[must_use]
    pub fn english_name(&self) -> &str {
        let tag = self.as_str();
        let known = match tag.len() {
            2 => isolang::Language::from_639_1(tag),
            _ => isolang::Language::from_639_3(tag),
        };
        known.map_or(tag, |language| language.to_name())
    }
}

impl FromStr for Language {
    type Err = LanguageError;

    fn from_str(tag: &str) -> Result<Self, LanguageError> {
        let refused = || LanguageError(tag.chars().take(40).collect());
        let mut subtags = tag.trim().split(['-', '_', '.']);
        let primary = subtags.next().unwrap_or_default().as_bytes();
        let well_formed = (2..=3).contains(&primary.len())
            && primary.iter().all(u8::is_ascii_alphabetic)
            && subtags
                .all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_graphic()));
        if !well_formed {
            return Err(refused());
        }
        let mut letters = [0; 3];
        for (to, from) in letters.iter_mut().zip(primary) {
            *to = from.to_ascii_lowercase();
        }
        Ok(Self { letters })
    }
}

impl TryFrom<String> for Language {
    type Error = LanguageError;

    fn try_from(tag: String) -> Result<Self, LanguageError> {
        tag.parse()
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.as_str().to_owned()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_language_are_one_language() {
        for tag in ["en", "EN", "en-GB", "en_US", "en_US.UTF-8", " en "] {
            assert_eq!(tag.parse::<Language>().unwrap().as_str(), "en", "{tag}");
        }
        assert_eq!("yue-Hant-HK".parse::<Language>().unwrap().as_str(), "yue");
    }

    #[test]
    fn a_language_has_an_english_name() {
        let name = |tag: &str| tag.parse::<Language>().unwrap().english_name().to_owned();
        assert_eq!(name("fr"), "French");
        assert_eq!(name("yue"), "Yue Chinese");
        assert_eq!(name("qq"), "qq");
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for tag in [
            "",
            "e",
            "english",
            "klingon",
            "12",
            "e!",
            "en-",
            "en--US",
            "en-toolongsubtag",
            "日本",
        ] {
            assert!(tag.parse::<Language>().is_err(), "{tag}");
        }
    }

    proptest! {
        #[test]
        fn a_language_survives_its_own_text(tag in "[a-zA-Z]{2,3}") {
            let language: Language = tag.parse().unwrap();
            prop_assert_eq!(language.to_string().parse::<Language>().unwrap(), language);
            prop_assert_eq!(language.as_str(), tag.to_ascii_lowercase());
        }

        #[test]
        fn any_text_is_parsed_without_panic(tag in ".*") {
            let _ = tag.parse::<Language>();
        }
    }
}
