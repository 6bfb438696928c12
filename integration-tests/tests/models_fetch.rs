//! `models fetch`, `mirror`, `remove` and `evaluate`, against a server with the layout of the real ones and with faults.

mod commands;
mod hub;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    Sandbox,
    registry::{Fault, ModelServer, RECORDS, noise, sha256},
};
use babelmesh_models::{Model, Tier};
use serde_json::json;

/// Runs `babelmesh` with folders of its own, no proxy and short delays.
fn run(sandbox: &Sandbox, args: &[&str]) -> Output {
    run_with(sandbox, &[], args)
}

/// The same, with variables.
fn run_with(sandbox: &Sandbox, variables: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = sandbox.command();
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HF_TOKEN",
        "NO_PROXY",
        "no_proxy",
    ] {
        command.env_remove(name);
    }
    let models = models(sandbox).display().to_string();
    let cache = sandbox.folder().join("cache");
    command
        .env("BABELMESH_MODELS__DIRECTORIES", format!("[{models:?}]"))
        .env("BABELMESH_MODELS__CACHE_DIRECTORY", cache)
        .env("BABELMESH_MODELS__FETCH__INITIAL_BACKOFF_MS", "10")
        .env("BABELMESH_MODELS__FETCH__ATTEMPTS", "3")
        .envs(variables.iter().copied())
        .arg(args[0]);
    // Settings belong in front of the second command.
    let (mut set, mut rest) = (Vec::<&str>::new(), Vec::<&str>::new());
    let mut words = args[1..].iter();
    while let Some(word) = words.next() {
        match *word {
            "--set" => set.extend([Some(word), words.next()].into_iter().flatten().copied()),
            _ => rest.push(word),
        }
    }
    command.args(set).args(rest).output().unwrap()
}

fn models(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.folder().join("fetched");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn fetch(sandbox: &Sandbox, server: &ModelServer, args: &[&str]) -> Output {
    let url = server.url();
    let args: Vec<_> = ["models", "fetch", "--registry", &url]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    run(sandbox, &args)
}

#[track_caller]
fn assert_done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn assert_refused(output: &Output, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_pair_is_fetched_imported_and_verified_and_its_licence_is_shown() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    server.add_model("en", "fr", "3.0", "base");
    server.add_model("en", "fr", "3.1", "tiny");
    server.add_model("de", "en", "3.0", "tiny");
    let said = assert_done(&fetch(&sandbox, &server, &["en-fr", "DE-EN"]));
    assert!(
        said.contains("MPL-2.0") && said.contains("Mozilla"),
        "{said}"
    );
    let model = Model::open(&models(&sandbox).join("firefox-en-fr")).unwrap();
    model.verify().unwrap();
    let manifest = model.manifest();
    assert_eq!(
        (manifest.tier, &manifest.source_languages[..]),
        (Tier::Medium, &["en".to_owned()][..])
    );
    assert!(
        manifest.description.contains("base 3.0"),
        "{}",
        manifest.description
    );
    let listed = assert_done(&run(&sandbox, &["models", "list"]));
    assert!(
        listed.contains("firefox-en-fr") && listed.contains("firefox-de-en"),
        "{listed}"
    );
    assert_done(&run(&sandbox, &["models", "verify"]));
    // What is there is not fetched again, and another size replaces it when that is asked for.
    let before = server.asked().len();
    assert_done(&fetch(&sandbox, &server, &["all"]));
    assert_eq!(
        server.asked().len(),
        before + 2,
        "the list and the description"
    );
    assert_done(&fetch(
        &sandbox,
        &server,
        &["en-fr", "--tier", "tiny", "--force"],
    ));
    let model = Model::open(&models(&sandbox).join("firefox-en-fr")).unwrap();
    assert!(model.manifest().description.contains("tiny 3.1"));
}

#[test]
fn a_missing_pair_is_an_error_that_names_near_ones() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    server.add_model("en", "fr", "3.0", "tiny");
    server.add_model("de", "en", "3.1a1", "tiny");
    assert_refused(
        &fetch(&sandbox, &server, &["fr-en", "en-fr"]),
        &["fr-en", "near ones are en-fr"],
    );
    assert_refused(
        &fetch(&sandbox, &server, &["en-fr", "--tier", "base"]),
        &["size base", "it has tiny 3.0"],
    );
    assert_refused(&fetch(&sandbox, &server, &["de-en"]), &["--pre-release"]);
    assert!(is_empty(&models(&sandbox)));
}

