//! `babelmesh translate`

mod file;

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use babelmesh_actors::{
    caller,
    domain::{Format, Locality, Priority, Term, TranslationRequest},
    events::{Event, Observer},
    glossaries::Glossaries,
    text::glossary::tables::{self, TableFormat},
};
use clap::Args;

use super::{Globals, format_names, runtime, usage};
use crate::{
    config::Config,
    failure::Failures,
    node::{Actors, ask_translation, select_models},
};

/// Lines of standard input that are translated together.
const LINES: usize = 256;
/// Longest document on standard input, in bytes. `intake.max_text_chars` of the node is usually less.
const MAX_DOCUMENT_BYTES: u64 = 64 << 20;

#[derive(Debug, Args)]
#[command(
    after_help = "Without --via-node, --node or --socket, models are loaded into this process.\n\
                  A document may have intake.max_text_chars characters; in this process, --set intake.max_text_chars=N changes that."
)]
pub(super) struct TranslateArgs {
    /// Source language, or "auto" to detect it
    #[arg(long, default_value = "auto", value_name = "LANGUAGE")]
    from: String,
    /// Target language
    #[arg(long, value_name = "LANGUAGE")]
    to: String,
    /// Have a node of the cluster translate: its name, or "any" for the shortest expected completion time
    #[arg(long, value_name = "NAME")]
    via_node: Option<String>,
    /// Translate a document: txt, md, html, srt, vtt, po, json, docx, odt or epub
    #[arg(long, value_name = "FILE", requires = "output", conflicts_with_all = ["text", "format"])]
    file: Option<PathBuf>,
    /// Where the translated document is written
    #[arg(long, short, value_name = "FILE", requires = "file")]
    output: Option<PathBuf>,
    /// Replace the output file if it exists
    #[arg(long, requires = "file")]
    force: bool,
    /// Translate the messages of a po document that have a translation, too
    #[arg(long, requires = "file")]
    retranslate: bool,
    /// Format of the text; unless it is "text", standard input is one document
    #[arg(long, value_name = "FORMAT", default_value_t, ignore_case = true, value_parser = format_names())]
    format: Format,
    /// Table of terms and their translations, one in a line: tab-separated, or CSV if its name ends with .csv
    #[arg(long, value_name = "FILE")]
    glossary: Option<PathBuf>,
    /// Text; when it is absent or -, standard input is translated: line by line, or as one document with --format
    text: Option<String>,
}

impl TranslateArgs {
    /// The terms of its table, at most as many as a node takes unless it is configured otherwise.
    fn terms(&self) -> Result<Vec<Term>> {
        let Some(file) = &self.glossary else {
            return Ok(Vec::new());
        };
        let reading = || format!("reading the glossary {}", file.display());
        let table = fs::read_to_string(file).with_context(reading)?;
        let is_csv = file
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("csv"));
        let format = match is_csv {
            true => TableFormat::Csv,
            false => TableFormat::Tsv,
        };
        let pair = self.from.parse().ok().zip(self.to.parse().ok());
        let terms = tables::read(&table, format, pair, usize::MAX).with_context(reading)?;
        ensure!(!terms.is_empty(), "{}: there are no entries", reading());
        Ok(terms)
    }

    /// The text of the command line; `None` for standard input.
    fn text(&self) -> Option<&str> {
        self.text.as_deref().filter(|text| *text != "-")
    }

    /// Whether standard input is one text; else each of its lines is.
    fn reads_document(&self) -> bool {
        self.format != Format::Text
    }
}

/// All of standard input.
fn document() -> Result<String> {
    let mut document = Vec::new();
    let mut input = io::stdin().lock().take(MAX_DOCUMENT_BYTES + 1);
    input.read_to_end(&mut document)?;
    ensure!(
        document.len() as u64 <= MAX_DOCUMENT_BYTES,
        "standard input exceeds {MAX_DOCUMENT_BYTES} bytes"
    );
    String::from_utf8(document).map_err(|_| not_utf8())
}

fn not_utf8() -> anyhow::Error {
    anyhow!("standard input is not UTF-8")
}

pub(super) fn run(args: TranslateArgs, globals: &Globals) -> Result<ExitCode> {
    if let (Some(file), Some(output)) = (&args.file, &args.output) {
        return file::run(&args, (file, output), globals);
    }
    if args.text.is_none() && io::stdin().is_terminal() {
        return Err(usage(
            "no text: give it as an argument, pipe it to standard input, or use - to type it",
        ));
    }
    let terms = args.terms()?;
    if args.via_node.is_some() || globals.names_a_node() {
        let node = args.via_node.as_deref().filter(|node| *node != "any");
        return translate_elsewhere(&args, &terms, &globals.socket()?, node);
    }
    with_actors(&globals.config.load(&[])?, async |actors| {
        translate_all(&args, &terms, actors).await
    })
}

