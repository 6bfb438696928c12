//! Conversations with an engine process.

use babelmesh_engine_protocol::{
    Failure, FromEngine, Segment, ToEngine, TranslateRequest, Translation, client::BlockingEngine,
};

/// Has an engine translate a batch.
///
/// # Panics
/// When it does not.
pub fn translate(engine: &mut BlockingEngine, segments: Vec<Segment>) -> Vec<Translation> {
    let wanted = segments.len();
    let request = TranslateRequest { id: 7, segments };
    match engine.ask(&ToEngine::Translate(request)) {
        Ok(FromEngine::Translated(report)) => {
            assert_eq!(report.id, 7);
            assert_eq!(report.translations.len(), wanted);
            report.translations
        }
        other => panic!("{other:?}"),
    }
}

/// The failure that an engine tells.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn failure(answer: FromEngine) -> Failure {
    match answer {
        FromEngine::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}
