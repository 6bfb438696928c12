//! Records of every kind, and what must become of each.

use std::time::SystemTime;

use babelmesh::kafka::topics::TopicNames;
use babelmesh_integration_tests::SeededRng;
use serde_json::{Map, Value, json};

use super::writers::RawRecord;

/// Longest text that the node takes, in characters.
pub(crate) const MAX_TEXT_CHARS: usize = 5_000;
/// Most targets that it takes.
const MAX_TARGETS: usize = 64;
/// Longest id that it takes, in bytes.
const MAX_ID_BYTES: usize = 1_024;

/// What must become of a record.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Message id, target and error code of each answer; the code of a translation is empty.
    pub(crate) answers: Vec<(String, String, &'static str)>,
    /// Error code of the dead letter.
    pub(crate) letter: Option<&'static str>,
}

/// A record and what must become of it.
pub(crate) struct Case {
    pub(crate) record: RawRecord,
    pub(crate) expected: Expected,
}

/// Makes records.
pub(crate) struct Cases {
    topics: TopicNames,
    chance: SeededRng,
    number: usize,
}

/// A value and what must become of it.
type Made = (Option<Vec<u8>>, Expected);

impl Cases {
    pub(crate) const fn new(topics: TopicNames, chance: SeededRng) -> Self {
        Self {
            topics,
            chance,
            number: 0,
        }
    }

    /// The next record. Three in five are good.
    pub(crate) fn next(&mut self) -> Case {
        self.number += 1;
        let is_job = self.chance.one_in(8);
        let (value, expected) = match self.chance.number(0..5) {
            0..3 => self.good(is_job),
            _ => self.bad(is_job),
        };
        let topic = match is_job {
            true => format!("{}.fr", self.topics.jobs),
            false => self.topics.requests.clone(),
        };
        let record = RawRecord {
            topic,
            key: self.key(),
            value,
            headers: self.headers(),
            timestamp: self.timestamp(),
        };
        Case { record, expected }
    }

    fn id(&self) -> String {
        format!("m{}", self.number)
    }

