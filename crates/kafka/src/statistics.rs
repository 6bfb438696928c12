//! The used subset of librdkafka's statistics; see its STATISTICS.md.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

/// Minimum wake-ups per second of a broker thread that only waits to terminate: librdkafka then polls every millisecond.
const ENDING_WAKEUPS: f64 = 200.0;

/// Client statistics, once per second.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Statistics {
    /// By name.
    #[serde(default)]
    pub(super) topics: HashMap<String, TopicStatistics>,
    /// When this was, in microseconds of a clock that only counts.
    #[serde(default)]
    ts: i64,
    /// A list, because names may repeat: a broker that is being terminated and its replacement.
    #[serde(default, deserialize_with = "values")]
    brokers: Vec<BrokerStatistics>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TopicStatistics {
    /// By number.
    #[serde(default)]
    pub(super) partitions: HashMap<String, PartitionStatistics>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PartitionStatistics {
    /// The next offset to fetch.
    pub(super) next_offset: i64,
    /// Records that are fetched and not read: of *all* partitions of the consumer, whose queues librdkafka forwards to a single one.
    pub(super) fetchq_cnt: i64,
    /// Their bytes.
    #[serde(default)]
    pub(super) fetchq_size: i64,
    /// Where the partition ends for readers of all records.
    #[serde(default = "unknown")]
    pub(super) hi_offset: i64,
    /// Where it ends for readers of committed records.
    #[serde(default = "unknown")]
    pub(super) ls_offset: i64,
}

/// An offset that librdkafka does not know.
const fn unknown() -> i64 {
    -1
}

#[derive(Debug, Deserialize)]
struct BrokerStatistics {
    #[serde(default)]
    name: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    state: String,
    /// Times that its thread woke up.
    #[serde(default)]
    wakeups: u64,
    /// Attempts to connect.
    #[serde(default)]
    connects: i64,
}

impl Statistics {
    /// `None` if librdkafka's format has changed.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Whether the client knows any broker, reachable or not, by its configuration or from metadata. Other entries are logical brokers. A broker
    /// whose thread has only waited to terminate since `before` does not count: queued messages may keep it in that state permanently.
    pub(super) fn knows_a_broker(&self, before: &Self) -> bool {
        let seconds = (self.ts - before.ts) as f64 / 1e6;
        self.brokers.iter().any(|broker| {
            let known = matches!(broker.source.as_str(), "configured" | "learned");
            let mut earlier = before.brokers.iter().filter(|b| b.name == broker.name);
            known && !earlier.any(|earlier| broker.only_ends(earlier, seconds))
        })
    }
}

impl BrokerStatistics {
    /// Whether its thread did nothing but wait to terminate in the `seconds` since `earlier`.
    fn only_ends(&self, earlier: &Self, seconds: f64) -> bool {
        let rests = matches!(self.state.as_str(), "INIT" | "DOWN" | "TRY_CONNECT");
        let wakeups = self.wakeups.saturating_sub(earlier.wakeups) as f64;
        let often = seconds > 0.0 && wakeups >= ENDING_WAKEUPS * seconds;
        rests && often && self.connects == earlier.connects
    }
}

/// The values of a map, those of repeated keys too.
fn values<'de, D: Deserializer<'de>>(map: D) -> Result<Vec<BrokerStatistics>, D::Error> {
    struct Values;

    impl<'de> Visitor<'de> for Values {
        type Value = Vec<BrokerStatistics>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("brokers by name")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut values = Vec::new();
            while let Some((_, value)) = map.next_entry::<IgnoredAny, _>()? {
                values.push(value);
            }
            Ok(values)
        }
    }

    map.deserialize_map(Values)
}
