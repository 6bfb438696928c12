//! Pieces that a model cannot take whole: cut and translated again, never answered with their end missing, never remembered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use babelmesh_actors::{
    cache::{CacheKey, TranslationCache},
    domain::ErrorCode,
    engine::{FakeSpec, Translation},
    events::Event,
    retry::RetryPolicy,
};

use crate::{
    bench::{Bench, LONG, texts},
    peers::{Behaviour, FakePeers},
};

#[derive(Default)]
struct Memory(Mutex<HashMap<CacheKey, Translation>>);

#[async_trait]
impl TranslationCache for Memory {
    fn get(&self, key: &CacheKey) -> Option<Translation> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn ask(&self, _: &[CacheKey]) -> Vec<Option<Translation>> {
        Vec::new()
    }

    fn put(&self, made: Vec<(CacheKey, Translation)>) {
        self.0.lock().unwrap().extend(made);
    }
}

fn takes(max_tokens: u32) -> FakeSpec {
    FakeSpec {
        max_tokens: Some(max_tokens),
        ..FakeSpec::default()
    }
}

fn finishes(max_output_tokens: u32) -> FakeSpec {
    FakeSpec {
        max_output_tokens: Some(max_output_tokens),
        ..FakeSpec::default()
    }
}

fn words(last: &str) -> String {
    let words = ["lumi", "sulaa", "ja", "joet", "virtaavat", "pihan", "yli"];
    let mut text: Vec<_> = words.into_iter().cycle().take(40).collect();
    text.push(last);
    text.join(" ")
}

/// What came of each text: without the marks of the fake it is the text itself. And its number of pieces.
fn translated(bench: &Bench) -> Vec<(String, u32)> {
    let outcomes = bench.outcomes.0.lock().unwrap();
    let mut all: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            let translated = outcome.result.as_ref().unwrap();
            let text = translated.text.replace("fr:", "");
            assert_eq!(text, outcome.order.request.text);
            (text, translated.segments)
        })
        .collect();
    all.sort();
    all
}

fn truncated(bench: &Bench) -> usize {
    bench.count(|event| matches!(event, Event::PiecesTruncated { .. }))
}

async fn remembering(fake: FakeSpec) -> (Bench, Arc<Memory>) {
    let memory = Arc::new(Memory::default());
    let retry = RetryPolicy {
        attempts: 0,
        ..RetryPolicy::default()
    };
    let cache = Some(Arc::clone(&memory) as _);
    let bench = Bench::start_whole(fake, retry, (Arc::new(()), cache), |_| {}).await;
    (bench, memory)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_too_long_for_the_model_is_split_and_keeps_its_end() {
    for fake in [takes(9), finishes(20)] {
        let mut bench = Bench::start(fake, |_| {}).await;
        bench.offer([words("zebra"), words("house"), "Short.".to_owned()]);
        bench.offer(texts(50));
        assert_eq!(bench.settle().await.len(), 0);
        let all = translated(&bench);
        for (text, segments) in all {
            assert_eq!(segments > 4, text.len() > 100, "{text}: {segments}");
        }
        assert!(truncated(&bench) > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_without_end_is_cut_between_its_characters() {
    let mut bench = Bench::start(takes(5), |_| {}).await;
    let consonants: String = "bcdfghjklmnpqrstvwxz".chars().cycle().take(900).collect();
    bench.offer([consonants]);
    assert!(bench.settle().await.is_empty());
    let (_, segments) = translated(&bench).remove(0);
    assert!((45..=180).contains(&segments), "{segments}");
    assert!(bench.seen().len() < 400, "{}", bench.seen().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_cannot_be_split_further_fails_alone() {
    let mut bench = Bench::start(takes(0), |_| {}).await;
    bench.offer([words("zebra"), "a".to_owned()]);
    let errors = bench.settle().await;
    let codes: Vec<_> = errors.into_values().collect();
    assert_eq!(codes, [ErrorCode::TextTooLong; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentence_whose_translation_never_ends_is_kept_and_flagged_and_the_others_are_translated()
{
    let (mut bench, memory) = remembering(finishes(2)).await;
    let endless = words("zebra");
    bench.offer([format!("Yes. Now {endless}.")]);
    assert!(bench.settle().await.is_empty());
    bench
        .until("a job is left", |status| status.jobs == 0)
        .await;
    assert!(truncated(&bench) > 0);
    let outcomes = bench.outcomes.0.lock().unwrap();
    let translated = outcomes[0].result.as_ref().unwrap();
    assert_eq!(translated.text, format!("fr:Yes. Now {endless}."));
    let checks = translated.checks.as_ref().unwrap();
    assert_eq!(checks.source, 1, "{checks:?}");
    assert!(checks.flags.iter().any(|flag| flag == "truncated"));
    let stored = memory.0.lock().unwrap();
    let stored: Vec<_> = stored.values().map(|t| t.text.as_str()).collect();
    assert_eq!(stored, ["fr:Yes."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_without_its_end_is_remembered_or_shared_with_twins() {
    for fake in [takes(9), finishes(20)] {
        let (mut bench, memory) = remembering(fake).await;
        let same = || std::iter::repeat_n(words("zebra"), 30);
        bench.offer(same());
        assert!(bench.settle().await.is_empty());
        bench.offer(same());
        assert!(bench.settle().await.is_empty());
        assert_eq!(translated(&bench).len(), 60);
        let known = memory.0.lock().unwrap();
        assert!(!known.is_empty());
        assert!(known.values().all(Translation::is_whole));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_too_long_for_a_peer_is_split_as_well() {
    let fake = FakeSpec {
        batch_us: 50_000,
        ..takes(9)
    };
    let lender = Bench::start(takes(9), |_| {}).await;
    lender
        .until("nothing is offered", |status| status.offer.credits > 0)
        .await;
    let peers = Arc::new(FakePeers::default());
    let peer = peers.join("idle", 2, Behaviour::Pool(lender.pool.clone()));
    let retry = RetryPolicy {
        attempts: 0,
        ..RetryPolicy::default()
    };
    let mut bench = Bench::start_among(fake, retry, peers, |spec| {
        spec.batch.items = 4;
        spec.offload.target_delay_ms = 50;
    })
    .await;
    bench.offer((0..200).map(|number| words(&format!("zebra{number}"))));
    assert!(bench.settle().await.is_empty());
    assert_eq!(translated(&bench).len(), 200);
    let wait = async {
        while peer.seen.lock().unwrap().texts.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(LONG, wait).await.is_ok(),
        "no peer was asked"
    );
}
