//! The parameters of the threshold policy, and the environment variables that 0.4.9 promised.
//!
//! The numbers were read from the sources of Meeshy's translator at its tag `v0.4.9-alpha`
//! (`translator/src/services/zmq_server.py` and `translator/src/main.py`) and from that release's
//! notes. The two do not always agree:
//!
//! | what | the notes | the code | here |
//! |---|---|---|---|
//! | initial workers | 20 and 10 | 20 and 10 in the pool manager; its only caller passes `max(20, TRANSLATION_WORKERS / 2)` and `max(10, TRANSLATION_WORKERS / 4)`, with 50 where the variable is unset: 25 and 12 | 20 and 10; by the formula when `TRANSLATION_WORKERS` is set |
//! | largest counts | `MAX_NORMAL_WORKERS=40`, `MAX_ANY_WORKERS=20` | twice the initial counts; the variables are never read | the variables; without them, twice the initial counts |
//! | smallest counts | none | 20 and 10, constants | 20 and 10, parameters |
//! | switch | `ENABLE_DYNAMIC_SCALING` | always on; the variable is never read | the variable; on |
//! | interval | `SCALING_CHECK_INTERVAL=30` | 30 s; the variable is never read | the variable; 30 s |
//! | queue sizes | none | 10,000 tasks each, then tasks are refused | kept as [`QueueRule::capacity`] for reference; this pool's backlog is bounded in tokens and refuses nothing |
//!
//! `NORMAL_WORKERS` and `ANY_WORKERS` set one initial count directly (in 0.4.9 these were parameters
//! of the pool manager, not variables). `QUANTIZATION_LEVEL` chooses the numeric type of an engine and
//! has nothing to do with the size of a pool; it is only parsed here ([`Quantization`]).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Parameters of [`Threshold`](super::Threshold).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThresholdConfig {
    /// Whether the counts change at all. `ENABLE_DYNAMIC_SCALING`; default true.
    pub dynamic: bool,
    /// Time between two checks. `SCALING_CHECK_INTERVAL` (in seconds); default 30,000 ms.
    pub interval_ms: u64,
    /// The rule of the normal queue (interactive jobs included; 0.4.9 did not know them).
    pub normal: QueueRule,
    /// The rule of the any queue.
    pub any: QueueRule,
}

/// The rule of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueRule {
    /// Workers at the start.
    pub initial: u32,
    /// The count is not lowered below this. It may start below it, as in 0.4.9.
    pub min: u32,
    /// The count is not raised above this.
    pub max: u32,
    /// Tasks that the queue held in 0.4.9 before it refused more. Not used in decisions.
    pub capacity: u64,
    /// Raise the count when more jobs than this wait …
    pub up_queue: u64,
    /// … and more than this share of the workers is busy …
    pub up_utilisation: f64,
    /// … by this many workers.
    pub up_step: u32,
    /// Lower the count when fewer jobs than this wait …
    pub down_queue: u64,
    /// … and less than this share of the workers is busy …
    pub down_utilisation: f64,
    /// … by this many workers.
    pub down_step: u32,
}

impl QueueRule {
    /// 0.4.9's rule for conversations: 20 to 40 workers, +5 above 100 waiting and 80 % busy, −2 below
    /// 10 waiting and 30 % busy.
    pub const NORMAL: Self = Self {
        initial: 20,
        min: 20,
        max: 40,
        capacity: 10_000,
        up_queue: 100,
        up_utilisation: 0.8,
        up_step: 5,
        down_queue: 10,
        down_utilisation: 0.3,
        down_step: 2,
    };

    /// 0.4.9's rule for the conversation `any`: 10 to 20 workers, +3 above 50 waiting and 80 % busy,
    /// −1 below 5 waiting and 30 % busy.
    pub const ANY: Self = Self {
        initial: 10,
        min: 10,
        max: 20,
        capacity: 10_000,
        up_queue: 50,
        up_utilisation: 0.8,
        up_step: 3,
        down_queue: 5,
        down_utilisation: 0.3,
        down_step: 1,
    };
}