#[test]
fn without_a_network_the_error_says_so_and_what_was_fetched_is_used() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    let nobody = [
        "models",
        "fetch",
        "--registry",
        "http://127.0.0.1:9",
        "en-fr",
    ];
    assert_refused(
        &run(&sandbox, &nobody),
        &["127.0.0.1:9", "the network failed", "HTTPS_PROXY"],
    );
    server.add_model("en", "fr", "3.0", "tiny");
    assert_done(&fetch(&sandbox, &server, &["en-fr"]));
    let asked = server.asked().len();
    assert_done(&fetch(
        &sandbox,
        &server,
        &["en-fr", "--force", "--offline"],
    ));
    assert_eq!(server.asked().len(), asked);
    // All requests for the list fail: the last one is used.
    server.fail(RECORDS, [Fault::Status(503); 3]);
    server.fail("/v1/", [Fault::Status(503); 3]);
    let output = fetch(&sandbox, &server, &["en-fr", "--force"]);
    assert_done(&output);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("fetched last"),
        "{output:?}"
    );
}

#[test]
fn faults_that_pass_are_retried_and_a_cut_download_is_resumed() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    let [weights, vocabulary, _] = server.add_model("en", "fr", "3.0", "tiny");
    server.fail(RECORDS, [Fault::Status(500), Fault::Status(429)]);
    server.fail(&vocabulary, [Fault::Status(503)]);
    server.fail(&weights, [Fault::Cut(9_000)]);
    assert_done(&fetch(&sandbox, &server, &["en-fr"]));
    let asked = server.asked();
    let of_weights: Vec<_> = asked.iter().filter(|asked| asked.path == weights).collect();
    assert_eq!(of_weights.len(), 2);
    assert_eq!(of_weights[1].range.as_deref(), Some("bytes=9000-"));
}

#[test]
fn another_run_resumes_what_one_has_begun() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    let [weights, ..] = server.add_model("en", "fr", "3.0", "tiny");
    server.fail(
        &weights,
        [Fault::Cut(9_000), Fault::Status(500), Fault::Status(500)],
    );
    assert_refused(&fetch(&sandbox, &server, &["en-fr"]), &["en-fr", "500"]);
    assert!(is_empty(&models(&sandbox)));
    assert_done(&fetch(&sandbox, &server, &["en-fr"]));
    let last = server
        .asked()
        .into_iter()
        .rfind(|asked| asked.path == weights)
        .unwrap();
    assert_eq!(last.range.as_deref(), Some("bytes=9000-"));
}

#[test]
fn a_server_that_hangs_does_not_hang_the_command() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    let [weights, ..] = server.add_model("en", "fr", "3.0", "tiny");
    server.fail(&weights, [Fault::Hang]);
    let began = Instant::now();
    assert_done(&fetch(
        &sandbox,
        &server,
        &["en-fr", "--set", "models.fetch.timeout_ms=500"],
    ));
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_missing_file_and_a_wrong_checksum_are_errors_and_leave_nothing() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    let [weights, vocabulary, _] = server.add_model("en", "fr", "3.0", "tiny");
    let [other, ..] = server.add_model("de", "en", "3.0", "tiny");
    server.fail(&weights, [Fault::Status(404)]);
    assert_refused(
        &fetch(&sandbox, &server, &["en-fr"]),
        &[&weights, "not found"],
    );
    server.put(&vocabulary, "something else");
    assert_refused(
        &fetch(&sandbox, &server, &["en-fr"]),
        &[&vocabulary, "wrong checksum"],
    );
    assert!(is_empty(&models(&sandbox)));
    // One failure does not keep the other models.
    let output = fetch(&sandbox, &server, &["all"]);
    assert_refused(&output, &["en-fr: "]);
    assert!(
        models(&sandbox).join("firefox-de-en/model.toml").is_file(),
        "{other}"
    );
}

