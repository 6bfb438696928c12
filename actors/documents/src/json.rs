//! JSON: strings that are values.

use std::ops::Range;

use babelmesh_domain::Format;
use serde::de::IgnoredAny;

use crate::{
    Segment,
    layout::{Encoding, Layout},
    segment::has_words,
};

/// Finds the strings that are values. The error says what is wrong, and never quotes the text.
pub(crate) fn read(text: String) -> Result<(Layout, Vec<Segment>), String> {
    let invalid = |error: serde_json::Error| {
        format!(
            "invalid JSON (line {}, column {})",
            error.line(),
            error.column()
        )
    };
    serde_json::from_str::<IgnoredAny>(&text).map_err(invalid)?;
    let mut places = Vec::new();
    let mut segments = Vec::new();
    for place in values(&text) {
        let value: String = serde_json::from_str(&text[place.clone()]).map_err(|_| {
            let line = text[..place.start].matches('\n').count() + 1;
            format!("invalid string (line {line})")
        })?;
        if has_words(&value) {
            places.push(place);
            segments.push(Segment {
                text: value,
                format: Format::Text,
            });
        }
    }
    let layout = Layout {
        text,
        places,
        encoding: Encoding::Json,
    };
    Ok((layout, segments))
}

/// The literals of valid JSON that are strings and not names of members, with their quotes.
fn values(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut values = Vec::new();
    let mut at = 0;
    while let Some(offset) = bytes[at..].iter().position(|&byte| byte == b'"') {
        let start = at + offset;
        let mut end = start + 1;
        while let Some(&byte) = bytes.get(end) {
            end += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
        let end = end.min(text.len());
        let after = bytes[end..].iter().find(|byte| !byte.is_ascii_whitespace());
        if after != Some(&b':') {
            values.push(start..end);
        }
        at = end;
    }
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn translated(text: &str) -> String {
        let (layout, segments) = read(text.to_owned()).unwrap();
        let upper: Vec<_> = segments.iter().map(|s| s.text.to_uppercase()).collect();
        layout.write(&segments, &upper)
    }

    #[test]
    fn values_change_and_names_and_white_space_stay() {
        let text = "{\n\t\"a:b\" : \"One \\\"two\\\" \\u00e9\", \"n\":[1e5,\"x\",{\"\":\"y\"}], \"k\\\"\":\":\"}\r\n";
        assert_eq!(
            translated(text),
            "{\n\t\"a:b\" : \"ONE \\\"TWO\\\" \u{c9}\", \"n\":[1e5,\"X\",{\"\":\"Y\"}], \"k\\\"\":\":\"}\r\n"
        );
        assert_eq!(translated("\"alone\""), "\"ALONE\"");
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place_and_without_its_text() {
        for text in [
            "{",
            "secret",
            "{\"a\": secret}",
            "{\"a\":\"\\ud800x\"}",
            "",
            "[1,]",
        ] {
            let error = read(text.to_owned()).unwrap_err();
            assert!(
                error.contains("line 1") && !error.contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn deep_nesting_is_read() {
        let depth = 100_000;
        let text = format!("{}\"x\"{}", "[".repeat(depth), "]".repeat(depth));
        assert!(translated(&text).contains("\"X\""));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            ".*".prop_map(Value::String),
            any::<i64>().prop_map(|number| json!(number)),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::hash_map(".*", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn unchanged_values_leave_every_byte(value in any_json(), pretty: bool) {
            let text = match pretty {
                true => serde_json::to_string_pretty(&value),
                false => serde_json::to_string(&value),
            }.unwrap();
            let (layout, segments) = read(text.clone()).unwrap();
            let same: Vec<_> = segments.iter().map(|s| s.text.clone()).collect();
            prop_assert_eq!(layout.write(&segments, &same), text);
            // And with every value replaced it is still JSON with the same names.
            let other: Vec<_> = segments.iter().map(|s| format!("\"\\\n\u{1}{}", s.text)).collect();
            let written: Value = serde_json::from_str(&layout.write(&segments, &other)).unwrap();
            prop_assert_eq!(written.is_object(), value.is_object());
        }
    }
}
