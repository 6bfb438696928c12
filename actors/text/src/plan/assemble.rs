//! Puts the translation of a sentence together, and checks it as a whole.

use std::borrow::Cow;

use super::{
    Answer, Checks, Flag, Use, Way, check,
    restore::{self, Out},
    segment::{Segment, Sent},
    slots,
};
use crate::{
    Translation, Unit,
    document::{Fragment, PartKind},
    escape::{Encoder, Escape},
    format::tags::Tags,
};

/// The answers to the texts of a plan.
pub(super) struct Answers<'a> {
    pub(super) all: &'a [Answer],
    /// What becomes of each.
    pub(super) uses: &'a mut [Use],
    /// Segments that have no answer which passed; in order.
    pub(super) failed: &'a [usize],
}

/// The translation of a unit; the segments that failed stay as they are.
pub(super) fn assemble(
    text: &str,
    unit: &Unit,
    segments: &[Segment],
    answers: Answers<'_>,
    checks: &mut Checks,
) -> Translation {
    let words = unit.parts.iter().filter_map(|part| {
        let is_text = matches!(part.kind, PartKind::Text { .. });
        is_text.then(|| &text[part.range.clone()])
    });
    let mut assembly = Assembly {
        unit,
        encoder: Encoder::new(unit.escape, words),
        translation: Translation::default(),
        pending: String::new(),
        terms: 0,
    };
    // Whether nothing was translated, and whether every byte is the source's.
    let (mut is_source, mut is_verbatim) = (true, true);
    let mut failed = answers.failed.iter().peekable();
    for (at, segment) in segments.iter().enumerate() {
        let is_failed = failed.next_if_eq(&&at).is_some();
        let Some(sent) = &segment.sent else {
            assembly.source(segment);
            continue;
        };
        let answer = (!is_failed).then(|| &answers.all[sent.asked]);
        // A half of a segment has no place of its own.
        let is_half = |next: &Segment| next.range.is_empty() && next.parts == segment.parts;
        let is_whole = !segment.range.is_empty() && !segments.get(at + 1).is_some_and(is_half);
        let restored = answer
            .and_then(|answer| Some((answer, restore::restore(unit, segment, sent, answer)?)));
        let Some((answer, restored)) = restored else {
            checks.note(Flag::SourceKept);
            assembly.kept(segment, sent, is_whole);
            is_verbatim &= is_whole;
            continue;
        };
        let is_copy = check::is_copy(sent, &answer.text);
        if is_copy {
            checks.note(Flag::Untranslated);
        }
        answers.uses[sent.asked] = match is_copy {
            true => Use::Doubtful,
            false => Use::Passed,
        };
        if answer.text.trim() == sent.text.trim() && is_whole {
            assembly.source(segment);
            continue;
        }
        is_source = false;
        is_verbatim = false;
        assembly.sent(sent, answer, &restored);
    }
    let (translation, terms) = assembly.finish();
    let all_terms = unit
        .parts
        .iter()
        .filter(|part| part.target().is_some())
        .count();
    is_source &= all_terms == 0;
    is_verbatim &= all_terms == 0;
    if !is_verbatim && (terms != all_terms || !is_complete(text, unit, &translation)) {
        checks.note(Flag::Token);
        checks.note(Flag::SourceKept);
        checks.way = Way::Source;
        answers.uses.fill(Use::None);
        return Translation {
            fragments: vec![Fragment::Source(unit.range.clone())],
        };
    }
    if is_source && checks.has(Flag::SourceKept) {
        checks.way = Way::Source;
    }
    translation
}

/// Whether the translation holds every token exactly as often as the source, and no tag that it
/// should not. Terms of a glossary are counted where they are placed: their targets may well be translations of other words.
fn is_complete(text: &str, unit: &Unit, translation: &Translation) -> bool {
    let mut tokens: Vec<&str> = unit
        .parts
        .iter()
        .filter(|part| matches!(part.kind, PartKind::Token { kind, .. } if kind.is_exact()))
        .filter(|part| part.target().is_none())
        .map(|part| &text[part.range.clone()])
        .collect();
    let has_marks = unit.marks() > 0;
    if tokens.is_empty() && !has_marks {
        return true;
    }
    tokens.sort_unstable();
    tokens.dedup();
    let (source, target) = (with_targets(text, unit), translation.to_text(text));
    if slots::count(&source, &tokens) != slots::count(&target, &tokens) {
        return false;
    }
    !has_marks || unit.escape != Escape::None || tags(&source) == tags(&target)
}

