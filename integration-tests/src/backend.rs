//! A backend: it uses topics only.

use std::time::{Duration, Instant};

use babelmesh::kafka::{client::Clients, topics::TopicNames};
use babelmesh_actors::domain::{TranslationRequest, TranslationResult};
use serde_json::{Value, json};

use crate::{Ids, Record, TopicReader, TopicWriter};

/// Publishes requests, reads answers and dead letters, and keeps count of ids.
pub struct Backend {
    /// Names of the topics.
    pub topics: TopicNames,
    /// What was asked and what was answered.
    pub ids: Ids,
    writer: TopicWriter,
    results: TopicReader,
    letters: TopicReader,
}

impl Backend {
    /// A backend of the cluster at these brokers, whose topics have the names that are the default.
    #[must_use]
    pub fn connect(clients: &Clients) -> Self {
        Self::of(clients, TopicNames::default())
    }

    /// A backend of the cluster with these topics; they must be there.
    #[must_use]
    pub fn of(clients: &Clients, topics: TopicNames) -> Self {
        Self {
            ids: Ids::default(),
            writer: TopicWriter::new(clients),
            results: TopicReader::new(clients, &topics.results),
            letters: TopicReader::new(clients, &topics.dead_letters),
            topics,
        }
    }

    /// Publishes a request; an answer for each of its targets is wanted.
    pub fn ask(&mut self, request: &Value) {
        self.ask_by(Record::to(&self.topics.requests, "", request.to_string()));
    }

    /// Publishes a request in a record with headers and a time of its own; its key is the request's.
    pub fn ask_by(&mut self, mut record: Record) {
        let payload = record.payload.as_deref().unwrap_or_default();
        let request = TranslationRequest::decode(payload).expect("the request is one");
        for target in request.targets() {
            self.ids.ask(&request.message_id, target);
        }
        record.key = request.key().to_owned();
        self.writer.write(&record);
    }

    /// Publishes so many requests, of forty conversations and with texts that all differ, and waits until they are with the broker.
    pub fn ask_many(&mut self, messages: usize, targets: &[&str]) {
        for number in 0..messages {
            let text = format!("Good morning, number {number}.");
            let conversation = format!("c{}", number % 40);
            self.ask(&request(
                &format!("m{number}"),
                &text,
                targets,
                &conversation,
            ));
        }
        self.flush();
    }

    /// Publishes so many requests with the ids `<name>-<number>`, each of a conversation of its own, and waits until they are with the broker.
    pub fn ask_named(&mut self, name: &str, targets: &[&str], messages: usize) {
        for number in 0..messages {
            let (id, conversation) = (format!("{name}-{number}"), format!("c{number}"));
            self.ask(&request(&id, "hello", targets, &conversation));
        }
        self.flush();
    }

    /// Writes a record that may be anything; no answer is expected.
    pub fn write(&self, record: &Record) {
        self.writer.write(record);
    }

    /// Number of records that are not with the broker yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.writer.in_flight()
    }

    /// Waits until everything is with the broker.
    pub fn flush(&self) {
        self.writer.flush();
    }

    /// Reads answers for a while, or until `enough`.
    pub fn read_until(&mut self, within: Duration, mut enough: impl FnMut(&Ids) -> bool) -> bool {
        let end = Instant::now() + within;
        while !enough(&self.ids) {
            let left = end.saturating_duration_since(Instant::now());
            match self.results.next(left.min(Duration::from_millis(20))) {
                Some(record) => self.take(record),
                None if left.is_zero() => return false,
                None => {}
            }
        }
        true
    }

    /// Waits until everything is answered, and a little longer: what comes twice comes late.
    pub fn read_all(&mut self, within: Duration) {
        self.flush();
        self.read_until(within, Ids::is_complete);
        for record in self.results.rest() {
            self.take(record);
        }
    }

    /// Dead letters that were not read yet: so many, then whatever follows them.
    #[must_use]
    pub fn letters(&self, count: usize, within: Duration) -> Vec<Record> {
        let mut letters = self.letters.take(count, within);
        letters.extend(self.letters.rest());
        letters
    }

    fn take(&mut self, record: Record) {
        let payload = record.payload.as_deref().unwrap_or_default();
        let result: TranslationResult =
            serde_json::from_slice(payload).expect("everything in the results topic is a result");
        self.ids.answer(result, record);
    }
}

/// A plain request: English, into `targets`, in a conversation.
#[must_use]
pub fn request(id: &str, text: &str, targets: &[&str], conversation: &str) -> Value {
    json!({
        "messageId": id,
        "text": text,
        "sourceLanguage": "en",
        "targetLanguages": targets,
        "conversationId": conversation,
    })
}
