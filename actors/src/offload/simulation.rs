//! A discrete-event simulation of some nodes with a pool each that may help one another.
//!
//! Messages arrive at each node, wait for a free place (an own actor, or a remote worker at a peer), and travel in batches. A batch for a
//! peer takes half a round trip, waits there behind the peer's own work, and takes half a round trip back. Offers are a
//! second old when others see them, as they are in a cluster. Everything that is decided is decided by
//! [`decide_offload`](super::decide_offload) and [`credits`](super::credits).

mod event_queue;
mod properties;
mod world;

use world::World;

/// Estimated tokens of a message, and most messages of a batch.
const TOKENS: u32 = 16;
const BATCH: usize = 32;
/// Time of a batch whatever is in it, and tokens per second beyond that.
const OVERHEAD: f64 = 0.02;
const SPEED: f64 = 500.0;
const LOOK: f64 = 0.25;
const OFFER_AGE: f64 = 1.0;

#[derive(Debug, Clone)]
struct Scenario {
    /// Messages a second that arrive at each node.
    load: Vec<f64>,
    actors: u32,
    round_trip: f64,
    /// Factor on the speed of each node when it works for others.
    lending_speed: f64,
    seconds: f64,
    borrow: bool,
    /// From when on the second node cannot be reached.
    cut_at: f64,
    seed: u64,
}

impl Scenario {
    fn new(load: &[f64]) -> Self {
        Self {
            load: load.to_vec(),
            actors: 1,
            round_trip: 0.002,
            lending_speed: 1.0,
            seconds: 120.0,
            borrow: true,
            cut_at: f64::INFINITY,
            seed: 7,
        }
    }
}

#[derive(Debug, Default)]
struct Outcome {
    /// Messages done of those that arrived at each node.
    done: Vec<u64>,
    /// Remote workers that were started, and messages that they did.
    workers: u64,
    helped: u64,
    requeued: u64,
    lost: u64,
    doubled: u64,
    mean_delay: f64,
}

fn batch_time(messages: usize) -> f64 {
    OVERHEAD + (messages as f64 * f64::from(TOKENS)) / SPEED
}

fn run(scenario: Scenario) -> Outcome {
    let outcome = World::new(scenario).run();
    assert_eq!((outcome.lost, outcome.doubled), (0, 0), "{outcome:?}");
    outcome
}

/// What one actor does in full batches, in messages a second: about 30.
fn capacity() -> f64 {
    BATCH as f64 / batch_time(BATCH)
}
