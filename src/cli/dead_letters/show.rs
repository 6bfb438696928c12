//! Rendering of dead letters. Their content is untrusted: control characters never reach the terminal.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use babelmesh_actors::domain::Format;
use comfy_table::ContentArrangement;
use serde::{Deserialize, Serialize};

use crate::{
    cli::table::{lines as lines_of, table},
    kafka::dead_letters::DeadLetter,
};

/// Characters of a payload that are shown.
const BEGINNING: usize = 200;
/// Characters of a payload in a list for people.
const SHORT: usize = 60;
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
    /// The format that the request names; absent where it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
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
    /// A letter as it is listed: with the beginnings of what may be long.
    pub(super) fn of(letter: &DeadLetter, handled: bool) -> Self {
        Self::cut(letter, handled, LONGEST, BEGINNING)
    }

    /// A letter with everything in it.
    pub(super) fn whole(letter: &DeadLetter, handled: bool) -> Self {
        Self::cut(letter, handled, usize::MAX, usize::MAX)
    }

    fn cut(letter: &DeadLetter, handled: bool, longest: usize, payload: usize) -> Self {
        let time = |ms| {
            let since = Duration::from_millis(u64::try_from(ms).ok()?);
            let time = SystemTime::UNIX_EPOCH.checked_add(since)?;
            // The year 10000 has no spelling.
            let known = since < Duration::from_secs(253_402_300_800);
            known.then(|| humantime::format_rfc3339_millis(time).to_string())
        };
        let origin = letter.origin.as_ref().map(|origin| Origin {
            topic: cut(&origin.topic, longest),
            partition: origin.partition,
            offset: origin.offset,
        });
        let held = letter.payload.len();
        Self {
            partition: letter.at.partition,
            offset: letter.at.offset,
            time: letter.time_ms.and_then(time),
            code: cut(&letter.code, longest),
            message: cut(&letter.message, longest),
            origin,
            node: cut(&letter.node, longest),
            key: beginning(&letter.key, longest),
            format: format(&letter.payload).map(|format| cut(&format, longest)),
            bytes: letter.original_bytes.unwrap_or(held as u64),
            truncated: letter.original_bytes.is_some(),
            replays: letter.replays,
            handled,
            payload: beginning(&letter.payload, payload),
        }
    }
}

impl Line {
    fn origin_text(&self) -> String {
        self.origin.as_ref().map_or_else(
            || "-".to_owned(),
            |o| format!("{}/{}:{}", o.topic, o.partition, o.offset),
        )
    }
}

/// The format that a request names, whether it exists or not; `text` where it names none.
fn format(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        format: Option<String>,
    }
    let named: Named = serde_json::from_slice(payload).ok()?;
    let default = || Format::default().to_string();
    Some(named.format.unwrap_or_else(default))
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// The first characters of bytes that may be text.
fn beginning(bytes: &[u8], most: usize) -> String {
    // No character has more than four bytes.
    let some = &bytes[..bytes.len().min(most.saturating_mul(4))];
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

/// A line for each letter. On a terminal of this width, the end of a line is cut off.
pub(super) fn list<'a>(lines: impl Iterator<Item = &'a Line>, width: Option<usize>) -> String {
    let mut rows = table(&[
        "at", "time", "code", "origin", ">bytes", "replays", "message", "payload",
    ]);
    for line in lines {
        let time = line.time.as_deref().unwrap_or("-");
        // Seconds are enough in a list.
        let time = match time.split_once('.') {
            Some((seconds, _)) => format!("{seconds}Z"),
            None => time.to_owned(),
        };
        let replays = match (line.handled, line.replays) {
            (true, 0) => "done".to_owned(),
            (true, replays) => format!("done, {replays}"),
            (false, 0) => "-".to_owned(),
            (false, replays) => replays.to_string(),
        };
        let cells = [
            format!("{}:{}", line.partition, line.offset),
            time,
            line.code.clone(),
            line.origin_text(),
            line.bytes.to_string(),
            replays,
            line.message.clone(),
        ];
        let payload = printable(&line.payload, SHORT);
        let cells = cells.iter().map(|cell| printable(cell, usize::MAX));
        rows.add_row(cells.chain([payload]));
    }
    // One line each: what does not fit is cut, not wrapped.
    rows.set_content_arrangement(ContentArrangement::Disabled);
    let mut text = String::new();
    for row in lines_of(&rows).lines() {
        match width {
            Some(width) if row.chars().count() > width => {
                text.extend(row.chars().take(width.saturating_sub(1)));
                text.push('…');
            }
            _ => text.push_str(row),
        }
        text.push('\n');
    }
    text
}

/// All fields of a letter, a line each, and its payload.
pub(super) fn fields(line: &Line) -> String {
    let size = match line.truncated {
        true => format!("{} (only the beginning was kept)", line.bytes),
        false => line.bytes.to_string(),
    };
    let handled = match line.handled {
        true => "yes",
        false => "no",
    };
    let position = format!("{}:{}", line.partition, line.offset);
    let (origin, replays) = (line.origin_text(), line.replays.to_string());
    let mut text = String::new();
    for (name, value) in [
        ("position", position.as_str()),
        ("time", line.time.as_deref().unwrap_or("-")),
        ("code", &line.code),
        ("message", &line.message),
        ("origin", &origin),
        ("node", &line.node),
        ("key", &line.key),
        ("format", line.format.as_deref().unwrap_or("-")),
        ("bytes", &size),
        ("replays", &replays),
        ("handled", handled),
    ] {
        let value = printable(value, usize::MAX);
        let _ = writeln!(text, "{name:9} {value}");
    }
    // Line ends are kept here; nothing else is active.
    let payload = line
        .payload
        .split('\n')
        .map(|row| printable(row, usize::MAX));
    let payload: Vec<_> = payload.collect();
    let _ = writeln!(text, "\n{}", payload.join("\n"));
    text
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
            format: format(payload.as_bytes()),
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
        for shown in [list(lines.iter(), None), fields(&lines[0])] {
            assert!(
                shown.chars().all(|c| c == '\n' || !is_active(c)),
                "{shown:?}"
            );
        }
    }

    #[test]
    fn a_letter_is_one_line_of_the_list_whatever_is_in_it() {
        let lines = [line("two\nlines\r\u{2028}and more"), line(&"x".repeat(500))];
        let wide = list(lines.iter(), None);
        assert_eq!(wide.lines().count(), 3, "{wide}");
        assert!(wide.contains(&"x".repeat(500)), "{wide}");
        let narrow = list(lines.iter(), Some(80));
        assert_eq!(narrow.lines().count(), 3, "{narrow}");
        assert!(
            narrow.lines().all(|row| row.chars().count() <= 80),
            "{narrow}"
        );
    }

    #[test]
    fn a_whole_letter_shows_all_of_its_payload() {
        let payload = "y".repeat(5_000);
        assert!(fields(&line(&payload)).contains(&payload));
        assert!(fields(&line("a\nb")).ends_with("\na\nb\n"));
    }

    #[test]
    fn the_format_of_a_request_is_shown() {
        for (payload, shown) in [
            (r#"{"text":"a","format":"html"}"#, "html"),
            (r#"{"text":"a","format":"docx"}"#, "docx"),
            (r#"{"text":"a","format":null}"#, "text"),
            (r#"{"text":"a"}"#, "text"),
            (r#"{"format":7}"#, "-"),
            ("hello", "-"),
        ] {
            let fields = fields(&line(payload));
            assert!(fields.contains(&format!("format    {shown}\n")), "{fields}");
        }
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
