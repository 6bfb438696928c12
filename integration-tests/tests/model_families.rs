//! Marian, M2M100, NLLB and mBART on both general engines, compared with the transformers library, and the forms in which such models are
//! imported.
//!
//! The checkpoints and what transformers makes of 500 texts are in `integration-tests/checkpoints`, where `make` writes them.

#![allow(
    clippy::print_stderr,
    reason = "the shares are worth reading in a test's output"
)]

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    thread,
};

use babelmesh_engine_protocol::{
    Completeness, Device, FromEngine, LoadRequest, Precision, Segment, ToEngine, Translation,
    client::BlockingEngine,
};
use babelmesh_integration_tests::{engine::translate, executables};
use babelmesh_models::{
    Architecture, EngineKind, Model, forms,
    import::{ImportOptions, import},
};
use serde::Deserialize;
use tempfile::TempDir;

const BATCH: usize = 25;
/// Longest output of the reference, in tokens.
const MAX_TOKENS: u32 = 24;
const SCORE_TOLERANCE: f32 = 0.01;
const LEAST_SAME_BEAMS: usize = 32;

const FAMILIES: [(&str, Architecture); 4] = [
    ("marian", Architecture::Marian),
    ("m2m_100", Architecture::M2m100),
    ("nllb", Architecture::Nllb),
    ("mbart", Architecture::Mbart),
];

/// What transformers said to a text.
#[derive(Debug, Deserialize)]
struct Line {
    source: String,
    target: String,
    text: String,
    output: String,
    input_tokens: u32,
    output_tokens: u32,
    ended: bool,
    score: f32,
}

fn checkpoint(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("checkpoints")
        .join(family)
}

