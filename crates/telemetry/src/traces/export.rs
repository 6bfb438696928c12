//! The exporter: a bounded queue, and a thread with its own runtime that drains it.
//!
//! Ending a span never blocks: it is only offered to the queue. While the collector is away batches fail and are
//! dropped one after the other, and what finds the queue full is dropped at once; both are counted, and told about now
//! and then.

use std::{
    sync::{Mutex, PoisonError, mpsc as blocking},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use opentelemetry::Context;
use opentelemetry_otlp::{
    Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
    tonic_types::metadata::MetadataMap,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter as _, SpanProcessor},
};
use tokio::{
    sync::{
        mpsc::{Receiver, Sender, channel},
        watch,
    },
    time::{timeout, timeout_at},
};

use super::counts::{EXPORT_FAILED, QUEUE_FULL, SpanCounts};
use crate::config::{OtlpProtocol, TracesConfig};

/// Where OTLP/HTTP takes traces, unless the endpoint names another path.
const HTTP_PATH: &str = "/v1/traces";

/// Where spans that have ended go.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    spans: Sender<SpanData>,
    counts: SpanCounts,
}

impl Queue {
    /// Takes a span, or drops it. Never waits.
    pub(super) fn push(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.counts.drop_spans(1, &QUEUE_FULL, "the queue is full");
        }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// [`Exporting::stop`] does it.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The thread that exports.
pub(super) struct Exporting {
    /// Until when what is left may be exported, once that is known.
    end: watch::Sender<Option<tokio::time::Instant>>,
    ended: Mutex<blocking::Receiver<()>>,
}

impl Exporting {
    /// Has what is left exported, and waits for that, but not longer than `within`.
    pub(super) fn stop(&self, within: Duration) {
        self.end
            .send_replace(Some(tokio::time::Instant::now() + within));
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(within);
    }
}

/// Starts to export.
///
/// # Errors
/// When the exporter cannot be made.
pub(super) fn start(
    config: &TracesConfig,
    resource: &Resource,
    counts: SpanCounts,
) -> Result<(Queue, Exporting)> {
    let (spans, receiver) = channel(config.queue_spans);
    let (end, told) = watch::channel(None);
    let (started, starting) = blocking::sync_channel(1);
    let (done, ended) = blocking::sync_channel(1);
    let (config, resource, counting) = (config.clone(), resource.clone(), counts.clone());
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = started.send(Err(error.into()));
                return;
            }
        };
        runtime.block_on(async {
            // gRPC wants the runtime to be there already.
            let exporter = match exporter(&config, &resource) {
                Ok(exporter) => exporter,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let _ = started.send(Ok(()));
            let worker = Worker {
                exporter,
                receiver,
                end: told,
                counts: counting,
                most: config.batch_spans,
                delay: Duration::from_millis(config.export_delay_ms),
                within: Duration::from_millis(config.export_timeout_ms),
            };
            worker.run().await;
        });
        // What hangs in a connection is not waited for.
        runtime.shutdown_background();
        let _ = done.send(());
    };
    thread::Builder::new()
        .name("traces".to_owned())
        .spawn(run)
        .context("starting a thread")?;
    starting.recv().context("the thread has ended")??;
    let exporting = Exporting {
        end,
        ended: Mutex::new(ended),
    };
    Ok((Queue { spans, counts }, exporting))
}

fn exporter(config: &TracesConfig, resource: &Resource) -> Result<SpanExporter> {
    let endpoint = config.endpoint.as_deref().unwrap_or_default();
    let within = Duration::from_millis(config.export_timeout_ms);
    let mut exporter = match config.protocol {
        OtlpProtocol::Grpc => SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(within)
            .with_metadata(metadata(config)?)
            .with_retry_policy(RetryPolicy::recommended())
            .build(),
        OtlpProtocol::Http => SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(http_endpoint(endpoint))
            .with_timeout(within)
            .with_headers(
                config
                    .headers
                    .iter()
                    .map(|(name, value)| (name.clone(), value.expose().to_owned()))
                    .collect(),
            )
            .with_retry_policy(RetryPolicy::recommended())
            .build(),
    }
    .context("making the exporter")?;
    exporter.set_resource(resource);
    Ok(exporter)
}

