//! Codes that name a language under another code than the shortest of BCP 47.
//!
//! Sources: the ISO 639-2 code list of the Library of Congress (bibliographic codes), and `languageAlias` in the supplemental metadata of the
//! Unicode CLDR (codes that were withdrawn, and languages that stand for the macrolanguage they belong to). The terminological three-letter
//! codes come from the `isolang` crate, which has all of ISO 639-3.

/// Codes and the one in their place, sorted by code.
const ALIASES: [(&str, &str); 51] = [
    // Bibliographic code of ISO 639-2 unless said otherwise.
    ("alb", "sq"),
    // Tosk Albanian, which standard Albanian is.
    ("als", "sq"),
    // Standard Arabic.
    ("arb", "ar"),
    ("arm", "hy"),
    // North Azerbaijani.
    ("azj", "az"),
    ("baq", "eu"),
    ("bur", "my"),
    ("chi", "zh"),
    // Mandarin.
    ("cmn", "zh"),
    ("cze", "cs"),
    ("dut", "nl"),
    // Standard Estonian.
    ("ekk", "et"),
    // Filipino is standardised Tagalog.
    ("fil", "tl"),
    ("fre", "fr"),
    // West Central Oromo.
    ("gaz", "om"),
    ("geo", "ka"),
    ("ger", "de"),
    ("gre", "el"),
    // Paraguayan Guarani.
    ("gug", "gn"),
    ("ice", "is"),
    // Withdrawn codes of ISO 639-1.
    ("in", "id"),
    ("iw", "he"),
    ("ji", "yi"),
    ("jw", "jv"),
    // Halh Mongolian.
    ("khk", "mn"),
    // Northern Kurdish.
    ("kmr", "ku"),
    // Standard Latvian.
    ("lvs", "lv"),
    ("mac", "mk"),
    ("mao", "mi"),
    ("may", "ms"),
    // Moldavian: withdrawn.
    ("mo", "ro"),
    ("mol", "ro"),
    // Norwegian, where nothing more is said, is written Bokmål.
    ("no", "nb"),
    // Nepali and Odia in the narrow sense.
    ("npi", "ne"),
    ("ory", "or"),
    // LibreTranslate's code of Brazilian Portuguese.
    ("pb", "pt"),
    // Southern Pashto, Iranian Persian, Plateau Malagasy.
    ("pbt", "ps"),
    ("per", "fa"),
    ("pes", "fa"),
    ("plt", "mg"),
    ("rum", "ro"),
    // Withdrawn codes of Serbian and Croatian.
    ("scc", "sr"),
    ("scr", "hr"),
    ("slo", "sk"),
    // Coastal Swahili.
    ("swh", "sw"),
    ("tib", "bo"),
    // Northern Uzbek.
    ("uzn", "uz"),
    ("wel", "cy"),
    // Eastern Yiddish.
    ("ydd", "yi"),
    // Standard Malay.
    ("zsm", "ms"),
    // LibreTranslate's code of Chinese in traditional characters, which `is_traditional` knows too.
    ("zt", "zh"),
];

/// The shortest code of a language that has several; the code itself where it is the only one. Takes lower-case letters.
pub(super) fn shortest(code: &str) -> &str {
    let code = aliased(code);
    let language = isolang::Language::from_639_3(code);
    let short = language.and_then(|language| language.to_639_1());
    aliased(short.unwrap_or(code))
}

fn aliased(code: &str) -> &str {
    let found = ALIASES.binary_search_by_key(&code, |(alias, _)| alias);
    found.map_or(code, |index| ALIASES[index].1)
}

/// Whether a tag that is Chinese is in traditional characters, by its script, else its region. `code` is its primary subtag.
pub(super) fn is_traditional<'a>(code: &str, others: impl Iterator<Item = &'a str>) -> bool {
    let is_any = |subtag: &str, known: &[&str]| {
        let mut known = known.iter();
        known.any(|known| subtag.eq_ignore_ascii_case(known))
    };
    let mut traditional = code == "zt";
    for subtag in others {
        // Windows has names of its own for the scripts.
        if is_any(subtag, &["Hant", "CHT"]) {
            return true;
        }
        if is_any(subtag, &["Hans", "CHS"]) {
            return false;
        }
        traditional |= is_any(subtag, &["TW", "HK", "MO"]);
    }
    traditional
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_leads_to_codes_that_are_no_aliases() {
        assert!(ALIASES.is_sorted_by(|a, b| a.0 < b.0));
        for (alias, code) in ALIASES {
            assert_eq!(shortest(code), code, "{alias}");
        }
    }

    #[test]
    fn every_two_letter_language_is_found_by_its_three_letter_code() {
        let letters = || 'a'..='z';
        let codes =
            letters().flat_map(|first| letters().map(move |second| format!("{first}{second}")));
        let mut found = 0;
        for short in codes {
            if let Some(language) = isolang::Language::from_639_1(&short) {
                assert_eq!(shortest(language.to_639_3()), shortest(&short));
                found += 1;
            }
        }
        assert!(found >= 183, "{found}");
    }
}
