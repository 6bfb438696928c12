//! Language detection, by the `whatlang` library.

use whatlang::{Detector, Lang};

use crate::domain::Language;

/// The language of a text that is wanted in `target`, among `sources` that could be translated and the target itself. The target is the
/// answer only when the library is sure of it: to send a text back untranslated is worse than to translate it from a language that is a guess.
/// `None` when there is nothing to tell a language by.
#[must_use]
pub fn detect(text: &str, sources: &[Language], target: Language) -> Option<Language> {
    let others: Vec<_> = sources
        .iter()
        .copied()
        .filter(|source| *source != target)
        .collect();
    let all: Vec<_> = others.iter().copied().chain([target]).collect();
    match find(text, &all).map(|found| (found.language, found.sure)) {
        Some((language, sure)) if language != target || sure => Some(language),
        Some(_) => match others.as_slice() {
            [] => Some(target),
            [only] => Some(*only),
            others => find(text, others).map(|found| found.language),
        },
        None => None,
    }
}

/// The likeliest of some languages, with the library's confidence from 0 to 1. `None` when there is nothing to tell a language by.
#[must_use]
pub fn identify(text: &str, candidates: &[Language]) -> Option<(Language, f64)> {
    find(text, candidates).map(|found| (found.language, found.confidence))
}

struct Found {
    language: Language,
    confidence: f64,
    sure: bool,
}

/// The likeliest of some languages.
fn find(text: &str, candidates: &[Language]) -> Option<Found> {
    let known: Vec<_> = candidates
        .iter()
        .filter_map(|c| Some((library_name(*c)?, *c)))
        .collect();
    let detector = Detector::with_allowlist(known.iter().map(|(lang, _)| *lang).collect());
    let found = detector.detect(text)?;
    let language = known.into_iter().find(|(lang, _)| *lang == found.lang())?.1;
    Some(Found {
        language,
        confidence: found.confidence(),
        sure: found.is_reliable(),
    })
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
        let sources = languages(&["en", "de"]);
        let found = |text| detect(text, &sources, "fr".parse().unwrap()).map(|l| l.to_string());
        assert_eq!(
            found("Where is the train station, please?").as_deref(),
            Some("en")
        );
        assert_eq!(
            found("Wo ist bitte der nächste Bahnhof?").as_deref(),
            Some("de")
        );
        let french = "Où se trouve la gare, s'il vous plaît ? Je dois prendre le train de huit heures pour Lyon.";
        assert_eq!(found(french).as_deref(), Some("fr"));
    }

    #[test]
    fn a_short_text_is_rather_translated_than_sent_back() {
        let english = languages(&["en"]);
        for target in ["fr", "de"] {
            let target = target.parse().unwrap();
            for text in [
                "Hello, how are you today?",
                "Good night!",
                "Come on, do it.",
            ] {
                assert_eq!(detect(text, &english, target), Some(english[0]), "{text}");
            }
        }
    }

    #[test]
    fn a_clear_sentence_is_identified_with_confidence() {
        let (language, confidence) = identify(
            "Where is the train station, please? I have to catch the train at eight.",
            &languages(&["en", "de", "fr"]),
        )
        .unwrap();
        assert_eq!(language.as_str(), "en");
        assert!((0.5..=1.0).contains(&confidence), "{confidence}");
        assert_eq!(identify("12345", &languages(&["en"])), None);
    }

    #[test]
    fn what_is_no_language_is_not_guessed() {
        assert_eq!(
            detect("12345", &languages(&["en"]), "fr".parse().unwrap()),
            None
        );
    }
}
