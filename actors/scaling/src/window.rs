//! Sliding windows over what a policy observes at its ticks.
//!
//! Ticks are not perfectly regular, so windows hold samples with their times and answer for the time
//! that they really cover. Samples arrive in order of time; one that claims to be older than the last
//! is taken as simultaneous with it.

use std::collections::VecDeque;
use std::time::Duration;

/// The growth rate of a counter over the last `span`.
#[derive(Debug, Clone)]
pub struct RateWindow {
    span: Duration,
    samples: VecDeque<(Duration, u64)>,
}

impl RateWindow {
    /// A window of the given length.
    pub fn new(span: Duration) -> Self {
        Self {
            span,
            samples: VecDeque::new(),
        }
    }

    /// Takes the counter's value at `now`.
    ///
    /// The newest sample at or before the window's start is kept, so that a window covers its whole
    /// span once enough time has passed, whatever the ticks' spacing.
    pub fn record(&mut self, now: Duration, total: u64) {
        let now = self.samples.back().map_or(now, |&(last, _)| now.max(last));
        self.samples.push_back((now, total));
        let start = now.saturating_sub(self.span);
        while self.samples.len() > 2 && self.samples[1].0 <= start {
            self.samples.pop_front();
        }
    }

    /// Growth per second between the oldest and the newest sample; zero before there are two.
    ///
    /// A counter that went backwards (its owner restarted) counts as not having grown.
    pub fn per_second(&self) -> f64 {
        let (Some(&(from, first)), Some(&(to, last))) = (self.samples.front(), self.samples.back())
        else {
            return 0.0;
        };
        let seconds = to.saturating_sub(from).as_secs_f64();
        if seconds <= 0.0 {
            0.0
        } else {
            last.saturating_sub(first) as f64 / seconds
        }
    }
}

/// The extremes of a quantity over the last `span`.
#[derive(Debug, Clone)]
pub struct ExtremeWindow<T> {
    span: Duration,
    since: Option<Duration>,
    samples: VecDeque<(Duration, T)>,
}

impl<T: Copy + PartialOrd> ExtremeWindow<T> {
    /// A window of the given length.
    pub fn new(span: Duration) -> Self {
        Self {
            span,
            since: None,
            samples: VecDeque::new(),
        }
    }

    /// Takes the quantity's value at `now`.
    pub fn record(&mut self, now: Duration, value: T) {
        let now = self.samples.back().map_or(now, |&(last, _)| now.max(last));
        self.since.get_or_insert(now);
        self.samples.push_back((now, value));
        let start = now.saturating_sub(self.span);
        while self.samples.front().is_some_and(|&(at, _)| at < start) {
            self.samples.pop_front();
        }
    }

    /// Forgets everything: the next sample starts a new observation.
    pub fn clear(&mut self) {
        self.since = None;
        self.samples.clear();
    }

    /// Whether the quantity has been observed for the whole span.
    pub fn is_full(&self) -> bool {
        match (self.since, self.samples.back()) {
            (Some(since), Some(&(last, _))) => last.saturating_sub(since) >= self.span,
            _ => false,
        }
    }

    /// The smallest value in the window.
    pub fn min(&self) -> Option<T> {
        self.fold(|best, value| value < best)
    }

    /// The largest value in the window.
    pub fn max(&self) -> Option<T> {
        self.fold(|best, value| value > best)
    }

    fn fold(&self, better: impl Fn(T, T) -> bool) -> Option<T> {
        self.samples
            .iter()
            .map(|&(_, value)| value)
            .reduce(|best, value| if better(best, value) { value } else { best })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_rate_needs_two_samples() {
        let mut rate = RateWindow::new(s(2));
        assert_eq!(rate.per_second(), 0.0);
        rate.record(s(1), 500);
        assert_eq!(
            rate.per_second(),
            0.0,
            "what came before the first sample is not a rate"
        );
    }

    #[test]
    fn a_young_window_divides_by_the_time_it_covers() {
        let mut rate = RateWindow::new(s(60));
        rate.record(s(0), 0);
        rate.record(s(1), 100);
        assert_eq!(rate.per_second(), 100.0);
    }

    #[test]
    fn a_rate_forgets_what_is_older_than_its_span() {
        let mut rate = RateWindow::new(s(2));
        for (second, total) in [(0, 0), (1, 1_000), (2, 1_000), (3, 1_000)] {
            rate.record(s(second), total);
        }
        assert_eq!(rate.per_second(), 0.0);
    }

    #[test]
    fn a_rate_covers_its_span_when_ticks_are_sparse() {
        let mut rate = RateWindow::new(s(2));
        rate.record(s(0), 0);
        rate.record(s(30), 300);
        rate.record(s(60), 900);
        assert_eq!(rate.per_second(), 20.0, "the last gap, thirty seconds long");
    }

    #[test]
    fn a_counter_that_restarts_gives_no_negative_rate() {
        let mut rate = RateWindow::new(s(60));
        rate.record(s(0), 1_000);
        rate.record(s(1), 10);
        assert_eq!(rate.per_second(), 0.0);
    }

    #[test]
    fn an_extreme_leaves_with_its_sample() {
        let mut window = ExtremeWindow::new(s(2));
        for (second, value) in [(0, 9), (1, 1), (2, 5), (3, 4)] {
            window.record(s(second), value);
        }
        assert_eq!((window.min(), window.max()), (Some(1), Some(5)));
    }

    #[test]
    fn a_window_is_full_only_after_its_whole_span() {
        let mut window = ExtremeWindow::new(s(2));
        window.record(s(10), 1);
        window.record(s(11), 1);
        assert!(!window.is_full());
        window.record(s(12), 1);
        assert!(window.is_full());
        window.clear();
        window.record(s(13), 1);
        assert!(!window.is_full());
    }
}
