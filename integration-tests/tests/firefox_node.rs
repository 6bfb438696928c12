//! Firefox Translations models from import to a translation over HTTP and Kafka.

use std::{fs, process::Command};

use babelmesh_integration_tests::{
    LocalNode, PATIENCE, Sandbox, Settings, executables,
    real_models::{EN_PT, imported, published},
    request,
};
use serde_json::{Value, json};

/// A node with both models and whichever engine runs them.
fn node(sandbox: &Sandbox) -> Option<Settings> {
    let folder = imported()?.display().to_string();
    assert!(executables::engine("firefox").is_file());
    Some(
        sandbox
            .node()
            .set("models.directories", format_args!("[{folder:?}]"))
            .set("models.load", "[]")
            .set("engine.kind", "auto")
            .set("engine.directory", executables::folder().display())
            .set("http.listen", "127.0.0.1:0"),
    )
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn texts_are_translated_over_http_there_and_back() {
    let sandbox = Sandbox::new();
    let Some(settings) = node(&sandbox) else {
        return;
    };
    let node = LocalNode::start(&settings);
    let http = node.http();
    let translate = |text: &str, source: &str, target: &str| {
        let body = json!({"q": text, "source": source, "target": target});
        let answer = http.post("/translate", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["translatedText"].as_str().unwrap().to_owned()
    };
    for (text, word) in [
        ("Where is the train station?", "estação"),
        ("Good morning.", "bom dia"),
        ("I am hungry.", "fome"),
        ("Thank you very much.", "obrigad"),
    ] {
        let there = translate(text, "en", "pt");
        assert!(there.to_lowercase().contains(word), "{text} → {there}");
    }
    let back = translate("Onde fica a estação de trem?", "pt", "en");
    assert!(back.to_lowercase().contains("station"), "{back}");

    let paragraph = "I am very hungry today. Where is the train station?\n\n";
    let long = translate(&paragraph.repeat(100), "en", "pt");
    assert_eq!(long.matches("estação").count(), 100, "{long}");
    assert_eq!(long.matches("\n\n").count(), 100, "{long}");
    assert_eq!(translate("🎉 👍", "en", "pt"), "🎉 👍");

    let models = http.get("/languages").json();
    let english = models.as_array().unwrap().iter();
    let english = english.into_iter().find(|l| l["code"] == "en").unwrap();
    assert_eq!(english["targets"], json!(["en", "pt"]));
    let pools = node.status().pools;
    assert!(pools.iter().all(|pool| pool.engine == "firefox"));
}

#[test]
fn results_on_kafka_name_the_model_and_have_a_confidence() {
    let sandbox = Sandbox::new();
    let Some(settings) = node(&sandbox) else {
        return;
    };
    let node = LocalNode::start(&settings);
    let mut backend = node.backend();
    // Unpunctuated words, more than the model takes at once.
    let unpunctuated = "the train leaves and we wait for it ".repeat(60);
    let texts = [
        ("plain", "Where is the train station?"),
        ("odd", "Xqzv bnrt klmp wvzx."),
        ("long", unpunctuated.as_str()),
    ];
    for (id, text) in texts {
        backend.ask(&request(id, text, &["pt"], id));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let result = |id: &str| backend.ids.of(id, "pt").result.clone();
    for (id, _) in texts {
        let result = result(id);
        assert_eq!(result.model_id, EN_PT, "{result:?}");
        assert!(result.error.is_none(), "{result:?}");
        let score = result.confidence_score;
        assert!(score > 0.0 && score <= 1.0, "{result:?}");
    }
    let long = backend.ids.of("long", "pt").text().to_lowercase();
    assert!(long.matches("trem").count() >= 50, "{long}");
    let plain = backend.ids.of("plain", "pt").text().to_lowercase();
    assert!(plain.contains("estação"), "{plain}");
    assert_eq!(node.events().failures(), []);
}

#[test]
fn a_published_folder_is_imported_listed_shown_verified_and_used() {
    let Some(published) = published() else {
        return;
    };
    let sandbox = Sandbox::new();
    let folder = sandbox.folder().join("own");
    let command = |arguments: &[&str]| {
        let mut command = sandbox.command();
        let folder = folder.display().to_string();
        command
            .env("BABELMESH_MODELS__DIRECTORIES", format!("[{folder:?}]"))
            .args(arguments);
        command
    };
    for pair in ["en-pt", "pt-en"] {
        let from = published.join(pair).display().to_string();
        let said = run(&mut command(&[
            "models",
            "import",
            &from,
            "--licence",
            "CC0-1.0",
        ]));
        assert!(said.contains("firefox: model form created"), "{said}");
        assert!(!said.contains("ctranslate2"), "{said}");
    }
    let list: Value =
        serde_json::from_str(&run(&mut command(&["models", "list", "--json"]))).unwrap();
    let field = |key: &str| [list[0][key].clone(), list[1][key].clone()];
    assert_eq!(field("architecture"), [json!("firefox"), json!("firefox")]);
    assert_eq!(field("source_languages"), [json!(["en"]), json!(["pt"])]);
    assert_eq!(field("target_languages"), [json!(["pt"]), json!(["en"])]);
    let shown = run(&mut command(&["models", "show", "en-pt"]));
    for text in ["lex.50.50.enpt.s2t.bin", "CC0-1.0", "128 tokens", "firefox"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    run(&mut command(&["models", "verify"]));
    let text = "Where is the train station?";
    let said = run(&mut command(&["translate", "--to", "pt", text]));
    assert!(said.contains("estação"), "{said}");

    let shortlist = folder.join("pt-en/lex.50.50.pten.s2t.bin");
    let mut bytes = fs::read(&shortlist).unwrap();
    bytes[1_000] ^= 1;
    fs::write(&shortlist, bytes).unwrap();
    let output = command(&["models", "verify"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("lex.50.50.pten.s2t.bin: has SHA-256"),
        "{said}"
    );
    assert!(said.contains("en-pt: verified"), "{said}");

    let other = "engine.kind=ctranslate2";
    let mut refused = command(&["translate", "--set", other, "--to", "pt", text]);
    let output = refused.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = "engine ctranslate2 cannot run model en-pt: it does not run firefox models";
    assert!(said.contains(reason), "{said}");
}
