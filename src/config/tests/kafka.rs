use std::fs;

use crate::config::{Config, ConfigErrors, load};

const PASSWORD: &str = "correct-horse";

fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let environment = environment
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    load(Some(file.path()), &[], environment, &[])
}

/// Paths of the mistakes, sorted. None of them may hold the password.
fn mistakes(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let errors = read(text, environment).unwrap_err();
    let shown = format!("{errors} {errors:?}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    let mut paths: Vec<_> = errors.0.into_iter().map(|e| e.path).collect();
    paths.sort();
    paths
}

#[test]
fn every_mistake_of_security_is_reported_at_once_with_its_path() {
    let text = "[kafka.security]\nca_file = \"/nowhere/ca.pem\"\ncertificate_file = \"/nowhere/node.pem\"\n\
                [kafka.security.sasl]\nusername = \"babelmesh\"\npassword = \"correct-horse\"\n";
    assert_eq!(
        mistakes(text, &[]),
        [
            "kafka.security.ca_file",
            "kafka.security.ca_file",
            "kafka.security.certificate_file",
            "kafka.security.certificate_file",
            "kafka.security.key_file",
            "kafka.security.sasl.password",
            "kafka.security.sasl.username",
        ]
    );
    let text = "[kafka.security]\nprotocol = \"sasl_ssl\"\nkey_password = \"correct-horse\"\n";
    assert_eq!(
        mistakes(text, &[]),
        [
            "kafka.security.key_file",
            "kafka.security.sasl.password",
            "kafka.security.sasl.username",
        ]
    );
    let text =
        "[kafka.security]\nprotocol = \"tls\"\n[kafka.security.sasl]\nmechanism = \"OAUTH\"\n";
    assert_eq!(
        mistakes(text, &[]),
        ["kafka.security.protocol", "kafka.security.sasl.mechanism"]
    );
}

#[test]
fn a_secret_comes_from_the_file_from_the_environment_or_from_a_file_of_its_own() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "correct-horse\n").unwrap();
    let start = "[kafka.security]\nprotocol = \"sasl_plaintext\"\n[kafka.security.sasl]\nusername = \"babelmesh\"\n";
    let own = format!("{start}password_file = {:?}\n", secret.path());
    let variable = [("BABELMESH_KAFKA__SECURITY__SASL__PASSWORD", PASSWORD)];
    let inside = format!("{start}password = \"{PASSWORD}\"\n");
    for (text, environment) in [
        (own.as_str(), &[][..]),
        (start, &variable[..]),
        (&inside, &[]),
    ] {
        let config = read(text, environment).unwrap();
        let password = config.kafka.security.sasl.password.as_ref().unwrap();
        assert_eq!(password.expose(), PASSWORD);
        let shown = format!("{config:?} {}", toml::to_string(&config).unwrap());
        assert!(
            shown.contains("babelmesh") && !shown.contains(PASSWORD),
            "{shown}"
        );
    }
    // What is printed of a configuration with a file can be read again.
    let printed = toml::to_string(&read(&own, &[]).unwrap()).unwrap();
    let again = read(&printed, &[]).unwrap();
    assert_eq!(
        again.kafka.security.sasl.password.unwrap().expose(),
        PASSWORD
    );
    // Two places at once is one too many.
    assert_eq!(
        mistakes(&own, &variable),
        ["kafka.security.sasl.password_file"]
    );
}

#[test]
fn a_password_in_the_environment_is_taken_as_it_is() {
    let text = "[kafka.security]\nprotocol = \"sasl_ssl\"\n";
    for password in [
        "0123",
        "1e5",
        "true",
        "[a, b]",
        "{a=1}",
        "\"quoted\"",
        " a ",
        "'",
    ] {
        let environment = [
            ("BABELMESH_KAFKA__SECURITY__SASL__PASSWORD", password),
            ("BABELMESH_KAFKA__SECURITY__SASL__USERNAME", password),
        ];
        let sasl = read(text, &environment).unwrap().kafka.security.sasl;
        assert_eq!(sasl.password.unwrap().expose(), password);
        assert_eq!(sasl.username.unwrap(), password);
    }
}

#[test]
fn a_secret_in_a_wrong_place_or_of_a_wrong_type_is_not_repeated() {
    let sasl =
        "[kafka.security]\nprotocol = \"sasl_ssl\"\n[kafka.security.sasl]\nusername = \"u\"\n";
    for (text, path) in [
        (
            format!("{sasl}password = [\"correct-horse\"]\n"),
            "kafka.security.sasl.password",
        ),
        (
            format!("{sasl}password = {{ is = \"correct-horse\" }}\n"),
            "kafka.security.sasl.password",
        ),
        (
            format!("{sasl}password_file = \"/nowhere/pw\"\n"),
            "kafka.security.sasl.password_file",
        ),
        (
            "[kafka]\nsecurity = \"correct-horse\"\n".to_owned(),
            "kafka.security",
        ),
        (
            "[kafka.security]\nsasl = \"correct-horse\"\n".to_owned(),
            "kafka.security.sasl",
        ),
        (
            "[kafka]\noptions = \"correct-horse\"\n".to_owned(),
            "kafka.options",
        ),
        (
            "[kafka.options]\n\"sasl.password\" = [\"correct-horse\"]\n".to_owned(),
            "kafka.options",
        ),
        // Not even TOML.
        (format!("{sasl}password = \"correct-horse\n"), ""),
        (format!("{sasl}password = correct-horse\n"), ""),
    ] {
        assert_eq!(mistakes(&text, &[]), [path], "{text}");
    }
    let unquoted = read(&format!("{sasl}password = 4711\n"), &[]).unwrap_err();
    assert!(!unquoted.to_string().contains("4711"), "{unquoted}");
    let syntax = read(&format!("{sasl}password = correct-horse\n"), &[]).unwrap_err();
    assert!(
        syntax.0[0].message.contains("line 5, column 12: "),
        "{syntax}"
    );
}

#[test]
fn every_mistake_of_topics_settings_is_reported_at_once_with_its_path() {
    let text = "[kafka]\nparallelism = 0\nreplication = 3\n\
                [kafka.topic_settings]\nretention_ms = -2\nmin_insync_replicas = 4\nmax_message_bytes = 0\n\
                [kafka.topic_settings.jobs]\npartitions = 0\nmin_insync_replicas = 2\n\
                [kafka.topic_settings.languages.fr]\nreplication = 1\n\
                [kafka.topic_settings.languages.FR]\nreplication = 2\n\
                [kafka.topic_settings.languages.klingon]\nretention_ms = 5\n";
    assert_eq!(
        mistakes(text, &[]),
        [
            "kafka.parallelism",
            "kafka.topic_settings.jobs.partitions",
            "kafka.topic_settings.languages.fr",
            "kafka.topic_settings.languages.fr.min_insync_replicas",
            "kafka.topic_settings.languages.klingon",
            "kafka.topic_settings.max_message_bytes",
            "kafka.topic_settings.min_insync_replicas",
            "kafka.topic_settings.retention_ms",
        ]
    );
    let text = "[kafka.topic_settings]\ncleanup_policy = \"keep\"\n[kafka.topic_settings.languages.fr]\npartition = 3\n";
    assert_eq!(
        mistakes(text, &[]),
        [
            "kafka.topic_settings.cleanup_policy",
            "kafka.topic_settings.languages.fr.partition"
        ]
    );
}
