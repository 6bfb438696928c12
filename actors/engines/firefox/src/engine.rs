//! The engine implementation.

use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
};

use babelmesh_engine_protocol::{
    Alignment, Capabilities, Completeness, Device, Failure, FailureKind, LoadReport, LoadRequest,
    Precision, Segment, Translation, serve::Engine,
};
use babelmesh_models::forms::{
    SOURCE_SPM,
    firefox::{FirefoxFile, SHORTLIST, TARGET_SPM, WEIGHTS},
};
use fxtranslate::{gemm, shortlist::Shortlist};

use crate::{
    alignment::{Placed, align},
    linear::Kernel,
    network::{Generated, Network},
    say, validation,
    vocabulary::Vocabularies,
};

/// Upper bound of the limits in a manifest, in tokens. Time grows with the square of the source, and models are trained on texts of about
/// a hundred tokens.
const MOST_TOKENS: usize = 1_024;

/// A loaded model.
pub(crate) struct Firefox {
    file: FirefoxFile,
    vocabularies: Vocabularies,
    network: Network,
    max_input: usize,
    max_output: usize,
}

impl Engine for Firefox {
    const NAME: &'static str = "firefox";

    fn load(request: &LoadRequest) -> Result<(Self, LoadReport), Failure> {
        let kernel = kernel();
        warn(request, kernel);
        let model = contained(|| Self::open(request, kernel));
        let model = model.and_then(|opened| opened).map_err(|reason| {
            Failure::of_load(format!("loading {}: {reason}", request.directory))
        })?;
        let numeric = match kernel {
            Kernel::Vector => format!("int8_{}", gemm::backend()),
            Kernel::Scalar => "int8_scalar".to_owned(),
        };
        let report = LoadReport {
            numeric,
            coverage: model.vocabularies.coverage().clone(),
            capabilities: Capabilities {
                alignments: true,
                alternatives: false,
            },
            ..LoadReport::default()
        };
        Ok((model, report))
    }

    fn translate(&mut self, segments: &[Segment]) -> Result<Vec<Translation>, Failure> {
        segments
            .iter()
            .map(|segment| {
                self.check_languages(segment)?;
                contained(|| self.translation(segment))
                    .and_then(|translation| translation)
                    .map_err(|message| Failure {
                        kind: FailureKind::Inference,
                        message,
                    })
            })
            .collect()
    }
}

impl Firefox {
    /// The error is a sentence.
    fn open(request: &LoadRequest, kernel: Kernel) -> Result<Self, String> {
        let directory = Path::new(&request.directory);
        let file = FirefoxFile::read(directory).map_err(|error| error.to_string())?;
        let source = directory.join(SOURCE_SPM);
        let vocabularies = Vocabularies::open(&source, &directory.join(TARGET_SPM))?;
        let within = |limit: u32| (limit as usize).clamp(1, MOST_TOKENS);
        let max_input = within(request.max_input_tokens);
        let max_output = within(request.max_output_tokens);
        let shortlist = read_shortlist(directory, vocabularies.target_tokens())?;
        let weights = |reason| format!("{WEIGHTS}: {reason}");
        let path = directory.join(WEIGHTS);
        validation::check_weights(&path).map_err(weights)?;
        let network = Network::open(&path, shortlist, kernel, max_input.max(max_output));
        let network = network.map_err(weights)?;
        vocabularies.check(network.vocabularies())?;
        Ok(Self {
            file,
            vocabularies,
            network,
            max_input,
            max_output,
        })
    }

    fn check_languages(&self, segment: &Segment) -> Result<(), Failure> {
        let Segment { source, target, .. } = segment;
        let file = &self.file;
        if file.source_languages.contains(source) && file.target_languages.contains(target) {
            return Ok(());
        }
        Err(Failure {
            kind: FailureKind::Unsupported,
            message: format!(
                "model {} translates from {} to {}, not from {source} to {target}",
                file.model,
                file.source_languages.join(", "),
                file.target_languages.join(", "),
            ),
        })
    }

