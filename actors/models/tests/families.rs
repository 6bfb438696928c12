//! Import of many-to-many models and of CTranslate2 folders: what is read from them, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use babelmesh_models::{
    Architecture, EngineFile, EngineKind, forms,
    import::{ImportError, ImportOptions, import},
};
use tempfile::{TempDir, tempdir};

/// A copy of a small checkpoint that transformers saved.
fn checkpoint(family: &str) -> (TempDir, PathBuf) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integration-tests/checkpoints");
    let scratch = tempdir().unwrap();
    let folder = scratch.path().join(family);
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(from.join(family)).unwrap() {
        let entry = entry.unwrap();
        // A checkout may be read-only.
        fs::write(
            folder.join(entry.file_name()),
            fs::read(entry.path()).unwrap(),
        )
        .unwrap();
    }
    (scratch, folder)
}

fn options(sources: &[&str], targets: &[&str]) -> ImportOptions {
    let owned = |tags: &[&str]| tags.iter().map(ToString::to_string).collect();
    ImportOptions {
        source_languages: owned(sources),
        target_languages: owned(targets),
        ..ImportOptions::default()
    }
}

fn refusal(folder: &Path, options: &ImportOptions) -> ImportError {
    let into = folder.parent().unwrap().join("new");
    let error = import(folder, &into, options).unwrap_err();
    assert!(!into.exists());
    error
}

#[test]
fn every_family_tells_its_languages_and_codes() {
    for (family, architecture, languages, french) in [
        ("m2m_100", Architecture::M2m100, 100, None),
        ("nllb", Architecture::Nllb, 202, Some("fra_Latn")),
        ("mbart", Architecture::Mbart, 52, Some("fr_XX")),
    ] {
        let (scratch, folder) = checkpoint(family);
        let into = scratch.path().join("new");
        let model = import(&folder, &into, &options(&[], &[])).unwrap();
        model.verify().unwrap();
        let manifest = model.manifest();
        assert_eq!(manifest.architecture, architecture);
        assert_eq!(manifest.source_languages.len(), languages, "{family}");
        assert_eq!(manifest.target_languages, manifest.source_languages);
        assert!(manifest.translates("en", "fr") && manifest.translates("ja", "de"));
        assert!(!manifest.translates("fr", "fr"));
        assert_eq!(
            manifest.language_codes.get("fr").map(String::as_str),
            french
        );
        assert_eq!(
            EngineKind::for_architecture(architecture),
            [EngineKind::Ctranslate2, EngineKind::RustBert]
        );
    }
}

#[test]
fn languages_can_be_chosen() {
    let (scratch, folder) = checkpoint("nllb");
    let chosen = options(&["en", "deu_Latn"], &["zh-Hant"]);
    let model = import(&folder, &scratch.path().join("new"), &chosen).unwrap();
    assert_eq!(model.manifest().source_languages, ["en", "de"]);
    assert_eq!(model.manifest().target_languages, ["zh-Hant"]);
    assert_eq!(model.manifest().language_codes.len(), 3);
    let error = refusal(&checkpoint("mbart").1, &options(&["xx"], &[])).to_string();
    assert!(
        error.starts_with("the model has no xx; it has af, ar,"),
        "{error}"
    );
}

#[test]
fn weights_that_are_not_in_one_safetensors_file_get_the_command_that_makes_one() {
    let (_scratch, folder) = checkpoint("m2m_100");
    fs::rename(
        folder.join("model.safetensors"),
        folder.join("pytorch_model.bin"),
    )
    .unwrap();
    let error = refusal(&folder, &options(&[], &[])).to_string();
    assert!(error.contains("AutoModelForSeq2SeqLM"), "{error}");
    fs::write(folder.join("model.safetensors.index.json"), "{}").unwrap();
    let error = refusal(&folder, &options(&[], &[])).to_string();
    assert!(
        error.contains("in several files") && error.contains("max_shard_size"),
        "{error}"
    );
}

#[test]
fn an_mbart_of_the_first_version_is_named() {
    let (_scratch, folder) = checkpoint("mbart");
    let config = r#"{"tokenizer_class": "MBartTokenizer"}"#;
    fs::write(folder.join("tokenizer_config.json"), config).unwrap();
    let error = refusal(&folder, &options(&[], &[])).to_string();
    assert!(error.contains("this is mBART-25"), "{error}");
}

#[test]
fn a_checkpoint_without_languages_is_refused() {
    let (_scratch, folder) = checkpoint("nllb");
    for name in [
        "tokenizer_config.json",
        "added_tokens.json",
        "special_tokens_map.json",
    ] {
        fs::remove_file(folder.join(name)).unwrap();
    }
    let error = refusal(&folder, &options(&[], &[])).to_string();
    assert!(error.contains("has no language tokens"), "{error}");
}

/// A folder of CTranslate2 without SentencePiece models, made of a checkpoint.
fn converted(family: &str) -> (TempDir, PathBuf) {
    let (scratch, folder) = checkpoint(family);
    let into = scratch.path().join("original");
    let model = import(&folder, &into, &options(&["en"], &["fr"])).unwrap();
    let cache = scratch.path().join("cache");
    let form = forms::prepare(&model, EngineKind::Ctranslate2, &cache).unwrap();
    let folder = scratch.path().join("converted");
    fs::create_dir(&folder).unwrap();
    for name in ["model.bin", "config.json", "shared_vocabulary.json"] {
        fs::copy(form.directory.join(name), folder.join(name)).unwrap();
    }
    (scratch, folder)
}

