//! Offload to peers: every order has exactly one outcome, whatever happens to a peer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use babelmesh_actors::{
    domain::{ErrorCode, Priority},
    engine::FakeSpec,
    events::Event,
    offload::OffloadReason,
    pool::{PoolSpec, PoolStatus},
    retry::RetryPolicy,
};
use tokio::time::Instant;

use crate::{
    bench::{Bench, failed, mark, texts, warm},
    peers::{Behaviour, FakePeers},
};

const TICK: Duration = Duration::from_millis(5);
const SOON: Behaviour = Behaviour::Takes(Duration::from_millis(20));

/// One own actor that does 80 texts a second, and may have no more.
fn slow() -> FakeSpec {
    FakeSpec {
        batch_us: 50_000,
        ..FakeSpec::default()
    }
}

fn small(spec: &mut PoolSpec) {
    spec.bounds.min = 1;
    spec.bounds.max = 1;
    spec.batch.items = 4;
    spec.offload.target_delay_ms = 100;
    spec.offload.sustain_ms = 100;
    spec.offload.cooldown_ms = 300;
}

async fn hot(peers: &Arc<FakePeers>, fake: FakeSpec) -> Bench {
    let retry = RetryPolicy {
        attempts: 0,
        ..RetryPolicy::default()
    };
    let bench = Bench::start_among(fake, retry, Arc::clone(peers) as _, small).await;
    bench
        .until("no actor is warm", |status| warm(status) == 1)
        .await;
    bench
}

const fn guest_failed(event: &Event) -> bool {
    matches!(event, Event::RemoteWorkerFailed { .. })
}

