//! Untranslatable records are answered or dead-lettered with a reason, and affect no others.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use babelmesh_integration_tests::{
    Backend, LocalNode, PATIENCE, Record, Sandbox, TopicReader, request,
};
use serde_json::{Value, json};

/// Something that cannot be translated.
struct Bad {
    name: &'static str,
    payload: Option<Vec<u8>>,
    code: &'static str,
    /// Target languages of the error results that it gets.
    answered: &'static [&'static str],
    /// Whether it is put into the dead letters.
    dead: bool,
}

fn bad(name: &'static str, payload: impl Into<Vec<u8>>, code: &'static str) -> Bad {
    Bad {
        name,
        payload: Some(payload.into()),
        code,
        answered: &[],
        dead: true,
    }
}

/// The same of one that says whom to answer.
fn answered(
    name: &'static str,
    payload: impl Into<Vec<u8>>,
    code: &'static str,
    answered: &'static [&'static str],
) -> Bad {
    Bad {
        answered,
        ..bad(name, payload, code)
    }
}

fn refused(name: &'static str, change: &Value, code: &'static str) -> Bad {
    let mut body = request(name, "hello", &["fr"], "c");
    for (field, value) in change.as_object().unwrap() {
        body[field] = value.clone();
    }
    Bad {
        answered: &["fr"],
        ..bad(name, body.to_string(), code)
    }
}

/// A request for so many languages that no node translates to.
fn many_targets(id: &str, count: usize) -> Value {
    let targets: Vec<_> = (0..count).map(|n| format!("x{n:05}")).collect();
    json!({"messageId": id, "text": "hello", "targetLanguages": targets})
}

