//! Transport of offloaded batches: the network between the two ends of [`babelmesh_actors::offload`].

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use babelmesh_actors::{
    engine::{EngineBatch, Translation},
    offload::{PeerError, PeerLink, PeerOffer, Peers},
};
use babelmesh_telemetry::status::PoolReport;
use ractor::rpc::CallResult;

use super::{
    message::{self, Answer, Ask, AskEnvelope, GatewayMessage, Tell, TellEnvelope},
    shared::Shared,
};

/// Longest time for a batch to be answered; pools take batches back much sooner when they take too long.
const LONGEST: Duration = Duration::from_secs(120);

/// The peers of a node, available once it joins the cluster: pools start earlier.
#[derive(Default)]
pub struct DeferredPeers(OnceLock<Arc<Shared>>);

impl DeferredPeers {
    /// From now on there are peers.
    pub(super) fn arrive(&self, shared: Arc<Shared>) {
        // A node joins its cluster once.
        let _ = self.0.set(shared);
    }
}

impl Peers for DeferredPeers {
    fn offers(&self, model: &str) -> Vec<PeerOffer> {
        let Some(shared) = self.0.get() else {
            return Vec::new();
        };
        let own = shared.report().as_ref().and_then(|own| {
            let pool = own.pools.iter().find(|pool| pool.model == model);
            pool.cloned()
        });
        let Some(own) = own else {
            return Vec::new();
        };
        let round_trips = shared.round_trips().clone();
        // Until a trip was measured, a peer is not asked.
        let offers = round_trips.into_iter().filter_map(|(node, round_trip)| {
            let membership_table = shared.membership_table();
            let report = membership_table
                .report_of(&node)
                .filter(|report| !report.draining)?;
            let pool = report.pools.iter().find(|pool| is_same(pool, &own))?;
            Some(PeerOffer {
                offer: pool.offer,
                node: Arc::from(node),
                round_trip,
            })
        });
        offers.collect()
    }

    fn link(&self, model: &str, node: &str) -> Option<Box<dyn PeerLink>> {
        let shared = self.0.get()?;
        shared.gateway_of(node)?;
        Some(Box::new(ClusterLink {
            shared: Arc::clone(shared),
            node: node.to_owned(),
            model: model.to_owned(),
        }))
    }
}

/// Whether two pools give the same translations. A pool that does not know its cache space yet is not compatible with any other.
fn is_same(pool: &PoolReport, own: &PoolReport) -> bool {
    pool.model == own.model && !own.space.is_empty() && pool.space == own.space
}

struct ClusterLink {
    shared: Arc<Shared>,
    node: String,
    model: String,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

#[async_trait]
impl PeerLink for ClusterLink {
    async fn translate(&mut self, batch: EngineBatch) -> Result<Vec<Translation>, PeerError> {
        let gone = || PeerError::Gone(format!("there is no connection to {}", self.node));
        let gateway = self.shared.gateway_of(&self.node).ok_or_else(gone)?;
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let from = self.shared.speaker_to(&self.node).ok_or_else(gone)?;
        let what = Ask::Lend {
            number,
            model: self.model.clone(),
            space: self.shared.space_of(&self.model),
            segments: batch.segments,
            span: batch.span,
        };
        let bytes = message::write(&AskEnvelope { from, what });
        let bytes = bytes.map_err(|error| PeerError::Unsuitable(error.to_string()))?;
        let mut recall = CancelOnDrop {
            link: self,
            told: Some(TellEnvelope {
                from,
                what: Tell::Recall(number),
            }),
        };
        let asked = gateway.call(|reply| GatewayMessage::Ask(bytes, reply), Some(LONGEST));
        let answer = match asked.await {
            Ok(CallResult::Success(answer)) => message::read(&answer),
            Ok(CallResult::Timeout) => return Err(PeerError::TimedOut(LONGEST)),
            Ok(CallResult::SenderError) | Err(_) => return Err(gone()),
        };
        recall.told = None;
        match answer {
            Ok(Answer::Lent(lent)) => lent,
            Ok(Answer::Busy) => Err(PeerError::Busy),
            Ok(Answer::Failed(error)) => Err(PeerError::Failed(error)),
            Ok(_) => Err(PeerError::Protocol("unexpected response".to_owned())),
            Err(error) => Err(PeerError::Protocol(error.to_string())),
        }
    }
}

/// Notifies the peer when a batch is cancelled.
struct CancelOnDrop<'a> {
    link: &'a ClusterLink,
    told: Option<TellEnvelope>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        let Some(bytes) = self.told.take().and_then(|told| message::write(&told).ok()) else {
            return;
        };
        if let Some(gateway) = self.link.shared.gateway_of(&self.link.node) {
            // One that has just gone needs not be told.
            let _ = gateway.cast(GatewayMessage::Tell(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::report;

    #[test]
    fn only_pools_with_the_same_known_space_exchange_batches() {
        let pool = |space: &str| PoolReport {
            space: space.to_owned(),
            ..report(&["fr"]).pools.remove(0)
        };
        assert!(is_same(&pool("a"), &pool("a")));
        assert!(!is_same(&pool("a"), &pool("b")));
        assert!(!is_same(&pool(""), &pool("a")));
        assert!(!is_same(&pool(""), &pool("")));
    }
}
