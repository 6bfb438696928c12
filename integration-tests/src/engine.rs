//! Conversations with an engine process.

use std::path::Path;

use babelmesh_engine_protocol::{
    Device, Failure, FromEngine, LoadRequest, Precision, Segment, ToEngine, TranslateRequest,
    Translation, client::BlockingEngine,
};

/// How a Firefox Translations model is loaded.
///
/// # Panics
/// When the path is not UTF-8.
#[must_use]
pub fn firefox_load(directory: &Path) -> LoadRequest {
    LoadRequest {
        directory: directory
            .to_str()
            .expect("paths of tests are UTF-8")
            .to_owned(),
        precision: Precision::Auto,
        device: Device::Cpu,
        threads: 1,
        beam_size: 1,
        max_input_tokens: 128,
        max_output_tokens: 256,
    }
}

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
