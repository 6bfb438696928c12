//! Language tags for routing.

mod aliases;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A language that models read and write: the primary subtag of a BCP 47 tag in its shortest form, and for Chinese the script.
///
/// `en`, `EN`, `en-GB`, `en_US.UTF-8` and `eng` are all [`Language`] `en`; models and topics are found by it. The
/// sender's spelling is kept separately and repeated in the result.
///
/// - Codes of ISO 639-2 and 639-3, withdrawn codes and LibreTranslate's own (`zt`, `pb`) are aliases, and so is a language for the macrolanguage
///   that it is the standard of (`cmn`, `arb`, `zsm`).
/// - `no` is `nb`: Norwegian without more is written Bokmål. `nn` is another language.
/// - `sh` is a language of its own: it names none of Bosnian, Croatian and Serbian, nor a script.
/// - Chinese in traditional characters is the language `zh-Hant` (also `zh-TW`, `zh-HK`, `zh-MO`); all other Chinese is `zh`. The scripts and
///   regions of other languages are not told apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language {
    /// ASCII, and zeros after its end.
    tag: [u8; 7],
}

/// An invalid language tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a language tag such as \"en\" or \"pt-BR\"")]
pub struct LanguageError(String);

/// Chinese in traditional characters.
const TRADITIONAL_CHINESE: &str = "zh-Hant";

impl Language {
    /// A tag of at most seven ASCII characters; what is longer is cut.
    fn of(tag: &str) -> Self {
        let mut bytes = [0; 7];
        for (to, from) in bytes.iter_mut().zip(tag.bytes()) {
            *to = from;
        }
        Self { tag: bytes }
    }

    /// Its tag: the primary subtag, or `zh-Hant`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.tag.iter().position(|byte| *byte == 0);
        // The constructor lets only ASCII in.
        std::str::from_utf8(&self.tag[..end.unwrap_or(self.tag.len())]).unwrap_or_default()
    }

    /// Its English name, where ISO 639 has one; else its tag.
    #[must_use]
    pub fn english_name(&self) -> &str {
        let tag = self.as_str();
        if tag == TRADITIONAL_CHINESE {
            return "Chinese (traditional)";
        }
        let known = match tag.len() {
            2 => isolang::Language::from_639_1(tag),
            _ => isolang::Language::from_639_3(tag),
        };
        known.map_or(tag, |language| language.to_name())
    }

    /// The other way to write it: `zh-Hant` for `zh`, and the reverse. Of other languages there is none.
    #[must_use]
    pub fn other_script(&self) -> Option<Self> {
        match self.as_str() {
            "zh" => Some(Self::of(TRADITIONAL_CHINESE)),
            TRADITIONAL_CHINESE => Some(Self::of("zh")),
            _ => None,
        }
    }
}

impl FromStr for Language {
    type Err = LanguageError;

