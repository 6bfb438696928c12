//! `babelmesh translate`

use std::{
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use babelmesh_actors::{
    caller,
    domain::{Priority, Reach, TranslationRequest},
    events::{Event, Observer},
};
use clap::Args;

use super::{ConfigArgs, runtime};
use crate::{
    failure::Failures,
    node::{Actors, ask_translation, default_socket, select_models},
};

/// Lines of standard input that are translated together.
const LINES: usize = 256;

#[derive(Debug, Args)]
pub(super) struct TranslateArgs {
    /// Source language, or auto
    #[arg(long, default_value = "auto", value_name = "LANGUAGE")]
    from: String,
    /// Target language
    #[arg(long, value_name = "LANGUAGE")]
    to: String,
    /// Node that translates, or "any" for the shortest expected completion time; sent through the node on this machine
    #[arg(long, value_name = "NAME")]
    via_node: Option<String>,
    /// Path of the socket of the node on this machine; that of the configuration when absent
    #[arg(long, value_name = "PATH", requires = "via_node")]
    socket: Option<PathBuf>,
    /// The text; - reads standard input and translates it line by line
    text: String,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: TranslateArgs) -> Result<ExitCode> {
    let config = args.config.load(&[])?;
    if let Some(node) = &args.via_node {
        let socket = args.socket.clone().or_else(|| config.status.socket.clone());
        let socket = socket.unwrap_or_else(|| default_socket(&config.node.name));
        return translate_elsewhere(&args, &socket, node);
    }
    runtime()?.block_on(async {
        let causes = Arc::new(Causes::default());
        let selection = select_models(&config)?;
        let failures = Failures::default();
        let observer = Arc::clone(&causes) as _;
        let actors = Actors::start(
            &config,
            selection,
            observer,
            failures.clone(),
            Arc::new(()),
            Arc::new(()),
        )
        .await?;
        let done = tokio::select! {
            done = translate_all(&args, &actors) => done,
            failure = failures.wait() => Err(anyhow!(failure.0)),
            signal = super::told_to_stop() => Err(anyhow!("stopped by {signal}")),
        };
        actors.stop(Duration::from_secs(2)).await;
        match (done, causes.first()) {
            (Ok(()), _) => Ok(ExitCode::SUCCESS),
            (Err(error), Some(cause)) => Err(error.context(cause)),
            (Err(error), None) => Err(error),
        }
    })
}

/// Has a node of a cluster translate, each line for itself.
fn translate_elsewhere(args: &TranslateArgs, socket: &Path, node: &str) -> Result<ExitCode> {
    let node = (node != "any").then_some(node);
    let mut output = io::stdout().lock();
    let translate = |text: &str| -> Result<String> {
        if text.trim().is_empty() {
            return Ok(text.to_owned());
        }
        let result = ask_translation(socket, node, request(args, text))?;
        match (result.translated_text, result.error) {
            (Some(text), _) => Ok(text),
            (None, Some(error)) => bail!("{}: {}", error.code.name(), error.message),
            (None, None) => bail!("{} answered without a translation", result.node),
        }
    };
    if args.text != "-" {
        writeln!(output, "{}", translate(&args.text)?)?;
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

fn request(args: &TranslateArgs, text: &str) -> TranslationRequest {
    TranslationRequest {
        source_language: args.from.clone(),
        priority: Some(Priority::High),
        ..TranslationRequest::new("command-line", text, &args.to)
    }
}

async fn translate_all(args: &TranslateArgs, actors: &Actors) -> Result<()> {
    let mut output = io::stdout().lock();
    if args.text != "-" {
        let translated = translate(args, actors, &args.text).await?;
        return Ok(writeln!(output, "{translated}")?);
    }
    let mut input = io::stdin().lock();
    loop {
        let mut lines = Vec::new();
        let mut line = Vec::new();
        while lines.len() < LINES && input.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8(std::mem::take(&mut line));
            lines.push(text.map_err(|_| anyhow!("standard input is not UTF-8"))?);
        }
        if lines.is_empty() {
            return Ok(());
        }
        let translations = lines.iter().map(|line| translate(args, actors, line));
        for translation in futures_util::future::join_all(translations).await {
            write!(output, "{}", translation?)?;
        }
        output.flush()?;
    }
}

/// Translates one text; one without words goes out as it came in.
async fn translate(args: &TranslateArgs, actors: &Actors, text: &str) -> Result<String> {
    if text.trim().is_empty() {
        return Ok(text.to_owned());
    }
    match caller::translate(&actors.intake(), request(args, text), Reach::Node).await {
        Ok(Ok(translated)) => Ok(translated.text),
        Ok(Err(error)) => bail!("{}: {error}", error.code.name()),
        Err(_) => bail!("the pool ended before it answered"),
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
