//! What a node does when an operator or another node tells it to.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use anyhow::ensure;
use async_trait::async_trait;
use babelmesh_actors::{
    domain::{Language, SpanRef, TranslationRequest},
    engine::{Segment, Translation},
    intake::IntakeMessage,
    offload::{Loan, PeerError},
    pool::{Applied, PoolMessage, Unloaded},
    scaling::Bounds,
};
use ractor::{ActorRef, MessagingErr, rpc::CallResult};
use tokio::sync::{oneshot, watch};

use super::{actors::Actors, direct, languages::Languages, pools::Pools};
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

/// Commands that are remembered, to be carried out once only.
const REMEMBERED: usize = 256;
/// How long the pool of a model that is unloaded goes on with what it has.
const UNLOAD: Duration = Duration::from_secs(3);
/// How long actors may take to answer.
const WAIT: Duration = Duration::from_secs(5);

/// Does what it is told.
pub(super) struct Deeds {
    node: String,
    intake: ActorRef<IntakeMessage>,
    pools: Arc<Pools>,
    languages: Arc<Languages>,
    traces: Traces,
    drain: watch::Sender<bool>,
    /// Carried out already, oldest first. Held while one is carried out, so that no command is done twice at once.
    done: tokio::sync::Mutex<VecDeque<CommandDone>>,
}

impl Deeds {
    pub(super) fn new(node: &str, actors: &Actors, languages: Languages, traces: Traces) -> Self {
        Self {
            node: node.to_owned(),
            intake: actors.intake(),
            pools: Arc::clone(actors.pools()),
            languages: Arc::new(languages),
            traces,
            drain: watch::Sender::new(false),
            done: tokio::sync::Mutex::default(),
        }
    }

    /// Waits until this node is to drain.
    pub(super) async fn told_to_drain(&self) {
        let mut told = self.drain.subscribe();
        // This value holds the sender, so the channel stays open.
        let _ = told.wait_for(|told| *told).await;
    }

    async fn act(&self, action: &Action) -> Result<String, String> {
        match action {
            Action::Drain => {
                self.drain.send_replace(true);
                Ok("it finishes what it has read, and ends".to_owned())
            }
            Action::SetBounds { model, min, max } => {
                let (min, max) = (*min, *max);
                let bounds = Bounds { min, max };
                let pool = self.pool(model)?;
                let applied = pool.call(|reply| PoolMessage::SetBounds(bounds, reply), Some(WAIT));
                let applied = answered(applied.await)?.map_err(|error| error.to_string())?;
                Ok(format!(
                    "{model} has {min} to {max} actors{}",
                    already(applied)
                ))
            }
            Action::Pause { language } => {
                let target = tag(language)?;
                let applied = self
                    .intake
                    .call(|reply| IntakeMessage::Pause(target, reply), Some(WAIT));
                let already = already(answered(applied.await)?);
                self.languages.hold(target, true);
                Ok(format!("jobs into {target} are held back{already}"))
            }
            Action::Resume { language } => {
                let target = tag(language)?;
                let applied = self
                    .intake
                    .call(|reply| IntakeMessage::Resume(target, reply), Some(WAIT));
                let already = already(answered(applied.await)?);
                self.languages.hold(target, false);
                Ok(format!("jobs into {target} are done{already}"))
            }
            Action::Load { model } => self.load(model).await.map_err(|e| format!("{e:#}")),
            Action::Unload { model } => self.unload(model).await.map_err(|e| format!("{e:#}")),
            Action::LogFilter { filter } => {
                logging::set_filter(filter).map_err(|error| format!("{error:#}"))?;
                Ok(format!("the log's filter is {filter}"))
            }
        }
    }

    async fn load(&self, model: &str) -> anyhow::Result<String> {
        let applied = self.pools.load(&self.intake, model).await?;
        self.languages.read(&self.pools.written())?;
        Ok(format!("{model} is loaded{}", already(applied)))
    }

    /// Jobs that no other model of this node can do are finished first and left to other nodes.
    async fn unload(&self, model: &str) -> anyhow::Result<String> {
        ensure!(self.pools.of(model).is_some(), "it has no model {model}");
        let left = self.pools.written_without(model);
        let languages = Arc::clone(&self.languages);
        let handed_over = tokio::task::spawn_blocking(move || languages.read_only(&left)).await?;
        let unloaded = match handed_over {
            Ok(()) => self.pools.unload(&self.intake, model, UNLOAD).await,
            Err(error) => Err(error),
        };
        match unloaded {
            Ok(Unloaded { handed_back, .. }) => Ok(format!(
                "{model} is unloaded, {handed_back} jobs were handed back"
            )),
            Err(error) => {
                // Whatever it has now is read again.
                self.languages.read(&self.pools.written())?;
                Err(error)
            }
        }
    }

    fn pool(&self, model: &str) -> Result<ActorRef<PoolMessage>, String> {
        self.pools.of(model).ok_or_else(|| {
            let known: Vec<_> = self
                .pools
                .all()
                .iter()
                .map(|p| p.model.to_string())
                .collect();
            format!("it has no model {model}, only {}", known.join(", "))
        })
    }
}

fn tag(language: &str) -> Result<Language, String> {
    let parsed = language.parse::<Language>();
    parsed.map_err(|error| error.to_string())
}

fn answered<T, M>(call: Result<CallResult<T>, MessagingErr<M>>) -> Result<T, String> {
    match call {
        Ok(CallResult::Success(answer)) => Ok(answer),
        Ok(CallResult::Timeout) => Err("its actors do not answer in time".to_owned()),
        Ok(CallResult::SenderError) | Err(_) => Err("its actors have ended".to_owned()),
    }
}

const fn already(applied: Applied) -> &'static str {
    match applied {
        Applied::Changed => "",
        Applied::Unchanged => " already",
    }
}

#[async_trait]
impl Host for Deeds {
    async fn translate(&self, request: Vec<u8>, span: Option<SpanRef>) -> Result<Vec<u8>, String> {
        let request: TranslationRequest = serde_json::from_slice(&request)
            .map_err(|error| format!("it is no request: {error}"))?;
        let answer = direct::translate(&self.intake, request, &self.node, (&self.traces, span));
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
        let loan = Loan {
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
        let mut done = self.done.lock().await;
        if let Some(before) = done.iter().find(|done| done.id == command.id) {
            return Ok(CommandDone {
                repeated: true,
                ..before.clone()
            });
        }
        let outcome = self.act(&command.action).await;
        NodeEvent::CommandDone {
            id: &command.id,
            by,
            action: &command.action,
            outcome: outcome.as_deref().map_err(String::as_str),
        }
        .emit();
        let carried_out = CommandDone {
            id: command.id,
            node: self.node.clone(),
            repeated: false,
            outcome: outcome?,
        };
        if done.len() >= REMEMBERED {
            done.pop_front();
        }
        done.push_back(carried_out.clone());
        Ok(carried_out)
    }
}
