use serde_json::json;

use super::{screen::Screen, *};
use crate::cluster::ClusterView;

fn view(translated: u64, uptime_ms: u64) -> ClusterView {
    let source = json!({
        "partitions": 8, "holdingBack": false, "queuedTokens": 0, "lagRecords": 17, "lagTokens": 1, "oldestAgeMs": 12
    });
    let pool = json!({
        "model": "demo", "engine": "fake", "space": "s", "actors": 3, "warm": 3, "busy": 2, "wanted": 3, "bounds": [1, 4],
        "ability": {"sources": ["en"], "targets": ["fr", "de"], "tier": "basic"}, "backlogSegments": 1, "backlogTokens": 44,
        "delayMs": 250, "tokensPerSecond": 120.0, "tokensPerSecondOfAnActor": 60.0, "translated": translated, "failed": 0,
        "failing": false, "paused": ["de"], "guests": 2,
        "offer": {"credits": 1, "tokensPerSecond": 1.0, "batch": {"items": 1, "padded_tokens": 1}}
    });
    let report = json!({
        "serial": 1, "version": "0.1.0", "uptimeMs": uptime_ms, "draining": false, "cores": 2, "load": 0.5,
        "memoryBytes": 2_000_000, "languages": ["fr"], "pools": [pool], "requests": source, "jobs": source
    });
    let member = |node, state, report| {
        json!({
            "node": node, "address": "127.0.0.1:7700", "incarnation": 1, "state": state, "linked": true, "sinceMs": 1, "report": report
        })
    };
    let view = json!({
        "node": "a", "languages": [], "warnings": ["de is served by no node"],
        "members": [member("a", "own", report), member("b", "down", json!(null))]
    });
    serde_json::from_value(view).unwrap()
}

#[test]
fn nodes_pools_rates_and_warnings_are_on_the_screen() {
    let mut screen = Screen::default();
    screen.show(view(100, 10_000));
    screen.show(view(130, 12_000));
    let text = picture(&screen).unwrap();
    let row = |name: &str, part: &str| text.lines().any(|l| l.contains(name) && l.contains(part));
    for (name, part) in [
        ("seen from a", "1 of 2 nodes up, 17 jobs unread"),
        ("down", "127.0.0.1:7700"),
        ("demo", "2/3+2"),
        ("demo", "fr (de)"),
        ("demo", "44 tok"),
        ("demo", "15.0"),
        ("de is served", "no node"),
    ] {
        assert!(row(name, part), "{name} with {part} is not in:\n{text}");
    }
    screen.complain("it is gone".to_owned());
    assert!(picture(&screen).unwrap().contains("it is gone"));
}

#[test]
fn the_usual_keys_end_it() {
    assert!(is_end(KeyCode::Char('q'), KeyModifiers::NONE));
    assert!(is_end(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert!(!is_end(KeyCode::Char('c'), KeyModifiers::NONE));
}
