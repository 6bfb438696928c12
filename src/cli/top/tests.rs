use serde_json::json;

use super::*;
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
        "node": "a", "languages": [], "warnings": ["no node serves de"],
        "members": [member("a", "own", report), member("b", "down", json!(null))]
    });
    serde_json::from_value(view).unwrap()
}

/// A screen that has seen two views.
fn screen(tab: Tab) -> Screen {
    let mut screen = Screen::new(tab);
    screen.show(view(100, 10_000));
    screen.show(view(130, 12_000));
    screen
}

fn assert_rows(text: &str, rows: &[(&str, &str)]) {
    let row = |name: &str, part: &str| text.lines().any(|l| l.contains(name) && l.contains(part));
    for (name, part) in rows {
        assert!(row(name, part), "{name} with {part} is not in:\n{text}");
    }
}

fn assert_fits(text: &str) {
    assert!(text.lines().count() <= 24, "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

#[test]
fn nodes_pools_rates_and_warnings_are_on_the_screen() {
    let mut screen = screen(Tab::Pools);
    let text = picture(&screen, 80, 24).unwrap();
    assert_fits(&text);
    let rows = [
        ("seen from a", "1 of 2 nodes up, 17 jobs unread"),
        ("b", "down"),
        ("demo", "2/3+2"),
        ("demo", "fr (de)"),
        ("demo", "44"),
        ("demo", "15.0"),
        ("no node serves de", ""),
        ("sorted by name", "? help"),
    ];
    assert_rows(&text, &rows);
    screen.complain("it is gone".to_owned());
    assert!(snapshot(&screen).unwrap().contains("it is gone"));
}

#[test]
fn the_languages_have_a_line_each() {
    let text = picture(&screen(Tab::Languages), 80, 24).unwrap();
    assert_fits(&text);
    assert_rows(
        &text,
        &[("LANGUAGE", "PAUSED ON"), ("fr", "15.0"), ("de", "a")],
    );
}

#[test]
fn the_nodes_have_their_links() {
    let text = picture(&screen(Tab::Nodes), 80, 24).unwrap();
    assert_fits(&text);
    assert_rows(&text, &[("a", "self"), ("b", "127.0.0.1:7700")]);
}

#[test]
fn rows_that_do_not_fit_are_counted_and_can_be_scrolled_to() {
    let mut all = view(1, 1_000);
    let one = all.members[0].report.clone().unwrap().pools[0].clone();
    let pools = (0..40_u64).map(|number| {
        let mut pool = one.clone();
        pool.model = format!("model-{number:02}");
        pool.backlog_tokens = number;
        pool
    });
    all.members[0].report.as_mut().unwrap().pools = pools.collect();
    let mut screen = Screen::new(Tab::Pools);
    screen.show(all);
    let text = picture(&screen, 80, 24).unwrap();
    assert_fits(&text);
    assert!(
        text.contains("model-00") && text.contains(" more"),
        "{text}"
    );
    screen.press(Key::Scroll(1_000));
    assert!(picture(&screen, 80, 24).unwrap().contains("model-39"));
    screen.press(Key::Scroll(-1_000));
    screen.press(meaning(KeyCode::Char('b'), KeyModifiers::NONE).unwrap());
    let text = picture(&screen, 80, 24).unwrap();
    assert!(
        text.contains("model-39") && text.contains("sorted by backlog"),
        "{text}"
    );
    let whole = snapshot(&screen).unwrap();
    assert!(
        whole.contains("model-00") && whole.contains("model-39"),
        "{whole}"
    );
}

#[test]
fn a_small_terminal_is_enough_and_help_is_shown() {
    let mut screen = screen(Tab::Pools);
    for (width, height) in [(1, 1), (10, 3), (40, 10), (80, 24), (300, 100)] {
        picture(&screen, width, height).unwrap();
    }
    screen.press(Key::Help);
    for (width, height) in [(1, 1), (10, 3), (40, 10)] {
        picture(&screen, width, height).unwrap();
    }
    let text = picture(&screen, 80, 24).unwrap();
    assert_fits(&text);
    assert!(
        text.contains("sort by name, backlog, delay, rate"),
        "{text}"
    );
}

#[test]
fn the_usual_keys_end_it() {
    let key = |code, modifiers| meaning(code, modifiers);
    assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Key::Quit));
    assert_eq!(
        key(KeyCode::Char('c'), KeyModifiers::CONTROL),
        Some(Key::Quit)
    );
    assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
}
