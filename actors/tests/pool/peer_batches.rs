//! Batches of peers: processed behind own work, within the offer, and answered once.

use std::{sync::Arc, time::Duration};

use babelmesh_actors::{
    cache::CacheSpace,
    engine::{FakeSpec, Segment, Translation},
    events::Event,
    offload::{OffloadRequest, PeerError},
    pool::{PoolMessage, PoolSpec},
};
use tokio::{sync::oneshot, time::timeout};

use crate::bench::{Bench, LONG, failed, mark, texts, warm};

type Answer = oneshot::Receiver<Result<Vec<Translation>, PeerError>>;

fn two(spec: &mut PoolSpec) {
    spec.batch.items = 4;
    spec.offload.target_delay_ms = 1_000;
}

fn takes(millis: u64) -> FakeSpec {
    FakeSpec {
        batch_us: millis * 1_000,
        ..FakeSpec::default()
    }
}

async fn lender(fake: FakeSpec) -> Bench {
    let bench = Bench::start(fake, two).await;
    bench
        .until("nothing is offered", |status| {
            warm(status) == 2 && status.offer.credits == 2
        })
        .await;
    bench
}

fn lend(bench: &Bench, texts: &[&str]) -> Answer {
    lend_in(String::new(), bench, texts)
}

/// Lends a batch of a pool whose translations depend on this.
fn lend_in(space: String, bench: &Bench, texts: &[&str]) -> Answer {
    let (reply, answer) = oneshot::channel();
    let segment = |text: &&str| Segment {
        text: (*text).to_owned(),
        source: "en".to_owned(),
        target: "fr".to_owned(),
        align: false,
        alternatives: 0,
    };
    let loan = OffloadRequest {
        space,
        from: Arc::from("node-hot"),
        segments: texts.iter().map(segment).collect(),
        span: None,
        reply,
    };
    bench.pool.cast(PoolMessage::Lend(loan)).unwrap();
    answer
}

