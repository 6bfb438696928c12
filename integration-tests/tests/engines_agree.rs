//! The two engines for Marian models, as processes of their own, on the demo model.
//!
//! Build them first, in the same profile: `cargo build -p babelmesh-engine-ctranslate2 -p babelmesh-engine-rust-bert`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on may panic"
)]

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use babelmesh_engine_protocol::{
    Completeness, Device, FailureKind, FromEngine, LoadRequest, Precision, Segment, ToEngine,
    TranslateRequest, client::BlockingEngine,
};
use babelmesh_integration_tests::{
    engine::{failure, translate},
    processes,
};
use babelmesh_models::{EngineKind, Model, forms};

const ENGINES: [EngineKind; 2] = [EngineKind::Ctranslate2, EngineKind::RustBert];
const BATCH: usize = 50;
/// How soon an engine ends that nobody needs. A batch in the middle of which it is would take far longer.
const SOON: Duration = Duration::from_secs(5);
const LEAST_AGREEMENT: f64 = 0.95;
/// Where two engines choose differently, both choices were about as good.
const LARGEST_SCORE_DIFFERENCE: f32 = 0.05;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// This test is in `target/<profile>/deps`, the engines are one folder up.
fn executable(engine: EngineKind) -> PathBuf {
    let own = env::current_exe().unwrap();
    let path = own
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join(engine.executable());
    assert!(
        path.is_file(),
        "{} is not there; build it first",
        path.display()
    );
    path
}

/// The engine's form of the demo model, in a cache that the tests share.
fn form(engine: EngineKind) -> PathBuf {
    let model = Model::open(&repository().join("models/demo-en-fr-de")).unwrap();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("forms");
    forms::prepare(&model, engine, &cache).unwrap().directory
}

fn load_request(directory: &Path) -> LoadRequest {
    LoadRequest {
        directory: directory.to_str().unwrap().to_owned(),
        precision: Precision::Float32,
        device: Device::Cpu,
        threads: 1,
        beam_size: 1,
        max_input_tokens: 512,
        max_output_tokens: 512,
    }
}

fn start(engine: EngineKind) -> BlockingEngine {
    let started = BlockingEngine::start(&executable(engine)).unwrap();
    assert_eq!(started.hello().engine, engine.name());
    started
}

fn loaded(engine: EngineKind) -> BlockingEngine {
    let mut started = start(engine);
    let answer = started
        .ask(&ToEngine::Load(load_request(&form(engine))))
        .unwrap();
    let FromEngine::Loaded(report) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(report.numeric, "float32");
    started
}

fn segments<T: AsRef<str>>(texts: &[T], target: &str) -> Vec<Segment> {
    let segment = |text: &T| Segment {
        text: text.as_ref().to_owned(),
        source: "en".to_owned(),
        target: target.to_owned(),
        align: false,
        alternatives: 0,
    };
    texts.iter().map(segment).collect()
}

/// The held-out sentences where they are at hand, else some of our own.
fn sentences() -> Vec<String> {
    let held_out = repository().join("../shared/data/heldout.en-fr.tsv");
    match fs::read_to_string(&held_out) {
        Ok(text) => text
            .lines()
            .filter_map(|line| Some(line.split_once('\t')?.0.to_owned()))
            .collect(),
        Err(_) => {
            eprintln!(
                "THE HELD-OUT SENTENCES ARE NOT HERE: comparing on {} own ones",
                OWN.len()
            );
            OWN.map(str::to_owned).to_vec()
        }
    }
}

