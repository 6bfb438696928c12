//! `babelmesh node`

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Result, anyhow};

use super::{Globals, runtime, stop_requested};
use crate::{
    events::{EventLog, NodeEvent},
    logging,
    node::Node,
    telemetry::Traces,
};

/// How long after a node began to drain further signals belong to the same order to stop: a supervisor may signal both a process and its group.
const SAME_ORDER: Duration = Duration::from_secs(1);

pub(super) fn run(globals: &Globals) -> Result<ExitCode> {
    let (config, deprecated) = globals.config.load_with_deprecations(&[])?;
    let traces = Traces::start(&config.telemetry.traces, &config.node.name)?;
    logging::start_traced(&config.log, &traces);
    for key in &deprecated {
        let place = key.place.as_ref().map(ToString::to_string);
        NodeEvent::DeprecatedKey {
            old: key.old,
            new: key.new,
            place: place.as_deref().unwrap_or_default(),
        }
        .emit();
    }
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let stop = stop_requested();
        tokio::pin!(stop);
        let node = tokio::select! {
            // Signals are listened to first: until then they would end the process at once.
            biased;
            signal = &mut stop => {
                NodeEvent::Draining { signal }.emit();
                return Ok(ExitCode::SUCCESS);
            }
            node = Node::start_traced(&config, Arc::new(EventLog), traces) => node?,
        };
        tokio::select! {
            failure = node.failed() => {
                // What was read and not published is read again after a restart.
                Err(anyhow!("{}", failure.0))
            }
            (signal, for_good) = async {
                tokio::select! {
                    signal = stop => (signal, false),
                    () = node.drain_requested() => ("cluster", true),
                }
            } => {
                NodeEvent::Draining { signal }.emit();
                let drained = async {
                    match for_good {
                        true => node.retire().await,
                        false => node.drain().await,
                    }
                };
                tokio::select! {
                    () = drained => Ok(ExitCode::SUCCESS),
                    () = told_again(SAME_ORDER, stop_requested) => Err(anyhow!("second stop signal, abandoning unfinished work")),
                }
            }
        }
    });
    // After a drain nothing runs any more. When it was cut short, its threads are not waited for.
    runtime.shutdown_background();
    ended
}

/// Ends with the first signal that comes later than this. Those before it are received and dropped.
async fn told_again<S: Future<Output = &'static str>>(after: Duration, signal: impl Fn() -> S) {
    let same = async {
        loop {
            signal().await;
        }
    };
    let _ = tokio::time::timeout(after, same).await;
    signal().await;
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep_until};

    use super::*;

    #[tokio::test]
    async fn signals_right_after_the_first_one_are_no_second_order() {
        let begun = Instant::now();
        let times = [0, 1, 90, 600].map(|ms| begun + Duration::from_millis(ms));
        let next = || async move {
            let next = times.into_iter().find(|time| *time > Instant::now());
            match next {
                Some(time) => sleep_until(time).await,
                None => std::future::pending().await,
            }
            "terminate"
        };
        told_again(Duration::from_millis(300), next).await;
        assert!(begun.elapsed() >= Duration::from_millis(600));
    }
}
