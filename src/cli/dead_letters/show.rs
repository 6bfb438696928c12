//! Letters for eyes and scripts. What is in them is anybody's: no byte of it reaches a terminal as a command.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

use crate::kafka::letters::Letter;

/// Characters of a payload that are shown.
const BEGINNING: usize = 200;
/// And of a message or key.
const LONGEST: usize = 300;

/// A letter as it is listed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    partition: i32,
    offset: i64,
    time: Option<String>,
    code: String,
    message: String,
    origin: Option<Origin>,
    node: String,
    key: String,
    /// Of the record, whether the letter holds all of it or not.
    bytes: u64,
    truncated: bool,
    replays: u32,
    /// Whether a replay has dealt with it.
    handled: bool,
    /// Its beginning.
    payload: String,
}

#[derive(Debug, Serialize)]
struct Origin {
    topic: String,
    partition: i32,
    offset: i64,
}

impl Line {
    pub(super) fn of(letter: &Letter, handled: bool) -> Self {
        let time = |ms| {
            let since = Duration::from_millis(u64::try_from(ms).ok()?);
            let time = SystemTime::UNIX_EPOCH.checked_add(since)?;
            // The year 10000 has no spelling.
            let known = since < Duration::from_secs(253_402_300_800);
            known.then(|| humantime::format_rfc3339_millis(time).to_string())
        };
        let origin = letter.origin.as_ref().map(|origin| Origin {
            topic: cut(&origin.topic, LONGEST),
            partition: origin.partition,
            offset: origin.offset,
        });
        let held = letter.payload.len();
        Self {
            partition: letter.at.partition,
            offset: letter.at.offset,
            time: letter.time_ms.and_then(time),
            code: cut(&letter.code, LONGEST),
            message: cut(&letter.message, LONGEST),
            origin,
            node: cut(&letter.node, LONGEST),
            key: beginning(&letter.key, LONGEST),
            bytes: letter.original_bytes.unwrap_or(held as u64),
            truncated: letter.original_bytes.is_some(),
            replays: letter.replays,
            handled,
            payload: beginning(&letter.payload, BEGINNING),
        }
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// The first characters of bytes that may be text.
fn beginning(bytes: &[u8], most: usize) -> String {
    // No character has more than four bytes.
    let some = &bytes[..bytes.len().min(most * 4)];
    cut(&String::from_utf8_lossy(some), most)
}

/// Whether a terminal might do something else than show it: control characters (the second set of them, too), and marks that
/// change the direction of what follows.
fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{feff}')
}

/// The first characters of a text, with everything active spelled out.
pub(super) fn printable(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for c in text.chars().take(most) {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if is_active(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// A line of JSON. All of its strings hold what they hold; the active characters in them are spelled out as JSON does.
pub(super) fn json(line: &Line) -> Result<String> {
    let mut shown = String::new();
    for c in serde_json::to_string(line)?.chars() {
        if is_active(c) {
            write!(shown, "\\u{:04x}", u32::from(c))?;
        } else {
            shown.push(c);
        }
    }
    Ok(shown)
}

pub(super) fn table<'a>(lines: impl Iterator<Item = &'a Line>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "at", "time", "why", "from", "node", "key", "bytes", "payload",
    ]);
    for line in lines {
        let mut why = format!("{}: {}", line.code, line.message);
        if line.handled {
            why.push_str(" (a replay has dealt with it)");
        }
        if line.replays > 0 {
            let _ = write!(why, " (replayed {} times)", line.replays);
        }
        let from = line.origin.as_ref().map_or_else(
            || "-".to_owned(),
            |o| format!("{} {}:{}", o.topic, o.partition, o.offset),
        );
        let cells = [
            format!("{}:{}", line.partition, line.offset),
            line.time.clone().unwrap_or_else(|| "-".to_owned()),
            why,
            from,
            line.node.clone(),
            line.key.clone(),
            line.bytes.to_string(),
        ];
        let payload = printable(&line.payload, 60);
        let cells = cells.iter().map(|cell| printable(cell, usize::MAX));
        table.add_row(cells.chain([payload]));
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(payload: &str) -> Line {
        Line {
            partition: 0,
            offset: 1,
            time: None,
            code: "invalid_json".to_owned(),
            message: payload.to_owned(),
            origin: None,
            node: payload.to_owned(),
            key: payload.to_owned(),
            bytes: 3,
            truncated: false,
            replays: 0,
            handled: false,
            payload: payload.to_owned(),
        }
    }

    #[test]
    fn escape_sequences_are_spelled_out() {
        let nasty = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}ok é 日本";
        let shown = printable(nasty, 100);
        assert_eq!(shown, "\\u{1b}]0;owned\\u{7}\\u{9b}2J\\u{202e}ok é 日本");
        let lines = [line(nasty)];
        let table = table(lines.iter()).to_string();
        assert!(
            table.chars().all(|c| c == '\n' || !is_active(c)),
            "{table:?}"
        );
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("abc", 3), "abc");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_somehow() {
        assert_eq!(beginning(b"a\xffb", 10), "a\u{fffd}b");
        assert_eq!(beginning(b"aaaa", 2), "aa");
    }

    proptest! {
        #[test]
        fn a_json_line_holds_the_text_and_nothing_active(text in any::<String>()) {
            let line = line(&text);
            let shown = json(&line).unwrap();
            prop_assert!(!shown.chars().any(is_active));
            let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
            prop_assert_eq!(read["payload"].as_str(), Some(text.as_str()));
        }
    }
}
