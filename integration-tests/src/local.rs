//! A node in the process of the test.

use std::{path::PathBuf, sync::Arc, time::Duration};

use babelmesh::{
    kafka::{client::Clients, topics::TopicNames},
    node::{Node, NodeStatus, ask},
};
use babelmesh_actors::pool::PoolStatus;
use tokio::runtime::Runtime;

use crate::{Backend, Events, PATIENCE, Settings, http::HttpClient, wait_for};

/// A node with a runtime of its own. It is drained when dropped.
pub struct LocalNode {
    runtime: Runtime,
    node: Option<Node>,
    events: Arc<Events>,
    socket: PathBuf,
    topics: TopicNames,
}

impl LocalNode {
    /// Starts a node and waits until it is ready.
    #[must_use]
    pub fn start(settings: &Settings) -> Self {
        let this = Self::start_cold(settings);
        this.wait_ready(PATIENCE);
        this
    }

    /// Starts a node.
    #[must_use]
    pub fn start_cold(settings: &Settings) -> Self {
        let config = settings.config();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let events = Arc::new(Events::default());
        let observer = Arc::clone(&events);
        let node = match runtime.block_on(Node::start(&config, observer)) {
            Ok(node) => node,
            Err(error) => panic!("starting a node: {error:#}"),
        };
        let socket = config
            .status
            .socket
            .expect("every sandbox names the socket");
        Self {
            runtime,
            node: Some(node),
            events,
            socket,
            topics: config.kafka.topics,
        }
    }

    /// Waits until the node reads and its pools are warm.
    pub fn wait_ready(&self, within: Duration) {
        if let Err(error) = self.runtime.block_on(self.node().ready(within)) {
            panic!("{error:#}; {:?}", self.events.failures());
        }
    }

    /// What its actors say.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Clients for its brokers.
    #[must_use]
    pub fn clients(&self) -> &Clients {
        self.node().clients()
    }

    /// A backend of its cluster.
    #[must_use]
    pub fn backend(&self) -> Backend {
        Backend::of(self.clients(), self.topics.clone())
    }

    /// What the node says of itself on its socket.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        match ask(&self.socket) {
            Ok(status) => status,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// A client of its HTTP edge.
    #[must_use]
    pub fn http(&self) -> HttpClient {
        HttpClient(self.node().http().expect("the node was told to listen"))
    }

    /// What `/ready` misses: nothing, and only then, with status 200.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let answer = self.http().get("/ready");
        let missing = answer.json()["missing"].clone();
        let missing: Vec<String> =
            serde_json::from_value(missing).expect("what is missing is a list of texts");
        assert_eq!(answer.status == 200, missing.is_empty(), "{answer:?}");
        missing
    }

    /// Its only pool.
    #[must_use]
    pub fn pool(&self) -> PoolStatus {
        let mut pools = self.status().pools;
        assert_eq!(pools.len(), 1, "the pool answers");
        pools.remove(0)
    }

    /// Waits until exactly so many actors are there, all of them warm; returns the processes of their engines.
    pub fn wait_for_strength(&self, actors: usize) -> Vec<u32> {
        wait_for("the pool is at strength", PATIENCE, || {
            let pool = self.pool();
            let warm = pool
                .actors
                .iter()
                .filter(|actor| actor.phase.is_warm())
                .count();
            let whole = warm == actors && pool.actors.len() == actors;
            whole.then(|| pool.actors.iter().filter_map(|actor| actor.pid).collect())
        })
    }

    /// Has the node finish what it has and end. Its broker ends with it.
    pub fn drain(mut self) -> Arc<Events> {
        self.end();
        Arc::clone(&self.events)
    }

    fn end(&mut self) {
        if let Some(node) = self.node.take() {
            self.runtime.block_on(node.drain());
        }
    }

    fn node(&self) -> &Node {
        self.node
            .as_ref()
            .expect("the node is there until it is drained")
    }
}

impl Drop for LocalNode {
    fn drop(&mut self) {
        self.end();
    }
}
