//! Brokers that are stopped, killed or lost.

use std::{
    thread,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    Cluster, Ids, Kafka, MachineLock, ProcessNode, Sandbox, SeededRng, Traffic, free_address,
    http::HttpClient, measured, processes, rebalances::held, wait_for,
};
use rustix::process::Signal;

use super::{RATE, SETTLE, fake, seconds, start};

/// Longer than a broker may say nothing to its controller.
const HANG: Duration = Duration::from_secs(12);
/// How long it is slow after that.
const STUTTER: Duration = Duration::from_secs(10);

#[test]
fn a_broker_that_is_stopped_or_killed_and_comes_back_costs_nothing_but_time() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::mortal(1)) else {
        return;
    };
    let backend = kafka.backend();
    let _nodes = start(&sandbox, [(); 2].map(|()| fake(&kafka, &sandbox)));
    let traffic = Traffic::of(RATE).start(backend);
    for (how, end) in [
        ("stopped", Kafka::stop as fn(&Kafka, u32)),
        ("killed", Kafka::kill),
    ] {
        traffic.flow(Duration::from_secs(3), SETTLE);
        let broker = kafka.pid(1).expect("the broker runs");
        end(&kafka, 1);
        assert!(!processes::is_alive(broker), "the broker is gone");
        let gone = Instant::now();
        thread::sleep(Duration::from_secs(2));
        let away = traffic.look(|ids| ids.resumed(gone, 1));
        assert_eq!(away, None, "nothing comes without a broker");
        kafka.start_broker(1);
        let back = Instant::now();
        measured(
            &format!("only broker {how}, flow resumes after it is back"),
            seconds(traffic.wait_until_resumed(back, SETTLE)),
        );
    }
    let _ = traffic.settle(SETTLE);
}

/// A broker that hangs is given up by the controller, and until that hears of it again the cluster tells everybody that it has no broker at all.
/// Clients that ask just then believe it for ever. This test's own would, too: there are none of them while the broker hangs.
#[test]
fn a_broker_that_hangs_leaves_no_client_disconnected() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::mortal(1)) else {
        return;
    };
    kafka.create_topics(4);
    // Only a disconnected node is silent for so long: several hangs may follow each other.
    let node = || fake(&kafka, &sandbox).set("kafka.session_timeout_ms", 300_000);
    let nodes = start(&sandbox, [node(), node()]);
    let owned = || nodes.each_ref().map(|node| held(&node.rebalances()));
    let flow = |ids: Ids, since: Instant| {
        let mut backend = kafka.backend();
        backend.ids = ids;
        let traffic = Traffic::of(RATE).start(backend);
        let resumed = traffic.wait_until_resumed(since, SETTLE);
        traffic.flow(Duration::from_secs(3), SETTLE);
        (traffic.settle(SETTLE).unread(), resumed)
    };
    let (mut ids, _) = flow(Ids::default(), Instant::now());
    let broker = kafka.pid(1).expect("the broker runs");
    let given_up = || kafka.log(1).matches("Fencing broker 1 ").count();
    let before = owned();
    let mut longest = Duration::ZERO;
    for round in 1..=2 {
        // Now and then the broker is heard just before it would be given up.
        let hangs = (1..=5).find(|_| {
            hang(broker);
            given_up() >= round
        });
        assert!(hangs.is_some(), "the controller gave it up");
        let back = Instant::now();
        let resumed;
        (ids, resumed) = flow(ids, back);
        longest = longest.max(resumed);
        assert_eq!(owned(), before, "everybody reads what it read before");
    }
    let deaf = |node: &ProcessNode| node.log().matches("disconnected from all brokers").count();
    measured(
        "only broker hangs for 12 s and stutters for 10 s, twice, clients that were disconnected",
        nodes.iter().map(deaf).sum::<usize>(),
    );
    measured(
        "only broker hangs for 12 s and stutters for 10 s, twice, flow resumes after it is well",
        seconds(longest),
    );
}

/// Suspends a broker for longer than its controller waits, then lets it run so little that clients ask it while it is still given up.
fn hang(broker: u32) {
    processes::signal(broker, Signal::STOP);
    thread::sleep(HANG);
    let began = Instant::now();
    while began.elapsed() < STUTTER {
        processes::signal(broker, Signal::CONT);
        thread::sleep(Duration::from_millis(20));
        processes::signal(broker, Signal::STOP);
        thread::sleep(Duration::from_millis(380));
    }
    processes::signal(broker, Signal::CONT);
}

#[test]
fn a_node_is_not_ready_while_its_brokers_are_away() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::mortal(1)) else {
        return;
    };
    kafka.create_topics(4);
    let edge = HttpClient(free_address());
    let listen = format!("\"{}\"", edge.0);
    let _nodes = start(
        &sandbox,
        [fake(&kafka, &sandbox).set("http.listen", listen)],
    );
    let becomes = |status: u16| {
        let what = format!("/ready answers {status}");
        wait_for(&what, SETTLE, || {
            let answer = edge.get("/ready");
            (answer.status == status).then_some(answer.body)
        })
    };
    becomes(200);
    kafka.kill(1);
    let why = becomes(503);
    assert!(why.contains("no Kafka broker answers"), "{why}");
    assert_eq!(edge.get("/live").status, 200, "it is alive all the same");
    kafka.start_broker(1);
    becomes(200);
}

#[test]
fn one_broker_of_three_that_is_lost_and_comes_back_costs_nothing_but_time() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::mortal(3)) else {
        return;
    };
    let backend = kafka.backend();
    let _nodes = start(&sandbox, [(); 2].map(|()| fake(&kafka, &sandbox)));
    let lost = u32::try_from(SeededRng::of("loss of a broker").number(1..4)).unwrap();
    let traffic = Traffic::of(RATE).start(backend);
    traffic.flow(Duration::from_secs(3), SETTLE);
    let killed = Instant::now();
    kafka.kill(lost);
    let resumed = traffic.wait_until_resumed(killed, SETTLE);
    traffic.flow(Duration::from_secs(2), SETTLE);
    assert_eq!(kafka.pid(lost), None, "it is still gone");
    kafka.start_broker(lost);
    traffic.flow(Duration::from_secs(5), SETTLE);
    assert!(kafka.pid(lost).is_some(), "it is back");
    let _ = traffic.settle(SETTLE);
    measured(
        "one broker of three killed, flow resumes after the kill",
        seconds(resumed),
    );
}
