//! The whole way with the demonstration model on the real engines.

use babelmesh::load::everyday;
use babelmesh_actors::domain::ErrorCode;
use babelmesh_integration_tests::{LocalNode, PATIENCE, Sandbox, executables, request};

/// A sentence, a target, and a word of which one must be in its translation.
const KNOWN: [(&str, &str, &[&str]); 5] = [
    ("Where is the train station?", "fr", &["gare"]),
    ("Good morning.", "de", &["morgen"]),
    ("I am hungry.", "fr", &["faim"]),
    ("Thank you very much.", "fr", &["merci"]),
    ("Thank you very much.", "de", &["dank"]),
];

/// Translates the everyday texts into both languages; returns the name of the engine that did it.
fn translate_everyday_texts(kind: &str, texts: usize) -> String {
    for engine in ["ctranslate2", "rust-bert"] {
        assert!(executables::engine(engine).is_file());
    }
    let sandbox = Sandbox::new();
    let settings = sandbox.node().set("engine.kind", kind);
    let settings = settings.set("engine.directory", executables::folder().display());
    let node = LocalNode::start(&settings.set("pool.max_actors", 2));
    let mut backend = node.backend();
    let texts: Vec<String> = everyday().into_iter().take(texts).collect();
    for (number, text) in texts.iter().enumerate() {
        let conversation = format!("c{}", number % 10);
        backend.ask(&request(
            &format!("m{number}"),
            text,
            &["fr", "de"],
            &conversation,
        ));
    }
    for (number, (text, target, _)) in KNOWN.iter().enumerate() {
        backend.ask(&request(
            &format!("known-{number}"),
            text,
            &[target],
            "known",
        ));
    }
    backend.read_all(PATIENCE * 2);
    backend.ids.assert_exactly_once();
    let mut unchanged = 0;
    for answer in backend.ids.all() {
        let result = &answer.result;
        assert!(!answer.text().trim().is_empty(), "{result:?}");
        let score = result.confidence_score;
        assert!(score > 0.0 && score <= 1.0, "{result:?}");
        let original = result
            .message_id
            .strip_prefix('m')
            .map(|number| &texts[number.parse::<usize>().unwrap()]);
        unchanged += usize::from(original.is_some_and(|original| original == answer.text()));
    }
    assert!(
        unchanged * 20 < texts.len() * 2,
        "{unchanged} texts came back as they were"
    );
    for (number, (text, target, words)) in KNOWN.iter().enumerate() {
        let translation = backend
            .ids
            .of(&format!("known-{number}"), target)
            .text()
            .to_lowercase();
        let found = words
            .iter()
            .any(|word| translation.contains(&word.to_lowercase()));
        assert!(found, "{text} → {translation} has none of {words:?}");
    }
    assert!(backend.letters(0, PATIENCE).is_empty());
    assert_eq!(node.events().failures(), []);
    node.pool().engine
}

#[test]
fn ctranslate2_translates_everyday_texts() {
    assert_eq!(translate_everyday_texts("ctranslate2", 300), "ctranslate2");
}

#[test]
fn rust_bert_translates_everyday_texts() {
    assert_eq!(translate_everyday_texts("rust-bert", 150), "rust-bert");
}

#[test]
fn ctranslate2_is_taken_where_both_engines_could_be() {
    assert_eq!(translate_everyday_texts("auto", 20), "ctranslate2");
}

/// Unpunctuated Finnish of so many characters, sent as English: more tokens than the estimate of them says.
fn finnish(characters: usize, last: &str) -> String {
    let words = "talvella lunta sataa harvoin mutta silloin koko kylän väki lähtee hiihtämään järven yli saareen asti";
    let mut text = String::new();
    for word in words.split(' ').cycle() {
        if text.chars().count() + word.chars().count() + last.len() + 1 > characters {
            break;
        }
        text.push_str(word);
        text.push(' ');
    }
    text + last
}

/// Random consonants, the same at every call.
fn consonants(count: usize) -> String {
    let mut state = 12_345_u32;
    let consonant = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b"bcdfghjklmnpqrstvwxz"[(state >> 16) as usize % 20])
    };
    std::iter::repeat_with(consonant).take(count).collect()
}

#[test]
fn no_text_loses_its_end() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node().set("engine.kind", "ctranslate2");
    let settings = settings.set("engine.directory", executables::folder().display());
    let node = LocalNode::start(&settings);
    let mut backend = node.backend();
    let texts = [
        ("zebra", finnish(1_500, "zebra")),
        ("house", finnish(1_500, "house")),
        ("train", finnish(1_500, "train")),
        ("consonants", consonants(1_700)),
        (
            "capitals",
            "THE TRAIN LEAVES AND WE WAIT FOR IT ".repeat(40),
        ),
    ];
    for (id, text) in &texts {
        backend.ask(&request(id, text, &["fr"], id));
    }
    backend.read_all(PATIENCE * 4);
    backend.ids.assert_exactly_once();
    let mut finnish = std::collections::BTreeSet::new();
    for answer in backend.ids.all() {
        let result = &answer.result;
        let id = result.message_id.as_str();
        // A model that cannot come to an end of such a text has to say so.
        if let Some(error) = &result.error {
            assert_eq!(error.code, ErrorCode::TextTooLong, "{result:?}");
            assert_eq!(id, "consonants", "{result:?}");
            continue;
        }
        // Where no answer passes the checks, a part stays as it is, and the result says so.
        let checks = result.checks.clone().unwrap_or_default();
        if checks.source > 0 {
            assert!(id != "capitals", "{result:?}");
            assert!(checks.flags.contains(&"source_kept".to_owned()));
        }
        if ["zebra", "house", "train"].contains(&id) {
            finnish.insert(answer.text().to_owned());
        }
        assert!(result.segments_count > 1 || checks.source > 0, "{result:?}");
    }
    assert_eq!(finnish.len(), 3, "{finnish:?}");
}