    fn translation(&self, segment: &Segment) -> Result<Translation, String> {
        let (source, places) = match segment.align {
            true => self.vocabularies.encode_placed(&segment.text),
            false => (self.vocabularies.encode(&segment.text), None),
        };
        let mut translation = Translation {
            text: String::new(),
            score: 0.0,
            input_tokens: count(source.len()),
            output_tokens: 0,
            completeness: Completeness::Whole,
            // It stays without links where tokens cannot be placed in the source.
            alignment: segment.align.then(Alignment::default),
            alternatives: Vec::new(),
        };
        if source.len() > self.max_input {
            translation.completeness = Completeness::TooLong {
                limit: count(self.max_input),
            };
        } else if source.len() > 1 {
            // The end mark alone is an empty text.
            let placed = places.as_deref().map(|places| Placed {
                text: &segment.text,
                places,
            });
            self.translate_tokens(&source, placed.as_ref(), &mut translation)?;
        }
        Ok(translation)
    }

    fn translate_tokens(
        &self,
        source: &[u32],
        placed: Option<&Placed<'_>>,
        translation: &mut Translation,
    ) -> Result<(), String> {
        let most = self.max_output.min(most_tokens(source.len()));
        let end = self.vocabularies.end();
        let mut attention = Vec::new();
        let shares = placed.map(|_| &mut attention);
        let generated = self.network.translate(source, end, most, shares);
        if !generated.log_probability.is_finite() {
            return Err("the network produced a NaN".into());
        }
        let (text, places) = self.vocabularies.decode(&generated.tokens);
        if let Some(placed) = placed {
            let target = Placed {
                text: &text,
                places: &places,
            };
            translation.alignment = Some(align(placed, &target, &attention));
        }
        translation.text = text;
        translation.output_tokens = count(output_tokens(&generated));
        let tokens = f64::from(translation.output_tokens.max(1));
        translation.score = (generated.log_probability / tokens).min(0.0) as f32;
        if !generated.finished {
            translation.completeness = Completeness::Unfinished;
        }
        Ok(())
    }
}

/// Longest translation of a source of this many tokens. Longer ones repeat themselves; the library has the same limit.
const fn most_tokens(source: usize) -> usize {
    2 * source + 4
}

fn output_tokens(generated: &Generated) -> usize {
    generated.tokens.len() + usize::from(generated.finished)
}

fn read_shortlist(directory: &Path, tokens: usize) -> Result<Option<Shortlist>, String> {
    let path = directory.join(SHORTLIST);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::read(&path).map_err(|error| format!("{SHORTLIST}: {error}"))?;
    validation::check_shortlist(&bytes, tokens)
        .map_err(|reason| format!("{SHORTLIST}: {reason}"))?;
    Ok(Some(Shortlist::from_bytes(&bytes)))
}

/// The best kernel that this processor runs and that was compiled.
fn kernel() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    let able = std::arch::is_x86_feature_detected!("avx2");
    #[cfg(target_arch = "aarch64")]
    let able = std::arch::is_aarch64_feature_detected!("i8mm")
        && std::arch::is_aarch64_feature_detected!("dotprod");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let able = false;
    match able && gemm::backend() != "scalar" {
        true => Kernel::Vector,
        false => Kernel::Scalar,
    }
}

/// Warns about settings that this engine ignores.
fn warn(request: &LoadRequest, kernel: Kernel) {
    if kernel == Kernel::Scalar {
        let wanted = match cfg!(target_arch = "aarch64") {
            true => "i8mm",
            false => "AVX2",
        };
        say(&format!(
            "warning: without {wanted} instructions the engine firefox is many times slower"
        ));
    }
    if request.device != Device::Cpu {
        say("warning: the firefox engine runs on the CPU; engine.device is ignored");
    }
    if !matches!(request.precision, Precision::Auto | Precision::Int8) {
        say("warning: the firefox engine computes with int8; engine.precision is ignored");
    }
    if request.beam_size > 1 {
        say("warning: the firefox engine decodes greedily; engine.beam_size is ignored");
    }
}

/// Turns a panic into an error: the library panics on input that it does not expect.
fn contained<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // A loaded model is read-only, so a panic leaves nothing half-changed.
    panic::catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        format!(
            "the engine panicked: {}",
            text.unwrap_or("without a message")
        )
    })
}

fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_failure_with_its_message() {
        let contained_text = |run: fn()| contained(run).unwrap_err();
        let message = contained_text(|| panic!("index {} is out of range", 7));
        assert_eq!(message, "the engine panicked: index 7 is out of range");
        let message = contained_text(|| panic!("no"));
        assert_eq!(message, "the engine panicked: no");
        assert_eq!(contained(|| 1), Ok(1));
    }
}
