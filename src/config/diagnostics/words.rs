//! Errors of serde in the words of a configuration.

/// Most characters of a value that are repeated.
const LONGEST: usize = 60;

/// Says what is wrong with the value of a key, given the error of serde. Messages that are not from serde stay as they are.
pub(in crate::config) fn in_plain_words(path: &str, message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let words: Vec<_> = backticked(rest).collect();
        if let Some((found, [.., _])) = words.split_first() {
            let options: Vec<_> = words[1..]
                .iter()
                .map(|word| format!("\"{word}\""))
                .collect();
            return format!("must be {}, not \"{}\"", any_of(&options), cut(found));
        }
    }
    let told = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|prefix| message.strip_prefix(prefix));
    let Some((found, expected)) = told.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let expected = expected_text(path, expected);
    match found_text(found) {
        Some(found) => format!("must be {expected}, not {found}"),
        None => format!("must be {expected}"),
    }
}

/// The words of a text that are in backticks.
fn backticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn any_of(options: &[String]) -> String {
    match options {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// What a key takes.
fn expected_text(path: &str, expected: &str) -> String {
    let is_integer = integer_bounds(expected).is_some();
    if is_integer && path.ends_with("_ms") {
        return "a duration in milliseconds (an integer)".to_owned();
    }
    if is_integer && path.ends_with("_s") {
        return "a duration in seconds (an integer)".to_owned();
    }
    if let Some(bounds) = integer_bounds(expected) {
        return bounds;
    }
    match expected {
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" | "a borrowed string" | "string or map" => "text in quotes",
        "a sequence" => "a list, such as [\"a\", \"b\"]",
        "a map" => "a table",
        _ if expected.starts_with("struct ") => "a table",
        _ if expected.starts_with("enum ") => "text in quotes",
        other => other,
    }
    .to_owned()
}

/// What an integer type holds; `None` for other types.
fn integer_bounds(expected: &str) -> Option<String> {
    Some(match expected {
        "u8" => format!("an integer from 0 to {}", u8::MAX),
        "u16" => format!("an integer from 0 to {}", u16::MAX),
        "u32" => format!("an integer from 0 to {}", u32::MAX),
        "u64" | "usize" => "an integer, 0 or more".to_owned(),
        "nonzero u32" | "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => {
            "an integer, 1 or more".to_owned()
        }
        "i8" | "i16" | "i32" | "i64" | "isize" => "an integer".to_owned(),
        _ => return None,
    })
}

/// What was found, in the syntax of the file.
fn found_text(found: &str) -> Option<String> {
    if let Some(text) = found.strip_prefix("string ") {
        return Some(cut(text));
    }
    for kind in ["integer ", "floating point ", "boolean ", "character "] {
        if let Some(value) = found.strip_prefix(kind) {
            return Some(cut(value.trim_matches('`')));
        }
    }
    Some(match found {
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        "null" | "unit value" => return None,
        other => cut(other),
    })
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types_have_the_names_that_people_use() {
        for (path, message, told) in [
            (
                "engine.threads",
                "invalid type: string \"two\", expected u16",
                "must be an integer from 0 to 65535, not \"two\"",
            ),
            (
                "pool.batch.segments",
                "invalid value: integer `-1`, expected usize",
                "must be an integer, 0 or more, not -1",
            ),
            (
                "retry.max_backoff_ms",
                "invalid type: string \"10s\", expected u64",
                "must be a duration in milliseconds (an integer), not \"10s\"",
            ),
            (
                "cache.ttl_s",
                "invalid type: boolean `true`, expected u64",
                "must be a duration in seconds (an integer), not true",
            ),
            (
                "cluster.enabled",
                "invalid type: string \"yes\", expected a boolean",
                "must be true or false, not \"yes\"",
            ),
            (
                "log.format",
                "unknown variant `xml`, expected `text` or `json`",
                "must be \"text\" or \"json\", not \"xml\"",
            ),
            (
                "models.load",
                "invalid type: string \"a, expected b\", expected a sequence",
                "must be a list, such as [\"a\", \"b\"], not \"a, expected b\"",
            ),
            (
                "pool",
                "invalid type: integer `3`, expected struct PoolConfig",
                "must be a table, not 3",
            ),
            ("x", "must be above zero", "must be above zero"),
        ] {
            assert_eq!(in_plain_words(path, message), told);
        }
    }

    proptest! {
        #[test]
        fn any_message_is_taken(message in "(unknown variant |invalid type: |invalid value: )?.{0,100}") {
            in_plain_words("a.b_ms", &message);
        }
    }
}
