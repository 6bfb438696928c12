//! Fatal failures: the node exits, and unpublished work is delivered again.

use std::{sync::Arc, thread};

use tokio::sync::watch;

use crate::events::NodeEvent;

/// Why a node cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub String);

/// Collects fatal failures. The first one wins.
#[derive(Debug, Clone)]
pub struct Failures(Arc<watch::Sender<Option<Failure>>>);

impl Default for Failures {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Failures {
    /// Reports a fatal failure.
    pub fn tell(&self, error: String) {
        NodeEvent::Failed { error: &error }.emit();
        self.0.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(Failure(error));
            }
            first
        });
    }

    /// Waits for a fatal failure.
    pub async fn wait(&self) -> Failure {
        let mut failures = self.0.subscribe();
        loop {
            if let Some(failure) = failures.borrow_and_update().clone() {
                return failure;
            }
            // This value holds the sender, so the channel stays open.
            let _ = failures.changed().await;
        }
    }

    /// Tells when the thread that holds this panics.
    #[must_use]
    pub fn guard(&self, thread: &'static str) -> Guard {
        Guard {
            failures: self.clone(),
            thread,
        }
    }
}

/// See [`Failures::guard`].
pub struct Guard {
    failures: Failures,
    thread: &'static str,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.failures.tell(format!("{} has panicked", self.thread));
        }
    }
}

/// An error with its causes, in one line.
#[must_use]
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_panics_is_a_failure() {
        let failures = Failures::default();
        let guard = failures.guard("the reader");
        let thread = thread::spawn(move || {
            let _guard = guard;
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        failures.tell("later".to_owned());
        let failure = failures.wait().await;
        assert_eq!(failure.0, "the reader has panicked");
    }
}
