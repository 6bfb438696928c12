//! Validation of the cache.

use redis::IntoConnectionInfo;

use crate::config::CacheConfig;

/// Adds what is out of range.
pub(super) fn check(cache: &CacheConfig, refuse_if: &mut impl FnMut(bool, &str, &str)) {
    let mut refuse_if = |wrong: bool, key: &str, message: &str| {
        refuse_if(wrong, &format!("cache.{key}"), message);
    };
    refuse_if(
        cache.memory_mb > 1 << 20,
        "memory_mb",
        "must be at most 1048576",
    );
    // Redis counts milliseconds in a signed number.
    refuse_if(
        !(1..=10 * 365 * 24 * 3_600).contains(&cache.ttl_s),
        "ttl_s",
        "must be from one second to ten years",
    );
    let redis = &cache.redis;
    refuse_if(
        redis.address.as_deref().is_some_and(|at| !is_address(at)),
        "redis.address",
        "must be an address such as \"redis://127.0.0.1:6379/0\" or \"rediss://redis.example:6380\"; user and password have separate keys",
    );
    refuse_if(
        redis.address.is_some() && cache.memory_mb == 0,
        "redis.address",
        "requires cache.memory_mb above zero",
    );
    refuse_if(
        redis.username.is_some() && redis.password.is_none(),
        "redis.username",
        "needs cache.redis.password or cache.redis.password_file",
    );
    let encrypted = redis
        .address
        .as_deref()
        .is_some_and(|at| at.starts_with("rediss://"));
    refuse_if(
        redis.ca_file.is_some() && !encrypted,
        "redis.ca_file",
        "needs an address that begins with rediss://",
    );
    refuse_if(
        redis.prefix.is_empty()
            || redis.prefix.len() > 100
            || !redis.prefix.chars().all(|c| c.is_ascii_graphic()),
        "redis.prefix",
        "must be 1 to 100 printable ASCII characters",
    );
    refuse_if(
        !(1..=10_000).contains(&redis.timeout_ms),
        "redis.timeout_ms",
        "must be 1 to 10000",
    );
}

/// Whether this is `redis://` or `rediss://`, a host, perhaps a port and the number of a database.
fn is_address(text: &str) -> bool {
    let rest = text
        .strip_prefix("redis://")
        .or_else(|| text.strip_prefix("rediss://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && !rest.contains(['@', '?', '#'])
    }) && text.into_connection_info().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_host_and_no_login() {
        for good in [
            "redis://127.0.0.1:6379",
            "redis://127.0.0.1:6379/3",
            "redis://redis",
            "rediss://redis.example:6380/0",
            "redis://[::1]:6379",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:6379",
            "http://127.0.0.1:6379",
            "redis://",
            "redis:///3",
            "redis://:6379",
            "redis://user:secret@redis:6379",
            "redis://:secret@redis:6379",
            "redis://redis:6379/three",
            "redis://redis:99999",
            "rediss://redis:6380/#insecure",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
