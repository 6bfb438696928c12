//! Execution of commands from operators and other nodes.
//!
//! Commands do not wait for each other, with two exceptions: those about one model or one language are carried out one after the other, and a command that is
//! given twice is carried out once.

mod check;
mod journal;
mod subject_locks;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use babelmesh_actors::{
    domain::{Language, Leg, SpanRef, TranslationRequest},
    engine::{Segment, Translation},
    intake::IntakeMessage,
    offload::{OffloadRequest, PeerError},
    pool::{Applied, PoolMessage, Unloaded},
    routing::list,
    scaling::Bounds,
};
use ractor::{ActorRef, MessagingErr, rpc::CallResult};
use tokio::sync::{oneshot, watch};

use self::{check::CommandTargets, journal::Journal, subject_locks::SubjectLocks};
use super::{actors::Actors, direct, languages::Languages, limits, pools::Pools};
use crate::{
    cluster::{
        Host,
        command::{Action, Command, CommandDone},
    },
    events::NodeEvent,
    kafka::record::json,
    logging,
    telemetry::Traces,
};

/// How long the pool of a model that is unloaded goes on with what it has.
const UNLOAD: Duration = Duration::from_secs(3);
/// How long actors may take to answer.
const WAIT: Duration = Duration::from_secs(5);

/// Carries commands out.
pub(super) struct CommandHandler {
    node: String,
    intake: ActorRef<IntakeMessage>,
    pools: Arc<Pools>,
    languages: Arc<Languages>,
    traces: Traces,
    drain: watch::Sender<bool>,
    journal: Journal,
    locks: SubjectLocks,
}

impl CommandHandler {
    pub(super) fn new(
        node: &str,
        actors: &Actors,
        languages: Arc<Languages>,
        traces: Traces,
    ) -> Self {
        Self {
            node: node.to_owned(),
            intake: actors.intake(),
            pools: Arc::clone(actors.pools()),
            languages,
            traces,
            drain: watch::Sender::new(false),
            journal: Journal::default(),
            locks: SubjectLocks::default(),
        }
    }

    /// Waits until this node is to drain.
    pub(super) async fn drain_requested(&self) {
        let mut told = self.drain.subscribe();
        // This value holds the sender, so the channel stays open.
        let _ = told.wait_for(|told| *told).await;
    }

    /// The node ends: what it reads is not changed any more.
    pub(super) fn close(&self) {
        self.languages.close();
    }

    async fn act(&self, action: &Action) -> Result<String, String> {
        let _turn = match subject_locks::subject(action) {
            Some(subject) => Some(self.locks.of(subject).await),
            None => None,
        };
        // What was there before the turn may be gone now.
        check::check(action, &self.existing())?;
        match action {
            Action::Drain => {
                self.drain.send_replace(true);
                Ok("draining: consumption stopped, finishing in-flight work".to_owned())
            }
            Action::SetBounds { model, min, max } => self.set_bounds(model, *min, *max).await,
            Action::Pause { language } => self.hold(check::tag(language)?, true).await,
            Action::Resume { language } => self.hold(check::tag(language)?, false).await,
            Action::Load { model } => self.load(model).await.map_err(|e| format!("{e:#}")),
            Action::Unload { model } => self.unload(model).await.map_err(|e| format!("{e:#}")),
            Action::Reload { model } => self.reload(model).await.map_err(|e| format!("{e:#}")),
            Action::LogFilter { filter } => {
                logging::set_filter(filter).map_err(|error| format!("{error:#}"))?;
                Ok(format!("log filter set to {filter}"))
            }
        }
    }

    /// Possible targets of commands.
    fn existing(&self) -> CommandTargets {
        let pools = self.pools.all();
        CommandTargets {
            models: pools.iter().map(|pool| pool.model.to_string()).collect(),
            languages: self.pools.written().into_iter().collect(),
            paused: self.languages.held(),
            room: self.room(),
        }
    }

    /// Actors of one pool that the node has cores for.
    fn room(&self) -> u32 {
        let config = &self.pools.config;
        let room = limits::cores(&config.limits) / usize::from(config.engine.threads).max(1);
        u32::try_from(room).unwrap_or(u32::MAX).max(1)
    }

