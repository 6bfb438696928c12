//! Checks an answer against the text that was sent.

use std::ops::Range;

use super::{Answer, Flag, digits, loops, segment::Sent, slots, units};
use crate::{escape::Escape, estimate_tokens, format::tags::Tags};

/// Why an answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// These tokens, by their parts, are not in it exactly as often as they should be.
    Tokens(Vec<usize>),
    /// Numbers changed, or signs or units beside them. The parts that hold them.
    Numbers(Vec<usize>),
    /// The marks cannot be restored.
    Marks,
    /// It is rather short. It may be used if nothing better comes.
    Short,
    /// The answer as a whole is bad.
    Bad(Flag),
}

impl Failure {
    pub(super) fn flag(&self) -> Flag {
        match self {
            Self::Tokens(_) => Flag::Token,
            Self::Numbers(_) => Flag::Number,
            Self::Marks => Flag::Tag,
            Self::Short => Flag::Length,
            Self::Bad(flag) => *flag,
        }
    }
}

/// What is wrong with an answer: that it is [short](Failure::Short) only if nothing else is.
pub(super) fn failure(sent: &Sent, answer: &Answer, escape: Escape) -> Option<Failure> {
    let text = answer.text.as_str();
    if answer.truncated {
        return Some(Failure::Bad(Flag::Truncated));
    }
    if !text.contains(|c: char| !c.is_whitespace()) {
        return Some(Failure::Bad(Flag::Empty));
    }
    if !has_possible_length(&sent.text, text) {
        return Some(Failure::Bad(Flag::Length));
    }
    if loops::repeats(&sent.text, text) {
        return Some(Failure::Bad(Flag::Repetition));
    }
    let (found, lost) = tokens(sent, text);
    if !lost.is_empty() {
        return Some(Failure::Tokens(lost));
    }
    let own: Vec<_> = sent.slots.iter().map(|slot| slot.at.clone()).collect();
    if escape == Escape::None && text.contains('<') && tags(text, &found) > tags(&sent.text, &own) {
        return Some(Failure::Bad(Flag::AddedMarkup));
    }
    let is_digit = |c: char| c.is_numeric();
    if sent.text.contains(is_digit) {
        let expected = digits::groups(&sent.text, &own);
        let is_changed = !expected.is_empty() && expected != digits::groups(text, &found);
        if is_changed || units::is_one_lost(&sent.text, &own, text) {
            return Some(Failure::Numbers(sent.numbers.clone()));
        }
    }
    (!has_plausible_length(&sent.text, text)).then_some(Failure::Short)
}

/// Where the tokens are in an answer, and which of them are not there as they should be.
fn tokens(sent: &Sent, answer: &str) -> (Vec<Range<usize>>, Vec<usize>) {
    if sent.slots.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let wanted = sent.wanted();
    let expected = slots::count(&sent.text, &wanted);
    let found = slots::find(answer, &wanted);
    let mut counts = vec![0; wanted.len()];
    let mut is_damaged = vec![false; wanted.len()];
    for (range, index) in &found {
        counts[*index] += 1;
        is_damaged[*index] |= slots::is_joined(answer, range);
    }
    let lost = sent.slots.iter().filter(|slot| {
        let index = wanted.binary_search(&&sent.text[slot.at.clone()]);
        let is_joined = slots::is_joined(&sent.text, &slot.at);
        index.is_ok_and(|at| counts[at] != expected[at] || is_damaged[at] && !is_joined)
    });
    let lost = lost.map(|slot| slot.part).collect();
    (found.into_iter().map(|(range, _)| range).collect(), lost)
}

/// How many tags there are in a text, outside of its tokens.
fn tags(text: &str, tokens: &[Range<usize>]) -> usize {
    let tags = Tags::new(text);
    let (mut at, mut count) = (0, 0);
    while let Some(tag) = tags.next(at, text.len()) {
        at = tag.range.end;
        let is_in = |token: &Range<usize>| token.start <= tag.range.start && at <= token.end;
        count += usize::from(!tokens.iter().any(is_in));
    }
    count
}

/// Whether an answer is not too long or too short. Of 320,000 sentences of Tatoeba in English, French, German and Portuguese no translation by a
/// person is shorter than two fifths of its source, less eight tokens. One that is has probably lost a clause.
fn has_plausible_length(source: &str, answer: &str) -> bool {
    let (source, answer) = (estimate_tokens(source), estimate_tokens(answer));
    answer <= 4 * source + 16 && 2 * source <= 5 * answer + 16
}

/// Whether an answer is not far too long or too short.
fn has_possible_length(source: &str, answer: &str) -> bool {
    let (source, answer) = (estimate_tokens(source), estimate_tokens(answer));
    answer <= 4 * source + 16 && source <= 6 * answer + 16
}

/// Whether a model gave back what it got, of which some should have changed.
pub(super) fn is_copy(sent: &Sent, answer: &str) -> bool {
    let words = sent
        .text
        .split_whitespace()
        .filter(|word| word.chars().filter(|c| c.is_alphabetic()).count() > 1);
    words.count() > 3 && sent.text.trim() == answer.trim()
}

#[cfg(test)]
mod tests {
    use super::has_plausible_length;

    #[test]
    fn an_answer_without_half_of_the_clauses_is_too_short() {
        let source = "When the train arrived, the passengers, who had waited for two hours, took their bags, \
            said goodbye to the station master and went home through the snow.";
        assert!(has_plausible_length(source, &source[..source.len() / 2]));
        assert!(!has_plausible_length(source, "Quando o trem chegou."));
        // Brief sentences vary.
        assert!(has_plausible_length("How do you do?", "Oi"));
        assert!(has_plausible_length(
            "I am very pleased to meet you.",
            "Prazer."
        ));
        assert!(has_plausible_length(
            "The garden is behind the old house.",
            "\u{82b1}\u{56ed}\u{5728}\u{8001}\u{5c4b}\u{540e}\u{9762}\u{3002}"
        ));
        assert!(!has_plausible_length("Yes.", &"Sim, sim. ".repeat(20)));
    }
}
