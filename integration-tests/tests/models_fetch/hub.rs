//! Models of the Hugging Face Hub.

use babelmesh_integration_tests::repository;

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A repository of the Hub with these files, as its addresses have them.
fn add(server: &ModelServer, repository: &str, revision: &str, files: &[(&str, Vec<u8>)]) {
    let siblings: Vec<_> = files
        .iter()
        .map(|(name, bytes)| match name.ends_with("safetensors") {
            true => {
                json!({"rfilename": name, "lfs": {"sha256": sha256(bytes), "size": bytes.len()}})
            }
            false => json!({"rfilename": name}),
        })
        .collect();
    let description =
        json!({"sha": COMMIT, "siblings": siblings, "cardData": {"license": "apache-2.0"}});
    let path = format!("/api/models/{repository}/revision/{revision}?blobs=true");
    server.put(&path, description.to_string());
    for (name, bytes) in files {
        server.put(
            &format!("/{repository}/resolve/{COMMIT}/{name}"),
            bytes.clone(),
        );
    }
}

/// The files of the demonstration model; its folder has Hugging Face's names.
fn marian() -> Vec<(&'static str, Vec<u8>)> {
    let folder = repository().join("models/demo-en-fr-de");
    let names = [
        "config.json",
        "vocab.json",
        "source.spm",
        "target.spm",
        "model.safetensors",
    ];
    let read = |name: &str| {
        fs::read(folder.join(name))
            .or_else(|_| fs::read(folder.join("source.spm")))
            .unwrap()
    };
    names.into_iter().map(|name| (name, read(name))).collect()
}

fn fetch_hub(sandbox: &Sandbox, server: &ModelServer, args: &[&str]) -> Output {
    let url = server.url();
    let args: Vec<_> = ["models", "fetch", "--hub", &url]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    run(sandbox, &args)
}

#[test]
fn a_marian_model_is_fetched_at_its_commit() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    let mut files = marian();
    files.push((
        "tokenizer_config.json",
        br#"{"source_lang": "en", "target_lang": "fr"}"#.to_vec(),
    ));
    add(&server, "Owner/opus-mt-en-fr", "refs%2Fpr%2F4", &files);
    let weights = format!("/Owner/opus-mt-en-fr/resolve/{COMMIT}/model.safetensors");
    server.fail(&weights, [Fault::Cut(50_000)]);
    let said = assert_done(&fetch_hub(
        &sandbox,
        &server,
        &["hf:Owner/opus-mt-en-fr@refs/pr/4"],
    ));
    assert!(
        said.contains("apache-2.0") && said.contains("Owner/opus-mt-en-fr"),
        "{said}"
    );
    Model::open(&models(&sandbox).join("opus-mt-en-fr"))
        .unwrap()
        .verify()
        .unwrap();
}

#[test]
fn an_nllb_model_is_fetched_with_its_languages() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    let folder = repository().join("integration-tests/checkpoints/nllb");
    let names = [
        "config.json",
        "model.safetensors",
        "sentencepiece.bpe.model",
        "tokenizer_config.json",
    ];
    let files = names.map(|name| (name, fs::read(folder.join(name)).unwrap()));
    add(&server, "Owner/nllb", "main", &files);
    assert_done(&fetch_hub(&sandbox, &server, &["hf:Owner/nllb"]));
    let model = Model::open(&models(&sandbox).join("nllb")).unwrap();
    model.verify().unwrap();
    assert!(model.manifest().translates("fr", "zh-Hant"));
    assert_eq!(model.manifest().language_codes["fr"], "fra_Latn");
}

#[test]
fn other_kinds_are_named_before_their_weights_are_fetched() {
    let (sandbox, server) = (Sandbox::new(), ModelServer::start());
    let mut files = marian();
    files[0].1 = br#"{"model_type": "t5"}"#.to_vec();
    add(&server, "Owner/t5", "main", &files);
    assert_refused(
        &fetch_hub(&sandbox, &server, &["hf:Owner/t5"]),
        &["this is t5"],
    );
    assert_eq!(server.asked().len(), 2, "the description and config.json");
    let mut files = marian();
    files[4].0 = "pytorch_model.bin";
    add(&server, "Owner/old", "main", &files);
    assert_refused(
        &fetch_hub(&sandbox, &server, &["hf:Owner/old"]),
        &["PyTorch .bin checkpoint", "safe_serialization=True"],
    );
    assert_refused(
        &fetch_hub(&sandbox, &server, &["hf:Owner/none"]),
        &["not found"],
    );
    assert_refused(
        &fetch_hub(&sandbox, &server, &["hf:../etc"]),
        &["is not OWNER/NAME"],
    );
    assert!(is_empty(&models(&sandbox)));
}
