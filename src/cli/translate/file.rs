//! `babelmesh translate --file`: a document.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use babelmesh_actors::{
    caller,
    domain::{Format, Locality, Priority, TextChecks, TranslationRequest},
};
use babelmesh_documents::{Document, Segment};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Globals, TranslateArgs, with_actors};
use crate::{
    config::Config,
    node::{Actors, ask_translation},
};

/// Bytes of words from which the language of a document is detected.
const SAMPLE_BYTES: usize = 1 << 10;
/// Segments that a running node is asked for at the same time.
const CONNECTIONS: usize = 8;

/// Translates a document.
pub(super) fn run(
    args: &TranslateArgs,
    (input, output): (&Path, &Path),
    globals: &Globals,
) -> Result<ExitCode> {
    let config = globals.config.load(&[])?;
    check_output(args, input, output)?;
    let document = read(args, input, &config)?;
    let work = Work::new(args, document);
    let code = if args.via_node.is_some() || globals.names_a_node() {
        let node = args.via_node.as_deref().filter(|node| *node != "any");
        work.ask_node(&globals.socket()?, node)?;
        ExitCode::SUCCESS
    } else {
        with_actors(&config, async |actors| {
            let in_flight = config.documents.max_segments_in_flight;
            work.translate_here(actors, in_flight).await
        })?
    };
    work.finish(output, args.force)?;
    Ok(code)
}

/// The input is replaced only where that is asked for, as any other file.
fn check_output(args: &TranslateArgs, input: &Path, output: &Path) -> Result<()> {
    let (shown, exists) = (output.display(), output.symlink_metadata().is_ok());
    ensure!(
        !exists || args.force,
        "{shown} already exists; use --force to replace it"
    );
    ensure!(!output.is_dir(), "{shown} is a directory");
    let ending = |path: &Path| {
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        ending.unwrap_or_default()
    };
    ensure!(
        ending(input) == ending(output),
        "{shown} has another ending than {}: a document keeps its format",
        input.display()
    );
    Ok(())
}

fn read(args: &TranslateArgs, input: &Path, config: &Config) -> Result<Document> {
    let reading = || format!("reading {}", input.display());
    let limit = config.documents.max_bytes;
    let file = File::open(input).with_context(reading)?;
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .with_context(reading)?;
    ensure!(
        bytes.len() <= limit,
        "{} has more than {limit} bytes (documents.max_bytes)",
        input.display()
    );
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    let mut limits = config.documents.limits(config.intake.max_text_chars);
    limits.retranslate = args.retranslate;
    Document::parse(&name, bytes, &limits).with_context(reading)
}

/// A document, and what is translated of it.
struct Work<'a> {
    args: &'a TranslateArgs,
    document: Document,
    progress: ProgressBar,
    done: Mutex<Done>,
}

#[derive(Debug, Default)]
struct Done {
    /// The translations, by the numbers of their segments.
    texts: Vec<Option<String>>,
    /// Segments with a sentence that was not translated whole.
    flagged_segments: usize,
    /// Sentences of which a part was left untranslated.
    untranslated_sentences: u32,
}

/// A translated text, and the language that it was in.
struct Answer {
    text: String,
    source: String,
    checks: Option<TextChecks>,
}

impl<'a> Work<'a> {
    fn new(args: &'a TranslateArgs, document: Document) -> Self {
        let done = Done {
            texts: vec![None; document.segments().len()],
            ..Done::default()
        };
        Self {
            args,
            progress: bar(document.chars()),
            document,
            done: Mutex::new(done),
        }
    }

    /// The request for a text in a language.
    fn request(&self, segment: &Segment, source: &str) -> TranslationRequest {
        TranslationRequest {
            source_language: source.to_owned(),
            format: segment.format,
            xml: segment.xml().map(Box::new),
            priority: Some(Priority::Low),
            conversation_id: Some("command-line".to_owned()),
            ..TranslationRequest::new("command-line", segment.text.as_str(), &self.args.to)
        }
    }

    /// A text from the start of the document whose language is that of the document; `None` if the language is given or there are no words.
    fn sample(&self) -> Option<Segment> {
        let is_auto = self.args.from.eq_ignore_ascii_case("auto");
        let text = self.document.sample(SAMPLE_BYTES).join("\n");
        let text: String = text.chars().take(2 * SAMPLE_BYTES).collect();
        let format = Format::Text;
        (is_auto && !text.trim().is_empty()).then_some(Segment { text, format })
    }