#[test]
fn both_engines_say_the_same_at_least_nineteen_times_in_twenty() {
    let sentences = sentences();
    let translations = thread::scope(|scope| {
        let workers = ENGINES.map(|engine| {
            let sentences = &sentences;
            scope.spawn(move || {
                let mut engine = loaded(engine);
                let batches = sentences.chunks(BATCH);
                batches
                    .flat_map(|batch| translate(&mut engine, segments(batch, "fr")))
                    .collect::<Vec<_>>()
            })
        });
        workers.map(|worker| worker.join().unwrap())
    });
    let [first, second] = &translations;
    let mut agreeing = 0;
    for ((sentence, a), b) in sentences.iter().zip(first).zip(second) {
        agreeing += usize::from(a.text == b.text);
        assert!(
            (a.score - b.score).abs() < LARGEST_SCORE_DIFFERENCE,
            "{sentence:?}: {a:?} against {b:?}"
        );
        assert_eq!(a.input_tokens, b.input_tokens);
    }
    let share = agreeing as f64 / sentences.len() as f64;
    eprintln!(
        "the same greedy translation for {agreeing} of {} sentences",
        sentences.len()
    );
    assert!(share >= LEAST_AGREEMENT, "only {share:.3}");
}

#[test]
fn empty_and_odd_texts_get_their_place_in_the_answer() {
    let long = "word ".repeat(3_000);
    let texts = [
        "",
        "Hello.",
        "   ",
        "😀",
        "a</s>b",
        long.as_str(),
        "Good night.",
    ];
    for engine in ENGINES {
        let mut request = load_request(&form(engine));
        (request.max_input_tokens, request.max_output_tokens) = (32, 20);
        let mut engine = start(engine);
        let answer = engine.ask(&ToEngine::Load(request)).unwrap();
        assert!(matches!(answer, FromEngine::Loaded(_)), "{answer:?}");
        let translations = translate(&mut engine, segments(&texts, "de"));
        for index in [0, 2] {
            assert_eq!(
                (
                    translations[index].text.as_str(),
                    translations[index].output_tokens
                ),
                ("", 0)
            );
        }
        assert_eq!(
            translations[1].text,
            translate(&mut engine, segments(&["Hello."], "de"))[0].text
        );
        let too_long = Completeness::TooLong { limit: 32 };
        for (index, translation) in translations.iter().enumerate() {
            assert_eq!(
                translation.completeness == too_long,
                index == 5,
                "{translation:?}"
            );
        }
        // Told by its tokens, at no cost of inference.
        assert!(translations[5].input_tokens >= 3_000);
        assert_eq!(
            (translations[5].text.as_str(), translations[5].output_tokens),
            ("", 0)
        );
        assert!(
            translations
                .iter()
                .all(|t| t.output_tokens <= 20 && t.score <= 0.0)
        );
    }
}

#[test]
fn a_translation_without_its_end_is_unfinished() {
    let text = "Where is the train station?";
    for engine in ENGINES {
        for beam_size in [1, 4] {
            for (max_output_tokens, whole) in [(3, false), (100, true)] {
                let mut request = load_request(&form(engine));
                (request.max_output_tokens, request.beam_size) = (max_output_tokens, beam_size);
                let mut engine = start(engine);
                engine.ask(&ToEngine::Load(request)).unwrap();
                let translation = &translate(&mut engine, segments(&[text], "fr"))[0];
                let expected = if whole {
                    Completeness::Whole
                } else {
                    Completeness::Unfinished
                };
                assert_eq!(translation.completeness, expected, "{translation:?}");
            }
        }
    }
}

#[test]
fn beams_are_scored_alike() {
    let mut answers = ENGINES.map(|engine| {
        let mut request = load_request(&form(engine));
        request.beam_size = 4;
        let mut engine = start(engine);
        engine.ask(&ToEngine::Load(request)).unwrap();
        translate(&mut engine, segments(&OWN[..10], "fr"))
    });
    let second = answers[1].split_off(0);
    let same = answers[0]
        .iter()
        .zip(&second)
        .filter(|(a, b)| a.text == b.text);
    let same = same.inspect(|(a, b)| assert!((a.score - b.score).abs() < 1e-3, "{a:?} {b:?}"));
    assert!(same.count() >= 9);
}

