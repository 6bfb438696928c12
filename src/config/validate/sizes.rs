//! Implausible durations and sizes: the unit is part of a key's name, so one rule holds for all of them.

use babelmesh_settings::{ConfigError, mistake};
use serde_json::Value;

use crate::config::Config;

/// A year in milliseconds.
const YEAR_MS: u64 = 366 * 24 * 3_600 * 1_000;
/// 16 TiB in MiB.
const MAX_MEBIBYTES: u64 = 1 << 24;

/// Durations for which zero has a meaning.
const ZERO_IS_ALLOWED: [&str; 12] = [
    "node.shutdown_timeout_ms",
    "node.drain_timeout_ms",
    "kafka.revoke_timeout_ms",
    "engine.timeout_per_token_ms",
    "engine.fake.load_ms",
    "engine.fake.batch_us",
    "engine.fake.segment_us",
    "pool.restart_initial_backoff_ms",
    "pool.restart_max_backoff_ms",
    "pool.unavailable_after_ms",
    "offload.cooldown_ms",
    "offload.sustain_ms",
];

/// Kafka accepts -1 for unlimited retention, and many years.
const ARE_NO_WAITS: &str = "kafka.topic_settings";

/// The largest value of a key, and what it is, by the unit in its name.
fn bound(key: &str) -> Option<(u64, &'static str, bool)> {
    let units = [
        ("_ms", YEAR_MS, "a year", true),
        ("_us", YEAR_MS * 1_000, "a year", true),
        ("_s", YEAR_MS / 1_000, "a year", true),
        ("_mb", MAX_MEBIBYTES, "16 TiB", false),
        ("_bytes", MAX_MEBIBYTES << 20, "16 TiB", false),
    ];
    let found = units.into_iter().find(|(unit, ..)| key.ends_with(unit));
    found.map(|(_, most, words, is_duration)| (most, words, is_duration))
}

/// Adds every duration and size that is out of any reasonable range and was not refused already.
pub(super) fn check(config: &Config, errors: &mut Vec<ConfigError>) {
    // A configuration can be written as JSON: `check-config --print` does so.
    let tree = serde_json::to_value(config).unwrap_or_default();
    let mut found = Vec::new();
    walk("", &tree, &mut found);
    found.retain(|error| errors.iter().all(|known| known.path != error.path));
    errors.append(&mut found);
}

fn walk(path: &str, value: &Value, found: &mut Vec<ConfigError>) {
    if path == ARE_NO_WAITS {
        return;
    }
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                walk(&path, value, found);
            }
        }
        Value::Number(number) => {
            let (Some((most, words, is_duration)), Some(number)) = (bound(path), number.as_u64())
            else {
                return;
            };
            if number > most {
                found.push(mistake(path, format!("must not be above {most} ({words})")));
            }
            if is_duration && number == 0 && !ZERO_IS_ALLOWED.contains(&path) {
                found.push(mistake(path, "must be above zero"));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers with a unit, by their paths.
    fn sized(path: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(table) => {
                for (key, value) in table {
                    let path = format!("{path}.{key}");
                    sized(path.trim_start_matches('.'), value, found);
                }
            }
            Value::Number(_) if bound(path).is_some() && !path.starts_with(ARE_NO_WAITS) => {
                found.push(path.to_owned());
            }
            _ => {}
        }
    }

    #[test]
    fn every_duration_and_size_has_a_largest_value_and_is_named_when_it_is_above() {
        let mut paths = Vec::new();
        let defaults = serde_json::to_value(Config::default()).unwrap();
        sized("", &defaults, &mut paths);
        assert!(paths.len() > 50, "{paths:?}");
        for path in &paths {
            // The largest that TOML has.
            for absurd in [i64::MAX.to_string(), "-1".to_owned()] {
                let set = (path.clone(), absurd);
                let errors = crate::config::load(None, &[], [], &[set]).unwrap_err();
                assert!(errors.0.iter().any(|e| e.path == *path), "{path}: {errors}");
            }
        }
        for path in ZERO_IS_ALLOWED {
            assert!(
                paths.iter().any(|known| known == path),
                "{path} is not a configuration key"
            );
        }
    }

    #[test]
    fn a_duration_of_zero_is_refused_unless_it_means_something() {
        let mut paths = Vec::new();
        let defaults = serde_json::to_value(Config::default()).unwrap();
        sized("", &defaults, &mut paths);
        for path in paths {
            let (_, _, is_duration) = bound(&path).unwrap();
            if !is_duration || ZERO_IS_ALLOWED.contains(&path.as_str()) {
                continue;
            }
            let set = (path.clone(), "0".to_owned());
            let errors = crate::config::load(None, &[], [], &[set]).unwrap_err();
            let named = errors.0.iter().filter(|e| e.path == path);
            assert_eq!(named.count(), 1, "{path}: {errors}");
        }
    }
}
