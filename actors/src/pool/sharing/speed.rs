//! How fast an actor is, as measured.

use std::time::Duration;

/// Busy time after which the speed counts as measured.
const MEASURED_AFTER: f64 = 0.5;
/// Busy time after which a batch counts a third of what it did, in seconds.
const MEMORY: f64 = 10.0;

/// The speed of an actor: the mean of its batches, weighted by time, of which older ones count less.
#[derive(Debug, Default)]
pub(super) struct SpeedMeter {
    tokens: f64,
    seconds: f64,
    is_measured: bool,
}

impl SpeedMeter {
    /// Takes a batch.
    pub(super) fn record(&mut self, tokens: f64, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let kept = (-seconds / MEMORY).exp();
        self.tokens = self.tokens * kept + tokens;
        self.seconds = self.seconds * kept + seconds;
        self.is_measured |= self.seconds >= MEASURED_AFTER;
    }

    /// Tokens a second; `None` before enough was measured.
    pub(super) fn per_second(&self) -> Option<f64> {
        let is_known = self.is_measured && self.seconds > 0.0;
        is_known.then(|| self.tokens / self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_speed_is_between_those_of_the_batches(
            batches in prop::collection::vec((1u32..5_000, 1u64..5_000), 1..100),
        ) {
            let mut meter = SpeedMeter::default();
            let (mut least, mut most) = (f64::MAX, 0.0f64);
            for (tokens, ms) in batches {
                let elapsed = Duration::from_millis(ms);
                meter.record(f64::from(tokens), elapsed);
                let speed = f64::from(tokens) / elapsed.as_secs_f64();
                (least, most) = (least.min(speed), most.max(speed));
            }
            if let Some(speed) = meter.per_second() {
                prop_assert!(speed >= least * 0.999 && speed <= most * 1.001);
            }
        }
    }

    #[test]
    fn the_speed_is_unknown_at_first_and_follows_changes() {
        let mut meter = SpeedMeter::default();
        meter.record(400.0, Duration::from_millis(400));
        assert_eq!(meter.per_second(), None);
        meter.record(400.0, Duration::from_millis(400));
        assert!((meter.per_second().unwrap() - 1_000.0).abs() < 1.0);
        for _ in 0..50 {
            meter.record(200.0, Duration::from_secs(1));
        }
        assert!(meter.per_second().unwrap() < 250.0);
    }
}
