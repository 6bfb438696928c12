//! The parts of a node: a stack that is stopped in reverse start order.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::time::timeout;

use super::shutdown::{Phase, ShutdownBudget};
use crate::{config::NodeConfig, events::NodeEvent};

/// A part of a node that was started. Dropping one releases what it holds without waiting; stopping it ends it in an orderly way.
#[async_trait(?Send)]
pub(super) trait Part {
    /// Its name in the log.
    fn name(&self) -> &'static str;

    /// The phase of the shutdown in which it ends.
    fn phase(&self) -> Phase;

    /// Ends it. It is dropped when its phase is over.
    async fn stop(self: Box<Self>, shutdown: &Shutdown);
}

/// How a node ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shutdown {
    pub(super) budget: ShutdownBudget,
    /// Whether its partitions are handed over now. If not, a static member keeps them for as long as its session lasts.
    pub(super) for_good: bool,
}

impl Shutdown {
    /// Finishes what was read first.
    pub(super) fn orderly(config: &NodeConfig, for_good: bool) -> Self {
        Self {
            budget: ShutdownBudget::new(config, Instant::now()),
            for_good,
        }
    }

    /// For a failed start: there is no work to finish, and other nodes get its partitions.
    pub(super) fn of_failed_start(config: &NodeConfig) -> Self {
        Self {
            budget: ShutdownBudget::without_drain(config, Instant::now()),
            for_good: true,
        }
    }

    /// What is left until a phase must be over.
    pub(super) fn left(&self, phase: Phase) -> Duration {
        self.budget.until(phase, Instant::now())
    }
}

/// The parts that were started, in this order. Dropping it drops them in the reverse order.
#[derive(Default)]
pub(super) struct Parts(Vec<Box<dyn Part>>);

impl Parts {
    /// A part was started.
    pub(super) fn push(&mut self, part: impl Part + 'static) {
        self.0.push(Box::new(part));
    }

    /// Stops all parts, the last one first. One that does not stop within its phase is abandoned, and does not block
    /// the others.
    pub(super) async fn stop(mut self, shutdown: Shutdown) {
        while let Some(part) = self.0.pop() {
            let (name, within) = (part.name(), shutdown.left(part.phase()));
            if timeout(within, part.stop(&shutdown)).await.is_err() {
                NodeEvent::PartOverdue { part: name }.emit();
            }
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    type Log = Arc<Mutex<Vec<String>>>;

    struct Recorded {
        name: &'static str,
        hangs: bool,
        log: Log,
    }

    #[async_trait(?Send)]
    impl Part for Recorded {
        fn name(&self) -> &'static str {
            self.name
        }

        fn phase(&self) -> Phase {
            Phase::StopActors
        }

        async fn stop(self: Box<Self>, _: &Shutdown) {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            self.log
                .lock()
                .unwrap()
                .push(format!("stopped {}", self.name));
        }
    }

    impl Drop for Recorded {
        fn drop(&mut self) {
            self.log
                .lock()
                .unwrap()
                .push(format!("dropped {}", self.name));
        }
    }

    fn parts(hangs: &[&str]) -> (Parts, Log) {
        let (mut parts, log) = (Parts::default(), Log::default());
        for name in ["first", "second", "third"] {
            parts.push(Recorded {
                name,
                hangs: hangs.contains(&name),
                log: Arc::clone(&log),
            });
        }
        (parts, log)
    }

    fn shutdown(milliseconds: u64) -> Shutdown {
        Shutdown::of_failed_start(&NodeConfig {
            drain_timeout_ms: 0,
            shutdown_timeout_ms: milliseconds,
            ..NodeConfig::default()
        })
    }

    #[tokio::test]
    async fn parts_are_stopped_in_the_reverse_order_of_their_start() {
        let (parts, log) = parts(&[]);
        parts.stop(shutdown(10_000)).await;
        let told = log.lock().unwrap().clone();
        let stopped: Vec<_> = told.iter().filter(|l| l.starts_with("stopped")).collect();
        assert_eq!(
            stopped,
            ["stopped third", "stopped second", "stopped first"]
        );
        // Each has stopped before the next one is stopped.
        assert_eq!(told[..2], ["stopped third", "dropped third"]);
    }

    #[tokio::test]
    async fn a_part_that_hangs_is_given_up_within_the_budget_and_the_others_are_stopped() {
        let (parts, log) = parts(&["third"]);
        let started = Instant::now();
        parts.stop(shutdown(200)).await;
        assert!(started.elapsed() < Duration::from_secs(5));
        let told = log.lock().unwrap().clone();
        assert_eq!(told[0], "dropped third");
        assert!(told.contains(&"stopped first".to_owned()), "{told:?}");
    }

    #[test]
    fn parts_that_are_dropped_go_in_the_reverse_order_of_their_start() {
        let (parts, log) = parts(&[]);
        drop(parts);
        let told = log.lock().unwrap().clone();
        assert_eq!(told, ["dropped third", "dropped second", "dropped first"]);
    }
}
