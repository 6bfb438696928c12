//! Guests: model actors whose engine is a peer's, and the batches that they have. They are none of the pool's members: nothing that counts those counts them.

use std::{error::Error, sync::Arc, time::Duration};

use babelmesh_engine_protocol::Translation;
use ractor::{ActorId, ActorRef};
use tokio::time::Instant;

use crate::{
    domain::Lane,
    engine::EngineError,
    events::{BatchWatch, Event, WatchedBatch},
    offload::{GuestDoing, GuestView, PeerError},
};

use super::{
    batching::BatchBudget,
    core::Pool,
    failure::Attempt,
    model_actor::{ModelMessage, ModelReport},
    reports::Done,
    status::{ActorPhase, GuestStatus},
};

/// One place in a peer's pool.
pub(super) struct Guest {
    pub(super) actor: ActorRef<ModelMessage>,
    pub(super) number: u64,
    pub(super) name: Arc<str>,
    pub(super) node: Arc<str>,
    pub(super) phase: GuestPhase,
    /// Since when it does what it does.
    pub(super) since: Instant,
    /// Whether it ends after its batch.
    pub(super) leaving: bool,
    pub(super) batches: u64,
    /// Largest batch that the peer takes.
    pub(super) budget: BatchBudget,
    /// How long a usual batch takes, there and back.
    pub(super) trip: Duration,
    /// How long the way there and back takes alone.
    pub(super) round_trip: Duration,
}

/// What a guest does.
pub(super) enum GuestPhase {
    Starting,
    Idle,
    Busy(Borrowed),
}

/// A batch that a peer has. It stays the pool's.
pub(super) struct Borrowed {
    pub(super) attempt: Attempt,
    pub(super) tokens: u32,
    pub(super) oldest: Instant,
    /// Whoever shows it, if something in it is watched.
    pub(super) watch: Option<Box<dyn BatchWatch>>,
}

impl Guest {
    /// Goes on to something else; returns the batch that it had.
    pub(super) fn turn_to(&mut self, phase: GuestPhase) -> Option<Borrowed> {
        self.since = Instant::now();
        match std::mem::replace(&mut self.phase, phase) {
            GuestPhase::Busy(batch) => Some(batch),
            GuestPhase::Starting | GuestPhase::Idle => None,
        }
    }

    pub(super) fn view(&self, started: Instant) -> GuestView {
        let doing = match &self.phase {
            GuestPhase::Starting => GuestDoing::Starting,
            GuestPhase::Idle => GuestDoing::Idle,
            GuestPhase::Busy(batch) => GuestDoing::Busy(batch.tokens),
        };
        GuestView {
            number: self.number,
            node: Arc::clone(&self.node),
            doing,
            since: self.since.saturating_duration_since(started),
            leaving: self.leaving,
        }
    }

    pub(super) fn status(&self) -> GuestStatus {
        GuestStatus {
            name: self.name.to_string(),
            node: self.node.to_string(),
            phase: match &self.phase {
                _ if self.leaving => ActorPhase::Draining,
                GuestPhase::Starting => ActorPhase::Starting,
                GuestPhase::Idle => ActorPhase::Idle,
                GuestPhase::Busy(_) => ActorPhase::Busy,
            },
            batches: self.batches,
        }
    }
}

impl Pool {
    /// Hands fresh work to idle guests. What failed before is only for own actors, so that a text that makes engines fail is found
    /// by those whose failures are counted; and somebody who is waiting gets an own actor, unless that has taken too long.
    pub(super) fn dispatch_to_guests(&mut self) {
        if self.help.guests.is_empty() {
            return;
        }
        while let Some(id) = self.help.idle(self.own_wait()) {
            let Some(guest) = self.help.guests.get(&id) else {
                return;
            };
            let limits = self.batch_limits(guest.budget);
            let everything = self.own_actors_are_late();
            let mut items = self.backlog.take(
                |lane| limits[lane],
                |lane| everything || lane != Lane::Interactive,
                true,
            );
            if items.is_empty() {
                return;
            }
            self.jobs.keep_wanted(&mut items);
            self.leave_out_known(&mut items);
            if !items.is_empty() {
                self.hand_to_guest(id, Attempt { items, failures: 0 });
            }
        }
    }