#[test]
fn sizes_are_bounded() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    let [_, vocabulary, _] = server.add_model("en", "fr", "3.0", "tiny");
    server.add_model("de", "en", "3.0", "tiny");
    // More than its record says.
    server.put(&vocabulary, vec![0; 1 << 20]);
    assert_refused(
        &fetch(&sandbox, &server, &["en-fr"]),
        &["larger than", "the size in its record"],
    );
    // A small file that unpacks to a large one.
    server.add_file(
        ("model", "en", "pt", "3.0", "tiny"),
        "model.enpt.intgemm.alphas.bin",
        &vec![0; 8 << 20],
    );
    server.add_file(("vocab", "en", "pt", "3.0", "tiny"), "vocab.enpt.spm", b"x");
    let limit = ["--set", "models.fetch.max_file_mb=1"];
    assert_refused(
        &fetch(&sandbox, &server, &[&["en-pt"][..], &limit].concat()),
        &["unpacks to more than 1048576 bytes"],
    );
    server.put(RECORDS, vec![b' '; 2 << 20]);
    let limit = ["--set", "models.fetch.max_list_mb=1"];
    assert_refused(
        &fetch(&sandbox, &server, &[&["de-en"][..], &limit].concat()),
        &["models.fetch.max_list_mb"],
    );
    server.put(RECORDS, "<html>");
    assert_refused(
        &fetch(&sandbox, &server, &["de-en"]),
        &["not a list of models"],
    );
    assert!(is_empty(&models(&sandbox)));
}

#[test]
fn names_of_a_hostile_registry_are_not_used_as_paths() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    let evil = "../../../evil";
    for (kind, pair, location) in [
        ("model", ("en", "fr"), "w/../../../evil"),
        ("vocab", ("en", "fr"), "/evil"),
        ("model", (evil, "fr"), "w/a"),
        ("vocab", (evil, "fr"), "w/b"),
    ] {
        server.add_record(json!({
            "name": evil, "fileType": kind, "sourceLanguage": pair.0, "targetLanguage": pair.1, "version": "3.0", "architecture": "tiny",
            "attachment": {"location": location, "hash": sha256(b"x"), "size": 1, "filename": evil},
        }));
    }
    assert_refused(
        &fetch(&sandbox, &server, &["all"]),
        &["has no models (4 records were not understood)"],
    );
    // A sound record whose names are evil: they are not used.
    server.put("/files/w/c", "x");
    for kind in ["model", "vocab"] {
        server.add_record(json!({
            "name": format!("{evil}.intgemm.alphas.bin"), "fileType": kind, "sourceLanguage": "en", "targetLanguage": "fr",
            "version": "3.0", "architecture": "tiny",
            "attachment": {"location": "w/c", "hash": sha256(b"x"), "size": 1, "filename": evil},
        }));
    }
    assert_done(&fetch(&sandbox, &server, &["all"]));
    assert!(
        models(&sandbox)
            .join("firefox-en-fr/model.enfr.intgemm.alphas.bin")
            .is_file()
    );
    // A registry must not name local files as its own.
    server.put(
        "/v1/",
        json!({"capabilities": {"attachments": {"base_url": "file:///etc/"}}}).to_string(),
    );
    assert_refused(
        &fetch(&sandbox, &server, &["all", "--force"]),
        &["file:///etc/"],
    );
}

