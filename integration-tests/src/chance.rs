//! Reproducible randomness.

use std::{env, ops::Range, time::Duration};

use rand::{Rng, RngCore, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::report;

/// In the environment: the seed of all random tests; each takes one of its own otherwise.
const SEED: &str = "FAULT_SEED";

/// Random numbers of a test. Their seed is printed, and `FAULT_SEED` sets it.
pub struct SeededRng(StdRng);

impl SeededRng {
    /// Those of the test that does `what`.
    #[must_use]
    pub fn of(what: &str) -> Self {
        let seed = match env::var(SEED) {
            Ok(seed) => seed
                .parse()
                .unwrap_or_else(|_| panic!("{SEED} is not a number: {seed}")),
            Err(_) => u64::from(rand::rng().next_u32()),
        };
        report::say(&format!("seed: {what}: {SEED}={seed}"));
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number in the range.
    pub fn number(&mut self, range: Range<usize>) -> usize {
        self.0.random_range(range)
    }

    /// A time in this range of milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.0.random_range(range))
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u32) -> bool {
        self.0.random_ratio(1, times)
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        from.choose(&mut self.0)
            .expect("there is something to pick")
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}
