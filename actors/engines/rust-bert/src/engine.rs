//! rust-bert behind the engine protocol.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use babelmesh_engine_protocol::{
    Device, Failure, FailureKind, LoadReport, LoadRequest, Precision, Segment, Translation,
    serve::Engine,
};
use babelmesh_marian::{Generated, MarianSession, Source};
use babelmesh_models::{
    Architecture,
    forms::{SOURCE_SPM, VOCABULARY, WEIGHTS},
};
use rust_bert::{
    RustBertError,
    m2m_100::M2M100Generator,
    marian::MarianGenerator,
    mbart::MBartGenerator,
    pipelines::{
        common::{ModelResource, ModelType, TokenizerOption},
        generation_utils::{
            GenerateConfig, GenerateOptions, GeneratedIndicesOutput, LanguageGenerator,
        },
    },
    resources::LocalResource,
};
use tch::{Kind, Tensor};

const CONFIG: &str = "config.json";

/// A loaded model.
pub(crate) struct RustBert {
    session: MarianSession,
    generator: Generator,
    device: tch::Device,
    padding_id: i64,
    beams: i64,
}

/// A network with its search.
enum Generator {
    Marian(MarianGenerator),
    /// M2M100 and NLLB.
    M2m100(M2M100Generator),
    Mbart(MBartGenerator),
}

impl Generator {
    fn load(
        architecture: Architecture,
        config: GenerateConfig,
        tokeniser: TokenizerOption,
    ) -> Result<Self, RustBertError> {
        match architecture {
            Architecture::Marian => {
                MarianGenerator::new_with_tokenizer(config, tokeniser).map(Self::Marian)
            }
            Architecture::M2m100 | Architecture::Nllb => {
                M2M100Generator::new_with_tokenizer(config, tokeniser).map(Self::M2m100)
            }
            Architecture::Mbart => {
                MBartGenerator::new_with_tokenizer(config, tokeniser).map(Self::Mbart)
            }
            Architecture::Ctranslate2 | Architecture::Firefox | Architecture::Openai => {
                Err(RustBertError::UnsupportedError)
            }
        }
    }

    fn generate(
        &self,
        ids: Tensor,
        mask: Tensor,
        options: GenerateOptions<'_>,
    ) -> Result<Vec<GeneratedIndicesOutput>, RustBertError> {
        let (mask, options) = (Some(mask), Some(options));
        match self {
            Self::Marian(generator) => generator.generate_from_ids_and_past(ids, mask, options),
            Self::M2m100(generator) => generator.generate_from_ids_and_past(ids, mask, options),
            Self::Mbart(generator) => generator.generate_from_ids_and_past(ids, mask, options),
        }
    }
}

impl Engine for RustBert {
    const NAME: &'static str = "rust-bert";

    fn load(request: &LoadRequest) -> Result<(Self, LoadReport), Failure> {
        let session = MarianSession::open(request)?;
        let device = device(request.device)?;
        tch::set_num_threads(i32::from(request.threads.max(1)));
        tch::set_num_interop_threads(1);
        let (kind, numeric) = numeric_type(request.precision, request.device);
        let config = config(request, &session, device, kind)?;
        let in_directory =
            |reason: String| of_load(&format!("loading {}: {reason}", request.directory));
        let generator = guarded(|| {
            let tokeniser = tokeniser(Path::new(&request.directory))?;
            Generator::load(session.file().architecture, config, tokeniser)
        })
        .map_err(in_directory)?;
        let padding_id = session.file().padding_id;
        let padding_id = padding_id.ok_or_else(|| in_directory("it has no padding".into()))?;
        let report = session.report(numeric);
        let engine = Self {
            session,
            generator,
            device,
            padding_id: signed(padding_id),
            beams: i64::from(request.beam_size.max(1)),
        };
        Ok((engine, report))
    }

    fn translate(&mut self, segments: &[Segment]) -> Result<Vec<Translation>, Failure> {
        self.session
            .translate(segments, |sources| self.generate(sources))
    }
}

