//! The report of a node, small enough to be sent every second.

use std::fs;

use babelmesh_actors::{
    domain::{Lane, Language, ModelType},
    offload::Offer,
    pool::{ActorPhase, PoolStatus},
    routing::Capability,
};
use serde::{Deserialize, Serialize};

use super::{NodeStatus, SourceStatus};

/// A node at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// Counts the reports of one incarnation; a report never replaces a newer one.
    pub serial: u64,
    /// Version of babelmesh.
    pub version: String,
    /// Milliseconds since the node started.
    pub uptime_ms: u64,
    /// Whether it is leaving and takes nothing more.
    pub draining: bool,
    /// Cores that its engines may use.
    pub cores: u32,
    /// Processes that want a core of its machine, mean of a minute.
    pub load: f64,
    /// Resident bytes of the node and its engines.
    pub memory_bytes: u64,
    /// Languages that it knows topics for.
    pub languages: Vec<String>,
    /// Its pools.
    pub pools: Vec<PoolReport>,
    /// Requests that become jobs.
    pub requests: SourceReport,
    /// Jobs that become results.
    pub jobs: SourceReport,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolReport {
    /// Model id.
    pub model: String,
    /// Engine at work.
    pub engine: String,
    /// The model.
    pub ability: PoolCapability,
    /// Cache space: everything that its translations depend on besides text and languages; empty when that is not
    /// known.
    pub space: String,
    /// Model actors.
    pub actors: u32,
    /// Those of them that can take a batch.
    pub warm: u32,
    /// Those of them that translate.
    pub busy: u32,
    /// Actors wanted.
    pub wanted: u32,
    /// Fewest and most.
    pub bounds: [u32; 2],
    /// Pieces of text that wait.
    pub backlog_segments: u64,
    /// Their tokens.
    pub backlog_tokens: u64,
    /// How long a conversation's job waits, in milliseconds.
    pub delay_ms: u64,
    /// Tokens translated a second.
    pub tokens_per_second: f64,
    /// Measured speed of one busy actor, in tokens per second.
    pub tokens_per_second_of_an_actor: f64,
    /// Jobs translated since the start.
    pub translated: u64,
    /// Jobs that ended with an error since the start.
    pub failed: u64,
    /// Whether its actors fail at present.
    pub failing: bool,
    /// Paused languages.
    pub paused: Vec<String>,
    /// Places in pools of other nodes that work for it.
    pub guests: u32,
    /// Its offer to pools of other nodes.
    pub offer: Offer,
}

/// Capabilities of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolCapability {
    /// Languages that it reads.
    pub sources: Vec<String>,
    /// Languages that it writes.
    pub targets: Vec<String>,
    /// Its tier.
    pub tier: ModelType,
}

impl PoolCapability {
    fn of(ability: Option<&Capability>) -> Self {
        let tags = |languages: &[Language]| languages.iter().map(Language::to_string).collect();
        Self {
            sources: ability.map_or_else(Vec::new, |a| tags(&a.sources)),
            targets: ability.map_or_else(Vec::new, |a| tags(&a.targets)),
            tier: ability.map_or(ModelType::Basic, |a| a.tier),
        }
    }

    /// The same with languages in place of tags; `None` when a tag is none, as it may be to a node of another version.
    #[must_use]
    pub fn parse(&self) -> Option<Capability> {
        let languages = |tags: &[String]| {
            let parsed = tags.iter().map(|tag| tag.parse::<Language>().ok());
            parsed.collect::<Option<Vec<_>>>()
        };
        Some(Capability {
            sources: languages(&self.sources)?,
            targets: languages(&self.targets)?,
            tier: self.tier,
        })
    }
}

/// A pipeline's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceReport {
    /// Partitions that are read.
    pub partitions: u64,
    /// Whether nothing is read because too much waits.
    pub holding_back: bool,
    /// Work accepted and not yet published, in tokens.
    pub queued_tokens: u64,
    /// Records that are not read yet.
    pub lag_records: u64,
    /// The same in tokens, as an estimate.
    pub lag_tokens: u64,
    /// Age of the oldest record that is not answered, in milliseconds.
    pub oldest_age_ms: u64,
}

impl From<&SourceStatus> for SourceReport {
    fn from(status: &SourceStatus) -> Self {
        Self {
            partitions: status.partitions as u64,
            holding_back: status.gate_closed || status.paused,
            queued_tokens: status.queued_tokens,
            lag_records: status.lag_records,
            lag_tokens: status.lag_tokens,
            oldest_age_ms: status.oldest_age_ms,
        }
    }
}

/// Parts of a report that are not in the node status.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Cores that the engines may use.
    pub cores: usize,
    /// Languages that there are topics for.
    pub languages: Vec<String>,
}

impl NodeReport {
    /// Makes a report of a status.
    #[must_use]
    pub fn new(status: &NodeStatus, facts: &Facts) -> Self {
        let engines = status.pools.iter().flat_map(|pool| &pool.actors);
        let engines: u64 = engines.map(|actor| actor.resident_bytes).sum();
        Self {
            serial: 0,
            version: status.version.clone(),
            uptime_ms: status.uptime_ms,
            draining: false,
            cores: u32::try_from(facts.cores).unwrap_or(u32::MAX),
            load: load(),
            memory_bytes: own_memory() + engines,
            languages: facts.languages.clone(),
            pools: status.pools.iter().map(pool).collect(),
            requests: SourceReport::from(&status.requests),
            jobs: SourceReport::from(&status.jobs),
        }
    }