impl Default for ThresholdConfig {
    fn default() -> Self {
        Self {
            dynamic: true,
            interval_ms: 30_000,
            normal: QueueRule::NORMAL,
            any: QueueRule::ANY,
        }
    }
}

/// An environment variable that cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// The value is not of the variable's kind.
    #[error("{name}={value:?}: expected {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// A maximum is below the count that the pool starts with.
    #[error("{name}={max} is below the {initial} workers to start with")]
    BelowInitial {
        /// The variable with the maximum.
        name: &'static str,
        /// Its value.
        max: u32,
        /// The initial count.
        initial: u32,
    },
}

impl ThresholdConfig {
    /// The defaults, changed by the environment. `lookup` gives a variable's value; blank values
    /// count as unset. All problems are reported at once.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<EnvError>> {
        Self::default().with_env(lookup)
    }

    /// This configuration, changed by the environment; see [`from_env`](Self::from_env).
    pub fn with_env(
        mut self,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<EnvError>> {
        let mut env = Environment {
            lookup,
            errors: Vec::new(),
        };
        if let Some(dynamic) = env.switch("ENABLE_DYNAMIC_SCALING") {
            self.dynamic = dynamic;
        }
        if let Some(seconds) = env.count("SCALING_CHECK_INTERVAL") {
            self.interval_ms = u64::from(seconds) * 1_000;
        }
        let workers = env.count("TRANSLATION_WORKERS");
        let normal = env
            .count("NORMAL_WORKERS")
            .or(workers.map(|n| (n / 2).max(20)));
        let any = env
            .count("ANY_WORKERS")
            .or(workers.map(|n| (n / 4).max(10)));
        for (rule, initial, max) in [
            (&mut self.normal, normal, "MAX_NORMAL_WORKERS"),
            (&mut self.any, any, "MAX_ANY_WORKERS"),
        ] {
            if let Some(initial) = initial {
                rule.initial = initial;
                rule.max = initial.saturating_mul(2);
            }
            if let Some(most) = env.count(max) {
                rule.max = most;
                if most < rule.initial {
                    let initial = rule.initial;
                    env.errors.push(EnvError::BelowInitial {
                        name: max,
                        max: most,
                        initial,
                    });
                }
            }
        }
        if env.errors.is_empty() {
            Ok(self)
        } else {
            Err(env.errors)
        }
    }

    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }
}

/// Reads variables and collects what is wrong with them.
struct Environment<F> {
    lookup: F,
    errors: Vec<EnvError>,
}

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    fn count(&mut self, name: &'static str) -> Option<u32> {
        self.parse(name, "a whole number above zero", |value| {
            value.parse().ok().filter(|&count| count > 0)
        })
    }

    fn switch(&mut self, name: &'static str) -> Option<bool> {
        self.parse(name, "true or false", |value| {
            match value.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Some(true),
                "false" | "0" | "no" | "off" => Some(false),
                _ => None,
            }
        })
    }

    fn parse<T>(
        &mut self,
        name: &'static str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = (self.lookup)(name)?;
        let trimmed = value.trim();
        if trimmed.is_empty() {
            return None;
        }
        let parsed = parse(trimmed);
        if parsed.is_none() {
            self.errors.push(EnvError::Invalid {
                name,
                value,
                expected,
            });
        }
        parsed
    }
}

/// The values of `QUANTIZATION_LEVEL`: the numeric type that an engine computes with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantization {
    /// 32-bit floating point, 0.4.9's default.
    #[default]
    Float32,
    /// 16-bit floating point.
    Float16,
    /// 8-bit integers.
    Int8,
}

impl Quantization {
    /// The environment variable's name.
    pub const VARIABLE: &'static str = "QUANTIZATION_LEVEL";