/// Does something with models that are loaded into this process.
fn with_actors(config: &Config, work: impl AsyncFnOnce(&Actors) -> Result<()>) -> Result<ExitCode> {
    runtime()?.block_on(async {
        let causes = Arc::new(Causes::default());
        let selection = select_models(config)?;
        let failures = Failures::default();
        let observer = Arc::clone(&causes) as _;
        let actors = Actors::start(
            config,
            selection,
            observer,
            failures.clone(),
            (
                Arc::new(()),
                Arc::new(()),
                Arc::new(Glossaries::unwritten(config.glossaries.limits())),
            ),
        )
        .await?;
        let done = tokio::select! {
            done = work(&actors) => done,
            failure = failures.wait() => Err(anyhow!(failure.0)),
            signal = super::stop_requested() => Err(anyhow!("stopped by {signal}")),
        };
        actors.stop(Duration::from_secs(2)).await;
        match (done, causes.first()) {
            (Ok(()), _) => Ok(ExitCode::SUCCESS),
            (Err(error), Some(cause)) => Err(error.context(cause)),
            (Err(error), None) => Err(error),
        }
    })
}

/// Has a running node translate, a document as a whole and else each line on its own.
fn translate_elsewhere(
    args: &TranslateArgs,
    terms: &[Term],
    socket: &Path,
    node: Option<&str>,
) -> Result<ExitCode> {
    let mut output = io::stdout().lock();
    let translate = |text: &str| -> Result<String> {
        if text.trim().is_empty() {
            return Ok(text.to_owned());
        }
        let result = ask_translation(socket, node, request(args, terms, text))?;
        match (result.translated_text, result.error) {
            (Some(text), _) => Ok(text),
            (None, Some(error)) => bail!("{}: {}", error.code.name(), error.message),
            (None, None) => bail!(
                "node {} returned neither a translation nor an error",
                result.node
            ),
        }
    };
    if let Some(text) = args.text() {
        writeln!(output, "{}", translate(text)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.reads_document() {
        write!(output, "{}", translate(&document()?)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut input = io::stdin().lock();
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        write!(output, "{}", translate(&line)?)?;
        line.clear();
    }
    Ok(ExitCode::SUCCESS)
}

fn request(args: &TranslateArgs, terms: &[Term], text: &str) -> TranslationRequest {
    TranslationRequest {
        source_language: args.from.clone(),
        format: args.format,
        terms: terms.to_vec(),
        priority: Some(Priority::High),
        ..TranslationRequest::new("command-line", text, &args.to)
    }
}

async fn translate_all(args: &TranslateArgs, terms: &[Term], actors: &Actors) -> Result<()> {
    let mut output = io::stdout().lock();
    if let Some(text) = args.text() {
        let translated = translate(args, terms, actors, text).await?;
        return Ok(writeln!(output, "{translated}")?);
    }
    if args.reads_document() {
        let translated = translate(args, terms, actors, &document()?).await?;
        return Ok(write!(output, "{translated}")?);
    }
    let mut input = io::stdin().lock();
    loop {
        let mut lines = Vec::new();
        let mut line = Vec::new();
        while lines.len() < LINES && input.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8(std::mem::take(&mut line));
            lines.push(text.map_err(|_| not_utf8())?);
        }
        if lines.is_empty() {
            return Ok(());
        }
        let translate = |line| translate(args, terms, actors, line);
        let translations = lines.iter().map(|line| translate(line));
        for translation in futures_util::future::join_all(translations).await {
            write!(output, "{}", translation?)?;
        }
        output.flush()?;
    }
}

/// Translates one text; one without words goes out as it came in.
async fn translate(
    args: &TranslateArgs,
    terms: &[Term],
    actors: &Actors,
    text: &str,
) -> Result<String> {
    if text.trim().is_empty() {
        return Ok(text.to_owned());
    }
    let request = request(args, terms, text);
    match caller::translate(&actors.intake(), request, Locality::Node).await {
        Ok(Ok(translated)) => Ok(translated.text),
        Ok(Err(error)) => bail!("{}: {error}", error.code.name()),
        Err(_) => bail!("the pool stopped before it answered"),
    }
}

/// Remembers the first failure of an actor: with it an answer that never came can be explained.
#[derive(Default)]
struct Causes(Mutex<Option<String>>);

impl Causes {
    fn first(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Observer for Causes {
    fn observe(&self, event: &Event) {
        if let Event::ActorFailed { error, .. } = event {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.clone());
        }
    }
}
