//! Language detection, by the `whatlang` library.

use whatlang::{Detector, Lang};

use crate::domain::Language;

/// The language of a text, among `candidates`. `None` when there is nothing to tell it by, or when the library knows none of the candidates
/// but for the case of a single one, which is the answer then.
#[must_use]
pub fn detect(text: &str, candidates: &[Language]) -> Option<Language> {
    if let [only] = candidates {
        return Some(*only);
    }
    let known: Vec<_> = candidates
        .iter()
        .filter_map(|c| Some((library_name(*c)?, *c)))
        .collect();
    let detector = Detector::with_allowlist(known.iter().map(|(lang, _)| *lang).collect());
    let found = detector.detect_lang(text)?;
    known
        .into_iter()
        .find_map(|(lang, language)| (lang == found).then_some(language))
}

/// The library names languages by ISO 639-3.
fn library_name(language: Language) -> Option<Lang> {
    let tag = language.as_str();
    let code = match tag.len() {
        2 => isolang::Language::from_639_1(tag)?.to_639_3(),
        _ => tag,
    };
    // ISO 639-3 has a code for Chinese as a whole and one for Mandarin; texts are in the latter.
    Lang::from_code(if code == "zho" { "cmn" } else { code })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn languages(tags: &[&str]) -> Vec<Language> {
        tags.iter().map(|tag| tag.parse().unwrap()).collect()
    }

    #[test]
    fn plain_sentences_are_told_apart() {
        let candidates = languages(&["en", "fr", "de"]);
        let found = |text| detect(text, &candidates).map(|l| l.to_string());
        assert_eq!(
            found("Where is the train station, please?").as_deref(),
            Some("en")
        );
        assert_eq!(
            found("Où se trouve la gare, s'il vous plaît ?").as_deref(),
            Some("fr")
        );
        assert_eq!(
            found("Wo ist bitte der nächste Bahnhof?").as_deref(),
            Some("de")
        );
    }

    #[test]
    fn what_is_no_language_is_not_guessed() {
        assert_eq!(detect("12345", &languages(&["en", "fr"])), None);
    }
}
