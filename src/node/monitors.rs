//! Periodic checks of a node.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use babelmesh_actors::{
    domain::Language,
    events::{Event, Observer},
};
use tokio::{sync::Notify, task::JoinHandle, time::timeout};

use super::{
    actors::{self, PoolLags},
    languages::Languages,
    pools::Pools,
    source::Sources,
};
use crate::{kafka::topics::TopicNames, telemetry::events::NodeEvent};

/// Interval of lag updates to pools.
const LAG_TICK: Duration = Duration::from_secs(1);
/// How often the readers of topics are looked at.
const READERS_TICK: Duration = Duration::from_secs(5);
/// How often is looked at least whether models can be loaded.
const MODELS_TICK: Duration = Duration::from_secs(10);

/// Notices when a pool breaks or works again.
#[derive(Default)]
pub(super) struct Conditions(Notify);

impl Observer for Conditions {
    fn observe(&self, event: &Event) {
        if let Event::PoolBroken { .. } | Event::PoolRestored { .. } = event {
            self.0.notify_one();
        }
    }
}

/// Tells the pools what is unread, from now on.
pub(super) fn lag(
    topics: &TopicNames,
    served: Vec<Language>,
    sources: Sources,
    lags: PoolLags,
) -> JoinHandle<()> {
    let topics = topics.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(LAG_TICK);
        loop {
            tick.tick().await;
            let unread: HashMap<Language, u64> = served
                .iter()
                .map(|target| (*target, sources.unread(&topics, *target)))
                .collect();
            lags.set(|target| unread.get(&target).copied().unwrap_or(0));
        }
    })
}

/// Says when a reader of topics is blocked, and when it goes on.
pub(super) fn blocked_readers(sources: Sources) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(READERS_TICK);
        let mut before = BTreeMap::<String, String>::new();
        loop {
            tick.tick().await;
            let blocked = sources.blocked().into_iter();
            let blocked: BTreeMap<_, _> = blocked.map(|p| (p.topic, p.problem)).collect();
            for (topic, problem) in &blocked {
                if !before.contains_key(topic) {
                    NodeEvent::TopicUnusable { topic, problem }.emit();
                }
            }
            for topic in before.keys().filter(|topic| !blocked.contains_key(*topic)) {
                NodeEvent::TopicUsable { topic }.emit();
            }
            before = blocked;
        }
    })
}

/// Leaves languages to other nodes for as long as no model of this node that writes them can be loaded.
pub(super) fn broken_models(
    pools: Arc<Pools>,
    languages: Arc<Languages>,
    conditions: Arc<Conditions>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let entries = pools.all();
            let asked = entries.iter().map(|entry| actors::status(&entry.pool));
            let told = futures_util::future::join_all(asked).await;
            let broken = told.into_iter().flatten().filter(|pool| pool.broken);
            let broken: BTreeSet<String> = broken.map(|pool| pool.model_id).collect();
            languages.set_broken(broken);
            // Idle pools are left alone for as long as nothing happens.
            let _ = timeout(MODELS_TICK, conditions.0.notified()).await;
        }
    })
}
