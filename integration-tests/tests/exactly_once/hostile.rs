//! Messages that were made to break something.

mod kinds;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use babelmesh_actors::domain::{TranslationRequest, TranslationResult};
use babelmesh_integration_tests::{
    Ids, Kafka, LocalNode, MachineLock, Record, Sandbox, SeededRng, TopicReader, TopicWriter,
    measured, request,
};

use self::kinds::{KINDS, Kind, Way};
use super::{SETTLE, seconds};

const HOSTILE: usize = 10_000;
/// A good message after so many hostile ones.
const EVERY: usize = 4;
/// In the headers: number of the kind that a record is of.
const MARK: &str = "test-kind";
/// What ids of hostile messages begin with, those that have one.
const PREFIX: &str = "hostile-";

/// Topic, partition and offset.
type Place = (String, i32, i64);

/// Writes hostile messages of all kinds, and good ones among them.
fn write(kafka: &Kafka, chance: &mut SeededRng, ids: &mut Ids) {
    let topics = kafka.topics();
    let writer = TopicWriter::new(&kafka.clients());
    let jobs = format!("{}.fr", topics.jobs);
    for number in 0..HOSTILE {
        let kind = chance.number(0..KINDS.len());
        let Kind { way, make, .. } = KINDS[kind];
        let straight = match way {
            Way::Requests => false,
            Way::Jobs => true,
            Way::Both => chance.one_in(2),
        };
        // Some have no key.
        let key = match chance.one_in(4) {
            true => String::new(),
            false => format!("c{}", number % 20),
        };
        let record = Record {
            payload: make(chance, &format!("{PREFIX}{number}")),
            headers: BTreeMap::from([(MARK.to_owned(), kind.to_string())]),
            ..Record::to(if straight { &jobs } else { &topics.requests }, &key, "")
        };
        writer.write(&record);
        if number % EVERY == 0 {
            let id = format!("good-{number}");
            let conversation = format!("c{}", number % 20);
            let body = request(&id, &format!("text {number}"), &["fr", "de"], &conversation);
            ["fr", "de"].iter().for_each(|target| ids.ask(&id, target));
            let record = Record::to(&topics.requests, &conversation, body.to_string());
            writer.write(&record);
        }
    }
    writer.flush();
}

/// Reads results until every good message is answered; what comes to hostile ones must be errors, one for each language.
fn read(results: &TopicReader, ids: &mut Ids) -> usize {
    let end = Instant::now() + SETTLE;
    let mut errors = BTreeSet::new();
    let mut take = |record: Record, ids: &mut Ids| {
        let payload = record.payload.as_deref().unwrap_or_default();
        let result: TranslationResult = serde_json::from_slice(payload).unwrap();
        if !result.message_id.starts_with(PREFIX) {
            ids.answer(result, record);
            return;
        }
        assert!(result.error.is_some(), "{result:?}");
        let id = (result.message_id, result.target_language);
        assert!(errors.insert(id.clone()), "{id:?} is answered twice");
    };
    while !ids.is_complete() && Instant::now() < end {
        if let Some(record) = results.next(Duration::from_millis(100)) {
            take(record, ids);
        }
    }
    for record in results.rest() {
        take(record, ids);
    }
    errors.len()
}

/// Hostile records by their places: their kinds, and what they are.
fn hostile(kafka: &Kafka) -> BTreeMap<Place, (usize, Vec<u8>)> {
    let topics = kafka.topics();
    let clients = kafka.clients();
    let readers = [topics.requests, format!("{}.fr", topics.jobs)]
        .map(|topic| TopicReader::new(&clients, &topic));
    let end = Instant::now() + SETTLE;
    let mut found = BTreeMap::new();
    while found.len() < HOSTILE && Instant::now() < end {
        for reader in &readers {
            for record in std::iter::from_fn(|| reader.next(Duration::from_millis(100))) {
                // What the splitter writes has no mark.
                if let Ok(kind) = record.header(MARK).parse() {
                    let place = (record.topic, record.partition, record.offset);
                    found.insert(place, (kind, record.payload.unwrap_or_default()));
                }
            }
        }
    }
    found
}

