//! What a node does when an operator or another node tells it to.

use std::collections::VecDeque;

use async_trait::async_trait;
use babelmesh_actors::{
    domain::TranslationRequest, intake::IntakeMessage, pool::PoolMessage, scaling::Bounds,
};
use ractor::ActorRef;
use tokio::sync::watch;

use super::{actors, actors::Actors, direct};
use crate::{
    cluster::{
        Host,
        command::{Action, Command, CommandDone},
    },
    events::NodeEvent,
    kafka::record::json,
    logging,
};

/// Commands that are remembered, to be carried out once only.
const REMEMBERED: usize = 256;

/// Does what it is told.
pub(super) struct Deeds {
    node: String,
    intake: ActorRef<IntakeMessage>,
    pools: Vec<ActorRef<PoolMessage>>,
    drain: watch::Sender<bool>,
    /// Carried out already, oldest first. Held while one is carried out, so that no command is done twice at once.
    done: tokio::sync::Mutex<VecDeque<CommandDone>>,
}

impl Deeds {
    pub(super) fn new(node: &str, actors: &Actors) -> Self {
        Self {
            node: node.to_owned(),
            intake: actors.intake(),
            pools: actors.pools(),
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
                if min > max || max == 0 {
                    return Err(
                        "the most actors must be above zero and not below the fewest".to_owned(),
                    );
                }
                let pool = self.pool(model).await?;
                pool.cast(PoolMessage::SetBounds(Bounds { min, max }))
                    .map_err(|error| error.to_string())?;
                Ok(format!("{model} has {min} to {max} actors"))
            }
            Action::LogFilter { filter } => {
                logging::set_filter(filter).map_err(|error| format!("{error:#}"))?;
                Ok(format!("the log's filter is {filter}"))
            }
        }
    }

    async fn pool(&self, model: &str) -> Result<&ActorRef<PoolMessage>, String> {
        let mut known = Vec::new();
        for pool in &self.pools {
            match actors::status(pool).await {
                Some(status) if status.model_id == model => return Ok(pool),
                Some(status) => known.push(status.model_id),
                None => {}
            }
        }
        Err(format!(
            "it has no model {model}, only {}",
            known.join(", ")
        ))
    }
}

#[async_trait]
impl Host for Deeds {
    async fn translate(&self, request: Vec<u8>) -> Result<Vec<u8>, String> {
        let request: TranslationRequest = serde_json::from_slice(&request)
            .map_err(|error| format!("it is no request: {error}"))?;
        Ok(json(
            &direct::translate(&self.intake, request, &self.node).await,
        ))
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
