//! Undoes additions that do not increase throughput.
//!
//! More actors help only while something is left for them: past the memory bandwidth or the cores of
//! a node, another actor slows the others down and costs memory for nothing. No formula sees that, so
//! each addition is judged by what it did: if throughput has not risen once the new actors have
//! worked for a while, they go again and the size is held for some time.
//!
//! A pool that has caught up completes just what arrives, whatever its size. Its throughput then says
//! nothing, so only an addition during which the pool stayed *pressed* can fail: delay above its
//! target, and not one actor without work.

use std::time::Duration;

use super::window::RateWindow;

/// How often a freeze doubles when additions keep failing: 2⁴ times the first.
const MOST_DOUBLINGS: u32 = 4;

/// Verdict of the guard on the current pool size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// The size may change.
    Free,
    /// An addition is being judged, or waits for its actors to be warm.
    Judging,
    /// The addition failed: go back to this size.
    Undo {
        /// Actors before the addition.
        size: u32,
        /// Relative change of throughput; −0.1 is a tenth less.
        gain: f64,
        /// The change that would have kept the addition.
        required: f64,
    },
    /// An addition failed a moment ago: hold the size.
    Frozen {
        /// Time until the guard is free again.
        remaining: Duration,
    },
}

/// Watches additions, one at a time.
#[derive(Debug, Clone)]
pub struct GainGuard {
    required_gain: f64,
    window: Duration,
    freeze: Duration,
    throughput: RateWindow,
    failures: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Free,
    /// Waits until `to` actors are warm. `before` is the throughput when they were asked for.
    Warming {
        from: u32,
        to: u32,
        before: f64,
    },
    /// Compares what is completed from `since` on with the throughput before.
    Judging {
        from: u32,
        to: u32,
        since: Duration,
        before: f64,
        completed: u64,
    },
    Frozen {
        until: Duration,
    },
}

impl GainGuard {
    /// A guard that asks for a relative gain of `required_gain` within `window`, and holds the size
    /// for `freeze` after an undo.
    pub fn new(required_gain: f64, window: Duration, freeze: Duration) -> Self {
        Self {
            required_gain,
            window,
            freeze,
            throughput: RateWindow::new(window),
            failures: 0,
            state: State::Free,
        }
    }

    /// Takes the counter of completed tokens, the warm and the owned actors and whether the pool is
    /// pressed (see the [module](self)); says what follows for the pool's size.
    pub fn observe(
        &mut self,
        now: Duration,
        completed_tokens: u64,
        warm: u32,
        owned: u32,
        pressed: bool,
    ) -> Verdict {
        self.throughput.record(now, completed_tokens);
        match self.state {
            State::Free => Verdict::Free,
            State::Frozen { until } if now >= until => {
                self.state = State::Free;
                Verdict::Free
            }
            State::Frozen { until } => Verdict::Frozen {
                remaining: until - now,
            },
            // The pool shrank below the addition for another reason (bounds, a crash): there is
            // nothing left to judge.
            State::Warming { to, .. } | State::Judging { to, .. } if owned < to => {
                self.state = State::Free;
                Verdict::Free
            }
            // Caught up: the addition succeeded.
            State::Judging { .. } if !pressed => {
                self.failures = 0;
                self.state = State::Free;
                Verdict::Free
            }
            State::Warming { from, to, before } => {
                if warm >= to {
                    // Actors that were warm earlier than the last one have raised the throughput
                    // already; load that rose meanwhile has, too. The lower number blames neither.
                    let before = before.min(self.throughput.per_second());
                    self.state = State::Judging {
                        from,
                        to,
                        since: now,
                        before,
                        completed: completed_tokens,
                    };
                }
                Verdict::Judging
            }
            State::Judging {
                from,
                to,
                since,
                before,
                completed,
            } => {
                let elapsed = now.saturating_sub(since);
                if elapsed < self.window {
                    return Verdict::Judging;
                }
                let after =
                    completed_tokens.saturating_sub(completed) as f64 / elapsed.as_secs_f64();
                self.judge(now, (from, to), before, after)
            }
        }
    }

    /// Notes that the pool is asked to grow from one size to another. An addition on top of one that
    /// is not judged yet joins it: they are judged together, against the first size and throughput.
    pub fn added(&mut self, from: u32, to: u32) {
        let (from, before) = match self.state {
            State::Warming { from, before, .. } | State::Judging { from, before, .. } => {
                (from, before)
            }
            State::Free | State::Frozen { .. } => (from, self.throughput.per_second()),
        };
        // From nothing, any throughput is a gain: there is nothing to compare with.
        self.state = if from == 0 {
            State::Free
        } else {
            State::Warming { from, to, before }
        };
    }

