//! Reading configuration from its layers, with every mistake reported at once.

use std::path::Path;

use babelmesh_settings::{ConfigError, ConfigErrors, mistake};
use figment::{
    Figment,
    providers::Serialized,
    value::{Dict, Value},
};
use serde::Deserialize;

use super::{model::Config, validate};

/// Prefix of the environment variables; `BABELMESH_KAFKA__GROUP_ID` is `kafka.group_id`.
const PREFIX: &str = "BABELMESH_";

/// Reads defaults, then `presets` of the command, then the file, then the environment, then `overrides`. Presets and overrides are pairs of
/// a dotted path and a value: a number, a list, a table, or text.
///
/// # Errors
/// Every mistake of all layers together: an unreadable file, unknown keys, wrong types, values out of range.
pub fn load(
    file: Option<&Path>,
    presets: &[(String, String)],
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
) -> Result<Config, ConfigErrors> {
    let mut errors = Vec::new();
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    for (path, text) in presets {
        figment = set(figment, path, text);
    }
    if let Some(path) = file {
        match std::fs::read_to_string(path) {
            // Read by ourselves: figment's error would print the line, which may hold a password.
            Ok(text) => match text.parse::<toml::Table>() {
                Ok(table) => figment = figment.merge(Serialized::defaults(table)),
                Err(error) => errors.push(mistake("", place(path, &text, &error))),
            },
            Err(error) => {
                errors.push(mistake("", format!("reading {}: {error}", path.display())));
            }
        }
    }
    let environment: Vec<(String, String)> = environment.into_iter().collect();
    let ours = environment.iter().filter_map(|(name, value)| {
        let key = name.strip_prefix(PREFIX)?;
        // What the engine processes are told is no configuration.
        (!validate::is_reserved(name))
            .then(|| (key.to_lowercase().replace("__", "."), value.clone()))
    });
    for (path, text) in ours.chain(overrides.iter().cloned()) {
        figment = set(figment, &path, &text);
    }
    let dict = match figment.extract::<Dict>() {
        Ok(dict) => dict,
        Err(error) => {
            errors.extend(
                error
                    .into_iter()
                    .map(|e| mistake(&e.path.join("."), e.kind.to_string())),
            );
            return Err(ConfigErrors(errors));
        }
    };
    let tree =
        serde_json::to_value(dict).map_err(|e| ConfigErrors(vec![mistake("", e.to_string())]))?;
    let mut config = read_tree(tree, &mut errors);
    validate::apply_legacy_environment(&mut config, &environment, &mut errors);
    config.kafka.read_secrets(&mut errors);
    config.cluster.read_cookie(&mut errors);
    config.models.fetch.read_tokens(&mut errors);
    config.cache.redis.read_password(&mut errors);
    validate::check(&config, &mut errors);
    if errors.is_empty() {
        Ok(config)
    } else {
        Err(ConfigErrors(errors))
    }
}

/// Keys whose text is taken as it is: a password may look like a number or a list.
const TEXTS: [&str; 7] = [
    "cluster.cookie",
    "models.fetch.token",
    "models.fetch.hub_token",
    "kafka.security.key_password",
    "kafka.security.sasl.username",
    "kafka.security.sasl.password",
    "telemetry.traces.endpoint",
];

/// Tables that hold secrets: what is there in place of one is not repeated.
const TABLES: [&str; 7] = [
    "cluster",
    "kafka",
    "kafka.options",
    "kafka.security",
    "kafka.security.sasl",
    "models.fetch",
    "telemetry.traces.headers",
];

fn set(figment: Figment, path: &str, text: &str) -> Figment {
    let value = if TEXTS.contains(&path) {
        Value::from(text)
    } else {
        // The reading of values of figment's own environment provider.
        let Ok(value) = text.parse::<Value>();
        value
    };
    figment.merge(Serialized::default(path, value))
}

/// What is wrong with a file and where, without what is written there.
fn place(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let (path, message) = (path.display(), error.message());
    format!("reading {path}: line {line}, column {column}: {message}")
}

/// Reads the merged tree. A key of the wrong type is reported and taken out, so that the next one is seen too: every key has a default.
fn read_tree(mut tree: serde_json::Value, errors: &mut Vec<ConfigError>) -> Config {
    loop {
        let mut unknown = Vec::new();
        let mut on_unknown = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(tree.clone(), &mut track);
        match Config::deserialize(serde_ignored::Deserializer::new(tracked, &mut on_unknown)) {
            Ok(config) => {
                errors.extend(
                    unknown
                        .into_iter()
                        .map(|path| mistake(&path, "unknown key")),
                );
                return config;
            }
            Err(error) => {
                let path = track.path().to_string();
                let message = match TABLES.contains(&path.as_str()) {
                    true if tree_at(&tree, &path).is_some_and(|v| !v.is_object()) => {
                        "must be a table".to_owned()
                    }
                    _ => error.to_string(),
                };
                errors.push(mistake(&path, message));
                if !remove(&mut tree, &path) {
                    return Config::default();
                }
            }
        }
    }
}

fn tree_at<'a>(tree: &'a serde_json::Value, path: &str) -> Option<&'a serde_json::Value> {
    path.split('.').try_fold(tree, |node, key| node.get(key))
}

fn remove(tree: &mut serde_json::Value, path: &str) -> bool {
    let mut keys: Vec<&str> = path.split('.').collect();
    let Some(last) = keys.pop() else { return false };
    let parent = keys
        .into_iter()
        .try_fold(tree, |node, key| node.get_mut(key));
    let removed = parent
        .and_then(|node| node.as_object_mut())
        .and_then(|map| map.remove(last));
    removed.is_some()
}
