//! The files in `config/` are what they say they are.

mod kafka;

use std::path::{Path, PathBuf};

use super::{Config, ConfigErrors, load as load_config};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn load(
    file: Option<&Path>,
    environment: &[(&str, &str)],
    sets: &[(&str, &str)],
) -> Result<Config, ConfigErrors> {
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    load_config(file, &[], own(environment), &own(sets))
}

/// Paths of all leaves.
fn keys(value: &toml::Value, path: &str, keys: &mut Vec<String>) {
    match value.as_table() {
        Some(table) => {
            for (key, value) in table {
                self::keys(value, &format!("{path}.{key}"), keys);
            }
        }
        None => keys.push(path.trim_start_matches('.').to_owned()),
    }
}

#[test]
fn every_shipped_file_is_good() {
    let mut files = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        load(Some(&path), &[], &[]).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        files += 1;
    }
    assert!(files >= 3);
}

#[test]
fn the_reference_names_every_key_with_its_default_and_no_other() {
    let path = folder().join("reference.toml");
    assert_eq!(load(Some(&path), &[], &[]).unwrap(), Config::default());
    let text = std::fs::read_to_string(&path).unwrap();
    let (mut named, mut existing) = (Vec::new(), Vec::new());
    keys(&text.parse::<toml::Table>().unwrap().into(), "", &mut named);
    keys(
        &toml::Value::try_from(Config::default()).unwrap(),
        "",
        &mut existing,
    );
    named.sort();
    existing.sort();
    assert_eq!(named, existing);
    // Keys without a default are there as comments.
    for key in [
        "cache_directory",
        "directory",
        "socket",
        "keys_file",
        "operator_keys_file",
        "crash_on",
        "refuse_on",
        "panic_on",
        "min_insync_replicas",
        "ca_file",
        "certificate_file",
        "key_file",
        "key_password",
        "key_password_file",
        "username",
        "password",
        "password_file",
        "advertise",
        "cookie",
        "cookie_file",
        "token",
        "token_file",
        "hub_token",
        "hub_token_file",
        "endpoint",
    ] {
        assert!(
            text.contains(&format!("\n# {key} = ")),
            "{key} is not documented"
        );
    }
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_paths() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "surprise = 1\n[engine]\nthreads = \"many\"\nbeam = 4\n[pool.batch]\nsegments = -1\n[kafka]\npartitions = 0\n\
                languages = [\"klingon\"]\n[scaling.delay_target]\nutilisation = 7.0\n";
    std::fs::write(file.path(), text).unwrap();
    let errors = load(
        Some(file.path()),
        &[("MAX_ANY_WORKERS", "lots")],
        &[("log.filter", "=?=")],
    )
    .unwrap_err();
    let paths: Vec<_> = errors.0.iter().map(|e| e.path.as_str()).collect();
    for path in [
        "surprise",
        "engine.threads",
        "engine.beam",
        "pool.batch.segments",
        "kafka.partitions",
        "kafka.languages",
        "scaling.delay_target.utilisation",
        "environment",
        "log.filter",
    ] {
        assert!(paths.contains(&path), "{path} is missing in: {errors}");
    }
    assert_eq!(paths.len(), 9, "{errors}");
}

