//! Reports for tests.

use babelmesh_actors::{domain::ModelType, offload::Offer};
use babelmesh_telemetry::status::{NodeReport, PoolCapability, PoolReport, SourceReport};

/// A node with one warm pool for these targets.
pub(crate) fn report(targets: &[&str]) -> NodeReport {
    let targets = targets.iter().map(|t| (*t).to_owned()).collect();
    let ability = PoolCapability {
        sources: vec!["en".to_owned()],
        targets,
        tier: ModelType::Basic,
    };
    NodeReport {
        serial: 1,
        version: "0.1.0".to_owned(),
        uptime_ms: 0,
        draining: false,
        cores: 2,
        load: 0.0,
        memory_bytes: 0,
        languages: Vec::new(),
        pools: vec![PoolReport {
            model: "m".to_owned(),
            engine: "fake".to_owned(),
            ability,
            actors: 1,
            warm: 1,
            busy: 0,
            wanted: 1,
            bounds: [1, 2],
            backlog_segments: 0,
            backlog_tokens: 0,
            delay_ms: 0,
            tokens_per_second: 0.0,
            tokens_per_second_of_an_actor: 500.0,
            translated: 0,
            failed: 0,
            failing: false,
            space: "s".to_owned(),
            paused: Vec::new(),
            guests: 0,
            offer: Offer::default(),
        }],
        requests: SourceReport::default(),
        jobs: SourceReport::default(),
    }
}