    fn note(&self, number: usize, answer: Answer) {
        self.progress
            .inc(self.document.segments()[number].chars() as u64);
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(checks) = answer.checks {
            done.flagged_segments += 1;
            done.untranslated_sentences += checks.source;
        }
        done.texts[number] = Some(answer.text);
    }

    /// Has models in this process translate the document.
    async fn translate_here(&self, actors: &Actors, in_flight: usize) -> Result<()> {
        let translate = async |segment: &Segment, source: &str| {
            let request = self.request(segment, source);
            match caller::translate(&actors.intake(), request, Locality::Node).await {
                Ok(Ok(translated)) => Ok(Answer {
                    text: translated.text,
                    source: translated.source.to_string(),
                    checks: translated.checks,
                }),
                Ok(Err(error)) => Err(anyhow!("{}: {error}", error.code.name())),
                Err(_) => Err(anyhow!("the pool stopped before it answered")),
            }
        };
        let source = match self.sample() {
            Some(sample) => translate(&sample, "auto").await?.source,
            None => self.args.from.clone(),
        };
        let one = async |number: usize| {
            let answer = translate(&self.document.segments()[number], &source).await;
            self.note(
                number,
                answer.with_context(|| format!("segment {}", number + 1))?,
            );
            anyhow::Ok(())
        };
        stream::iter(0..self.document.segments().len())
            .map(one)
            .buffer_unordered(in_flight)
            .try_collect()
            .await
    }

    /// Has a running node translate the document.
    fn ask_node(&self, socket: &Path, node: Option<&str>) -> Result<()> {
        let ask = |segment: &Segment, source: &str| -> Result<Answer> {
            let result = ask_translation(socket, node, self.request(segment, source))?;
            match (result.translated_text, result.error) {
                (Some(text), _) => Ok(Answer {
                    text,
                    source: result.detected_language.unwrap_or(result.source_language),
                    checks: result.checks,
                }),
                (None, Some(error)) => bail!("{}: {}", error.code.name(), error.message),
                (None, None) => bail!("node {} returned no translation", result.node),
            }
        };
        let source = match self.sample() {
            Some(sample) => ask(&sample, "auto")?.source,
            None => self.args.from.clone(),
        };
        let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
        let segments = self.document.segments();
        thread::scope(|scope| {
            for _ in 0..CONNECTIONS.min(segments.len()) {
                scope.spawn(|| {
                    while let Some((number, segment)) = take(segments, &next) {
                        match ask(segment, &source) {
                            Ok(answer) => self.note(number, answer),
                            Err(error) => {
                                let error = error.context(format!("segment {}", number + 1));
                                let mut first =
                                    failure.lock().unwrap_or_else(PoisonError::into_inner);
                                first.get_or_insert(error);
                                // The others stop too.
                                next.store(segments.len(), Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(()), Err)
    }

    /// Writes the translated document.
    fn finish(self, output: &Path, replaces: bool) -> Result<()> {
        self.progress.finish_and_clear();
        let done = self
            .done
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let (count, characters) = (done.texts.len(), self.document.chars());
        let texts: Option<Vec<String>> = done.texts.into_iter().collect();
        let texts = texts.context("not every segment was translated")?;
        let bytes = self.document.write(&texts)?;
        write(output, &bytes, replaces)?;
        let mut report = format!(
            "{}: {count} segments, {characters} characters",
            output.display()
        );
        if done.flagged_segments > 0 {
            report.push_str(&format!(
                "; checks flagged {} segments, {} sentences have untranslated parts",
                done.flagged_segments, done.untranslated_sentences
            ));
        }
        // A standard error that is closed must not stop the command.
        let _ = writeln!(io::stderr(), "{report}");
        Ok(())
    }
}

fn take<'s>(segments: &'s [Segment], next: &AtomicUsize) -> Option<(usize, &'s Segment)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    segments.get(number).map(|segment| (number, segment))
}

/// Writes a file that is there as a whole or not at all.
fn write(output: &Path, bytes: &[u8], replaces: bool) -> Result<()> {
    let writing = || format!("writing {}", output.display());
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The umask applies.
    let permissions = fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new()
        .permissions(permissions)
        .tempfile_in(folder)
        .with_context(writing)?;
    file.write_all(bytes).with_context(writing)?;
    let written = match replaces {
        true => file.persist(output),
        false => file.persist_noclobber(output),
    };
    written.map_err(|error| error.error).with_context(writing)?;
    Ok(())
}

fn bar(characters: u64) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(characters), target);
    let style = "{bar:30} {pos}/{len} characters, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}
