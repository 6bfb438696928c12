//! CTranslate2 behind the engine protocol.

use std::path::Path;

use babelmesh_engine_protocol::{
    Device, Failure, FailureKind, LoadReport, LoadRequest, Precision, Segment, Translation,
    serve::Engine,
};
use babelmesh_marian::{Generated, MarianSession, Source};
use ct2rs::sys::{
    ComputeType, Config, Device as NativeDevice, TranslationOptions, TranslationResult, Translator,
};

/// A loaded model.
pub(crate) struct Ctranslate2 {
    session: MarianSession,
    translator: Translator,
    options: TranslationOptions<String, String>,
}

impl Engine for Ctranslate2 {
    const NAME: &'static str = "ctranslate2";

    fn load(request: &LoadRequest) -> Result<(Self, LoadReport), Failure> {
        let session = MarianSession::open(request)?;
        let (translator, numeric) = open_translator(request)?;
        let suppressed = session
            .file()
            .suppressed_ids
            .iter()
            .filter_map(|id| u32::try_from(*id).ok());
        let options = TranslationOptions {
            beam_size: usize::from(request.beam_size.max(1)),
            // With this penalty a score is the sum of the log-probabilities over the number of tokens.
            length_penalty: 1.0,
            suppress_sequences: suppressed
                .map(|id| vec![session.tokeniser().target_piece(id).to_owned()])
                .collect(),
            return_end_token: true,
            // The session has cut the sources already.
            max_input_length: 0,
            // The token that a translation must begin with counts.
            max_decoding_length: session.max_output()
                + usize::from(session.file().target_token.is_some()),
            min_decoding_length: 0,
            return_scores: true,
            ..TranslationOptions::default()
        };
        // The library's bindings return no attention.
        let report = session.report(numeric);
        let engine = Self {
            session,
            translator,
            options,
        };
        Ok((engine, report))
    }

    fn translate(&mut self, segments: &[Segment]) -> Result<Vec<Translation>, Failure> {
        self.session
            .translate(segments, |sources| self.generate(sources))
    }
}

impl Ctranslate2 {
    fn generate(&self, sources: &[Source<'_>]) -> Result<Vec<Generated>, Failure> {
        let tokeniser = self.session.tokeniser();
        let pieces = |source: &Source<'_>| {
            let ids = source.ids.iter();
            ids.map(|id| tokeniser.piece(*id)).collect::<Vec<_>>()
        };
        let pieces = sources.iter().map(pieces).collect::<Vec<_>>();
        let prefix = |source: &Source<'_>| {
            let token = source.target_token.into_iter();
            token
                .map(|id| tokeniser.target_piece(id))
                .collect::<Vec<_>>()
        };
        let has_prefix = sources.iter().any(|source| source.target_token.is_some());
        let results = if has_prefix {
            let prefixes = sources.iter().map(prefix).collect::<Vec<_>>();
            self.translator.translate_batch_with_target_prefix(
                &pieces,
                &prefixes,
                &self.options,
                None,
            )
        } else {
            self.translator
                .translate_batch(&pieces, &self.options, None)
        };
        let results = results.map_err(|error| failure(FailureKind::Inference, &error))?;
        sources
            .iter()
            .zip(results)
            .map(|(source, result)| self.generated(source, &result))
            .collect()
    }

    fn generated(
        &self,
        source: &Source<'_>,
        result: &TranslationResult,
    ) -> Result<Generated, Failure> {
        let (Some(pieces), Some(score)) = (result.output(), result.score()) else {
            return Err(failure(
                FailureKind::Inference,
                &"a source has no translation",
            ));
        };
        // The result repeats the token that it had to begin with, and the mean counts it as one of probability 1.
        let total = pieces.len();
        let pieces = pieces
            .get(usize::from(source.target_token.is_some())..)
            .unwrap_or_default();
        let score = score * total as f32 / pieces.len().max(1) as f32;
        let tokeniser = self.session.tokeniser();
        let ids = pieces
            .iter()
            .filter_map(|piece| tokeniser.target_id(piece))
            .collect();
        Ok(Generated {
            ids,
            score,
            tokens: pieces.len(),
        })
    }
}

/// Loads the network with the first numeric type that the device has, and names that type.
fn open_translator(request: &LoadRequest) -> Result<(Translator, &'static str), Failure> {
    let mut last_error = None;
    for (compute_type, name) in numeric_types(request.precision, request.device) {
        let (device, index) = match request.device {
            Device::Cpu => (NativeDevice::CPU, 0),
            Device::Cuda(index) => (NativeDevice::CUDA, i32::from(index)),
        };
        let config = Config {
            device,
            compute_type,
            device_indices: vec![index],
            num_threads_per_replica: usize::from(request.threads.max(1)),
            ..Config::default()
        };
        match Translator::new(Path::new(&request.directory), &config) {
            Ok(translator) => return Ok((translator, name)),
            Err(error) => last_error = Some(error),
        }
    }
    let reason = last_error
        .map(|error| error.to_string())
        .unwrap_or_default();
    let message = format!("loading {}: {reason}", request.directory);
    Err(Failure::of_load(one_line(&message)))
}

/// Numeric types that answer a wish, the best first: not every device has every type.
fn numeric_types(precision: Precision, device: Device) -> Vec<(ComputeType, &'static str)> {
    let float32 = (ComputeType::FLOAT32, "float32");
    let float16 = (ComputeType::FLOAT16, "float16");
    let int8_float16 = (ComputeType::INT8_FLOAT16, "int8_float16");
    let int8_float32 = (ComputeType::INT8_FLOAT32, "int8_float32");
    match (precision, device) {
        (Precision::Auto | Precision::Int8, Device::Cpu) => vec![int8_float32, float32],
        (Precision::Int8, Device::Cuda(_)) => vec![int8_float16, int8_float32, float16, float32],
        (Precision::Auto | Precision::Float16, Device::Cuda(_))
        | (Precision::Float16, Device::Cpu) => vec![float16, float32],
        (Precision::Float32, _) => vec![float32],
    }
}

fn failure(kind: FailureKind, message: &(impl ToString + ?Sized)) -> Failure {
    let message = one_line(&message.to_string());
    Failure { kind, message }
}

/// A failure is one line.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
