//! Texts with terms: of a glossary, or of the request itself.

use std::{sync::Arc, sync::Mutex, time::Duration};

use async_trait::async_trait;
use babelmesh_actors::{
    domain::{
        ErrorCode, Glossary, GlossaryDictionary, RequestError, Term, Translated, TranslationRequest,
    },
    engine::FakeSpec,
    glossaries::{Glossaries, GlossaryLimits, GlossaryLog, LogError, Position},
    remote_nodes::{ForwardedJob, RemoteCapabilities, RemoteNodes},
};
use tokio::time::sleep;

use crate::{
    bench::{Bench, capability, far},
    commands::load,
};

/// A log that is only read.
struct NoLog;

#[async_trait]
impl GlossaryLog for NoLog {
    async fn write(&self, _: &str, _: Option<&Glossary>) -> Result<Position, LogError> {
        Err(LogError::Failed("it is only read".to_owned()))
    }
}

fn glossaries() -> Arc<Glossaries> {
    let limits = GlossaryLimits {
        wait: Duration::from_millis(300),
        ..GlossaryLimits::default()
    };
    Arc::new(Glossaries::new(limits, Arc::new(NoLog)))
}

fn put(glossaries: &Glossaries, offset: i64, target: &str) {
    let glossary = Glossary {
        name: "Shop".to_owned(),
        created_ms: 0,
        dictionaries: vec![GlossaryDictionary {
            source_language: "en".parse().unwrap(),
            target_language: "fr".parse().unwrap(),
            terms: vec![Term::new("board", target)],
        }],
    };
    let at = Position {
        partition: 0,
        offset,
    };
    glossaries.apply(at, "shop", Some(glossary)).unwrap();
}

fn named(id: &'static str) -> impl Fn(&mut TranslationRequest) {
    move |request| request.glossary_id = Some(id.to_owned())
}

async fn start(glossaries: &Arc<Glossaries>, others: Arc<dyn RemoteNodes>) -> Bench {
    let alone = (Arc::new(()) as _, None);
    let glossaries = Arc::clone(glossaries);
    Bench::start_with_glossaries(FakeSpec::default(), alone, others, glossaries).await
}

/// The texts of the outcomes, in order; an error as its name.
fn results(bench: &Bench) -> Vec<String> {
    let outcomes = bench.outcomes.0.lock().unwrap();
    let mut outcomes: Vec<_> = outcomes.iter().collect();
    outcomes.sort_by_key(|outcome| outcome.order.ticket.offset);
    let result = outcomes.into_iter().map(|outcome| match &outcome.result {
        Ok(translated) => translated.text.clone(),
        Err(error) => error.code.name().to_owned(),
    });
    result.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_glossary_that_changes_is_used_as_it_is_then() {
    let glossaries = glossaries();
    glossaries.set_read();
    put(&glossaries, 0, "conseil");
    let mut bench = start(&glossaries, Arc::new(())).await;
    let text = || ["The Board meets today.".to_owned()];
    bench.offer_with(text(), named("shop"));
    bench.settle().await;
    put(&glossaries, 1, "comité");
    bench.offer_with(text(), named("shop"));
    bench.offer(text());
    bench.offer_with(["board".to_owned()], named("shop"));
    assert!(bench.settle().await.is_empty());
    let expected = [
        "fr:The Conseil meets today.",
        "fr:The Comité meets today.",
        "fr:The Board meets today.",
        "comité",
    ];
    assert_eq!(results(&bench), expected);
    let outcomes = bench.outcomes.0.lock().unwrap();
    let alone = outcomes
        .iter()
        .find(|outcome| outcome.order.ticket.offset == 4);
    let alone = alone.unwrap().result.as_ref().unwrap();
    assert!((alone.confidence - 1.0).abs() < 1e-9 && alone.from_cache);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_glossaries_that_are_not_read_yet() {
    let glossaries = glossaries();
    let mut bench = start(&glossaries, Arc::new(())).await;
    bench.offer_with(["The board meets.".to_owned()], named("shop"));
    sleep(Duration::from_millis(500)).await;
    assert!(bench.outcomes.0.lock().unwrap().is_empty());
    put(&glossaries, 0, "conseil");
    glossaries.set_read();
    assert!(bench.settle().await.is_empty());
    // One that was created just before is waited for, but not without end.
    bench.offer_with(["The board meets.".to_owned()], named("other"));
    bench.settle().await;
    bench.offer_with(["Das Brett.".to_owned()], |request| {
        named("shop")(request);
        request.source_language = "de".to_owned();
    });
    bench.settle().await;
    let expected = [
        "fr:The conseil meets.",
        "unknown_glossary",
        "unknown_glossary",
    ];
    assert_eq!(results(&bench), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_of_the_request_are_used_and_checked() {
    let mut bench = start(&glossaries(), Arc::new(())).await;
    let terms =
        |terms: Vec<Term>| move |request: &mut TranslationRequest| request.terms.clone_from(&terms);
    let text = || ["The board of Acme meets.".to_owned()];
    bench.offer_with(
        text(),
        terms(vec![
            Term::new("board", "conseil"),
            Term::new("Acme", "Acme"),
        ]),
    );
    bench.offer_with(text(), terms(vec![Term::new("", "x")]));
    let errors = bench.settle().await;
    assert_eq!(errors.get("2"), Some(&ErrorCode::InvalidRequest));
    assert_eq!(results(&bench)[0], "fr:The conseil of Acme meets.");
}

/// Another node, which reads German.
#[derive(Default)]
struct Other(Mutex<Vec<TranslationRequest>>);

#[async_trait]
impl RemoteNodes for Other {
    fn remote_capabilities(&self) -> Arc<RemoteCapabilities> {
        let capabilities = vec![capability("de", "fr")];
        Arc::new(RemoteCapabilities::new(capabilities, Vec::new(), false))
    }

    async fn translate(&self, forwarded: ForwardedJob) -> Result<Translated, RequestError> {
        self.0.lock().unwrap().push(forwarded.request.clone());
        Ok(far(&forwarded))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_gets_the_terms_that_are_in_the_text() {
    let other = Arc::new(Other::default());
    let mut bench = start(&glossaries(), Arc::clone(&other) as _).await;
    bench.offer_to_all(["Der VORSTAND tagt.".to_owned()], |request| {
        request.source_language = "de".to_owned();
        request.terms = vec![Term::new("Vorstand", "conseil"), Term::new("Bahn", "train")];
    });
    assert!(bench.settle().await.is_empty());
    let seen = other.0.lock().unwrap();
    assert_eq!(seen[0].terms, [Term::new("VORSTAND", "CONSEIL")]);
    assert_eq!(seen[0].glossary_id, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_survive_both_steps_of_a_route() {
    let mut bench = start(&glossaries(), Arc::new(())).await;
    let (pool, _) = bench.pool_with("pt-en", FakeSpec::default()).await;
    load(&bench, "pt-en", pool, ("pt", "en")).await;
    let text = "O Conselho e o conselho decidem.".to_owned();
    bench.offer_with([text], |request| {
        request.source_language = "pt".to_owned();
        request.terms = vec![Term::new("conselho", "comité")];
    });
    assert!(bench.settle().await.is_empty());
    assert_eq!(results(&bench), ["fr:en:O Comité e o comité decidem."]);
    let seen = bench.seen();
    assert!(
        seen.iter().any(|(_, text)| text.starts_with("en:O Comité")),
        "{seen:?}"
    );
}
