//! `babelmesh node`

use std::{process::ExitCode, sync::Arc};

use anyhow::{Result, anyhow};

use super::{Globals, runtime, told_to_stop};
use crate::{
    events::{EventLog, NodeEvent},
    logging,
    node::Node,
    telemetry::Traces,
};

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
        let stop = told_to_stop();
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
                    () = node.told_to_drain() => ("cluster", true),
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
                    _ = told_to_stop() => Err(anyhow!("told to stop a second time, not waiting for what is unfinished")),
                }
            }
        }
    });
    // After a drain nothing runs any more. When it was cut short, its threads are not waited for.
    runtime.shutdown_background();
    ended
}
