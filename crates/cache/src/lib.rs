//! The translation cache: local on each node, and optionally shared through Redis.
//!
//! Redis is optional at run time: lookups are bounded in time, and without it everything is translated.
//!
//! This implements the actors' port [`TranslationCache`]; it is on the floor above them.
//!
//! ```
//! use babelmesh_cache::{Cache, CacheConfig};
//!
//! # fn main() -> anyhow::Result<()> {
//! let cache = Cache::start(&CacheConfig::default())?.expect("there is memory for it");
//! assert_eq!(cache.status().entries, 0);
//! # Ok(())
//! # }
//! ```

mod config;
mod memory;
mod shared;

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use async_trait::async_trait;
use babelmesh_actors::{
    cache::{CacheKey, TranslationCache},
    engine::Translation,
};

pub use babelmesh_telemetry::status::{CacheStatus, SharedStatus};
pub use config::{CacheConfig, RedisConfig};
use memory::Memory;
use shared::Shared;

/// The cache of a node.
pub struct Cache {
    memory: Memory,
    shared: Option<Shared>,
}

impl Cache {
    /// The cache of a configuration; `None` when nothing is to be remembered. A Redis is connected to in the background.
    ///
    /// # Errors
    /// When the certificates to trust cannot be read.
    pub fn start(config: &CacheConfig) -> Result<Option<Arc<Self>>> {
        if config.memory_mb == 0 {
            return Ok(None);
        }
        let ttl = Duration::from_secs(config.ttl_s);
        Ok(Some(Arc::new(Self {
            memory: Memory::new(config.memory_mb << 20, ttl),
            shared: Shared::start(&config.redis, ttl)?,
        })))
    }

    /// The cache now.
    #[must_use]
    pub fn status(&self) -> CacheStatus {
        CacheStatus {
            shared: self.shared.as_ref().map(Shared::status),
            ..self.memory.status()
        }
    }
}

#[async_trait]
impl TranslationCache for Cache {
    fn get(&self, key: &CacheKey) -> Option<Translation> {
        self.memory.get(key)
    }

    fn is_shared(&self) -> bool {
        self.shared.as_ref().is_some_and(Shared::is_reachable)
    }

    async fn ask(&self, keys: &[CacheKey]) -> Vec<Option<Translation>> {
        let Some(shared) = &self.shared else {
            return Vec::new();
        };
        let answers = shared.ask(keys).await;
        for (key, answer) in keys.iter().zip(&answers) {
            if let Some(translation) = answer {
                self.memory.put(*key, translation.clone());
            }
        }
        answers
    }

    fn put(&self, made: Vec<(CacheKey, Translation)>) {
        if let Some(shared) = &self.shared {
            shared.write(made.clone());
        }
        for (key, translation) in made {
            self.memory.put(key, translation);
        }
    }
}
