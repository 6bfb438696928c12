//! The records that answer one record of a source. Each has a number that stays its own, so that a report is about exactly one of them.

use crate::record::OutRecord;

/// How far a record has got. Within a transaction all of them go together, and nothing is kept of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dispatch {
    /// To be sent, for the first time or again.
    Waiting,
    /// Sent, and not reported yet.
    Sent,
    /// The broker has it.
    Taken,
}

/// One of the records.
#[derive(Debug)]
pub(super) struct Answer {
    /// Tells it from the others; never used again.
    pub(super) number: u32,
    pub(super) record: OutRecord,
    pub(super) dispatch: Dispatch,
}

/// All of them, in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Answers {
    list: Vec<Answer>,
    next: u32,
}

impl Answers {
    pub(super) fn new(records: Vec<OutRecord>) -> Self {
        let mut answers = Self::default();
        answers.splice(0, 0, records);
        answers
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Answer> {
        self.list.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Answer> {
        self.list.iter_mut()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &OutRecord> {
        self.list.iter().map(|answer| &answer.record)
    }

    pub(super) fn find_mut(&mut self, number: u32) -> Option<&mut Answer> {
        self.list.iter_mut().find(|answer| answer.number == number)
    }

    /// Bytes of all keys, values and headers.
    pub(super) fn bytes(&self) -> usize {
        self.records().map(OutRecord::bytes).sum()
    }

    /// Whether the broker has all of them.
    pub(super) fn are_taken(&self) -> bool {
        self.iter().all(|answer| answer.dispatch == Dispatch::Taken)
    }

    /// Replaces every unsent record for which `such` is true by the records that `instead` returns.
    pub(super) fn replace_all(
        &mut self,
        such: impl Fn(&OutRecord) -> bool,
        instead: impl Fn(&OutRecord) -> Vec<OutRecord>,
    ) {
        let mut index = 0;
        while let Some(answer) = self.list.get(index) {
            if answer.dispatch == Dispatch::Waiting && such(&answer.record) {
                let records = instead(&answer.record);
                let count = records.len();
                self.splice(index, 1, records);
                index += count;
            } else {
                index += 1;
            }
        }
    }

    /// Replaces one record by those that `instead` returns. Returns the replaced record.
    pub(super) fn replace(
        &mut self,
        number: u32,
        instead: impl FnOnce(&OutRecord) -> Vec<OutRecord>,
    ) -> Option<OutRecord> {
        let index = self.list.iter().position(|a| a.number == number)?;
        let records = instead(&self.list[index].record);
        self.splice(index, 1, records)
    }

    fn splice(&mut self, at: usize, replaced: usize, records: Vec<OutRecord>) -> Option<OutRecord> {
        let first = self.next;
        let answers = records
            .into_iter()
            .zip(first..)
            .map(|(record, number)| Answer {
                number,
                record,
                dispatch: Dispatch::Waiting,
            });
        let answers: Vec<_> = answers.collect();
        self.next += answers.len() as u32;
        let mut gone = self.list.splice(at..at + replaced, answers);
        gone.next().map(|answer| answer.record)
    }
}

/// Records for the tests of the publisher.
#[cfg(test)]
pub(super) mod samples {
    use std::sync::Arc;

    use crate::record::OutRecord;

    /// Topics that records go to.
    pub(in crate::publisher) const TOPICS: [&str; 4] = ["results", "letters", "jobs.de", "jobs.fr"];

    pub(in crate::publisher) fn record(topic: &str) -> OutRecord {
        OutRecord {
            topic: Arc::from(topic),
            key: Vec::new(),
            payload: vec![0; 10],
            headers: Vec::new(),
            asked: None,
        }
    }

    /// A record to one of the topics, by its index.
    pub(in crate::publisher) fn record_to(topic: usize) -> OutRecord {
        record(TOPICS[topic])
    }
}

#[cfg(test)]
mod tests {
    use super::{samples::record, *};

    fn seen(answers: &Answers) -> Vec<(u32, String)> {
        let answers = answers.iter();
        answers
            .map(|a| (a.number, a.record.topic.to_string()))
            .collect()
    }

    #[test]
    fn only_the_record_with_the_number_is_replaced_and_numbers_are_never_used_again() {
        let mut answers = Answers::new(vec![record("a"), record("b"), record("c")]);
        let gone = answers.replace(1, |_| vec![record("x"), record("y")]);
        assert_eq!(gone.map(|r| r.topic.to_string()), Some("b".to_owned()));
        let expected = [(0, "a"), (3, "x"), (4, "y"), (2, "c")];
        assert_eq!(seen(&answers), expected.map(|(n, t)| (n, t.to_owned())));
        assert!(answers.replace(1, |_| vec![record("z")]).is_none());
        assert!(answers.replace(4, |_| Vec::new()).is_some());
        assert_eq!(seen(&answers).len(), 3);
    }

    #[test]
    fn sent_records_are_not_replaced_by_a_topic_check() {
        let mut answers = Answers::new(vec![record("b"), record("b"), record("a")]);
        answers.find_mut(0).unwrap().dispatch = Dispatch::Sent;
        answers.replace_all(|r| &*r.topic == "b", |_| vec![record("b"), record("b")]);
        let expected = [(0, "b"), (3, "b"), (4, "b"), (2, "a")];
        assert_eq!(seen(&answers), expected.map(|(n, t)| (n, t.to_owned())));
        assert!(!answers.are_taken());
    }
}
