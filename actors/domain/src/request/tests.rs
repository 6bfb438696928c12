use proptest::prelude::*;

use super::*;

fn xml_options() -> impl Strategy<Value = XmlOptions> {
    let names = || prop::collection::vec(".*", 0..3);
    (names(), names(), names(), any::<bool>()).prop_map(
        |(ignore_tags, splitting_tags, non_splitting_tags, no_outline_detection)| XmlOptions {
            ignore_tags,
            splitting_tags,
            non_splitting_tags,
            no_outline_detection,
        },
    )
}

fn request() -> impl Strategy<Value = TranslationRequest> {
    let tag = || prop::sample::select(vec!["en", "fr", "de-AT", "auto"]).prop_map(str::to_owned);
    let tier = prop::sample::select(vec![
        ModelType::Basic,
        ModelType::Medium,
        ModelType::Premium,
    ]);
    let priority = prop::sample::select(vec![Priority::High, Priority::Normal, Priority::Low]);
    (
        (prop::option::of(".*"), ".*", ".*", tag()),
        (
            prop::sample::select(Format::ALL.to_vec()),
            prop::sample::select(Splitting::ALL.to_vec()),
            prop::option::of(xml_options().prop_map(Box::new)),
            prop::option::of(".*"),
            prop::collection::vec((".*", ".*").prop_map(|(s, t)| Term::new(s, t)), 0..3),
        ),
        (
            prop::collection::vec(tag(), 0..4),
            prop::option::of(tag()),
            tier,
        ),
        (
            prop::option::of(".*"),
            prop::option::of(priority),
            prop::option::of(any::<u64>()),
            any::<u8>(),
        ),
    )
        .prop_map(
            |(
                (task_id, message_id, text, source_language),
                (format, splitting, xml, glossary_id, terms),
                (target_languages, target_language, model_type),
                (conversation_id, priority, deadline_ms, alternatives),
            )| {
                TranslationRequest {
                    task_id,
                    message_id,
                    text,
                    format,
                    splitting,
                    xml,
                    glossary_id,
                    terms,
                    source_language,
                    target_languages,
                    target_language,
                    model_type,
                    conversation_id,
                    priority,
                    deadline_ms,
                    alternatives,
                }
            },
        )
}

proptest! {
    #[test]
    fn a_request_survives_the_wire(request in request()) {
        let bytes = serde_json::to_vec(&request).unwrap();
        prop_assert_eq!(TranslationRequest::decode(&bytes).unwrap(), request);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = TranslationRequest::decode(&bytes);
    }
}

#[test]
fn a_message_with_fields_we_do_not_know_is_valid() {
    let json = br#"{"messageId":"m1","text":"Hello","sourceLanguage":"en","targetLanguages":["fr"],
                    "modelType":"medium","priority":"medium","someNewField":{"a":[1]},"timestamp":12}"#;
    let request = TranslationRequest::decode(json).unwrap();
    assert_eq!(request.model_type, ModelType::Medium);
    assert_eq!(request.lane(), Lane::Normal);
    assert_eq!(request.task_id(), "m1");
}

