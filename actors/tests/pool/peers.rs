//! Peers that behave as they are told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use babelmesh_actors::{
    engine::{Completeness, EngineBatch, Segment, Translation},
    offload::{Offer, OffloadRequest, PeerError, PeerLink, PeerOffer, Peers},
    pool::PoolMessage,
};
use ractor::ActorRef;
use tokio::sync::oneshot;

use crate::bench::WARM_UP;

/// What a peer does with a batch.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// It is done after this time.
    Takes(Duration),
    /// Nothing comes back.
    Hangs,
    /// The warm-up is done, everything else is refused.
    Refuses,
    /// A batch with this text makes its engine fail; others are done at once.
    FailsOn(&'static str),
    /// A pool does it.
    Pool(ActorRef<PoolMessage>),
}

#[derive(Default)]
pub(crate) struct Seen {
    /// Batches that the peer has.
    pub(crate) in_flight: usize,
    /// Most batches that it ever had at once.
    pub(crate) most: usize,
    /// Texts that it was given, the warm-up excepted.
    pub(crate) texts: Vec<String>,
    /// Batches that were taken back before there was an answer.
    pub(crate) taken_back: usize,
}

pub(crate) struct FakePeer {
    pub(crate) behaviour: Mutex<Behaviour>,
    pub(crate) seen: Mutex<Seen>,
}

#[derive(Default)]
pub(crate) struct FakePeers {
    offers: Mutex<Vec<PeerOffer>>,
    peers: Mutex<HashMap<String, Arc<FakePeer>>>,
}

impl FakePeers {
    pub(crate) fn join(&self, node: &str, credits: u32, behaviour: Behaviour) -> Arc<FakePeer> {
        let peer = Arc::new(FakePeer {
            behaviour: Mutex::new(behaviour),
            seen: Mutex::default(),
        });
        let mut peers = self.peers.lock().unwrap();
        peers.insert(node.to_owned(), Arc::clone(&peer));
        self.offers.lock().unwrap().push(PeerOffer {
            node: Arc::from(node),
            offer: Offer {
                credits,
                tokens_per_second: 1_000.0,
                ..Offer::default()
            },
            round_trip: Duration::from_millis(1),
        });
        peer
    }

    /// The peer is unreachable.
    pub(crate) fn leave(&self, node: &str) {
        self.offers.lock().unwrap().retain(|o| &*o.node != node);
    }

    pub(crate) fn offer(&self, node: &str, credits: u32) {
        let mut offers = self.offers.lock().unwrap();
        let offer = offers.iter_mut().find(|offer| &*offer.node == node);
        offer.unwrap().offer.credits = credits;
    }
}

impl Peers for FakePeers {
    fn offers(&self, _: &str) -> Vec<PeerOffer> {
        self.offers.lock().unwrap().clone()
    }

    fn link(&self, _: &str, node: &str) -> Option<Box<dyn PeerLink>> {
        let peer = self.peers.lock().unwrap().get(node).cloned()?;
        Some(Box::new(FakeLink(peer)))
    }
}

struct FakeLink(Arc<FakePeer>);

/// Counts a batch for as long as somebody waits for it.
struct Count {
    peer: Arc<FakePeer>,
    answered: bool,
}

impl Count {
    fn new(peer: &Arc<FakePeer>) -> Self {
        let mut seen = peer.seen.lock().unwrap();
        seen.in_flight += 1;
        seen.most = seen.most.max(seen.in_flight);
        Self {
            peer: Arc::clone(peer),
            answered: false,
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let mut seen = self.peer.seen.lock().unwrap();
        seen.in_flight -= 1;
        seen.taken_back += usize::from(!self.answered);
    }
}

#[async_trait]
impl PeerLink for FakeLink {
    async fn translate(&mut self, batch: EngineBatch) -> Result<Vec<Translation>, PeerError> {
        let mut count = Count::new(&self.0);
        let warm_up = batch.segments.iter().all(|s| s.text == WARM_UP);
        if !warm_up {
            let texts = batch.segments.iter().map(|segment| segment.text.clone());
            self.0.seen.lock().unwrap().texts.extend(texts);
        }
        let behaviour = self.0.behaviour.lock().unwrap().clone();
        let answer = match behaviour {
            _ if warm_up => Ok(translated(batch.segments)),
            Behaviour::Takes(time) => {
                tokio::time::sleep(time).await;
                Ok(translated(batch.segments))
            }
            Behaviour::Hangs => std::future::pending().await,
            Behaviour::Refuses => Err(PeerError::Busy),
            Behaviour::FailsOn(text) => {
                if batch.segments.iter().any(|s| s.text.contains(text)) {
                    Err(PeerError::Failed("it was told to".to_owned()))
                } else {
                    Ok(translated(batch.segments))
                }
            }
            Behaviour::Pool(pool) => {
                let (reply, answer) = oneshot::channel();
                let from = Arc::from("here");
                let loan = OffloadRequest {
                    space: String::new(),
                    from,
                    segments: batch.segments,
                    span: batch.span,
                    reply,
                };
                let gone = || PeerError::Gone("the pool is gone".to_owned());
                pool.cast(PoolMessage::Lend(loan)).map_err(|_| gone())?;
                answer.await.map_err(|_| gone())?
            }
        };
        count.answered = true;
        answer
    }
}

fn translated(segments: Vec<Segment>) -> Vec<Translation> {
    let translation = |segment: Segment| Translation {
        text: format!("{}:{}", segment.target, segment.text),
        score: -0.1,
        input_tokens: 5,
        output_tokens: 5,
        completeness: Completeness::Whole,
        alignment: None,
        alternatives: Vec::new(),
    };
    segments.into_iter().map(translation).collect()
}
