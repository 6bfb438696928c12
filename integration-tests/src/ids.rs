//! Which ids went in, and which came out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use babelmesh_actors::domain::TranslationResult;

use crate::Record;

/// A message id and a target language.
type Id = (String, String);

/// An answer, as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What it says.
    pub result: TranslationResult,
    /// The record that it came in.
    pub record: Record,
    /// When it came.
    pub at: Instant,
}

impl Answer {
    /// The translation.
    #[must_use]
    pub fn text(&self) -> &str {
        match &self.result.translated_text {
            Some(text) => text,
            None => panic!("an error in place of a translation: {:?}", self.result),
        }
    }

    /// The code of the error; empty when there is none.
    #[must_use]
    pub fn error(&self) -> &'static str {
        self.result
            .error
            .as_ref()
            .map_or("", |error| error.code.name())
    }
}

/// The ids of all that was asked, and every answer.
#[derive(Debug, Default)]
pub struct Ids {
    asked: BTreeMap<Id, Instant>,
    answers: BTreeMap<Id, Vec<Answer>>,
    missing: BTreeSet<Id>,
    in_order: Vec<Id>,
}

impl Ids {
    /// An answer is wanted from now on.
    pub fn ask(&mut self, message: &str, target: &str) {
        let id = (message.to_owned(), target.to_owned());
        assert!(
            self.asked.insert(id.clone(), Instant::now()).is_none(),
            "{id:?} is asked twice"
        );
        if !self.answers.contains_key(&id) {
            self.missing.insert(id);
        }
    }

    /// An answer came.
    pub fn answer(&mut self, result: TranslationResult, record: Record) {
        let id = (result.message_id.clone(), result.target_language.clone());
        self.missing.remove(&id);
        self.in_order.push(id.clone());
        let answer = Answer {
            result,
            record,
            at: Instant::now(),
        };
        self.answers.entry(id).or_default().push(answer);
    }

    /// Number of answers that are wanted.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.len()
    }

    /// Number of ids with an answer.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answers.len()
    }

    /// Whether everything is answered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Panics when an answer is missing, or one came that nobody asked for. Answers may be repeated.
    pub fn assert_nothing_lost(&self) {
        let some: Vec<_> = self.missing.iter().take(10).collect();
        assert!(
            some.is_empty(),
            "{} of {} ids are lost, such as {some:?}",
            self.missing.len(),
            self.asked()
        );
        let unasked: Vec<_> = self
            .answers
            .keys()
            .filter(|id| !self.asked.contains_key(*id))
            .collect();
        assert!(
            unasked.is_empty(),
            "answers that nobody asked for: {unasked:?}"
        );
    }

    /// Panics when an answer is missing, repeated or unasked.
    pub fn assert_exactly_once(&self) {
        self.assert_nothing_lost();
        let repeated = self.answers.iter().filter(|(_, answers)| answers.len() > 1);
        let repeated: Vec<_> = repeated
            .map(|(id, answers)| (id, answers.len()))
            .take(10)
            .collect();
        assert!(
            repeated.is_empty(),
            "ids answered more than once: {repeated:?}"
        );
    }

    /// The first answer to a message in a language.
    #[must_use]
    pub fn of(&self, message: &str, target: &str) -> &Answer {
        let answers = self.answers.get(&(message.to_owned(), target.to_owned()));
        match answers.and_then(|answers| answers.first()) {
            Some(answer) => answer,
            None => panic!("no answer to {message} in {target}"),
        }
    }

    /// Every first answer, by id.
    pub fn all(&self) -> impl Iterator<Item = &Answer> {
        self.answers.values().filter_map(|answers| answers.first())
    }

    /// Message ids and targets in the order in which the answers came.
    #[must_use]
    pub fn in_order(&self) -> &[(String, String)] {
        &self.in_order
    }

    /// Seconds from the question to the first answer, of every message whose id `pick` takes, sorted.
    #[must_use]
    pub fn latencies(&self, pick: impl Fn(&str) -> bool) -> Vec<f64> {
        let picked = self.asked.iter().filter(|((message, _), _)| pick(message));
        let mut latencies: Vec<_> = picked
            .filter_map(|(id, asked)| {
                Some((self.answers.get(id)?.first()?.at - *asked).as_secs_f64())
            })
            .collect();
        latencies.sort_by(f64::total_cmp);
        latencies
    }
}