/// Whether these are the same: of what is a request, that is what counts, since jobs are written anew.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let [request, of] = [one, other].map(TranslationRequest::decode);
    one == other || request.is_ok() && request == of
}

/// Every letter is one of the hostile records, as it was, with the reason that its kind has; and each of them has one.
fn assert_dead(letters: &[Record], hostile: &BTreeMap<Place, (usize, Vec<u8>)>) {
    let mut found = BTreeSet::new();
    for letter in letters {
        let number = |name: &str| letter.header(name).parse::<i64>().unwrap();
        let place = (
            letter.header("babelmesh-origin-topic").to_owned(),
            i32::try_from(number("babelmesh-origin-partition")).unwrap(),
            number("babelmesh-origin-offset"),
        );
        let (kind, payload) = hostile
            .get(&place)
            .unwrap_or_else(|| panic!("{place:?} holds nothing hostile: {letter:?}"));
        let Kind { name, code, .. } = KINDS[*kind];
        assert_eq!(
            letter.header("babelmesh-error-code"),
            code,
            "{name}: {letter:?}"
        );
        let reason = letter.header("babelmesh-error-message");
        assert!(!reason.is_empty() && reason.len() < 500, "{name}: {reason}");
        let held = letter.payload.as_deref().unwrap_or_default();
        match letter.header("babelmesh-original-bytes") {
            "" => assert!(is_same(held, payload), "{name}: {letter:?}"),
            bytes => {
                let whole: usize = bytes.parse().unwrap();
                assert!(whole > held.len() && held.len() > 500_000, "{name}");
            }
        }
        assert!(found.insert(place.clone()), "{place:?} is dead twice");
    }
    let missing: Vec<_> = hostile
        .iter()
        .filter(|(place, _)| !found.contains(place))
        .map(|(place, (kind, _))| (place, KINDS[*kind].name))
        .take(10)
        .collect();
    assert!(missing.is_empty(), "hostile, but not dead: {missing:?}");
}

#[test]
fn ten_thousand_hostile_messages_are_dead_letters_and_disturb_no_good_one() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::any(&sandbox) else {
        return;
    };
    kafka.create_topics(4);
    let node = LocalNode::start(&kafka.node(sandbox.node()));
    let clients = kafka.clients();
    let results = TopicReader::new(&clients, &kafka.topics().results);
    let letters = TopicReader::new(&clients, &kafka.topics().dead_letters);
    let mut chance = SeededRng::of("hostile messages");
    let mut ids = Ids::default();
    let began = Instant::now();
    write(&kafka, &mut chance, &mut ids);
    let errors = read(&results, &mut ids);
    let letters = letters
        .take(HOSTILE, SETTLE)
        .into_iter()
        .chain(letters.rest())
        .collect::<Vec<_>>();
    let took = began.elapsed();
    ids.assert_exactly_once();
    ids.assert_in_order();
    for answer in ids.all() {
        let number = answer.result.message_id.trim_start_matches("good-");
        let expected = format!("{}:text {number}", answer.result.target_language);
        assert_eq!(answer.text(), expected);
    }
    let hostile = hostile(&kafka);
    assert_eq!(hostile.len(), HOSTILE, "hostile messages were written");
    let kinds: BTreeSet<_> = hostile.values().map(|(kind, _)| kind).collect();
    assert_eq!(kinds.len(), KINDS.len(), "every kind is there");
    assert_dead(&letters, &hostile);
    assert_eq!(node.events().failures(), []);
    node.drain();
    println!("{errors} errors in results, all within {}", seconds(took));
    measured(
        "10,000 hostile messages, dead letters with the right reason",
        letters.len(),
    );
    measured(
        "10,000 hostile messages, good ones translated among them",
        ids.answered(),
    );
}
