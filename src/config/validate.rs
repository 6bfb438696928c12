//! Validation beyond the types of the keys.

mod sizes;

use std::time::Duration;

use babelmesh_actors::{
    engine::{Device, Precision},
    scaling::Quantization,
    text::recognise::Patterns,
};
use babelmesh_settings::{ConfigError, MAX_THREADS, mistake};

use super::model::{
    Config, EngineConfig, GlossariesConfig, IntakeConfig, PoolConfig, RetryConfig, TextConfig,
};

/// Most bytes that the jobs of one request may have together. librdkafka queues 1 GiB, and what does not fit there is never published.
const MOST_BYTES_OF_A_REQUEST: usize = 512 << 20;

/// Variables with our prefix that are no keys.
const RESERVED: [&str; 2] = ["BABELMESH_NODE_PID", "BABELMESH_CONFIG"];

/// Whether a variable with our prefix is no key.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Applies the environment names of Meeshy's translator 0.4.9.
pub(super) fn apply_legacy_environment(
    config: &mut Config,
    environment: &[(String, String)],
    errors: &mut Vec<ConfigError>,
) {
    let lookup = |name: &str| {
        environment
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    match config.scaling.threshold.clone().with_env(lookup) {
        Ok(threshold) => config.scaling.threshold = threshold,
        Err(refused) => {
            errors.extend(
                refused
                    .into_iter()
                    .map(|e| mistake("environment", e.to_string())),
            );
        }
    }
    match Quantization::from_env(lookup) {
        Ok(None) => {}
        Ok(Some(level)) => {
            config.engine.precision = match level {
                Quantization::Float32 => Precision::Float32,
                Quantization::Float16 => Precision::Float16,
                Quantization::Int8 => Precision::Int8,
            };
        }
        Err(error) => errors.push(mistake("environment", error.to_string())),
    }
}

/// Adds everything that is out of range.
pub(super) fn check(config: &Config, errors: &mut Vec<ConfigError>) {
    let mut refuse_if = |wrong: bool, path: &str, message: &str| {
        if wrong {
            errors.push(mistake(path, message));
        }
    };
    check_node(config, &mut refuse_if);
    check_intake(&config.intake, &mut refuse_if);
    check_glossaries(&config.glossaries, &mut refuse_if);
    refuse_if(
        config.models.directories.is_empty(),
        "models.directories",
        "must name a folder",
    );
    refuse_if(
        !(0.0..=1.0).contains(&config.models.escalation.below),
        "models.escalation.below",
        "must be between 0 and 1",
    );
    check_text(&config.text, &mut refuse_if);
    check_engine(&config.engine, &mut refuse_if);
    check_pool(&config.pool, &mut refuse_if);
    check_retry(&config.retry, &mut refuse_if);
    config.http.check(&mut refuse_if);
    config.documents.check(&mut refuse_if);
    config.cache.check(&mut refuse_if);
    config.telemetry.check(&mut refuse_if);
    if let Err(refused) = config.scaling.delay_target.validate() {
        for error in refused {
            refuse_if(
                true,
                &format!("scaling.delay_target.{}", error.field),
                &error.problem,
            );
        }
    }
    if let Err(refused) = config.offload.validate() {
        for error in refused {
            errors.push(mistake(&format!("offload.{}", error.field), error.problem));
        }
    }
    // An unreadable cookie was reported already, and looks absent now.
    let unread = errors.iter().any(|e| e.path.starts_with("cluster.cookie"));
    config
        .cluster
        .check(&config.node.name, &mut |wrong, key, message| {
            if wrong && !(unread && key == "cookie_file") {
                errors.push(mistake(&format!("cluster.{key}"), message));
            }
        });
    config.kafka.check(errors);
    config.models.fetch.check(errors);
    sizes::check(config, errors);
}

/// Maximum number of patterns for text that must not be translated: each is searched for in every text.
const MOST_PATTERNS: usize = 100;

fn check_node(config: &Config, refuse_if: &mut impl FnMut(bool, &str, &str)) {
    let node = &config.node;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    refuse_if(
        node.name.is_empty() || node.name.len() > 100 || !node.name.chars().all(plain),
        "node.name",
        "must be 1 to 100 letters, digits, dots, dashes or underscores",
    );
    refuse_if(
        node.shutdown_timeout() <= Duration::from_millis(node.drain_timeout_ms),
        "node.shutdown_timeout_ms",
        "must be more than node.drain_timeout_ms, or 0",
    );
    refuse_if(
        tracing_subscriber::EnvFilter::try_new(&config.log.filter).is_err(),
        "log.filter",
        "is not a filter such as \"info\" or \"babelmesh=debug,warn\"",
    );
}

fn check_intake(intake: &IntakeConfig, refuse_if: &mut impl FnMut(bool, &str, &str)) {
    refuse_if(
        intake.high_water_tokens == 0,
        "intake.high_water_tokens",
        "must be above zero",
    );
    refuse_if(
        intake.low_water_tokens >= intake.high_water_tokens,
        "intake.low_water_tokens",
        "must be below intake.high_water_tokens",
    );
    refuse_if(
        !(1..=1_000).contains(&intake.max_targets),
        "intake.max_targets",
        "must be between 1 and 1000",
    );
    refuse_if(
        intake.max_text_chars == 0,
        "intake.max_text_chars",
        "must be above zero",
    );
    refuse_if(
        !(64..=65_536).contains(&intake.max_id_bytes),
        "intake.max_id_bytes",
        "must be between 64 and 65536",
    );
    refuse_if(
        intake.most_bytes_of_a_request() > MOST_BYTES_OF_A_REQUEST,
        "intake.max_targets",
        "is too many for texts of intake.max_text_chars: the jobs of one request must fit in 512 MiB",
    );
}

fn check_glossaries(glossaries: &GlossariesConfig, refuse_if: &mut impl FnMut(bool, &str, &str)) {
    for (key, value) in [
        ("max_glossaries", glossaries.max_glossaries),
        ("max_total_bytes", glossaries.max_total_bytes),
        ("max_entries", glossaries.max_entries),
        ("max_bytes", glossaries.max_bytes),
        ("max_term_bytes", glossaries.max_term_bytes),
    ] {
        let path = format!("glossaries.{key}");
        refuse_if(value == 0, &path, "must be above zero");
    }
}

fn check_pool(pool: &PoolConfig, refuse_if: &mut impl FnMut(bool, &str, &str)) {
    refuse_if(
        pool.max_actors != 0 && pool.min_actors.is_some_and(|min| min > pool.max_actors),
        "pool.min_actors",
        "must not be above pool.max_actors",
    );
    refuse_if(
        pool.batch.segments == 0,
        "pool.batch.segments",
        "must be above zero",
    );
    refuse_if(
        pool.batch.padded_tokens == 0,
        "pool.batch.padded_tokens",
        "must be above zero",
    );
    refuse_if(
        !(1..=10_000).contains(&pool.sharing.turn_ms),
        "pool.sharing.turn_ms",
        "must be between 1 and 10000",
    );
    let above = pool.sharing.refuse_above;
    refuse_if(
        above != 0.0 && !(1.0..=1_000.0).contains(&above),
        "pool.sharing.refuse_above",
        "must be 0, or between 1 and 1000",
    );
    refuse_if(
        pool.restart_max_backoff_ms < pool.restart_initial_backoff_ms,
        "pool.restart_max_backoff_ms",
        "must not be below pool.restart_initial_backoff_ms",
    );
}

fn check_retry(retry: &RetryConfig, refuse_if: &mut impl FnMut(bool, &str, &str)) {
    refuse_if(
        retry.initial_backoff_ms == 0,
        "retry.initial_backoff_ms",
        "must be above zero; set retry.attempts to 0 to disable retries",
    );
    refuse_if(
        retry.max_backoff_ms < retry.initial_backoff_ms,
        "retry.max_backoff_ms",
        "must not be below retry.initial_backoff_ms",
    );
    refuse_if(
        retry.attempts > 1_000,
        "retry.attempts",
        "must not be above 1000",
    );
}

fn check_text(text: &TextConfig, refuse_if: &mut impl FnMut(bool, &str, &str)) {
    refuse_if(
        text.patterns.len() > MOST_PATTERNS,
        "text.patterns",
        "must be at most 100",
    );
    for pattern in text.patterns.iter().take(MOST_PATTERNS) {
        if let Err(error) = Patterns::new([pattern]) {
            // Regular expressions are described over several lines.
            let error = error.to_string();
            let reason = error.split_whitespace().collect::<Vec<_>>().join(" ");
            refuse_if(true, "text.patterns", &reason);
        }
    }
}

fn check_engine(engine: &EngineConfig, refuse_if: &mut impl FnMut(bool, &str, &str)) {
    refuse_if(
        !(1..=MAX_THREADS).contains(&engine.threads),
        "engine.threads",
        "must be between 1 and 1024",
    );
    refuse_if(
        engine.beam_size == 0,
        "engine.beam_size",
        "must be at least 1; 1 is greedy",
    );
    refuse_if(
        engine.load_timeout_ms == 0,
        "engine.load_timeout_ms",
        "must be above zero",
    );
    refuse_if(
        engine.batch_timeout_ms == 0,
        "engine.batch_timeout_ms",
        "must be above zero",
    );
    refuse_if(
        engine.memory_limit_mb == 0,
        "engine.memory_limit_mb",
        "must be above zero",
    );
    refuse_if(
        device(&engine.device).is_none(),
        "engine.device",
        "must be \"cpu\" or \"cuda:0\" and so on",
    );
}

/// Reads `cpu`, `cuda` or `cuda:1`.
pub(crate) fn device(text: &str) -> Option<Device> {
    match text.split_once(':') {
        None if text == "cpu" => Some(Device::Cpu),
        None if text == "cuda" => Some(Device::Cuda(0)),
        Some(("cuda", index)) => index.parse().ok().map(Device::Cuda),
        _ => None,
    }
}
