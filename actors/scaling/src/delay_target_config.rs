//! The parameters of the delay-target policy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config_checks::{ConfigChecks, ConfigError};

/// Parameters of [`DelayTarget`](super::DelayTarget). Times are whole milliseconds, as everywhere in
/// the configuration. [`validate`](Self::validate) finds what no type can refuse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DelayTargetConfig {
    /// Time between two decisions. Default 1,000 ms.
    pub interval_ms: u64,
    /// `D*`: how long interactive and normal work may queue. Default 500 ms.
    pub target_delay_ms: u64,
    /// `D*` of the any lane. Default 5,000 ms.
    pub any_target_delay_ms: u64,
    /// `ρ`: share of their time that actors are planned to be busy, above 0 and at most 1.
    /// Default 0.75.
    pub utilisation: f64,
    /// The fast arrival window; the throughput before and after an addition is compared over the
    /// gain guard's own time. Default 2,000 ms.
    pub fast_window_ms: u64,
    /// The slow arrival window. Default 60,000 ms.
    pub slow_window_ms: u64,
    /// `μ` before anything was measured, in tokens per second of one busy actor. Default 500, a
    /// base-sized model on one core of a small server with batches of moderate size.
    pub prior_tokens_per_second: f64,
    /// How much busy time the measured `μ` remembers. Default 5,000 ms.
    pub service_memory_ms: u64,
    /// The pool grows when the delay has been above its target for this long. Default 2,000 ms.
    pub sustain_ms: u64,
    /// The pool grows at once above this multiple of the target. Default 2.
    pub excessive_pressure: f64,
    /// Growth per period: at most this factor … Default 2.
    pub growth_factor: u32,
    /// … or this many actors, whichever allows more. Default 4.
    pub growth_step: u32,
    /// The period of the two limits above. Default 15,000 ms.
    pub growth_period_ms: u64,
    /// The pool shrinks when it has been larger than needed for this long. Default 120,000 ms.
    pub shrink_window_ms: u64,
    /// The pool shrinks only below this multiple of the target. Default 0.25.
    pub shrink_pressure: f64,
    /// Time between two removals. Default 30,000 ms.
    pub shrink_period_ms: u64,
    /// A pool with a minimum of zero gives up its last actor after this long without work.
    /// Default 600,000 ms.
    pub idle_to_zero_ms: u64,
    /// An addition must raise throughput by this share, or by half of what its size promises where
    /// that is less. Default 0.1.
    pub required_gain: f64,
    /// How long an addition is observed once its actors are warm. Default 10,000 ms.
    pub gain_window_ms: u64,
    /// How long the size is held after an addition was undone. It doubles with each failure in a
    /// row, up to sixteen times. Default 60,000 ms.
    pub freeze_ms: u64,
}

impl Default for DelayTargetConfig {
    fn default() -> Self {
        Self {
            interval_ms: 1_000,
            target_delay_ms: 500,
            any_target_delay_ms: 5_000,
            utilisation: 0.75,
            fast_window_ms: 2_000,
            slow_window_ms: 60_000,
            prior_tokens_per_second: 500.0,
            service_memory_ms: 5_000,
            sustain_ms: 2_000,
            excessive_pressure: 2.0,
            growth_factor: 2,
            growth_step: 4,
            growth_period_ms: 15_000,
            shrink_window_ms: 120_000,
            shrink_pressure: 0.25,
            shrink_period_ms: 30_000,
            idle_to_zero_ms: 600_000,
            required_gain: 0.1,
            gain_window_ms: 10_000,
            freeze_ms: 60_000,
        }
    }
}

