//! When a pool asks others for help, and when it offers some.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scaling::ConfigError;

/// Parameters of asking and of lending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OffloadConfig {
    /// Whether pools of this node give batches to peers.
    pub borrow: bool,
    /// Whether pools of this node do batches of peers.
    pub lend: bool,
    /// Queue delay that a pool must not exceed, in milliseconds; bulk work may wait ten times as long.
    pub target_delay_ms: u64,
    /// How long the delay must have been above it before a peer is asked, in milliseconds; above twice the target none.
    pub sustain_ms: u64,
    /// How long the pool must do without help before the last remote worker is sent away, in milliseconds.
    pub calm_ms: u64,
    /// Least speed of a remote worker, trips included, as a share of an own actor's; one that stays below it is sent away.
    pub least_speed: f64,
    /// Shortest time for which a peer is left alone that failed or made things slower, in milliseconds. It doubles with each time.
    pub hold_off_first_ms: u64,
    /// Longest such time, in milliseconds.
    pub hold_off_most_ms: u64,
    /// Share of its actors up to which a pool may be busy with its own work and still offer help.
    pub lend_below: f64,
    /// How long a peer's batch waits behind own work before it is given back, in milliseconds.
    pub lend_patience_ms: u64,
}

impl Default for OffloadConfig {
    fn default() -> Self {
        Self {
            borrow: true,
            lend: true,
            target_delay_ms: 500,
            sustain_ms: 1_000,
            calm_ms: 5_000,
            least_speed: 0.25,
            hold_off_first_ms: 5_000,
            hold_off_most_ms: 120_000,
            lend_below: 0.75,
            lend_patience_ms: 1_000,
        }
    }
}

impl OffloadConfig {
    /// Checks all parameters.
    ///
    /// # Errors
    /// Every parameter that makes no sense.
    pub fn validate(&self) -> Result<(), Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut refuse_unless = |field, good: bool, problem: &str, value: String| {
            if !good {
                let problem = format!("{problem}, not {value}");
                errors.push(ConfigError { field, problem });
            }
        };
        for (field, value) in [
            ("target_delay_ms", self.target_delay_ms),
            ("hold_off_first_ms", self.hold_off_first_ms),
            ("lend_patience_ms", self.lend_patience_ms),
        ] {
            refuse_unless(field, value > 0, "must be above zero", value.to_string());
        }
        refuse_unless(
            "hold_off_most_ms",
            self.hold_off_most_ms >= self.hold_off_first_ms,
            "must be at least hold_off_first_ms",
            self.hold_off_most_ms.to_string(),
        );
        for (field, value) in [
            ("least_speed", self.least_speed),
            ("lend_below", self.lend_below),
        ] {
            refuse_unless(
                field,
                value > 0.0 && value <= 1.0,
                "must be above 0 and at most 1",
                value.to_string(),
            );
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// The delay target.
    #[must_use]
    pub const fn target_delay(&self) -> Duration {
        Duration::from_millis(self.target_delay_ms)
    }

    /// The same for [`Self::lend_patience_ms`].
    #[must_use]
    pub const fn lend_timeout(&self) -> Duration {
        Duration::from_millis(self.lend_patience_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_every_mistake_is_told() {
        assert_eq!(OffloadConfig::default().validate(), Ok(()));
        let wrong = OffloadConfig {
            target_delay_ms: 0,
            least_speed: f64::NAN,
            hold_off_most_ms: 1,
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
            ["target_delay_ms", "hold_off_most_ms", "least_speed"]
        );
    }
}
