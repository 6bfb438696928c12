//! Cached translations are reused, locally and through Redis; and Redis is optional.

use std::{thread, time::Duration};

use babelmesh::cache::SharedStatus;
use babelmesh_integration_tests::{
    Backend, LocalNode, PATIENCE, ProcessNode, Redis, Sandbox, Settings, Traffic, measured,
    request, wait_for, wait_until,
};
use serde_json::json;

/// Asks for so many texts under ids that begin with `name`, and waits for the answers. Returns how many needed no engine.
fn ask(backend: &mut Backend, name: &str, texts: std::ops::Range<usize>) -> usize {
    let ids: Vec<_> = texts
        .clone()
        .map(|number| format!("{name}-{number}"))
        .collect();
    for (id, number) in ids.iter().zip(texts.clone()) {
        backend.ask(&request(id, &format!("hello {number}"), &["fr", "de"], id));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let mut known = 0;
    for (id, number) in ids.iter().zip(texts) {
        for target in ["fr", "de"] {
            let answer = backend.ids.of(id, target);
            assert_eq!(answer.text(), format!("{target}:hello {number}"));
            assert_eq!(answer.result.model_id, "demo-en-fr-de");
            assert_eq!(
                answer.result.worker_name.is_empty(),
                answer.result.from_cache
            );
            known += usize::from(answer.result.from_cache);
        }
    }
    known
}

fn remembering(sandbox: &Sandbox) -> Settings {
    sandbox.node().set("cache.memory_mb", 64)
}

fn shared(node: &ProcessNode) -> SharedStatus {
    node.status().cache.unwrap().shared.unwrap()
}

fn asked(node: &ProcessNode) -> u64 {
    let SharedStatus {
        found,
        missed,
        failed,
        ..
    } = shared(node);
    found + missed + failed
}

fn batches(node: &ProcessNode) -> u64 {
    let pools = node.status().pools;
    pools
        .iter()
        .flat_map(|pool| &pool.actors)
        .map(|actor| actor.batches)
        .sum()
}

#[test]
fn a_text_that_comes_again_needs_no_engine_and_says_so() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&remembering(&sandbox).set("http.listen", "127.0.0.1:0"));
    let mut backend = node.backend();
    assert_eq!(ask(&mut backend, "first", 0..300), 0);
    assert_eq!(ask(&mut backend, "again", 0..300), 600);
    let answer = backend.ids.of("again-7", "fr");
    let first = backend.ids.of("first-7", "fr");
    assert_eq!(
        answer.result.confidence_score.to_bits(),
        first.result.confidence_score.to_bits()
    );
    assert_eq!(
        (answer.result.batch_size, answer.result.segments_count),
        (0, 1)
    );
    // Where a text is asked for is all the same.
    let body = json!({"q": "hello 7", "source": "en", "target": "fr"});
    assert_eq!(
        node.http().post("/translate", &body).json()["translatedText"],
        "fr:hello 7"
    );
    let page = node.http().get("/metrics").body;
    let line = "babelmesh_pieces_total{model=\"demo-en-fr-de\",source=\"memory\"} 601";
    assert!(page.lines().any(|found| found == line), "{page}");
    let cache = node.status().cache.unwrap();
    assert!(cache.entries == 600 && cache.bytes > 0, "{cache:?}");
    // It is the model that is asked whether it is ready, not the memory.
    let health = node.http().get("/ready");
    assert_eq!(health.status, 200, "{health:?}");
}

#[test]
fn nodes_share_what_they_translate_and_never_what_another_configuration_made() {
    let sandbox = Sandbox::new();
    let Some(redis) = Redis::start(&sandbox) else {
        return;
    };
    let mut first = ProcessNode::start_cold(&sandbox, &redis.of(sandbox.node()));
    first.wait_ready();
    wait_until("Redis answers", PATIENCE, || shared(&first).reachable);
    assert_eq!(ask(&mut first.backend(), "first", 0..300), 0);
    wait_until("it is written", PATIENCE, || shared(&first).written == 600);

    let second = ProcessNode::start(&sandbox, &redis.of(sandbox.node()));
    wait_until("Redis answers", PATIENCE, || shared(&second).reachable);
    let mut backend = second.backend();
    assert_eq!(ask(&mut backend, "second", 0..300), 600);
    assert_eq!(batches(&second), 0);
    // From now on it has them at hand.
    assert_eq!(asked(&second), 600);
    assert_eq!(ask(&mut backend, "third", 0..300), 600);
    assert_eq!(asked(&second), 600);

    let other = ProcessNode::start(
        &sandbox,
        &redis.of(sandbox.node()).set("engine.beam_size", 4),
    );
    wait_until("Redis answers", PATIENCE, || shared(&other).reachable);
    assert_eq!(ask(&mut other.backend(), "other", 0..50), 0);

    first.stop(PATIENCE);
    for log in [first.log(), second.log(), other.log()] {
        assert!(log.contains("the shared cache answers"), "{log}");
        assert!(!log.contains(redis.password()), "{log}");
    }
}