fn workers(bench: &Bench) -> BTreeMap<String, usize> {
    let mut workers = BTreeMap::new();
    for outcome in bench.outcomes.0.lock().unwrap().iter() {
        if let Ok(translated) = &outcome.result {
            *workers.entry(translated.worker.to_string()).or_default() += 1;
        }
    }
    workers
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(TICK).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_help_a_hot_pool_within_their_credits_and_are_named_in_results() {
    let peers = Arc::new(FakePeers::default());
    let b = peers.join("node-b", 1, SOON);
    let c = peers.join("node-c", 2, SOON);
    let mut bench = hot(&peers, slow()).await;
    bench.offer(texts(600));
    bench
        .until("no guest came", |status| {
            status.guests.len() == 3 && status.offload == OffloadReason::Helped
        })
        .await;
    let status = bench.status().await;
    assert_eq!(status.actors.len(), 1, "guests are no actors of the pool");
    let scaled = status.decision.unwrap().inputs;
    assert_eq!((scaled.owned, scaled.warm), (1, 1));
    assert_eq!(status.offer.credits, 0, "who is helped offers nothing");
    assert!(bench.settle().await.is_empty());
    assert_eq!(b.seen.lock().unwrap().most, 1);
    assert_eq!(c.seen.lock().unwrap().most, 2);
    let workers = workers(&bench);
    let at = |node: &str| workers.keys().filter(|name| name.ends_with(node)).count();
    assert_eq!((at("@node-b"), at("@node-c")), (1, 2), "{workers:?}");
    assert!(workers.contains_key("fake-model/1"), "{workers:?}");
    // All remote workers are released when the work is done.
    bench
        .until("guests are still there", |status| status.guests.is_empty())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_keeps_up_does_not_offload() {
    let peers = Arc::new(FakePeers::default());
    let peer = peers.join("node-b", 4, SOON);
    let mut bench = hot(&peers, slow()).await;
    for _ in 0..20 {
        bench.offer(texts(2));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert!(bench.settle().await.is_empty());
    assert!(peer.seen.lock().unwrap().texts.is_empty());
    assert_eq!(
        bench.count(|e| matches!(e, Event::RemoteWorkerStarted { .. })),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interactive_job_gets_a_local_actor() {
    let peers = Arc::new(FakePeers::default());
    let peer = peers.join("node-b", 1, SOON);
    let retry = RetryPolicy::default();
    let late = |spec: &mut PoolSpec| {
        small(spec);
        spec.offload.target_delay_ms = 1_500;
    };
    let mut bench = Bench::start_among(slow(), retry, Arc::clone(&peers) as _, late).await;
    bench.offer(texts(600));
    bench
        .until("no guest came", |status| status.guests.len() == 1)
        .await;
    for number in 0..10 {
        bench.offer_with([format!("Urgent message {number}.")], |request| {
            request.priority = Some(Priority::High);
        });
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert!(bench.settle().await.is_empty());
    let given = peer.seen.lock().unwrap().texts.clone();
    assert!(!given.is_empty(), "the peer did not help");
    assert!(given.iter().all(|text| !text.starts_with("Urgent")));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_a_vanished_peer_are_done_once_and_late_answers_are_ignored() {
    let peers = Arc::new(FakePeers::default());
    let late = Behaviour::Takes(Duration::from_millis(900));
    let peer = peers.join("node-b", 2, late);
    let mut bench = hot(&peers, slow()).await;
    bench.offer(texts(300));
    until("the peer got nothing", || {
        peer.seen.lock().unwrap().texts.len() >= 8
    })
    .await;
    peers.leave("node-b");
    until("nothing was taken back", || {
        peer.seen.lock().unwrap().taken_back == 2
    })
    .await;
    assert!(bench.settle().await.is_empty());
    assert_eq!(bench.count(guest_failed), 2);
    assert_eq!(bench.count(failed), 0, "no own actor failed");
    let given = peer.seen.lock().unwrap().texts.clone();
    let done: Vec<_> = bench.seen().into_iter().map(|(_, text)| text).collect();
    assert!(given.iter().all(|text| done.contains(text)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_silent_peer_is_recalled_and_the_peer_enters_cooldown() {
    let peers = Arc::new(FakePeers::default());
    let peer = peers.join("node-b", 1, Behaviour::Hangs);
    let mut bench = hot(&peers, slow()).await;
    bench.offer(texts(500));
    bench
        .until("it is not left alone", |status| {
            status.offload == OffloadReason::HeldOff
        })
        .await;
    assert!(bench.settle().await.is_empty());
    let seen = peer.seen.lock().unwrap();
    assert_eq!((seen.texts.len(), seen.taken_back), (4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_refuses_costs_nothing_but_a_trip() {
    let peers = Arc::new(FakePeers::default());
    let peer = peers.join("node-b", 2, Behaviour::Refuses);
    let mut bench = hot(&peers, slow()).await;
    bench.offer(texts(300));
    assert!(bench.settle().await.is_empty());
    let refused = bench.count(guest_failed);
    assert!((1..=12).contains(&refused), "{refused} refusals in 4 s");
    assert_eq!(peer.seen.lock().unwrap().texts.len(), 4 * refused);
    let status = bench.status().await;
    assert_eq!(status.failing, None, "no reason for a restart");
    assert_eq!(bench.count(failed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_worker_that_slows_the_pool_down_is_stopped() {
    let peers = Arc::new(FakePeers::default());
    let peer = peers.join("node-b", 1, Behaviour::Takes(Duration::from_millis(600)));
    let mut bench = hot(&peers, slow()).await;
    bench.offer(texts(700));
    until("it was not tried", || {
        peer.seen.lock().unwrap().texts.len() >= 12
    })
    .await;
    bench
        .until("it is still there", |status| status.guests.is_empty())
        .await;
    assert_eq!(bench.status().await.offload, OffloadReason::HeldOff);
    assert!(bench.settle().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_shrinks_is_respected() {
    let peers = Arc::new(FakePeers::default());
    let peer = peers.join("node-b", 3, SOON);
    let mut bench = hot(&peers, slow()).await;
    bench.offer(texts(800));
    bench
        .until("no guests came", |status| status.guests.len() == 3)
        .await;
    peers.offer("node-b", 1);
    let staying = |status: &PoolStatus| status.guests.len() == 1;
    bench.until("all stay", staying).await;
    peer.seen.lock().unwrap().most = 0;
    assert!(bench.settle().await.is_empty());
    assert_eq!(peer.seen.lock().unwrap().most, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_crashes_engines_is_found_by_own_actors_and_ends_alone() {
    let peers = Arc::new(FakePeers::default());
    let peer = peers.join("node-b", 2, Behaviour::FailsOn("[[crash]]"));
    let fake = FakeSpec {
        crash_on: mark("[[crash]]"),
        ..slow()
    };
    let mut bench = hot(&peers, fake).await;
    bench.offer(texts(150));
    bench.offer(["This is [[crash]] it.".to_owned()]);
    bench.offer(texts(150));
    let errors = bench.settle().await;
    assert_eq!(
        errors,
        BTreeMap::from([("151".to_owned(), ErrorCode::PoisonText)])
    );
    assert!(bench.count(failed) >= 3, "own actors found it");
    let seen = peer.seen.lock().unwrap();
    assert!(!seen.texts.is_empty(), "the peer helped");
    let crashed = seen
        .texts
        .iter()
        .filter(|t| t.contains("[[crash]]"))
        .count();
    assert!(crashed <= 1, "it was given to peers {crashed} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_pools_do_more_than_one_and_every_text_once() {
    let peers = Arc::new(FakePeers::default());
    let mut lenders = Vec::new();
    for node in ["node-b", "node-c"] {
        let lender = Bench::start(slow(), small).await;
        lender
            .until("nothing is offered", |status| status.offer.credits == 1)
            .await;
        peers.join(node, 1, Behaviour::Pool(lender.pool.clone()));
        lenders.push(lender);
    }
    let mut bench = hot(&peers, slow()).await;
    let started = Instant::now();
    bench.offer(texts(800));
    assert!(bench.settle().await.is_empty());
    let took = started.elapsed().as_secs_f64();
    // One actor alone needs 10 s.
    assert!(took < 10.0 / 1.8, "{took} s");
    let seen: usize = lenders.iter().map(|lender| lender.seen().len()).sum();
    assert_eq!(bench.seen().len() + seen, 800, "each text was done once");
    let lent: u64 = workers(&bench)
        .iter()
        .filter(|(name, _)| name.contains('@'))
        .map(|(_, jobs)| *jobs as u64)
        .sum();
    assert_eq!(lent, seen as u64);
}
