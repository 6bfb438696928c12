//! BLEU and chrF of a corpus, with the numbers that sacrebleu gives by default: 13a tokenisation and exponential smoothing for BLEU; for chrF
//! six orders of characters without spaces, no words, and a recall that counts twice.

pub mod reliability;
mod tokens;

use std::{collections::HashMap, hash::Hash};

pub use tokens::tokens;

const BLEU_ORDER: usize = 4;
const CHRF_ORDER: usize = 6;
const CHRF_BETA: f64 = 2.0;

/// Counts of a corpus, summed sentence by sentence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    correct: [u64; BLEU_ORDER],
    total: [u64; BLEU_ORDER],
    translated_tokens: u64,
    reference_tokens: u64,
    /// n-grams of characters in the translation, in the reference, in both.
    characters: [[u64; 3]; CHRF_ORDER],
}

impl Counts {
    /// Adds a translation and its reference.
    pub fn add(&mut self, translation: &str, reference: &str) {
        let (translated, wanted) = (tokens(translation), tokens(reference));
        self.translated_tokens += translated.len() as u64;
        self.reference_tokens += wanted.len() as u64;
        for order in 1..=BLEU_ORDER {
            let [total, _, correct] = common(&translated, &wanted, order);
            self.total[order - 1] += total;
            self.correct[order - 1] += correct;
        }
        let characters = |text: &str| {
            text.chars()
                .filter(|c| !tokens::is_space(*c))
                .collect::<Vec<_>>()
        };
        let (translated, wanted) = (characters(translation), characters(reference));
        for (order, counts) in (1..).zip(&mut self.characters) {
            let [total, reference, correct] = common(&translated, &wanted, order);
            // Orders that the reference does not have are not counted at all.
            counts[0] += if reference > 0 { total } else { 0 };
            counts[1] += reference;
            counts[2] += correct;
        }
    }

    /// BLEU, from 0 to 100.
    #[must_use]
    pub fn bleu(&self) -> f64 {
        if self.correct.iter().all(|count| *count == 0) {
            return 0.0;
        }
        let mut smoothing = 1.0;
        let mut logarithms = 0.0;
        for (correct, total) in self.correct.iter().zip(self.total) {
            let precision = match (*correct, total) {
                // No sentence is long enough.
                (_, 0) => return 0.0,
                (0, total) => {
                    smoothing *= 2.0;
                    1.0 / (smoothing * total as f64)
                }
                (correct, total) => correct as f64 / total as f64,
            };
            logarithms += precision.ln();
        }
        let ratio = self.reference_tokens as f64 / self.translated_tokens as f64;
        let brevity = if ratio > 1.0 {
            (1.0 - ratio).exp()
        } else {
            1.0
        };
        100.0 * brevity * (logarithms / BLEU_ORDER as f64).exp()
    }

    /// chrF2, from 0 to 100.
    #[must_use]
    pub fn chrf(&self) -> f64 {
        let counted = self
            .characters
            .iter()
            .filter(|counts| counts[0] > 0 && counts[1] > 0);
        let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
        for [translated, reference, both] in counted {
            precision += *both as f64 / *translated as f64;
            recall += *both as f64 / *reference as f64;
            orders += 1.0;
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precision / orders, recall / orders);
        let factor = CHRF_BETA * CHRF_BETA;
        100.0 * (1.0 + factor) * precision * recall / (factor * precision + recall)
    }
}

/// n-grams of a translation, of its reference, and how many are in both.
fn common<T: Hash + Eq>(translation: &[T], reference: &[T], order: usize) -> [u64; 3] {
    let mut left: HashMap<&[T], u64> = HashMap::new();
    for words in reference.windows(order) {
        *left.entry(words).or_default() += 1;
    }
    let mut both = 0;
    for words in translation.windows(order) {
        if let Some(count) = left.get_mut(words).filter(|count| **count > 0) {
            *count -= 1;
            both += 1;
        }
    }
    let number = |length: usize| (length + 1).saturating_sub(order) as u64;
    [number(translation.len()), number(reference.len()), both]
}

#[cfg(test)]
mod tests;
