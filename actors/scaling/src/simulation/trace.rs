//! Arrivals to simulate: shapes of load, made into messages by a seeded generator.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The lanes of a simulated pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimulatedLane {
    /// Interactive work.
    Interactive,
    /// Ordinary conversations.
    Normal,
    /// Bulk.
    Any,
}

impl SimulatedLane {
    /// All lanes, in the order in which reports list them.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Normal, Self::Any];

    pub(super) fn index(self) -> usize {
        match self {
            Self::Interactive => 0,
            Self::Normal => 1,
            Self::Any => 2,
        }
    }

    /// How many tokens a lane gets for each one of the any lane while both have work.
    pub(super) fn weight(self) -> f64 {
        match self {
            Self::Interactive => 8.0,
            Self::Normal => 4.0,
            Self::Any => 1.0,
        }
    }
}

/// The shape of a load. Rates are messages per second, times are seconds from the start.
///
/// One message in five is interactive, the others are normal; only [`LaneFlood`](Self::LaneFlood)
/// uses the any lane.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub enum Load {
    /// The same rate all the time.
    Constant {
        /// Messages per second.
        rate: f64,
    },
    /// A low rate with a high one between two moments.
    Step {
        /// Rate outside.
        low: f64,
        /// Rate inside.
        high: f64,
        /// Start of the high rate.
        from: f64,
        /// End of the high rate.
        to: f64,
    },
    /// A low rate and, at regular intervals, many messages within a tenth of a second.
    Burst {
        /// Rate between bursts.
        base: f64,
        /// Messages of one burst.
        size: u32,
        /// Seconds between bursts; the first comes after one interval.
        every: f64,
    },
    /// A sine between two rates, starting at the low one.
    Diurnal {
        /// Rate at night.
        low: f64,
        /// Rate at noon.
        high: f64,
        /// Length of a day.
        period: f64,
    },
    /// A steady rate on the prompt lanes and a flood of the any lane between two moments.
    LaneFlood {
        /// Rate of interactive and normal messages.
        prompt: f64,
        /// Rate of the flood.
        flood: f64,
        /// Start of the flood.
        from: f64,
        /// End of the flood.
        to: f64,
    },
}

impl Load {
    /// The rates at a moment: prompt lanes, any lane.
    fn rates(&self, second: f64) -> (f64, f64) {
        match *self {
            Self::Constant { rate } => (rate, 0.0),
            Self::Step {
                low,
                high,
                from,
                to,
            } => (
                if (from..to).contains(&second) {
                    high
                } else {
                    low
                },
                0.0,
            ),
            Self::Burst { base, .. } => (base, 0.0),
            Self::Diurnal { low, high, period } => {
                let phase = std::f64::consts::TAU * second / period;
                (low + (high - low) * (1.0 - phase.cos()) / 2.0, 0.0)
            }
            Self::LaneFlood {
                prompt,
                flood,
                from,
                to,
            } => (
                prompt,
                if (from..to).contains(&second) {
                    flood
                } else {
                    0.0
                },
            ),
        }
    }

    /// A rate that is never exceeded, apart from bursts.
    fn largest_rate(&self) -> f64 {
        match *self {
            Self::Constant { rate } => rate,
            Self::Step { low, high, .. } | Self::Diurnal { low, high, .. } => low.max(high),
            Self::Burst { base, .. } => base,
            Self::LaneFlood { prompt, flood, .. } => prompt + flood,
        }
    }
}

/// One simulated message. Its place in the trace is its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Time from the start of the trace.
    pub at: Duration,
    /// Its lane.
    pub lane: SimulatedLane,
    /// Its size in tokens.
    pub tokens: u64,
}

/// A sequence of arrivals, ordered by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The messages.
    pub arrivals: Vec<Arrival>,
    /// The length of the load, arrivals or not.
    pub duration: Duration,
}

impl Trace {
    /// Smallest and largest size of a generated message in tokens; sizes are uniform between.
    pub const TOKENS: (u64, u64) = (8, 24);

