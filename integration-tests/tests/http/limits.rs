//! Limits on concurrent requests, processing time and body size, and clients that are slow or disconnect.

use std::{
    io::Write,
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

use babelmesh_actors::events::Event;
use babelmesh_integration_tests::{
    PATIENCE, Sandbox,
    http::{read_answer, request, start},
    processes, wait_until,
};
use serde_json::json;

#[test]
fn more_requests_than_there_is_room_for_are_told_to_come_back() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.actors(1)
            .set("http.max_concurrent", 4)
            .set("engine.fake.batch_us", 1_500_000)
    });
    let body = json!({"q": "Hello", "source": "en", "target": "fr"});
    let ask = || http.post("/translate", &body);
    let answers: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|a| a.join().unwrap()).collect()
    });
    let count = |status| answers.iter().filter(|a| a.status == status).count();
    assert_eq!(count(200) + count(429), 12, "{answers:?}");
    assert!(
        count(200) >= 4 && count(429) >= 1,
        "{} and {}",
        count(200),
        count(429)
    );
    let refused = answers.iter().find(|a| a.status == 429).unwrap();
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(ask().status, 200, "there is room again");
}

#[test]
fn a_translation_that_takes_too_long_is_given_up() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.actors(1)
            .set("http.timeout_ms", 300)
            .set("engine.fake.batch_us", 2_000_000)
    });
    let started = Instant::now();
    let answer = http.post(
        "/translate",
        &json!({"q": "Hello", "source": "en", "target": "fr"}),
    );
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(
        started.elapsed() < Duration::from_millis(1_900),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn no_engine_is_given_the_text_of_a_client_that_has_gone() {
    let sandbox = Sandbox::new();
    let (node, http) = start(&sandbox, |s| {
        s.actors(1).set("engine.fake.batch_us", 1_500_000)
    });
    let body = json!({"q": "Hello", "source": "en", "target": "fr"}).to_string();
    let post = request(
        "POST",
        "/translate",
        "Content-Type: application/json\r\n",
        &body,
    );
    // One keeps the only actor busy.
    let mut patient = http.connect();
    patient.write_all(&post).unwrap();
    wait_until("the actor is busy", PATIENCE, || {
        node.pool()
            .actors
            .iter()
            .any(|a| a.phase == babelmesh_actors::pool::ActorPhase::Busy)
    });
    let mut hasty: Vec<_> = (0..5).map(|_| http.connect()).collect();
    for stream in &mut hasty {
        stream.write_all(&post).unwrap();
    }
    wait_until("they wait behind it", PATIENCE, || node.pool().jobs == 6);
    for stream in &hasty {
        stream.shutdown(Shutdown::Both).unwrap();
    }
    drop(hasty);
    assert_eq!(read_answer(&mut patient).status, 200);
    let abandoned = || {
        let jobs = |event: &Event| match event {
            Event::JobsAbandoned { jobs, .. } => Some(*jobs),
            _ => None,
        };
        node.events()
            .all(jobs)
            .into_iter()
            .map(|(_, jobs)| jobs)
            .sum::<usize>()
    };
    wait_until("they are passed over", PATIENCE, || abandoned() == 5);
    let pool = node.pool();
    assert_eq!((pool.jobs, pool.translated), (0, 1));
}

#[test]
fn a_thousand_slow_clients_and_giant_bodies_leave_the_node_serving() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.set("http.read_timeout_ms", 4_000)
            .set("http.max_body_bytes", 100_000)
    });
    let before = processes::own_memory();
    let mut slow: Vec<_> = (0..1_000).map(|_| http.connect()).collect();
    for (number, stream) in slow.iter_mut().enumerate() {
        let begin: &[u8] = match number % 3 {
            0 => b"POST /transl",
            1 => b"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\nq=a",
            _ => b"",
        };
        stream.write_all(begin).unwrap();
    }
    let body = json!({"q": "Hello", "source": "en", "target": "fr"});
    for _ in 0..20 {
        let started = Instant::now();
        assert_eq!(http.post("/translate", &body).status, 200);
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "{:?}",
            started.elapsed()
        );
    }
    let giant = format!("q={}&source=en&target=fr", "a".repeat(3_000_000));
    let answer = http.form("/translate", &giant);
    assert_eq!(answer.status, 413, "{answer:?}");
    // A body that does not tell its length is cut too.
    let chunk = format!("2710\r\n{}\r\n", "a".repeat(10_000));
    let chunked = "POST /translate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = http.raw(format!("{chunked}{}", chunk.repeat(20)).as_bytes());
    assert_eq!(answer.status, 413, "{answer:?}");
    let incomplete = slow.get_mut(1).unwrap();
    let answer = read_answer(incomplete);
    assert_eq!(answer.status, 408, "{answer:?}");
    for malformed in [
        "GET / HTTP/9.9\r\n\r\n",
        "\u{1}\u{2}\u{3}\r\n\r\n",
        "POST /translate HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ] {
        let answer = http.raw(malformed.as_bytes());
        assert!(answer.status == 400 || answer.status == 0, "{answer:?}");
    }
    let headers = format!("X-Long: {}\r\n", "a".repeat(200_000));
    let answer = http.send("GET", "/live", &headers, "");
    assert_ne!(answer.status, 200, "{answer:?}");
    let grown = processes::own_memory().saturating_sub(before);
    assert!(grown < 200 << 20, "{} MiB more", grown >> 20);
    assert_eq!(http.post("/translate", &body).status, 200);
}
