//! Progress output of the demo.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use babelmesh_actors::{
    domain::TranslationResult,
    events::{Event, Observer, StopReason},
};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::load::Progress;

/// Shortest time between two pairs that are shown.
const PAIR_EVERY: Duration = Duration::from_millis(400);
/// Longest text that is shown, in characters.
const SHOWN: usize = 70;

/// A progress bar, a line about the pool, and lines about what happens, on a terminal; plain lines elsewhere.
pub(super) struct Board {
    terminal: bool,
    screen: MultiProgress,
    answers: ProgressBar,
    pool: ProgressBar,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    ready: usize,
    most: usize,
    ups: u64,
    downs: u64,
    failures: u64,
    batches: u64,
    segments: u64,
    largest: usize,
    last_pair: Option<Instant>,
    started: Option<Instant>,
    history: String,
}

impl Board {
    pub(super) fn new(messages: u64, targets: u64) -> Self {
        let terminal = io::stderr().is_terminal();
        let target = || match terminal {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let screen = MultiProgress::with_draw_target(target());
        let answers = screen.add(ProgressBar::new(messages * targets));
        let pool = screen.add(ProgressBar::new_spinner());
        if let Ok(style) =
            ProgressStyle::with_template("{bar:40.cyan} {pos}/{len} translations  {msg}")
        {
            answers.set_style(style);
        }
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            pool.set_style(style);
        }
        pool.set_message("loading the first model actor …");
        let board = Self {
            terminal,
            screen,
            answers,
            pool,
            seen: Mutex::default(),
        };
        board.seen().started = Some(Instant::now());
        board
    }

    /// Shows how far the run is.
    pub(super) fn show(&self, progress: Progress<'_>) {
        self.answers.set_position(progress.oracle.answered());
        self.answers.set_message(format!(
            "p99 {:.0} ms",
            progress.oracle.latency_us().value_at_quantile(0.99) as f64 / 1e3
        ));
        for (text, result) in &progress.samples {
            if self.may_show_pair() {
                self.pair(text, result);
            }
        }
    }

    fn may_show_pair(&self) -> bool {
        let mut seen = self.seen();
        let due = seen.last_pair.is_none_or(|at| at.elapsed() > PAIR_EVERY);
        if due {
            seen.last_pair = Some(Instant::now());
        }
        due
    }

    fn pair(&self, text: &str, result: &TranslationResult) {
        let answer = match (&result.translated_text, &result.error) {
            (Some(text), _) => short(text),
            (None, Some(error)) => format!("({}: {})", error.code.name(), error.message),
            (None, None) => String::new(),
        };
        self.line(&format!(
            "  {} → {}: {answer}",
            short(text),
            result.target_language
        ));
    }

    fn line(&self, line: &str) {
        if self.terminal {
            let _ = self.screen.println(line);
        } else {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the number of warm actors has changed.
    fn resized(&self, change: isize, what: &str) {
        let mut seen = self.seen();
        seen.ready = seen.ready.saturating_add_signed(change);
        seen.most = seen.most.max(seen.ready);
        let ready = seen.ready;
        let at = seen.started.map_or(0.0, |at| at.elapsed().as_secs_f64());
        if !seen.history.is_empty() {
            seen.history.push_str(" → ");
        }
        seen.history.push_str(&ready.to_string());
        drop(seen);
        self.pool.set_message(format!(
            "pool: {} {ready} model actor(s)",
            "●".repeat(ready)
        ));
        self.line(&format!(
            "[{at:5.1} s] {what}; {ready} active model actor(s)"
        ));
    }

    /// Waits until each of `pools` pools is down to one actor, or for `most`.
    pub(super) async fn wait_for_shrink(&self, pools: usize, most: Duration, stop: &AtomicBool) {
        let end = Instant::now() + most;
        while self.seen().ready > pools && Instant::now() < end && !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Takes everything that moves off the screen.
    pub(super) fn clear(&self) {
        self.answers.finish_and_clear();
        self.pool.finish_and_clear();
    }

    /// What the pool did, for the closing table.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let seen = self.seen();
        vec![
            (
                "model actors",
                format!("{} (at most {})", seen.history, seen.most),
            ),
            (
                "scaling events",
                format!("{} up, {} down", seen.ups, seen.downs),
            ),
            ("actor failures", seen.failures.to_string()),
            (
                "batches",
                format!(
                    "{}, mean {:.1}, largest {} segments",
                    seen.batches,
                    seen.segments as f64 / seen.batches.max(1) as f64,
                    seen.largest
                ),
            ),
        ]
    }
}

impl Observer for Board {
    fn observe(&self, event: &Event) {
        match event {
            Event::ActorReady {
                actor,
                numeric,
                cold_start,
                ..
            } => {
                let ms = cold_start.as_millis();
                self.resized(1, &format!("{actor} ready after {ms} ms ({numeric})"));
            }
            Event::ActorStopped { actor, reason, .. } if *reason != StopReason::Drained => {
                self.resized(
                    -1,
                    &format!("{actor} stops: {}", crate::events::stop_reason(*reason)),
                );
            }
            Event::ActorFailed { actor, error, .. } => {
                self.seen().failures += 1;
                self.resized(-1, &format!("{actor} failed: {error}"));
            }
            Event::Scaled { from, decision, .. } => {
                let up = decision.target as usize > *from;
                let mut seen = self.seen();
                if up {
                    seen.ups += 1
                } else {
                    seen.downs += 1
                }
                drop(seen);
                let reason = decision.reason.label().replace('_', " ");
                self.line(&format!(
                    "[scaling] {from} → {} actors: {reason}",
                    decision.target
                ));
            }
            Event::BatchDone { segments, .. } => {
                let mut seen = self.seen();
                seen.batches += 1;
                seen.segments += *segments as u64;
                seen.largest = seen.largest.max(*segments);
            }
            Event::EngineSaid { line, .. } => self.line(&format!("  engine: {line}")),
            _ => {}
        }
    }
}

fn short(text: &str) -> String {
    let line = text.replace(['\n', '\r'], " ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
