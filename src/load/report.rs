//! What a run found.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use babelmesh_actors::domain::TranslationResult;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

use super::oracle::Oracle;

/// Most ids that are named in a report.
const NAMED: usize = 20;

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// Messages sent.
    pub messages: u64,
    /// Answers expected: messages × targets.
    pub expected: u64,
    /// Translations received, each counted once.
    pub translated: u64,
    /// Those of them that no model had to make, because they were made before or for another message.
    pub from_cache: u64,
    /// Error results received, by code.
    pub errors: BTreeMap<String, u64>,
    /// Answers that never came.
    pub lost: u64,
    /// Answers that came again.
    pub duplicates: u64,
    /// The first of those that never came: message id and target.
    pub lost_ids: Vec<(String, String)>,
    /// Whether sending was held back by the limit of unanswered messages.
    pub held_back: bool,
    /// Seconds that sending took.
    pub sending_seconds: f64,
    /// Seconds from the first message sent to the last answer.
    pub receiving_seconds: f64,
    /// Answers per second, from the first message sent to the last answer.
    pub answers_per_second: f64,
    /// Time from the moment a message was due to its answer.
    pub latency_ms: Latency,
    /// Mean number of segments in the batches that answers were in, those from the cache excepted.
    pub mean_batch: f64,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Longest.
    pub max: f64,
}

/// Counters of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    errors: BTreeMap<String, u64>,
    translated: u64,
    from_cache: u64,
    batches: u64,
    /// When the first message was sent.
    first: Option<Instant>,
    /// When the last answer came.
    last: Option<Instant>,
    pub(super) held_back: bool,
}

impl Tally {
    /// A message was sent.
    pub(super) fn sent(&mut self) {
        self.first.get_or_insert_with(Instant::now);
    }

    pub(super) fn add(&mut self, result: &TranslationResult) {
        self.last = Some(Instant::now());
        match &result.error {
            Some(error) => *self.errors.entry(error.code.name().to_owned()).or_default() += 1,
            None => {
                self.translated += 1;
                self.from_cache += u64::from(result.from_cache);
                self.batches += u64::from(result.batch_size);
            }
        }
    }
}

impl LoadReport {
    pub(super) fn new(oracle: &Oracle, tally: Tally, sending: Duration) -> Self {
        let lost = oracle.expected() - oracle.answered();
        let missing = oracle
            .missing()
            .take(NAMED)
            .map(|(id, target)| (id, target.to_owned()));
        let receiving = match (tally.first, tally.last) {
            (Some(first), Some(last)) => (last - first).as_secs_f64(),
            _ => 0.0,
        };
        let latency = oracle.latency_us();
        let quantile = |q| latency.value_at_quantile(q) as f64 / 1e3;
        Self {
            messages: oracle.sent(),
            expected: oracle.expected(),
            translated: tally.translated,
            from_cache: tally.from_cache,
            errors: tally.errors,
            lost,
            duplicates: oracle.duplicates(),
            lost_ids: missing.collect(),
            held_back: tally.held_back,
            sending_seconds: sending.as_secs_f64(),
            receiving_seconds: receiving,
            answers_per_second: if receiving > 0.0 {
                oracle.answered() as f64 / receiving
            } else {
                0.0
            },
            latency_ms: Latency {
                p50: quantile(0.5),
                p95: quantile(0.95),
                p99: quantile(0.99),
                max: latency.max() as f64 / 1e3,
            },
            mean_batch: tally.batches as f64
                / tally.translated.saturating_sub(tally.from_cache).max(1) as f64,
        }
    }

    /// Whether every message was answered exactly once, and with a translation.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.lost == 0 && self.duplicates == 0 && self.errors.is_empty()
    }

    /// The report as rows of a table.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        row("messages", self.messages.to_string());
        row(
            "answers",
            format!("{} of {}", self.expected - self.lost, self.expected),
        );
        row("answers/s", format!("{:.0}", self.answers_per_second));
        let latency = &self.latency_ms;
        row("latency p50", format!("{:.1} ms", latency.p50));
        row("latency p95", format!("{:.1} ms", latency.p95));
        row("latency p99", format!("{:.1} ms", latency.p99));
        row("latency max", format!("{:.1} ms", latency.max));
        row("mean batch", format!("{:.1} segments", self.mean_batch));
        if self.from_cache > 0 {
            row("from the cache", self.from_cache.to_string());
        }
        for (code, count) in &self.errors {
            row(&format!("error {code}"), count.to_string());
        }
        if self.held_back {
            row("sending", "limited by --max-in-flight".to_owned());
        }
        row("lost", self.lost.to_string());
        row("duplicate", self.duplicates.to_string());
        table
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table())?;
        for (id, target) in &self.lost_ids {
            write!(f, "\nlost: {id} to {target}")?;
        }
        Ok(())
    }
}
