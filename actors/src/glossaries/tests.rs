use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::domain::GlossaryDictionary;

/// A log in memory. Its records are read back by hand.
#[derive(Default)]
struct MemoryLog {
    records: Mutex<Vec<(String, Option<Glossary>)>>,
}

#[async_trait]
impl GlossaryLog for MemoryLog {
    async fn write(&self, id: &str, glossary: Option<&Glossary>) -> Result<Position, LogError> {
        let mut records = self.records.lock().unwrap();
        records.push((id.to_owned(), glossary.cloned()));
        Ok(position(records.len() as i64 - 1))
    }
}

const fn position(offset: i64) -> Position {
    Position {
        partition: 0,
        offset,
    }
}

fn language(tag: &str) -> Language {
    tag.parse().unwrap()
}

fn glossary(name: &str) -> Glossary {
    Glossary {
        name: name.to_owned(),
        created_ms: 1,
        dictionaries: vec![GlossaryDictionary {
            source_language: language("en"),
            target_language: language("fr"),
            terms: vec![Term::new("board", "conseil")],
        }],
    }
}

fn limits() -> GlossaryLimits {
    GlossaryLimits {
        glossaries: 2,
        bytes: 60,
        wait: Duration::from_secs(30),
        ..GlossaryLimits::default()
    }
}

/// Glossaries that were read, and their log.
fn read() -> (Arc<Glossaries>, Arc<MemoryLog>) {
    let log = Arc::new(MemoryLog::default());
    let glossaries = Glossaries::new(limits(), Arc::clone(&log) as _);
    glossaries.set_read();
    (Arc::new(glossaries), log)
}

/// Reads the last record of the log.
fn read_back(glossaries: &Glossaries, log: &MemoryLog) {
    let records = log.records.lock().unwrap();
    let (id, glossary) = records.last().unwrap();
    let at = position(records.len() as i64 - 1);
    glossaries.apply(at, id, glossary.clone()).unwrap();
}

#[tokio::test]
async fn a_change_is_confirmed_once_it_was_read_back() {
    let (glossaries, log) = read();
    let creating = Arc::clone(&glossaries);
    let creating = tokio::spawn(async move { creating.create("a", glossary("A")).await });
    while log.records.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!creating.is_finished() && glossaries.get("a").is_none());
    read_back(&glossaries, &log);
    assert_eq!(creating.await.unwrap(), Ok(()));
    let (en, fr) = (language("en"), language("fr"));
    assert!(glossaries.dictionary("a", (en, fr)).is_ok());
    assert_eq!(
        glossaries.dictionary("a", (fr, en)).unwrap_err(),
        Missing::Pair
    );
    assert_eq!(
        glossaries.dictionary("b", (en, fr)).unwrap_err(),
        Missing::Unknown
    );
    assert_eq!(glossaries.delete("b").await, Err(ChangeError::Unknown));
}

#[tokio::test]
async fn nothing_is_changed_before_the_log_was_read() {
    let log = Arc::new(MemoryLog::default());
    let glossaries = Glossaries::new(limits(), Arc::clone(&log) as _);
    let error = glossaries.create("a", glossary("A")).await.unwrap_err();
    assert!(matches!(error, ChangeError::Unavailable(_)), "{error}");
    assert!(log.records.lock().unwrap().is_empty());
    let pair = (language("en"), language("fr"));
    let missing = glossaries.dictionary("a", pair).unwrap_err();
    assert_eq!(missing, Missing::Unread);
    let none = Glossaries::default().create("a", glossary("A")).await;
    assert!(
        none.unwrap_err()
            .to_string()
            .contains("kafka.topics.glossaries")
    );
}

#[tokio::test]
async fn glossaries_are_bounded_in_number_and_size() {
    let (glossaries, _) = read();
    glossaries
        .apply(position(0), "a", Some(glossary("A")))
        .unwrap();
    glossaries
        .apply(position(1), "a", Some(glossary("B")))
        .unwrap();
    glossaries
        .apply(position(2), "b", Some(glossary("C")))
        .unwrap();
    let full = glossaries.apply(position(3), "c", Some(glossary("D")));
    assert_eq!(full, Err(RecordError::TooMany(2)));
    let error = glossaries.create("c", glossary("D")).await.unwrap_err();
    assert!(matches!(error, ChangeError::Full(_)), "{error}");
    let long = "x".repeat(50);
    let large = glossaries.apply(position(4), "b", Some(glossary(&long)));
    assert!(matches!(
        large,
        Err(RecordError::TooLarge { limit: 60, .. })
    ));
    // The last record of an id counts, even where it is skipped.
    let names: Vec<_> = glossaries
        .all()
        .iter()
        .map(|g| g.glossary().name.clone())
        .collect();
    assert_eq!(names, ["B"]);
    glossaries.apply(position(5), "a", None).unwrap();
    assert!(glossaries.all().is_empty());
}

#[test]
fn what_is_no_longer_in_the_log_is_gone_once_that_was_read_again() {
    let (glossaries, _) = read();
    for id in ["a", "b"] {
        glossaries
            .apply(position(0), id, Some(glossary("A")))
            .unwrap();
    }
    glossaries.begin_reading();
    glossaries
        .apply(position(0), "b", Some(glossary("B")))
        .unwrap();
    assert!(glossaries.get("a").is_some());
    glossaries.set_read();
    assert!(glossaries.get("a").is_none() && glossaries.get("b").is_some());
}

#[test]
fn terms_of_a_request_are_checked() {
    let glossaries = Glossaries::default();
    assert!(glossaries.prepare(&[Term::new("a", "b")]).is_ok());
    let error = glossaries.prepare(&[Term::new("a", "")]).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    assert_eq!(error.message, "terms: entry 1 has an empty target");
}