fn reference(family: &str) -> Vec<Line> {
    let text = fs::read_to_string(checkpoint(family).join("reference.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

fn imported(from: &Path, into: &Path) -> Model {
    let options = ImportOptions {
        id: Some("model".into()),
        source_languages: languages_of(from, "en"),
        target_languages: languages_of(from, "fr"),
        float32: true,
        ..ImportOptions::default()
    };
    import(from, into, &options).unwrap()
}

/// Models of many languages tell them.
fn languages_of(from: &Path, language: &str) -> Vec<String> {
    let is_marian = from.to_string_lossy().contains("marian");
    is_marian.then(|| language.to_owned()).into_iter().collect()
}

/// The tag of a family's language code.
fn tag(model: &Model, code: &str) -> String {
    let codes = &model.manifest().language_codes;
    let found = codes.iter().find(|(_, other)| *other == code);
    found.map_or(code, |(tag, _)| tag).to_owned()
}

fn segment(model: &Model, line: &Line) -> Segment {
    Segment {
        text: line.text.clone(),
        source: tag(model, &line.source),
        target: tag(model, &line.target),
        align: false,
        alternatives: 0,
    }
}

fn load_request(model: &Model, max_output_tokens: u32) -> LoadRequest {
    LoadRequest {
        directory: String::new(),
        precision: Precision::Float32,
        device: Device::Cpu,
        threads: 1,
        beam_size: 1,
        max_input_tokens: model.manifest().limits.max_input_tokens,
        max_output_tokens,
    }
}

fn translations(model: &Model, engine: EngineKind, lines: &[Line], limit: u32) -> Vec<Translation> {
    translations_with(model, engine, lines, &load_request(model, limit))
}

fn translations_with(
    model: &Model,
    engine: EngineKind,
    lines: &[Line],
    request: &LoadRequest,
) -> Vec<Translation> {
    let cache = tempfile::tempdir().unwrap();
    let form = forms::prepare(model, engine, cache.path()).unwrap();
    let mut engine = BlockingEngine::start(&executables::engine(engine.name())).unwrap();
    let request = LoadRequest {
        directory: form.directory.to_str().unwrap().to_owned(),
        ..request.clone()
    };
    let answer = engine.ask(&ToEngine::Load(request)).unwrap();
    assert!(matches!(answer, FromEngine::Loaded(_)), "{answer:?}");
    let batches = lines.chunks(BATCH);
    batches
        .flat_map(|batch| {
            let segments = batch.iter().map(|line| segment(model, line));
            translate(&mut engine, segments.collect())
        })
        .collect()
}

/// Checks everything but the text, and whether the text is that of the reference.
fn is_same(line: &Line, found: &Translation) -> bool {
    assert_eq!(found.input_tokens, line.input_tokens, "{line:?}");
    if found.text != line.output {
        return false;
    }
    // An output that ends at the limit may have been ended by it.
    if line.output_tokens < MAX_TOKENS {
        assert_eq!(
            found.output_tokens, line.output_tokens,
            "{line:?} {found:?}"
        );
        assert!(line.ended && found.is_whole(), "{line:?} {found:?}");
        let difference = (found.score - line.score).abs();
        assert!(difference < SCORE_TOLERANCE, "{line:?} {found:?}");
    }
    true
}

fn assert_agreement(engine: EngineKind, least_percent: usize) {
    thread::scope(|scope| {
        for (family, architecture) in FAMILIES {
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                let model = imported(&checkpoint(family), &folder.path().join("model"));
                assert_eq!(model.manifest().architecture, architecture);
                let lines = reference(family);
                // rust-bert ends a Marian translation at its limit.
                let forced = (engine, architecture) == (EngineKind::RustBert, Architecture::Marian);
                let limit = MAX_TOKENS + u32::from(forced);
                let found = translations(&model, engine, &lines, limit);
                let same = lines.iter().zip(&found);
                let same = same.filter(|(line, found)| is_same(line, found)).count();
                eprintln!(
                    "{family} on {engine}: {same} of {} as transformers",
                    lines.len()
                );
                let different = lines
                    .iter()
                    .zip(&found)
                    .find(|(line, found)| line.output != found.text);
                assert!(
                    same * 100 >= lines.len() * least_percent,
                    "{family} on {engine}: only {same} of {} as transformers, not {different:?}",
                    lines.len()
                );
                let cut = found
                    .iter()
                    .filter(|found| found.completeness == Completeness::Unfinished);
                assert!(forced || cut.count() > 10, "{family}: too few are cut");
            });
        }
    });
}

#[test]
fn ctranslate2_says_what_transformers_says() {
    assert_agreement(EngineKind::Ctranslate2, 97);
}

#[test]
fn rust_bert_says_what_transformers_says() {
    assert_agreement(EngineKind::RustBert, 99);
}

#[test]
fn beams_are_scored_alike_and_short_translations_do_not_fail() {
    for (family, _) in &FAMILIES[1..] {
        let folder = tempfile::tempdir().unwrap();
        let model = imported(&checkpoint(family), &folder.path().join("model"));
        let lines = &reference(family)[..40];
        let [first, second] = [EngineKind::Ctranslate2, EngineKind::RustBert].map(|engine| {
            let request = LoadRequest {
                beam_size: 4,
                ..load_request(&model, MAX_TOKENS)
            };
            translations_with(&model, engine, lines, &request)
        });
        // The engines end their searches differently.
        let same = first.iter().zip(&second);
        let same = same.filter(|(a, b)| a.text == b.text && a.completeness == b.completeness);
        let same = same.inspect(|(a, b)| {
            assert!((a.score - b.score).abs() < SCORE_TOLERANCE, "{a:?} {b:?}");
        });
        let count = same.count();
        eprintln!("{family}: {count} of {} beams are the same", lines.len());
        assert!(count >= LEAST_SAME_BEAMS, "{family}: {count}");
    }
}

/// A folder as CTranslate2's own converter leaves it, with the SentencePiece models beside it.
fn converted(family: &str, root: &Path) -> (Model, PathBuf) {
    let model = imported(&checkpoint(family), &root.join("original"));
    let form = forms::prepare(&model, EngineKind::Ctranslate2, &root.join("cache")).unwrap();
    let folder = root.join(format!("{family}-ct2"));
    fs::create_dir(&folder).unwrap();
    for name in ["model.bin", "config.json", "shared_vocabulary.json"] {
        fs::copy(form.directory.join(name), folder.join(name)).unwrap();
    }
    let spm = form.directory.join("source.spm");
    fs::copy(spm, folder.join("sentencepiece.model")).unwrap();
    (model, folder)
}

/// Both models answer the same to every text.
fn assert_same_answers(family: &str, original: &Model, again: &Model) {
    assert_eq!(again.manifest().architecture, Architecture::Ctranslate2);
    let lines = &reference(family)[..100];
    let [first, second] = [original, again]
        .map(|model| translations(model, EngineKind::Ctranslate2, lines, MAX_TOKENS));
    let texts = |found: &[Translation]| {
        let text = |found: &Translation| (found.text.clone(), found.score, found.completeness);
        found.iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(texts(&first), texts(&second));
}

#[test]
fn a_folder_of_ctranslate2_says_what_its_original_says() {
    for (family, _) in FAMILIES {
        let root = tempfile::tempdir().unwrap();
        let (original, folder) = converted(family, root.path());
        // Older converters wrote one piece a line.
        let list = fs::read(folder.join("shared_vocabulary.json")).unwrap();
        let pieces: Vec<String> = serde_json::from_slice(&list).unwrap();
        fs::remove_file(folder.join("shared_vocabulary.json")).unwrap();
        fs::write(
            folder.join("shared_vocabulary.txt"),
            pieces.join("\n") + "\n",
        )
        .unwrap();
        let again = imported(&folder, &root.path().join("again"));
        assert_eq!(
            again.manifest().source_languages,
            original.manifest().source_languages
        );
        assert_eq!(
            again.manifest().language_codes,
            original.manifest().language_codes
        );
        assert_same_answers(family, &original, &again);
    }
}

/// Zips a folder of CTranslate2 as Argos does.
fn argos_package(folder: &Path, root: &TempDir, config: &str) -> PathBuf {
    let path = root.path().join("translate-en_fr-1_0.argosmodel");
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    let mut add = |name: &str, bytes: &[u8]| {
        let name = format!("translate-en_fr-1_0/{name}");
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    };
    let metadata = r#"{"package_version": "1.0", "argos_version": "1.0", "from_code": "en", "from_name": "English", "to_code": "fr", "to_name": "French"}"#;
    add("metadata.json", metadata.as_bytes());
    add("README.md", b"A package");
    add("stanza/en/tokenize/ewt.pt", b"not used");
    add("model/config.json", config.as_bytes());
    for name in ["model.bin", "shared_vocabulary.json"] {
        add(
            &format!("model/{name}"),
            &fs::read(folder.join(name)).unwrap(),
        );
    }
    add(
        "sentencepiece.model",
        &fs::read(folder.join("sentencepiece.model")).unwrap(),
    );
    zip.finish().unwrap();
    path
}

#[test]
fn an_argos_package_says_what_its_model_says() {
    for adds_end in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let (original, folder) = converted("marian", root.path());
        let config = fs::read(folder.join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        config["add_source_eos"] = adds_end.into();
        let package = argos_package(&folder, &root, &config.to_string());
        let again = import(
            &package,
            &root.path().join("again"),
            &ImportOptions::default(),
        )
        .unwrap();
        let manifest = again.manifest();
        assert_eq!(
            (
                &manifest.source_languages[..],
                &manifest.target_languages[..]
            ),
            (&["en".to_owned()][..], &["fr".to_owned()][..])
        );
        assert_eq!(manifest.source_end, !adds_end);
        let files = manifest.files.values().map(|file| file.name.as_str());
        assert!(files.clone().all(|name| !name.contains("stanza")));
        assert_same_answers("marian", &original, &again);
    }
}