/// Headers as gRPC has them.
fn metadata(config: &TracesConfig) -> Result<MetadataMap> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in &config.headers {
        let mut value = http::HeaderValue::from_str(value.expose())
            .with_context(|| format!("header {name}"))?;
        value.set_sensitive(true);
        headers.insert(http::HeaderName::from_bytes(name.as_bytes())?, value);
    }
    Ok(MetadataMap::from_headers(headers))
}

/// The endpoint with the path that OTLP/HTTP wants, unless it has one.
fn http_endpoint(endpoint: &str) -> String {
    let bare = endpoint.trim_end_matches('/');
    let rest = bare.split_once("://").map_or(bare, |(_, rest)| rest);
    match rest.contains('/') {
        true => endpoint.to_owned(),
        false => format!("{bare}{HTTP_PATH}"),
    }
}

struct Worker {
    exporter: SpanExporter,
    receiver: Receiver<SpanData>,
    end: watch::Receiver<Option<tokio::time::Instant>>,
    counts: SpanCounts,
    most: usize,
    delay: Duration,
    within: Duration,
}

impl Worker {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(self.most);
        while self.end.borrow().is_none() {
            if !self.gather(&mut batch).await {
                break;
            }
            let spans = std::mem::replace(&mut batch, Vec::with_capacity(self.most));
            let count = spans.len();
            let mut end = self.end.clone();
            // Once the end has come, so much time is left as it says.
            let cut = async {
                match end.wait_for(Option::is_some).await {
                    Ok(at) => at.unwrap_or_else(tokio::time::Instant::now),
                    Err(_) => tokio::time::Instant::now(),
                }
            };
            tokio::select! {
                () = self.export(spans) => {}
                () = async { tokio::time::sleep_until(cut.await).await } => {
                    self.counts.drop_spans(count, &EXPORT_FAILED, "the node ends");
                }
            }
        }
        self.finish(batch).await;
    }

    /// Waits for spans, and a little longer for more of them; `false` when there will be none.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) -> bool {
        let Self {
            receiver,
            end,
            most,
            delay,
            ..
        } = self;
        tokio::select! {
            _ = end.wait_for(Option::is_some) => return false,
            received = receiver.recv_many(batch, *most) => {
                if received == 0 {
                    return false;
                }
            }
        }
        let until = tokio::time::Instant::now() + *delay;
        while batch.len() < *most {
            let room = *most - batch.len();
            tokio::select! {
                _ = end.wait_for(Option::is_some) => return false,
                received = timeout_at(until, receiver.recv_many(batch, room)) => {
                    if !received.is_ok_and(|received| received > 0) {
                        break;
                    }
                }
            }
        }
        true
    }

    async fn export(&self, spans: Vec<SpanData>) {
        let count = spans.len();
        // The exporter tries again by itself within that time.
        match timeout(self.within, self.exporter.export(spans)).await {
            Ok(Ok(())) => {
                self.counts.export_spans(count);
            }
            Ok(Err(error)) => {
                let error = error.to_string();
                self.counts.drop_spans(count, &EXPORT_FAILED, &error);
            }
            Err(_) => {
                let error = "the collector does not answer in time";
                self.counts.drop_spans(count, &EXPORT_FAILED, error);
            }
        }
    }

    /// Exports what is left until the time is over.
    async fn finish(mut self, mut batch: Vec<SpanData>) {
        self.receiver.close();
        let end = *self.end.borrow();
        let end = end.unwrap_or_else(tokio::time::Instant::now);
        loop {
            while batch.len() < self.most
                && let Ok(span) = self.receiver.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            let count = batch.len();
            let spans = std::mem::take(&mut batch);
            if timeout_at(end, self.export(spans)).await.is_err() {
                let left = count + self.receiver.len();
                self.counts
                    .drop_spans(left, &EXPORT_FAILED, "the node ends");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_to_their_own_path_unless_another_one_is_named() {
        for (endpoint, used) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            ("http://c:4318/otlp/traces", "http://c:4318/otlp/traces"),
        ] {
            assert_eq!(http_endpoint(endpoint), used);
        }
    }
}
