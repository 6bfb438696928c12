//! Language detection by two libraries: `whichlang`, a classifier that is accurate on short texts and knows sixteen languages, and `whatlang`, which
//! compares trigrams, knows 69 languages, and says how sure it is. `decision` weighs them.

mod chinese;
mod decision;

use std::{collections::HashMap, sync::LazyLock};

use whatlang::{Detector, Info, Lang};

use babelmesh_domain::Language;

use self::decision::{Choice, Evidence, Opinion};

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

/// What the language of a text is found to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// A candidate.
    Candidate(Detected),
    /// A language that is no candidate, reliably; `None` where it has no tag.
    Foreign(Option<Language>),
}

impl Finding {
    /// The candidate that was found.
    #[must_use]
    pub const fn candidate(self) -> Option<Detected> {
        match self {
            Self::Candidate(detected) => Some(detected),
            Self::Foreign(_) => None,
        }
    }
}

/// The language of a text that is wanted in `target`, among `sources` that could be translated and the target itself. If a very short text gives no
/// evidence, a source is preferred to the target: returning such a text untranslated is worse than translating it from a guessed language.
/// `None` when the text has no prose in a script of a candidate.
#[must_use]
pub fn detect(text: &str, sources: &[Language], target: Language) -> Option<Finding> {
    let others: Vec<_> = sources
        .iter()
        .copied()
        .filter(|source| *source != target)
        .collect();
    let all: Vec<_> = others.iter().copied().chain([target]).collect();
    let prose = Sample::of([text]).prose;
    match find(&prose, &all)? {
        Found::Foreign(language) => Some(Finding::Foreign(language)),
        Found::Candidate(found) if found.language == target => {
            // Chinese in the other script is a different language.
            let script = chinese::written_in(&prose).filter(|s| target.other_script() == Some(*s));
            Some(Finding::Candidate(Detected {
                language: script.unwrap_or(target),
                ..found
            }))
        }
        Found::Candidate(found) => Some(Finding::Candidate(found)),
        Found::Guess(language) if language != target => Some(guess(language)),
        Found::Guess(_) => {
            let other = best(&prose, &others).map(|(language, _)| language);
            Some(guess(other.or(others.first().copied()).unwrap_or(target)))
        }
    }
}

const fn guess(language: Language) -> Finding {
    Finding::Candidate(Detected {
        language,
        confidence: 0.0,
    })
}

/// The likeliest of some languages for texts that are in the same one. `None` when the language cannot be detected.
#[must_use]
pub fn identify<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    candidates: &[Language],
) -> Option<Detected> {
    let prose = Sample::of(texts).prose;
    let unsure = |language| Detected {
        language,
        confidence: 0.0,
    };
    match find(&prose, candidates)? {
        Found::Candidate(found) => Some(found),
        Found::Guess(language) => Some(unsure(language)),
        Found::Foreign(_) => best(&prose, candidates).map(|(language, _)| unsure(language)),
    }
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

/// What is found among candidates.
enum Found {
    Candidate(Detected),
    Foreign(Option<Language>),
    /// The text is too short to tell.
    Guess(Language),
}

/// The language of a text among some candidates.
fn find(prose: &str, candidates: &[Language]) -> Option<Found> {
    let free = whatlang::detect(prose)?;
    let known = named(candidates);
    let restricted = restricted(prose, &known);
    let evidence = Evidence {
        classifier: classified(prose),
        free: opinion(&free),
        restricted: restricted.as_ref().map(opinion),
        words: prose.split_whitespace().count(),
    };
    let chosen = decision::choose(&evidence, |lang| {
        known.iter().any(|(name, _)| *name == lang)
    });
    Some(match chosen {
        Choice::Candidate { lang, confidence } => Found::Candidate(Detected {
            language: candidate(prose, lang, &known)?,
            confidence,
        }),
        Choice::Guess(lang) => Found::Guess(candidate(prose, lang, &known)?),
        Choice::Foreign(lang) => Found::Foreign(lang.code().parse().ok()),
        Choice::Nothing => return None,
    })
}

/// The likeliest of some languages by trigrams alone.
fn best(prose: &str, candidates: &[Language]) -> Option<(Language, f64)> {
    let known = named(candidates);
    let found = restricted(prose, &known)?;
    Some((candidate(prose, found.lang(), &known)?, found.confidence()))
}

fn named(candidates: &[Language]) -> Vec<(Lang, Language)> {
    let name = |candidate: &Language| Some((library_name(*candidate)?, *candidate));
    candidates.iter().filter_map(name).collect()
}

fn restricted(prose: &str, known: &[(Lang, Language)]) -> Option<Info> {
    let allowed: Vec<_> = known.iter().map(|(lang, _)| *lang).collect();
    if allowed.is_empty() {
        return None;
    }
    let found = Detector::with_allowlist(allowed.clone()).detect(prose);
    // For some scripts the library does not look at the list.
    found.filter(|found| allowed.contains(&found.lang()))
}

/// The candidate of this name. Both ways to write Chinese have one name.
fn candidate(prose: &str, lang: Lang, known: &[(Lang, Language)]) -> Option<Language> {
    let mut same = known.iter().filter(|(name, _)| *name == lang);
    let first = same.next()?.1;
    match same.next() {
        Some((_, other)) if chinese::written_in(prose) == Some(*other) => Some(*other),
        _ => Some(first),
    }
}

fn opinion(info: &Info) -> Opinion {
    Opinion {
        lang: info.lang(),
        confidence: info.confidence().clamp(0.0, 1.0),
    }
}

/// What the classifier takes a text for: always one of its [languages](decision::CLASSIFIED).
fn classified(prose: &str) -> Option<Lang> {
    Lang::from_code(whichlang::detect_language(prose).three_letter_code())
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
mod tests;
