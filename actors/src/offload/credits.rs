//! Spare capacity that a pool offers.

use super::OffloadConfig;

/// Pressure of its own work, in multiples of the delay target, from which a pool offers nothing.
const NEAR_TARGET: f64 = 0.5;

/// A pool that may have something to spare.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SpareCapacitySnapshot {
    /// Warm actors.
    pub warm: u32,
    /// Estimated tokens of own work that arrive in a second.
    pub arrivals: f64,
    /// Estimated tokens that one actor does in a second.
    pub tokens_per_second: f64,
    /// The delay of its own jobs in multiples of their target.
    pub pressure: f64,
    /// Whether it has help from others itself.
    pub is_helped: bool,
    /// Whether it is closing.
    pub is_closing: bool,
}

/// Batches of peers that a pool does at once: one for each actor that its own work leaves free, none while its own jobs wait
/// for long.
#[must_use]
pub fn credits(snapshot: &SpareCapacitySnapshot, config: &OffloadConfig) -> u32 {
    let SpareCapacitySnapshot {
        warm,
        arrivals,
        tokens_per_second,
        pressure,
        is_helped,
        is_closing,
    } = *snapshot;
    if !config.lend || is_closing || is_helped || warm == 0 || pressure >= NEAR_TARGET {
        return 0;
    }
    let needed = arrivals / (config.lend_below * tokens_per_second);
    // An actor that is needed for less than half of its time counts as free: peers' batches wait behind own ones.
    let spare = (f64::from(warm) - needed).round();
    if spare >= 1.0 {
        (spare as u32).min(warm)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pools() -> impl Strategy<Value = SpareCapacitySnapshot> {
        let rates = (0.0f64..5_000.0, 1.0f64..2_000.0);
        (0u32..16, rates, 0.0f64..2.0, any::<bool>(), any::<bool>()).prop_map(
            |(warm, (arrivals, speed), pressure, is_helped, is_closing)| SpareCapacitySnapshot {
                warm,
                arrivals,
                tokens_per_second: speed,
                pressure,
                is_helped,
                is_closing,
            },
        )
    }

    proptest! {
        #[test]
        fn no_pool_offers_more_than_its_own_work_leaves(pool in pools()) {
            let config = OffloadConfig::default();
            let credits = credits(&pool, &config);
            prop_assert!(credits <= pool.warm);
            if credits > 0 {
                prop_assert!(pool.pressure < NEAR_TARGET && !pool.is_helped && !pool.is_closing);
                let busy = pool.arrivals / pool.tokens_per_second;
                prop_assert!(busy <= f64::from(pool.warm) * config.lend_below);
            }
        }

        #[test]
        fn more_own_work_never_means_a_larger_offer(pool in pools(), more in 0.0f64..1_000.0) {
            let config = OffloadConfig::default();
            let busier = SpareCapacitySnapshot { arrivals: pool.arrivals + more, ..pool };
            prop_assert!(credits(&busier, &config) <= credits(&pool, &config));
        }
    }

    #[test]
    fn an_idle_pool_offers_all_its_actors_and_a_busy_one_none() {
        let config = OffloadConfig::default();
        let idle = SpareCapacitySnapshot {
            warm: 3,
            tokens_per_second: 500.0,
            ..SpareCapacitySnapshot::default()
        };
        assert_eq!(credits(&idle, &config), 3);
        let busy = SpareCapacitySnapshot {
            arrivals: 1_400.0,
            ..idle
        };
        assert_eq!(credits(&busy, &config), 0);
        let late = SpareCapacitySnapshot {
            pressure: 0.6,
            ..idle
        };
        assert_eq!(credits(&late, &config), 0);
        let off = OffloadConfig {
            lend: false,
            ..config
        };
        assert_eq!(credits(&idle, &off), 0);
    }
}
