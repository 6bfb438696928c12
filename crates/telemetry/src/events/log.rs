//! Events of actors as log lines.

use babelmesh_actors::{
    domain::ModelType,
    events::{Event, Observer, StopReason},
    offload::OffloadReason,
};
use tracing::{debug, error, info, warn};

/// Writes the events of actors to the log.
pub struct EventLog;

impl Observer for EventLog {
    fn observe(&self, event: &Event) {
        if !super::repeats::actors_line_may_be_written(event) {
            return;
        }
        match event {
            Event::ActorSpawned { pool, actor } => info!(%pool, %actor, "model actor spawned"),
            Event::ActorReady {
                pool,
                actor,
                pid,
                numeric,
                cold_start,
                ..
            } => {
                let cold_start_ms = cold_start.as_millis();
                info!(%pool, %actor, pid, numeric, cold_start_ms, "model actor ready");
            }
            Event::ActorStopped {
                pool,
                actor,
                reason,
            } => {
                let reason = stop_reason(*reason);
                info!(%pool, %actor, reason, "model actor stops");
            }
            Event::ActorFailed {
                pool,
                actor,
                error,
                requeued,
                restart_in,
            } => {
                let restart_in_ms = restart_in.as_millis();
                warn!(%pool, %actor, error, requeued, restart_in_ms, "model actor failed");
            }
            Event::BatchDone {
                pool,
                actor,
                segments,
                tokens,
                elapsed,
                waited,
            } => {
                let (elapsed_us, waited_us) = (elapsed.as_micros(), waited.as_micros());
                debug!(%pool, %actor, segments, tokens, elapsed_us, waited_us, "batch done");
            }
            Event::PiecesTruncated {
                pool,
                pieces,
                given_up,
            } => {
                debug!(%pool, pieces, given_up, "pieces exceed the model's input limit");
            }
            Event::TextPoisoned {
                pool,
                message_id,
                error,
            } => {
                error!(%pool, message_id, error, "poison text");
            }
            Event::Scaled {
                pool,
                from,
                decision,
            } => {
                let (to, unmet) = (decision.target, decision.unmet_actors);
                let reason = decision.reason.label();
                let inputs = tracing::field::debug(&decision.inputs);
                info!(%pool, from, to, reason, unmet, inputs, "pool scaled");
            }
            Event::JobsAbandoned { pool, jobs } => {
                debug!(%pool, jobs, "jobs abandoned by their senders")
            }
            Event::PanicContained { stage, panic } => {
                error!(
                    stage = stage.name(),
                    panic, "contained a panic while handling one record"
                );
            }
            Event::JobsRefused { pool, jobs } => {
                warn!(%pool, jobs, "jobs rejected: deadline too short for the queue");
            }
            Event::PoolBroken { pool, error } => {
                error!(%pool, error, "model unavailable: jobs go to other models");
            }
            Event::PoolRestored { pool } => info!(%pool, "model available again"),
            Event::JobsHandedOver { pool, jobs } => {
                warn!(%pool, jobs, "jobs handed over to other models");
            }
            Event::JobsExpired { pool, jobs } => warn!(%pool, jobs, "deadlines expired"),
            Event::JobsRetried {
                code,
                tries,
                jobs,
                after,
            } => {
                let (code, after_ms) = (code.name(), after.as_millis());
                warn!(code, tries, jobs, after_ms, "jobs failed, retrying");
            }
            Event::BoundsSet { pool, from, to } => {
                let (from, to) = ((from.min, from.max), (to.min, to.max));
                info!(%pool, ?from, ?to, "pool bounds changed");
            }
            Event::OffloadChanged {
                pool,
                from,
                to,
                guests,
            } => {
                // Why there is none changes with every burst.
                if OffloadReason::Helped == *from || OffloadReason::Helped == *to {
                    info!(%pool, ?from, ?to, guests, "offload started");
                } else {
                    debug!(%pool, ?from, ?to, "offload stopped");
                }
            }
            Event::RemoteWorkerStarted { pool, guest, peer } => {
                info!(%pool, %guest, %peer, "remote worker started")
            }
            Event::RemoteWorkerStopped {
                pool,
                guest,
                peer,
                reason,
            } => info!(%pool, %guest, %peer, ?reason, "remote worker stopped"),
            Event::RemoteWorkerFailed {
                pool,
                guest,
                peer,
                error,
                requeued,
            } => warn!(%pool, %guest, %peer, error, requeued, "remote worker failed"),
            Event::LoanDone {
                pool,
                actor,
                peer,
                segments,
                tokens,
                elapsed,
            } => {
                let elapsed_us = elapsed.as_micros();
                debug!(%pool, %actor, %peer, segments, tokens, elapsed_us, "peer batch completed");
            }
            Event::LoanRefused { pool, peer, error } => {
                let error = error.to_string();
                info!(%pool, %peer, error, "peer batch rejected");
            }
            Event::PoolClosed { pool, handed_back } => info!(%pool, handed_back, "pool closed"),
            Event::ModelLoaded { model } => info!(%model, "model loaded"),
            Event::ModelReplaced { model } => {
                info!(%model, "new version of model in use; the old one drains");
            }
            Event::ModelUnloading { model } => info!(%model, "model unloading"),
            Event::LanguagePaused { target } => info!(%target, "language paused"),
            Event::LanguageResumed { target } => info!(%target, "language resumed"),
            Event::EngineSaid { pool, line } => warn!(%pool, "engine: {line}"),
            Event::IntakePaused { tokens } => info!(tokens, "intake paused"),
            Event::IntakeResumed { tokens } => info!(tokens, "intake resumed"),
            Event::Pivoted { pivot } => {
                debug!(%pivot, "pair without a model: translating over a pivot language")
            }
            Event::Escalated { from, to } => {
                let (from, to) = (from.as_str(), to.map_or("none", ModelType::as_str));
                debug!(from, to, "low-confidence translation escalated");
            }
            Event::Accepted { lane, jobs } => debug!(lane = lane.name(), jobs, "accepted"),
            _ => {}
        }
    }
}

/// A reason in words.
#[must_use]
pub const fn stop_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::ScaledDown => "scaled down",
        StopReason::MemoryLimit => "memory limit",
        StopReason::Evicted => "evicted: memory needed by another pool",
        StopReason::Drained => "drained",
    }
}
