//! What a node without a collector, and one whose collector is away, makes of messages.

use std::time::{Duration, Instant};

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Nobody listens at port 9 here.
fn config(ratio: f64) -> TracesConfig {
    TracesConfig {
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        sampling_ratio: ratio,
        queue_spans: 64,
        batch_spans: 16,
        export_delay_ms: 5,
        ..TracesConfig::default()
    }
}

fn arrival(parent: Option<&str>) -> Arrival<'_> {
    Arrival {
        parent,
        state: "vendor=1",
        ..Arrival::default()
    }
}

#[test]
fn without_a_collector_headers_go_on_unchanged_and_nothing_is_watched() {
    let traces = Traces::start(&TracesConfig::default(), "node-1").unwrap();
    let trace = traces.accept(arrival(Some(PARENT))).unwrap();
    assert_eq!(
        (trace.parent.as_str(), trace.state.as_str()),
        (PARENT, "vendor=1")
    );
    assert!(trace.watched.is_none());
    assert!(traces.accept(arrival(None)).is_none());
    assert!(traces.observer().is_none());
}

#[test]
fn a_watched_message_goes_on_under_its_own_span_in_its_senders_trace() {
    let traces = Traces::start(&config(0.0), "node-1").unwrap();
    let trace = traces.accept(arrival(Some(PARENT))).unwrap();
    let watched = trace.watched.as_ref().unwrap();
    assert_eq!(watched.under, Some(0x00f0_67aa_0ba9_02b7));
    assert_eq!(
        watched.span.trace,
        0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736
    );
    assert_eq!(trace.parent, watched.span.to_string());
    assert_eq!(trace.state, "vendor=1");
    // What is not sampled goes on as it is, and so does what nobody can read.
    for header in [PARENT.replace("-01", "-00"), "nonsense".to_owned()] {
        let trace = traces.accept(arrival(Some(&header))).unwrap();
        assert_eq!((&trace.parent, trace.watched.is_none()), (&header, true));
    }
    traces.stop();
}

#[test]
fn about_as_many_messages_begin_a_trace_as_the_ratio_says() {
    let traces = Traces::start(&config(0.1), "node-1").unwrap();
    let begun = (0..20_000).filter(|_| traces.accept(arrival(None)).is_some());
    let begun = begun.count();
    assert!((1_700..2_300).contains(&begun), "{begun} of 20,000");
    let decided = Arrival {
        is_decided: true,
        ..arrival(None)
    };
    assert!((0..20_000).all(|_| traces.accept(decided).is_none()));
    traces.stop();
}

#[test]
fn a_record_of_the_future_was_written_when_it_was_read() {
    let traces = Traces::start(&config(0.0), "node-1").unwrap();
    let future = Arrival {
        written_ms: Some(i64::MAX / 2),
        ..arrival(Some(PARENT))
    };
    let trace = traces.accept(future).unwrap();
    let watched = trace.watched.as_ref().unwrap();
    assert!(watched.written.unwrap() <= watched.at);
    traces.stop();
}

#[test]
fn while_the_collector_is_away_nobody_waits_and_all_drops_are_counted() {
    let traces = Traces::start(&config(1.0), "node-1").unwrap();
    let inner = traces.inner.as_ref().unwrap();
    let started = Instant::now();
    for _ in 0..100_000 {
        let trace = traces.accept(arrival(None)).unwrap();
        let watched = trace.watched.as_ref().unwrap();
        inner.export(Ended {
            name: "job",
            span: watched.span,
            under: None,
            is_remote: false,
            kind: SpanKind::Internal,
            time: (watched.at, watched.at),
            attributes: Vec::new(),
            links: Vec::new(),
            error: None,
            state: TraceState::default(),
        });
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "somebody waited"
    );
    let stopping = Instant::now();
    traces.stop();
    assert!(stopping.elapsed() < FAREWELL + Duration::from_secs(1));
    let counts = traces.counts();
    let settled = Instant::now();
    while counts.dropped() < 100_000 && settled.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!((counts.exported(), counts.dropped()), (0, 100_000));
}
