//! Families of multilingual models and their language tokens.
//!
//! | family | source begins with | translation begins with | code of French |
//! |---|---|---|---|
//! | M2M100 | `__en__` | `__fr__` | `fr` |
//! | NLLB | `eng_Latn` | `fra_Latn` | `fra_Latn` |
//! | mBART-50 | `en_XX` | `fr_XX` | `fr_XX` |

use std::collections::BTreeMap;

/// A family of many-to-many models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    M2m100,
    Nllb,
    Mbart,
}

impl Family {
    /// The family whose language codes a vocabulary has.
    pub(crate) fn of_vocabulary(pieces: &[String]) -> Option<Self> {
        let has = |wanted: &str| pieces.iter().any(|piece| piece == wanted);
        [
            (Self::M2m100, "__en__"),
            (Self::Nllb, "eng_Latn"),
            (Self::Mbart, "en_XX"),
        ]
        .into_iter()
        .find_map(|(family, english)| has(english).then_some(family))
    }

    /// Pattern of the source's first token.
    pub(crate) fn language_token(self) -> &'static str {
        match self {
            Self::M2m100 => "__{source}__",
            Self::Nllb | Self::Mbart => "{source}",
        }
    }

    /// Pattern of the translation's first token.
    pub(crate) fn target_token(self) -> &'static str {
        match self {
            Self::M2m100 => "__{target}__",
            Self::Nllb | Self::Mbart => "{target}",
        }
    }

    /// The languages of a vocabulary: the code of each tag.
    pub(crate) fn languages(self, pieces: &[String]) -> BTreeMap<String, String> {
        let codes = pieces.iter().filter_map(|piece| self.code(piece));
        codes
            .map(|code| (self.tag(code), code.to_owned()))
            .collect()
    }

    /// The language code in a piece.
    fn code(self, piece: &str) -> Option<&str> {
        let is_letters = |text: &str, lengths: &[usize], is: fn(&char) -> bool| {
            lengths.contains(&text.len()) && text.chars().all(|c| is(&c))
        };
        match self {
            Self::M2m100 => {
                let code = piece.strip_prefix("__")?.strip_suffix("__")?;
                is_letters(code, &[2, 3], char::is_ascii_lowercase).then_some(code)
            }
            Self::Nllb => {
                let (language, script) = piece.split_once('_')?;
                let is_code = is_letters(language, &[3], char::is_ascii_lowercase)
                    && is_letters(script, &[4], char::is_ascii_alphabetic);
                is_code.then_some(piece)
            }
            Self::Mbart => {
                let (language, region) = piece.split_once('_')?;
                let is_code = is_letters(language, &[2, 3], char::is_ascii_lowercase)
                    && is_letters(region, &[2], char::is_ascii_uppercase);
                is_code.then_some(piece)
            }
        }
    }

    /// The tag of a language code.
    fn tag(self, code: &str) -> String {
        let (language, script) = code.split_once('_').unwrap_or((code, ""));
        if self != Self::Nllb {
            return language.to_owned();
        }
        let position = SHORT.binary_search_by_key(&language, |(long, _)| long);
        let short = position.map_or(language, |position| SHORT[position].1);
        match SECOND_SCRIPTS.contains(&code) {
            true => format!("{short}-{script}"),
            false => short.to_owned(),
        }
    }
}

/// The languages of M2M100 in the order of their numbers, which checkpoints leave to the transformers library.
#[rustfmt::skip]
pub(crate) const M2M100_CODES: [&str; 100] = [
    "af", "am", "ar", "ast", "az", "ba", "be", "bg", "bn", "br", "bs", "ca", "ceb", "cs", "cy", "da", "de", "el", "en", "es", "et",
    "fa", "ff", "fi", "fr", "fy", "ga", "gd", "gl", "gu", "ha", "he", "hi", "hr", "ht", "hu", "hy", "id", "ig", "ilo", "is", "it",
    "ja", "jv", "ka", "kk", "km", "kn", "ko", "lb", "lg", "ln", "lo", "lt", "lv", "mg", "mk", "ml", "mn", "mr", "ms", "my", "ne",
    "nl", "no", "ns", "oc", "or", "pa", "pl", "ps", "pt", "ro", "ru", "sd", "si", "sk", "sl", "so", "sq", "sr", "ss", "su", "sv",
    "sw", "ta", "th", "tl", "tn", "tr", "uk", "ur", "uz", "vi", "wo", "xh", "yi", "yo", "zh", "zu",
];

/// Codes of NLLB whose language has another script too, which is the usual one.
const SECOND_SCRIPTS: [&str; 7] = [
    "ace_Arab", "bjn_Arab", "kas_Deva", "knc_Arab", "min_Arab", "taq_Tfng", "zho_Hant",
];

