//! Reading configuration from its layers, with all errors reported at once.

use std::path::Path;

use babelmesh_settings::{ConfigError, ConfigErrors, mistake};
use figment::{
    Figment,
    providers::Serialized,
    value::{Dict, Value},
};
use serde::Deserialize;

use super::{
    deprecated::{self, DeprecatedKey},
    diagnostics::{self, Layers},
    model::Config,
    validate,
};

/// Prefix of the environment variables; `BABELMESH_KAFKA__GROUP_ID` is `kafka.group_id`.
const PREFIX: &str = "BABELMESH_";

/// Reads defaults, then `presets` of the command, then the file, then the environment, then `overrides`. Presets and overrides are pairs of
/// a dotted path and a value: a number, a list, a table, or text.
///
/// # Errors
/// All errors of all layers together: an unreadable file, unknown keys, wrong types, values out of range.
pub fn load(
    file: Option<&Path>,
    presets: &[(String, String)],
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
) -> Result<Config, ConfigErrors> {
    load_with_deprecations(file, presets, environment, overrides).map(|(config, _)| config)
}

/// [`load`], with the keys that were given under their old names.
///
/// # Errors
/// As [`load`].
pub fn load_with_deprecations(
    file: Option<&Path>,
    presets: &[(String, String)],
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
) -> Result<(Config, Vec<DeprecatedKey>), ConfigErrors> {
    let mut errors = Vec::new();
    let mut reading = Reading::default();
    let read = read_layers(
        file,
        presets,
        environment,
        overrides,
        &mut reading,
        &mut errors,
    );
    diagnostics::finish(&mut errors, &reading.layers);
    match (read, errors.is_empty()) {
        (Some(config), true) => Ok((config, reading.deprecated)),
        _ => Err(ConfigErrors(errors)),
    }
}

/// What is noted while layers are read.
#[derive(Default)]
struct Reading {
    layers: Layers,
    deprecated: Vec<DeprecatedKey>,
}

impl Reading {
    /// Gives old keys of a value that is set at a path their new names; returns the new path.
    fn rename(&mut self, path: &str, value: &mut Value, errors: &mut Vec<ConfigError>) -> String {
        let (new_path, found) = deprecated::rename(path, value);
        for (old, new) in found.renamed {
            let place = self.layers.place(old).or_else(|| self.layers.place(new));
            self.deprecated.push(DeprecatedKey { old, new, place });
        }
        for (old, new) in found.clashes {
            let message = format!("is the old name of {new}, which is given too; remove it");
            errors.push(mistake(old, message));
        }
        new_path
    }
}

fn read_layers(
    file: Option<&Path>,
    presets: &[(String, String)],
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
    reading: &mut Reading,
    errors: &mut Vec<ConfigError>,
) -> Option<Config> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    for (path, text) in presets {
        figment = figment.merge(Serialized::default(path, parse(path, text)));
    }
    if let Some(path) = file {
        match std::fs::read_to_string(path) {
            // Read by ourselves: figment's error would print the line, which may hold a password.
            Ok(text) => match text.parse::<toml::Table>() {
                Ok(table) => {
                    reading.layers.add_file(path, &text);
                    figment = figment.merge(file_layer(table, reading, errors));
                }
                Err(error) => errors.push(mistake("", place(path, &text, &error))),
            },
            Err(error) => {
                errors.push(mistake("", format!("reading {}: {error}", path.display())));
            }
        }
    }
    let environment: Vec<(String, String)> = environment.into_iter().collect();
    for (name, text) in &environment {
        // What the engine processes are told is not configuration.
        if let Some(key) = name.strip_prefix(PREFIX)
            && !validate::is_reserved(name)
        {
            let path = key.to_lowercase().replace("__", ".");
            reading.layers.add_variable(&path, name);
            figment = set(figment, &path, text, reading, errors);
        }
    }
    for (path, text) in overrides {
        reading.layers.add_flag(path);
        figment = set(figment, path, text, reading, errors);
    }
    let dict = match figment.extract::<Dict>() {
        Ok(dict) => dict,
        Err(error) => {
            errors.extend(
                error
                    .into_iter()
                    .map(|e| mistake(&e.path.join("."), e.kind.to_string())),
            );
            return None;
        }
    };
    let tree = match serde_json::to_value(dict) {
        Ok(tree) => tree,
        Err(error) => {
            errors.push(mistake("", error.to_string()));
            return None;
        }
    };
    let mut config = read_tree(tree, errors);
    validate::apply_legacy_environment(&mut config, &environment, errors);
    config.kafka.read_secrets(errors);
    config.cluster.read_cookie(errors);
    config.models.fetch.read_tokens(errors);
    config.cache.redis.read_password(errors);
    validate::check(&config, errors);
    Some(config)
}

/// The layer of a file, with new names for old keys.
fn file_layer(
    table: toml::Table,
    reading: &mut Reading,
    errors: &mut Vec<ConfigError>,
) -> Serialized<Value> {
    let mut value = match Value::serialize(table) {
        Ok(value) => value,
        Err(error) => {
            errors.push(mistake("", error.kind.to_string()));
            Value::from(Dict::new())
        }
    };
    reading.rename("", &mut value, errors);
    Serialized::defaults(value)
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

fn set(
    figment: Figment,
    path: &str,
    text: &str,
    reading: &mut Reading,
    errors: &mut Vec<ConfigError>,
) -> Figment {
    let mut value = parse(path, text);
    let path = reading.rename(path, &mut value, errors);
    figment.merge(Serialized::default(&path, value))
}

/// The value of a text.
fn parse(path: &str, text: &str) -> Value {
    if TEXTS.contains(&path) {
        return Value::from(text);
    }
    // As figment's own environment provider reads values.
    let Ok(value) = text.parse::<Value>();
    value
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
                        .map(|path| ConfigError::unknown_key(&path)),
                );
                return config;
            }
            Err(error) => {
                let path = track.path().to_string();
                let error = error.to_string();
                if let Some(key) = unknown_field(&error) {
                    // The table refuses it, and the path may be that of the table.
                    let path = match path.strip_suffix(key) {
                        Some(table) if table.is_empty() || table.ends_with('.') => path,
                        _ => format!("{path}.{key}"),
                    };
                    errors.push(ConfigError::unknown_key(&path));
                    if remove(&mut tree, &path) {
                        continue;
                    }
                    return Config::default();
                }
                let message = match TABLES.contains(&path.as_str()) {
                    true if tree_at(&tree, &path).is_some_and(|v| !v.is_object()) => {
                        "must be a table".to_owned()
                    }
                    _ => diagnostics::in_plain_words(&path, &error),
                };
                errors.push(mistake(&path, message));
                if !remove(&mut tree, &path) {
                    return Config::default();
                }
            }
        }
    }
}

/// The key that an error of a table with `deny_unknown_fields` is about.
fn unknown_field(error: &str) -> Option<&str> {
    error.strip_prefix("unknown field `")?.split('`').next()
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
