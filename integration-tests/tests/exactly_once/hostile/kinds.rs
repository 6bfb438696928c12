//! Kinds of hostile messages. Each of them is bad whatever chance makes of it.

use babelmesh_integration_tests::{SeededRng, request};
use serde_json::{Value, json};

/// Where a kind is found out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    /// By the splitter alone.
    Requests,
    /// Where jobs are read alone.
    Jobs,
    /// By both.
    Both,
}

/// A kind.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The reason in its dead letter.
    pub(super) code: &'static str,
    pub(super) way: Way,
    /// Makes one with this id.
    pub(super) make: fn(&mut SeededRng, &str) -> Option<Vec<u8>>,
}

const fn kind(
    name: &'static str,
    code: &'static str,
    way: Way,
    make: fn(&mut SeededRng, &str) -> Option<Vec<u8>>,
) -> Kind {
    Kind {
        name,
        code,
        way,
        make,
    }
}

/// All of them.
pub(super) const KINDS: [Kind; 24] = [
    kind("no payload", "invalid_json", Way::Both, |_, _| None),
    kind("an empty payload", "invalid_json", Way::Both, |_, _| {
        Some(Vec::new())
    }),
    kind("binary", "invalid_json", Way::Both, |chance, _| {
        let count = chance.number(0..3_000);
        // No JSON begins like this.
        Some([vec![0xff], chance.bytes(count)].concat())
    }),
    kind("cut JSON", "invalid_json", Way::Both, |chance, id| {
        let mut bytes = good(id);
        bytes.truncate(chance.number(1..bytes.len()));
        Some(bytes)
    }),
    kind("fuzzed JSON", "invalid_json", Way::Both, |chance, id| {
        // Nowhere in JSON does any of these stand unescaped.
        let byte = *chance.pick(&[0, 1, 8, 0x1f]);
        Some(insert(chance, &good(id), &[byte]))
    }),
    kind("not quite JSON", "invalid_json", Way::Both, |chance, id| {
        let text = String::from_utf8(good(id)).unwrap();
        let changed = match chance.number(0..7) {
            0 => text.replace('"', "'"),
            1 => text.replace('}', ",}"),
            2 => text.replacen('{', "{\"n\":NaN,", 1),
            3 => text.replacen('{', "{/* a comment */", 1),
            4 => text.clone() + &text,
            5 => text.replacen('{', "{\"n\":01,", 1),
            _ => text.replacen('{', "{n:1,", 1),
        };
        Some(changed.into_bytes())
    }),
    kind(
        "nested and never closed",
        "invalid_json",
        Way::Both,
        |chance, id| {
            let open = *chance.pick(&["[", "{\"a\":", "[{\"a\":["]);
            let depth = chance.number(200..20_000);
            Some(with_raw(id, "ignored", &open.repeat(depth)))
        },
    ),
    kind(
        "an escape that is cut",
        "invalid_json",
        Way::Both,
        |chance, id| {
            let unit = chance.number(0xd8..0xe0);
            Some(with_raw(
                id,
                "text",
                &format!("\"one \\u{unit:02x} alone\""),
            ))
        },
    ),
    kind(
        "an unknown escape",
        "invalid_json",
        Way::Both,
        |chance, id| {
            let escape = *chance.pick(&['q', 'x', '0', 'U', ' ']);
            Some(with_raw(id, "text", &format!("\"one \\{escape}41\"")))
        },
    ),
    kind("broken UTF-8", "invalid_json", Way::Both, |chance, id| {
        let parts: [&[u8]; 5] = [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xff", b"\xc0\x80"];
        let part = *chance.pick(&parts);
        let text = String::from_utf8(with_raw(id, "text", "\"cut @\"")).unwrap();
        let (before, after) = text.split_once('@').unwrap();
        Some([before.as_bytes(), part, after.as_bytes()].concat())
    }),
    kind("no object", "invalid_request", Way::Both, |chance, _| {
        let values = [
            json!(null),
            json!(true),
            json!(17),
            json!("text"),
            json!([1, 2]),
            json!([]),
        ];
        Some(chance.pick(&values).to_string().into_bytes())
    }),
    kind(
        "lists in lists",
        "invalid_request",
        Way::Both,
        |chance, _| {
            let depth = chance.number(1..60);
            Some(["[".repeat(depth), "]".repeat(depth)].concat().into_bytes())
        },
    ),
    kind(
        "nested where a text belongs",
        "invalid_request",
        Way::Both,
        |chance, id| {
            let depth = chance.number(1..2_000);
            let nested = "[".repeat(depth) + &"]".repeat(depth);
            Some(with_raw(id, "text", &nested))
        },
    ),
    kind("wrong types", "invalid_request", Way::Both, |chance, id| {
        let strings = ["messageId", "text", "sourceLanguage", "modelType"];
        let others = [
            "taskId",
            "priority",
            "deadlineMs",
            "conversationId",
            "targetLanguages",
        ];
        let field = *chance.pick(&[&strings[..], &others].concat());
        // None of these fields takes any of these.
        let wrong = [
            json!(true),
            json!(false),
            json!([7.5]),
            json!({"a": 1}),
            json!([[]]),
        ];
        Some(with(id, field, chance.pick(&wrong).clone()))
    }),
    kind(
        "missing fields",
        "invalid_request",
        Way::Both,
        |chance, id| {
            let mut body = body(id);
            let field = *chance.pick(&["messageId", "text"]);
            body.as_object_mut().unwrap().remove(field);
            Some(body.to_string().into_bytes())
        },
    ),
    kind(
        "unknown values",
        "invalid_request",
        Way::Both,
        |chance, id| {
            let field = *chance.pick(&["modelType", "priority"]);
            Some(with(id, field, json!("enormous")))
        },
    ),
    kind("a field twice", "invalid_request", Way::Both, |_, id| {
        Some(with_raw(
            id,
            "messageId",
            &format!("{id:?},\"messageId\":{id:?}"),
        ))
    }),
    kind("no target", "invalid_request", Way::Requests, |_, id| {
        Some(with(id, "targetLanguages", json!([])))
    }),
    kind(
        "several targets in a job",
        "invalid_request",
        Way::Jobs,
        |_, id| Some(with(id, "targetLanguages", json!(["fr", "de"]))),
    ),
    kind(
        "nothing but white space",
        "empty_text",
        Way::Both,
        |chance, id| {
            let spaces = ["", " ", "\n\t", "\u{2003}\u{3000}"];
            let count = chance.number(1..100);
            Some(with(id, "text", json!(chance.pick(&spaces).repeat(count))))
        },
    ),
    kind("giant", "text_too_long", Way::Both, |chance, id| {
        // Few are truly giant: they all go through one broker's memory.
        let most = if chance.one_in(20) {
            1_500_000
        } else {
            110_000
        };
        let chars = chance.number(100_001..most);
        Some(with(
            id,
            "text",
            json!("é".repeat(chars / 2) + &"a".repeat(chars - chars / 2)),
        ))
    }),
    kind(
        "no language",
        "invalid_language",
        Way::Requests,
        |chance, id| {
            let tag = *chance.pick(&["", "12", "x", "französisch", "../../etc", "\u{0}"]);
            Some(with(id, "targetLanguages", json!([tag])))
        },
    ),
    kind(
        "a language that nobody has",
        "unsupported_language",
        Way::Requests,
        |chance, id| {
            let tag = *chance.pick(&["ja", "xx", "zu-ZA", "zz_ZZ"]);
            Some(with(id, "targetLanguages", json!([tag])))
        },
    ),
    kind(
        "a source that nobody has",
        "unsupported_pair",
        Way::Jobs,
        |chance, id| {
            let tag = *chance.pick(&["ja", "xx", "zu-ZA"]);
            Some(with(id, "sourceLanguage", json!(tag)))
        },
    ),
];

/// A good request, with something of everything.
fn body(id: &str) -> Value {
    let mut body = request(id, "Grüße, \"friend\" 😀", &["fr"], "c");
    body["nested"] = json!({"list": [1, 2.5, {"deep": [true, null]}], "text": "naïve"});
    body
}

fn good(id: &str) -> Vec<u8> {
    body(id).to_string().into_bytes()
}

/// The same with a field set.
fn with(id: &str, field: &str, value: Value) -> Vec<u8> {
    let mut body = body(id);
    body[field] = value;
    body.to_string().into_bytes()
}

/// The same with a field set to what need not be JSON.
fn with_raw(id: &str, field: &str, value: &str) -> Vec<u8> {
    const MARK: &str = "@@@";
    let text = String::from_utf8(with(id, field, json!(MARK))).unwrap();
    text.replace(&format!("{MARK:?}"), value).into_bytes()
}

fn insert(chance: &mut SeededRng, into: &[u8], what: &[u8]) -> Vec<u8> {
    let (before, after) = into.split_at(chance.number(0..into.len() + 1));
    [before, what, after].concat()
}
