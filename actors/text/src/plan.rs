//! The verified translation of a sentence, as a pure state machine.
//!
//! A [`SentencePlan`] says which texts to send to a model, and checks what comes back. A sentence
//! is tried in up to three ways, from the most fluent to the safest: its tokens in place; with
//! stand-ins for the tokens that were not copied; cut at its tokens and marks. The result contains
//! every token exactly as often as the source, and every mark once, whatever the model answers.
//!
//! ```
//! use std::sync::Arc;
//! use babelmesh_text::format::{Format, Options, parse};
//! use babelmesh_text::plan::{Answer, Profile, SentencePlan, Step};
//!
//! let document = parse("Hello @ana, welcome!", Format::Text, &Options::default());
//! let profile = Arc::new(Profile::default());
//! let mut plan = SentencePlan::new(&document, 0, &profile);
//! let asked = |plan: &SentencePlan| plan.asked().iter().map(|asked| asked.text.clone()).collect::<Vec<_>>();
//! assert_eq!(asked(&plan), ["Hello @ana, welcome!"]);
//! // The model loses the mention, so the sentence is cut at it.
//! let answer = Answer::from("Bonjour, bienvenue !");
//! assert!(matches!(plan.next(vec![answer]), Step::Retry));
//! assert_eq!(asked(&plan), ["Hello", "welcome!"]);
//! let Step::Done { translation, checks, .. } = plan.next(vec!["Bonjour".into(), "bienvenue !".into()])
//!     else { panic!() };
//! assert_eq!(document.join(&[translation]), "Bonjour @ana, bienvenue !");
//! assert_eq!(checks.way.label(), "cut");
//! ```

mod alternatives;
mod assemble;
mod check;
mod checks;
mod digits;
mod loops;
mod places;
mod restore;
mod segment;
mod slots;
pub mod stand_ins;
mod units;
mod writer;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod field_cases;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod term_tests;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, ops::Range, sync::Arc};

pub use checks::{Checks, Flag, Use, Way};

use crate::{
    Document, Translation, Unit,
    document::PartKind,
    recognise::{KindSet, TokenKind},
};
use check::Failure;
use segment::{MarkAt, Mode, Segment, Segments};

/// Capabilities of a model.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Whether answers come with alignments. Without them, sentences are cut at their markup.
    pub alignments: bool,
    /// Texts that the model is known to copy, for use in place of tokens. None of them may be part
    /// of another.
    pub stand_ins: Vec<String>,
    /// Kinds of tokens that the model sees as they are at first.
    pub copies: KindSet,
    /// Longest token that the model sees as it is, in bytes.
    pub max_visible: usize,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            alignments: false,
            stand_ins: Vec::new(),
            copies: KindSet::ALL.without(TokenKind::Unknown),
            max_visible: 64,
        }
    }
}

/// A text for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The text.
    pub text: String,
    /// Whether the answer needs an alignment, since markup was taken out of the text.
    pub is_marked: bool,
    /// Whether there are neither tokens in it nor markup that was taken out: the text may be divided, and the translations of its parts
    /// joined.
    pub is_plain: bool,
}

/// What a model answered to a text.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The translation.
    pub text: String,
    /// Whether it hit a limit of length.
    pub truncated: bool,
    /// Whether it is joined from the translations of parts, since the text was too long for the model.
    pub in_parts: bool,
    /// Which words of it stand for which of the text.
    pub alignment: Option<Alignment>,
    /// Other translations of the whole text, the likeliest first. They have no alignments.
    pub alternatives: Vec<String>,
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ..Self::default()
        }
    }
}

/// Which stretches of a translation stand for which stretches of its source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alignment {
    /// In any order. Links of the same target share it by weight.
    pub links: Vec<Link>,
}

/// A link of an [`Alignment`]; ranges are in bytes of the text that was sent and of the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// In the text that was sent.
    pub source: Range<usize>,
    /// In the answer.
    pub target: Range<usize>,
    /// How likely it is; of no scale.
    pub weight: f32,
}

/// What to do next.
#[derive(Debug, Clone)]
pub enum Step {
    /// The sentence is translated.
    Done {
        /// The translation.
        translation: Translation,
        /// Other translations that passed the checks, the likeliest first.
        alternatives: Vec<Translation>,
        /// How it came about.
        checks: Checks,
    },
    /// Something failed a check: more texts are [asked](SentencePlan::asked).
    Retry,
}

/// Most attempts for a sentence.
pub const MAX_ATTEMPTS: u8 = 3;