    /// Targets that are served, and those of them that are answered.
    fn targets(&mut self, is_job: bool) -> (Vec<&'static str>, Vec<&'static str>) {
        if is_job {
            return (vec!["fr"], vec!["fr"]);
        }
        let choices: [(&[&str], &[&str]); 6] = [
            (&["fr"], &["fr"]),
            (&["de"], &["de"]),
            (&["fr", "de"], &["fr", "de"]),
            (&["de", "fr", "de", "fr"], &["de", "fr"]),
            (&["FR", "fr-CA", "fr"], &["FR"]),
            (&["de-AT", "fr_FR", "DE"], &["de-AT", "fr_FR"]),
        ];
        let (named, answered) = *self.chance.pick(&choices);
        (named.to_vec(), answered.to_vec())
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 12] = [
            "Good morning. ",
            "Where is the station? ",
            "<b>bold</b> ",
            "{name} ",
            "https://example.org/a?b=c ",
            "👩‍👩‍👧 ",
            "日本語 ",
            "\n\n",
            "\u{0}\u{1}",
            "\"quoted\\\" ",
            "e\u{301}\u{202e} ",
            "%s %1$d ",
        ];
        let mut text = "Hello. ".to_owned();
        let parts = match self.chance.one_in(50) {
            true => 150,
            false => self.chance.number(0..12),
        };
        for _ in 0..parts {
            text.push_str(self.chance.pick::<&str>(&PARTS));
        }
        text
    }

    /// A good request as its fields. The id comes first and the text last: a value that is cut keeps what it takes to answer.
    fn request(&mut self, named: &[&str]) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("messageId".into(), json!(self.id()));
        if named.len() == 1 && self.chance.one_in(2) {
            fields.insert("targetLanguage".into(), json!(named[0]));
        } else {
            fields.insert("targetLanguages".into(), json!(named));
        }
        let optional = [
            ("sourceLanguage", [json!("en"), json!("en-GB"), json!("EN")]),
            ("taskId", [json!("t"), json!(17), Value::Null]),
            ("modelType", [json!("basic"), json!("premium"), Value::Null]),
            ("priority", [json!("high"), json!("medium"), Value::Null]),
            ("conversationId", [json!("any"), json!(-4), Value::Null]),
            (
                "deadlineMs",
                [json!(86_400_000), json!(86_400_000.0), Value::Null],
            ),
            (
                "unknown",
                [json!([[[]]]), json!({"a": "\u{feff}"}), json!(1e300)],
            ),
        ];
        for (name, values) in optional {
            // Which language a text has is not the matter here.
            if name == "sourceLanguage" || self.chance.one_in(2) {
                fields.insert(name.into(), self.chance.pick(&values).clone());
            }
        }
        fields
    }

    fn bytes(&mut self, mut fields: Map<String, Value>, text: Value) -> Vec<u8> {
        fields.insert("text".into(), text);
        Value::Object(fields).to_string().into_bytes()
    }

    fn good(&mut self, is_job: bool) -> Made {
        let (named, answered) = self.targets(is_job);
        let mut fields = self.request(&named);
        let mut id = self.id();
        if self.chance.one_in(10) {
            id = self.number.to_string();
            fields.insert("messageId".into(), json!(self.number));
        }
        let text = json!(self.text());
        let json = self.bytes(fields, text);
        let frames: [&[u8]; 4] = [
            b"",
            b"\xef\xbb\xbf",
            b"\0\0\0\0\x2a",
            b"\0\xff\xff\xff\xff\xef\xbb\xbf",
        ];
        let value = match self.chance.one_in(4) {
            true => [*self.chance.pick(&frames), &json].concat(),
            false => json,
        };
        let answers = answered.into_iter();
        let expected = Expected {
            answers: answers
                .map(|target| (id.clone(), target.to_owned(), ""))
                .collect(),
            letter: None,
        };
        (Some(value), expected)
    }

    /// An error for each of these targets, and a dead letter.
    fn refused(&self, answered: &[&str], code: &'static str) -> Expected {
        let answers = answered.iter();
        Expected {
            answers: answers
                .map(|target| (self.id(), (*target).to_owned(), code))
                .collect(),
            letter: Some(code),
        }
    }

    fn bad(&mut self, is_job: bool) -> Made {
        match self.chance.number(0..5) {
            0 => self.nobody_to_answer(),
            1 => self.no_json(is_job),
            2 => self.wrong_field(is_job),
            3 => self.wrong_text(is_job),
            _ if is_job => self.wrong_text(is_job),
            _ => self.wrong_targets(),
        }
    }

    fn nobody_to_answer(&mut self) -> Made {
        let (named, _) = self.targets(true);
        let fields = self.request(&named);
        let mut anonymous = fields.clone();
        let _ = anonymous.remove("messageId");
        let random = self.chance.number(0..400);
        let random = [&b"{\xff"[..], &self.chance.bytes(random)].concat();
        let values = [
            (None, "invalid_json"),
            (Some(Vec::new()), "invalid_json"),
            (Some(random), "invalid_json"),
            (Some(b"\0\0\0\0\x01".to_vec()), "invalid_json"),
            (Some(b"\xff\xfe{\0}\0".to_vec()), "invalid_json"),
            (Some("[".repeat(100_000).into_bytes()), "invalid_json"),
            (Some(b"[1,2]".to_vec()), "invalid_request"),
            (Some(b"null".to_vec()), "invalid_request"),
            (
                Some(self.bytes(anonymous, json!("Hello"))),
                "invalid_request",
            ),
        ];
        let (value, code) = self.chance.pick(&values).clone();
        (value, self.refused(&[], code))
    }

    /// The beginning of a request whose text is not valid.
    fn no_json(&mut self, is_job: bool) -> Made {
        let (named, answered) = self.targets(is_job);
        let (id, named) = (self.id(), json!(named));
        let head = format!(r#"{{"messageId":"{id}","targetLanguages":{named},"#);
        let tails: [&[u8]; 6] = [
            b"\"text\":\"cut off",
            b"\"text\":\"\xc3\x28\"}",
            b"\"text\":\"\\ud8zz alone\"}",
            b"\"text\":\"Hello\",}",
            b"\"text\":\"Hello\"} {}",
            b"\"text\":\"tab\tinside\"}",
        ];
        let tail = match self.chance.one_in(7) {
            true => format!("\"deep\":{}", "[".repeat(50_000)).into_bytes(),
            false => self.chance.pick(&tails).to_vec(),
        };
        let value = [head.as_bytes(), &tail].concat();
        (Some(value), self.refused(&answered, "invalid_json"))
    }

    fn wrong_field(&mut self, is_job: bool) -> Made {
        let (named, answered) = self.targets(is_job);
        let mut fields = self.request(&named);
        let wrong = [
            ("deadlineMs", json!(-1)),
            ("deadlineMs", json!(1.5)),
            ("deadlineMs", json!("5")),
            ("priority", json!("urgent")),
            ("modelType", json!(["basic"])),
            ("modelType", json!("enormous")),
            ("taskId", json!({})),
            ("sourceLanguage", json!(7)),
        ];
        let (name, value) = self.chance.pick(&wrong).clone();
        fields.insert(name.into(), value);
        let value = self.bytes(fields, json!("Hello"));
        (Some(value), self.refused(&answered, "invalid_request"))
    }

    fn wrong_text(&mut self, is_job: bool) -> Made {
        let (named, answered) = self.targets(is_job);
        let fields = self.request(&named);
        let long = "é".repeat(MAX_TEXT_CHARS + 1);
        let texts = [
            (json!(""), "empty_text"),
            (json!(" \n\t\u{2003}"), "empty_text"),
            (json!(long), "text_too_long"),
            (Value::Null, "invalid_request"),
            (json!(17), "invalid_request"),
        ];
        let (text, code) = self.chance.pick(&texts).clone();
        let value = self.bytes(fields, text);
        (Some(value), self.refused(&answered, code))
    }

    /// Targets that cannot be served, or too many of them, or an id that is too long for as many.
    fn wrong_targets(&mut self) -> Made {
        let id = self.id();
        match self.chance.number(0..4) {
            0 => {
                let most = *self.chance.pick(&[MAX_TARGETS + 1, 500, 5_000]);
                let named: Vec<String> = (0..most).map(|n| format!("fr-{n:05}")).collect();
                let named: Vec<&str> = named.iter().map(String::as_str).collect();
                let fields = self.request(&named);
                let value = self.bytes(fields, json!("Hello"));
                (Some(value), self.refused(&[""], "invalid_request"))
            }
            1 => {
                let mut fields = self.request(&["fr", "de"]);
                let bytes = MAX_ID_BYTES + 1 + self.chance.number(0..50_000);
                let name = *self
                    .chance
                    .pick(&["taskId", "conversationId", "sourceLanguage"]);
                fields.insert(name.into(), json!("x".repeat(bytes)));
                let value = self.bytes(fields, json!("Hello"));
                (Some(value), self.refused(&[""], "invalid_request"))
            }
            2 => {
                let fields = self.request(&[]);
                let value = self.bytes(fields, json!("Hello"));
                (Some(value), self.refused(&[""], "invalid_request"))
            }
            _ => {
                let (wrong, code) = *self.chance.pick(&[
                    ("xx", "unsupported_language"),
                    ("ja", "unsupported_language"),
                    ("klingon language", "invalid_language"),
                    ("-", "invalid_language"),
                ]);
                let fields = self.request(&["fr", wrong]);
                let value = self.bytes(fields, json!("Hello"));
                let mut expected = self.refused(&[wrong], code);
                expected.answers.push((id, "fr".to_owned(), ""));
                (Some(value), expected)
            }
        }
    }

    fn key(&mut self) -> Option<Vec<u8>> {
        match self.chance.number(0..6) {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(self.chance.bytes(16)),
            3 if self.chance.one_in(20) => Some(vec![b'k'; 20_000]),
            _ => Some(format!("c{}", self.chance.number(0..100)).into_bytes()),
        }
    }

    fn headers(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let count = match self.chance.number(0..10) {
            0..5 => 0,
            9 if self.chance.one_in(20) => 300,
            _ => self.chance.number(1..5),
        };
        (0..count).map(|_| self.header()).collect()
    }

    fn header(&mut self) -> (Vec<u8>, Option<Vec<u8>>) {
        const NAMES: [&str; 9] = [
            "traceparent",
            "tracestate",
            "babelmesh-submitted-at",
            "babelmesh-replays",
            "babelmesh-replayed-from",
            "babelmesh-origin-offset",
            "babelmesh-idempotency-key",
            "",
            "naïve",
        ];
        let name = match self.chance.one_in(10) {
            true => [&b"\xff"[..], &self.chance.bytes(4)].concat(),
            false => self.chance.pick(&NAMES).as_bytes().to_vec(),
        };
        let length = match self.chance.one_in(200) {
            true => 100_000,
            false => self.chance.number(0..60),
        };
        let value = match self.chance.number(0..5) {
            0 => None,
            // With a letter first: a few digits would be a time in 1970, which ends every deadline.
            1 => Some([&b"x"[..], &self.chance.bytes(length)].concat()),
            2 => Some(i64::MIN.to_string().into_bytes()),
            3 => Some(u64::MAX.to_string().into_bytes()),
            _ => Some(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_vec()),
        };
        (name, value)
    }

    /// Around now: brokers refuse the far future, and the far past is deleted at once.
    fn timestamp(&mut self) -> Option<i64> {
        const HALF_AN_HOUR: usize = 30 * 60 * 1_000;
        if self.chance.one_in(2) {
            return None;
        }
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let shift = self.chance.number(0..2 * HALF_AN_HOUR);
        Some(now.as_millis() as i64 + shift as i64 - HALF_AN_HOUR as i64)
    }
}
