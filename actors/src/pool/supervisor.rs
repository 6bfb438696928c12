//! The pool supervisor: an actor around a [`Pool`].

use std::{any::Any, sync::Arc, time::Duration};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::time::Instant;

use crate::{
    cache::TranslationCache,
    domain::Language,
    engine::{EngineFactory, Segment},
    events::Observer,
    offload::{Loan, Peers},
    routing::Ability,
    scaling::{Bounds, ScalingPolicy},
};

use super::{
    budget::{NodeBudget, Notice},
    caching::Found,
    command::{Applied, BoundsError, Unloaded},
    core::Pool,
    failover::ConditionWatch,
    jobs::Submission,
    lag::PoolLag,
    model_actor::Report,
    spec::PoolSpec,
    status::PoolStatus,
};

/// How often deadlines are looked at, restarts are due and drained actors are counted.
const HOUSEKEEPING: Duration = Duration::from_millis(100);
/// The same while the pool has nothing to do: many idle pools must cost nothing.
const IDLE_HOUSEKEEPING: Duration = Duration::from_secs(1);
/// The same while it has no actor either. Work for it wakes it up at once.
const RESTING_HOUSEKEEPING: Duration = Duration::from_secs(5);

/// What a pool supervisor is told.
pub enum PoolMessage {
    /// Translate these. Every one of them ends in its sink, once.
    Submit(Vec<Submission>),
    /// Everything that was sent before has been taken in: drop this.
    Reached(Arc<dyn Any + Send + Sync>),
    /// A model actor has something to say.
    Report {
        /// Which one.
        actor: ActorId,
        /// What.
        report: Report,
    },
    /// What came of asking for translations where nodes share them. Sent by the pool to itself.
    Found(Found),
    /// Time has passed. Sent by the supervisor to itself, with the number of the chain of ticks.
    Housekeeping(u64),
    /// The node's budget has a slot for the pool, or asks it for memory.
    Budget(Notice),
    /// Tell about the pool.
    Status(RpcReplyPort<PoolStatus>),
    /// Change the bounds of the number of actors.
    SetBounds(Bounds, RpcReplyPort<Result<Applied, BoundsError>>),
    /// Hold back jobs into this language, or do them again. They wait without being lost or failed; their deadlines are kept.
    HoldBack {
        /// The language.
        target: Language,
        /// Whether to hold them back from now on.
        hold: bool,
    },
    /// Tell whether the pool is broken: now if it is, and whenever that changes.
    Watch(ConditionWatch),
    /// The pool is broken: hand back the jobs that one of these other models can do.
    HandOver(Vec<Ability>),
    /// Do a batch of a peer, behind the pool's own work.
    Lend(Loan),
    /// Finish what is queued, stop all actors, answer, end.
    Drain(RpcReplyPort<()>),
    /// Drain, but hand back what is still queued after `within`, as failed for now.
    Unload {
        /// How long to go on with what is queued.
        within: Duration,
        /// Told at the end.
        reply: RpcReplyPort<Unloaded>,
    },
}

impl ractor::Message for PoolMessage {}

/// What a pool supervisor starts with.
pub struct PoolStart {
    /// Model and limits.
    pub spec: PoolSpec,
    /// Makes the engines.
    pub engines: Arc<dyn EngineFactory>,
    /// Decides the number of actors.
    pub policy: Box<dyn ScalingPolicy>,
    /// The node's cores and memory.
    pub budget: Arc<NodeBudget>,
    /// Gets the events.
    pub observer: Arc<dyn Observer>,
    /// A text that every engine can translate, to warm up with.
    pub warm_up: Segment,
    /// Work for this pool that is not read yet.
    pub lag: PoolLag,
    /// Other nodes; `()` for none.
    pub peers: Arc<dyn Peers>,
    /// Translations that were made before, if they are remembered.
    pub cache: Option<Arc<dyn TranslationCache>>,
}

/// Sends the next tick.
fn tick(myself: &ActorRef<PoolMessage>, pool: &Pool) {
    let chain = pool.ticks.chain;
    let after = match pool.ticks.slow {
        true if pool.is_resting() => RESTING_HOUSEKEEPING,
        true => IDLE_HOUSEKEEPING,
        false => HOUSEKEEPING,
    };
    myself.send_after(after, move || PoolMessage::Housekeeping(chain));
}

/// Supervises the model actors of one model.
pub struct PoolSupervisor;

impl Actor for PoolSupervisor {
    type Msg = PoolMessage;
    type State = Pool;
    type Arguments = PoolStart;

    async fn pre_start(
        &self,
        myself: ActorRef<PoolMessage>,
        start: PoolStart,
    ) -> Result<Pool, ActorProcessingErr> {
        let notified = myself.clone();
        let seat = start.budget.join(move |notice| {
            // A pool that has ended drops the slot, which passes it on.
            let _ = notified.cast(PoolMessage::Budget(notice));
        });
        let mut pool = Pool::new(start, seat);
        tick(&myself, &pool);
        pool.reconcile(&myself).await;
        Ok(pool)
    }

    async fn handle(
        &self,
        myself: ActorRef<PoolMessage>,
        message: PoolMessage,
        pool: &mut Pool,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PoolMessage::Submit(submissions) => pool.submit(submissions, &myself),
            PoolMessage::Reached(guard) => drop(guard),
            PoolMessage::Report {
                actor,
                report: Report(report),
            } => pool.report(actor, report),
            PoolMessage::Found(found) => pool.found(found),
            PoolMessage::Housekeeping(chain) if chain != pool.ticks.chain => return Ok(()),
            PoolMessage::Housekeeping(_) => {
                pool.sweep();
                pool.decide();
                pool.reconcile(&myself).await;
                pool.look_at_peers(&myself).await;
                pool.ticks.slow = !pool.is_active();
                tick(&myself, pool);
            }
            PoolMessage::Budget(Notice::Slot(slot)) => pool.slot = Some(slot),
            PoolMessage::Budget(Notice::Evict) => pool.evict(false),
            PoolMessage::Status(reply) => {
                // Whoever asked may have gone; that is theirs to know.
                let _ = reply.send(pool.status());
            }
            PoolMessage::SetBounds(bounds, reply) => {
                let _ = reply.send(pool.set_bounds(bounds));
            }
            PoolMessage::HoldBack { target, hold } => pool.hold_back(target, hold),
            PoolMessage::Watch(watch) => pool.watch(watch),
            PoolMessage::HandOver(others) => pool.hand_to_others(&others),
            PoolMessage::Lend(loan) => pool.lend(loan),
            PoolMessage::Drain(reply) => pool.drain(reply),
            PoolMessage::Unload { within, reply } => pool.unload(within, reply),
        }
        pool.give_up_if_hopeless();
        pool.start_first(&myself).await;
        pool.dispatch();
        pool.tell_condition(Instant::now());
        if pool.ticks.slow && pool.is_active() {
            pool.ticks.slow = false;
            pool.ticks.chain += 1;
            tick(&myself, pool);
        }
        if pool.is_closed() {
            pool.answer_closing();
            myself.stop(None);
        }
        Ok(())
    }

    /// A model actor that ends does not end its supervisor: its batch is tried again, and another one takes its place.
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<PoolMessage>,
        event: SupervisionEvent,
        pool: &mut Pool,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(actor, error) => pool.lost(actor.get_id(), &*error),
            SupervisionEvent::ActorTerminated(actor, ..) => pool.ended(actor.get_id()),
            _ => return Ok(()),
        }
        pool.give_up_if_hopeless();
        pool.reconcile(&myself).await;
        pool.dispatch();
        pool.tell_condition(Instant::now());
        Ok(())
    }
}
