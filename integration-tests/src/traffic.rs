//! A steady flow of messages while something happens to nodes and brokers.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{Backend, Ids, Record, request, wait_for};

/// Conversations that messages belong to, in turn.
const CONVERSATIONS: u64 = 20;
/// Languages that each message is wanted in.
const TARGETS: [&str; 2] = ["fr", "de"];
/// How long answers are waited for at a time; messages that are due meanwhile are late by that.
const READ: Duration = Duration::from_millis(10);
/// How often is looked whether something has happened. When it did is taken from the answers.
const LOOK: Duration = Duration::from_millis(200);

/// Messages at a steady rate, each wanted in French and German, of twenty conversations.
#[derive(Debug, Clone)]
pub struct Traffic {
    rate: f64,
    texts: Vec<String>,
    straight: bool,
}

impl Traffic {
    /// So many messages a second, with short texts that all differ.
    #[must_use]
    pub const fn of(rate: u32) -> Self {
        Self {
            rate: rate as f64,
            texts: Vec::new(),
            straight: false,
        }
    }

    /// The same with these texts, in turn.
    #[must_use]
    pub fn texts(self, texts: Vec<String>) -> Self {
        Self { texts, ..self }
    }

    /// The same past the splitter: a message for each language, into its topic.
    #[must_use]
    pub fn straight_to_jobs(self) -> Self {
        Self {
            straight: true,
            ..self
        }
    }

    /// Starts it. A backend that has asked already goes on.
    #[must_use]
    pub fn start(self, backend: Backend) -> Running {
        let shared = Arc::new(Shared {
            backend: Mutex::new(backend),
            stop: AtomicBool::new(false),
        });
        let ours = Arc::clone(&shared);
        let thread = thread::spawn(move || self.run(&ours));
        Running {
            shared,
            thread: Some(thread),
        }
    }

    fn run(&self, shared: &Shared) {
        let started = Instant::now();
        let first = (shared.backend().ids.asked() / TARGETS.len()) as u64;
        let mut number = first;
        while !shared.stop.load(Ordering::Relaxed) {
            let due = first + (started.elapsed().as_secs_f64() * self.rate) as u64;
            let mut backend = shared.backend();
            // librdkafka keeps a core busy while messages wait for others of their partition: with brokers that hang, this would keep them
            // from working.
            let idle = backend.in_flight() == 0;
            while idle && number < due {
                self.ask(&mut backend, number);
                number += 1;
            }
            backend.read_until(READ, |_| false);
            drop(backend);
            // Lets others have the lock.
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn ask(&self, backend: &mut Backend, number: u64) {
        let text = match self.texts.len() as u64 {
            0 => format!("text {number}"),
            count => self.texts[(number % count) as usize].clone(),
        };
        let message = |targets: &[&str]| -> Value {
            let conversation = format!("c{}", number % CONVERSATIONS);
            request(&format!("m{number}"), &text, targets, &conversation)
        };
        if !self.straight {
            backend.ask(&message(&TARGETS));
            return;
        }
        for target in TARGETS {
            let topic = format!("{}.{target}", backend.topics.jobs);
            backend.ask_by(Record::to(&topic, "", message(&[target]).to_string()));
        }
    }
}

struct Shared {
    backend: Mutex<Backend>,
    stop: AtomicBool,
}

impl Shared {
    fn backend(&self) -> MutexGuard<'_, Backend> {
        self.backend.lock().expect("the traffic goes on")
    }
}

/// Traffic that flows until this is dropped.
pub struct Running {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Number of conversations and languages: of pairs whose answers come in order.
    #[must_use]
    pub const fn streams() -> usize {
        CONVERSATIONS as usize * TARGETS.len()
    }

    /// Looks at what was asked and answered so far.
    pub fn look<T>(&self, look: impl FnOnce(&Ids) -> T) -> T {
        look(&self.shared.backend().ids)
    }

    /// Waits until answers come in all conversations again, to messages of after `since`; returns how long after it that was.
    pub fn wait_until_resumed(&self, since: Instant, within: Duration) -> Duration {
        self.wait("answers come again", within, |ids| {
            ids.resumed(since, Self::streams())
        })
    }

    /// Waits until a node has answered something after `since`; returns how long after it that was.
    pub fn wait_until_works(&self, node: &str, since: Instant, within: Duration) -> Duration {
        self.wait(&format!("{node} answers"), within, |ids| {
            ids.first_of_node(node, since)
        })
    }

    fn wait<T>(&self, what: &str, within: Duration, look: impl Fn(&Ids) -> Option<T>) -> T {
        wait_for(what, within, || {
            thread::sleep(LOOK);
            self.look(&look)
        })
    }

    /// Lets it flow for a while; then everything must still be flowing.
    pub fn flow(&self, during: Duration, within: Duration) {
        thread::sleep(during);
        self.wait_until_resumed(Instant::now(), within);
    }

    /// Publishes no more and waits for what is missing. Panics unless every message was translated exactly once into each language, in the
    /// order of its conversation.
    #[must_use]
    pub fn settle(mut self, within: Duration) -> Ids {
        self.end();
        let mut backend = self.shared.backend();
        backend.read_all(within);
        let ids = std::mem::take(&mut backend.ids);
        ids.assert_exactly_once();
        ids.assert_in_order();
        let errors: Vec<_> = ids
            .all()
            .filter(|answer| !answer.error().is_empty())
            .collect();
        assert!(
            errors.is_empty(),
            "{} errors, such as {:?}",
            errors.len(),
            errors[0]
        );
        let letters = backend.letters(0, within);
        assert!(letters.is_empty(), "dead letters: {letters:?}");
        ids
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread
                .join()
                .expect("the traffic goes on until it is stopped");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // If this panicked, the test has failed already.
            let _ = thread.join();
        }
    }
}
