//! Commands by their ids: each is carried out once.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::cluster::command::CommandDone;

/// Commands that are remembered after they were carried out.
const REMEMBERED: usize = 256;

type Outcome = Result<CommandDone, String>;

/// The commands that are being carried out, and the last of those that were.
#[derive(Default)]
pub(super) struct Journal(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    running: Vec<(String, watch::Receiver<Option<Outcome>>)>,
    /// Oldest first.
    done: VecDeque<CommandDone>,
}

enum Found {
    Done(CommandDone),
    Running(watch::Receiver<Option<Outcome>>),
    New(watch::Sender<Option<Outcome>>),
}

impl Journal {
    /// Carries a command out, unless that was done before. While it is under way somewhere else, its end is waited for. One that failed may be given again.
    pub(super) async fn once(&self, id: &str, carry_out: impl Future<Output = Outcome>) -> Outcome {
        loop {
            match self.find(id) {
                Found::Done(done) => return Ok(repeated(done)),
                Found::Running(mut outcome) => {
                    if let Ok(outcome) = outcome.wait_for(Option::is_some).await
                        && let Some(outcome) = &*outcome
                    {
                        return outcome.clone().map(repeated);
                    }
                    // The executor was cancelled.
                }
                Found::New(sender) => {
                    let running = Running { journal: self, id };
                    let outcome = carry_out.await;
                    if let Ok(done) = &outcome {
                        self.remember(done.clone());
                    }
                    drop(running);
                    sender.send_replace(Some(outcome.clone()));
                    return outcome;
                }
            }
        }
    }

    fn find(&self, id: &str) -> Found {
        let mut entries = self.entries();
        if let Some(done) = entries.done.iter().find(|done| done.id == id) {
            return Found::Done(done.clone());
        }
        if let Some((_, outcome)) = entries.running.iter().find(|(running, _)| running == id) {
            return Found::Running(outcome.clone());
        }
        let (sender, outcome) = watch::channel(None);
        entries.running.push((id.to_owned(), outcome));
        Found::New(sender)
    }

    fn remember(&self, done: CommandDone) {
        let mut entries = self.entries();
        if entries.done.len() >= REMEMBERED {
            entries.done.pop_front();
        }
        entries.done.push_back(done);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command that is being carried out, for as long as this lives.
struct Running<'a> {
    journal: &'a Journal,
    id: &'a str,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.journal
            .entries()
            .running
            .retain(|(id, _)| id != self.id);
    }
}

fn repeated(done: CommandDone) -> CommandDone {
    CommandDone {
        repeated: true,
        ..done
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use tokio::sync::Notify;

    use super::*;

    fn done(id: &str) -> CommandDone {
        CommandDone {
            id: id.to_owned(),
            node: "n".to_owned(),
            repeated: false,
            outcome: "well".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_command_that_is_given_twice_at_once_is_carried_out_once_and_others_go_on() {
        let (journal, go, runs) = (
            Arc::new(Journal::default()),
            Arc::new(Notify::new()),
            Arc::new(AtomicU32::new(0)),
        );
        let slow = || {
            let (journal, go, runs) = (journal.clone(), go.clone(), runs.clone());
            tokio::spawn(async move {
                let work = async {
                    runs.fetch_add(1, Ordering::Relaxed);
                    go.notified().await;
                    Ok(done("slow"))
                };
                journal.once("slow", work).await
            })
        };
        let both = [slow(), slow()];
        tokio::task::yield_now().await;
        // A third one is not held up.
        let other = journal.once("other", async { Ok(done("other")) }).await;
        assert_eq!(other, Ok(done("other")));
        go.notify_one();
        let mut repeated = Vec::new();
        for run in both {
            repeated.push(run.await.unwrap().unwrap().repeated);
        }
        repeated.sort_unstable();
        assert_eq!(repeated, [false, true]);
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        let again = journal
            .once("slow", async { Err("again".to_owned()) })
            .await;
        assert!(again.unwrap().repeated);
    }

    #[tokio::test]
    async fn a_command_that_failed_or_was_cut_off_can_be_given_again() {
        let journal = Journal::default();
        let failed = journal.once("c", async { Err("no".to_owned()) }).await;
        assert_eq!(failed, Err("no".to_owned()));
        let hanging = journal.once("c", std::future::pending());
        let cut_off = tokio::time::timeout(std::time::Duration::ZERO, hanging).await;
        assert!(cut_off.is_err());
        assert_eq!(
            journal.once("c", async { Ok(done("c")) }).await,
            Ok(done("c"))
        );
    }
}