/// The unit as it stands in the message, with the targets of terms in their places.
fn with_targets<'a>(text: &'a str, unit: &Unit) -> Cow<'a, str> {
    if unit.parts.iter().all(|part| part.target().is_none()) {
        return text[unit.range.clone()].into();
    }
    let parts = unit.parts.iter();
    let parts = parts.map(|part| part.target().unwrap_or(&text[part.range.clone()]));
    parts.collect()
}

/// The tags of a text, sorted.
fn tags(text: &str) -> Vec<&str> {
    let tags = Tags::new(text);
    let mut at = 0;
    let mut found: Vec<_> = std::iter::from_fn(|| {
        let tag = tags.next(at, text.len())?;
        at = tag.range.end;
        Some(&text[tag.range])
    })
    .collect();
    found.sort_unstable();
    found
}

struct Assembly<'a> {
    unit: &'a Unit,
    encoder: Encoder<'a>,
    translation: Translation,
    /// Words that are not escaped yet.
    pending: String,
    /// How many terms of a glossary are in it.
    terms: usize,
}

impl Assembly<'_> {
    fn words(&mut self, words: &str, is_upper: bool) {
        match is_upper {
            true => self
                .pending
                .extend(words.chars().flat_map(char::to_uppercase)),
            false => self.pending.push_str(words),
        }
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            let mut encoded = String::with_capacity(self.pending.len());
            self.encoder.write(&self.pending, &mut encoded);
            self.translation.push_str(&encoded);
            self.pending.clear();
        }
    }

    /// A segment as it stands in the message, with the targets of terms in their places.
    fn source(&mut self, segment: &Segment) {
        let unit = self.unit;
        let parts = &unit.parts[segment.parts.clone()];
        if parts.iter().all(|part| part.target().is_none()) {
            self.flush();
            self.translation.push_source(segment.range.clone());
            return;
        }
        segment.parts.clone().for_each(|part| self.part(part));
    }

    fn part(&mut self, part: usize) {
        let part = &self.unit.parts[part];
        match part.target() {
            Some(target) => {
                self.pending.push_str(target);
                self.terms += 1;
            }
            None => {
                self.flush();
                self.translation.push_source(part.range.clone());
            }
        }
    }

    /// A segment that has no translation.
    fn kept(&mut self, segment: &Segment, sent: &Sent, is_whole: bool) {
        if is_whole {
            return self.source(segment);
        }
        self.words(&sent.lead, sent.is_upper);
        self.words(&sent.text, sent.is_upper);
        self.words(&sent.trail, sent.is_upper);
    }

    fn sent(&mut self, sent: &Sent, answer: &Answer, restored: &[Out]) {
        self.words(&sent.lead, sent.is_upper);
        let tokens = sent.located(&answer.text);
        let mut tokens = tokens.into_iter().peekable();
        for out in restored {
            match out {
                Out::Mark(part) => self.part(*part),
                Out::Space => self.words(" ", false),
                Out::Words(range) => {
                    let mut from = range.start;
                    while let Some((token, part)) =
                        tokens.next_if(|(token, _)| token.start < range.end)
                    {
                        self.words(&answer.text[from..token.start.max(from)], sent.is_upper);
                        from = token.end.max(from).min(range.end);
                        match part {
                            Some(part) => self.part(part),
                            None => self.words(&answer.text[token], false),
                        }
                    }
                    self.words(&answer.text[from..range.end], sent.is_upper);
                }
            }
        }
        self.words(&sent.trail, sent.is_upper);
    }

    /// The translation, and how many terms are in it.
    fn finish(mut self) -> (Translation, usize) {
        self.flush();
        (self.translation, self.terms)
    }
}
