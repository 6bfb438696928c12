//! An engine that is somebody else's.

use std::collections::HashMap;

use async_trait::async_trait;
use babelmesh_engine_protocol::{LoadReport, Translation};

use crate::engine::{Engine, EngineBatch, EngineError, Usage};

use super::{PeerError, PeerLink};

/// A peer's pool as an engine. It takes nothing of this node.
pub(crate) struct RemoteEngine {
    link: Box<dyn PeerLink>,
}

impl RemoteEngine {
    pub(crate) const fn new(link: Box<dyn PeerLink>) -> Self {
        Self { link }
    }
}

#[async_trait]
impl Engine for RemoteEngine {
    /// Loads nothing: the warm-up that follows shows whether the peer answers.
    async fn load(&mut self) -> Result<LoadReport, EngineError> {
        Ok(LoadReport {
            numeric: "remote".to_owned(),
            ..LoadReport::default()
        })
    }

    async fn translate(&mut self, batch: EngineBatch) -> Result<Vec<Translation>, EngineError> {
        let due = batch.segments.len();
        let aligned = batch.segments.iter().enumerate();
        let aligned = aligned.filter(|(_, segment)| segment.align);
        let aligned = aligned.map(|(place, segment)| (place, segment.clone()));
        let aligned = aligned.collect::<HashMap<_, _>>();
        let mut answer = self.link.translate(batch).await?;
        if answer.len() == due {
            for (place, translation) in answer.iter_mut().enumerate() {
                let fits = |segment| translation.is_aligned_with(segment);
                if !aligned.get(&place).is_some_and(fits) {
                    translation.alignment = None;
                }
            }
            return Ok(answer);
        }
        let message = format!("{} translations for {due} segments", answer.len());
        Err(PeerError::Protocol(message).into())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }

    async fn shutdown(&mut self) {}
}
