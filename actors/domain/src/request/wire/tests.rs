use proptest::prelude::*;

use super::*;

fn targets(request: &TranslationRequest) -> Vec<&str> {
    request.targets().collect()
}

fn decoded(json: &str) -> TranslationRequest {
    TranslationRequest::decode(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn null_means_absent() {
    let request = decoded(
        r#"{"messageId":"n1","text":"Good morning!","taskId":null,"sourceLanguage":null,"targetLanguages":null,
            "targetLanguage":"fr","modelType":null,"priority":null,"conversationId":null,"deadlineMs":null}"#,
    );
    assert_eq!(
        request,
        TranslationRequest::new("n1", "Good morning!", "fr")
    );
}

#[test]
fn numbers_are_ids_and_whole_floats_are_deadlines() {
    let request = decoded(
        r#"{"messageId":4711,"taskId":-1,"text":"Hi","targetLanguage":"fr","deadlineMs":5000.0}"#,
    );
    assert_eq!(request.message_id, "4711");
    assert_eq!(request.task_id(), "-1");
    assert_eq!(request.deadline_ms, Some(5_000));
}

#[test]
fn a_number_is_an_id_if_all_of_its_digits_can_be_kept() {
    let id = |literal: &str| {
        let json = format!(r#"{{"messageId":{literal},"text":"Hi","targetLanguage":"fr"}}"#);
        TranslationRequest::decode(json.as_bytes()).map(|request| request.message_id)
    };
    for (literal, kept) in [
        ("1.5", "1.5"),
        ("-0.25", "-0.25"),
        ("4711.0", "4711"),
        ("18446744073709551615", "18446744073709551615"),
        ("0.000123456789012345", "0.000123456789012345"),
    ] {
        assert_eq!(id(literal).as_deref(), Ok(kept));
    }
    for literal in ["18446744073709551617", "0.12345678901234567", "1e300"] {
        let error = id(literal).unwrap_err();
        assert_eq!(error.code, crate::ErrorCode::InvalidRequest);
        assert!(error.message.contains("write it as a string"), "{error}");
    }
}

#[test]
fn only_an_object_is_a_request() {
    let list = r#"[null,"m","Hi","en",["fr"],null,"basic",null,null,null]"#;
    for json in [list, "[]", "7", "null", r#""text""#] {
        let error = TranslationRequest::decode(json.as_bytes()).unwrap_err();
        assert_eq!(error.code, crate::ErrorCode::InvalidRequest, "{json}");
        assert!(error.message.contains("JSON object"), "{error}");
        assert_eq!(TranslationRequest::salvage(json.as_bytes(), 64), None);
    }
}

#[test]
fn half_a_surrogate_pair_is_read_as_a_replacement_character() {
    for (escaped, read) in [
        (r"a\ud83d", "a\u{fffd}"),
        (r"\ude00b", "\u{fffd}b"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
        (r"\ude00\ud83d\u0041", "\u{fffd}\u{fffd}A"),
        (r"\\ud83d", r"\ud83d"),
        (r"\uD83D\n", "\u{fffd}\n"),
    ] {
        let json =
            format!(r#"{{"messageId":"m{escaped}","text":"{escaped}","targetLanguage":"fr"}}"#);
        let request = decoded(&json);
        assert_eq!(
            (&*request.text, request.message_id),
            (read, format!("m{read}")),
            "{json}"
        );
    }
    let json = br#"{"messageId":"\ud83d","text":5,"targetLanguage":"fr"}"#;
    let salvaged = TranslationRequest::salvage(json, 64).unwrap();
    assert_eq!(salvaged.message_id, "\u{fffd}");
}

#[test]
fn the_source_language_is_salvaged() {
    let json = br#"{"messageId":"r","sourceLanguage":"en","text":5,"targetLanguage":"fr"}"#;
    let salvaged = TranslationRequest::salvage(json, 64).unwrap();
    assert_eq!(salvaged.source_language, "en");
    let json = br#"{"messageId":"r","sourceLanguage":7,"text":"a","targetLanguage":"fr"}"#;
    let salvaged = TranslationRequest::salvage(json, 64).unwrap();
    assert_eq!(salvaged.source_language, "auto");
}

#[test]
fn a_byte_order_mark_and_confluent_framing_are_no_part_of_a_request() {
    let json = r#"{"messageId":"m","text":"Hi","targetLanguage":"fr"}"#.as_bytes();
    let wanted = TranslationRequest::new("m", "Hi", "fr");
    for prefix in [
        &b"\xef\xbb\xbf"[..],
        b"\0\0\0\0\x07",
        b"\0\0\0\0\x07\xef\xbb\xbf",
        b"\0\xff\x7b\x22\x01",
    ] {
        let bytes = [prefix, json].concat();
        assert_eq!(TranslationRequest::decode(&bytes), Ok(wanted.clone()));
    }
    for broken in [
        &b"\0"[..],
        b"\0\0\0\0\0",
        b"\0{}",
        b"\xef\xbb\xbf",
        b"\0\0\0\0\0\0{}",
    ] {
        assert!(TranslationRequest::decode(broken).is_err());
    }
}

#[test]
fn an_unreadable_request_still_identifies_its_sender() {
    for bytes in [
        &br#"{"messageId":"r","text":5,"targetLanguage":"fr"}"#[..],
        br#"{"messageId":"r","text":"Hi","targetLanguages":["fr"],"modelType":"fast"}"#,
        br#"{"messageId":"r","text":"Hi","targetLanguages":["fr",7,[["x"]],{"a":1}],"deadlineMs":-1}"#,
        br#"{"messageId":"r","text":"Hi","targetLanguages":"fr"}"#,
        br#"{"messageId":"r","messageId":"r","text":"Hi","targetLanguage":"fr"}"#,
        b"{\"text\":\"\xff\xfe\",\"targetLanguage\":\"fr\",\"messageId\":\"r\"}",
        br#"{"messageId":"r","targetLanguage":"fr","text":"cut"#,
        br#"{"messageId":"r","targetLanguage":"fr","text":"twice"}{"messageId":"s"}"#,
    ] {
        let said = String::from_utf8_lossy(bytes);
        assert!(TranslationRequest::decode(bytes).is_err(), "{said}");
        let request = TranslationRequest::salvage(bytes, 64).unwrap_or_else(|| panic!("{said}"));
        assert_eq!((request.message_id.as_str(), targets(&request)), ("r", vec!["fr"]), "{said}");
    }
    let deep = format!(r#"{{"messageId":"r","ignored":{}"#, "[".repeat(200_000));
    assert!(TranslationRequest::salvage(deep.as_bytes(), 64).is_some());
}

#[test]
fn every_target_up_to_the_limit_is_salvaged_and_repetitions_do_not_count() {
    let tags: Vec<String> = (0..200).map(|n| format!("x{n}")).collect();
    let doubled = [&tags[..], &tags].concat();
    let json = serde_json::json!({"messageId": "r", "targetLanguages": doubled}).to_string();
    let salvaged = |most| TranslationRequest::salvage(json.as_bytes(), most).unwrap();
    assert_eq!(salvaged(200).target_languages, tags);
    assert_eq!(salvaged(64).target_languages, tags[..65]);
}

#[test]
fn a_record_without_message_id_gets_no_answer() {
    for bytes in [
        "",
        "hello",
        "[1]",
        "{}",
        r#"{"messageId":""}"#,
        r#"{"messageId":[]}"#,
        "7",
    ] {
        assert_eq!(
            TranslationRequest::salvage(bytes.as_bytes(), 64),
            None,
            "{bytes}"
        );
    }
}

proptest! {
    #[test]
    fn salvaging_agrees_with_decoding(
        id in ".{1,20}", task in prop::option::of(".*"), text in ".*", tags in prop::collection::vec("[a-z]{2}", 0..5),
    ) {
        let json = serde_json::json!({"messageId": id, "taskId": task, "text": text, "targetLanguages": tags}).to_string();
        let whole = TranslationRequest::decode(json.as_bytes()).unwrap();
        let found = TranslationRequest::salvage(json.as_bytes(), 64).unwrap();
        prop_assert_eq!(targets(&whole), targets(&found));
        prop_assert_eq!((whole.message_id, whole.task_id), (found.message_id, found.task_id));
    }

    #[test]
    fn text_is_read_whatever_code_units_a_client_escapes(units in prop::collection::vec(any::<u16>(), 0..20)) {
        let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        let json = format!(r#"{{"messageId":"m","text":"{escaped}","targetLanguage":"fr"}}"#);
        prop_assert_eq!(decoded(&json).text, String::from_utf16_lossy(&units));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = TranslationRequest::salvage(&bytes, 64);
        let framed = [&b"\0\0\0\0\x01{\"messageId\":"[..], &bytes].concat();
        let _ = TranslationRequest::salvage(&framed, 64);
    }
}
