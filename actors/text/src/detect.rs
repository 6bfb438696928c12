//! Language detection, by the `whatlang` library.

mod chinese;

use std::{collections::HashMap, sync::LazyLock};

use whatlang::{Detector, Info, Lang};

use babelmesh_domain::Language;

/// Characters of prose that are looked at; what follows adds nothing.
const SAMPLE_CHARS: usize = 2_000;
/// Bytes of lines that are searched for prose: a message that has less than [`SAMPLE_CHARS`] characters of it there is judged by those.
const SEARCHED_BYTES: usize = 16 << 10;
/// Bytes in which such lines are looked for: code blocks and lines without a letter are passed over.
const SKIMMED_BYTES: usize = 128 << 10;

/// A language that a text seems to be in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detected {
    /// The language.
    pub language: Language,
    /// How sure that is, from 0 to 1; 0 also where the text seems to be in a language that was no candidate.
    pub confidence: f64,
}

/// The language of a text that is wanted in `target`, among `sources` that could be translated and the target itself. The target is the
/// answer only when the library is sure of it: to send a text back untranslated is worse than to translate it from a language that is a guess.
/// `None` when there is nothing to tell a language by.
#[must_use]
pub fn detect(text: &str, sources: &[Language], target: Language) -> Option<Detected> {
    let others: Vec<_> = sources
        .iter()
        .copied()
        .filter(|source| *source != target)
        .collect();
    let all: Vec<_> = others.iter().copied().chain([target]).collect();
    let prose = Sample::of([text]).prose;
    let found = find(&prose, &all)?;
    if found.detected.language != target {
        return Some(found.detected);
    }
    if found.sure {
        // Chinese in the other characters is not what is wanted.
        let script = chinese::written_in(&prose).filter(|s| target.other_script() == Some(*s));
        return Some(Detected {
            language: script.unwrap_or(target),
            ..found.detected
        });
    }
    match others.as_slice() {
        [] => Some(found.detected),
        [only] => Some(Detected {
            language: *only,
            confidence: 0.0,
        }),
        others => find(&prose, others).map(|found| found.detected),
    }
}

/// The likeliest of some languages for texts that are in the same one. `None` when there is nothing to tell a language by.
#[must_use]
pub fn identify<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    candidates: &[Language],
) -> Option<Detected> {
    find(&Sample::of(texts).prose, candidates).map(|found| found.detected)
}

/// The beginning of what a model would see of some texts: words without markup, addresses, code, placeholders, emoji and numbers.
struct Sample {
    prose: String,
    /// Bytes of lines that were searched for it.
    searched: usize,
}

impl Sample {
    fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut sample = Self {
            prose: String::new(),
            searched: 0,
        };
        let mut left = SAMPLE_CHARS;
        let mut skimmed = 0;
        let texts = texts.into_iter().map(|text| {
            let start = &text[..text.floor_char_boundary(SKIMMED_BYTES - skimmed)];
            skimmed += start.len();
            start
        });
        for line in texts.flat_map(crate::prose_lines) {
            let room = SEARCHED_BYTES - sample.searched;
            let start = &line[..line.floor_char_boundary(room)];
            for words in crate::prose_of(start) {
                sample.prose.extend(words.chars().take(left));
                sample.prose.push(' ');
                left = left.saturating_sub(words.chars().count());
                if left == 0 {
                    sample.searched += end_of(words, start);
                    return sample;
                }
            }
            sample.searched += start.len();
            if start.len() < line.len() {
                break;
            }
        }
        sample
    }
}

/// Where a part of a line ends in it.
fn end_of(part: &str, line: &str) -> usize {
    part.as_ptr().addr() + part.len() - line.as_ptr().addr()
}

struct Found {
    detected: Detected,
    sure: bool,
}

