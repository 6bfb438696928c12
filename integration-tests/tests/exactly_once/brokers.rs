//! Brokers that are stopped, killed or lost.

use std::{
    thread,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    Chance, Cluster, Kafka, Sandbox, Traffic, Turn, measured, processes,
};

use crate::{RATE, SETTLE, fake, seconds, start};

#[test]
fn a_broker_that_is_stopped_or_killed_and_comes_back_costs_nothing_but_time() {
    let sandbox = Sandbox::new();
    let _turn = Turn::share();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
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

#[test]
fn one_broker_of_three_that_is_lost_and_comes_back_costs_nothing_but_time() {
    let sandbox = Sandbox::new();
    let _turn = Turn::share();
    let cluster = Cluster {
        brokers: 3,
        ..Cluster::default()
    };
    let Some(kafka) = Kafka::start(&sandbox, cluster) else {
        return;
    };
    let backend = kafka.backend();
    let _nodes = start(&sandbox, [(); 2].map(|()| fake(&kafka, &sandbox)));
    let lost = u32::try_from(Chance::of("loss of a broker").number(1..4)).unwrap();
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
