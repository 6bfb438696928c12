//! `babelmesh models evaluate`

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use babelmesh_actors::{
    caller,
    domain::{Locality, TranslationRequest},
};
use babelmesh_models::{
    Manifest, Model,
    quality::{
        Counts,
        reliability::{self, GOOD_CHRF, LEAST_TO_CALIBRATE, ReliabilityBin, Sample},
    },
};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::source::styled;
use crate::{
    cli::{
        runtime, stop_requested,
        table::{lines, table},
    },
    config::Config,
    failure::Failures,
    node::{Actors, registry, select_models},
};

/// Rows of the table of confidence.
const BINS: usize = 10;
/// Sentences in flight: enough for full batches.
const IN_FLIGHT: usize = 256;

#[derive(Debug, Args)]
pub(super) struct EvaluateArgs {
    /// Id of the model
    model: String,
    /// File with a sentence, a TAB and its reference translation in each line
    file: PathBuf,
    /// Source language; that of the model when absent
    #[arg(long, value_name = "LANGUAGE")]
    from: Option<String>,
    /// Target language; that of the model when absent
    #[arg(long, value_name = "LANGUAGE")]
    to: Option<String>,
    /// Write how its confidence is calibrated into the manifest of the model
    #[arg(long)]
    calibrate: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(mut config: Config, args: &EvaluateArgs) -> Result<ExitCode> {
    let sentences = read(&args.file)?;
    let registry = registry(&config)?;
    let Some(model) = registry.get(&args.model) else {
        bail!("there is no model {}", args.model);
    };
    let (source, target) = languages(args, model.manifest())?;
    config.models.load = vec![args.model.clone()];
    // The model is measured, not the cache.
    config.cache.memory_mb = 0;
    config.cache.redis = crate::config::RedisConfig::default();
    let measured = runtime()?.block_on(measure(&config, args, &sentences, (&source, &target)))?;
    if args.calibrate {
        calibrate(model, &measured.samples)?;
    }
    let Measured {
        counts,
        samples,
        time,
    } = measured;
    let bins = reliability::bins(&samples, BINS);
    let error = reliability::calibration_error(&samples);
    let speed = sentences.len() as f64 / time.as_secs_f64().max(f64::EPSILON);
    let mut output = io::stdout().lock();
    if args.json {
        let report = json!({
            "model": args.model, "source": source, "target": target, "sentences": sentences.len(),
            "bleu": counts.bleu(), "chrf2": counts.chrf(), "seconds": time.as_secs_f64(), "sentencesPerSecond": speed,
            "calibrationError": error, "goodChrf2": GOOD_CHRF, "confidence": bins.iter().map(|bin| json!({
                "sentences": bin.sentences, "confidence": bin.confidence, "good": bin.good,
            })).collect::<Vec<_>>(),
        });
        writeln!(output, "{report:#}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        output,
        "{}, {source} to {target}, {} sentences",
        args.model,
        sentences.len()
    )?;
    writeln!(
        output,
        "BLEU   {:.2} (13a tokens, exponential smoothing)",
        counts.bleu()
    )?;
    writeln!(output, "chrF2  {:.2}", counts.chrf())?;
    writeln!(
        output,
        "speed  {speed:.1} sentences/s ({:.2} s)",
        time.as_secs_f64()
    )?;
    write_reliability(&mut output, &bins, error)?;
    if args.calibrate {
        let folder = model.directory().display();
        writeln!(output, "\nThe calibration is in the manifest of {folder}.")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes how many translations of each confidence are good.
fn write_reliability(
    output: &mut impl Write,
    bins: &[ReliabilityBin],
    error: f64,
) -> io::Result<()> {
    writeln!(
        output,
        "\nSentences by confidence; good are those with a chrF2 of {GOOD_CHRF} or more. Calibration error {error:.3}."
    )?;
    let mut rows = table(&[">sentences", ">confidence", ">good"]);
    for bin in bins {
        rows.add_row([
            bin.sentences.to_string(),
            format!("{:.3}", bin.confidence),
            format!("{:.3}", bin.good),
        ]);
    }
    write!(output, "{}", lines(&rows))
}

/// Puts the calibration of these scores into the manifest of a model.
fn calibrate(model: &Model, samples: &[Sample]) -> Result<()> {
    let Some(curve) = reliability::calibrate(samples) else {
        bail!(
            "{} sentences are too few to calibrate a model; it takes {LEAST_TO_CALIBRATE}",
            samples.len()
        );
    };
    let good = samples.iter().filter(|sample| sample.is_good).count();
    ensure!(
        good * 10 >= samples.len(),
        "only {good} of {} translations are like their references: is the file in the languages of the model?",
        samples.len()
    );
    let calibrated = model.with_confidence(Some(curve));
    let folder = model.directory().display();
    calibrated
        .write_manifest()
        .with_context(|| format!("writing the manifest of {folder}"))
}

/// What was measured.
struct Measured {
    counts: Counts,
    /// Each sentence.
    samples: Vec<Sample>,
    time: Duration,
}

/// Reads sentences with their references.
fn read(path: &Path) -> Result<Vec<(String, String)>> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("reading {name}"))?;
    let mut sentences = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let line = line.with_context(|| format!("reading {name}, line {number}"))?;
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() {
            continue;
        }
        match line.split_once('\t') {
            Some((source, reference)) if !source.trim().is_empty() && !reference.contains('\t') => {
                sentences.push((source.to_owned(), reference.to_owned()));
            }
            _ => bail!("{name}, line {number}: expected a sentence, one TAB and its reference"),
        }
    }
    ensure!(!sentences.is_empty(), "{name} has no sentences");
    Ok(sentences)
}

fn languages(args: &EvaluateArgs, manifest: &Manifest) -> Result<(String, String)> {
    let one = |given: &Option<String>, all: &[String], option: &str| match (given, all) {
        (Some(language), _) if all.contains(language) => Ok(language.clone()),
        (Some(language), _) => Err(anyhow!(
            "{} does not have {language}; it has {}",
            args.model,
            all.join(", ")
        )),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(anyhow!("name one of {} with {option}", all.join(", "))),
    };
    let source = one(&args.from, &manifest.source_languages, "--from")?;
    Ok((source, one(&args.to, &manifest.target_languages, "--to")?))
}

/// Translates everything; the time does not include the start of the engine.
async fn measure(
    config: &Config,
    args: &EvaluateArgs,
    sentences: &[(String, String)],
    (source, target): (&str, &str),
) -> Result<Measured> {
    let mut selection = select_models(config)?;
    if args.calibrate {
        // The scores of the model itself are calibrated.
        let models = selection.models.iter();
        selection.models = models.map(|model| model.with_confidence(None)).collect();
    }
    let failures = Failures::default();
    let around = (Arc::new(()) as _, Arc::new(()) as _, Arc::default());
    let actors = Actors::start(config, selection, Arc::new(()), failures.clone(), around).await?;
    let work = async {
        let translate = |text: &str| {
            let request = TranslationRequest {
                source_language: source.to_owned(),
                ..TranslationRequest::new("evaluation", text, target)
            };
            let intake = actors.intake();
            async move {
                match caller::translate(&intake, request, Locality::Node).await {
                    Ok(Ok(translated)) => Ok((translated.text, translated.confidence)),
                    Ok(Err(error)) => Err(anyhow!("{}: {error}", error.code.name())),
                    Err(_) => Err(anyhow!("the pool ended before it answered")),
                }
            }
        };
        translate(&sentences[0].0).await?;
        let length = Some(sentences.len() as u64);
        let bar = styled(
            length,
            "{bar:30} {pos}/{len} sentences, {per_sec}, {eta} left",
        );
        let began = Instant::now();
        let translations: Vec<(String, f64)> = stream::iter(sentences)
            .map(|(text, _)| translate(text))
            .buffered(IN_FLIGHT)
            .inspect(|_| bar.inc(1))
            .try_collect()
            .await?;
        let time = began.elapsed();
        bar.finish_and_clear();
        Ok((translations, time))
    };
    let done = tokio::select! {
        done = work => done,
        failure = failures.wait() => Err(anyhow!(failure.0)),
        signal = stop_requested() => Err(anyhow!("stopped by {signal}")),
    };
    actors.stop(Duration::from_secs(2)).await;
    let (translations, time) = done?;
    let (mut counts, mut samples) = (Counts::default(), Vec::new());
    for ((translation, confidence), (_, reference)) in translations.iter().zip(sentences) {
        counts.add(translation, reference);
        let mut own = Counts::default();
        own.add(translation, reference);
        samples.push(Sample {
            confidence: *confidence,
            is_good: own.chrf() >= GOOD_CHRF,
        });
    }
    Ok(Measured {
        counts,
        samples,
        time,
    })
}
