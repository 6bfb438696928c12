//! Errors say where, in which words, and what was probably meant.

use std::io::Write as _;

use tempfile::NamedTempFile;

use crate::config::{ConfigErrors, Place, load, load_with_deprecations};

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn own(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

fn errors(text: &str, environment: &[(&str, &str)], sets: &[(&str, &str)]) -> ConfigErrors {
    let file = file(text);
    load(Some(file.path()), &[], own(environment), &own(sets)).unwrap_err()
}

/// The lines of a report, with the name of the file left out.
fn report(text: &str, environment: &[(&str, &str)], sets: &[(&str, &str)]) -> Vec<String> {
    let mut errors = errors(text, environment, sets);
    for error in &mut errors.0 {
        if let Some(Place::Line { file, .. }) = &mut error.place {
            "node.toml".clone_into(file);
        }
    }
    let report = errors.to_string();
    report.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn an_unknown_key_has_its_line_and_the_nearest_known_key() {
    let lines = report("[node]\nname = \"a\"\n\n[pool]\nmax_actor = 3\n", &[], &[]);
    assert_eq!(
        lines,
        [
            "invalid configuration (1 error)",
            "node.toml:5: pool.max_actor: unknown key; did you mean `pool.max_actors`?"
        ]
    );
}

#[test]
fn an_unknown_section_has_its_line_and_the_nearest_known_section() {
    let lines = report("\n[kafak]\ngroup_id = \"a\"\n[surprise]\nx = 1\n", &[], &[]);
    assert_eq!(
        lines[1..],
        [
            "node.toml:2: kafak: unknown section; did you mean [kafka]?",
            "node.toml:4: surprise: unknown section"
        ]
    );
}

#[test]
fn a_wrong_type_is_told_in_the_words_of_the_file() {
    let text = "[engine]\nthreads = \"two\"\n[retry]\ninitial_backoff_ms = \"1s\"\n[cluster]\nenabled = \"yes\"\n[models]\nload = \"x\"\n\
                [offload]\nlend = 1\n";
    assert_eq!(
        report(text, &[], &[])[1..],
        [
            "node.toml:2: engine.threads: must be an integer from 0 to 65535, not \"two\"",
            "node.toml:4: retry.initial_backoff_ms: must be a duration in milliseconds (an integer), not \"1s\"",
            "node.toml:6: cluster.enabled: must be true or false, not \"yes\"",
            "node.toml:8: models.load: must be a list, such as [\"a\", \"b\"], not \"x\"",
            "node.toml:10: offload.lend: must be true or false, not 1",
        ]
    );
}

#[test]
fn errors_are_sorted_by_line_whatever_their_kind() {
    let text =
        "[http]\nthreads = -1\n[kafka]\npartitions = 0\nbootstrp = \"x\"\n[engine]\nthreads = 0\n";
    let errors = errors(text, &[], &[("node.name", "a b")]);
    let lines: Vec<_> = errors.0.iter().map(|error| error.place.clone()).collect();
    let line = |place: &Option<Place>| match place {
        Some(Place::Line { line, .. }) => *line,
        _ => 0,
    };
    assert_eq!(lines.iter().map(line).collect::<Vec<_>>(), [2, 4, 5, 7, 0]);
    assert_eq!(lines[4], Some(Place::Flag));
}

#[test]
fn a_value_out_of_range_has_its_line_also_when_another_key_is_to_blame() {
    assert_eq!(
        report("[kafka]\n\npartitions = 0\n", &[], &[])[1]
            .split(" must")
            .next(),
        Some("node.toml:3: kafka.partitions:")
    );
    // The maximum has its default, which is below what the file says of the minimum.
    let lines = report("[retry]\ninitial_backoff_ms = 20000\n", &[], &[]);
    assert_eq!(
        lines[1],
        "node.toml:2: retry.max_backoff_ms: must not be below retry.initial_backoff_ms"
    );
}

#[test]
fn a_variable_is_named() {
    let environment = [
        ("BABELMESH_ENGINE__THREADS", "two"),
        ("BABELMESH_ENGINE_BEAM_SIZE", "2"),
    ];
    assert_eq!(
        report("[engine]\nthreads = 1\n", &environment, &[])[1..],
        [
            "BABELMESH_ENGINE_BEAM_SIZE: engine_beam_size: unknown key; did you mean BABELMESH_ENGINE__BEAM_SIZE?",
            "BABELMESH_ENGINE__THREADS: engine.threads: must be an integer from 0 to 65535, not \"two\"",
        ]
    );
}

#[test]
fn a_flag_is_named() {
    let sets = [("engine.threads", "two"), ("engine.thread", "2")];
    assert_eq!(
        report("[engine]\nthreads = 1\n", &[], &sets)[1..],
        [
            "--set: engine.threads: must be an integer from 0 to 65535, not \"two\"",
            "--set: engine.thread: unknown key; did you mean `engine.threads`?",
        ]
    );
}

#[test]
fn old_keys_are_accepted_in_every_layer_with_a_warning() {
    let file = file("[pool]\nrestart_first_ms = 11\n[offload]\nleast_speed = 0.5\n");
    let environment = own(&[("BABELMESH_RETRY__FIRST_MS", "12")]);
    let sets = own(&[
        ("cluster.redial_most_ms", "5000"),
        ("retry", "{most_ms=30000}"),
    ]);
    let read = load_with_deprecations(Some(file.path()), &[], environment, &sets);
    let (config, deprecated) = read.unwrap();
    assert_eq!(config.pool.restart_initial_backoff_ms, 11);
    assert_eq!(config.retry.initial_backoff_ms, 12);
    assert_eq!(config.retry.max_backoff_ms, 30_000);
    assert_eq!(config.cluster.redial_max_backoff_ms, 5_000);
    let told: Vec<_> = deprecated.iter().map(ToString::to_string).collect();
    let path = file.path().display();
    let end = "is deprecated and will be removed in the next version; use";
    let mut expected = vec![
        format!("{path}:4: offload.least_speed {end} offload.min_speed"),
        format!("{path}:2: pool.restart_first_ms {end} pool.restart_initial_backoff_ms"),
        format!("BABELMESH_RETRY__FIRST_MS: retry.first_ms {end} retry.initial_backoff_ms"),
        format!("--set: cluster.redial_most_ms {end} cluster.redial_max_backoff_ms"),
        format!("--set: retry.most_ms {end} retry.max_backoff_ms"),
    ];
    let mut told = told;
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn an_old_key_beside_its_new_name_is_an_error_and_a_later_layer_wins() {
    let text = "[retry]\nfirst_ms = 1\ninitial_backoff_ms = 2\n";
    assert_eq!(
        report(text, &[], &[])[1],
        "node.toml:2: retry.first_ms: is the old name of retry.initial_backoff_ms, which is given too; remove it"
    );
    let file = file("[retry]\nfirst_ms = 1\n");
    let sets = own(&[("retry.initial_backoff_ms", "3")]);
    let config = load(Some(file.path()), &[], [], &sets).unwrap();
    assert_eq!(config.retry.initial_backoff_ms, 3);
}

#[test]
fn an_error_in_the_value_of_an_old_key_has_its_line() {
    let lines = report("[retry]\n\nfirst_ms = \"soon\"\n", &[], &[]);
    assert!(
        lines[1].starts_with("node.toml:3: retry.initial_backoff_ms: must be a duration")
            && lines[1].ends_with("(given as retry.first_ms)"),
        "{lines:?}"
    );
}
