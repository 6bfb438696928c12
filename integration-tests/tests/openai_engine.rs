//! The engine for OpenAI-compatible servers, as a process of its own, against a server with faults.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use babelmesh_engine_protocol::{
    Completeness, Device, Failure, FailureKind, FromEngine, LoadRequest, Precision, Segment,
    ToEngine, TranslateRequest, client::BlockingEngine,
};
use babelmesh_integration_tests::{
    PATIENCE,
    chat_server::{COMPLETIONS, ChatServer, MODELS, Reply},
    engine::{failure, translate},
    executables, free_address,
    processes::{is_alive, memory_of},
    wait_until,
};
use babelmesh_models::{EngineKind, Model, forms};
use tempfile::TempDir;

const KEY: &str = "sk-very-secret";
const KEY_FILE: &str = "key";

/// Settings of an endpoint that is quick to give up.
const QUICK: &str = "retries = 2\ninitial_backoff_ms = 1\nmax_backoff_ms = 2";

/// A model of a server, with the form that the engine loads.
struct Subject {
    folder: TempDir,
    form: PathBuf,
}

impl Subject {
    fn new(url: &str, settings: &str) -> Self {
        Self::in_folder(TempDir::new().unwrap(), url, settings)
    }

    /// A model whose key is in a file.
    fn with_key(url: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join(KEY_FILE);
        fs::write(&file, format!("{KEY}\n")).unwrap();
        let settings = format!("{QUICK}\napi_key_file = {file:?}");
        Self::in_folder(folder, url, &settings)
    }

    fn in_folder(folder: TempDir, url: &str, settings: &str) -> Self {
        fs::write(folder.path().join("model.toml"), manifest(url, settings)).unwrap();
        let model = Model::open(folder.path()).unwrap();
        let cache = folder.path().join("cache");
        let form = forms::prepare(&model, EngineKind::Openai, &cache).unwrap();
        Self {
            form: form.directory,
            folder,
        }
    }

    fn load(&self) -> (BlockingEngine, FromEngine) {
        let mut engine = BlockingEngine::start(&executables::engine("openai")).unwrap();
        let answer = engine.ask(&ToEngine::Load(request(&self.form))).unwrap();
        (engine, answer)
    }

    fn engine(&self) -> BlockingEngine {
        match self.load() {
            (engine, FromEngine::Loaded(report)) => {
                assert_eq!(report.numeric, "remote");
                engine
            }
            (_, other) => panic!("{other:?}"),
        }
    }

    fn load_failure(&self) -> Failure {
        failure(self.load().1)
    }
}

fn manifest(url: &str, settings: &str) -> String {
    format!(
        r#"
        id = "remote"
        name = "Remote"
        description = "A model of a stand-in"
        architecture = "openai"
        source_languages = ["en"]
        target_languages = ["fr"]
        licence = "none"
        attribution = "none"
        [limits]
        max_input_tokens = 100
        max_output_tokens = 77
        [endpoint]
        url = {url:?}
        model = "gemma"
        prompt = "From {{source}} to {{target}}: {{text}}"
        {settings}
        "#
    )
}

fn request(form: &Path) -> LoadRequest {
    LoadRequest {
        directory: form.to_str().unwrap().to_owned(),
        precision: Precision::Auto,
        device: Device::Cpu,
        threads: 1,
        beam_size: 1,
        max_input_tokens: 100,
        max_output_tokens: 77,
    }
}

fn segments(texts: &[&str]) -> Vec<Segment> {
    let segment = |text: &&str| Segment {
        text: (*text).to_owned(),
        source: "en".to_owned(),
        target: "fr".to_owned(),
        align: false,
        alternatives: 0,
    };
    texts.iter().map(segment).collect()
}

fn texts(engine: &mut BlockingEngine, texts: &[&str]) -> Vec<String> {
    let translations = translate(engine, segments(texts));
    assert!(
        translations
            .iter()
            .all(|translation| translation.is_whole())
    );
    translations.into_iter().map(|made| made.text).collect()
}

fn translate_failure(engine: &mut BlockingEngine, texts: &[&str]) -> Failure {
    let request = TranslateRequest {
        id: 1,
        segments: segments(texts),
    };
    failure(engine.ask(&ToEngine::Translate(request)).unwrap())
}

fn wait_for_end(engine: &mut BlockingEngine) {
    let pid = engine.process().id();
    wait_until("the engine has ended", PATIENCE, || {
        engine.process().try_wait().unwrap().is_some() || !is_alive(pid)
    });
}

