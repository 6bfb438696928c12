//! Translations that are made once.

mod validate;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use babelmesh_settings::{ConfigError, Secret, read_secret};

/// Translations that are made once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheConfig {
    /// Memory for translations of sentences, in MiB; zero remembers nothing, in Redis neither.
    pub memory_mb: u64,
    /// How long a translation is remembered, in seconds.
    pub ttl_s: u64,
    /// A Redis that nodes share.
    pub redis: RedisConfig,
}

impl CacheConfig {
    /// Tells what is out of range: whether something is, its key, and what it must be like.
    pub fn check(&self, refuse_if: &mut impl FnMut(bool, &str, &str)) {
        validate::check(self, refuse_if);
    }
}

impl RedisConfig {
    /// Reads the password, if it is in a file.
    pub fn read_password(&mut self, errors: &mut Vec<ConfigError>) {
        let file = self.password_file.as_deref();
        read_secret("cache.redis.password", &mut self.password, file, errors);
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            memory_mb: 64,
            ttl_s: 7 * 24 * 3_600,
            redis: RedisConfig::default(),
        }
    }
}

/// A Redis that nodes share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RedisConfig {
    /// Its address, such as `redis://127.0.0.1:6379/0`, or `rediss://` for TLS. Without one, each node remembers for itself.
    pub address: Option<String>,
    /// Name of the user, where it has users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password.
    #[serde(skip_serializing_if = "Secret::is_elsewhere")]
    pub password: Option<Secret>,
    /// File that holds the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Certificates of the authorities to trust, in PEM; the system's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// What its keys begin with.
    pub prefix: String,
    /// Longest time for it to answer, in milliseconds. What has not come by then is translated.
    pub timeout_ms: u64,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            address: None,
            username: None,
            password: None,
            password_file: None,
            ca_file: None,
            prefix: "babelmesh:".to_owned(),
            timeout_ms: 50,
        }
    }
}
