//! Other translations of a sentence, from the other answers of a model. They pass the same checks as the best one.

use super::{
    Answer, Checks, Flag, SentencePlan, Use, Way,
    assemble::{Answers, assemble},
    check, restore,
};
use crate::Translation;

/// Alternatives to the translation that a plan is done with, the likeliest first. Each takes the next alternative of every answer that has one; one
/// that does not pass the checks is passed over, so its segment stays as in the best translation.
pub(super) fn of(plan: &SentencePlan, best: &Translation) -> Vec<Translation> {
    let sent = plan
        .segments
        .iter()
        .filter_map(|segment| segment.sent.as_ref());
    let others = sent.map(|sent| plan.answers[sent.asked].alternatives.len());
    let most = others.max().unwrap_or(0);
    let known = best.to_text(&plan.text);
    let mut texts = vec![known];
    let mut found = Vec::new();
    for rank in 0..most {
        let Some(translation) = at(plan, rank) else {
            continue;
        };
        let text = translation.to_text(&plan.text);
        if !texts.contains(&text) {
            texts.push(text);
            found.push(translation);
        }
    }
    found
}

/// The translation with the answers of this rank; `None` where none of them passes.
fn at(plan: &SentencePlan, rank: usize) -> Option<Translation> {
    let mut answers = plan.answers.clone();
    let mut is_other = false;
    for segment in &plan.segments {
        let Some(sent) = &segment.sent else { continue };
        let Some(text) = plan.answers[sent.asked].alternatives.get(rank) else {
            continue;
        };
        let other = Answer::from(text.as_str());
        let passes = check::failure(sent, &other, plan.unit.escape).is_none()
            && restore::restore(&plan.unit, segment, sent, &other).is_some();
        if passes {
            answers[sent.asked] = other;
            is_other = true;
        }
    }
    if !is_other {
        return None;
    }
    let mut checks = Checks::default();
    let translation = assemble(
        &plan.text,
        &plan.unit,
        &plan.segments,
        Answers {
            all: &answers,
            uses: &mut vec![Use::None; plan.texts.len()],
            failed: &[],
        },
        &mut checks,
    );
    let is_sound = checks.way != Way::Source && !checks.has(Flag::SourceKept);
    is_sound.then_some(translation)
}