#[test]
fn a_ctranslate2_folder_lacks_its_sentencepiece_model_until_it_is_copied_there() {
    let (scratch, folder) = converted("marian");
    let error = refusal(&folder, &options(&["en"], &["fr"])).to_string();
    assert!(
        error.contains("there is no sentencepiece.model or source.spm"),
        "{error}"
    );
    let original = scratch.path().join("original");
    fs::copy(
        original.join("source.spm"),
        folder.join("sentencepiece.model"),
    )
    .unwrap();
    let error = refusal(&folder, &options(&[], &[])).to_string();
    assert!(error.contains("name the source languages"), "{error}");
    let model = import(
        &folder,
        &scratch.path().join("new"),
        &options(&["en"], &["fr"]),
    )
    .unwrap();
    assert_eq!(model.manifest().architecture, Architecture::Ctranslate2);
    assert_eq!(model.manifest().limits.max_input_tokens, 128);
    let error = forms::prepare(&model, EngineKind::RustBert, scratch.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("does not run ctranslate2 models"),
        "{error}"
    );
}

#[test]
fn files_of_a_ctranslate2_folder_that_do_not_fit_are_named() {
    let (scratch, folder) = converted("marian");
    let original = scratch.path().join("original");
    fs::copy(
        original.join("source.spm"),
        folder.join("sentencepiece.model"),
    )
    .unwrap();
    let path = folder.join("shared_vocabulary.json");
    let list = fs::read(&path).unwrap();
    let mut pieces: Vec<String> = serde_json::from_slice(&list).unwrap();
    let refused = |pieces: &[String]| {
        fs::write(&path, serde_json::json!(pieces).to_string()).unwrap();
        refusal(&folder, &options(&["en"], &["fr"])).to_string()
    };
    pieces.push("more".into());
    let error = refused(&pieces);
    assert!(error.contains("model.bin: translates to"), "{error}");
    pieces.push("more".into());
    let error = refused(&pieces);
    assert!(error.contains("has the piece more twice"), "{error}");
    let error = refused(&pieces[1..5]);
    assert!(error.contains("has no piece </s>"), "{error}");
    fs::write(&path, list).unwrap();
    let config = r#"{"eos_token": "<eos>"}"#;
    fs::write(folder.join("config.json"), config).unwrap();
    let error = refusal(&folder, &options(&["en"], &["fr"])).to_string();
    assert!(error.contains("eos_token must be </s>"), "{error}");
}

#[test]
fn the_units_of_subword_nmt_are_named() {
    let (_scratch, folder) = converted("marian");
    let package = folder.parent().unwrap().join("package");
    fs::create_dir(&package).unwrap();
    fs::rename(&folder, package.join("model")).unwrap();
    fs::write(package.join("metadata.json"), "{}").unwrap();
    fs::write(package.join("bpe.model"), "").unwrap();
    let error = refusal(&package, &options(&[], &[])).to_string();
    assert!(error.contains("subword-nmt"), "{error}");
}

/// An unpacked Argos package with a vocabulary in the order of OpenNMT, and what its description says.
fn argos(metadata: &str) -> (TempDir, PathBuf) {
    let (scratch, folder) = converted("marian");
    let package = scratch.path().join("package");
    fs::create_dir(&package).unwrap();
    let original = scratch.path().join("original");
    fs::copy(
        original.join("source.spm"),
        package.join("sentencepiece.model"),
    )
    .unwrap();
    fs::write(package.join("metadata.json"), metadata).unwrap();
    let path = folder.join("shared_vocabulary.json");
    let mut pieces: Vec<String> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(pieces[..2], ["</s>", "<unk>"]);
    pieces.swap(0, 1);
    fs::write(&path, serde_json::json!(pieces).to_string()).unwrap();
    fs::rename(&folder, package.join("model")).unwrap();
    (scratch, package)
}

#[test]
fn an_argos_model_of_opennmt_has_no_end_mark_in_its_sources_and_writes_nothing_unknown() {
    let (scratch, package) = argos(r#"{"from_code": "en", "to_code": "pt", "target_prefix": ""}"#);
    let model = import(&package, &scratch.path().join("new"), &options(&[], &[])).unwrap();
    let manifest = model.manifest();
    assert!(manifest.translates("en", "pt") && !manifest.source_end);
    assert_eq!(manifest.target_token, None);
    let form = forms::prepare(&model, EngineKind::Ctranslate2, scratch.path()).unwrap();
    let file = EngineFile::read(&form.directory).unwrap();
    assert_eq!((file.suppressed_ids, file.end_id), (vec![0], 1));
    assert!(!file.source_end);
}

#[test]
fn the_prefix_of_an_argos_package_must_be_a_token() {
    let metadata = |prefix: &str| {
        format!(r#"{{"from_code": "en", "to_code": "pt", "target_prefix": "{prefix}"}}"#)
    };
    let (_scratch, package) = argos(&metadata("__pt__"));
    let error = refusal(&package, &options(&[], &[])).to_string();
    assert!(
        error.starts_with("the vocabulary has no token __pt__"),
        "{error}"
    );
    let (scratch, package) = argos(&metadata("▁the"));
    let model = import(&package, &scratch.path().join("new"), &options(&[], &[])).unwrap();
    assert_eq!(model.manifest().target_token.as_deref(), Some("▁the"));
}