impl DelayTargetConfig {
    /// Checks every parameter and reports all problems at once.
    pub fn validate(&self) -> Result<(), Vec<ConfigError>> {
        let mut checks = ConfigChecks::default();
        for (field, value) in [
            ("interval_ms", self.interval_ms),
            ("target_delay_ms", self.target_delay_ms),
            ("any_target_delay_ms", self.any_target_delay_ms),
            ("fast_window_ms", self.fast_window_ms),
            ("service_memory_ms", self.service_memory_ms),
            ("gain_window_ms", self.gain_window_ms),
        ] {
            checks.require(field, value > 0, "must be above zero", value.to_string());
        }
        checks.require(
            "slow_window_ms",
            self.slow_window_ms >= self.fast_window_ms,
            "must be at least fast_window_ms",
            self.slow_window_ms.to_string(),
        );
        checks.require(
            "utilisation",
            self.utilisation > 0.0 && self.utilisation <= 1.0,
            "must be above 0 and at most 1",
            self.utilisation.to_string(),
        );
        checks.require(
            "prior_tokens_per_second",
            self.prior_tokens_per_second.is_finite() && self.prior_tokens_per_second > 0.0,
            "must be a number above zero",
            self.prior_tokens_per_second.to_string(),
        );
        checks.require(
            "excessive_pressure",
            self.excessive_pressure.is_finite() && self.excessive_pressure >= 1.0,
            "must be at least 1",
            self.excessive_pressure.to_string(),
        );
        checks.require(
            "shrink_pressure",
            (0.0..1.0).contains(&self.shrink_pressure),
            "must be at least 0 and below 1",
            self.shrink_pressure.to_string(),
        );
        checks.require(
            "growth_factor",
            self.growth_factor >= 2 || self.growth_step >= 1,
            "must be at least 2 where growth_step is 0",
            self.growth_factor.to_string(),
        );
        checks.require(
            "growth_step",
            self.growth_step >= 1,
            "must be at least 1, or an empty pool could never start",
            self.growth_step.to_string(),
        );
        checks.require(
            "required_gain",
            (0.0..=1.0).contains(&self.required_gain),
            "must be between 0 and 1",
            self.required_gain.to_string(),
        );
        checks.finish()
    }

    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }
    pub(super) fn target_delay(&self) -> Duration {
        Duration::from_millis(self.target_delay_ms)
    }
    pub(super) fn any_target_delay(&self) -> Duration {
        Duration::from_millis(self.any_target_delay_ms)
    }
    pub(super) fn fast_window(&self) -> Duration {
        Duration::from_millis(self.fast_window_ms)
    }
    pub(super) fn slow_window(&self) -> Duration {
        Duration::from_millis(self.slow_window_ms)
    }
    pub(super) fn service_memory(&self) -> Duration {
        Duration::from_millis(self.service_memory_ms)
    }
    pub(super) fn sustain(&self) -> Duration {
        Duration::from_millis(self.sustain_ms)
    }
    pub(super) fn growth_period(&self) -> Duration {
        Duration::from_millis(self.growth_period_ms)
    }
    pub(super) fn shrink_window(&self) -> Duration {
        Duration::from_millis(self.shrink_window_ms)
    }
    pub(super) fn shrink_period(&self) -> Duration {
        Duration::from_millis(self.shrink_period_ms)
    }
    pub(super) fn idle_to_zero(&self) -> Duration {
        Duration::from_millis(self.idle_to_zero_ms)
    }
    pub(super) fn gain_window(&self) -> Duration {
        Duration::from_millis(self.gain_window_ms)
    }
    pub(super) fn freeze(&self) -> Duration {
        Duration::from_millis(self.freeze_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(DelayTargetConfig::default().validate(), Ok(()));
    }

    #[test]
    fn an_unknown_parameter_is_refused() {
        let error = serde_json::from_str::<DelayTargetConfig>(r#"{"target_delai_ms": 3}"#)
            .expect_err("a typo must not pass silently");
        assert!(error.to_string().contains("target_delai_ms"), "{error}");
    }

    #[test]
    fn absent_parameters_have_their_defaults() {
        let config: DelayTargetConfig =
            serde_json::from_str(r#"{"target_delay_ms": 250}"#).expect("a valid configuration");
        let expected = DelayTargetConfig {
            target_delay_ms: 250,
            ..Default::default()
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let config = DelayTargetConfig {
            target_delay_ms: 0,
            utilisation: 1.5,
            prior_tokens_per_second: f64::NAN,
            shrink_pressure: 1.0,
            growth_step: 0,
            ..Default::default()
        };
        let fields: Vec<_> = config
            .validate()
            .expect_err("five problems")
            .iter()
            .map(|e| e.field)
            .collect();
        assert_eq!(
            fields,
            [
                "target_delay_ms",
                "utilisation",
                "prior_tokens_per_second",
                "shrink_pressure",
                "growth_step"
            ]
        );
    }
}
