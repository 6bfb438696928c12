//! Other translations of a text, from those of its sentences.

use crate::text::{self, Document};

use super::sentence::Translations;

/// Joins the sentences into the best translation and at most `most` others. The first of these has the likeliest alternative of each sentence, the
/// second the next one, and so on; a sentence without further alternatives stays as in the best translation. Duplicates are dropped.
pub(super) fn joined(
    document: &Document,
    sentences: Vec<Translations>,
    most: usize,
) -> (String, Vec<String>) {
    let (mut chosen, mut others) = (Vec::new(), Vec::new());
    for Translations { best, alternatives } in sentences {
        chosen.push(best);
        others.push(alternatives.into_iter());
    }
    let best = document.join(&chosen);
    let kept = chosen;
    let mut texts: Vec<String> = Vec::new();
    for _ in 0..most {
        let next: Vec<Option<text::Translation>> = others.iter_mut().map(Iterator::next).collect();
        if next.iter().all(Option::is_none) {
            break;
        }
        let pairs = next.into_iter().zip(&kept);
        let chosen: Vec<_> = pairs
            .map(|(other, best)| other.unwrap_or_else(|| best.clone()))
            .collect();
        let text = document.join(&chosen);
        if text != best && !texts.contains(&text) {
            texts.push(text);
        }
    }
    (best, texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::format::{Format, Options, parse};

    #[test]
    fn sentences_with_fewer_alternatives_stay_as_they_are() {
        let document = parse("One. Two. Three.", Format::Text, &Options::default());
        let sentence = |best: &str, others: &[&str]| Translations {
            best: best.into(),
            alternatives: others.iter().map(|other| (*other).into()).collect(),
        };
        let sentences = || {
            vec![
                sentence("Un.", &["Une.", "L'un.", "Une."]),
                sentence("Deux.", &["Les deux."]),
                sentence("Trois.", &[]),
            ]
        };
        let (best, others) = joined(&document, sentences(), 10);
        assert_eq!(best, "Un. Deux. Trois.");
        let expected = [
            "Une. Les deux. Trois.",
            "L'un. Deux. Trois.",
            "Une. Deux. Trois.",
        ];
        assert_eq!(others, expected);
        assert_eq!(joined(&document, sentences(), 1).1, expected[..1]);
        assert!(joined(&document, sentences(), 0).1.is_empty());
    }
}
