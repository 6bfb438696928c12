//! Log lines on standard error, whose filter can be changed while the node runs.

use std::{
    io::{self, IsTerminal},
    sync::OnceLock,
};

use anyhow::{Context, Result};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::FilterExt,
    layer::{Layered, SubscriberExt},
    reload,
    util::SubscriberInitExt,
};

use crate::{
    config::{LogConfig, LogFormat},
    events::LibraryLines,
    telemetry::Traces,
};

/// Default filter for redundant or noisy log lines of libraries. A filter that names them wins. `actix_http` has a line
/// at level error for each request whose head is malformed, and scanners send many.
const QUIET: &str = "ractor=error,ractor_cluster=error,actix_http=off,actix_server=warn,\
    h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn,opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry_otlp=warn,opentelemetry_http=warn";

/// The stack that the filter of log lines is part of: below it are traces, which have a filter of their own.
type Below = Layered<Option<Box<dyn Layer<Registry> + Send + Sync>>, Registry>;

static FILTER: OnceLock<reload::Handle<EnvFilter, Below>> = OnceLock::new();

/// Sends log lines to standard error from now on; a second call is of no effect.
pub fn start(log: &LogConfig) {
    start_traced(log, &Traces::default());
}

/// [`start`], with spans exported to where traces go.
pub fn start_traced(log: &LogConfig, traces: &Traces) {
    let filter = parse(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let started = tracing_subscriber::registry()
        .with(traces.layer().map(Layer::boxed))
        .with(lines.with_filter(filter.and(LibraryLines)))
        .try_init();
    if started.is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Changes which lines there are, in the syntax of `log.filter`.
///
/// # Errors
/// When it is no filter, or the log was not started by [`start`].
pub fn set_filter(filter: &str) -> Result<()> {
    let parsed = parse(filter)?;
    let handle = FILTER.get().context("this process writes no log")?;
    handle.reload(parsed).context("changing the log's filter")
}

fn parse(filter: &str) -> Result<EnvFilter> {
    EnvFilter::try_new(format!("{QUIET},{filter}"))
        .with_context(|| format!("\"{filter}\" is not a filter such as \"babelmesh=debug,warn\""))
}
