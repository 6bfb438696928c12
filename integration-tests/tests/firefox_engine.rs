//! The engine for Firefox Translations models, as a process of its own, on real models.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use babelmesh::load::{Texts, everyday};
use babelmesh_engine_protocol::{
    Completeness, Device, FailureKind, FromEngine, LoadRequest, Precision, Segment, ToEngine,
    TranslateRequest, Translation, client::BlockingEngine,
};
use babelmesh_integration_tests::{
    engine::{failure, firefox_load, translate},
    executables, measured,
    real_models::{EN_PT, PT_EN, imported},
    wait_until,
};
use babelmesh_models::{
    EngineKind, Model, Role,
    forms::{self, firefox},
};
use fxtranslate::{engine::Engine, shortlist::Shortlist};
use tempfile::TempDir;

const SENTENCES: u64 = 1_000;
const BATCH: usize = 50;

/// A model, its form, and the languages that it is for.
struct Subject {
    model: Model,
    form: PathBuf,
    source: String,
    target: String,
}

fn subject(id: &str) -> Option<Subject> {
    let folder = imported()?;
    let model = Model::open(&folder.join(id)).unwrap();
    let form = forms::prepare(&model, EngineKind::Firefox, &folder.join(".forms")).unwrap();
    let manifest = model.manifest();
    Some(Subject {
        source: manifest.source_languages[0].clone(),
        target: manifest.target_languages[0].clone(),
        form: form.directory,
        model,
    })
}

fn start() -> BlockingEngine {
    let path = executables::engine(EngineKind::Firefox.name());
    let started = BlockingEngine::start(&path).unwrap();
    assert_eq!(started.hello().engine, "firefox");
    started
}

fn loaded(request: LoadRequest) -> BlockingEngine {
    let mut engine = start();
    let answer = engine.ask(&ToEngine::Load(request)).unwrap();
    let FromEngine::Loaded(report) = answer else {
        panic!("{answer:?}")
    };
    assert!(report.numeric.starts_with("int8_"), "{report:?}");
    engine
}

impl Subject {
    fn engine(&self) -> BlockingEngine {
        loaded(firefox_load(&self.form))
    }

    /// The library itself, on the model's files.
    fn library(&self) -> Engine {
        let path = |role| self.model.path(role).unwrap();
        let (source, target) = (path(Role::SourceSpm), path(Role::TargetSpm));
        let engine = Engine::load(path(Role::Weights), source, target).unwrap();
        engine.with_shortlist(Shortlist::load(path(Role::Shortlist)).unwrap())
    }

    fn segments<T: AsRef<str>>(&self, texts: &[T]) -> Vec<Segment> {
        let segment = |text: &T| Segment {
            text: text.as_ref().to_owned(),
            source: self.source.clone(),
            target: self.target.clone(),
            align: false,
            alternatives: 0,
        };
        texts.iter().map(segment).collect()
    }

    fn translate<T: AsRef<str>>(
        &self,
        engine: &mut BlockingEngine,
        texts: &[T],
    ) -> Vec<Translation> {
        translate(engine, self.segments(texts))
    }
}

/// Sentences of everyday life, all different.
fn sentences() -> Vec<String> {
    let texts = Texts::distinct(everyday());
    (0..SENTENCES)
        .map(|number| texts.nth(number).into_owned())
        .collect()
}

/// Translates with engine and library, compares, and returns the translations.
fn compare(subject: &Subject, sentences: &[String]) -> Vec<String> {
    let mut engine = subject.engine();
    let library = subject.library();
    let started = Instant::now();
    let ours = sentences
        .chunks(BATCH)
        .flat_map(|batch| subject.translate(&mut engine, batch))
        .collect::<Vec<_>>();
    let in_engine = started.elapsed();
    let started = Instant::now();
    let theirs = sentences.iter().map(|text| library.translate(text));
    let theirs = theirs.collect::<Vec<_>>();
    let in_library = started.elapsed();
    for ((sentence, ours), theirs) in sentences.iter().zip(&ours).zip(&theirs) {
        assert_eq!(&ours.text, theirs, "{sentence}");
        assert_eq!(ours.completeness, Completeness::Whole, "{sentence}");
        let probability = ours.score.exp();
        assert!(probability > 0.02 && probability <= 1.0, "{ours:?}");
        let tokens = library.src_ids(sentence).len();
        assert_eq!(ours.input_tokens as usize, tokens);
    }
    let rate = |time: Duration| sentences.len() as f64 / time.as_secs_f64();
    let pair = format!("{} to {}", subject.source, subject.target);
    measured(
        &format!("firefox engine, {pair}, one thread"),
        format_args!(
            "{:.0} sentences/s in the engine process, {:.0} in the library itself; the same text for {} of {}",
            rate(in_engine),
            rate(in_library),
            ours.len(),
            sentences.len()
        ),
    );
    theirs
}

#[test]
fn it_says_what_the_library_says_in_both_directions() {
    let (Some(there), Some(back)) = (subject(EN_PT), subject(PT_EN)) else {
        return;
    };
    let portuguese = compare(&there, &sentences());
    let _english = compare(&back, &portuguese);
}

