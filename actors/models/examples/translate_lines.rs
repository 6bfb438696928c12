//! Translates lines with one engine and one model, in batches, without a node: for scores and comparisons.
//!
//! ```sh
//! cargo build --release -p babelmesh-engine-ctranslate2 -p babelmesh-engine-rust-bert
//! cargo run --release -p babelmesh-models --example translate_lines -- \
//!     models/demo-en-fr-de ctranslate2 int8 en fr 1 < lines.txt > translations.txt
//! ```
//! The last argument is the beam size. Each output line is the translation, a tab and the mean log-probability.

use std::{
    env,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, bail};
use babelmesh_engine_protocol::{
    Device, FromEngine, LoadRequest, Precision, Segment, ToEngine, TranslateRequest,
    client::BlockingEngine,
};
use babelmesh_models::{EngineKind, Model, forms};

const BATCH: usize = 64;

fn main() -> anyhow::Result<()> {
    let arguments = env::args().skip(1).collect::<Vec<_>>();
    let [model, engine, precision, source, target, beam_size] = arguments.as_slice() else {
        bail!("arguments: MODEL-FOLDER ENGINE PRECISION SOURCE TARGET BEAM-SIZE");
    };
    let engine = engine.parse::<EngineKind>().map_err(anyhow::Error::msg)?;
    let model = Model::open(Path::new(model))?;
    let cache = env::temp_dir().join("babelmesh-forms");
    let started = Instant::now();
    let directory = forms::prepare(&model, engine, &cache)?.directory;
    let prepared = started.elapsed();
    let path = executable(engine)?;
    let mut engine = BlockingEngine::start(&path)
        .with_context(|| format!("starting {}; build it first", path.display()))?;
    let limits = model.manifest().limits;
    let loaded = engine.ask(&ToEngine::Load(LoadRequest {
        directory: directory
            .to_str()
            .context("the cache's path is not UTF-8")?
            .to_owned(),
        precision: match precision.as_str() {
            "auto" => Precision::Auto,
            "int8" => Precision::Int8,
            "float16" => Precision::Float16,
            "float32" => Precision::Float32,
            other => bail!("unknown precision {other}"),
        },
        device: Device::Cpu,
        threads: 1,
        beam_size: beam_size.parse()?,
        max_input_tokens: limits.max_input_tokens,
        max_output_tokens: limits.max_output_tokens,
    }))?;
    let lines = io::stdin().lock().lines().collect::<Result<Vec<_>, _>>()?;
    let started = Instant::now();
    let mut output = io::BufWriter::new(io::stdout().lock());
    for (id, batch) in (0..).zip(lines.chunks(BATCH)) {
        let segment = |text: &String| Segment {
            text: text.clone(),
            source: source.clone(),
            target: target.clone(),
            align: false,
            alternatives: 0,
        };
        let segments = batch.iter().map(segment).collect();
        match engine.ask(&ToEngine::Translate(TranslateRequest { id, segments }))? {
            FromEngine::Translated(report) => {
                for translation in report.translations {
                    writeln!(output, "{}\t{}", translation.text, translation.score)?;
                }
            }
            other => bail!("the engine answered {other:?}"),
        }
    }
    output.flush()?;
    let seconds = started.elapsed().as_secs_f64();
    writeln!(
        io::stderr(),
        "{loaded:?}; form ready in {prepared:?}; {} lines in {seconds:.2} s, {:.0} a second",
        lines.len(),
        lines.len() as f64 / seconds
    )?;
    Ok(())
}

/// The engine's executable: this one is in `target/<profile>/examples`, the engines are one folder up.
fn executable(engine: EngineKind) -> anyhow::Result<PathBuf> {
    let own = env::current_exe()?;
    let profile = own
        .parent()
        .and_then(Path::parent)
        .context("no target folder")?;
    Ok(profile.join(engine.executable()))
}