#[test]
fn unexpected_messages_get_a_clear_failure() {
    for engine in ENGINES {
        let mut started = start(engine);
        let translate = |target: &str| {
            ToEngine::Translate(TranslateRequest {
                id: 1,
                segments: segments(&["Hello."], target),
            })
        };
        let early = failure(started.ask(&translate("fr")).unwrap());
        assert_eq!(early.kind, FailureKind::Protocol);
        assert_eq!(early.message, "no model is loaded yet");

        let load = ToEngine::Load(load_request(&form(engine)));
        assert!(matches!(started.ask(&load).unwrap(), FromEngine::Loaded(_)));
        assert_eq!(
            failure(started.ask(&load).unwrap()).kind,
            FailureKind::Protocol
        );
        let unsupported = failure(started.ask(&translate("it")).unwrap());
        assert_eq!(unsupported.kind, FailureKind::Unsupported);
        assert_eq!(
            unsupported.message,
            "model demo-en-fr-de translates from en to fr, de, not from en to it"
        );
        assert!(matches!(
            started.ask(&translate("fr")).unwrap(),
            FromEngine::Translated(_)
        ));
    }
}

#[test]
fn a_damaged_form_is_refused_by_the_name_of_its_file() {
    for engine in ENGINES {
        let load = |directory: &Path| {
            let mut started = start(engine);
            let answer = failure(
                started
                    .ask(&ToEngine::Load(load_request(directory)))
                    .unwrap(),
            );
            assert_eq!(answer.kind, FailureKind::Unloadable);
            assert!(ends_within(&mut started, SOON), "{engine} goes on");
            answer.message
        };
        let message = load(Path::new("/nowhere"));
        assert!(message.contains("/nowhere/engine.toml"), "{message}");

        let weights = match engine {
            EngineKind::Ctranslate2 => "model.bin",
            _ => "model.safetensors",
        };
        for (file, content) in [
            ("engine.toml", "x"),
            ("source.spm", "x"),
            ("vocab.json", "x"),
            (weights, "x"),
        ] {
            let copy = tempfile::tempdir().unwrap();
            for entry in fs::read_dir(form(engine)).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
            }
            fs::write(copy.path().join(file), content).unwrap();
            let message = load(copy.path());
            assert!(message.contains(copy.path().to_str().unwrap()), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }
}

#[test]
fn bytes_that_are_no_frame_end_the_engine() {
    for engine in EngineKind::ALL {
        let mut started = start(engine);
        started
            .take_input()
            .unwrap()
            .write_all(&[0xff; 64])
            .unwrap();
        assert!(ends_within(&mut started, SOON), "{engine} goes on");
    }
}

#[test]
fn an_engine_ends_soon_after_its_pipe() {
    for engine in ENGINES {
        let mut idle = loaded(engine);
        drop(idle.take_input());
        assert!(ends_within(&mut idle, SOON), "{engine} goes on when idle");

        let mut busy = loaded(engine);
        let long = vec![OWN.concat(); 2_000];
        let request = TranslateRequest {
            id: 1,
            segments: segments(&long, "fr"),
        };
        busy.send(&ToEngine::Translate(request)).unwrap();
        thread::sleep(Duration::from_millis(300));
        assert!(
            busy.process().try_wait().unwrap().is_none(),
            "{engine} was not busy"
        );
        drop(busy.take_input());
        assert!(ends_within(&mut busy, SOON), "{engine} goes on mid-batch");
    }
}

/// The shell that starts the engine is killed, while the pipes stay open: only the death of its parent tells the engine.
#[test]
fn no_engine_outlives_its_parent() {
    for engine in EngineKind::ALL {
        let mut shell = Command::new("sh")
            .args(["-c", r#"exec 3<&0; "$0" <&3 & echo $! >&2; wait"#])
            .arg(executable(engine))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = shell.stdout.take().unwrap();
        let hello = babelmesh_engine_protocol::frame::read::<FromEngine>(&mut output).unwrap();
        assert!(matches!(hello, Some(FromEngine::Hello(_))));
        let mut errors = std::io::BufReader::new(shell.stderr.take().unwrap());
        let mut pid = String::new();
        std::io::BufRead::read_line(&mut errors, &mut pid).unwrap();
        let pid: u32 = pid.trim().parse().unwrap();
        assert!(processes::is_alive(pid));
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(
            within(SOON, || !processes::is_alive(pid)),
            "{engine} goes on"
        );
    }
}

fn ends_within(engine: &mut BlockingEngine, limit: Duration) -> bool {
    within(limit, || engine.process().try_wait().unwrap().is_some())
}

fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if holds() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    holds()
}

const OWN: [&str; 60] = [
    "Where is the train station?",
    "Good morning, how are you?",
    "I would like a cup of coffee, please.",
    "The meeting starts at nine o'clock.",
    "Can you help me with my luggage?",
    "She has two brothers and a sister.",
    "It rained all day yesterday.",
    "We are going to the beach tomorrow.",
    "My phone does not work any more.",
    "What time does the museum open?",
    "He forgot his keys at home.",
    "This soup is too hot.",
    "They have lived here for ten years.",
    "Please close the door behind you.",
    "I do not understand this question.",
    "The children are playing in the garden.",
    "How much does this book cost?",
    "Tom wants to learn French.",
    "You should see a doctor.",
    "The bus is late again.",
    "I was born in a small village.",
    "Could you speak more slowly?",
    "We need a bigger table.",
    "Her father is a teacher.",
    "There is a cat on the roof.",
    "I have never been to Japan.",
    "Why are you laughing?",
    "The bread is still warm.",
    "Do not forget to call your mother.",
    "He works in a bank.",
    "It is colder than last week.",
    "I think that he is right.",
    "Who wrote this letter?",
    "The train leaves in five minutes.",
    "She sings better than I do.",
    "Let us meet in front of the cinema.",
    "I lost my wallet on the bus.",
    "The water is not clean.",
    "Are you ready to go?",
    "We watched a film together.",
    "He speaks English and German.",
    "The shop is closed on Sundays.",
    "I am looking for a cheap hotel.",
    "That was a good idea.",
    "She did not answer my message.",
    "My brother is taller than me.",
    "We will be there before noon.",
    "The dog is sleeping under the table.",
    "Have you already eaten?",
    "It takes an hour to get there.",
    "I am very proud of you.",
    "He bought a new bicycle.",
    "The road is dangerous at night.",
    "Thank you for your help!",
    "They are waiting for us outside.",
    "This is the best day of my life.",
    "I cannot find my glasses.",
    "What are you doing tonight?",
    "The teacher gave us a lot of work.",
    "Nobody knows the answer.",
];

#[test]
fn ctranslate2_has_alternatives_for_those_who_ask_and_the_same_for_the_others() {
    let mut engine = loaded(EngineKind::Ctranslate2);
    let plain = translate(&mut engine, segments(&OWN, "fr"));
    assert!(plain.iter().all(|one| one.alternatives.is_empty()));
    let mut asked = segments(&OWN, "fr");
    for (number, segment) in asked.iter_mut().enumerate() {
        segment.alternatives = [0, 3, 1][number % 3];
    }
    let answers = translate(&mut engine, asked.clone());
    let mut most = 0;
    for ((segment, answer), plain) in asked.iter().zip(&answers).zip(&plain) {
        assert!(answer.answers(segment), "{answer:?}");
        if segment.alternatives == 0 {
            assert_eq!(answer.text, plain.text);
        }
        let mut texts = answer.alternatives.clone();
        texts.push(answer.text.clone());
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), answer.alternatives.len() + 1, "{answer:?}");
        most = most.max(answer.alternatives.len());
    }
    assert_eq!(most, 3);
}
