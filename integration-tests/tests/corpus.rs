//! Two thousand messages with five thousand tokens and tags of all kinds: none is lost by any model.

use std::{collections::BTreeMap, time::Duration};

use babelmesh_integration_tests::{
    LocalNode, PATIENCE, Sandbox, SeededRng, Settings,
    corpus::{CorpusMessage, corpus},
    executables, measured,
    real_models::imported,
};
use serde_json::json;

const MESSAGES: usize = 2_000;

/// How the sentences with tokens or markup were translated.
#[derive(Debug, Default)]
struct Ways {
    sentences: u32,
    stand_in: u32,
    cut: u32,
    source: u32,
    /// Sentences in which the model did not copy a token of this kind.
    kinds: BTreeMap<String, u32>,
}

/// Translates the corpus into `target` and checks that everything survives.
fn translate(settings: &Settings, target: &str, messages: &[CorpusMessage]) -> Ways {
    let node = LocalNode::start(settings);
    let mut backend = node.backend();
    for (number, message) in messages.iter().enumerate() {
        backend.ask(&json!({
            "messageId": format!("m{number}"), "text": message.text, "format": message.format,
            "sourceLanguage": "en", "targetLanguages": [target],
            "conversationId": format!("c{}", number % 40),
        }));
    }
    backend.read_all(PATIENCE + Duration::from_secs(180));
    backend.ids.assert_exactly_once();
    let mut ways = Ways::default();
    let mut damaged = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let answer = backend.ids.of(&format!("m{number}"), target);
        let damage = message.damage(answer.text());
        if !damage.is_empty() {
            let (source, text) = (&message.text, answer.text());
            damaged.push(format!("{damage:?}: {source:?} became {text:?}"));
        }
        ways.sentences += message.sentences;
        let checks = answer.result.checks.clone().unwrap_or_default();
        ways.stand_in += checks.stand_in;
        ways.cut += checks.cut;
        ways.source += checks.source;
        for kind in checks.kinds {
            *ways.kinds.entry(kind).or_default() += 1;
        }
    }
    let count = damaged.len();
    damaged.truncate(20);
    assert!(
        damaged.is_empty(),
        "{count} damaged, among them\n{}",
        damaged.join("\n")
    );
    ways
}

fn messages() -> Vec<CorpusMessage> {
    let messages = corpus(MESSAGES, &mut SeededRng::of("corpus"));
    let tokens: usize = messages.iter().map(|message| message.kept.len()).sum();
    measured("corpus, tokens and tags", tokens);
    assert!(tokens >= 5_000, "{tokens} tokens and tags");
    messages
}

#[test]
fn the_fake_engine_loses_no_token_and_no_tag() {
    let sandbox = Sandbox::new();
    translate(&sandbox.node(), "fr", &messages());
}

#[test]
fn the_toy_model_loses_no_token_and_no_tag() {
    let sandbox = Sandbox::new();
    let settings = sandbox
        .node()
        .set("engine.kind", "ctranslate2")
        .set("engine.directory", executables::folder().display());
    let ways = translate(&settings, "fr", &messages());
    measured("corpus, toy model", format_args!("{ways:?}"));
}

#[test]
fn the_real_model_loses_no_token_and_no_tag_and_cuts_few_sentences() {
    let Some(folder) = imported() else { return };
    let sandbox = Sandbox::new();
    let folder = folder.display().to_string();
    let settings = sandbox
        .node()
        .set("models.directories", format_args!("[{folder:?}]"))
        .set("models.load", "[]")
        .set("engine.kind", "auto")
        .set("engine.directory", executables::folder().display());
    let ways = translate(&settings, "pt", &messages());
    measured("corpus, real model", format_args!("{ways:?}"));
    let whole = ways.sentences - ways.cut - ways.source;
    assert!(whole * 10 >= ways.sentences * 8, "{ways:?}");
}