    fn judge(&mut self, now: Duration, sizes: (u32, u32), before: f64, after: f64) -> Verdict {
        let (from, to) = sizes;
        let gain = if before > 0.0 {
            after / before - 1.0
        } else {
            f64::INFINITY
        };
        let required = self.required(from, to);
        if gain >= required {
            self.failures = 0;
            self.state = State::Free;
            return Verdict::Free;
        }
        let freeze = self.freeze * 2_u32.pow(self.failures.min(MOST_DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
        self.state = State::Frozen {
            until: now + freeze,
        };
        Verdict::Undo {
            size: from,
            gain,
            required,
        }
    }

    /// One actor more beside twenty can bring five percent at best, so no more than half of the
    /// ideal gain is asked for.
    fn required(&self, from: u32, to: u32) -> f64 {
        let ideal = f64::from(to.saturating_sub(from)) / f64::from(from.max(1));
        self.required_gain.min(ideal / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Runs a guard over a pool of two that grows to three at 10 s (warm at 15 s), and that
    /// completes `after` tokens per second from then on; returns the first undo.
    fn run(before: u64, after: u64, pressed: impl Fn(u64) -> bool) -> Option<(u64, Verdict)> {
        let mut guard = GainGuard::new(0.1, s(10), s(60));
        let mut completed = 0;
        for second in 0..60 {
            let warm = if second >= 15 { 3 } else { 2 };
            let owned = if second > 10 { 3 } else { 2 };
            let verdict = guard.observe(s(second), completed, warm, owned, pressed(second));
            if matches!(verdict, Verdict::Undo { .. }) {
                return Some((second, verdict));
            }
            if second == 10 {
                guard.added(2, 3);
            }
            completed += if second >= 15 { after } else { before };
        }
        None
    }

    #[test]
    fn an_addition_that_helps_stays() {
        assert_eq!(run(100, 150, |_| true), None);
        assert_eq!(run(100, 111, |_| true), None);
    }

    #[test]
    fn an_addition_without_gain_is_undone_ten_seconds_after_its_actors_are_warm() {
        let (second, verdict) = run(100, 105, |_| true).expect("five percent is too little");
        assert_eq!(second, 25);
        let Verdict::Undo { size, gain, .. } = verdict else {
            unreachable!()
        };
        assert_eq!(size, 2);
        assert!((gain - 0.05).abs() < 1e-9);
    }

    #[test]
    fn a_pool_that_caught_up_is_not_judged_by_its_throughput() {
        assert_eq!(run(100, 100, |second| second < 20), None);
    }

    #[test]
    fn the_size_is_held_after_an_undo_and_longer_after_each_further_one() {
        let mut guard = GainGuard::new(0.1, s(10), s(60));
        let mut now = 0;
        let mut freezes = Vec::new();
        // Throughput is known before the first addition.
        guard.observe(s(now), 0, 1, 1, true);
        for _ in 0..7 {
            now += 1;
            guard.observe(s(now), now * 100, 1, 1, true);
            guard.added(1, 2);
            let mut frozen_from = None;
            loop {
                now += 1;
                let owned = if frozen_from.is_some() { 1 } else { 2 };
                match guard.observe(s(now), now * 100, owned, owned, true) {
                    Verdict::Undo { .. } => frozen_from = Some(now),
                    Verdict::Free => break,
                    Verdict::Judging | Verdict::Frozen { .. } => {}
                }
            }
            freezes.push(now - frozen_from.expect("an undo before the guard is free"));
        }
        assert_eq!(freezes, [60, 120, 240, 480, 960, 960, 960]);
    }

    #[test]
    fn a_large_pool_is_asked_for_half_of_what_one_more_actor_can_bring() {
        let guard = GainGuard::new(0.1, s(10), s(60));
        assert!((guard.required(20, 21) - 0.025).abs() < 1e-12);
        assert!((guard.required(2, 3) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn an_addition_that_vanished_is_not_judged() {
        let mut guard = GainGuard::new(0.1, s(10), s(60));
        guard.observe(s(0), 0, 2, 2, true);
        guard.added(2, 3);
        assert_eq!(guard.observe(s(1), 0, 2, 3, true), Verdict::Judging);
        assert_eq!(guard.observe(s(2), 0, 2, 2, true), Verdict::Free);
    }

    #[test]
    fn the_first_actors_of_an_empty_pool_are_never_undone() {
        let mut guard = GainGuard::new(0.1, s(10), s(60));
        guard.added(0, 1);
        for second in 0..60 {
            assert_eq!(guard.observe(s(second), 0, 1, 1, true), Verdict::Free);
        }
    }
}