    /// Poisson arrivals of a load, the same ones for the same seed.
    ///
    /// The process is thinned: candidates come at the largest rate, and each is kept with the
    /// probability that the current rate is of it.
    pub fn generate(load: &Load, duration: Duration, seed: u64) -> Self {
        let mut random = SplitMix64(seed);
        let end = duration.as_secs_f64();
        let largest = load.largest_rate();
        let mut arrivals = Vec::new();
        // A load without any arrivals has its next one at infinity.
        let next = |after: f64, random: &mut SplitMix64| {
            let gap = -(1.0 - random.unit()).ln() / largest;
            if largest > 0.0 {
                after + gap
            } else {
                f64::INFINITY
            }
        };
        let mut second = next(0.0, &mut random);
        while second < end {
            let (prompt, any) = load.rates(second);
            let draw = random.unit() * largest;
            if draw < prompt {
                arrivals.push(random.message(second, false));
            } else if draw < prompt + any {
                arrivals.push(random.message(second, true));
            }
            second = next(second, &mut random);
        }
        if let Load::Burst { size, every, .. } = *load {
            let mut start = every;
            while start < end && every > 0.0 {
                for _ in 0..size {
                    let at = start + random.unit() * 0.1;
                    arrivals.push(random.message(at, false));
                }
                start += every;
            }
        }
        arrivals.sort_by_key(|arrival| arrival.at);
        Self { arrivals, duration }
    }

    /// Tokens of all messages together.
    pub fn tokens(&self) -> u64 {
        self.arrivals.iter().map(|arrival| arrival.tokens).sum()
    }
}

/// A small generator with a 64-bit state (Steele, Lea and Flood, 2014): good enough for arrivals, and
/// the same on every machine and in every version.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn message(&mut self, second: f64, bulk: bool) -> Arrival {
        let (smallest, largest) = Trace::TOKENS;
        let tokens = smallest + self.next() % (largest - smallest + 1);
        let interactive = self.next().is_multiple_of(5);
        let lane = match (bulk, interactive) {
            (true, _) => SimulatedLane::Any,
            (false, true) => SimulatedLane::Interactive,
            (false, false) => SimulatedLane::Normal,
        };
        Arrival {
            at: Duration::from_secs_f64(second),
            lane,
            tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn count(trace: &Trace, from: u64, to: u64) -> usize {
        let within = |a: &&Arrival| (from..to).contains(&a.at.as_secs());
        trace.arrivals.iter().filter(within).count()
    }

    fn near(count: usize, expected: f64) -> bool {
        (count as f64 - expected).abs() < 4.0 * expected.sqrt() + 1.0
    }

    #[test]
    fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
        let load = Load::Constant { rate: 50.0 };
        let trace = Trace::generate(&load, MINUTE, 7);
        assert_eq!(trace, Trace::generate(&load, MINUTE, 7));
        assert_ne!(trace, Trace::generate(&load, MINUTE, 8));
    }

    #[test]
    fn arrivals_are_ordered_and_within_the_duration() {
        let load = Load::Diurnal {
            low: 1.0,
            high: 100.0,
            period: 60.0,
        };
        let trace = Trace::generate(&load, MINUTE, 1);
        assert!(trace.arrivals.is_sorted_by_key(|arrival| arrival.at));
        assert!(trace.arrivals.iter().all(|arrival| arrival.at < MINUTE));
    }

    #[test]
    fn each_shape_has_its_rates() {
        let step = Load::Step {
            low: 1.0,
            high: 200.0,
            from: 20.0,
            to: 40.0,
        };
        let trace = Trace::generate(&step, MINUTE, 1);
        assert!(near(count(&trace, 0, 20), 20.0) && near(count(&trace, 20, 40), 4_000.0));

        let diurnal = Load::Diurnal {
            low: 0.0,
            high: 100.0,
            period: 60.0,
        };
        let trace = Trace::generate(&diurnal, MINUTE, 1);
        assert!(count(&trace, 0, 10) < count(&trace, 25, 35) / 3);
        assert!(near(trace.arrivals.len(), 3_000.0));

        let burst = Load::Burst {
            base: 1.0,
            size: 500,
            every: 20.0,
        };
        let trace = Trace::generate(&burst, MINUTE, 1);
        assert!(count(&trace, 20, 21) >= 500 && count(&trace, 40, 41) >= 500);
        assert!(count(&trace, 5, 15) < 40);
    }

    #[test]
    fn a_load_without_arrivals_is_empty() {
        for rate in [0.0, -1.0, f64::NAN] {
            let trace = Trace::generate(&Load::Constant { rate }, MINUTE, 1);
            assert_eq!(trace.arrivals, []);
        }
    }

    #[test]
    fn a_flood_is_in_the_any_lane_only() {
        let flood = Load::LaneFlood {
            prompt: 10.0,
            flood: 300.0,
            from: 20.0,
            to: 40.0,
        };
        let trace = Trace::generate(&flood, MINUTE, 1);
        let (any, prompt): (Vec<&Arrival>, Vec<&Arrival>) = trace
            .arrivals
            .iter()
            .partition(|arrival| arrival.lane == SimulatedLane::Any);
        assert!(near(any.len(), 6_000.0) && near(prompt.len(), 600.0));
        assert!(
            any.iter()
                .all(|arrival| (20..40).contains(&arrival.at.as_secs()))
        );
    }
}
