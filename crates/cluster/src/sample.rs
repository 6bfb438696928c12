//! Reports for tests.

use babelmesh_actors::domain::ModelType;
use babelmesh_telemetry::status::{NodeReport, PoolCapability, PoolReport};

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