#[test]
fn the_token_goes_to_the_registry_and_not_to_the_server_of_its_files() {
    let (sandbox, server, files) = (Sandbox::new(), ModelServer::start(), ModelServer::start());
    let paths = server.add_model("en", "fr", "3.0", "tiny");
    let other = files.add_model("en", "fr", "3.0", "tiny");
    assert_eq!(paths, other);
    let base = format!("{}/files", files.url());
    server.put(
        "/v1/",
        json!({"capabilities": {"attachments": {"base_url": base}}}).to_string(),
    );
    let token = sandbox.folder().join("token");
    fs::write(&token, "hush\n").unwrap();
    let set = format!("models.fetch.token_file={}", token.display());
    assert_done(&fetch(&sandbox, &server, &["en-fr", "--set", &set]));
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| asked.authorization.as_deref() == Some("Bearer hush"))
    );
    assert!(
        files.asked().len() == 3
            && files
                .asked()
                .iter()
                .all(|asked| asked.authorization.is_none())
    );
}

#[test]
fn models_that_share_a_file_download_it_once() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    let vocabulary = noise(400_000);
    let targets = ["fr", "de", "es", "it", "pt", "nl"];
    let paths = targets.map(|target| {
        server.add_file(
            ("model", "en", target, "3.0", "tiny"),
            "model.x.intgemm.alphas.bin",
            target.as_bytes(),
        );
        server.add_file(
            ("vocab", "en", target, "3.0", "tiny"),
            "vocab.x.spm",
            &vocabulary,
        )
    });
    assert_done(&fetch(&sandbox, &server, &["all", "--jobs", "6"]));
    let asked = server
        .asked()
        .into_iter()
        .filter(|asked| paths.contains(&asked.path));
    assert_eq!(asked.count(), 1);
    assert_done(&run(&sandbox, &["models", "verify"]));
}

#[test]
fn a_mirror_is_a_registry_as_a_folder_and_over_http() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    server.add_model("en", "fr", "3.0", "base");
    server.add_model("de", "en", "3.0", "tiny");
    let folder = sandbox.folder().join("mirror");
    let (path, url) = (folder.to_str().unwrap(), server.url());
    assert_done(&run(
        &sandbox,
        &["models", "mirror", path, "en-fr", "--registry", &url],
    ));
    assert_done(&run(
        &sandbox,
        &["models", "mirror", path, "de-en", "--registry", &url],
    ));
    fs::remove_dir_all(sandbox.folder().join("cache")).unwrap();
    let address = format!("file://{path}");
    assert_done(&run(
        &sandbox,
        &["models", "fetch", "--registry", &address, "all"],
    ));
    assert!(models(&sandbox).join("firefox-en-fr/model.toml").is_file());
    assert!(models(&sandbox).join("firefox-de-en/model.toml").is_file());
    let web = ModelServer::start();
    web.put(RECORDS, fs::read(folder.join(&RECORDS[1..])).unwrap());
    for entry in fs::read_dir(folder.join("w/models")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        web.put(
            &format!("/w/models/{name}"),
            fs::read(entry.path()).unwrap(),
        );
    }
    fs::remove_dir_all(sandbox.folder().join("cache")).unwrap();
    assert_done(&fetch(&sandbox, &web, &["all", "--force", "--jobs", "2"]));
}

#[test]
fn a_list_in_pages_is_read_to_its_end_and_not_on_another_server() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    for pair in [("en", "fr"), ("de", "en"), ("en", "es")] {
        server.add_model(pair.0, pair.1, "3.0", "tiny");
    }
    server.divide_list(2);
    assert_done(&fetch(&sandbox, &server, &["all"]));
    for pair in ["en-fr", "de-en", "en-es"] {
        let folder = models(&sandbox).join(format!("firefox-{pair}"));
        assert!(folder.join("model.toml").is_file(), "{pair}");
    }
    let other = ModelServer::start();
    server.set_next_page(RECORDS, &format!("{}{RECORDS}", other.url()));
    let refused = fetch(&sandbox, &server, &["all", "--force"]);
    assert_refused(&refused, &["its next page is on another server"]);
    assert!(other.asked().is_empty());
    // It goes round in circles.
    server.set_next_page(RECORDS, &format!("{}{RECORDS}", server.url()));
    let refused = fetch(&sandbox, &server, &["all", "--force"]);
    assert_refused(&refused, &["larger than"]);
}