#[test]
fn without_a_shortlist_it_says_what_the_library_says() {
    let Some(subject) = subject(EN_PT) else {
        return;
    };
    let copy = copy_of(&subject.form);
    fs::remove_file(copy.path().join(firefox::SHORTLIST)).unwrap();
    let mut engine = loaded(firefox_load(copy.path()));
    let path = |role| subject.model.path(role).unwrap();
    let spm = path(Role::SourceSpm);
    let library = Engine::load_mmapped(path(Role::Weights), &spm, &spm).unwrap();
    let sentences = &everyday()[..200];
    let ours = subject.translate(&mut engine, sentences);
    for (sentence, ours) in sentences.iter().zip(ours) {
        assert_eq!(ours.text, library.translate(sentence), "{sentence}");
    }
}

#[test]
fn empty_and_odd_texts_get_their_place_in_the_answer() {
    let Some(subject) = subject(EN_PT) else {
        return;
    };
    let long = "word ".repeat(3_000);
    let megabyte = "a".repeat(1 << 20);
    let combining = "\u{301}".repeat(1_000);
    let texts = [
        "",
        "Hello.",
        " \t\n ",
        "😀",
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "你好，世界。",
        "a</s>b <unk> \u{2581}",
        "\0\u{FFFD}\u{202E}",
        &long,
        &megabyte,
        &combining,
        "Hello.",
    ];
    let mut engine = subject.engine();
    let translations = subject.translate(&mut engine, &texts);
    let too_long = Completeness::TooLong { limit: 128 };
    for (index, translation) in translations.iter().enumerate() {
        let expected = match index {
            0 | 2 => ("", Completeness::Whole),
            8..=10 => ("", too_long),
            _ => continue,
        };
        let found = (translation.text.as_str(), translation.completeness);
        assert_eq!(found, expected, "{index}");
        assert_eq!(translation.output_tokens, 0, "{index}");
    }
    assert_eq!(translations[1], translations[11]);
    assert!(!translations[1].text.is_empty());
    assert!(translations[8].input_tokens >= 3_000);
    assert!(translations[9].input_tokens >= 10_000);
    for translation in &translations {
        assert!(translation.score <= 0.0 && translation.output_tokens <= 256);
    }
}

#[test]
fn a_translation_without_its_end_is_unfinished() {
    let Some(subject) = subject(EN_PT) else {
        return;
    };
    for (max_output_tokens, completeness) in
        [(3, Completeness::Unfinished), (100, Completeness::Whole)]
    {
        let mut request = firefox_load(&subject.form);
        request.max_output_tokens = max_output_tokens;
        let mut engine = loaded(request);
        let translation = &subject.translate(&mut engine, &["Where is the train station?"])[0];
        assert_eq!(translation.completeness, completeness, "{translation:?}");
    }
}

#[test]
fn unsupported_pairs_are_refused_and_ignored_settings_are_accepted() {
    let Some(subject) = subject(EN_PT) else {
        return;
    };
    let mut request = firefox_load(&subject.form);
    (request.precision, request.beam_size) = (Precision::Float32, 4);
    request.device = Device::Cuda(0);
    let mut engine = loaded(request);
    let mut segments = subject.segments(&["Hello."]);
    segments[0].target = "fr".to_owned();
    let request = ToEngine::Translate(TranslateRequest { id: 1, segments });
    let refused = failure(engine.ask(&request).unwrap());
    assert_eq!(refused.kind, FailureKind::Unsupported);
    assert_eq!(
        refused.message,
        "model firefox-en-pt translates from en to pt, not from en to fr"
    );
    assert!(subject.translate(&mut engine, &["Hello."])[0].is_whole());
}

#[test]
fn a_damaged_form_is_refused_by_the_name_of_its_file() {
    let Some(subject) = subject(EN_PT) else {
        return;
    };
    let weights = fs::read(subject.form.join(firefox::WEIGHTS)).unwrap();
    let shortlist = fs::read(subject.form.join(firefox::SHORTLIST)).unwrap();
    let vocabulary = fs::read(subject.form.join(forms::SOURCE_SPM)).unwrap();
    let cases: [(&str, &[u8]); 8] = [
        (forms::ENGINE_FILE, b"x"),
        (forms::SOURCE_SPM, b"x"),
        (forms::SOURCE_SPM, &vocabulary[..1_000]),
        (firefox::WEIGHTS, b""),
        (firefox::WEIGHTS, &weights[..weights.len() / 2]),
        (firefox::WEIGHTS, &[0xff; 4_096]),
        (firefox::SHORTLIST, &shortlist[..shortlist.len() / 2]),
        (firefox::SHORTLIST, &[0xff; 4_096]),
    ];
    for (file, content) in cases {
        let copy = copy_of(&subject.form);
        fs::write(copy.path().join(file), content).unwrap();
        let mut engine = start();
        let request = firefox_load(copy.path());
        // Some of a vocabulary is a vocabulary, of words that the model has.
        if file == forms::SOURCE_SPM && content.len() > 1 {
            let _ = engine.ask(&ToEngine::Load(request)).unwrap();
            continue;
        }
        let refused = failure(engine.ask(&ToEngine::Load(request)).unwrap());
        assert_eq!(refused.kind, FailureKind::Unloadable, "{refused:?}");
        let message = refused.message;
        assert!(message.contains(file), "{file}: {message}");
        assert!(message.contains(copy.path().to_str().unwrap()), "{message}");
        assert!(!message.contains('\n'), "{message}");
        let ended = || engine.process().try_wait().unwrap().is_some();
        wait_until("the engine ends", Duration::from_secs(5), ended);
    }
}

fn copy_of(form: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(form).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}
