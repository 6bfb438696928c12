//! Configuration of offload: when a pool borrows, and when it lends.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scaling::{ConfigChecks, ConfigError};

/// Parameters of asking and of lending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OffloadConfig {
    /// Whether this node borrows actors of peers.
    pub borrow: bool,
    /// Whether this node lends its actors to peers.
    pub lend: bool,
    /// Queue delay that a pool must not exceed, in milliseconds; bulk work may wait ten times as long.
    pub target_delay_ms: u64,
    /// How long the delay must exceed the target before batches are offloaded, in milliseconds; above twice the target
    /// at once.
    pub sustain_ms: u64,
    /// Cooldown: how long local actors must suffice before the last remote worker is released, in milliseconds.
    pub cooldown_ms: u64,
    /// Minimum speed of a remote worker, including network time, relative to a local actor; slower ones are released.
    pub min_speed: f64,
    /// Initial cooldown of a peer that failed or was too slow, in milliseconds. It doubles with each failure.
    pub cooldown_initial_backoff_ms: u64,
    /// Longest such time, in milliseconds.
    pub cooldown_max_backoff_ms: u64,
    /// Maximum utilisation by own work at which a pool still offers capacity to others.
    pub lend_below: f64,
    /// Maximum wait of a peer's batch behind own work before it is returned, in milliseconds.
    pub lend_timeout_ms: u64,
}

impl Default for OffloadConfig {
    fn default() -> Self {
        Self {
            borrow: true,
            lend: true,
            target_delay_ms: 500,
            sustain_ms: 1_000,
            cooldown_ms: 5_000,
            min_speed: 0.25,
            cooldown_initial_backoff_ms: 5_000,
            cooldown_max_backoff_ms: 120_000,
            lend_below: 0.75,
            lend_timeout_ms: 1_000,
        }
    }
}

impl OffloadConfig {
    /// Checks all parameters.
    ///
    /// # Errors
    /// Every parameter that makes no sense.
    pub fn validate(&self) -> Result<(), Vec<ConfigError>> {
        let mut checks = ConfigChecks::default();
        for (field, value) in [
            ("target_delay_ms", self.target_delay_ms),
            (
                "cooldown_initial_backoff_ms",
                self.cooldown_initial_backoff_ms,
            ),
            ("lend_timeout_ms", self.lend_timeout_ms),
        ] {
            checks.require(field, value > 0, "must be above zero", value.to_string());
        }
        checks.require(
            "cooldown_max_backoff_ms",
            self.cooldown_max_backoff_ms >= self.cooldown_initial_backoff_ms,
            "must be at least cooldown_initial_backoff_ms",
            self.cooldown_max_backoff_ms.to_string(),
        );
        for (field, value) in [
            ("min_speed", self.min_speed),
            ("lend_below", self.lend_below),
        ] {
            checks.require(
                field,
                value > 0.0 && value <= 1.0,
                "must be above 0 and at most 1",
                value.to_string(),
            );
        }
        checks.finish()
    }

    /// The delay target.
    #[must_use]
    pub const fn target_delay(&self) -> Duration {
        Duration::from_millis(self.target_delay_ms)
    }

    /// The same for [`Self::lend_timeout_ms`].
    #[must_use]
    pub const fn lend_timeout(&self) -> Duration {
        Duration::from_millis(self.lend_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_every_error_is_reported() {
        assert_eq!(OffloadConfig::default().validate(), Ok(()));
        let wrong = OffloadConfig {
            target_delay_ms: 0,
            min_speed: f64::NAN,
            cooldown_max_backoff_ms: 1,
            ..OffloadConfig::default()
        };
        let fields: Vec<_> = wrong
            .validate()
            .unwrap_err()
            .into_iter()
            .map(|error| error.field)
            .collect();
        assert_eq!(
            fields,
            ["target_delay_ms", "cooldown_max_backoff_ms", "min_speed"]
        );
    }
}