#[test]
fn a_batch_is_translated_with_names_of_languages_usage_and_scores() {
    let server = ChatServer::start(Some(&["gemma"]));
    let subject = Subject::new(
        &server.url(),
        "concurrency = 3\nsystem = \"You write {target_code}.\"",
    );
    let mut engine = subject.engine();
    let wanted: Vec<String> = (0..40).map(|number| format!("text {number}")).collect();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let made = translate(&mut engine, segments(&wanted));
    for (text, made) in wanted.iter().zip(&made) {
        assert_eq!(made.text, format!("Voici {text}"));
        assert_eq!(made.completeness, Completeness::Whole);
        assert_eq!(made.score, -0.25);
        let prompt = format!("From English to French: {text}");
        assert_eq!(made.input_tokens as usize, prompt.len());
        assert_eq!(made.output_tokens, 3);
    }
    assert!(server.most_at_once() <= 3);
    let asked = server.asked();
    assert_eq!(asked[0].path, MODELS);
    assert_eq!(asked.len(), 41);
    let body = &asked[1].body;
    assert_eq!(body["model"], "gemma");
    assert_eq!(body["temperature"], 0.0);
    assert_eq!(body["max_tokens"], 77);
    assert_eq!(body["stream"], false);
    assert_eq!(body["messages"][0]["role"], "system");
    assert_eq!(body["messages"][0]["content"], "You write fr.");
    assert_eq!(asked[1].authorization, None);
}

#[test]
fn transient_faults_are_retried() {
    let server = ChatServer::start(Some(&["gemma"]));
    let settings = format!("{QUICK}\nrequest_timeout_ms = 500");
    let mut engine = Subject::new(&server.url(), &settings).engine();
    for (name, fault) in [
        ("five", Reply::Status(500, String::new())),
        ("many", Reply::Status(429, String::new())),
        ("cut", Reply::Cut),
        ("wrong", Reply::Body("<html>secret</html>".to_owned())),
        ("empty", Reply::Body("{\"choices\": []}".to_owned())),
        ("hang", Reply::Hang),
    ] {
        server.reply(name, [fault.clone(), fault]);
        let expected = format!("Voici {name}");
        assert_eq!(texts(&mut engine, &[name]), [expected]);
        assert_eq!(server.prompts_with(name), 3, "{name}");
    }
}

#[test]
fn the_server_may_ask_for_a_pause_within_the_time_of_the_batch() {
    let server = ChatServer::start(Some(&["gemma"]));
    let pause = |seconds: u32| Reply::Status(429, format!("Retry-After: {seconds}\r\n"));
    let mut engine = Subject::new(&server.url(), QUICK).engine();
    server.reply("soon", [pause(1)]);
    let started = Instant::now();
    assert_eq!(texts(&mut engine, &["soon"]), ["Voici soon"]);
    assert!(started.elapsed() >= Duration::from_secs(1));
    // Longer than the batch may take: it is not waited for.
    server.reply("later", [pause(3_600)]);
    let failure = translate_failure(&mut engine, &["later"]);
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure:?}");
    assert!(failure.message.contains("429"), "{failure:?}");
    assert_eq!(server.prompts_with("later"), 1);
    wait_for_end(&mut engine);
}

#[test]
fn a_server_that_stays_down_ends_the_engine() {
    let server = ChatServer::start(Some(&["gemma"]));
    let mut engine = Subject::new(&server.url(), QUICK).engine();
    server.set_down(true);
    let failure = translate_failure(&mut engine, &["a", "b", "c"]);
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure:?}");
    assert!(failure.message.contains("503"), "{failure:?}");
    // The text that the server repeats in its error is not told.
    assert!(!failure.message.contains("English"), "{failure:?}");
    wait_for_end(&mut engine);
}

#[test]
fn an_answer_of_many_megabytes_fails_its_text_alone() {
    let server = ChatServer::start(Some(&["gemma"]));
    let settings = format!("{QUICK}\nmax_response_kb = 64");
    let mut engine = Subject::new(&server.url(), &settings).engine();
    server.reply("huge", [Reply::Huge(200)]);
    let failure = translate_failure(&mut engine, &["huge"]);
    assert_eq!(failure.kind, FailureKind::Inference, "{failure:?}");
    assert!(failure.message.contains("64 KiB"), "{failure:?}");
    let memory = memory_of(engine.process().id()).unwrap();
    assert!(memory < 100 << 20, "{memory} bytes");
    assert_eq!(texts(&mut engine, &["small"]), ["Voici small"]);
}

#[test]
fn chatter_is_removed_and_refusals_fail_without_asking_again_for_the_others() {
    let server = ChatServer::start(Some(&["gemma"]));
    let mut engine = Subject::new(&server.url(), QUICK).engine();
    server.reply(
        "Hello",
        [Reply::text(
            "<think>Easy.</think>Sure, here is the translation:\n\n\"Bonjour\"",
        )],
    );
    assert_eq!(texts(&mut engine, &["Hello"]), ["Bonjour"]);
    for answer in [
        Reply::text("I'm sorry, but I can't translate this text."),
        Reply::text(""),
        Reply::Text("Bon".to_owned(), "content_filter"),
        Reply::text("Sure, I can do that.\n\nBonjour"),
    ] {
        server.reply("bad", [answer.clone()]);
        let before = server.prompts_with("good");
        let failure = translate_failure(&mut engine, &["good", "bad"]);
        assert_eq!(failure.kind, FailureKind::Inference, "{answer:?}");
        assert!(failure.message.starts_with("segment 1: "), "{failure:?}");
        // The node tries again: the other text is known.
        assert_eq!(
            texts(&mut engine, &["good", "bad"]),
            ["Voici good", "Voici bad"]
        );
        assert_eq!(server.prompts_with("good"), before + 1);
    }
}

