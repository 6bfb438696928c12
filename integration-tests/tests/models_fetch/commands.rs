//! `models import` of wrong kinds, `remove` and `evaluate`.

use babelmesh_integration_tests::{ProcessNode, real_models};
use serde_json::Value;

use super::*;

#[test]
fn wrong_kinds_are_named() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder().join("wrong");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), r#"{"model_type": "t5"}"#).unwrap();
    let path = folder.to_str().unwrap();
    assert_refused(&run(&sandbox, &["models", "import", path]), &["this is t5"]);
    let package = sandbox.folder().join("x.argosmodel");
    fs::write(&package, b"PK\x03\x04").unwrap();
    let path = package.to_str().unwrap();
    assert_refused(
        &run(&sandbox, &["models", "import", path]),
        &["x.argosmodel: damaged zip file"],
    );
}

#[test]
fn a_model_is_removed_when_that_is_confirmed_and_no_node_has_it() {
    let sandbox = Sandbox::new();
    let _ = sandbox.model("fetched", "one", &["en"], &["fr"]);
    let folder = models(&sandbox).join("one");
    assert_refused(&run(&sandbox, &["models", "remove", "one"]), &["--yes"]);
    assert_refused(
        &run(&sandbox, &["models", "remove", "two", "--yes"]),
        &["there is no model two"],
    );
    assert!(folder.join("model.toml").is_file());
    assert_done(&run(&sandbox, &["models", "remove", "one", "--yes"]));
    assert!(!folder.join("model.toml").exists());
}

#[test]
fn a_model_that_a_node_has_loaded_is_not_removed() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node();
    let node = ProcessNode::start(&sandbox, &settings);
    let set = format!("status.socket={}", node.socket().display());
    let model = repository_model(&sandbox);
    assert_refused(
        &run(
            &sandbox,
            &["models", "remove", &model, "--yes", "--set", &set],
        ),
        &["is loaded by", "unload"],
    );
    drop(node);
}

/// Copies the demonstration model to where this test's commands look.
fn repository_model(sandbox: &Sandbox) -> String {
    let from = babelmesh_integration_tests::repository().join("models/demo-en-fr-de");
    let to = models(sandbox).join("copy");
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    "demo-en-fr-de".to_owned()
}

#[test]
fn a_proxy_is_used_except_where_no_proxy_says_otherwise() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    server.add_model("en", "fr", "3.0", "tiny");
    let url = server.url();
    let args = ["models", "fetch", "--registry", &url, "en-fr"];
    let proxy = ("HTTPS_PROXY", "http://127.0.0.1:9");
    assert_refused(
        &run_with(&sandbox, &[proxy], &args),
        &["the network failed"],
    );
    assert!(server.asked().is_empty());
    assert_done(&run_with(
        &sandbox,
        &[proxy, ("NO_PROXY", "127.0.0.1")],
        &args,
    ));
}