fn cases() -> Vec<Bad> {
    let list = r#"[null,"a list","hello","en",["fr"],null,"basic",null,null,null]"#;
    let mut cut = request("cut", "hello", &["fr"], "c").to_string();
    cut.truncate(30);
    vec![
        bad("not JSON", "hello", "invalid_json"),
        bad("JSON that is cut", cut, "invalid_json"),
        bad("binary", vec![0, 159, 146, 150, 255, 0, 1], "invalid_json"),
        bad("an empty payload", "", "invalid_json"),
        Bad {
            payload: None,
            ..bad("no payload", "", "invalid_json")
        },
        bad("a list", list, "invalid_request"),
        answered(
            "bytes that are no UTF-8",
            b"{\"messageId\":\"bytes that are no UTF-8\",\"text\":\"\xff\",\"targetLanguage\":\"fr\"}",
            "invalid_json",
            &["fr"],
        ),
        bad("a list", "[1, 2]", "invalid_request"),
        bad("a string", "\"hello\"", "invalid_request"),
        answered(
            "no text",
            r#"{"messageId":"no text","targetLanguage":"fr"}"#,
            "invalid_request",
            &["fr"],
        ),
        answered(
            "a number for a text",
            r#"{"messageId":"a number for a text","text":5,"targetLanguages":["fr","de"]}"#,
            "invalid_request",
            &["fr", "de"],
        ),
        answered(
            "an unknown tier",
            r#"{"messageId":"an unknown tier","text":"hi","modelType":"huge"}"#,
            "invalid_request",
            &[""],
        ),
        answered(
            "an unknown format",
            r#"{"messageId":"an unknown format","text":"hi","format":"docx","targetLanguages":["fr","de"]}"#,
            "invalid_request",
            &["fr", "de"],
        ),
        answered(
            "a format of another type",
            r#"{"messageId":"a format of another type","text":"hi","format":7,"targetLanguage":"fr"}"#,
            "invalid_request",
            &["fr"],
        ),
        answered(
            "an unknown splitting",
            r#"{"messageId":"an unknown splitting","text":"hi","splitting":"lines","targetLanguage":"fr"}"#,
            "invalid_request",
            &["fr"],
        ),
        refused(
            "XML options of another format",
            &json!({"format": "html", "xml": {"ignoreTags": ["x"]}}),
            "invalid_request",
        ),
        refused(
            "an impossible name of an element",
            &json!({"format": "xml", "xml": {"ignoreTags": ["<x>"]}}),
            "invalid_request",
        ),
        refused(
            "too many names of elements",
            &json!({"format": "xml", "xml": {"splittingTags": vec!["x"; 257]}}),
            "invalid_request",
        ),
        answered(
            "a negative deadline",
            r#"{"messageId":"a negative deadline","text":"hi","targetLanguage":"fr","deadlineMs":-1}"#,
            "invalid_request",
            &["fr"],
        ),
        answered(
            "a text for a list",
            r#"{"messageId":"a text for a list","text":"hi","targetLanguages":"fr"}"#,
            "invalid_request",
            &["fr"],
        ),
        answered(
            "a field twice",
            r#"{"messageId":"a field twice","text":"hi","text":"ho","targetLanguage":"fr"}"#,
            "invalid_request",
            &["fr"],
        ),
        answered(
            "too many targets",
            many_targets("too many targets", 65).to_string(),
            "invalid_request",
            &[""],
        ),
        answered(
            "JSON that is deep",
            format!(
                r#"{{"messageId":"JSON that is deep","ignored":{}"#,
                "[".repeat(100_000)
            ),
            "invalid_json",
            &[""],
        ),
        Bad {
            answered: &[""],
            ..refused(
                "no target",
                &json!({"targetLanguages": []}),
                "invalid_request",
            )
        },
        refused("empty text", &json!({"text": ""}), "empty_text"),
        refused(
            "white space",
            &json!({"text": " \n\t\u{2003}"}),
            "empty_text",
        ),
        refused(
            "a megabyte",
            &json!({"text": "word ".repeat(200_000)}),
            "text_too_long",
        ),
        refused(
            "no language",
            &json!({"sourceLanguage": "klingon"}),
            "invalid_language",
        ),
        Bad {
            answered: &["12"],
            ..refused(
                "no target language",
                &json!({"targetLanguages": ["12"]}),
                "invalid_language",
            )
        },
        Bad {
            answered: &["ja"],
            ..refused(
                "unknown target",
                &json!({"targetLanguages": ["ja"]}),
                "unsupported_language",
            )
        },
        refused(
            "unknown source",
            &json!({"sourceLanguage": "ja"}),
            "unsupported_pair",
        ),
        refused(
            "a language that no model reads",
            &json!({"text": "გამარჯობა მეგობრებო", "sourceLanguage": "auto"}),
            "unsupported_pair",
        ),
        // Cherokee: no library knows its script.
        refused(
            "no language to tell",
            &json!({"text": "ᎣᏏᏲ ᎣᎩᎾᎵᎢ", "sourceLanguage": "auto"}),
            "undetected_language",
        ),
        Bad {
            dead: false,
            ..refused(
                "too late",
                &json!({"deadlineMs": 5_000}),
                "deadline_exceeded",
            )
        },
    ]
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn ask_good(backend: &mut Backend, numbers: std::ops::Range<usize>) {
    for number in numbers {
        backend.ask(&request(
            &format!("good-{number}"),
            "hello",
            &["fr", "de"],
            "c",
        ));
    }
}

#[test]
fn untranslatable_records_get_their_reason_and_disturb_no_others() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    let cases = cases();
    for (number, case) in cases.iter().enumerate() {
        ask_good(&mut backend, number * 10..number * 10 + 5);
        let record = Record {
            payload: case.payload.clone(),
            ..Record::to("translation.requests", "c", "")
        };
        for target in case.answered {
            backend.ids.ask(case.name, target);
        }
        // An hour old: only the one with a deadline minds.
        backend.write(&Record {
            timestamp: Some(now_ms() - 3_600_000),
            ..record
        });
        ask_good(&mut backend, number * 10 + 5..number * 10 + 10);
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for answer in backend
        .ids
        .all()
        .filter(|answer| answer.result.message_id.starts_with("good-"))
    {
        assert_eq!(
            answer.text(),
            format!("{}:hello", answer.result.target_language)
        );
    }
    for case in &cases {
        for target in case.answered {
            let result = &backend.ids.of(case.name, target).result;
            let error = result
                .error
                .as_ref()
                .unwrap_or_else(|| panic!("{}: {result:?}", case.name));
            assert_eq!(
                error.code.name(),
                case.code,
                "{}: {}",
                case.name,
                error.message
            );
            assert_eq!(error.retriable, !case.dead, "{}", case.name);
            assert!(result.translated_text.is_none() && result.confidence_score == 0.0);
        }
    }
    assert_dead_letters(&node, &backend, &cases);
    assert_eq!(node.events().failures(), []);
}

/// The letters are those of the bad messages, each as it was, with its reason and where it was read.
fn assert_dead_letters(node: &LocalNode, backend: &Backend, cases: &[Bad]) {
    let dead = cases.iter().filter(|case| case.dead);
    let letters = backend.letters(dead.clone().count(), PATIENCE);
    assert_eq!(letters.len(), dead.clone().count());
    let mut sources = BTreeMap::new();
    for topic in [
        "translation.requests",
        "translation.jobs.fr",
        "translation.jobs.fr.any",
    ] {
        for record in TopicReader::new(node.clients(), topic).rest() {
            sources.insert(
                (record.topic.clone(), record.partition, record.offset),
                record,
            );
        }
    }
    let mut codes = Vec::new();
    for letter in &letters {
        let number = |name: &str| letter.header(name).parse().unwrap();
        let topic = letter.header("babelmesh-origin-topic").to_owned();
        let origin = (
            topic,
            number("babelmesh-origin-partition"),
            i64::from(number("babelmesh-origin-offset")),
        );
        let source = sources
            .get(&origin)
            .unwrap_or_else(|| panic!("nothing is at {origin:?}"));
        assert_is_copy(letter, source);
        assert_eq!(letter.key, "c");
        assert!(!letter.header("babelmesh-node").is_empty());
        let message = letter.header("babelmesh-error-message");
        assert!(!message.is_empty() && message.len() < 500, "{message}");
        codes.push(letter.header("babelmesh-error-code"));
    }
    let mut expected: Vec<_> = dead.map(|case| case.code).collect();
    expected.sort_unstable();
    codes.sort_unstable();
    assert_eq!(codes, expected);
}

/// A letter holds what was read, or the beginning of what is too long for any letter.
fn assert_is_copy(letter: &Record, source: &Record) {
    let [held, read] = [letter, source].map(|record| record.payload.clone().unwrap_or_default());
    match letter.header("babelmesh-original-bytes") {
        "" => assert!(held == read, "{}", String::from_utf8_lossy(&held)),
        bytes => {
            assert_eq!(bytes.parse(), Ok(read.len()));
            assert!(read.starts_with(&held) && held.len() > 500_000 && held.len() < read.len());
        }
    }
}

#[test]
fn one_bad_target_does_not_spoil_the_others() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    backend.ask(&request("m", "hello", &["fr", "klingon", "ja", "de"], "c"));
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let errors = ["fr", "klingon", "ja", "de"].map(|target| backend.ids.of("m", target).error());
    assert_eq!(errors, ["", "invalid_language", "unsupported_language", ""]);
    let letters = backend.letters(1, PATIENCE);
    assert_eq!(letters.len(), 1, "one dead letter for all that is refused");
    let left: Value = serde_json::from_slice(letters[0].payload.as_deref().unwrap()).unwrap();
    assert_eq!(left["targetLanguages"], json!(["klingon", "ja"]));
}