#[test]
fn a_redis_that_hangs_dies_or_is_not_there_costs_no_message() {
    let sandbox = Sandbox::new();
    let Some(mut redis) = Redis::start(&sandbox) else {
        return;
    };
    redis.kill();
    let settings = redis.of(sandbox.node()).set("engine.fake.batch_us", 2_000);
    let node = ProcessNode::start(&sandbox, &settings);
    wait_until("it is told that Redis is away", PATIENCE, || {
        node.log().contains("shared cache unreachable")
    });
    // Some texts repeat, most do not.
    let texts = (0..5_000).map(|number| match number % 3 {
        0 => "the same again".to_owned(),
        _ => format!("text {number}"),
    });
    let running = Traffic::of(200)
        .texts(texts.collect())
        .start(node.backend());
    running.flow(Duration::from_secs(2), PATIENCE);
    assert_eq!(asked(&node), 0);

    redis.start_again();
    wait_until("Redis answers", PATIENCE, || shared(&node).reachable);
    let before = (asked(&node), shared(&node).written);
    wait_for("it is asked and written to", PATIENCE, || {
        let now = (asked(&node), shared(&node).written);
        (now.0 > before.0 + 100 && now.1 > before.1 + 100).then_some(())
    });

    redis.suspend(true);
    wait_until("somebody waited in vain", PATIENCE, || {
        shared(&node).failed > 0
    });
    thread::sleep(Duration::from_secs(3));
    let failed = shared(&node).failed;
    // Three seconds of 400 pieces each: only those that were on their way, and what the looks of each second let through.
    assert!(failed < 200, "{failed} questions waited in vain");
    redis.suspend(false);
    wait_until("Redis answers again", PATIENCE, || shared(&node).reachable);

    redis.kill();
    wait_until("Redis is away", PATIENCE, || !shared(&node).reachable);
    running.flow(Duration::from_secs(2), PATIENCE);
    redis.start_again();
    wait_until("Redis answers once more", PATIENCE, || {
        shared(&node).reachable
    });
    running.flow(Duration::from_secs(2), PATIENCE);

    let ids = running.settle(PATIENCE);
    let slowest = ids.latencies(|_| true).pop().unwrap();
    measured(
        "a Redis that hangs, dies and comes back, slowest answer",
        format!("{slowest:.1} s"),
    );
    // It was hung for three seconds, and away for more than two.
    assert!(slowest < 10.0, "{slowest} s");
}

#[test]
fn redis_is_believed_only_with_a_certificate_of_the_authority() {
    let sandbox = Sandbox::new();
    let Some(redis) = Redis::start_encrypted(&sandbox) else {
        return;
    };
    let Some(stranger) = Redis::start_encrypted(&sandbox) else {
        return;
    };
    let with = |ca: std::path::PathBuf| {
        ProcessNode::start(
            &sandbox,
            &redis
                .of(sandbox.node())
                .set("cache.redis.ca_file", ca.display()),
        )
    };
    let node = with(redis.ca());
    wait_until("Redis answers", PATIENCE, || shared(&node).reachable);
    assert_eq!(ask(&mut node.backend(), "a", 0..20), 0);
    wait_until("it is written", PATIENCE, || shared(&node).written == 40);

    let misled = with(stranger.ca());
    wait_until("it is told", PATIENCE, || {
        misled.log().contains("shared cache unreachable")
    });
    assert_eq!(ask(&mut misled.backend(), "b", 0..20), 0);
    let status = shared(&misled);
    assert!(!status.reachable && status.written == 0, "{status:?}");
}
