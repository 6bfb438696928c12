//! Weighs what two libraries take a text for.

use whatlang::Lang;

/// Languages that the classifier knows. It takes every text for one of them.
pub(super) const CLASSIFIED: [Lang; 16] = [
    Lang::Ara,
    Lang::Cmn,
    Lang::Deu,
    Lang::Eng,
    Lang::Fra,
    Lang::Hin,
    Lang::Ita,
    Lang::Jpn,
    Lang::Kor,
    Lang::Nld,
    Lang::Por,
    Lang::Rus,
    Lang::Spa,
    Lang::Swe,
    Lang::Tur,
    Lang::Vie,
];

/// Languages that trigrams confuse even where they seem reliable.
const CLOSE: [[Lang; 2]; 3] = [
    [Lang::Dan, Lang::Nob],
    [Lang::Ces, Lang::Slk],
    [Lang::Hrv, Lang::Slv],
];

/// Confidence of trigrams from which their finding is taken without a second opinion.
const RELIABLE: f64 = 0.9;
/// Words from which the classifier alone may tell that a text is in no candidate's language.
const ENOUGH_WORDS: usize = 3;

/// A language, and how sure the trigrams are of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Opinion {
    pub(super) lang: Lang,
    /// From 0 to 1.
    pub(super) confidence: f64,
}

/// What is known of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    /// What the classifier takes it for.
    pub(super) classifier: Option<Lang>,
    /// What trigrams take it for among all languages.
    pub(super) free: Opinion,
    /// The same among the candidates; `None` where none has its script.
    pub(super) restricted: Option<Opinion>,
    pub(super) words: usize,
}

/// What a text is taken for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Choice {
    Candidate {
        lang: Lang,
        /// From 0 to 1.
        confidence: f64,
    },
    /// A candidate for want of evidence.
    Guess(Lang),
    /// Reliably, a language that is no candidate.
    Foreign(Lang),
    /// Nothing tells.
    Nothing,
}

/// Chooses a language. In this order:
///
/// 1. Trigrams that are reliable among all languages. If they name no candidate, the text is foreign, except where a candidate is a close relative.
/// 2. A candidate that the classifier does not know, and that trigrams name among all languages.
/// 3. The classifier, if it names a candidate. A very short text needs the trigrams to agree.
/// 4. Foreign, if the trigrams name the same language as the classifier.
/// 5. A candidate that the classifier does not know, and that trigrams prefer.
/// 6. Foreign by the classifier alone, if the text is not very short.
/// 7. A guess by trigrams.
pub(super) fn choose(evidence: &Evidence, is_candidate: impl Fn(Lang) -> bool) -> Choice {
    let Evidence {
        classifier,
        free,
        restricted,
        words,
    } = *evidence;
    let is_unclassified = |lang| !CLASSIFIED.contains(&lang);
    if free.confidence > RELIABLE {
        if is_candidate(free.lang) {
            return candidate(free);
        }
        return match restricted {
            Some(found) if are_close(found.lang, free.lang) => candidate(found),
            _ => Choice::Foreign(free.lang),
        };
    }
    if is_unclassified(free.lang) && is_candidate(free.lang) {
        return candidate(free);
    }
    let agrees = restricted.is_some_and(|found| Some(found.lang) == classifier);
    match (classifier, restricted) {
        (Some(lang), _) if is_candidate(lang) => match agrees || words >= ENOUGH_WORDS {
            true => Choice::Candidate {
                lang,
                confidence: accuracy(words, agrees),
            },
            false => Choice::Guess(lang),
        },
        (Some(lang), _) if lang == free.lang => Choice::Foreign(lang),
        (_, Some(found)) if is_unclassified(found.lang) => candidate(found),
        (Some(lang), _) if words >= ENOUGH_WORDS => Choice::Foreign(lang),
        (_, Some(found)) => Choice::Guess(found.lang),
        _ => Choice::Nothing,
    }
}

const fn candidate(opinion: Opinion) -> Choice {
    let Opinion { lang, confidence } = opinion;
    Choice::Candidate { lang, confidence }
}

fn are_close(one: Lang, other: Lang) -> bool {
    CLOSE
        .iter()
        .any(|pair| pair.contains(&one) && pair.contains(&other))
}

/// How often the classifier was right for texts of so many words, by whether trigrams agree: measured on everyday sentences, rounded down.
const fn accuracy(words: usize, agrees: bool) -> f64 {
    match (words, agrees) {
        (0..=2, true) => 0.9,
        (0..=2, false) => 0.5,
        (3..=5, true) => 0.99,
        (3..=5, false) => 0.9,
        (_, true) => 1.0,
        (_, false) => 0.95,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lang() -> impl Strategy<Value = Lang> {
        prop::sample::select(Lang::all().to_vec())
    }

    fn opinion() -> impl Strategy<Value = Opinion> {
        (lang(), 0.0..=1.0).prop_map(|(lang, confidence)| Opinion { lang, confidence })
    }

    proptest! {
        #[test]
        fn a_choice_is_a_candidate_or_foreign(
            candidates in prop::collection::vec(lang(), 1..6), classifier in prop::option::of(prop::sample::select(CLASSIFIED.to_vec())),
            free in opinion(), restricted in 0usize..6, confidence in 0.0..=1.0, words in 0usize..50,
        ) {
            let restricted = candidates.get(restricted).map(|lang| Opinion { lang: *lang, confidence });
            let evidence = Evidence { classifier, free, restricted, words };
            match choose(&evidence, |lang| candidates.contains(&lang)) {
                Choice::Candidate { lang, confidence } => {
                    prop_assert!(candidates.contains(&lang));
                    prop_assert!((0.0..=1.0).contains(&confidence));
                }
                Choice::Guess(lang) => prop_assert!(candidates.contains(&lang)),
                Choice::Foreign(lang) => prop_assert!(!candidates.contains(&lang)),
                Choice::Nothing => prop_assert!(restricted.is_none()),
            }
        }
    }

    #[test]
    fn the_classifier_does_not_hide_languages_that_it_does_not_know() {
        let found = |lang, confidence| Opinion { lang, confidence };
        let polish = Evidence {
            classifier: Some(Lang::Nld),
            free: found(Lang::Pol, 0.7),
            restricted: Some(found(Lang::Pol, 0.8)),
            words: 4,
        };
        let chosen = choose(&polish, |lang| matches!(lang, Lang::Pol | Lang::Nld));
        assert!(matches!(
            chosen,
            Choice::Candidate {
                lang: Lang::Pol,
                ..
            }
        ));
        let danish = Evidence {
            classifier: Some(Lang::Swe),
            free: found(Lang::Dan, 0.95),
            restricted: Some(found(Lang::Nob, 0.3)),
            words: 8,
        };
        let chosen = choose(&danish, |lang| matches!(lang, Lang::Nob | Lang::Eng));
        assert!(matches!(
            chosen,
            Choice::Candidate {
                lang: Lang::Nob,
                ..
            }
        ));
    }
}
