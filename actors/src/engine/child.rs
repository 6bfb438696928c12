//! A supervised child process.

use std::process::ExitStatus;

use tokio::{
    process::Child,
    sync::{oneshot, watch},
};

/// State of a child process.
#[derive(Debug, Clone, Copy)]
enum State {
    Running,
    /// With its status, where the system told one.
    Ended(Option<ExitStatus>),
}

/// A child that is reaped by a task, so that it leaves no zombie. Killed on drop.
pub(super) struct SupervisedChild {
    pid: Option<u32>,
    state: watch::Receiver<State>,
    /// Dropped, it has the child killed.
    life: Option<oneshot::Sender<()>>,
}

impl SupervisedChild {
    /// Waits for a child from now on.
    pub(super) fn new(mut child: Child) -> Self {
        let pid = child.id();
        let (told, state) = watch::channel(State::Running);
        let (life, dropped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = child.wait() => ended,
                _ = dropped => {
                    // It may have ended just now.
                    let _ = child.start_kill();
                    child.wait().await
                }
            };
            told.send_replace(State::Ended(ended.ok()));
        });
        Self {
            pid,
            state,
            life: Some(life),
        }
    }

    /// Its process id, until it has ended.
    pub(super) fn pid(&self) -> Option<u32> {
        match *self.state.borrow() {
            State::Running => self.pid,
            State::Ended(_) => None,
        }
    }

    /// Waits for its end; its status, where the system told one.
    pub(super) fn end(&self) -> impl Future<Output = Option<ExitStatus>> + Send + use<> {
        let mut state = self.state.clone();
        async move {
            let ended = state.wait_for(|state| matches!(state, State::Ended(_)));
            // The task that waits for it ends early only with the whole runtime.
            match ended.await.map(|state| *state) {
                Ok(State::Ended(status)) => status,
                Ok(State::Running) | Err(_) => None,
            }
        }
    }

    /// Kills it and waits for its end.
    pub(super) async fn kill(mut self) {
        drop(self.life.take());
        self.end().await;
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use rustix::process::{Pid, Signal, kill_process};
    use tokio::{process::Command, time::timeout};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn sleeper() -> (SupervisedChild, u32) {
        let child = Command::new("sleep").arg("600").kill_on_drop(true).spawn();
        let child = SupervisedChild::new(child.unwrap());
        let pid = child.pid().unwrap();
        (child, pid)
    }

    /// A zombie has an entry too.
    fn is_there(pid: u32) -> bool {
        PathBuf::from(format!("/proc/{pid}")).exists()
    }

    #[tokio::test]
    async fn a_child_that_is_killed_from_outside_ends_at_once_and_leaves_no_zombie() {
        let (child, pid) = sleeper();
        let id = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(id, Signal::KILL).unwrap();
        let status = timeout(LONG, child.end()).await.unwrap().unwrap();
        assert!(status.to_string().contains("signal: 9"), "{status}");
        assert!(child.pid().is_none() && !is_there(pid));
    }

    #[tokio::test]
    async fn a_child_that_is_killed_or_dropped_is_gone() {
        let (child, pid) = sleeper();
        timeout(LONG, child.kill()).await.unwrap();
        assert!(!is_there(pid));
        let (child, pid) = sleeper();
        let end = child.end();
        drop(child);
        assert!(timeout(LONG, end).await.unwrap().is_some());
        assert!(!is_there(pid));
    }
}
