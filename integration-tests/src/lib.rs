//! A sandbox for tests of whole nodes.
//!
//! Tests start real nodes, in their own process ([`LocalNode`]) or as child processes ([`ProcessNode`]), talk to them as a
//! [`Backend`] does, through Kafka topics and nothing else, and compare the *set* of ids that went in with the *multiset* of ids
//! that came out ([`Ids`]): a count alone would let a repetition hide a loss. Tests of what only real brokers can show start some ([`Kafka`]). Engines that misbehave on demand are played by the
//! `faulty-engine` executable (see [`faults`]); what it did to itself or was done to it is looked up in `/proc`
//! ([`processes`]), so that a fault test knows that its fault really happened.
//!
//! Everything here panics when it does not get what it wants: it is for tests.

#![forbid(unsafe_code)]

mod backend;
mod broker;
mod chance;
pub mod chat_server;
pub mod clients;
mod collector;
pub mod corpus;
pub mod engine;
mod events;
pub mod executables;
pub mod faults;
pub mod http;
mod ids;
mod kafka;
mod local;
mod network;
mod process;
pub mod processes;
pub mod real_models;
pub mod rebalances;
mod redis;
pub mod registry;
mod report;
mod sandbox;
mod share;
mod standard_input;
mod topic;
mod traffic;
mod turn;

use std::{
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

pub use backend::{Backend, request};
pub use broker::Broker;
pub use chance::SeededRng;
pub use collector::{Collector, Span};
pub use events::Events;
pub use ids::{Answer, Ids};
pub use kafka::{Cluster, Kafka, Operation, Resource, Security, User, block_on};
pub use local::LocalNode;
pub use network::Network;
pub use process::{ProcessNode, meet};
pub use redis::Redis;
pub use report::{is_long, measured, skip};
pub use sandbox::{COOKIE, Sandbox, Settings, repository};
pub use share::Share;
pub use standard_input::piped;
pub use topic::{Record, TopicReader, TopicWriter};
pub use traffic::{Running, Traffic};
pub use turn::MachineLock;

/// How long a test waits for what must happen, unless it says otherwise. Generous: a machine that runs tests is busy.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Currently unused addresses. No two of them are the same.
#[must_use]
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    // All are held until all are known.
    let listeners =
        [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("there are free ports"));
    listeners
        .each_ref()
        .map(|listener| listener.local_addr().expect("it is bound"))
}

/// A currently unused address.
#[must_use]
pub fn free_address() -> SocketAddr {
    let [address] = free_addresses();
    address
}

/// Looks again and again until there is something; panics when there is nothing in time.
pub fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            started.elapsed() < within,
            "waited {} s in vain: {what}",
            within.as_secs_f32()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// [`wait_for`] something to be true.
pub fn wait_until(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    wait_for(what, within, || is_so().then_some(()));
}
