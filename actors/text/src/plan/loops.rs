//! Repetition: a model that is stuck says the same words again and again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Longest run of words, or of characters, that is searched for repetitions.
const MAX_PERIOD: usize = 6;

/// Whether an answer repeats itself where its source does not.
pub(super) fn repeats(source: &str, answer: &str) -> bool {
    let words = |text: &str| text.split_whitespace().map(hash).collect::<Vec<_>>();
    let (source_words, answer_words) = (words(source), words(answer));
    let by_words = (1..=MAX_PERIOD).any(|period| {
        let min = if period == 1 { 4 } else { 3 };
        let most = repetitions(&answer_words, period);
        most >= min && most > 1 + repetitions(&source_words, period)
    });
    by_words || {
        let chars = |text: &str| text.chars().map(u64::from).collect::<Vec<_>>();
        let (source, answer) = (chars(source), chars(answer));
        let runs = |items: &[u64], period| repetitions(items, period) * period;
        let longest = (1..=MAX_PERIOD).map(|period| runs(&source, period)).max();
        (1..=MAX_PERIOD).any(|period| {
            let run = runs(&answer, period);
            run >= 12.max(8 * period) && run > 2 * longest.unwrap_or(0)
        })
    }
}

fn hash(word: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish()
}

/// How often the most repeated run of `period` items follows upon itself.
fn repetitions(items: &[u64], period: usize) -> usize {
    let (mut run, mut longest) = (0, 0);
    for at in period..items.len() {
        run = if items[at] == items[at - period] {
            run + 1
        } else {
            0
        };
        longest = longest.max(run);
    }
    longest / period + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_found_unless_the_source_has_them() {
        assert!(repeats("I am here.", "eu estou estou estou estou estou"));
        assert!(repeats(
            "I am here.",
            "eu estou aqui eu estou aqui eu estou aqui eu estou aqui"
        ));
        assert!(repeats("Hello", "olaolaolaolaolaolaolaolaolaola"));
        assert!(!repeats("no no no no no", "não não não não não"));
        assert!(!repeats("very very good", "muito muito bom"));
        assert!(!repeats("hahahahahahahahahaha", "kkkkkkkkkkkkkkkkkkkk"));
        assert!(!repeats("I am here.", "eu estou aqui"));
    }
}
