//! Which names requests may be for.

use std::net::{IpAddr, SocketAddr};

/// Names that may stand in the `Host` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AllowedHosts {
    /// All of them.
    Any,
    /// These, IP addresses, and `localhost` with its subdomains.
    Named(Vec<String>),
}

impl AllowedHosts {
    /// The configured names. Without any, a node on a loopback address allows loopback names only; on other addresses, all names.
    pub(super) fn new(configured: &[String], listen: SocketAddr) -> Self {
        if configured.iter().any(|name| name == "*")
            || (configured.is_empty() && !listen.ip().is_loopback())
        {
            return Self::Any;
        }
        let names = configured.iter().map(|name| name.to_ascii_lowercase());
        Self::Named(names.collect())
    }

    /// Whether a request for this `Host` is answered. DNS rebinding needs a name, so IP addresses are always allowed, and so are requests without
    /// the header, which browsers never send.
    pub(super) fn allows(&self, host: Option<&[u8]>) -> bool {
        let (Self::Named(names), Some(host)) = (self, host) else {
            return true;
        };
        let Ok(host) = std::str::from_utf8(host) else {
            return false;
        };
        let host = without_port(host.trim());
        let address = host.trim_start_matches('[').trim_end_matches(']');
        if address.parse::<IpAddr>().is_ok() {
            return true;
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        host == "localhost" || host.ends_with(".localhost") || names.contains(&host)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hosts(names: &[&str], listen: &str) -> AllowedHosts {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        AllowedHosts::new(&names, listen.parse().unwrap())
    }

    #[test]
    fn a_node_on_loopback_allows_loopback_names_and_addresses_only() {
        let hosts = hosts(&[], "127.0.0.1:8080");
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "a.localhost:1",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "localhost.",
        ] {
            assert!(hosts.allows(Some(host.as_bytes())), "{host}");
        }
        for host in [
            "evil.example.org",
            "localhost.evil.example.org:8080",
            "127.0.0.1.evil.org",
            "",
            ":",
            "\u{1f600}",
        ] {
            assert!(!hosts.allows(Some(host.as_bytes())), "{host}");
        }
        assert!(hosts.allows(None));
        assert!(!hosts.allows(Some(b"\xff")));
    }

    #[test]
    fn configured_names_are_allowed_besides_and_elsewhere_all_are() {
        let named = hosts(&["Translate.example.org"], "0.0.0.0:80");
        assert!(named.allows(Some(b"translate.example.org:443")));
        assert!(named.allows(Some(b"localhost")));
        assert!(!named.allows(Some(b"example.org")));
        assert_eq!(hosts(&[], "0.0.0.0:80"), AllowedHosts::Any);
        assert_eq!(hosts(&["*"], "127.0.0.1:80"), AllowedHosts::Any);
    }

    proptest! {
        #[test]
        fn any_host_is_judged_without_panic(host in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = hosts(&["a.example"], "127.0.0.1:80").allows(Some(&host));
        }
    }
}
