//! The model actor: owns one engine, translates what its supervisor hands it.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;

use crate::engine::{Engine, EngineBatch, EngineError, Segment};

use super::message::{EngineReady, ModelMessage, ModelReport, PoolMessage, Report};

/// The actor. Its failures reach the supervisor, which decides how to handle the batch.
pub(super) struct ModelActor;

pub(super) struct ModelStart {
    pub(super) engine: Box<dyn Engine>,
    pub(super) supervisor: ActorRef<PoolMessage>,
    /// A text that every engine can translate, to warm up.
    pub(super) warm_up: Arc<Segment>,
}

pub(super) struct ModelState {
    start: ModelStart,
}

impl Actor for ModelActor {
    type Msg = ModelMessage;
    type State = ModelState;
    type Arguments = ModelStart;

    async fn pre_start(
        &self,
        myself: ActorRef<ModelMessage>,
        start: ModelStart,
    ) -> Result<ModelState, ActorProcessingErr> {
        // Loading takes long, and the spawner waits for this function: the engine is loaded in the first message.
        myself.cast(ModelMessage::Load)?;
        Ok(ModelState { start })
    }

    async fn handle(
        &self,
        myself: ActorRef<ModelMessage>,
        message: ModelMessage,
        state: &mut ModelState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ModelMessage::Load => {
                let report = state.load().await?;
                state.watch(&myself);
                state.tell(&myself, report)?;
            }
            ModelMessage::Ended(error) => return Err(error.into()),
            ModelMessage::Translate(batch) => {
                let report = state.translate(batch).await?;
                state.tell(&myself, report)?;
            }
            ModelMessage::Retire => {
                state.start.engine.shutdown().await;
                myself.stop(None);
            }
        }
        Ok(())
    }
}

impl ModelState {
    async fn load(&mut self) -> Result<ModelReport, EngineError> {
        let started = Instant::now();
        let engine = &mut self.start.engine;
        let report = engine.load().await?;
        let loaded = Instant::now();
        let segment = Segment::clone(&self.start.warm_up);
        engine
            .translate(EngineBatch {
                segments: vec![segment],
                tokens: 1,
                span: None,
            })
            .await?;
        Ok(ModelReport::Ready(EngineReady {
            report,
            usage: engine.usage(),
            cold_start: started.elapsed(),
            warm_up: loaded.elapsed(),
        }))
    }

    /// Has the actor fail as soon as its engine ends, and not only with the next batch.
    fn watch(&self, myself: &ActorRef<ModelMessage>) {
        if let Some(end) = self.start.engine.end() {
            let myself = myself.clone();
            tokio::spawn(async move {
                let error = end.await;
                // An actor that ended its engine, or failed with it, is gone.
                let _ = myself.cast(ModelMessage::Ended(error));
            });
        }
    }

    async fn translate(&mut self, batch: EngineBatch) -> Result<ModelReport, EngineError> {
        let started = Instant::now();
        let engine = &mut self.start.engine;
        let answer = match engine.translate(batch).await {
            Err(error) if !error.leaves_engine_usable() => return Err(error),
            answer => answer,
        };
        Ok(ModelReport::Answered {
            answer,
            usage: engine.usage(),
            elapsed: started.elapsed(),
        })
    }

    fn tell(
        &self,
        myself: &ActorRef<ModelMessage>,
        report: ModelReport,
    ) -> Result<(), ActorProcessingErr> {
        let actor = myself.get_id();
        Ok(self.start.supervisor.cast(PoolMessage::Report {
            actor,
            report: Report(report),
        })?)
    }
}