    fn hand_to_guest(&mut self, id: ActorId, mut attempt: Attempt) {
        let now = Instant::now();
        let (mut batch, watched) = self.jobs.batch(&mut attempt.items, now);
        if batch.segments.is_empty() {
            return;
        }
        let Some(guest) = self.help.guests.get_mut(&id) else {
            return self.put_back_own(attempt);
        };
        let oldest = attempt.oldest().unwrap_or(now);
        let mut watch = None;
        if !watched.is_empty() {
            watch = self.observer.batch(&WatchedBatch {
                pool: &self.spec.model_id,
                actor: &guest.name,
                at: Some(&guest.node),
                segments: batch.segments.len(),
                tokens: batch.tokens,
                waited: now.saturating_duration_since(oldest),
                jobs: &watched,
                lent_by: None,
            });
            batch.span = watch.as_ref().map(|watch| watch.span());
        }
        guest.turn_to(GuestPhase::Busy(Borrowed {
            oldest,
            attempt,
            tokens: batch.tokens,
            watch,
        }));
        let _ = guest.actor.cast(ModelMessage::Translate(batch));
    }

    pub(super) fn guest_report(&mut self, id: ActorId, report: ModelReport) {
        let Some(guest) = self.help.guests.get_mut(&id) else {
            return;
        };
        match report {
            ModelReport::Ready { .. } => {
                guest.turn_to(GuestPhase::Idle);
            }
            ModelReport::Answered {
                answer, elapsed, ..
            } => match answer {
                Ok(translations) => self.guest_answered(id, translations, elapsed),
                Err(error) => self.guest_failed(id, &peer_error(&error)),
            },
        }
    }

    fn guest_answered(&mut self, id: ActorId, translations: Vec<Translation>, elapsed: Duration) {
        let Some(guest) = self.help.guests.get_mut(&id) else {
            return;
        };
        let handed_over = guest.since;
        let Some(batch) = guest.turn_to(GuestPhase::Idle) else {
            return;
        };
        if let Some(watch) = batch.watch {
            watch.ended(None);
        }
        guest.batches += 1;
        let (node, actor) = (Arc::clone(&guest.node), Arc::clone(&guest.name));
        let (leaving, round_trip) = (guest.leaving, guest.round_trip);
        let memory = &mut self.help.memory;
        memory.done(&node, batch.tokens, elapsed, round_trip);
        let done = Done {
            actor,
            tokens: batch.tokens,
            elapsed,
            waited: handed_over.saturating_duration_since(batch.oldest),
        };
        self.translated(batch.attempt, translations, done);
        if leaving {
            self.remove_guest(id);
        }
    }

    /// A guest did not do its batch, or is of no use: the batch goes back to the front, for an own actor, and is none the worse for it.
    pub(super) fn guest_failed(&mut self, id: ActorId, error: &PeerError) {
        let Some(mut guest) = self.help.guests.remove(&id) else {
            return;
        };
        let batch = guest.turn_to(GuestPhase::Idle);
        // It may still be on its way: nobody listens to it any more.
        guest.actor.kill();
        self.observe(Event::GuestFailed {
            pool: self.pool(),
            guest: Arc::clone(&guest.name),
            peer: Arc::clone(&guest.node),
            error: error.to_string(),
            requeued: batch.as_ref().map_or(0, |b| b.attempt.items.len()),
        });
        if let Some(batch) = batch {
            if let Some(watch) = batch.watch {
                watch.ended(Some(&error.to_string()));
            }
            self.put_back_own(batch.attempt);
        }
        self.peer_failed(&guest.node, error);
    }

    /// A guest's actor failed.
    pub(super) fn guest_lost(&mut self, id: ActorId, error: &(dyn Error + Send + Sync + 'static)) {
        let error = match error.downcast_ref::<EngineError>() {
            Some(error) => peer_error(error),
            None => PeerError::Failed(error.to_string()),
        };
        self.guest_failed(id, &error);
    }

    /// A guest's actor ended without having been told to.
    pub(super) fn guest_ended(&mut self, id: ActorId) {
        self.guest_failed(id, &PeerError::Gone("its actor was killed".to_owned()));
    }
}

fn peer_error(error: &EngineError) -> PeerError {
    match error {
        EngineError::Peer(error) => error.clone(),
        other => PeerError::Failed(other.to_string()),
    }
}