    async fn set_bounds(&self, model: &str, min: u32, max: u32) -> Result<String, String> {
        let pool = self.pools.of(model);
        let pool = pool.ok_or_else(|| format!("unknown model {model}"))?;
        let bounds = Bounds { min, max };
        let applied = pool.call(|reply| PoolMessage::SetBounds(bounds, reply), Some(WAIT));
        let applied = answered(applied.await)?.map_err(|error| error.to_string())?;
        let room = match self.room() {
            room if room < max => format!(", of which {room} can run at once on its cores"),
            _ => String::new(),
        };
        Ok(format!(
            "{model}: {min} to {max} actors{}{room}",
            already(applied)
        ))
    }

    /// Holds jobs into a language back, or does them again.
    async fn hold(&self, target: Language, hold: bool) -> Result<String, String> {
        let message = |reply| match hold {
            true => IntakeMessage::Pause(target, reply),
            false => IntakeMessage::Resume(target, reply),
        };
        // The intake executes the message even if its answer is late.
        self.languages.hold(target, hold);
        let applied = self.intake.call(message, Some(WAIT)).await;
        let already = already(answered(applied)?);
        Ok(match hold {
            true => format!("{target} paused{already}"),
            false => format!("{target} resumed{already}"),
        })
    }

    async fn load(&self, model: &str) -> anyhow::Result<String> {
        let applied = self.pools.load(&self.intake, model).await?;
        self.languages.refresh()?;
        let unread = self.languages.without_topics(model);
        let unread = match unread.is_empty() {
            true => String::new(),
            false => format!(
                "; Kafka requests for {} are rejected until it is added to kafka.languages and the nodes are restarted",
                list(&unread)
            ),
        };
        Ok(format!("{model} is loaded{}{unread}", already(applied)))
    }

    /// Jobs that no other model of this node can do are finished first and left to other nodes.
    async fn unload(&self, model: &str) -> anyhow::Result<String> {
        self.languages.leave(model).await?;
        let unloaded = self.pools.unload(&self.intake, model, UNLOAD).await;
        self.languages.has_left(model);
        let Unloaded { handed_back, .. } = unloaded?;
        Ok(format!("{model} is unloaded, {handed_back} jobs returned"))
    }

    /// The old version serves until the new one is warm.
    async fn reload(&self, model: &str) -> anyhow::Result<String> {
        let Unloaded { handed_back, .. } = self.pools.reload(&self.intake, model, UNLOAD).await?;
        self.languages.refresh()?;
        Ok(format!(
            "{model} is reloaded, {handed_back} jobs moved to the new version"
        ))
    }
}

fn answered<T, M>(call: Result<CallResult<T>, MessagingErr<M>>) -> Result<T, String> {
    match call {
        Ok(CallResult::Success(answer)) => Ok(answer),
        Ok(CallResult::Timeout) => Err("actors timed out".to_owned()),
        Ok(CallResult::SenderError) | Err(_) => Err("actors have stopped".to_owned()),
    }
}

const fn already(applied: Applied) -> &'static str {
    match applied {
        Applied::Changed => "",
        Applied::Unchanged => " already",
    }
}

#[async_trait]
impl Host for CommandHandler {
    async fn translate(
        &self,
        request: Vec<u8>,
        leg: Leg,
        span: Option<SpanRef>,
    ) -> Result<Vec<u8>, String> {
        let request: TranslationRequest = serde_json::from_slice(&request)
            .map_err(|error| format!("not a valid request: {error}"))?;
        let traced = (&self.traces, span);
        let answer = direct::translate(&self.intake, request, leg, &self.node, traced);
        Ok(json(&answer.await))
    }

    async fn lend(
        &self,
        from: &str,
        (model, space): (&str, String),
        segments: Vec<Segment>,
        span: Option<SpanRef>,
    ) -> Result<Vec<Translation>, PeerError> {
        let pool = self.pools.of(model).ok_or(PeerError::Closing)?;
        let (reply, answer) = oneshot::channel();
        let loan = OffloadRequest {
            from: Arc::from(from),
            space,
            segments,
            span,
            reply,
        };
        pool.cast(PoolMessage::Lend(loan))
            .map_err(|_| PeerError::Closing)?;
        answer.await.unwrap_or(Err(PeerError::Closing))
    }

    async fn command(&self, command: Command, by: &str) -> Result<CommandDone, String> {
        let Command { id, action, .. } = command;
        let carry_out = async {
            let outcome = self.act(&action).await;
            NodeEvent::CommandDone {
                id: &id,
                by,
                action: &action,
                outcome: outcome.as_deref().map_err(String::as_str),
            }
            .emit();
            Ok(CommandDone {
                id: id.clone(),
                node: self.node.clone(),
                repeated: false,
                outcome: outcome?,
            })
        };
        self.journal.once(&id, carry_out).await
    }
}
