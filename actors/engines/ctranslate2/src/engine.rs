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
        let mut report = session.report(numeric);
        report.capabilities.alternatives = true;
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
    /// Sources that want alternatives are searched with a beam that is wide enough, apart from the others: it costs time, and may find another
    /// best translation.
    fn generate(&self, sources: &[Source<'_>]) -> Result<Vec<Generated>, Failure> {
        let mut widths: Vec<u8> = sources.iter().map(|source| source.alternatives).collect();
        widths.sort_unstable();
        widths.dedup();
        let mut found = Vec::with_capacity(sources.len());
        for width in widths {
            let places = sources.iter().enumerate();
            let places = places.filter(|(_, source)| source.alternatives == width);
            let (places, group): (Vec<_>, Vec<_>) =
                places.map(|(place, source)| (place, *source)).unzip();
            found.extend(places.into_iter().zip(self.search(&group, width)?));
        }
        found.sort_unstable_by_key(|(place, _)| *place);
        Ok(found.into_iter().map(|(_, generated)| generated).collect())
    }

    /// The best translation of each source, and so many others.
    fn search(&self, sources: &[Source<'_>], alternatives: u8) -> Result<Vec<Generated>, Failure> {
        let hypotheses = usize::from(alternatives) + 1;
        let options = TranslationOptions {
            beam_size: self.options.beam_size.max(hypotheses),
            num_hypotheses: hypotheses,
            ..self.options.clone()
        };
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
            self.translator
                .translate_batch_with_target_prefix(&pieces, &prefixes, &options, None)
        } else {
            self.translator.translate_batch(&pieces, &options, None)
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
        let found = result.hypotheses.iter().zip(&result.scores);
        let mut found = found.map(|(pieces, score)| self.hypothesis(source, pieces, *score));
        let Some(best) = found.next() else {
            return Err(failure(
                FailureKind::Inference,
                &"a source has no translation",
            ));
        };
        Ok(Generated {
            alternatives: found.collect(),
            ..best
        })
    }

    fn hypothesis(&self, source: &Source<'_>, pieces: &[String], score: f32) -> Generated {
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
        Generated {
            ids,
            score,
            tokens: pieces.len(),
            alternatives: Vec::new(),
        }
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
