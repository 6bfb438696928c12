//! `[models.fetch]`: where models are downloaded from.

use std::path::PathBuf;

use babelmesh_settings::{ConfigError, Secret, mistake, read_secret};
use serde::{Deserialize, Serialize};

/// Most downloads at a time.
const MOST_JOBS: u16 = 64;
/// Most attempts for a file.
const MOST_ATTEMPTS: u16 = 100;

/// Downloads of models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FetchConfig {
    /// Registry of Firefox Translations models, or a mirror of it: http, https or file.
    pub registry: String,
    /// The Hugging Face Hub, or a server with its addresses.
    pub hub: String,
    /// Bearer token for the registry.
    #[serde(skip_serializing_if = "Secret::is_elsewhere")]
    pub token: Option<Secret>,
    /// File that holds the token for the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Bearer token for the Hub.
    #[serde(skip_serializing_if = "Secret::is_elsewhere")]
    pub hub_token: Option<Secret>,
    /// File that holds the token for the Hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub_token_file: Option<PathBuf>,
    /// Models downloaded at the same time.
    pub jobs: u16,
    /// Longest time to connect, and without any byte from the server, in milliseconds.
    pub timeout_ms: u64,
    /// Attempts for each file.
    pub attempts: u16,
    /// Delay before the second attempt, in milliseconds; doubles with each attempt.
    pub initial_backoff_ms: u64,
    /// Longest such delay, in milliseconds.
    pub max_backoff_ms: u64,
    /// Largest list of models, in MiB.
    pub max_list_mb: u64,
    /// Largest file, as downloaded and unpacked, in MiB.
    pub max_file_mb: u64,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            registry: "https://firefox.settings.services.mozilla.com".to_owned(),
            hub: "https://huggingface.co".to_owned(),
            token: None,
            token_file: None,
            hub_token: None,
            hub_token_file: None,
            jobs: 4,
            timeout_ms: 30_000,
            attempts: 5,
            initial_backoff_ms: 500,
            max_backoff_ms: 10_000,
            max_list_mb: 32,
            max_file_mb: 2_048,
        }
    }
}

impl FetchConfig {
    /// Reads the tokens, if they are in files.
    pub(super) fn read_tokens(&mut self, errors: &mut Vec<ConfigError>) {
        let file = self.token_file.as_deref();
        read_secret("models.fetch.token", &mut self.token, file, errors);
        let file = self.hub_token_file.as_deref();
        read_secret("models.fetch.hub_token", &mut self.hub_token, file, errors);
    }

    /// Adds everything that is out of range.
    pub(super) fn check(&self, errors: &mut Vec<ConfigError>) {
        let has = |address: &str, schemes: &[&str]| {
            schemes.iter().any(|scheme| address.starts_with(scheme))
        };
        let checks = [
            (
                !has(&self.registry, &["https://", "http://", "file:///"]),
                "registry",
                "must begin with https://, http:// or file:///".to_owned(),
            ),
            (
                !has(&self.hub, &["https://", "http://"]),
                "hub",
                "must begin with https:// or http://".to_owned(),
            ),
            (
                !(1..=MOST_JOBS).contains(&self.jobs),
                "jobs",
                format!("must be between 1 and {MOST_JOBS}"),
            ),
            (
                !(1..=MOST_ATTEMPTS).contains(&self.attempts),
                "attempts",
                format!("must be between 1 and {MOST_ATTEMPTS}"),
            ),
            (
                self.max_list_mb == 0,
                "max_list_mb",
                "must be above zero".to_owned(),
            ),
            (
                self.max_file_mb == 0,
                "max_file_mb",
                "must be above zero".to_owned(),
            ),
        ];
        for (_, key, message) in checks.into_iter().filter(|(wrong, ..)| *wrong) {
            errors.push(mistake(&format!("models.fetch.{key}"), message));
        }
    }
}
