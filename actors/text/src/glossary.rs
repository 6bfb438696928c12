//! Terms of a glossary in a text.
//!
//! A [`Dictionary`] finds the terms in a text: whole words, the longest term first, without regard to case. Where they stand, the
//! translation must contain their targets, in the case that the text has there.
//!
//! ```
//! use babelmesh_domain::Term;
//! use babelmesh_text::glossary::Dictionary;
//!
//! let terms = [Term::new("board", "conseil"), Term::new("board of directors", "conseil d'administration")];
//! let dictionary = Dictionary::new(terms.to_vec()).expect("a small dictionary");
//! let text = "Board members ask the board of directors about boarding.";
//! let found: Vec<_> = dictionary.find(text).into_iter().map(|found| found.target).collect();
//! assert_eq!(found, ["Conseil", "conseil d'administration"]);
//! ```

mod case;
mod fold;
mod matcher;
pub mod tables;

use std::{collections::HashMap, ops::Range};

use babelmesh_domain::Term;

use fold::Folded;
use matcher::Matcher;

/// Most terms that are considered at one place of a text.
const MAX_ALTERNATIVES: usize = 4;

/// The terms of one pair of languages, prepared for texts.
pub struct Dictionary {
    terms: Vec<Term>,
    /// For each pattern, the terms that are the same but for their case, in order of their spelling.
    spellings: Vec<Vec<usize>>,
    matcher: Matcher,
}

/// A term in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is, in bytes.
    pub range: Range<usize>,
    /// What stands in its place in the translation.
    pub target: String,
}

/// The terms are too many for an automaton.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the terms are too many or too long: {0}")]
pub struct DictionaryError(String);

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Terms are the sender's; they stay out of logs.
        f.debug_struct("Dictionary")
            .field("terms", &self.terms.len())
            .finish_non_exhaustive()
    }
}

impl Dictionary {
    /// Prepares terms. A term without any character is never found; of equal terms, the first counts.
    ///
    /// # Errors
    /// When the terms have gigabytes.
    pub fn new(terms: Vec<Term>) -> Result<Self, DictionaryError> {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        let mut spellings: Vec<Vec<usize>> = Vec::new();
        let mut known: HashMap<Vec<u8>, usize> = HashMap::with_capacity(terms.len());
        for (at, term) in terms.iter().enumerate() {
            let folded = fold::folded(&term.source);
            if folded.is_empty() {
                continue;
            }
            let pattern = *known.entry(folded).or_insert_with_key(|folded| {
                patterns.push(folded.clone());
                spellings.push(Vec::new());
                patterns.len() - 1
            });
            spellings[pattern].push(at);
        }
        for same in &mut spellings {
            // The sort keeps the order of equal ones.
            same.sort_by(|one, other| terms[*one].source.cmp(&terms[*other].source));
        }
        let matcher = Matcher::new(&patterns).map_err(DictionaryError)?;
        Ok(Self {
            terms,
            spellings,
            matcher,
        })
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The terms in a text, in order and without overlap: at each place the longest one.
    ///
    /// Linear in the length of the text. At a place where terms stand in a case that is not theirs, a few of them are compared with it,
    /// so that the cost there is bounded by the length of a term.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<Found> {
        let folded = Folded::new(text);
        let found = self.matcher.longest(folded.bytes());
        let mut terms = Vec::new();
        let mut at = 0;
        while at < folded.bytes().len() {
            match self.at(text, &folded, &found, at) {
                Some((term, end)) => {
                    terms.push(term);
                    at = end;
                }
                None => at += 1,
            }
        }
        terms
    }

    /// What stands in the place of a text that is a term.
    #[must_use]
    pub fn target(&self, written: &str) -> Option<String> {
        let found = self.find(written).into_iter().next();
        let whole = found.filter(|found| found.range == (0..written.len()));
        whole.map(|found| found.target)
    }

    /// The term at a place of the folded text, and where it ends there.
    fn at(
        &self,
        text: &str,
        folded: &Folded,
        found: &matcher::Matches,
        start: usize,
    ) -> Option<(Found, usize)> {
        let patterns = self.matcher.patterns_at(found, start);
        patterns.take(MAX_ALTERNATIVES).find_map(|(pattern, len)| {
            let range = folded.origin(start..start + len)?;
            let term = self.spelling(pattern, &text[range.clone()])?;
            let target = case::target(term, &text[range.clone()]);
            Some((Found { range, target }, start + len))
        })
    }

    /// The term that is meant by a text, of those that are the same but for their case.
    fn spelling(&self, pattern: usize, written: &str) -> Option<&Term> {
        let same = &self.spellings[pattern];
        let source = |at: &usize| self.terms[*at].source.as_str();
        let exact = same.partition_point(|at| source(at) < written);
        let exact = same.get(exact).filter(|at| source(at) == written);
        let allowed = || {
            let mut some = same.iter().rev().take(MAX_ALTERNATIVES);
            some.find(|at| case::allows(source(at), written))
        };
        exact.or_else(allowed).map(|at| &self.terms[*at])
    }
}

#[cfg(test)]
mod tests;
