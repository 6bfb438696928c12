//! The local cache: recent and frequent translations within the memory limit.

use std::time::Duration;

use babelmesh_actors::{cache::CacheKey, engine::Translation};
use moka::{policy::EvictionPolicy, sync};

use babelmesh_telemetry::status::CacheStatus;

/// Overhead of an entry, in bytes: key, numbers, and the cache's bookkeeping. Measured as resident memory of a node
/// with and without 177,000 entries.
const OVERHEAD: u32 = 400;

/// Translations in memory.
pub(super) struct Memory(sync::Cache<CacheKey, Translation>);

impl Memory {
    pub(super) fn new(max_bytes: u64, ttl: Duration) -> Self {
        let weigh = |_: &CacheKey, translation: &Translation| {
            let alignment = translation.alignment.as_ref();
            let links = alignment.map_or(0, |alignment| size_of_val(alignment.links()));
            u32::try_from(translation.text.capacity() + links)
                .unwrap_or(u32::MAX)
                .saturating_add(OVERHEAD)
        };
        let cache = sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weigh)
            .time_to_live(ttl)
            // Frequent texts survive a flood of new ones.
            .eviction_policy(EvictionPolicy::tiny_lfu())
            .build();
        Self(cache)
    }

    pub(super) fn get(&self, key: &CacheKey) -> Option<Translation> {
        self.0.get(key)
    }

    pub(super) fn put(&self, key: CacheKey, mut translation: Translation) {
        translation.text.shrink_to_fit();
        self.0.insert(key, translation);
    }

    pub(super) fn status(&self) -> CacheStatus {
        // Counts lag behind pending maintenance; run it first.
        self.0.run_pending_tasks();
        CacheStatus {
            entries: self.0.entry_count(),
            bytes: self.0.weighted_size(),
            max_bytes: self.0.policy().max_capacity().unwrap_or_default(),
            shared: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use babelmesh_actors::{cache::CacheSpace, engine::Completeness};

    use super::*;

    fn translation(text: &str) -> Translation {
        Translation {
            text: text.to_owned(),
            score: -0.25,
            input_tokens: 3,
            output_tokens: 4,
            completeness: Completeness::Whole,
            alignment: None,
            alternatives: Vec::new(),
        }
    }

    fn key(text: &str) -> CacheKey {
        let [en, fr] = ["en", "fr"].map(|tag| tag.parse().unwrap());
        CacheSpace::new(["model"]).key(en, fr, text)
    }

    #[test]
    fn entries_live_until_their_ttl() {
        let memory = Memory::new(1 << 20, Duration::from_millis(200));
        assert_eq!(memory.get(&key("a")), None);
        memory.put(key("a"), translation("A"));
        assert_eq!(memory.get(&key("a")), Some(translation("A")));
        std::thread::sleep(Duration::from_millis(250));
        assert_eq!(memory.get(&key("a")), None);
    }

    #[test]
    fn it_takes_no_more_memory_than_it_may() {
        let memory = Memory::new(1 << 20, Duration::from_secs(60));
        for number in 0..20_000 {
            let text = format!("number {number}");
            memory.put(key(&text), translation(&text));
        }
        let status = memory.status();
        assert!(status.bytes <= status.max_bytes, "{status:?}");
        assert!(status.entries > 1_000, "{status:?}");
    }
}