    /// Whether something changed that others should know before the next second: more than mere numbers of work.
    #[must_use]
    pub fn differs(&self, before: &Self) -> bool {
        let shape = |report: &Self| {
            let pools = report.pools.iter();
            let pools: Vec<_> = pools
                .map(|p| {
                    (
                        p.model.clone(),
                        p.actors,
                        p.warm,
                        p.wanted,
                        p.bounds,
                        p.failing,
                        p.paused.clone(),
                        p.offer.credits,
                    )
                })
                .collect();
            let sources = [report.requests, report.jobs];
            let sources = sources.map(|s| (s.partitions, s.holding_back));
            (report.draining, report.languages.clone(), pools, sources)
        };
        shape(self) != shape(before)
    }

    /// Whether one of its pools can take a job with this target now.
    #[must_use]
    pub fn serves(&self, target: &str) -> bool {
        !self.draining && self.pools.iter().any(|pool| pool.serves(target))
    }
}

impl PoolReport {
    /// Whether its actors fail and none can take a batch.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.failing && self.warm == 0
    }

    /// Whether it can take a job with this target now.
    #[must_use]
    pub fn serves(&self, target: &str) -> bool {
        // A pool without any actor starts one when it is given work.
        let able = self.warm > 0 || self.wanted == 0;
        let paused = self.paused.iter().any(|p| p == target);
        able && !paused && self.ability.targets.iter().any(|t| t == target)
    }
}

fn pool(status: &PoolStatus) -> PoolReport {
    let count = |phases: &[ActorPhase]| {
        let actors = status.actors.iter();
        let count = actors.filter(|a| phases.contains(&a.phase)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    let waiting = Lane::ALL.map(|lane| status.lanes[lane]);
    let estimates = status.decision.as_ref().map(|d| d.inputs.estimates);
    let estimates = estimates.unwrap_or_default();
    let oldest = [Lane::Interactive, Lane::Normal].map(|lane| status.lanes[lane].oldest_ms);
    let estimated = (estimates.prompt_delay_seconds * 1e3) as u64;
    PoolReport {
        model: status.model_id.clone(),
        engine: status.engine.clone(),
        ability: PoolCapability::of(status.ability.as_ref()),
        actors: u32::try_from(status.actors.len()).unwrap_or(u32::MAX),
        warm: count(&[ActorPhase::Idle, ActorPhase::Busy]),
        busy: count(&[ActorPhase::Busy]),
        space: status.space.clone(),
        wanted: status.wanted,
        bounds: status.bounds,
        backlog_segments: waiting.iter().map(|lane| lane.segments as u64).sum(),
        backlog_tokens: waiting.iter().map(|lane| lane.tokens).sum(),
        delay_ms: oldest.into_iter().max().unwrap_or(0).max(estimated),
        tokens_per_second: estimates.completed_tokens_per_second,
        tokens_per_second_of_an_actor: estimates.service_tokens_per_second,
        translated: status.translated,
        failed: status.failed,
        failing: status.failing.is_some(),
        paused: status
            .held
            .targets
            .iter()
            .map(ToString::to_string)
            .collect(),
        guests: u32::try_from(status.guests.len()).unwrap_or(u32::MAX),
        offer: status.offer,
    }
}

fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_ascii_whitespace().next();
    first.and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

fn own_memory() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = text
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A node with one warm pool for these targets.
    pub(in crate::status) fn report(targets: &[&str]) -> NodeReport {
        let targets = targets.iter().map(|t| (*t).to_owned()).collect();
        let ability = PoolCapability {
            sources: vec!["en".to_owned()],
            targets,
            tier: ModelType::Basic,
        };
        NodeReport {
            serial: 1,
            version: "0.1.0".to_owned(),
            cores: 2,
            pools: vec![PoolReport {
                model: "m".to_owned(),
                engine: "fake".to_owned(),
                ability,
                actors: 1,
                warm: 1,
                bounds: [1, 2],
                tokens_per_second_of_an_actor: 500.0,
                space: "s".to_owned(),
                ..PoolReport::default()
            }],
            ..NodeReport::default()
        }
    }

    #[test]
    fn a_report_travels_in_its_short_form_and_as_json() {
        let report = report(&["fr", "de"]);
        let bytes = postcard::to_stdvec(&report).unwrap();
        assert!(bytes.len() < 200, "{} bytes", bytes.len());
        assert_eq!(postcard::from_bytes::<NodeReport>(&bytes).unwrap(), report);
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<NodeReport>(&json).unwrap(), report);
    }

    #[test]
    fn mere_numbers_of_work_can_wait_and_actors_cannot() {
        let before = report(&["fr"]);
        let mut busy = before.clone();
        busy.pools[0].backlog_tokens = 900;
        busy.uptime_ms = 5;
        assert!(!busy.differs(&before));
        let mut grown = before.clone();
        grown.pools[0].actors = 2;
        assert!(grown.differs(&before));
    }
}