    fn from_str(tag: &str) -> Result<Self, LanguageError> {
        let refused = || LanguageError(tag.chars().take(40).collect());
        let is_primary =
            |s: &str| (2..=3).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphabetic());
        let trimmed = tag.trim();
        let mut subtags = trimmed.split(['-', '_', '.']);
        let primary = subtags.next().unwrap_or_default();
        let well_formed = is_primary(primary)
            && subtags
                .all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_graphic()));
        if !well_formed {
            return Err(refused());
        }
        // What follows in a POSIX locale is its character set.
        let locale = trimmed.split(['.', '@']).next().unwrap_or_default();
        let subtags = || locale.split(['-', '_']).skip(1);
        let primary = primary.to_ascii_lowercase();
        let code = aliases::shortest(&primary);
        if code != "zh" {
            return Ok(Self::of(code));
        }
        // `zh-yue` is an older form of `yue`.
        let extended = subtags().next().filter(|s| s.len() == 3 && is_primary(s));
        let extended = extended.map(str::to_ascii_lowercase);
        match extended.as_deref().map(aliases::shortest) {
            None | Some("zh" | "chs" | "cht") => Ok(Self::of(
                match aliases::is_traditional(&primary, subtags()) {
                    true => TRADITIONAL_CHINESE,
                    false => code,
                },
            )),
            Some(other) => Ok(Self::of(other)),
        }
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

    fn parsed(tag: &str) -> String {
        tag.parse::<Language>().unwrap().to_string()
    }

    fn assert_same(language: &str, tags: &[&str]) {
        for tag in tags {
            assert_eq!(parsed(tag), language, "{tag}");
        }
    }

    #[test]
    fn spellings_of_one_language_are_one_language() {
        let english = ["en", "EN", "en-GB", "en_US", "en_US.UTF-8", " en ", "eng"];
        assert_same("en", &english);
        assert_same("yue", &["yue-Hant-HK", "zh-yue", "zh-yue-HK"]);
        assert_same("sr", &["sr-Latn", "sr_RS@latin", "srp", "scc"]);
    }

    #[test]
    fn codes_of_iso_639_and_withdrawn_ones_are_aliases() {
        assert_same("fr", &["fr-FR", "fr_CA", "FR", "fra", "fre"]);
        assert_same("de", &["deu", "ger", "GER-AT"]);
        assert_same("he", &["iw", "he", "heb", "iw_IL"]);
        assert_same("id", &["in", "id", "ind"]);
        assert_same("yi", &["ji", "yi", "yid", "ydd"]);
        assert_same("jv", &["jw", "jv", "jav"]);
        assert_same("ro", &["mo", "ro", "ron", "rum", "mol", "ro-MD"]);
        assert_same("pt", &["pb", "pt-BR", "por"]);
        assert_same("tl", &["tl", "fil", "tgl"]);
        assert_same("ar", &["ar", "ara", "arb"]);
        assert_same("sh", &["sh", "hbs"]);
    }

    #[test]
    fn norwegian_is_bokmal_and_nynorsk_is_another_language() {
        assert_same("nb", &["no", "nb", "nob", "nor", "nb-NO", "no_NO"]);
        assert_same("nn", &["nn", "nno", "nn-NO"]);
    }

    #[test]
    fn chinese_in_traditional_characters_is_a_language_of_its_own() {
        let simplified = [
            "zh",
            "zh-Hans",
            "zh_CN",
            "zh-SG",
            "zho",
            "chi",
            "cmn",
            "cmn-Hans",
            "zh-CHS",
            "zh-cmn",
            "zh-Hans-TW",
            "zh_CN.UTF-8",
        ];
        assert_same("zh", &simplified);
        let traditional = [
            "zt",
            "zh-Hant",
            "zh-TW",
            "zh_HK",
            "zh-MO",
            "cmn-Hant",
            "zho_Hant",
            "ZH-HANT",
            "zh-CHT",
            "zh-cmn-TW",
            "zh-Hant-CN",
            "zh_TW.Big5",
            "zh_TW.UTF-8",
        ];
        assert_same("zh-Hant", &traditional);
        let [simple, traditional] = ["zh", "zt"].map(|tag| tag.parse::<Language>().unwrap());
        assert_eq!(simple.other_script(), Some(traditional));
        assert_eq!(traditional.other_script(), Some(simple));
    }

    #[test]
    fn a_language_has_an_english_name() {
        let name = |tag: &str| tag.parse::<Language>().unwrap().english_name().to_owned();
        assert_eq!(name("fr"), "French");
        assert_eq!(name("yue"), "Yue Chinese");
        assert_eq!(name("qq"), "qq");
        assert_eq!(name("no"), "Norwegian Bokmål");
        assert_eq!(name("zh-TW"), "Chinese (traditional)");
    }

    #[test]
    fn an_invalid_tag_is_rejected() {
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
            prop_assert!((2..=3).contains(&language.as_str().len()) || language.as_str() == TRADITIONAL_CHINESE);
        }

        #[test]
        fn any_text_is_parsed_without_panic(tag in ".*") {
            let _ = tag.parse::<Language>();
        }
    }
}
