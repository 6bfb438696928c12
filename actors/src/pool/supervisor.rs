//! The pool supervisor: an actor around a [`Pool`].

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::time::Instant;

use super::{
    budget::Notice,
    coordinator::Pool,
    message::{PoolMessage, Report},
    spec::PoolStart,
};

/// Tick interval: checks deadlines, restarts and drained actors.
const HOUSEKEEPING: Duration = Duration::from_millis(100);
/// The same while the pool has nothing to do: many idle pools must cost nothing.
const IDLE_HOUSEKEEPING: Duration = Duration::from_secs(1);
/// The same while it has no actor either. Work for it wakes it up at once.
const RESTING_HOUSEKEEPING: Duration = Duration::from_secs(5);

/// A pool, and the housekeeping ticks that it gets: slow ones while nothing happens.
pub struct PoolState {
    pool: Pool,
    /// Which chain of ticks counts.
    chain: u64,
    is_slow: bool,
}

impl PoolState {
    /// Sends the next tick.
    fn tick(&self, myself: &ActorRef<PoolMessage>) {
        let chain = self.chain;
        let after = match self.is_slow {
            true if self.pool.is_resting() => RESTING_HOUSEKEEPING,
            true => IDLE_HOUSEKEEPING,
            false => HOUSEKEEPING,
        };
        myself.send_after(after, move || PoolMessage::Housekeeping(chain));
    }

    /// Begins a chain of quick ticks if there is something to do during a slow one.
    fn wake_up(&mut self, myself: &ActorRef<PoolMessage>) {
        if self.is_slow && self.pool.is_active() {
            self.is_slow = false;
            self.chain += 1;
            self.tick(myself);
        }
    }
}

/// Supervises the model actors of one model.
pub struct PoolSupervisor;

impl Actor for PoolSupervisor {
    type Msg = PoolMessage;
    type State = PoolState;
    type Arguments = PoolStart;

    async fn pre_start(
        &self,
        myself: ActorRef<PoolMessage>,
        start: PoolStart,
    ) -> Result<PoolState, ActorProcessingErr> {
        let notified = myself.clone();
        let budget_handle = start.budget.join(move |notice| {
            // A pool that has ended drops the slot, which passes it on.
            let _ = notified.cast(PoolMessage::Budget(notice));
        });
        let mut state = PoolState {
            pool: Pool::new(start, budget_handle),
            chain: 0,
            is_slow: false,
        };
        state.tick(&myself);
        state.pool.reconcile(&myself).await;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<PoolMessage>,
        message: PoolMessage,
        state: &mut PoolState,
    ) -> Result<(), ActorProcessingErr> {
        let pool = &mut state.pool;
        match message {
            PoolMessage::Submit(submissions) => pool.submit(submissions, &myself),
            PoolMessage::Reached(guard) => drop(guard),
            PoolMessage::Report {
                actor,
                report: Report(report),
            } => pool.report(actor, report, &myself),
            PoolMessage::Found(found) => pool.found(found),
            PoolMessage::Housekeeping(chain) if chain != state.chain => return Ok(()),
            PoolMessage::Housekeeping(_) => {
                pool.sweep();
                pool.decide();
                pool.reconcile(&myself).await;
                pool.poll_peers(&myself).await;
                state.is_slow = !pool.is_active();
                state.tick(&myself);
            }
            PoolMessage::Budget(Notice::Slot(slot)) => pool.put_slot(slot),
            PoolMessage::Budget(Notice::Evict) => pool.evict(false),
            PoolMessage::Status(reply) => {
                // The requester may have disconnected.
                let _ = reply.send(pool.status());
            }
            PoolMessage::SetBounds(bounds, reply) => {
                let _ = reply.send(pool.set_bounds(bounds));
            }
            PoolMessage::HoldBack { target, hold } => pool.pause(target, hold),
            PoolMessage::Watch(watch) => pool.watch(watch),
            PoolMessage::HandOver(others) => pool.hand_over_jobs(others),
            PoolMessage::Lend(loan) => pool.lend(loan),
            PoolMessage::Drain(reply) => pool.drain(reply),
            PoolMessage::Unload { within, reply } => pool.unload(within, reply),
        }
        let pool = &mut state.pool;
        pool.fail_if_unrecoverable();
        pool.start_first(&myself).await;
        pool.dispatch();
        pool.notify_condition(Instant::now());
        state.wake_up(&myself);
        let pool = &mut state.pool;
        if pool.is_closed() {
            pool.answer_closing();
            myself.stop(None);
        }
        Ok(())
    }

    /// A failed model actor does not stop its supervisor: its batch is retried, and the actor is replaced.
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<PoolMessage>,
        event: SupervisionEvent,
        state: &mut PoolState,
    ) -> Result<(), ActorProcessingErr> {
        let pool = &mut state.pool;
        match event {
            SupervisionEvent::ActorFailed(actor, error) => pool.lost(actor.get_id(), &*error),
            SupervisionEvent::ActorTerminated(actor, ..) => pool.ended(actor.get_id()),
            _ => return Ok(()),
        }
        pool.fail_if_unrecoverable();
        pool.reconcile(&myself).await;
        pool.dispatch();
        pool.notify_condition(Instant::now());
        Ok(())
    }
}
