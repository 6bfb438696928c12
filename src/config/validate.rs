//! What must hold beyond the types of the keys.

mod cache;
mod kafka;
mod sizes;
mod telemetry;

use std::{net::SocketAddr, path::Path, time::Duration};

use actix_web::http::Uri;
use babelmesh_actors::{
    domain::Language,
    engine::{Device, Precision},
    scaling::Quantization,
};

use super::{
    cache::RedisConfig,
    http::HttpConfig,
    load::ConfigError,
    model::{Config, EngineConfig},
    secret::Secret,
};
use crate::cluster::ClusterConfig;

pub(super) use kafka::read_secrets;

/// Most bytes that the jobs of one request may have together. librdkafka queues 1 GiB, and what does not fit there is never published.
const MOST_BYTES_OF_A_REQUEST: usize = 512 << 20;

/// More threads than any machine has a use for.
const MAX_THREADS: u16 = 1_024;

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

/// Reads the secret that nodes share, if it is in a file.
pub(super) fn read_cookie(cluster: &mut ClusterConfig, errors: &mut Vec<ConfigError>) {
    let file = cluster.cookie_file.as_deref();
    read_secret("cluster.cookie", &mut cluster.cookie, file, errors);
}

/// Reads the password of Redis, if it is in a file.
pub(super) fn read_redis_password(redis: &mut RedisConfig, errors: &mut Vec<ConfigError>) {
    let file = redis.password_file.as_deref();
    read_secret("cache.redis.password", &mut redis.password, file, errors);
}

/// Reads the secret of a key from the file that the key with `_file` behind it names, if it names one.
fn read_secret(
    key: &str,
    secret: &mut Option<Secret>,
    file: Option<&Path>,
    errors: &mut Vec<ConfigError>,
) {
    let Some(file) = file else {
        return;
    };
    let path = format!("{key}_file");
    if secret.is_some() {
        let message = format!("cannot be given beside {key}");
        return errors.push(mistake(&path, message));
    }
    match Secret::read(file) {
        Ok(read) => *secret = Some(read),
        Err(error) => {
            let message = format!("reading {}: {error}", file.display());
            errors.push(mistake(&path, message));
        }
    }
}

/// Adds everything that is out of range.
pub(super) fn check(config: &Config, errors: &mut Vec<ConfigError>) {
    let mut refuse_if = |wrong: bool, path: &str, message: &str| {
        if wrong {
            errors.push(mistake(path, message));
        }
    };
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
    let kafka = &config.kafka;
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
    ];
    for (i, name) in names.iter().enumerate() {
        let valid = !name.is_empty() && name.len() <= 200 && name.chars().all(plain);
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
    let intake = &config.intake;
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
    refuse_if(
        config.models.directories.is_empty(),
        "models.directories",
        "must name a folder",
    );
    check_engine(&config.engine, &mut refuse_if);
    let pool = &config.pool;
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
    let retry = &config.retry;
    refuse_if(
        retry.initial_backoff_ms == 0,
        "retry.initial_backoff_ms",
        "must be above zero; set retry.attempts to 0 to try nothing again",
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
    check_http(&config.http, &mut refuse_if);
    cache::check(&config.cache, &mut refuse_if);
    telemetry::check(&config.telemetry.traces, &mut refuse_if);
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
    // A cookie that could not be read was told of already, and looks absent now.
    let unread = errors.iter().any(|e| e.path.starts_with("cluster.cookie"));
    config
        .cluster
        .check(&config.node.name, &mut |wrong, key, message| {
            if wrong && !(unread && key == "cookie_file") {
                errors.push(mistake(&format!("cluster.{key}"), message));
            }
        });
    kafka::check_topics(&config.kafka, errors);
    kafka::check_security(&config.kafka, errors);
    sizes::check(config, errors);
}

/// Most bytes of bodies that can be configured.
const MAX_BUFFERED_BYTES: usize = 1 << 40;
/// Most requests at a time that can be configured.
const MAX_CONCURRENT: usize = 1_000_000;

fn check_http(http: &HttpConfig, refuse_if: &mut impl FnMut(bool, &str, &str)) {
    let listens = !http.listen.is_empty();
    refuse_if(
        listens && http.listen.parse::<SocketAddr>().is_err(),
        "http.listen",
        "must be an address and a port such as \"127.0.0.1:8080\", or empty",
    );
    for (value, path) in [
        (usize::from(http.threads), "http.threads"),
        (http.max_concurrent, "http.max_concurrent"),
        (http.max_connections, "http.max_connections"),
        (http.max_body_bytes, "http.max_body_bytes"),
        (http.max_texts, "http.max_texts"),
    ] {
        refuse_if(value == 0, path, "must be above zero");
    }
    for (value, path) in [
        (http.max_buffered_bytes, "http.max_buffered_bytes"),
        (
            http.max_unauthenticated_bytes,
            "http.max_unauthenticated_bytes",
        ),
    ] {
        refuse_if(
            value < http.max_body_bytes || value > MAX_BUFFERED_BYTES,
            path,
            "must be between http.max_body_bytes and 1 TiB",
        );
    }
    refuse_if(
        http.max_concurrent > MAX_CONCURRENT,
        "http.max_concurrent",
        "must be at most 1000000",
    );
    refuse_if(
        http.threads > MAX_THREADS,
        "http.threads",
        "must not be above 1024",
    );
    refuse_if(
        !http.cors_origins.iter().all(|origin| is_origin(origin)),
        "http.cors_origins",
        "must be origins such as \"https://chat.example.org\", without a path, or \"*\"",
    );
    refuse_if(
        http.operator_keys_file.is_some() && http.operator_keys_file == http.keys_file,
        "http.operator_keys_file",
        "must be another file than http.keys_file: API keys would be operator keys",
    );
    refuse_if(
        http.proxies().is_err(),
        "http.trusted_proxies",
        "must be networks or addresses such as \"10.0.0.0/8\" or \"127.0.0.1\"",
    );
    refuse_if(
        !http.allowed_hosts.iter().all(|host| is_host_name(host)),
        "http.allowed_hosts",
        "must be host names such as \"translate.example.org\", without a port, or \"*\"",
    );
    refuse_if(
        http.timeout_ms == 0,
        "http.timeout_ms",
        "must be above zero",
    );
    refuse_if(
        http.read_timeout_ms == 0,
        "http.read_timeout_ms",
        "must be above zero",
    );
}

fn is_host_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    text == "*" || (!text.is_empty() && text.bytes().all(is_plain))
}

/// Whether this is what a browser sends as `Origin`, or stands for all of them.
fn is_origin(text: &str) -> bool {
    let is_bare = |uri: Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.path() == "/"
            && uri.query().is_none()
    };
    text == "*" || (!text.ends_with('/') && text.parse().is_ok_and(is_bare))
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

fn mistake(path: &str, message: impl Into<String>) -> ConfigError {
    ConfigError {
        path: path.to_owned(),
        message: message.into(),
        place: None,
    }
}