#[test]
fn answers_without_an_end_and_texts_that_are_too_long_are_told() {
    let server = ChatServer::start(Some(&["gemma"]));
    let mut engine = Subject::new(&server.url(), QUICK).engine();
    server.reply("long", [Reply::Text("Voici une".to_owned(), "length")]);
    let endless = "word ".repeat(200);
    let made = translate(
        &mut engine,
        segments(&["a long one", &endless, "", "short"]),
    );
    assert_eq!(made[0].completeness, Completeness::Unfinished);
    assert_eq!(made[1].completeness, Completeness::TooLong { limit: 100 });
    assert_eq!(made[2].text, "");
    assert_eq!(made[3].text, "Voici short");
    assert_eq!(server.prompts_with("word"), 0);
}

#[test]
fn a_batch_without_time_left_goes_on_where_it_ended() {
    let server = ChatServer::start(Some(&["gemma"]));
    let settings = format!("{QUICK}\nconcurrency = 1\nbatch_timeout_ms = 1500");
    let mut engine = Subject::new(&server.url(), &settings).engine();
    server.reply("slow", [Reply::Hang]);
    let failure = translate_failure(&mut engine, &["first", "slow", "last"]);
    assert_eq!(failure.kind, FailureKind::Inference, "{failure:?}");
    let made = texts(&mut engine, &["first", "slow", "last"]);
    assert_eq!(made, ["Voici first", "Voici slow", "Voici last"]);
    assert_eq!(server.prompts_with("first"), 1);
}

#[test]
fn a_model_that_the_server_does_not_have_is_not_loaded() {
    let unknown = ChatServer::start(Some(&["llama", "qwen"]));
    let failure = Subject::new(&unknown.url(), QUICK).load_failure();
    assert_eq!(failure.kind, FailureKind::Unloadable);
    assert!(
        failure.message.ends_with("available: llama, qwen"),
        "{failure:?}"
    );
    // Without a list a short request tells.
    let unlisted = ChatServer::start(None);
    unlisted.reply("1", [Reply::Status(404, String::new()), Reply::text("1")]);
    let subject = Subject::new(&unlisted.url(), QUICK);
    let failure = subject.load_failure();
    assert_eq!(failure.kind, FailureKind::Unloadable, "{failure:?}");
    let _engine = subject.engine();
    assert_eq!(unlisted.asked().last().unwrap().path, COMPLETIONS);
    assert_eq!(unlisted.asked().last().unwrap().body["max_tokens"], 1);

    let closed = Subject::new(&format!("http://{}/v1", free_address()), QUICK);
    assert_eq!(closed.load_failure().kind, FailureKind::Load);
    unknown.refuse_list(503);
    let down = Subject::new(&unknown.url(), QUICK).load_failure();
    assert_eq!(down.kind, FailureKind::Load, "{down:?}");
}

#[test]
fn the_key_is_sent_to_the_server_and_told_nobody() {
    let server = ChatServer::start(Some(&["gemma"]));
    let subject = Subject::with_key(&server.url());
    let mut engine = subject.engine();
    assert_eq!(texts(&mut engine, &["Hello"]), ["Voici Hello"]);
    let sent = format!("Bearer {KEY}");
    for asked in server.asked() {
        assert_eq!(asked.authorization.as_ref(), Some(&sent));
    }
    for entry in fs::read_dir(&subject.form).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains(KEY), "{text}");
    }
    // A redirection is not followed: the key is for this server only.
    let other = ChatServer::start(Some(&["gemma"]));
    let location = format!("Location: {}/chat/completions\r\n", other.url());
    server.reply("elsewhere", [Reply::Status(307, location)]);
    let failure = translate_failure(&mut engine, &["elsewhere"]);
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure:?}");
    assert_eq!(other.asked(), []);

    server.refuse_list(401);
    let failure = subject.load_failure();
    assert_eq!(failure.kind, FailureKind::Unloadable);
    assert!(failure.message.contains("401"), "{failure:?}");
    assert!(!failure.message.contains(KEY), "{failure:?}");
    fs::remove_file(subject.folder.path().join(KEY_FILE)).unwrap();
    let failure = subject.load_failure();
    assert_eq!(failure.kind, FailureKind::Unloadable);
    assert!(failure.message.contains("api_key_file"), "{failure:?}");
}
