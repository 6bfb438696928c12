//! Texts that stand in for tokens, and which of them a model copies.

use super::slots;

/// Texts that many models copy: they look like names of things, and are no words of any language. None is part of another one.
const CANDIDATES: [&str; 6] = ["Xq1", "QZ7", "K9", "ZX4", "XQA", "XQB"];

/// A text that shows which stand-ins a model copies. A list has no grammar, so that it serves for every language.
#[must_use]
pub fn probe() -> String {
    CANDIDATES.join(", ") + "."
}

/// The stand-ins that a model copied into its translation of the [`probe`].
#[must_use]
pub fn copied(translation: &str) -> Vec<String> {
    let mut wanted = CANDIDATES;
    wanted.sort_unstable();
    let found = slots::find(translation, &wanted);
    let is_copied = |candidate: &&str| {
        let mut places = found
            .iter()
            .filter(|(_, index)| wanted[*index] == *candidate);
        let first = places.next();
        let is_alone = first.is_some_and(|(range, _)| !slots::is_joined(translation, range));
        is_alone && places.next().is_none()
    };
    let copied = CANDIDATES.into_iter().filter(is_copied);
    copied.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_once_and_by_itself_was_copied() {
        assert_eq!(copied(&probe()), CANDIDATES);
        assert_eq!(copied("Xq1 y QZ7, QZ7, K91, aZX4, XQA."), ["Xq1", "XQA"]);
        assert_eq!(copied(""), Vec::<String>::new());
    }

    #[test]
    fn no_candidate_is_part_of_another_one() {
        for (at, candidate) in CANDIDATES.iter().enumerate() {
            let mut others = CANDIDATES.iter().enumerate();
            assert!(others.all(|(other, text)| other == at || !text.contains(candidate)));
        }
    }
}
