//! Sentences through a pool: checked, tried another way where they fail, put together with all of their tokens and markup.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, atomic::Ordering},
};

use async_trait::async_trait;
use babelmesh_actors::{
    ModelText,
    cache::{CacheKey, TranslationCache},
    domain::{Format, TextChecks, Translated, TranslationRequest},
    engine::{Completeness, FakeSpec, Translation},
    events::{Event, SentenceCounts},
    pool::{ActorPhase, ActorStatus, PoolSpec, PoolStatus},
    retry::RetryPolicy,
    text::plan::{Flag, Way},
};
use proptest::prelude::*;

use crate::bench::{Bench, warm};

#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Translation>>);

#[async_trait]
impl TranslationCache for Memory {
    fn get(&self, key: &CacheKey) -> Option<Translation> {
        self.0.lock().unwrap().get(&key.to_string()).cloned()
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn ask(&self, _: &[CacheKey]) -> Vec<Option<Translation>> {
        Vec::new()
    }

    fn put(&self, made: Vec<(CacheKey, Translation)>) {
        let made = made.into_iter();
        let made = made.map(|(key, translation)| (key.to_string(), translation));
        self.0.lock().unwrap().extend(made);
    }
}

impl Memory {
    fn texts(&self) -> Vec<String> {
        let known = self.0.lock().unwrap();
        let mut texts: Vec<_> = known.values().map(|known| known.text.clone()).collect();
        texts.sort();
        texts
    }
}

async fn start(change: impl FnOnce(&mut PoolSpec)) -> (Bench, Arc<Memory>) {
    let fake = FakeSpec {
        probed: true,
        ..FakeSpec::default()
    };
    start_as(fake, change).await
}

async fn start_as(fake: FakeSpec, change: impl FnOnce(&mut PoolSpec)) -> (Bench, Arc<Memory>) {
    let memory = Arc::new(Memory::default());
    let retry = RetryPolicy {
        attempts: 0,
        ..RetryPolicy::default()
    };
    let cache = Some(Arc::clone(&memory) as _);
    let bench = Bench::start_whole(fake, retry, (Arc::new(()), cache), change).await;
    let all = bench.status().await.bounds[0] as usize;
    bench.until("warm", |status| warm(status) == all).await;
    let probed = |status: &PoolStatus| {
        let is_idle = |actor: &ActorStatus| actor.phase == ActorPhase::Idle;
        all == 0
            || !bench.engines.spec.lock().unwrap().probed
            || bench.engines.is_probed.load(Ordering::SeqCst) && status.actors.iter().all(is_idle)
    };
    bench.until("probed", probed).await;
    (bench, memory)
}

fn set(bench: &Bench, flaw: impl FnMut(&str, &mut Translation) + Send + 'static) {
    *bench.engines.flaw.lock().unwrap() = Some(Box::new(flaw));
}

/// The result of a text in a format.
async fn translate(bench: &mut Bench, text: &str, format: Format) -> Translated {
    bench.offer_with([text.to_owned()], |request| request.format = format);
    assert!(bench.settle().await.is_empty());
    let outcomes = bench.outcomes.0.lock().unwrap();
    let mut outcomes = outcomes.iter();
    let last = outcomes.find(|outcome| outcome.order.ticket.offset == bench.sent);
    last.unwrap().result.clone().unwrap()
}

fn seen(bench: &Bench) -> Vec<String> {
    bench.seen().into_iter().map(|(_, text)| text).collect()
}

fn labels(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

fn counts(bench: &Bench) -> SentenceCounts {
    let sum = Mutex::new(SentenceCounts::default());
    bench.count(|event| {
        if let Event::SentencesChecked { counts, .. } = event {
            sum.lock().unwrap().add(counts);
        }
        false
    });
    sum.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentence_is_translated_whole_with_its_tokens_and_markup() {
    let (mut bench, memory) = start(|_| {}).await;
    let html = "<p title=\"x\">I love <b>you</b>, @ana &amp; co.</p>\n<pre>keep  it</pre>";
    let first = translate(&mut bench, html, Format::Html).await;
    assert_eq!(
        first.text,
        "<p title=\"x\">fr:I love <b>you</b>, @ana &amp; co.</p>\n<pre>keep  it</pre>"
    );
    assert_eq!((first.checks, first.segments), (None, 1));
    assert_eq!(seen(&bench), ["I love you, @ana & co."]);
    let again = translate(&mut bench, html, Format::Html).await;
    assert_eq!((again.text, again.from_cache), (first.text, true));
    assert_eq!(seen(&bench).len(), 1);
    // The same words without markup need no alignment; their translation is another one.
    translate(&mut bench, "I love you, @ana & co.", Format::Text).await;
    assert_eq!((seen(&bench).len(), memory.texts().len()), (2, 2));
    let counts = counts(&bench);
    assert_eq!(counts.ways, [3, 0, 0, 0]);
    assert_eq!(counts.flags.iter().sum::<u32>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_copied_travels_as_a_stand_in_that_is() {
    let (mut bench, memory) = start(|_| {}).await;
    set(&bench, |_, translation| {
        translation.text = translation.text.replace('@', "");
    });
    let text = "Hello @ana, welcome here!";
    let translated = translate(&mut bench, text, Format::Text).await;
    assert_eq!(translated.text, "fr:Hello @ana, welcome here!");
    let checks = TextChecks {
        stand_in: 1,
        flags: labels(&["token"]),
        kinds: labels(&["mention"]),
        ..TextChecks::default()
    };
    assert_eq!(translated.checks, Some(checks));
    assert_eq!(seen(&bench), [text, "Hello Xq1, welcome here!"]);
    assert_eq!(memory.texts(), ["fr:Hello Xq1, welcome here!"]);
    assert_eq!(counts(&bench).ways, [0, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_copies_no_stand_in_is_asked_for_none() {
    let (mut bench, _) = start(|spec| spec.bounds.min = 0).await;
    set(&bench, |_, translation| {
        let words = translation.text.split(' ');
        let words = words.filter(|word| !word.contains(|c: char| "@XQK".contains(c)));
        translation.text = words.collect::<Vec<_>>().join(" ");
    });
    // The pool has no engine before.
    for text in ["Hello @ana, welcome here!", "Goodbye @ana, come again!"] {
        let cut = translate(&mut bench, text, Format::Text).await;
        assert_eq!(cut.text.replace("fr:", ""), text);
        assert_eq!(cut.checks.unwrap().cut, 1);
    }
    let seen = seen(&bench);
    assert!(
        !seen.iter().any(|text| text.contains(['X', 'Q', 'K'])),
        "{seen:?}"
    );
    assert_eq!(seen.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentence_that_loses_a_token_is_cut_at_it_and_only_what_passed_is_remembered() {
    let (mut bench, memory) = start(|_| {}).await;
    set(&bench, |_, translation| {
        translation.text = translation.text.replace(['@', 'X'], "");
    });
    let text = "Hello @ana, welcome here!";
    let stand_in = "Hello Xq1, welcome here!";
    let first = translate(&mut bench, text, Format::Text).await;
    assert_eq!(first.text, "fr:Hello @ana, fr:welcome here!");
    let checks = TextChecks {
        cut: 1,
        flags: labels(&["token"]),
        kinds: labels(&["mention"]),
        ..TextChecks::default()
    };
    assert_eq!(first.checks, Some(checks.clone()));
    assert_eq!(first.segments, 2, "an answer that failed does not count");
    assert_eq!(seen(&bench), [text, stand_in, "Hello", "welcome here!"]);
    assert_eq!(memory.texts(), ["fr:Hello", "fr:welcome here!"]);
    let again = translate(&mut bench, text, Format::Text).await;
    assert_eq!((again.text, again.checks), (first.text, Some(checks)));
    assert_eq!(seen(&bench)[4..], [text, stand_in], "the parts are known");
    assert_eq!(counts(&bench).ways[Way::Cut as usize], 2);
    assert_eq!(counts(&bench).flags[Flag::Token as usize], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentence_that_no_way_translates_stays_as_it_is_and_is_not_remembered() {
    let (mut bench, memory) = start(|_| {}).await;
    set(&bench, |_, translation| translation.text.clear());
    let text = "Hello @ana, welcome here! Bye.";
    let translated = translate(&mut bench, text, Format::Text).await;
    assert_eq!(translated.text, text);
    let checks = translated.checks.unwrap();
    assert_eq!(checks.source, 2);
    assert_eq!(checks.flags, labels(&["empty", "source_kept"]));
    assert!(translated.confidence < f64::EPSILON && translated.segments == 0);
    assert!(!translated.from_cache);
    assert_eq!(memory.texts(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_translation_is_flagged_and_not_remembered() {
    let (mut bench, memory) = start(|_| {}).await;
    set(&bench, |text, translation| {
        translation.text = text.to_owned()
    });
    let text = "This is a long sentence here.";
    let translated = translate(&mut bench, text, Format::Text).await;
    assert_eq!(translated.text, text);
    assert_eq!(translated.checks.unwrap().flags, labels(&["untranslated"]));
    assert_eq!(memory.texts(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn markup_is_cut_where_no_alignment_comes() {
    let (mut bench, _) = start(|_| {}).await;
    set(&bench, |_, translation| translation.alignment = None);
    let html = "<p>I love <b>you</b> so.</p>";
    let translated = translate(&mut bench, html, Format::Html).await;
    assert_eq!(translated.text, "<p>fr:I love <b>fr:you</b> fr:so.</p>");
    let checks = translated.checks.unwrap();
    assert_eq!((checks.cut, checks.flags), (1, labels(&["tag"])));
    assert_eq!(seen(&bench), ["I love you so.", "I love", "you", "so."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentence_with_tokens_that_is_too_long_is_cut_at_them_and_then_in_parts() {
    for fake in [
        FakeSpec {
            max_tokens: Some(9),
            ..FakeSpec::default()
        },
        FakeSpec {
            max_output_tokens: Some(9),
            ..FakeSpec::default()
        },
    ] {
        let (mut bench, memory) = start_as(fake, |spec| spec.min_piece_tokens = 4).await;
        let text = "Please tell <b>everybody</b> at https://example.com/a about it, and come back to us soon.";
        let translated = translate(&mut bench, text, Format::Text).await;
        assert_eq!(translated.text.replace("fr:", ""), text);
        assert!(translated.text.matches("fr:").count() > 3, "{translated:?}");
        let checks = translated.checks.unwrap();
        assert_eq!((checks.cut, checks.source), (1, 0));
        assert!(checks.flags.contains(&"truncated".to_owned()), "{checks:?}");
        let known = memory.0.lock().unwrap();
        assert!(known.values().all(Translation::is_whole));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_of_the_operator_and_characters_that_the_model_lacks_are_tokens() {
    use babelmesh_actors::{TextOptions, text::recognise::Patterns};
    let (mut bench, _) = start(|spec| {
        let options = TextOptions {
            patterns: Some(Patterns::new(["ACME-[0-9]+"]).unwrap()),
            attributes: true,
        };
        spec.text = Arc::new(ModelText::new(64, Arc::new(options)));
    })
    .await;
    set(&bench, |_, translation| {
        translation.text = translation
            .text
            .replace("ACME", "SOMMET")
            .replace("Xq1", "");
    });
    let text = "Ask about ACME-12 today.";
    let translated = translate(&mut bench, text, Format::Text).await;
    assert_eq!(translated.text, "fr:Ask about ACME-12 fr:today.");
    let html = "<img alt=\"A cat.\"> Look!";
    let translated = translate(&mut bench, html, Format::Html).await;
    assert_eq!(translated.text, "<img alt=\"fr:A cat.\"> fr:Look!");
}

/// Answers wrongly in one of many ways, by the text and how often it answered.
fn unreliable(seed: u64) -> impl FnMut(&str, &mut Translation) + Send {
    let mut round = 0u64;
    move |text, translation| {
        round += 1;
        let mut hash = DefaultHasher::new();
        (seed, round, text).hash(&mut hash);
        let words = |keep: fn(&str) -> bool| {
            let words: Vec<_> = text.split(' ').filter(|word| keep(word)).collect();
            words.join(" ")
        };
        let is_word = |word: &str| word.chars().all(char::is_alphabetic);
        match hash.finish() % 10 {
            0 => translation.text = words(is_word),
            1 => translation.text = format!("fr:{text} {text}"),
            2 => translation.text.clear(),
            3 => translation.completeness = Completeness::Unfinished,
            4 => translation.text = "la ".repeat(40),
            5 => translation.text = format!("fr:<i>{text}"),
            6 => translation.text = text.chars().rev().collect(),
            7 => {}
            _ => return,
        }
        translation.alignment = None;
    }
}

/// A text in a format, with stretches that stand in it once and that no sentence touches.
fn message() -> impl Strategy<Value = (String, Format)> {
    let word = proptest::sample::select(vec!["where", "house", "kind", "Station", "today", "so"]);
    let token = proptest::sample::select(TOKENS.to_vec());
    let part = prop_oneof![4 => word, 1 => token];
    let sentence = prop::collection::vec(part, 1..9).prop_map(|parts| parts.join(" ") + ".");
    let sentences = prop::collection::vec(sentence, 1..5);
    (sentences, proptest::sample::select(Format::ALL.to_vec())).prop_map(|(sentences, format)| {
        let wrap = |(number, sentence): (usize, &String)| match format {
            Format::Text => format!("- {sentence}\n"),
            Format::Html | Format::Xml => format!("<p id=\"n{number}\"><b>{sentence}</b></p>\n"),
            Format::Markdown => format!("{number}. *{sentence}*\n\n"),
            Format::Srt => {
                format!("{number}\n00:00:0{number},000 --> 00:00:09,000\n{sentence}\n\n")
            }
            Format::Vtt => {
                let start = if number == 0 { "WEBVTT\n\n" } else { "" };
                format!("{start}00:00:0{number}.000 --> 00:00:09.000\n{sentence}\n\n")
            }
        };
        let text = sentences.iter().enumerate().map(wrap).collect();
        (text, format)
    })
}

/// Tokens of which none is part of another one, or of a word.
const TOKENS: [&str; 6] = [
    "@ana",
    "https://example.com/x?y=1",
    "{name}",
    "%1$d",
    "#rust",
    "ben@example.org",
];

/// What must stand in the translation as often as in the text.
fn skeleton(text: &str) -> Vec<(&str, usize)> {
    let marks = ["<b>", "</b>", "</p>", "-->", "<p id=", "WEBVTT", "\n"];
    let all = TOKENS.into_iter().chain(marks);
    all.map(|fixed| (fixed, text.matches(fixed).count()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever a model answers, every text ends, with its tokens and markup.
    #[test]
    fn a_model_that_cannot_be_relied_on_loses_no_token_and_no_markup(
        messages in prop::collection::vec(message(), 1..30), seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut bench, memory) = start(|spec| spec.min_piece_tokens = 1).await;
            set(&bench, unreliable(seed));
            let mut sentences = 0;
            for (text, format) in &messages {
                sentences += text.matches('.').count();
                let format = *format;
                bench.offer_with([text.clone()], |request: &mut TranslationRequest| request.format = format);
            }
            let errors = bench.settle().await;
            let outcomes = bench.outcomes.0.lock().unwrap();
            for outcome in outcomes.iter() {
                let Ok(translated) = &outcome.result else { continue };
                let text = &outcome.order.request.text;
                assert_eq!(skeleton(&translated.text), skeleton(text), "{text:?} became {:?}", translated.text);
            }
            assert!(errors.len() < messages.len().max(2), "{errors:?}");
            // At most three attempts, each with the parts between some tokens and marks, and their halves.
            assert!(bench.seen().len() < 100 * sentences, "{} of {sentences}", bench.seen().len());
            assert!(memory.0.lock().unwrap().values().all(Translation::is_whole));
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn characters_that_a_model_lacks_survive_also_in_texts_that_came_before_it_was_loaded() {
    let cold = FakeSpec {
        load_ms: 300,
        lacks: "東京".to_owned(),
        ..FakeSpec::default()
    };
    let (mut bench, _) = start_as(cold, |spec| spec.bounds.min = 0).await;
    // The first comes before any engine has reported its vocabulary, the second after that.
    for text in ["東京 is a large city.", "I live in 東京 now."] {
        let done = translate(&mut bench, text, Format::Text).await;
        assert!(done.text.contains("東京"), "{}", done.text);
    }
    let before = bench.count(|event| matches!(event, Event::ActorReady { .. }));
    assert!(before > 0);
    assert!(bench.settle().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn alternatives_are_those_of_all_sentences_and_are_not_cached() {
    let (mut bench, memory) = start(|_| {}).await;
    let text = "Hello @ana, how are you? Good night.";
    let plain = translate(&mut bench, text, Format::Text).await;
    assert!(plain.alternatives.is_empty());
    let cached = memory.texts().len();
    for (wanted, expected) in [
        (
            2,
            &[
                "fr':Hello @ana, how are you? fr':Good night.",
                "fr'':Hello @ana, how are you? fr'':Good night.",
            ][..],
        ),
        (1, &["fr':Hello @ana, how are you? fr':Good night."]),
        (0, &[]),
    ] {
        bench.offer_with([text.to_owned()], |request| request.alternatives = wanted);
        assert!(bench.settle().await.is_empty());
        let outcomes = bench.outcomes.0.lock().unwrap();
        let mut outcomes = outcomes.iter();
        let last = outcomes.find(|outcome| outcome.order.ticket.offset == bench.sent);
        let result = last.unwrap().result.clone().unwrap();
        assert_eq!(result.text, plain.text);
        assert_eq!(result.alternatives, expected);
        assert_eq!(result.from_cache, wanted == 0);
    }
    assert_eq!(memory.texts().len(), cached);
}
