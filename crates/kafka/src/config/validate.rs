//! What must hold of the section: its keys, topics' settings, security.

use std::{collections::BTreeMap, fs, path::Path};

use babelmesh_actors::domain::Language;
use babelmesh_settings::{ConfigError, Secret, mistake, read_secret};

use super::{KafkaConfig, TopicOverrides};
use crate::security::SecurityConfig;

const SECURITY: &str = "kafka.security";
const TOPICS: &str = "kafka.topic_settings";

/// Reads the secrets that are in files.
pub(super) fn read_secrets(security: &mut SecurityConfig, errors: &mut Vec<ConfigError>) {
    let sasl = &mut security.sasl;
    let secrets = [
        (
            "key_password",
            &mut security.key_password,
            &security.key_password_file,
        ),
        ("sasl.password", &mut sasl.password, &sasl.password_file),
    ];
    for (key, secret, file) in secrets {
        read_secret(
            &format!("{SECURITY}.{key}"),
            secret,
            file.as_deref(),
            errors,
        );
    }
}

/// Adds what is out of range.
pub(super) fn check(kafka: &KafkaConfig, errors: &mut Vec<ConfigError>) {
    let mut refuse_if = |wrong: bool, path: &str, message: &str| {
        if wrong {
            errors.push(mistake(path, message));
        }
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    refuse_if(
        kafka.bootstrap_servers.trim().is_empty(),
        "kafka.bootstrap_servers",
        "must name a broker, or be \"embedded\"",
    );
    refuse_if(
        kafka.group_id.is_empty(),
        "kafka.group_id",
        "must not be empty",
    );
    refuse_if(
        kafka.partitions < 1,
        "kafka.partitions",
        "must be at least 1",
    );
    refuse_if(
        kafka.replication < 1,
        "kafka.replication",
        "must be at least 1",
    );
    refuse_if(
        !(100..=3_600_000).contains(&kafka.metadata_refresh_ms),
        "kafka.metadata_refresh_ms",
        "must be between 100 and 3600000",
    );
    refuse_if(
        kafka.session_timeout_ms < 1_000,
        "kafka.session_timeout_ms",
        "must be at least 1000",
    );
    refuse_if(
        kafka.transaction_timeout_ms < 1_000,
        "kafka.transaction_timeout_ms",
        "must be at least 1000",
    );
    for tag in &kafka.languages {
        if let Err(error) = tag.parse::<Language>() {
            refuse_if(true, "kafka.languages", &error.to_string());
        }
    }
    let topics = &kafka.topics;
    let names = [
        &topics.requests,
        &topics.jobs,
        &topics.results,
        &topics.dead_letters,
        &topics.glossaries,
    ];
    for (i, name) in names.iter().enumerate() {
        // Without a name, there are no glossaries.
        let may_be_empty = std::ptr::eq(*name, &topics.glossaries);
        let valid =
            (may_be_empty || !name.is_empty()) && name.len() <= 200 && name.chars().all(plain);
        refuse_if(
            !valid,
            "kafka.topics",
            &format!("\"{name}\" is not a topic name"),
        );
        refuse_if(
            names[..i].contains(name),
            "kafka.topics",
            &format!("\"{name}\" is used twice"),
        );
    }
}

/// Adds what is wrong with the way to the brokers.
pub(super) fn check_security(kafka: &KafkaConfig, errors: &mut Vec<ConfigError>) {
    let (security, sasl) = (&kafka.security, &kafka.security.sasl);
    let protocol = security.protocol;
    // A key of a wrong type, or an unreadable file, was reported already, and looks absent now.
    let told: Vec<String> = errors.iter().map(|error| error.path.clone()).collect();
    let mut refuse_if = |wrong: bool, key: &str, message: &str| {
        let path = format!("{SECURITY}.{key}");
        if wrong
            && !told
                .iter()
                .any(|t| *t == path || *t == format!("{path}_file"))
        {
            errors.push(mistake(&path, message));
        }
    };
    let only_encrypted = [
        ("ca_file", security.ca_file.is_some()),
        ("certificate_file", security.certificate_file.is_some()),
        ("key_file", security.key_file.is_some()),
        ("key_password", security.key_password.is_some()),
    ];
    for (key, given) in only_encrypted {
        refuse_if(
            given && !protocol.is_encrypted(),
            key,
            "requires kafka.security.protocol = \"ssl\" or \"sasl_ssl\"",
        );
    }
    let only_users = [
        ("sasl.username", sasl.username.is_some()),
        ("sasl.password", sasl.password.is_some()),
    ];
    for (key, given) in only_users {
        refuse_if(
            given && !protocol.has_users(),
            key,
            "requires kafka.security.protocol = \"sasl_ssl\" or \"sasl_plaintext\"",
        );
        refuse_if(
            !given && protocol.has_users(),
            key,
            "is required by the SASL protocol",
        );
    }
    let texts = [
        (
            "key_password",
            security.key_password.as_ref().map(Secret::expose),
        ),
        ("sasl.username", sasl.username.as_deref()),
        ("sasl.password", sasl.password.as_ref().map(Secret::expose)),
    ];
    for (key, text) in texts {
        let usable = text.is_none_or(|text| !text.is_empty() && !text.contains('\0'));
        refuse_if(!usable, key, "must neither be empty nor hold a NUL");
    }
    check_files(security, &mut refuse_if);
}

/// Checks that files which need each other are there and can be read.
fn check_files(security: &SecurityConfig, refuse_if: &mut impl FnMut(bool, &str, &str)) {
    let (certificate, key) = (&security.certificate_file, &security.key_file);
    refuse_if(
        certificate.is_some() && key.is_none(),
        "key_file",
        "is missing: kafka.security.certificate_file requires a key",
    );
    refuse_if(
        key.is_some() && certificate.is_none(),
        "certificate_file",
        "is missing: kafka.security.key_file requires a certificate",
    );
    refuse_if(
        security.key_password.is_some() && key.is_none(),
        "key_file",
        "is missing: kafka.security.key_password requires a key file",
    );
    let files = [
        ("ca_file", &security.ca_file),
        ("certificate_file", certificate),
        ("key_file", key),
    ];
    for (key, file) in files {
        let problem = file.as_deref().and_then(unreadable);
        refuse_if(problem.is_some(), key, &problem.unwrap_or_default());
    }
}

/// Why a file cannot be read, if it cannot.
fn unreadable(file: &Path) -> Option<String> {
    // The authorities' certificates may be in a folder.
    let opened = match file.is_dir() {
        true => fs::read_dir(file).map(drop),
        false => fs::File::open(file).map(drop),
    };
    let error = opened.err()?;
    Some(format!("reading {}: {error}", file.display()))
}

/// Adds what is wrong with the settings of topics.
pub(super) fn check_topics(kafka: &KafkaConfig, errors: &mut Vec<ConfigError>) {
    let all = &kafka.topic_settings;
    let mut refuse_if = |wrong: bool, path: String, message: &str| {
        if wrong {
            errors.push(mistake(&path, message));
        }
    };
    refuse_if(
        kafka.parallelism < 1,
        "kafka.parallelism".to_owned(),
        "must be at least 1",
    );
    let common = TopicOverrides {
        // The keys `kafka.partitions` and `kafka.replication` have been checked.
        partitions: None,
        replication: None,
        retention_ms: Some(all.retention_ms),
        cleanup_policy: Some(all.cleanup_policy),
        min_insync_replicas: all.min_insync_replicas,
        max_message_bytes: Some(all.max_message_bytes),
    };
    let mut tables = vec![(TOPICS.to_owned(), &common, &common)];
    let kinds = [
        ("requests", &all.requests),
        ("jobs", &all.jobs),
        ("results", &all.results),
        ("dead_letters", &all.dead_letters),
        ("glossaries", &all.glossaries),
    ];
    tables.extend(kinds.map(|(name, table)| (format!("{TOPICS}.{name}"), table, &common)));
    let mut seen = BTreeMap::new();
    for (tag, table) in &all.languages {
        let path = format!("{TOPICS}.languages.{tag}");
        match tag.parse::<Language>() {
            Ok(language) => {
                if let Some(other) = seen.insert(language, tag) {
                    let message = format!("is the same language as \"{other}\"");
                    refuse_if(true, path.clone(), &message);
                }
            }
            Err(error) => refuse_if(true, path.clone(), &error.to_string()),
        }
        tables.push((path, table, &all.jobs));
    }
    for (path, table, below) in tables {
        let at_least_one = [
            ("partitions", table.partitions),
            ("replication", table.replication),
            ("min_insync_replicas", table.min_insync_replicas),
            ("max_message_bytes", table.max_message_bytes),
        ];
        for (key, value) in at_least_one {
            refuse_if(
                value.is_some_and(|value| value < 1),
                format!("{path}.{key}"),
                "must be at least 1",
            );
        }
        refuse_if(
            table.retention_ms.is_some_and(|ms| ms < -1),
            format!("{path}.retention_ms"),
            "must be a number of milliseconds, or -1 for unlimited",
        );
        // What two tables say together is told of where the upper one says its part.
        if table.min_insync_replicas.is_none() && table.replication.is_none() {
            continue;
        }
        let replicas = [table.replication, below.replication];
        let replicas = replicas.into_iter().flatten().next();
        let replicas = replicas.unwrap_or(kafka.replication);
        let in_sync = [table, below, &common].map(|t| t.min_insync_replicas);
        let in_sync = in_sync.into_iter().flatten().next();
        refuse_if(
            in_sync.is_some_and(|in_sync| in_sync > replicas),
            format!("{path}.min_insync_replicas"),
            &format!("must not be above the number of replicas, {replicas}"),
        );
    }
}
