//! How fast a pool may change size.
//!
//! Upwards a pool may at most double, or grow by a few actors where doubling is less, in any period;
//! downwards it loses one actor a period. Starting an actor costs the cores that the others work on,
//! and a wrong guess upwards is cheap to repair while a wrong one downwards costs a cold start.

use std::time::Duration;

use super::window::ExtremeWindow;

/// Limits growth within a sliding period and spaces single removals.
#[derive(Debug, Clone)]
pub struct Pace {
    factor: u32,
    step: u32,
    sizes: ExtremeWindow<u32>,
    down_period: Duration,
    last_removal: Option<Duration>,
}

impl Pace {
    /// Growth to at most `max(factor · n, n + step)` per `up_period`, where `n` is the smallest size
    /// within it, and one removal per `down_period`.
    pub fn new(factor: u32, step: u32, up_period: Duration, down_period: Duration) -> Self {
        Self {
            factor,
            step,
            sizes: ExtremeWindow::new(up_period),
            down_period,
            last_removal: None,
        }
    }

    /// Takes the size of the pool before a decision.
    pub fn observe(&mut self, now: Duration, owned: u32) {
        self.sizes.record(now, owned);
    }

    /// The largest size that growth may reach now.
    pub fn growth_limit(&self) -> u32 {
        let base = self.sizes.min().unwrap_or(0);
        base.saturating_mul(self.factor)
            .max(base.saturating_add(self.step))
    }

    /// Whether enough time has passed since the last removal.
    pub fn may_remove(&self, now: Duration) -> bool {
        self.last_removal
            .is_none_or(|last| now.saturating_sub(last) >= self.down_period)
    }

    /// Notes that actors were removed at `now`.
    pub fn removed(&mut self, now: Duration) {
        self.last_removal = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pace() -> Pace {
        Pace::new(2, 4, s(15), s(30))
    }

    #[test]
    fn a_small_pool_may_gain_four_and_a_large_one_may_double() {
        let mut pace = pace();
        pace.observe(s(0), 1);
        assert_eq!(pace.growth_limit(), 5);
        let mut pace = Pace::new(2, 4, s(15), s(30));
        pace.observe(s(0), 10);
        assert_eq!(pace.growth_limit(), 20);
    }

    #[test]
    fn growth_in_steps_is_no_faster_than_growth_at_once() {
        let mut pace = pace();
        for (second, owned) in [(0, 1), (1, 3), (2, 5), (14, 5), (15, 5)] {
            pace.observe(s(second), owned);
            assert_eq!(pace.growth_limit(), 5, "at {second} s");
        }
        pace.observe(s(16), 5);
        assert_eq!(
            pace.growth_limit(),
            7,
            "three is now the smallest size of the period"
        );
        pace.observe(s(17), 5);
        assert_eq!(pace.growth_limit(), 10);
    }

    #[test]
    fn removals_are_spaced() {
        let mut pace = pace();
        assert!(pace.may_remove(s(0)));
        pace.removed(s(10));
        assert!(!pace.may_remove(s(39)));
        assert!(pace.may_remove(s(40)));
    }
}
