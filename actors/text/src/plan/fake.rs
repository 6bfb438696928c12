//! Models for tests.

use std::sync::Arc;

use super::{Alignment, Answer, Checks, Link, Profile, SentencePlan, Step};
use crate::{
    Document, Translation,
    format::{Format, Options, parse},
};

/// What a fake model does with the words of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fake {
    /// Capitals; copies what is no word.
    Upper,
    /// The first letter moves behind the word.
    PigLatin,
    /// Capitals, without what is no word.
    Dropping,
    /// Capitals, with all that is no word twice.
    Doubling,
    /// Capitals, the last word first.
    Reversing,
    /// Answers what it got.
    Echo,
    /// The same words for ever.
    Looping,
    /// Nothing.
    Silent,
}

impl Fake {
    pub(super) const ALL: [Self; 8] = [
        Self::Upper,
        Self::PigLatin,
        Self::Dropping,
        Self::Doubling,
        Self::Reversing,
        Self::Echo,
        Self::Looping,
        Self::Silent,
    ];

    pub(super) fn answer(self, text: &str, aligned: bool) -> Answer {
        let mut words: Vec<(std::ops::Range<usize>, String)> = Vec::new();
        for word in text.split_whitespace() {
            let start = word.as_ptr() as usize - text.as_ptr() as usize;
            let is_word = word
                .chars()
                .all(|c| c.is_alphabetic() || ".,!?'’;:()\"。".contains(c));
            let translated = match (self, is_word) {
                (Self::Echo, _) => word.to_owned(),
                (Self::PigLatin, true) => pig_latin(word),
                (Self::Dropping, false) => continue,
                (Self::Doubling, false) => format!("{word} {word}"),
                (Self::Looping, _) => "la la la la la la la la la la".to_owned(),
                (Self::Silent, _) => continue,
                (_, true) => word.to_uppercase(),
                (_, false) => word.to_owned(),
            };
            words.push((start..start + word.len(), translated));
        }
        if self == Self::Reversing {
            words.reverse();
        }
        let mut answer = Answer::default();
        let mut links = Vec::new();
        for (source, word) in words {
            if !answer.text.is_empty() {
                answer.text.push(' ');
            }
            let start = answer.text.len();
            answer.text.push_str(&word);
            links.push(Link {
                source,
                target: start..answer.text.len(),
                weight: 1.0,
            });
        }
        answer.alignment = aligned.then_some(Alignment { links });
        answer
    }
}

fn pig_latin(word: &str) -> String {
    let letters = word.trim_end_matches(|c: char| !c.is_alphabetic());
    let mut chars = letters.chars();
    match chars.next() {
        Some(first) => format!("{}{first}ay{}", chars.as_str(), &word[letters.len()..]),
        None => word.to_owned(),
    }
}

/// Carries a plan out.
pub(super) fn run(
    document: &Document,
    unit: usize,
    profile: &Arc<Profile>,
    mut model: impl FnMut(&str) -> Answer,
) -> (Translation, Checks) {
    let mut plan = SentencePlan::new(document, unit, profile);
    for _ in 0..super::MAX_ATTEMPTS {
        let asked = plan.asked().iter();
        let answers = asked.map(|asked| model(&asked.text)).collect();
        match plan.next(answers) {
            Step::Done {
                translation,
                checks,
                ..
            } => return (translation, checks),
            Step::Retry => {}
        }
    }
    panic!("no result after the last attempt: {:?}", document.text())
}

/// Translates a message.
pub(super) fn translate(
    text: &str,
    format: Format,
    profile: &Profile,
    model: impl FnMut(&str) -> Answer,
) -> (String, Vec<Checks>) {
    let document = parse(text, format, &Options::default());
    translate_document(&document, profile, model)
}

pub(super) fn translate_document(
    document: &Document,
    profile: &Profile,
    mut model: impl FnMut(&str) -> Answer,
) -> (String, Vec<Checks>) {
    let profile = Arc::new(profile.clone());
    let (translations, checks): (Vec<_>, Vec<_>) = (0..document.units().len())
        .map(|unit| run(document, unit, &profile, &mut model))
        .unzip();
    (document.join(&translations), checks)
}

/// A profile with alignments and stand-ins.
pub(super) fn aligned() -> Profile {
    Profile {
        alignments: true,
        stand_ins: vec!["XQA".into(), "XQB".into()],
        ..Profile::default()
    }
}
