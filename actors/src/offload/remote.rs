//! An engine on a remote node.

use std::collections::HashMap;

use async_trait::async_trait;
use babelmesh_engine_protocol::{LoadReport, Translation};

use crate::engine::{Engine, EngineBatch, EngineError, Usage};

use super::{PeerError, PeerLink};

/// A peer's pool as an engine. It uses no local resources.
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
        let special = batch.segments.iter().enumerate();
        let special = special.filter(|(_, segment)| segment.align || segment.alternatives > 0);
        let special = special.map(|(place, segment)| (place, segment.clone()));
        let special = special.collect::<HashMap<_, _>>();
        let mut answer = self.link.translate(batch).await?;
        if answer.len() == due {
            for (place, translation) in answer.iter_mut().enumerate() {
                let segment = special.get(&place);
                if !segment.is_some_and(|segment| translation.is_aligned_with(segment)) {
                    translation.alignment = None;
                }
                let most = segment.map_or(0, |segment| segment.alternatives);
                translation.alternatives.truncate(most.into());
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

#[cfg(test)]
mod tests {
    use babelmesh_engine_protocol::{Alignment, Completeness, Link, Segment, Span};

    use super::*;

    /// A peer that links the first byte of each text with this many bytes of its translation.
    struct Linking(u32);

    #[async_trait]
    impl PeerLink for Linking {
        async fn translate(&mut self, batch: EngineBatch) -> Result<Vec<Translation>, PeerError> {
            let span = |end| Span { start: 0, end };
            let link = Link {
                source: span(1),
                target: span(self.0),
                weight: 1,
            };
            let translation = |segment: Segment| Translation {
                text: segment.text,
                score: 0.0,
                input_tokens: 1,
                output_tokens: 1,
                completeness: Completeness::Whole,
                alignment: Some(Alignment::new(vec![link])),
                alternatives: Vec::new(),
            };
            Ok(batch.segments.into_iter().map(translation).collect())
        }
    }

    #[tokio::test]
    async fn alignments_that_were_not_asked_for_or_do_not_fit_are_dropped() {
        for (bytes, expected) in [(3, [true, false]), (4, [false, false])] {
            let mut engine = RemoteEngine::new(Box::new(Linking(bytes)));
            let segment = |align| Segment {
                text: "one".to_owned(),
                source: "en".to_owned(),
                target: "fr".to_owned(),
                align,
                alternatives: 0,
            };
            let batch = EngineBatch {
                segments: vec![segment(true), segment(false)],
                tokens: 2,
                span: None,
            };
            let answer = engine.translate(batch).await.unwrap();
            let kept = answer
                .iter()
                .map(|translation| translation.alignment.is_some());
            assert_eq!(kept.collect::<Vec<_>>(), expected);
        }
    }
}