async fn answer(answer: Answer) -> Result<Vec<String>, PeerError> {
    let answer = timeout(LONG, answer).await.expect("no answer came");
    let texts = |all: Vec<Translation>| all.into_iter().map(|t| t.text).collect();
    answer.expect("the reply was dropped").map(texts)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peers_batch_is_translated_in_order_and_is_no_job_of_the_pool() {
    let bench = lender(takes(5)).await;
    let texts = answer(lend(&bench, &["One.", "Two.", "Three."])).await;
    assert_eq!(texts.unwrap(), ["fr:One.", "fr:Two.", "fr:Three."]);
    let status = bench.status().await;
    assert_eq!((status.loans.batches, status.loans.refused), (1, 0));
    assert_eq!((status.translated, status.jobs), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_is_offered_is_refused_at_once() {
    let bench = lender(takes(200)).await;
    let answers: Vec<_> = (0..5).map(|_| lend(&bench, &["A text."])).collect();
    let mut results = Vec::new();
    for it in answers {
        results.push(answer(it).await);
    }
    let refused = results.iter().filter(|r| **r == Err(PeerError::Busy));
    assert_eq!(refused.count(), 3, "{results:?}");
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_cannot_be_is_refused() {
    let bench = lender(takes(5)).await;
    let long = "word ".repeat(5_000);
    for texts in [&[][..], &["a"; 5][..], &[&*long][..]] {
        let result = answer(lend(&bench, texts)).await;
        assert!(
            matches!(result, Err(PeerError::Unsuitable(_))),
            "{result:?}"
        );
    }
}

/// Both actors get a batch, then a peer's batch comes, then more of the pool's own.
async fn lend_in_the_middle(bench: &mut Bench) -> Answer {
    bench.offer(texts(8));
    bench
        .until("actors are not busy", |status| status.jobs == 8)
        .await;
    let answer = lend(bench, &["A text."]);
    bench
        .until("it does not wait", |status| status.loans.queued == 1)
        .await;
    bench.offer(texts(92));
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn own_work_goes_first_and_a_peers_batch_has_its_share() {
    let mut bench = lender(takes(100)).await;
    let lent = lend_in_the_middle(&mut bench).await;
    assert_eq!(answer(lent).await.unwrap(), ["fr:A text."]);
    assert!(bench.settle().await.is_empty());
    let seen = bench.seen();
    let before = seen.iter().position(|(_, text)| text == "A text.");
    // Two batches of four, and eight more.
    assert!((40..100).contains(&before.unwrap()), "after {before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_batch_that_waits_too_long_is_returned() {
    let bench = Bench::start(takes(100), |spec| {
        two(spec);
        spec.offload.lend_timeout_ms = 150;
    });
    let mut bench = bench.await;
    bench
        .until("nothing is offered", |status| status.offer.credits == 2)
        .await;
    let lent = lend_in_the_middle(&mut bench).await;
    assert_eq!(answer(lent).await, Err(PeerError::Busy));
    assert!(bench.settle().await.is_empty());
    assert!(bench.seen().iter().all(|(_, text)| text != "A text."));
    assert_eq!(bench.status().await.loans.refused, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_peer_batch_leaves_the_backlog() {
    let mut bench = lender(takes(300)).await;
    // Both actors are busy, and the offer is not looked at anew yet.
    bench.offer(texts(8));
    bench
        .until("actors are not busy", |status| status.jobs == 8)
        .await;
    let kept = lend(&bench, &["Kept."]);
    let dropped = lend(&bench, &["Dropped."]);
    bench
        .until("they do not wait", |status| status.loans.queued == 2)
        .await;
    drop(dropped);
    assert_eq!(answer(kept).await.unwrap(), ["fr:Kept."]);
    bench
        .until("it is still there", |status| status.loans.queued == 0)
        .await;
    assert!(bench.settle().await.is_empty());
    assert!(bench.seen().iter().all(|(_, text)| text != "Dropped."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_crashes_the_engine_is_answered_and_not_tried_again() {
    let fake = FakeSpec {
        crash_on: mark("[[crash]]"),
        ..takes(5)
    };
    let mut bench = lender(fake).await;
    let result = answer(lend(&bench, &["Fine.", "A [[crash]]."])).await;
    assert!(matches!(result, Err(PeerError::Failed(_))), "{result:?}");
    assert_eq!(bench.count(failed), 1);
    assert_eq!(
        bench.count(|event| matches!(event, Event::TextPoisoned { .. })),
        0
    );
    bench.offer(texts(20));
    assert!(bench.settle().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_closes_gives_back_what_waits_and_takes_no_more() {
    let mut bench = lender(takes(300)).await;
    bench.offer(texts(8));
    bench
        .until("actors are not busy", |status| status.jobs == 8)
        .await;
    let waiting = lend(&bench, &["A text."]);
    let drain = |reply| PoolMessage::Drain(reply);
    let pool = bench.pool.clone();
    let drained = tokio::spawn(async move { pool.call(drain, Some(LONG)).await });
    assert_eq!(answer(waiting).await, Err(PeerError::Closing));
    let refused = answer(lend(&bench, &["A text."])).await;
    assert_eq!(refused, Err(PeerError::Closing));
    assert!(drained.await.unwrap().is_ok());
    assert!(bench.settle().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_pool_offers_nothing() {
    let mut bench = lender(takes(50)).await;
    // 160 texts a second are all that two actors do.
    for _ in 0..20 {
        bench.offer(texts(14));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bench.status().await.offer.credits, 0);
    assert!(bench.settle().await.is_empty());
}

#[tokio::test]
async fn a_batch_of_another_space_is_refused_and_one_of_the_same_is_done() {
    let space = CacheSpace::new(["model", "beam 4"]);
    let other = CacheSpace::new(["model", "beam 1"]);
    let with_space = |spec: &mut PoolSpec| {
        two(spec);
        spec.space = Some(space.clone());
    };
    let bench = Bench::start(takes(1), with_space).await;
    bench
        .until("nothing is offered", |status| {
            warm(status) == 2 && status.offer.credits == 2
        })
        .await;
    let status = bench.status().await;
    let numeric = status.actors[0].numeric.clone().unwrap();
    assert_eq!(status.space, space.digest(&numeric));
    for refused in [String::new(), other.digest(&numeric), space.digest("other")] {
        let answer = answer(lend_in(refused, &bench, &["One."])).await;
        assert!(
            matches!(answer, Err(PeerError::Unsuitable(_))),
            "{answer:?}"
        );
    }
    let done = answer(lend_in(status.space, &bench, &["One."])).await;
    assert!(done.is_ok(), "{done:?}");
}