/// Languages of NLLB that have a code of two letters, or belong to a macrolanguage that has one, in order.
#[rustfmt::skip]
const SHORT: [(&str, &str); 135] = [
    ("afr", "af"), ("aka", "ak"), ("als", "sq"), ("amh", "am"), ("arb", "ar"), ("asm", "as"), ("ayr", "ay"), ("azj", "az"),
    ("bak", "ba"), ("bam", "bm"), ("bel", "be"), ("ben", "bn"), ("bod", "bo"), ("bos", "bs"), ("bul", "bg"), ("cat", "ca"),
    ("ces", "cs"), ("cym", "cy"), ("dan", "da"), ("deu", "de"), ("dzo", "dz"), ("ell", "el"), ("eng", "en"), ("epo", "eo"),
    ("est", "et"), ("eus", "eu"), ("ewe", "ee"), ("fao", "fo"), ("fij", "fj"), ("fin", "fi"), ("fra", "fr"), ("fuv", "ff"),
    ("gaz", "om"), ("gla", "gd"), ("gle", "ga"), ("glg", "gl"), ("grn", "gn"), ("guj", "gu"), ("hat", "ht"), ("hau", "ha"),
    ("heb", "he"), ("hin", "hi"), ("hrv", "hr"), ("hun", "hu"), ("hye", "hy"), ("ibo", "ig"), ("ind", "id"), ("isl", "is"),
    ("ita", "it"), ("jav", "jv"), ("jpn", "ja"), ("kan", "kn"), ("kas", "ks"), ("kat", "ka"), ("kaz", "kk"), ("khk", "mn"),
    ("khm", "km"), ("kik", "ki"), ("kin", "rw"), ("kir", "ky"), ("kmr", "ku"), ("knc", "kr"), ("kon", "kg"), ("kor", "ko"),
    ("lao", "lo"), ("lim", "li"), ("lin", "ln"), ("lit", "lt"), ("ltz", "lb"), ("lug", "lg"), ("lvs", "lv"), ("mal", "ml"),
    ("mar", "mr"), ("mkd", "mk"), ("mlt", "mt"), ("mri", "mi"), ("mya", "my"), ("nld", "nl"), ("nno", "nn"), ("nob", "nb"),
    ("npi", "ne"), ("nya", "ny"), ("oci", "oc"), ("ory", "or"), ("pan", "pa"), ("pbt", "ps"), ("pes", "fa"), ("plt", "mg"),
    ("pol", "pl"), ("por", "pt"), ("quy", "qu"), ("ron", "ro"), ("run", "rn"), ("rus", "ru"), ("sag", "sg"), ("san", "sa"),
    ("sin", "si"), ("slk", "sk"), ("slv", "sl"), ("smo", "sm"), ("sna", "sn"), ("snd", "sd"), ("som", "so"), ("sot", "st"),
    ("spa", "es"), ("srd", "sc"), ("srp", "sr"), ("ssw", "ss"), ("sun", "su"), ("swe", "sv"), ("swh", "sw"), ("tam", "ta"),
    ("tat", "tt"), ("tel", "te"), ("tgk", "tg"), ("tgl", "tl"), ("tha", "th"), ("tir", "ti"), ("tsn", "tn"), ("tso", "ts"),
    ("tuk", "tk"), ("tur", "tr"), ("twi", "tw"), ("uig", "ug"), ("ukr", "uk"), ("urd", "ur"), ("uzn", "uz"), ("vie", "vi"),
    ("wol", "wo"), ("xho", "xh"), ("ydd", "yi"), ("yor", "yo"), ("zho", "zh"), ("zsm", "ms"), ("zul", "zu"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn languages(pieces: &[&str]) -> (Family, Vec<(String, String)>) {
        let pieces = pieces.iter().map(ToString::to_string).collect::<Vec<_>>();
        let family = Family::of_vocabulary(&pieces).unwrap();
        (family, family.languages(&pieces).into_iter().collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(tag, code): &(&str, &str)| ((*tag).to_owned(), (*code).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn languages_are_read_from_the_codes_of_each_family() {
        let (family, found) = languages(&["__en__", "__fr__", "__ast__", "__", "____", "__a b__"]);
        assert_eq!(family, Family::M2m100);
        assert_eq!(found, pairs(&[("ast", "ast"), ("en", "en"), ("fr", "fr")]));
        let (family, found) = languages(&[
            "eng_Latn", "zho_Hans", "zho_Hant", "kas_Deva", "lij_Latn", "a_b",
        ]);
        assert_eq!(family, Family::Nllb);
        let expected = [
            ("en", "eng_Latn"),
            ("ks-Deva", "kas_Deva"),
            ("lij", "lij_Latn"),
            ("zh", "zho_Hans"),
            ("zh-Hant", "zho_Hant"),
        ];
        assert_eq!(found, pairs(&expected));
        let (family, found) = languages(&["en_XX", "zh_CN", "x_XX", "en_x"]);
        assert_eq!(family, Family::Mbart);
        assert_eq!(found, pairs(&[("en", "en_XX"), ("zh", "zh_CN")]));
        assert_eq!(Family::of_vocabulary(&[">>fr<<".to_owned()]), None);
    }

    #[test]
    fn the_table_of_short_codes_is_in_order() {
        assert!(SHORT.is_sorted_by(|(a, _), (b, _)| a < b));
    }
}
