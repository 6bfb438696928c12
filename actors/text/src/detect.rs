//! Language detection by two libraries: `whichlang`, a classifier that is accurate on short texts and knows sixteen languages, and `whatlang`, which
//! compares trigrams, knows 69 languages, and says how sure it is. `decision` weighs them.

mod chinese;
mod decision;

use std::{collections::HashMap, sync::LazyLock};

use whatlang::{Detector, Info, Lang};

use babelmesh_domain::{Format, Language};

use crate::format::{Options, parse};

use self::decision::{Choice, Evidence, Opinion};

/// Characters of prose that are looked at; what follows adds nothing.
const SAMPLE_CHARS: usize = 2_000;
/// Bytes that are parsed of a text at first.
const FIRST_BYTES: usize = 8 << 10;
/// Bytes that are parsed of all texts, where there is too little prose in their beginnings: code and markup are passed over. What is found by
/// then decides.
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
pub fn detect(
    text: &str,
    format: Format,
    sources: &[Language],
    target: Language,
) -> Option<Finding> {
    let others: Vec<_> = sources
        .iter()
        .copied()
        .filter(|source| *source != target)
        .collect();
    let all: Vec<_> = others.iter().copied().chain([target]).collect();
    let prose = Sample::of([text], format).prose;
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

/// The likeliest of some languages for plain texts that are in the same one. `None` when the language cannot be detected.
#[must_use]
pub fn identify<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    candidates: &[Language],
) -> Option<Detected> {
    let prose = Sample::of(texts, Format::Text).prose;
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
    /// Bytes that were parsed for it.
    parsed: usize,
    /// Characters that may follow.
    room: usize,
}

impl Sample {
    fn of<'a>(texts: impl IntoIterator<Item = &'a str>, format: Format) -> Self {
        let mut sample = Self {
            prose: String::new(),
            parsed: 0,
            room: SAMPLE_CHARS,
        };
        for text in texts {
            // Nearly always, there is prose enough in the beginning.
            for most in [FIRST_BYTES, SKIMMED_BYTES] {
                let most = most.min(SKIMMED_BYTES.saturating_sub(sample.parsed));
                let start = &text[..text.floor_char_boundary(most)];
                let (length, room) = (sample.prose.len(), sample.room);
                sample.add(start, format);
                if sample.room == 0 || start.len() == text.len() {
                    break;
                }
                if most == FIRST_BYTES {
                    sample.prose.truncate(length);
                    sample.room = room;
                }
            }
            if sample.room == 0 {
                break;
            }
        }
        sample
    }

    fn add(&mut self, text: &str, format: Format) {
        self.parsed += text.len();
        let document = parse(text, format, &Options::default());
        for unit in document.units() {
            for words in document.prose(unit) {
                let mut chars = words.chars();
                self.prose.extend(chars.by_ref().take(self.room));
                let taken = words.len() - chars.as_str().len();
                self.room -= words[..taken].chars().count();
            }
            self.prose.push(' ');
            if self.room == 0 {
                return;
            }
        }
    }
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