/// The likeliest of some languages.
fn find(prose: &str, candidates: &[Language]) -> Option<Found> {
    let known: Vec<_> = candidates
        .iter()
        .filter_map(|c| Some((library_name(*c)?, *c)))
        .collect();
    let detector = Detector::with_allowlist(known.iter().map(|(lang, _)| *lang).collect());
    let found = detector.detect(prose)?;
    let mut same = known.iter().filter(|(lang, _)| *lang == found.lang());
    let mut language = same.next()?.1;
    if let Some((_, other)) = same.next()
        && chinese::written_in(prose) == Some(*other)
    {
        language = *other;
    }
    Some(Found {
        detected: Detected {
            language,
            confidence: honest(prose, &found),
        },
        sure: found.is_reliable(),
    })
}

/// The library's confidence, from 0 to 1, if it would not rather name a language that was no candidate.
fn honest(prose: &str, found: &Info) -> f64 {
    match whatlang::detect(prose) {
        Some(free) if free.is_reliable() && free.lang() != found.lang() => 0.0,
        _ => found.confidence().clamp(0.0, 1.0),
    }
}

/// The library's name for a language. It has one for both ways to write Chinese.
fn library_name(language: Language) -> Option<Lang> {
    static NAMES: LazyLock<HashMap<Language, Lang>> = LazyLock::new(|| {
        let named = Lang::all().iter().filter_map(|lang| {
            let language: Language = lang.code().parse().ok()?;
            Some((language, *lang))
        });
        named.collect()
    });
    let name = |language| NAMES.get(&language).copied();
    name(language).or_else(|| name(language.other_script()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn languages(tags: &[&str]) -> Vec<Language> {
        tags.iter().map(|tag| tag.parse().unwrap()).collect()
    }

    #[test]
    fn plain_sentences_are_told_apart() {
        let sources = languages(&["en", "de"]);
        let found = |text| {
            detect(text, &sources, "fr".parse().unwrap()).map(|found| found.language.to_string())
        };
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
                let found = detect(text, &english, target).map(|found| found.language);
                assert_eq!(found, Some(english[0]), "{text}");
            }
        }
    }

    #[test]
    fn a_clear_sentence_is_identified_with_confidence() {
        let Detected {
            language,
            confidence,
        } = identify(
            ["Where is the train station, please? I have to catch the train at eight."],
            &languages(&["en", "de", "fr"]),
        )
        .unwrap();
        assert_eq!(language.as_str(), "en");
        assert!((0.5..=1.0).contains(&confidence), "{confidence}");
        assert_eq!(identify(["12345"], &languages(&["en"])), None);
    }

    #[test]
    fn what_is_no_language_is_not_guessed() {
        assert_eq!(
            detect("12345", &languages(&["en"]), "fr".parse().unwrap()),
            None
        );
    }

    #[test]
    fn only_prose_is_looked_at() {
        let candidates = languages(&["en", "de", "fr"]);
        let found = |text| identify([text], &candidates).map(|found| found.language.to_string());
        let markup = "<div class=\"main content wrapper\"><span style=\"text-decoration: underline\">Bonjour à tous</span></div>";
        assert_eq!(found(markup).as_deref(), Some("fr"));
        let address = "Guten Tag https://www.example.com/what-is-the-weather-like-today";
        assert_eq!(found(address).as_deref(), Some("de"));
        let code = "```\nlet the = when;\n```\nWo ist der Bahnhof?";
        assert_eq!(found(code).as_deref(), Some("de"));
        let others =
            "@the_weather who.is.there@example.com {what} `where is the` Où est la gare ? 🎉 12:30";
        assert_eq!(found(others).as_deref(), Some("fr"));
        for none in [
            "https://example.com/where-is-it",
            "{what} `where is` 12:30 🎉",
            "<p></p>",
            "",
        ] {
            assert_eq!(found(none), None, "{none}");
        }
        let french = "fr".parse().unwrap();
        let kept = detect(markup, &languages(&["en"]), french).map(|found| found.language);
        assert_eq!(
            kept,
            Some(french),
            "what is in the target language is not translated"
        );
    }

    #[test]
    fn a_text_in_a_language_that_is_no_candidate_has_no_confidence() {
        let spanish = "¿Dónde está la estación de tren, por favor? Tengo que tomar el tren de las ocho de la mañana.";
        let found = identify([spanish], &languages(&["en", "fr"])).unwrap();
        assert!(found.confidence < f64::EPSILON, "{found:?}");
        assert!(
            identify([spanish], &languages(&["en", "es"]))
                .unwrap()
                .confidence
                > 0.5
        );
    }

    #[test]
    fn languages_are_detected_under_whatever_code_they_have() {
        let persian = "ایستگاه قطار کجاست؟ من باید به قطار ساعت هشت برسم.";
        let found = identify([persian], &languages(&["en", "fa"])).unwrap();
        assert_eq!(found.language.as_str(), "fa");
        let norwegian =
            "Hvor er jernbanestasjonen? Jeg må rekke toget klokka åtte i morgen tidlig.";
        let found = identify([norwegian], &languages(&["en", "no"])).unwrap();
        assert_eq!(found.language.as_str(), "nb");
    }

    #[test]
    fn chinese_in_the_other_characters_is_not_taken_for_the_target() {
        let (simplified, traditional) = (
            "请问火车站在哪里？这里没有车。",
            "請問火車站在哪裡？這裡沒有車。",
        );
        let found = |text, sources: &[&str], target: &str| {
            let target = target.parse().unwrap();
            detect(text, &languages(sources), target).map(|found| found.language.to_string())
        };
        assert_eq!(found(simplified, &["en"], "zh-TW").as_deref(), Some("zh"));
        assert_eq!(
            found(traditional, &["en"], "zh-TW").as_deref(),
            Some("zh-Hant")
        );
        assert_eq!(
            found(traditional, &["en"], "zh").as_deref(),
            Some("zh-Hant")
        );
        assert_eq!(
            found(traditional, &["zh", "zh-Hant"], "en").as_deref(),
            Some("zh-Hant")
        );
        assert_eq!(
            found(simplified, &["zh", "zh-Hant"], "en").as_deref(),
            Some("zh")
        );
        // A model that reads one reads the other too: nobody asked for a script.
        assert_eq!(found(traditional, &["zh"], "en").as_deref(), Some("zh"));
    }

    #[test]
    fn a_long_text_costs_no_more_than_its_beginning() {
        let lines = "Where is the train station, please?\n".repeat(60_000);
        let line = "Where is the train station, please? ".repeat(60_000);
        let without_ends = "where is the train station ".repeat(80_000);
        for text in [lines, line, without_ends] {
            let sample = Sample::of([text.as_str()]);
            let length = sample.prose.chars().count();
            assert!(
                (SAMPLE_CHARS..=2 * SAMPLE_CHARS).contains(&length),
                "{length}"
            );
            assert!(sample.searched <= 5 * SAMPLE_CHARS, "{}", sample.searched);
        }
    }

    #[test]
    fn what_is_searched_for_prose_is_bounded_over_all_texts() {
        let nothing = [
            "😀 @who https://example.com/a ".repeat(50_000),
            "😀 @who\n".repeat(90_000),
        ];
        let sample = Sample::of(nothing.iter().map(String::as_str));
        assert_eq!(sample.prose, "");
        assert!(sample.searched <= 16 << 10);
        let short = vec!["@who"; 1_000];
        let sample = Sample::of(short.iter().copied().chain(["Bonjour."]));
        assert_eq!(sample.prose, "Bonjour. ");
    }

    proptest! {
        #[test]
        fn what_is_found_is_a_candidate_or_its_other_script(text in "\\PC{0,200}", target in 0..4_usize) {
            let candidates = languages(&["en", "zh", "ru", "fa"]);
            let target = candidates[target];
            if let Some(found) = detect(&text, &candidates, target) {
                let language = found.language;
                let known = candidates.contains(&language) || target.other_script() == Some(language);
                prop_assert!(known, "{language}");
                prop_assert!((0.0..=1.0).contains(&found.confidence));
            }
        }
    }
}
