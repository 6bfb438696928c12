//! Segmentation of long texts: on other threads, without delaying others, and with exactly one outcome.

use std::{sync::mpsc, time::Duration};

use babelmesh_actors::{engine::FakeSpec, intake::IntakeMessage};

use crate::{
    bench::{Bench, LONG, texts, warm},
    commands::ask,
};

/// Texts of 15,000 characters or so.
fn long_texts(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|i| format!("Long text {i} has a line like this.\n").repeat(400))
}

/// Whether every text came out whole.
fn assert_whole(bench: &Bench) {
    let outcomes = bench.outcomes.0.lock().unwrap();
    for outcome in outcomes.iter() {
        let translated = &outcome.result.as_ref().unwrap().text;
        assert!(translated.replace("fr:", "") == outcome.order.request.text);
    }
}

#[test]
fn a_long_text_is_segmented_in_the_background_and_delays_no_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut bench = Bench::start(FakeSpec::default(), |_| {}).await;
        bench.until("warm", |status| warm(status) == 2).await;
        // The only thread for such work is taken.
        let (release, held) = mpsc::channel::<()>();
        let taken = tokio::task::spawn_blocking(move || held.recv());
        bench.offer(long_texts(5));
        bench.offer(texts(20));
        let done = || bench.outcomes.0.lock().unwrap().len();
        bench.until("short texts are done", |_| done() >= 20).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(done(), 20, "nobody has cut the long ones");
        drop(release);
        assert!(taken.await.unwrap().is_err());
        assert!(bench.settle().await.is_empty());
        assert_whole(&bench);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn long_texts_that_were_offered_before_are_done_by_a_model_that_is_unloaded() {
    let mut bench = Bench::start(FakeSpec::default(), |_| {}).await;
    bench.offer(long_texts(1).chain(texts(10)).chain(long_texts(10)));
    let unload = |reply| IntakeMessage::Unload {
        model: "fake-model".into(),
        within: LONG,
        reply,
    };
    ask(&bench, unload).await;
    assert!(bench.settle().await.is_empty());
    assert_whole(&bench);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_ends_every_long_text_once() {
    for delay in [0, 1, 5, 20] {
        let mut bench = Bench::start(FakeSpec::default(), |_| {}).await;
        bench.offer(long_texts(20).chain(texts(20)));
        tokio::time::sleep(Duration::from_millis(delay)).await;
        bench.intake.cast(IntakeMessage::StopRetrying).unwrap();
        assert!(bench.settle().await.is_empty());
        assert_whole(&bench);
    }
}