#[test]
fn origins_are_what_browsers_send() {
    let set = |origin: &str| {
        let value = format!("[{origin:?}]");
        load(None, &[], &[("http.cors_origins", &value)])
    };
    for good in ["*", "https://chat.example.org", "http://127.0.0.1:3000"] {
        assert!(set(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "chat.example.org",
        "https://a.org/",
        "https://a.org/b",
        "ftp://a.org",
        "https://",
        "https://a.org?b",
        "http://*.a.org x",
    ] {
        let errors = set(bad).expect_err(bad);
        assert_eq!(errors.0[0].path, "http.cors_origins", "{bad}");
    }
}

#[test]
fn patterns_of_tokens_are_regular_expressions_that_match_something() {
    let set = |pattern: &str| {
        let value = format!("[\"ACME\", {pattern:?}]");
        load(None, &[], &[("text.patterns", &value)])
    };
    for good in ["[A-Z]{2,}-\\d+", "foo|bar"] {
        assert!(set(good).is_ok(), "{good}");
    }
    for bad in ["(", "", "x*", "(a{9}{99}{999})"] {
        let errors = set(bad).expect_err(bad);
        assert_eq!(errors.0.len(), 1, "{errors}");
        assert_eq!(errors.0[0].path, "text.patterns", "{bad}");
        assert!(!errors.0[0].message.contains('\n'), "{errors}");
    }
}

#[test]
fn bodies_in_memory_have_room_for_the_largest() {
    for key in ["http.max_buffered_bytes", "http.max_unauthenticated_bytes"] {
        assert!(load(None, &[], &[(key, "2097152")]).is_ok(), "{key}");
        for bad in ["0", "2097151", "2000000000000"] {
            let errors = load(None, &[], &[(key, bad)]).expect_err(bad);
            assert_eq!(errors.0[0].path, key, "{bad}");
        }
    }
    let errors = load(None, &[], &[("http.max_concurrent", "1000001")]).unwrap_err();
    assert_eq!(errors.0[0].path, "http.max_concurrent");
}

#[test]
fn flags_go_over_the_environment_and_the_environment_over_the_file() {
    let path = folder().join("node.toml");
    let config = load(
        Some(&path),
        &[
            ("BABELMESH_NODE__NAME", "from-env"),
            ("BABELMESH_ENGINE__THREADS", "3"),
        ],
        &[],
    );
    let config = config.unwrap();
    assert_eq!(
        (config.node.name.as_str(), config.engine.threads),
        ("from-env", 3)
    );
    let config = load(
        Some(&path),
        &[("BABELMESH_NODE__NAME", "from-env")],
        &[("node.name", "from-flag")],
    )
    .unwrap();
    assert_eq!(config.node.name, "from-flag");
}

#[test]
fn the_environment_names_of_the_predecessor_still_work() {
    let environment = [
        ("MAX_NORMAL_WORKERS", "60"),
        ("SCALING_CHECK_INTERVAL", "10"),
        ("QUANTIZATION_LEVEL", "int8"),
    ];
    let config = load(None, &environment, &[("scaling.policy", "threshold")]).unwrap();
    assert_eq!(config.scaling.threshold.normal.max, 60);
    assert_eq!(config.scaling.threshold.interval_ms, 10_000);
    assert_eq!(
        config.engine.precision,
        babelmesh_actors::engine::Precision::Int8
    );
}

#[test]
fn values_of_client_options_are_never_printed() {
    let config = load(
        None,
        &[(
            "BABELMESH_KAFKA__OPTIONS",
            "{\"sasl.password\"=\"hunter2\"}",
        )],
        &[],
    )
    .unwrap();
    assert_eq!(config.kafka.options["sasl.password"], "hunter2");
    let digits = load(
        None,
        &[("BABELMESH_KAFKA__OPTIONS", "{\"sasl.password\"=42}")],
        &[],
    )
    .unwrap();
    assert_eq!(digits.kafka.options["sasl.password"], "42");
    let shown = format!("{config:?}");
    assert!(
        shown.contains("sasl.password") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn values_of_headers_of_traces_are_never_printed() {
    let environment = [(
        "BABELMESH_TELEMETRY__TRACES__HEADERS",
        "{authorization=\"hunter2\"}",
    )];
    let config = load(None, &environment, &[]).unwrap();
    let headers = &config.telemetry.traces.headers;
    assert_eq!(headers["authorization"].expose(), "hunter2");
    let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(shown.contains("authorization") && !shown.contains("hunter2"));
    let wrong = [("telemetry.traces.headers.authorization", "hunter2\u{7f}")];
    let errors = load(None, &[], &wrong).unwrap_err();
    assert_eq!(errors.0[0].path, "telemetry.traces.headers.authorization");
    assert!(!errors.to_string().contains("hunter2"), "{errors}");
}

#[test]
fn mistakes_about_the_cache_are_reported_with_their_paths_and_without_secrets() {
    let sets = [
        ("cache.ttl_s", "0"),
        ("cache.redis.address", "redis://user:hunter2@redis:6379"),
        ("cache.redis.username", "babelmesh"),
        ("cache.redis.ca_file", "/nowhere/ca.pem"),
        ("cache.redis.prefix", "two words"),
        ("cache.redis.timeout_ms", "0"),
        ("cache.redis.password_file", "/nowhere/password"),
    ];
    let errors = load(None, &[], &sets).unwrap_err();
    for (path, _) in sets {
        let told = errors.0.iter().any(|error| error.path == path);
        assert!(told, "{path}: {errors}");
    }
    assert_eq!(errors.0.len(), sets.len(), "{errors}");
    assert!(!errors.to_string().contains("hunter2"), "{errors}");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2\n").unwrap();
    let path = file.path().to_str().unwrap();
    let sets = [
        ("cache.redis.address", "rediss://redis:6380/1"),
        ("cache.redis.password_file", path),
    ];
    let config = load(None, &[], &sets).unwrap();
    let password = config.cache.redis.password.as_ref().unwrap();
    assert_eq!(password.expose(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!toml::to_string(&config).unwrap().contains("hunter2"));
    let idle = [
        ("cache.memory_mb", "0"),
        ("cache.redis.address", "redis://redis"),
    ];
    let errors = load(None, &[], &idle).unwrap_err();
    assert_eq!(errors.0[0].path, "cache.redis.address");
}

#[test]
fn mistakes_about_sharing_are_reported_with_their_paths() {
    let wrong = [
        ("turn_ms", "0"),
        ("turn_ms", "10001"),
        ("refuse_above", "0.5"),
    ];
    for (key, value) in wrong {
        let path = format!("pool.sharing.{key}");
        let errors = load(None, &[], &[(path.as_str(), value)]).unwrap_err();
        assert_eq!(errors.0[0].path, path, "{errors}");
    }
    let never = load(None, &[], &[("pool.sharing.refuse_above", "0")]);
    assert!(never.is_ok(), "zero refuses nothing");
}

#[test]
fn mistakes_about_traces_are_reported_with_their_paths() {
    let sets = [
        ("telemetry.traces.endpoint", "collector"),
        ("telemetry.traces.protocol", "carrier-pigeon"),
        ("telemetry.traces.sampling_ratio", "2"),
        ("telemetry.traces.export_timeout_ms", "0"),
        ("telemetry.traces.queue_spans", "10"),
        ("telemetry.traces.batch_spans", "11"),
    ];
    let errors = load(None, &[], &sets).unwrap_err();
    for (path, _) in sets {
        let told = errors.0.iter().any(|error| error.path == path);
        assert!(told || path.ends_with("queue_spans"), "{path}: {errors}");
    }
    assert_eq!(errors.0.len(), 5, "{errors}");
}