/// The translation of one sentence.
#[derive(Debug, Clone)]
pub struct SentencePlan {
    text: Arc<str>,
    unit: Arc<Unit>,
    profile: Arc<Profile>,
    /// For each part of the unit, how it is treated; of tokens alone it matters.
    modes: Vec<Mode>,
    cut_marks: bool,
    /// Whether stretches without tokens and marks are cut in two.
    split: bool,
    attempt: u8,
    segments: Vec<Segment>,
    /// The texts of all attempts so far, each once.
    texts: Vec<Asked>,
    /// Their answers. Texts without one are asked.
    answers: Vec<Answer>,
    /// The first attempt whose answers were rather short, and nothing worse.
    spare: Option<Box<Attempt>>,
    /// What became of the answers, once the plan is done.
    uses: Vec<Use>,
    checks: Checks,
}

/// An attempt to translate a sentence.
#[derive(Debug, Clone)]
struct Attempt {
    modes: Vec<Mode>,
    cut_marks: bool,
    split: bool,
    segments: Vec<Segment>,
}

impl SentencePlan {
    /// A plan for a unit of a document, with the texts of its first attempt. There may be none; [`SentencePlan::next`] then needs no answers.
    ///
    /// # Panics
    /// If the document has no such unit.
    #[must_use]
    pub fn new(document: &Document, unit: usize, profile: &Arc<Profile>) -> Self {
        let unit = document.units[unit].clone();
        let modes = segment::first_modes(&document.text, &unit, profile);
        let has_marks = unit.parts.iter().any(|part| {
            matches!(
                part.kind,
                PartKind::Open(_) | PartKind::Close(_) | PartKind::Empty
            )
        });
        let mut plan = Self {
            text: document.text.clone(),
            unit,
            profile: profile.clone(),
            modes,
            cut_marks: has_marks && !profile.alignments,
            split: false,
            attempt: 0,
            segments: Vec::new(),
            texts: Vec::new(),
            answers: Vec::new(),
            spare: None,
            uses: Vec::new(),
            checks: Checks::default(),
        };
        plan.build();
        plan
    }

    /// The texts that wait for an answer, in this order. Those of later attempts follow them.
    #[must_use]
    pub fn asked(&self) -> &[Asked] {
        &self.texts[self.answers.len()..]
    }

    /// What the model is expected to be able to do.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The text of this number, counted over all attempts.
    #[must_use]
    pub fn text(&self, text: usize) -> Option<&Asked> {
        self.texts.get(text)
    }

    /// What became of the answer to the text of this number, counted over all attempts. [`Use::None`] before the plan is done.
    #[must_use]
    pub fn usage(&self, text: usize) -> Use {
        self.uses.get(text).copied().unwrap_or_default()
    }

    /// Takes the answers to the texts that are [asked](Self::asked). An answer that is missing counts as empty.
    pub fn next(&mut self, answers: Vec<Answer>) -> Step {
        let due = self.asked().len();
        let missing = std::iter::repeat_with(Answer::default);
        self.answers
            .extend(answers.into_iter().chain(missing).take(due));
        loop {
            let mut failures = self.failures();
            let is_usable = failures
                .iter()
                .all(|(_, failure)| *failure == Failure::Short);
            if self.attempt >= MAX_ATTEMPTS {
                if let Some(spare) = self.spare.take().filter(|_| !is_usable) {
                    self.restore(*spare);
                    failures.clear();
                }
                failures.retain(|(_, failure)| *failure != Failure::Short);
                return self.done(&failures);
            }
            if failures.is_empty() {
                return self.done(&[]);
            }
            if is_usable && self.spare.is_none() {
                self.spare = Some(Box::new(self.attempted()));
            }
            self.escalate(&failures);
            self.build();
            if !self.asked().is_empty() {
                return Step::Retry;
            }
        }
    }

    /// The attempt that was made last.
    fn attempted(&self) -> Attempt {
        Attempt {
            modes: self.modes.clone(),
            cut_marks: self.cut_marks,
            split: self.split,
            segments: self.segments.clone(),
        }
    }

    /// Goes back to an earlier attempt. Its answers are still there.
    fn restore(&mut self, attempt: Attempt) {
        Attempt {
            modes: self.modes,
            cut_marks: self.cut_marks,
            split: self.split,
            segments: self.segments,
        } = attempt;
    }