#[test]
fn requests_are_read_as_their_producers_write_them() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    let plain = |id: &str| request(id, "hello", &["fr"], "c").to_string().into_bytes();
    let framed = |prefix: &[u8], id: &str| [prefix, &plain(id)].concat();
    let nulls = json!({"messageId": "nulls", "text": "hello", "sourceLanguage": "en", "targetLanguages": ["fr"],
        "targetLanguage": null, "taskId": null, "modelType": null, "priority": null, "conversationId": null, "deadlineMs": null});
    let numbers = json!({"messageId": 4711, "text": "hello", "sourceLanguage": "en", "targetLanguage": "fr", "deadlineMs": 60000.0});
    let spelled = json!({"messageId": "spelled", "text": "hello", "sourceLanguage": "en", "targetLanguages": ["fr", "FR", "fr-CA"]});
    for (id, payload) in [
        ("nulls", nulls.to_string().into_bytes()),
        ("4711", numbers.to_string().into_bytes()),
        ("marked", framed(b"\xef\xbb\xbf", "marked")),
        ("framed", framed(b"\0\0\0\0\x2a", "framed")),
        ("spelled", spelled.to_string().into_bytes()),
    ] {
        backend.ids.ask(id, "fr");
        backend.write(&Record {
            payload: Some(payload),
            ..Record::to("translation.requests", "c", "")
        });
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for id in ["nulls", "4711", "marked", "framed", "spelled"] {
        assert_eq!(backend.ids.of(id, "fr").text(), "fr:hello", "{id}");
    }
}

#[test]
fn a_small_record_that_names_thousands_of_targets_delays_nobody() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    let mut bomb = many_targets("bomb", 14_000);
    bomb["text"] = json!("word ".repeat(20_000));
    backend.ids.ask("bomb", "");
    backend.write(&Record::to("translation.requests", "c", bomb.to_string()));
    ask_good(&mut backend, 0..5);
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(backend.ids.of("bomb", "").error(), "invalid_request");
    assert_eq!(backend.letters(1, PATIENCE).len(), 1);
}

#[test]
fn a_job_with_several_languages_is_put_aside() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    let topic = "translation.jobs.fr";
    backend.write(&Record::to(
        topic,
        "c",
        request("m", "hello", &["fr", "de"], "c").to_string(),
    ));
    backend.write(&Record::to(topic, "c", "{"));
    backend.ask_by(Record::to(
        topic,
        "c",
        request("good", "hello", &["fr"], "c").to_string(),
    ));
    for target in ["fr", "de"] {
        backend.ids.ask("m", target);
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(backend.ids.of("m", "de").error(), "invalid_request");
    let letters = backend.letters(2, PATIENCE);
    let codes: Vec<_> = letters
        .iter()
        .map(|letter| letter.header("babelmesh-error-code"))
        .collect();
    assert_eq!(codes, ["invalid_request", "invalid_json"]);
    assert!(
        letters
            .iter()
            .all(|letter| letter.header("babelmesh-origin-topic") == topic)
    );
}

#[test]
fn a_text_of_many_sentences_is_translated_whole() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    let sentence = "This is a sentence of some length, and there are many like it. ";
    let text = sentence.repeat(99_000 / sentence.len());
    backend.ask(&request("long", &text, &["fr"], "c"));
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let answer = backend.ids.of("long", "fr");
    assert_eq!(answer.text().replace("fr:", ""), text);
    assert!(
        answer.result.segments_count > 100,
        "{}",
        answer.result.segments_count
    );
}