impl RustBert {
    /// Translates the sources of each target language together: a batch has one first token.
    fn generate(&self, sources: &[Source<'_>]) -> Result<Vec<Generated>, Failure> {
        let mut groups: BTreeMap<Option<u32>, Vec<usize>> = BTreeMap::new();
        for (place, source) in sources.iter().enumerate() {
            groups.entry(source.target_token).or_default().push(place);
        }
        let mut results = Vec::with_capacity(sources.len());
        for (target_token, places) in groups {
            let ids = places.iter().map(|place| sources[*place].ids);
            let outputs = self.generate_group(&ids.collect::<Vec<_>>(), target_token)?;
            for (place, (beams, output)) in places.into_iter().zip(&outputs) {
                let generated = self.generated(output, *beams, target_token.is_some())?;
                results.push((place, generated));
            }
        }
        results.sort_by_key(|(place, _)| *place);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }

    /// The outputs, each with the number of beams that it was searched with.
    ///
    /// Beam search panics where one of its candidates has less than two tokens, as short texts may have. The sources of such a batch are
    /// translated one by one, and those that are to blame without beams.
    fn generate_group(
        &self,
        sources: &[&[u32]],
        target_token: Option<u32>,
    ) -> Result<Vec<(i64, GeneratedIndicesOutput)>, Failure> {
        match (self.search(sources, target_token, self.beams), sources) {
            (Err(_), [source]) if self.beams > 1 => self.search(&[source], target_token, 1),
            (Err(_), _) if self.beams > 1 => {
                let each = sources
                    .iter()
                    .map(|source| self.generate_group(&[source], target_token));
                Ok(each
                    .collect::<Result<Vec<_>, _>>()?
                    .into_iter()
                    .flatten()
                    .collect())
            }
            (result, _) => result,
        }
    }

    fn search(
        &self,
        sources: &[&[u32]],
        target_token: Option<u32>,
        beams: i64,
    ) -> Result<Vec<(i64, GeneratedIndicesOutput)>, Failure> {
        let outputs = guarded(|| {
            let (ids, mask) = padded(sources, self.padding_id, self.device);
            let options = GenerateOptions {
                output_scores: true,
                num_beams: Some(beams),
                forced_bos_token_id: target_token.map(i64::from),
                // The option's own `None` would lift the limit that the configuration sets.
                max_length: Some(max_length(&self.session)),
                ..GenerateOptions::default()
            };
            self.generator.generate(ids, mask, options)
        })
        .map_err(|reason| failure(FailureKind::Inference, &reason))?;
        Ok(outputs.into_iter().map(|output| (beams, output)).collect())
    }

    /// Takes the translation out of `start, language, token…, end, padding…`.
    fn generated(
        &self,
        output: &GeneratedIndicesOutput,
        beams: i64,
        has_language: bool,
    ) -> Result<Generated, Failure> {
        let end = signed(self.session.file().end_id);
        let leading = usize::from(has_language);
        let tokens = output.indices.get(1 + leading..).unwrap_or_default();
        let tokens = tokens
            .split(|id| *id == self.padding_id)
            .next()
            .unwrap_or_default();
        let finished = tokens.iter().position(|id| *id == end);
        let count = finished.map_or(tokens.len(), |position| position + 1);
        let score = Self::score(output, beams, leading, count, finished.is_some())
            .ok_or_else(|| failure(FailureKind::Inference, "a translation has no score"))?;
        let ids = tokens[..count]
            .iter()
            .filter_map(|id| u32::try_from(*id).ok())
            .collect();
        Ok(Generated {
            alternatives: Vec::new(),
            ids,
            score,
            tokens: count,
        })
    }

    /// Mean log-probability per token, the end mark included and the `leading` tokens that were given excluded.
    fn score(
        output: &GeneratedIndicesOutput,
        beams: i64,
        leading: usize,
        count: usize,
        finished: bool,
    ) -> Option<f32> {
        let tokens = count.max(1) as f64;
        if beams > 1 {
            // Beam search divides by the length with the start token and without the end mark: the right one for
            // a finished translation, one too many for one that was cut.
            let divisor = count + leading + usize::from(!finished);
            return output
                .score
                .map(|score| (score * divisor as f64 / tokens) as f32);
        }
        // Greedy search counts the start token too, so its own mean is not used.
        let scores = output.token_scores.as_ref()?;
        let scores = scores.get(leading..leading + count)?;
        Some((scores.iter().sum::<f64>() / tokens) as f32)
    }
}

/// The generator's lengths count the token that the decoder starts from, and the one that the translation must begin with.
fn max_length(session: &MarianSession) -> i64 {
    let leading = 1 + usize::from(session.file().target_token.is_some());
    signed(session.max_output() + leading)
}

/// The generator insists on a tokeniser of its own, which is never asked. That of Marian reads every vocabulary.
fn tokeniser(directory: &Path) -> Result<TokenizerOption, RustBertError> {
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let (vocabulary, spm) = (path(VOCABULARY), path(SOURCE_SPM));
    TokenizerOption::from_file(
        ModelType::Marian,
        &vocabulary,
        Some(&spm),
        false,
        None,
        None,
    )
}

fn config(
    request: &LoadRequest,
    session: &MarianSession,
    device: tch::Device,
    kind: Kind,
) -> Result<GenerateConfig, Failure> {
    let resource = |name: &str| {
        let local_path = Path::new(&request.directory).join(name);
        readable(&local_path)?;
        Ok(Box::new(LocalResource { local_path }))
    };
    Ok(GenerateConfig {
        model_type: ModelType::Marian,
        model_resource: ModelResource::Torch(resource(WEIGHTS)?),
        config_resource: resource(CONFIG)?,
        vocab_resource: resource(VOCABULARY)?,
        merges_resource: Some(resource(SOURCE_SPM)?),
        min_length: 0,
        max_length: Some(max_length(session)),
        do_sample: false,
        early_stopping: true,
        num_beams: i64::from(request.beam_size.max(1)),
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        repetition_penalty: 1.0,
        length_penalty: 1.0,
        no_repeat_ngram_size: 0,
        num_return_sequences: 1,
        num_beam_groups: None,
        diversity_penalty: None,
        device,
        kind: Some(kind),
    })
}

fn readable(path: &PathBuf) -> Result<(), Failure> {
    std::fs::File::open(path)
        .map(drop)
        .map_err(|error| of_load(&format!("reading {}: {error}", path.display())))
}

fn device(wanted: Device) -> Result<tch::Device, Failure> {
    match wanted {
        Device::Cpu => Ok(tch::Device::Cpu),
        Device::Cuda(index) if i64::from(index) < tch::Cuda::device_count() => {
            Ok(tch::Device::Cuda(usize::from(index)))
        }
        Device::Cuda(index) => Err(of_load(&format!(
            "there is no CUDA device {index}: this libtorch sees {} (the one that `make native` \
                 fetches has no CUDA; set LIBTORCH to one that has, and build again)",
            tch::Cuda::device_count()
        ))),
    }
}

/// The numeric type that answers a wish best: libtorch runs these networks in no integer type, and in 16 bits on CUDA only.
fn numeric_type(precision: Precision, device: Device) -> (Kind, &'static str) {
    match (precision, device) {
        (Precision::Auto | Precision::Float16, Device::Cuda(_)) => (Kind::Half, "float16"),
        _ => (Kind::Float, "float32"),
    }
}

/// Sources of one length each, and a mask that is zero where they are padded.
fn padded(sources: &[&[u32]], padding: i64, device: tch::Device) -> (Tensor, Tensor) {
    let width = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut ids = Vec::with_capacity(sources.len() * width);
    let mut mask = Vec::with_capacity(sources.len() * width);
    for source in sources {
        ids.extend(source.iter().map(|id| i64::from(*id)));
        ids.extend(std::iter::repeat_n(padding, width - source.len()));
        mask.extend((0..width).map(|column| i64::from(column < source.len())));
    }
    let shape = [signed(sources.len()), signed(width)];
    let tensor = |values: &[i64]| Tensor::from_slice(values).view(shape).to_device(device);
    (tensor(&ids), tensor(&mask))
}

/// Runs a call of rust-bert, which panics where libtorch reports an error.
fn guarded<T>(call: impl FnOnce() -> Result<T, RustBertError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => Err(panic_text(panic.as_ref())),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown panic")
        .to_owned()
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn failure(kind: FailureKind, message: &str) -> Failure {
    let message = one_line(message);
    Failure { kind, message }
}

fn of_load(message: &str) -> Failure {
    Failure::of_load(one_line(message))
}

/// A failure is one line, and libtorch's errors have a stack trace in theirs.
fn one_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
