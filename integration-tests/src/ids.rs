//! Bookkeeping of sent and received ids.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
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

/// A question.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// Counts questions.
    number: usize,
    at: Instant,
}

/// The ids of all that was asked, and every answer.
#[derive(Debug, Default)]
pub struct Ids {
    asked: BTreeMap<Id, Asked>,
    answers: BTreeMap<Id, Vec<Answer>>,
    missing: BTreeSet<Id>,
    in_order: Vec<Id>,
}

impl Ids {
    /// The same questions, for somebody who reads the answers from the beginning.
    #[must_use]
    pub fn unread(self) -> Self {
        Self {
            missing: self.asked.keys().cloned().collect(),
            asked: self.asked,
            ..Self::default()
        }
    }

    /// An answer is wanted from now on.
    pub fn ask(&mut self, message: &str, target: &str) {
        let id = (message.to_owned(), target.to_owned());
        let asked = Asked {
            number: self.asked.len(),
            at: Instant::now(),
        };
        assert!(
            self.asked.insert(id.clone(), asked).is_none(),
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

    /// The answers to messages whose ids are this name, a hyphen and something.
    fn named(&self, name: &str) -> impl Iterator<Item = &Answer> {
        self.all()
            .filter(move |answer| answer.result.message_id.split('-').next() == Some(name))
    }

    /// Number of answers to messages of this name, see [`Backend::ask_named`](crate::Backend::ask_named).
    #[must_use]
    pub fn answered_of(&self, name: &str) -> usize {
        self.named(name).count()
    }

    /// The errors of answers to messages of this name; empty where there is none.
    #[must_use]
    pub fn errors_of(&self, name: &str) -> Vec<&'static str> {
        self.named(name).map(Answer::error).collect()
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

    /// Panics unless the answers of each conversation and language came in the order of the questions. Each of them is in one partition, so
    /// they come in the order in which they were published.
    pub fn assert_in_order(&self) {
        let mut last: HashMap<(&str, &str), (usize, &Id)> = HashMap::new();
        for (id, asked, answer) in self.arrivals() {
            let stream = (answer.record.key.as_str(), id.1.as_str());
            if let Some((number, before)) = last.insert(stream, (asked.number, id)) {
                assert!(number <= asked.number, "{before:?} came before {id:?}");
            }
        }
    }

    /// How long after `since` answers came again in all of so many conversations and languages: of each of them the first one to a question
    /// that was asked since then counts. `None` when some are missing.
    #[must_use]
    pub fn resumed(&self, since: Instant, streams: usize) -> Option<Duration> {
        let mut first: HashMap<(&str, &str), Instant> = HashMap::new();
        for (id, asked, answer) in self.arrivals().rev() {
            if answer.at < since {
                break;
            }
            if asked.at >= since {
                first.insert((&answer.record.key, &id.1), answer.at);
            }
        }
        let last = first.values().max().filter(|_| first.len() >= streams);
        last.map(|at| at.saturating_duration_since(since))
    }

    /// Number of answers that a node gave and that came between two moments.
    #[must_use]
    pub fn of_node_between(&self, node: &str, from: Instant, until: Instant) -> usize {
        let such =
            |answer: &&Answer| answer.result.node == node && (from..until).contains(&answer.at);
        self.all().filter(such).count()
    }

    /// How long after `since` the first answer came that a node gave after it.
    #[must_use]
    pub fn first_of_node(&self, node: &str, since: Instant) -> Option<Duration> {
        let its = self.all().filter(|answer| answer.result.node == node);
        its.filter_map(|answer| answer.at.checked_duration_since(since))
            .min()
    }

    /// What was asked and how it was first answered, in the order in which answers came.
    fn arrivals(&self) -> impl DoubleEndedIterator<Item = (&Id, Asked, &Answer)> {
        self.in_order.iter().filter_map(|id| {
            let asked = self.asked.get(id)?;
            Some((id, *asked, self.answers.get(id)?.first()?))
        })
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
                Some((self.answers.get(id)?.first()?.at - asked.at).as_secs_f64())
            })
            .collect();
        latencies.sort_by(f64::total_cmp);
        latencies
    }
}
