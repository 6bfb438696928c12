//! `babelmesh translate`

use std::{
    io::{self, BufRead, Write},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use babelmesh_actors::{
    domain::{Priority, TranslationRequest},
    events::{Event, Observer},
};
use clap::Args;

use super::{ConfigArgs, runtime};
use crate::{
    failure::Failures,
    node::{Actors, caller, select_models},
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
    /// The text; - reads standard input and translates it line by line
    text: String,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: TranslateArgs) -> Result<ExitCode> {
    let config = args.config.load(&[])?;
    runtime()?.block_on(async {
        let causes = Arc::new(Causes::default());
        let models = select_models(&config)?;
        let failures = Failures::default();
        let observer = Arc::clone(&causes) as _;
        let actors = Actors::start(&config, &models, observer, failures.clone()).await?;
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
    let request = TranslationRequest {
        source_language: args.from.clone(),
        priority: Some(Priority::High),
        ..TranslationRequest::new("command-line", text, &args.to)
    };
    match caller::translate(&actors.intake(), request, None).await {
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
