//! What must hold of the HTTP edge.

use std::net::SocketAddr;

use actix_web::http::Uri;
use babelmesh_settings::MAX_THREADS;

use super::HttpConfig;

/// Most bytes of bodies that can be configured.
const MAX_BUFFERED_BYTES: usize = 1 << 40;
/// Most requests at a time that can be configured.
const MAX_CONCURRENT: usize = 1_000_000;

/// Adds what is out of range.
pub(super) fn check(http: &HttpConfig, refuse_if: &mut impl FnMut(bool, &str, &str)) {
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
        http.proxies().is_err(),
        "http.trusted_proxies",
        "must be networks or addresses such as \"10.0.0.0/8\" or \"127.0.0.1\"",
    );
    refuse_if(
        http.operator_keys_file.is_some() && http.operator_keys_file == http.keys_file,
        "http.operator_keys_file",
        "must be another file than http.keys_file: API keys would be operator keys",
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
