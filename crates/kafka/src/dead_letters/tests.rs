use rdkafka::{
    Timestamp,
    message::{Header, OwnedHeaders, OwnedMessage},
};

use super::*;

fn letter(headers: &[(&str, &str)]) -> DeadLetter {
    let headers = headers
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(*value),
            })
        });
    DeadLetter::read(&OwnedMessage::new(
        Some(b"{\"text\":1}".to_vec()),
        Some(b"c-7".to_vec()),
        "translation.dead-letters".to_owned(),
        Timestamp::CreateTime(1_000),
        2,
        41,
        Some(headers),
    ))
}

const ORIGIN: [(&str, &str); 4] = [
    (ERROR_CODE, "text_too_long"),
    (ORIGIN_TOPIC, "translation.requests"),
    (ORIGIN_PARTITION, "3"),
    (ORIGIN_OFFSET, "17"),
];

fn with(more: &[(&str, &str)]) -> DeadLetter {
    // The last of two headers of one name is the one meant here.
    let kept = ORIGIN
        .iter()
        .filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    letter(&kept.chain(more).copied().collect::<Vec<_>>())
}

fn replayed(letter: &DeadLetter) -> Result<(OutRecord, Option<i32>), Skip> {
    let names = TopicNames::default();
    let existing = [("translation.requests", 4), ("translation.jobs.fr", 2)];
    letter.record(&Targets {
        names: &names,
        existing: existing.map(|(name, n)| (name.to_owned(), n)).to_vec(),
    })
}

#[test]
fn a_dead_letter_is_replayed_unchanged_to_its_origin() {
    let (record, partition) = replayed(&with(&[(
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )]))
    .unwrap();
    assert_eq!(
        (&*record.topic, partition),
        ("translation.requests", Some(3))
    );
    assert_eq!(
        (&*record.key, &*record.payload),
        (&b"c-7"[..], &b"{\"text\":1}"[..])
    );
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(k, v)| (*k, v.as_str()))
        .collect();
    assert_eq!(
        headers,
        [
            ("babelmesh-replayed-from", "2:41"),
            (
                "traceparent",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            ),
            ("babelmesh-replays", "1")
        ]
    );
}

#[test]
fn replays_are_counted_on() {
    let (record, _) = replayed(&with(&[("babelmesh-replays", "4")])).unwrap();
    assert!(
        record
            .headers
            .contains(&("babelmesh-replays", "5".to_owned()))
    );
}

#[test]
fn a_vanished_partition_is_chosen_again() {
    let (_, partition) = replayed(&with(&[(ORIGIN_PARTITION, "4")])).unwrap();
    assert_eq!(partition, None);
}

#[test]
fn a_dead_letter_that_cannot_be_replayed_says_why() {
    let skip = |letter: &DeadLetter| replayed(letter).unwrap_err();
    let bytes = 1_048_000;
    assert_eq!(
        skip(&with(&[(ORIGINAL_BYTES, "1048000")])),
        Skip::Truncated { bytes }
    );
    assert_eq!(skip(&letter(&[])), Skip::NoOrigin);
    assert_eq!(skip(&with(&[(ORIGIN_PARTITION, "x")])), Skip::NoOrigin);
    for foreign in [
        "billing",
        "translation.results",
        "translation.jobsfr",
        "translation.dead-letters",
    ] {
        let letter = with(&[(ORIGIN_TOPIC, foreign)]);
        assert_eq!(skip(&letter), Skip::ForeignOrigin(Arc::from(foreign)));
    }
    let gone = "translation.jobs.de";
    assert_eq!(
        skip(&with(&[(ORIGIN_TOPIC, gone)])),
        Skip::NoTopic(Arc::from(gone))
    );
}

#[test]
fn filters_ask_for_all_that_they_name() {
    let letter = with(&[]);
    let all = Filter::default();
    assert!(all.takes(&letter));
    let code = |code: &str| Filter {
        codes: vec!["poison_text".to_owned(), code.to_owned()],
        ..Filter::default()
    };
    assert!(code("text_too_long").takes(&letter) && !code("invalid_json").takes(&letter));
    let since = |ms| Filter {
        since_ms: Some(ms),
        ..Filter::default()
    };
    assert!(since(1_000).takes(&letter) && !since(1_001).takes(&letter));
    let origin = |topic: &str| Filter {
        origin: Some(topic.to_owned()),
        ..Filter::default()
    };
    assert!(origin("translation.requests").takes(&letter) && !origin("translation").takes(&letter));
    let at = |at: &str| Filter {
        at: BTreeSet::from([at.parse().unwrap()]),
        ..Filter::default()
    };
    assert!(at("2:41").takes(&letter) && !at("2:40").takes(&letter));
    let both = Filter {
        since_ms: Some(2_000),
        ..code("text_too_long")
    };
    assert!(!both.takes(&letter));
}

#[test]
fn positions_are_two_numbers() {
    assert_eq!("2:41".parse::<Position>().unwrap().to_string(), "2:41");
    for wrong in ["", "2", "2:", ":1", "a:1", "1:-1", "-1:1", "1:2:3"] {
        assert!(wrong.parse::<Position>().is_err(), "{wrong}");
    }
}
