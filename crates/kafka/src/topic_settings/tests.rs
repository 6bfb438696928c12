use proptest::prelude::*;

use super::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn language(tag: &str) -> Language {
    tag.parse().unwrap()
}

fn config(text: &str) -> KafkaConfig {
    toml::from_str(text).unwrap()
}

#[test]
fn every_topic_of_the_cluster_is_planned_once() {
    let kafka = KafkaConfig::default();
    let languages = [language("fr"), language("de")];
    let planned: Vec<_> = plan(&kafka, &languages)
        .into_iter()
        .map(|t| t.name)
        .collect();
    let mut all = kafka.topics.all(&languages);
    all.push(kafka.topics.glossaries.clone());
    assert_eq!(planned, all);
    let mut without = kafka;
    without.topics.glossaries.clear();
    assert_eq!(plan(&without, &languages).len(), all.len() - 1);
}

#[test]
fn a_language_goes_over_its_kind_and_the_kind_over_what_holds_for_all() {
    let kafka = config(
        "partitions = 6\nreplication = 3\n\
         [topic_settings]\nretention_ms = 1000\ncleanup_policy = \"compact\"\n\
         [topic_settings.jobs]\npartitions = 12\nretention_ms = 2000\n\
         [topic_settings.languages.FR]\npartitions = 24\ncleanup_policy = \"compact,delete\"\n\
         [topic_settings.languages.de]\nreplication = 1\nmin_insync_replicas = 1\nmax_message_bytes = 5000\n",
    );
    let french = settings_of(&kafka, TopicKind::Jobs(language("fr")));
    let expected = TopicSettings {
        partitions: 24,
        replication: 3,
        retention_ms: 2000,
        cleanup_policy: CleanupPolicy::CompactDelete,
        min_insync_replicas: 2,
        max_message_bytes: 10_485_760,
    };
    assert_eq!(french, expected);
    let german = settings_of(&kafka, TopicKind::Jobs(language("de")));
    let expected = TopicSettings {
        partitions: 12,
        replication: 1,
        retention_ms: 2000,
        cleanup_policy: CleanupPolicy::Compact,
        min_insync_replicas: 1,
        max_message_bytes: 5000,
    };
    assert_eq!(german, expected);
    let results = settings_of(&kafka, TopicKind::Results);
    assert_eq!((results.partitions, results.retention_ms), (6, 1000));
    // Both lanes of a language are alike.
    for topic in plan(&kafka, &[language("fr")]) {
        if topic.kind == TopicKind::Jobs(language("fr")) {
            assert_eq!(topic.settings, french, "{}", topic.name);
        }
    }
}

#[test]
fn the_last_record_of_each_glossary_is_kept() {
    let table =
        "[topic_settings]\nretention_ms = 1000\n[topic_settings.glossaries]\npartitions = 2\n";
    let settings = settings_of(&config(table), TopicKind::Glossaries);
    assert_eq!((settings.partitions, settings.retention_ms), (2, -1));
    assert_eq!(settings.cleanup_policy, CleanupPolicy::Compact);
}

#[test]
fn dead_letters_are_kept_longer_unless_told_otherwise() {
    let kept = |kafka: &KafkaConfig, kind| settings_of(kafka, kind).retention_ms;
    let kafka = config("[topic_settings]\nretention_ms = 1000\n");
    assert_eq!(kept(&kafka, TopicKind::Requests), 1000);
    assert_eq!(kept(&kafka, TopicKind::DeadLetters), 30 * DAY_MS);
    let kafka = config("[topic_settings.dead_letters]\nretention_ms = -1\n");
    assert_eq!(kept(&kafka, TopicKind::DeadLetters), -1);
}

#[test]
fn only_languages_topics_are_measured_by_the_wished_parallelism() {
    let kafka = KafkaConfig::default();
    let planned = plan(&kafka, &[language("fr"), language("de")]);
    let partitions = |name: &str| match name {
        "translation.jobs.fr" => Some(4),
        "translation.jobs.fr.any" => Some(3),
        // That of bulk work to German is not there.
        "translation.jobs.de" => Some(9),
        "translation.jobs.de.any" => None,
        _ => Some(1),
    };
    let few = too_few_partitions(&planned, partitions, 4);
    let expected = TooFewPartitions {
        topic: "translation.jobs.fr.any".to_owned(),
        partitions: 3,
        parallelism: 4,
    };
    assert_eq!(few, [expected]);
}

fn overrides() -> impl Strategy<Value = TopicOverrides> {
    let number = || proptest::option::of(1..50_i32);
    let days = proptest::option::of(-1..90_i64);
    (number(), number(), days, number(), number()).prop_map(
        |(partitions, replication, retention_ms, min_insync_replicas, max_message_bytes)| {
            TopicOverrides {
                partitions,
                replication,
                retention_ms,
                cleanup_policy: None,
                min_insync_replicas,
                max_message_bytes,
            }
        },
    )
}

proptest! {
    #[test]
    fn each_setting_is_the_first_that_a_layer_names(
        jobs in overrides(),
        french in overrides(),
        partitions in 1..50_i32,
        replication in 1..5_i32,
    ) {
        let mut kafka = KafkaConfig { partitions, replication, ..KafkaConfig::default() };
        kafka.topic_settings.jobs = jobs.clone();
        kafka.topic_settings.languages.insert("fr".to_owned(), french.clone());
        let settings = settings_of(&kafka, TopicKind::Jobs(language("fr")));
        prop_assert_eq!(settings.partitions, french.partitions.or(jobs.partitions).unwrap_or(partitions));
        prop_assert_eq!(settings.replication, french.replication.or(jobs.replication).unwrap_or(replication));
        prop_assert_eq!(settings.retention_ms, french.retention_ms.or(jobs.retention_ms).unwrap_or(7 * DAY_MS));
        prop_assert_eq!(
            settings.max_message_bytes,
            french.max_message_bytes.or(jobs.max_message_bytes).unwrap_or(10_485_760)
        );
        let named = french.min_insync_replicas.or(jobs.min_insync_replicas);
        match named {
            Some(named) => prop_assert_eq!(settings.min_insync_replicas, named),
            // One replica may be away, and with one replica there is nothing to spare.
            None => prop_assert!(
                (1..=2).contains(&settings.min_insync_replicas)
                    && (settings.min_insync_replicas < settings.replication || settings.replication == 1)
            ),
        }
        // Another language has no part in it.
        let german = settings_of(&kafka, TopicKind::Jobs(language("de")));
        prop_assert_eq!(german.partitions, jobs.partitions.unwrap_or(partitions));
    }

    #[test]
    fn a_topic_is_warned_about_exactly_when_it_is_there_and_has_too_few(
        has in proptest::collection::vec(proptest::option::of(1..20_i32), 4),
        parallelism in 1..20_i32,
    ) {
        let planned = plan(&KafkaConfig::default(), &[language("fr"), language("de")]);
        let jobs: Vec<_> = planned.iter().filter(|t| matches!(t.kind, TopicKind::Jobs(_))).collect();
        let partitions = |name: &str| jobs.iter().zip(&has).find(|(t, _)| t.name == name).and_then(|(_, has)| *has);
        let few = too_few_partitions(&planned, partitions, parallelism);
        let expected = has.iter().filter(|has| has.is_some_and(|has| has < parallelism)).count();
        prop_assert_eq!(few.len(), expected);
    }
}