#[test]
fn a_model_is_evaluated() {
    let sandbox = Sandbox::new();
    let model = repository_model(&sandbox);
    let file = sandbox.folder().join("test.tsv");
    fs::write(
        &file,
        "Good morning!\tBonjour !\nThank you.\tMerci.\n\nWhere are you?\tOù es-tu ?\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let fake = ["--set", "engine.kind=fake"];
    let args = [
        "models", "evaluate", &model, path, "--to", "fr", "--json", fake[0], fake[1],
    ];
    let report: Value = serde_json::from_str(&assert_done(&run(&sandbox, &args))).unwrap();
    assert_eq!(
        (&report["sentences"], &report["source"]),
        (&json!(3), &json!("en"))
    );
    assert!(
        report["bleu"]
            .as_f64()
            .is_some_and(|bleu| (0.0..=100.0).contains(&bleu)),
        "{report}"
    );
    assert!(report["sentencesPerSecond"].as_f64().unwrap() > 0.0);
    assert_refused(
        &run(
            &sandbox,
            &["models", "evaluate", &model, path, "--to", "xx"],
        ),
        &["does not have xx"],
    );
    fs::write(&file, "no reference\n").unwrap();
    assert_refused(
        &run(
            &sandbox,
            &["models", "evaluate", &model, path, "--to", "fr"],
        ),
        &["line 1", "TAB"],
    );
}

#[test]
fn the_confidence_of_a_model_is_calibrated_by_its_own_scores() {
    let sandbox = Sandbox::new();
    let model = repository_model(&sandbox);
    let file = sandbox.folder().join("test.tsv");
    // The fake's confidence depends on the text alone; half of its translations are good.
    let words = ["morning", "evening", "garden", "train", "letter"];
    let lines = (0..400).map(|number| {
        let word = words[number % words.len()];
        let text = format!("The {word} of house number {number} is fine");
        let reference = match number.wrapping_mul(2_654_435_761) >> 9 & 1 {
            0 => format!("fr:{text}"),
            _ => "Rien du tout".to_owned(),
        };
        format!("{text}\t{reference}\n")
    });
    fs::write(&file, lines.collect::<String>()).unwrap();
    let path = file.to_str().unwrap().to_owned();
    let evaluate = |more: &[&str]| {
        let fake = ["--set", "engine.kind=fake", "--to", "fr"];
        let args = ["models", "evaluate", &model, &path];
        run(&sandbox, &[&args, &fake, more].concat())
    };
    let report = |more: &[&str]| -> Value {
        serde_json::from_str(&assert_done(&evaluate(&[&["--json"], more].concat()))).unwrap()
    };
    let error = |report: &Value| report["calibrationError"].as_f64().unwrap();
    let before = report(&[]);
    assert!(error(&before) > 0.05, "{before}");
    let raw = report(&["--calibrate"]);
    assert_eq!(raw["confidence"], before["confidence"]);
    let manifest = models(&sandbox).join("copy/model.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    assert!(text.contains("[confidence]"), "{text}");
    let after = report(&[]);
    assert!(error(&after) < error(&before) / 2.0, "{before} {after}");
    // It is measured again from the model's own scores, and comes to the same.
    assert_eq!(report(&["--calibrate"])["confidence"], raw["confidence"]);
    assert_eq!(fs::read_to_string(&manifest).unwrap(), text);
    assert!(
        assert_done(&evaluate(&["--calibrate"])).contains("The calibration is in the manifest")
    );
    fs::write(&file, "Good morning!\tBonjour !\n").unwrap();
    assert_refused(&evaluate(&["--calibrate"]), &["too few to calibrate"]);
    fs::write(
        &manifest,
        text.replace("curve = [", "curve = [[2.0, 0.5], "),
    )
    .unwrap();
    let listed = run(&sandbox, &["models", "list"]);
    assert_refused(&listed, &["confidence.curve", "from 0 to 1"]);
}

/// The real files of a pair, served as a registry serves them.
#[test]
fn a_real_model_is_fetched_and_evaluated() {
    let Some(published) = real_models::published() else {
        return;
    };
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    for entry in fs::read_dir(published.join("en-pt")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let kind = match name.split('.').next().unwrap() {
            kind @ ("model" | "lex" | "vocab") => kind.to_owned(),
            _ => continue,
        };
        server.add_file(
            (&kind, "en", "pt", "3.0", "tiny"),
            &name,
            &fs::read(entry.path()).unwrap(),
        );
    }
    let said = assert_done(&fetch(&sandbox, &server, &["en-pt"]));
    assert!(said.contains("firefox: model form created"), "{said}");
    let file = sandbox.folder().join("test.tsv");
    fs::write(
        &file,
        "Good morning!\tBom dia!\nThe house is large and white.\tA casa é grande e branca.\n",
    )
    .unwrap();
    let args = [
        "models",
        "evaluate",
        "firefox-en-pt",
        file.to_str().unwrap(),
        "--json",
    ];
    let report: Value = serde_json::from_str(&assert_done(&run(&sandbox, &args))).unwrap();
    assert!(
        report["bleu"].as_f64().is_some_and(|bleu| bleu > 30.0),
        "{report}"
    );
}