    /// Builds the segments of the next attempt. What was asked before is not asked again.
    fn build(&mut self) {
        self.attempt += 1;
        self.segments = Segments {
            text: &self.text,
            unit: &self.unit,
            profile: &self.profile,
            cut_marks: self.cut_marks,
            split: self.split,
        }
        .build(&mut self.modes);
        let is_alone = self.texts.is_empty() && self.segments.len() == 1;
        let texts = self.texts.iter().enumerate();
        let mut known: HashMap<String, usize> =
            texts.map(|(at, asked)| (asked.text.clone(), at)).collect();
        let sent = self.segments.iter_mut();
        for sent in sent.filter_map(|segment| segment.sent.as_mut()) {
            let is_mark = |mark: &MarkAt| self.unit.parts[mark.part].kind != PartKind::Break;
            let is_marked = sent.marks.iter().any(is_mark);
            let is_plain = sent.slots.is_empty() && !is_marked;
            if let Some(&at) = known.get(&sent.text) {
                sent.asked = at;
                self.texts[at].is_plain &= is_plain;
                self.texts[at].is_marked |= is_marked;
                continue;
            }
            sent.asked = self.texts.len();
            if !is_alone {
                known.insert(sent.text.clone(), sent.asked);
            }
            self.texts.push(Asked {
                text: sent.text.clone(),
                is_marked,
                is_plain,
            });
        }
    }

    /// What is wrong, by the index of its segment.
    fn failures(&self) -> Vec<(usize, Failure)> {
        let mut failures = Vec::new();
        for (at, segment) in self.segments.iter().enumerate() {
            let Some(sent) = &segment.sent else { continue };
            let answer = &self.answers[sent.asked];
            if let Some(failure) = check::failure(sent, answer, self.unit.escape) {
                failures.push((at, failure));
            } else if restore::restore(&self.unit, segment, sent, answer).is_none() {
                failures.push((at, Failure::Marks));
            }
        }
        failures
    }

    /// Chooses a safer way for what failed.
    fn escalate(&mut self, failures: &[(usize, Failure)]) {
        let is_last = self.attempt + 1 >= MAX_ATTEMPTS;
        for (at, failure) in failures {
            let parts = self.segments[*at].parts.clone();
            match failure {
                Failure::Tokens(tokens) | Failure::Numbers(tokens) => {
                    self.checks.note(match failure {
                        Failure::Numbers(_) => Flag::Number,
                        _ => Flag::Token,
                    });
                    for &token in tokens {
                        if let PartKind::Token { kind, .. } = self.unit.parts[token].kind {
                            self.checks.kinds = self.checks.kinds.with(kind);
                        }
                        self.modes[token] = match self.modes[token] {
                            Mode::InPlace if !self.profile.stand_ins.is_empty() => Mode::StandIn,
                            _ => Mode::Cut,
                        };
                    }
                    self.split |= tokens.is_empty();
                }
                Failure::Marks => {
                    self.checks.note(Flag::Tag);
                    self.cut_marks = true;
                }
                Failure::Short | Failure::Bad(_) => {
                    self.checks.note(failure.flag());
                    self.cut_marks = true;
                    self.split = true;
                    self.modes[parts].fill(Mode::Cut);
                }
            }
        }
        if is_last {
            self.cut_marks = true;
            let exact =
                self.unit.parts.iter().map(
                    |part| matches!(part.kind, PartKind::Token { kind, .. } if kind.is_exact()),
                );
            for (mode, is_exact) in self.modes.iter_mut().zip(exact) {
                if is_exact || *mode != Mode::InPlace {
                    *mode = Mode::Cut;
                }
            }
        }
    }

    fn done(&mut self, failures: &[(usize, Failure)]) -> Step {
        let mut checks = std::mem::take(&mut self.checks);
        checks.attempts = self.attempt;
        for (_, failure) in failures {
            checks.note(failure.flag());
        }
        let in_parts = self.segments.iter().any(|segment| {
            let sent = segment.sent.as_ref();
            sent.is_some_and(|sent| self.answers[sent.asked].in_parts)
        });
        if in_parts {
            checks.note(Flag::Truncated);
        }
        let has_cuts = self.cut_marks && self.unit.marks() > 0 || self.split || in_parts;
        checks.way = match () {
            () if has_cuts || self.modes.contains(&Mode::Cut) => Way::Cut,
            () if self.modes.contains(&Mode::StandIn) => Way::StandIn,
            () => Way::Whole,
        };
        let failed: Vec<usize> = failures.iter().map(|(at, _)| *at).collect();
        self.uses = vec![Use::None; self.texts.len()];
        let translation = assemble::assemble(
            &self.text,
            &self.unit,
            &self.segments,
            assemble::Answers {
                all: &self.answers,
                uses: &mut self.uses,
                failed: &failed,
            },
            &mut checks,
        );
        let alternatives = match failures.is_empty() && checks.way != Way::Source {
            true => alternatives::of(self, &translation),
            false => Vec::new(),
        };
        Step::Done {
            translation,
            alternatives,
            checks,
        }
    }
}