    /// The environment's choice, if it makes one.
    ///
    /// 0.4.9 took every unknown value for `float32`; a typo is an error here.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, EnvError> {
        let Some(value) = lookup(Self::VARIABLE).filter(|value| !value.trim().is_empty()) else {
            return Ok(None);
        };
        value.parse().map(Some)
    }
}

impl FromStr for Quantization {
    type Err = EnvError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        match value.trim().to_ascii_lowercase().as_str() {
            "float32" => Ok(Self::Float32),
            "float16" => Ok(Self::Float16),
            "int8" => Ok(Self::Int8),
            _ => Err(EnvError::Invalid {
                name: Self::VARIABLE,
                value: value.to_owned(),
                expected: "float32, float16 or int8",
            }),
        }
    }
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        }
    }

    fn counts(config: &ThresholdConfig) -> [u32; 4] {
        [
            config.normal.initial,
            config.normal.max,
            config.any.initial,
            config.any.max,
        ]
    }

    #[test]
    fn without_variables_the_numbers_of_the_release_notes_hold() {
        let config = ThresholdConfig::from_env(env(&[])).expect("nothing to refuse");
        assert_eq!(config, ThresholdConfig::default());
        assert_eq!(counts(&config), [20, 40, 10, 20]);
        assert_eq!(config.interval(), Duration::from_secs(30));
    }

    #[test]
    fn translation_workers_gives_half_and_a_quarter_as_in_0_4_9() {
        let config = ThresholdConfig::from_env(env(&[("TRANSLATION_WORKERS", "50")]));
        assert_eq!(counts(&config.expect("valid")), [25, 50, 12, 24]);
        let config = ThresholdConfig::from_env(env(&[("TRANSLATION_WORKERS", "10")]));
        assert_eq!(counts(&config.expect("valid")), [20, 40, 10, 20]);
    }

    #[test]
    fn every_variable_has_its_effect() {
        let config = ThresholdConfig::from_env(env(&[
            ("TRANSLATION_WORKERS", "50"),
            ("ENABLE_DYNAMIC_SCALING", "False"),
            ("SCALING_CHECK_INTERVAL", "5"),
            ("NORMAL_WORKERS", "3"),
            ("ANY_WORKERS", "2"),
            ("MAX_NORMAL_WORKERS", "7"),
            ("MAX_ANY_WORKERS", "4"),
        ]))
        .expect("all valid");
        assert!(!config.dynamic);
        assert_eq!(config.interval(), Duration::from_secs(5));
        assert_eq!(counts(&config), [3, 7, 2, 4]);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let errors = ThresholdConfig::from_env(env(&[
            ("ENABLE_DYNAMIC_SCALING", "maybe"),
            ("SCALING_CHECK_INTERVAL", "0"),
            ("NORMAL_WORKERS", "-3"),
            ("MAX_ANY_WORKERS", "4"),
        ]))
        .expect_err("four problems");
        let messages: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            messages,
            [
                "ENABLE_DYNAMIC_SCALING=\"maybe\": expected true or false",
                "SCALING_CHECK_INTERVAL=\"0\": expected a whole number above zero",
                "NORMAL_WORKERS=\"-3\": expected a whole number above zero",
                "MAX_ANY_WORKERS=4 is below the 10 workers to start with",
            ]
        );
    }

    #[test]
    fn blank_variables_are_unset() {
        let config = ThresholdConfig::from_env(env(&[("NORMAL_WORKERS", " ")]));
        assert_eq!(config, Ok(ThresholdConfig::default()));
    }

    #[test]
    fn the_quantization_level_is_parsed_and_typos_are_refused() {
        assert_eq!(Quantization::from_env(env(&[])), Ok(None));
        let int8 = Quantization::from_env(env(&[("QUANTIZATION_LEVEL", "INT8")]));
        assert_eq!(int8, Ok(Some(Quantization::Int8)));
        assert!(Quantization::from_env(env(&[("QUANTIZATION_LEVEL", "int4")])).is_err());
        for level in [
            Quantization::Float32,
            Quantization::Float16,
            Quantization::Int8,
        ] {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
    }
}