#[test]
fn bad_bytes_and_bad_fields_are_told_apart_and_never_quoted() {
    let code = |bytes: &[u8]| TranslationRequest::decode(bytes).unwrap_err();
    assert_eq!(code(b"{not json").code, ErrorCode::InvalidJson);
    assert_eq!(
        code(br#"{"messageId":"m","text":"\ud8zz"}"#).code,
        ErrorCode::InvalidJson
    );
    assert_eq!(code(b"{\"text\":\"\xff\"}").code, ErrorCode::InvalidJson);
    assert_eq!(code(b"").code, ErrorCode::InvalidJson);
    assert_eq!(code(br#"{"text":"x"}"#).code, ErrorCode::InvalidRequest);
    for field in ["modelType", "priority", "format", "splitting", "xml"] {
        for value in ["true", "7", "[[]]", "[]", "{}", "\"huge\""] {
            // An object is a value of this one field.
            if (field, value) == ("xml", "{}") {
                continue;
            }
            let json = format!(r#"{{"messageId":"m","text":"x","{field}":{value}}}"#);
            assert_eq!(
                code(json.as_bytes()).code,
                ErrorCode::InvalidRequest,
                "{json}"
            );
        }
    }
    let error = code(br#"{"messageId":"m","text":"x","targetLanguages":"a \"secret\" thing"}"#);
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    assert!(!error.message.contains("secret"), "{error}");
}

#[test]
fn formats_and_splittings_are_read_in_any_case_and_null_is_the_default() {
    let read = |fields: &str| {
        let json = format!(r#"{{"messageId":"m","text":"x","targetLanguage":"fr",{fields}}}"#);
        TranslationRequest::decode(json.as_bytes()).unwrap()
    };
    let plain = TranslationRequest::new("m", "x", "fr");
    assert_eq!(read(r#""format":null,"splitting":null,"xml":null"#), plain);
    let request = read(
        r#""format":"XML","splitting":"OFF","xml":{"ignoreTags":null,"splittingTags":["p"],"unknown":1}"#,
    );
    assert_eq!(
        (request.format, request.splitting),
        (Format::Xml, Splitting::Off)
    );
    assert_eq!(request.xml.unwrap().splitting_tags, ["p"]);
}

#[test]
fn an_unknown_format_is_an_invalid_request_that_lists_the_formats() {
    let json = br#"{"messageId":"m","text":"x","targetLanguage":"fr","format":"secret \"docx\""}"#;
    let error = TranslationRequest::decode(json).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    for format in Format::ALL {
        assert!(error.message.contains(format.as_str()), "{error}");
    }
    assert!(!error.message.contains("secret"), "{error}");
    let salvaged = TranslationRequest::salvage(json, 64).unwrap();
    assert_eq!(salvaged.message_id, "m");
}

#[test]
fn xml_options_need_the_format_and_names_of_elements() {
    let refused = |format, ignore_tags| {
        let request = TranslationRequest {
            format,
            xml: Some(Box::new(XmlOptions {
                ignore_tags,
                ..XmlOptions::default()
            })),
            ..TranslationRequest::new("m", "x", "fr")
        };
        request.validate(100).err()
    };
    assert_eq!(refused(Format::Xml, vec!["x".to_owned()]), None);
    let error = refused(Format::Html, Vec::new()).unwrap();
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    assert!(error.message.contains("the format is html"), "{error}");
    let error = refused(Format::Xml, vec!["<x>".to_owned()]).unwrap();
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    assert!(error.message.starts_with("xml.ignoreTags: "), "{error}");
}

#[test]
fn a_language_named_twice_is_wanted_once() {
    let json =
        br#"{"messageId":"m","text":"x","targetLanguages":["fr","de","fr"],"targetLanguage":"de"}"#;
    let request = TranslationRequest::decode(json).unwrap();
    assert_eq!(request.targets().collect::<Vec<_>>(), ["fr", "de"]);
}

#[test]
fn bulk_work_has_its_lane_and_no_conversation() {
    let json = br#"{"messageId":"m7","text":"x","targetLanguage":"fr","conversationId":"any"}"#;
    let request = TranslationRequest::decode(json).unwrap();
    assert_eq!((request.lane(), request.key()), (Lane::Any, "m7"));
}

#[test]
fn the_limit_counts_characters_not_bytes() {
    let json = r#"{"messageId":"m","text":"ééééé","targetLanguage":"fr"}"#;
    let request = TranslationRequest::decode(json.as_bytes()).unwrap();
    assert!(request.validate(5).is_ok());
    assert_eq!(
        request.validate(4).unwrap_err().code,
        ErrorCode::TextTooLong
    );
}

#[test]
fn a_glossary_needs_the_source_and_terms_have_one_target() {
    let read = |fields: &str| {
        let json = format!(r#"{{"messageId":"m","text":"x",{fields}}}"#);
        TranslationRequest::decode(json.as_bytes())
    };
    let refused = |fields: &str| read(fields).unwrap().validate(100).err();
    let glossary = r#""targetLanguages":["fr","de"],"glossaryId":"g""#;
    let error = refused(glossary).unwrap();
    assert!(error.message.contains("needs sourceLanguage"), "{error}");
    assert_eq!(
        refused(&format!(r#"{glossary},"sourceLanguage":"en""#)),
        None
    );
    let terms = r#""terms":[{"source":"a","target":"b"}]"#;
    assert_eq!(refused(&format!(r#"{terms},"targetLanguage":"fr""#)), None);
    for (fields, message) in [
        (r#""targetLanguages":["fr","de"]"#, "one target language"),
        (
            r#""targetLanguage":"fr","glossary_id":"g","sourceLanguage":"en""#,
            "cannot be used together",
        ),
    ] {
        let error = refused(&format!("{terms},{fields}")).unwrap();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert!(error.message.contains(message), "{error}");
    }
    for wrong in [r#"["a","b"]"#, r#""a""#, r#"{"source":"a"}"#] {
        let error = read(&format!(r#""targetLanguage":"fr","terms":[{wrong}]"#)).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest, "{wrong}");
    }
    let request = read(r#""targetLanguage":"fr","glossaryId":null,"terms":null"#).unwrap();
    assert_eq!((request.glossary_id, request.terms), (None, Vec::new()));
}
