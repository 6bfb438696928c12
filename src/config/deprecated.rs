//! Keys with new names. The old ones are accepted for one version, with a warning.

use std::fmt;

use figment::value::{Dict, Value};

use babelmesh_settings::Place;

/// Old and new paths. Only the last part of a path may differ.
const RENAMED: [(&str, &str); 11] = [
    (
        "cluster.redial_first_ms",
        "cluster.redial_initial_backoff_ms",
    ),
    ("cluster.redial_most_ms", "cluster.redial_max_backoff_ms"),
    ("offload.calm_ms", "offload.cooldown_ms"),
    (
        "offload.hold_off_first_ms",
        "offload.cooldown_initial_backoff_ms",
    ),
    (
        "offload.hold_off_most_ms",
        "offload.cooldown_max_backoff_ms",
    ),
    ("offload.least_speed", "offload.min_speed"),
    ("offload.lend_patience_ms", "offload.lend_timeout_ms"),
    ("pool.restart_first_ms", "pool.restart_initial_backoff_ms"),
    ("pool.restart_most_ms", "pool.restart_max_backoff_ms"),
    ("retry.first_ms", "retry.initial_backoff_ms"),
    ("retry.most_ms", "retry.max_backoff_ms"),
];

/// A key that was given under its old name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeprecatedKey {
    /// The old path.
    pub old: &'static str,
    /// The new path.
    pub new: &'static str,
    /// Where it was given.
    pub place: Option<Place>,
}

impl fmt::Display for DeprecatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        let Self { old, new, .. } = self;
        write!(
            f,
            "{old} is deprecated and will be removed in the next version; use {new}"
        )
    }
}

/// What renaming found in a value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Pairs of an old and a new path.
    pub(super) renamed: Vec<(&'static str, &'static str)>,
    /// Pairs that are both given.
    pub(super) clashes: Vec<(&'static str, &'static str)>,
}

/// The old path of a new one.
pub(super) fn old_of(new: &str) -> Option<&'static str> {
    let pair = RENAMED.iter().find(|(_, other)| *other == new);
    pair.map(|(old, _)| *old)
}

/// The new path of a value, and with the new keys inside it.
pub(super) fn rename(path: &str, value: &mut Value) -> (String, Found) {
    let mut found = Found::default();
    if let Some((old, new)) = RENAMED.iter().find(|(old, _)| *old == path) {
        found.renamed.push((old, new));
        return ((*new).to_owned(), found);
    }
    for (old, new) in RENAMED {
        let (Some((table, old_key)), Some((_, new_key))) =
            (old.rsplit_once('.'), new.rsplit_once('.'))
        else {
            continue;
        };
        let Some(table) = dict_at(path, table, value) else {
            continue;
        };
        let Some(given) = table.remove(old_key) else {
            continue;
        };
        if table.contains_key(new_key) {
            found.clashes.push((old, new));
        } else {
            table.insert(new_key.to_owned(), given);
            found.renamed.push((old, new));
        }
    }
    (path.to_owned(), found)
}

/// The table at `wanted`, if it is in the value, which is at `path`.
fn dict_at<'a>(path: &str, wanted: &str, value: &'a mut Value) -> Option<&'a mut Dict> {
    let below = match path {
        "" => wanted,
        _ if wanted == path => "",
        _ => wanted.strip_prefix(path)?.strip_prefix('.')?,
    };
    let parts = below.split('.').filter(|part| !part.is_empty());
    let mut value = value;
    for part in parts {
        let Value::Dict(_, dict) = value else {
            return None;
        };
        value = dict.get_mut(part)?;
    }
    match value {
        Value::Dict(_, dict) => Some(dict),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_part_of_a_path_changes() {
        for (old, new) in RENAMED {
            let table = |path: &str| path.rsplit_once('.').unwrap().0.to_owned();
            assert_eq!(table(old), table(new));
        }
    }

    #[test]
    fn old_keys_are_found_at_any_depth_of_a_value() {
        for (path, text, renamed_path) in [
            ("retry.first_ms", "5", "retry.initial_backoff_ms"),
            ("retry", "{first_ms=5}", "retry"),
            ("", "{retry={first_ms=5}}", ""),
        ] {
            let mut value: Value = text.parse().unwrap();
            let (path, found) = rename(path, &mut value);
            assert_eq!(path, renamed_path);
            assert_eq!(
                found.renamed,
                [("retry.first_ms", "retry.initial_backoff_ms")]
            );
            assert!(!format!("{value:?}").contains("first_ms"), "{value:?}");
        }
        let mut value: Value = "{first_ms=5}".parse().unwrap();
        assert_eq!(rename("pool", &mut value).1, Found::default());
    }
}
