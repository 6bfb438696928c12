//! Keys of the HTTP edge.

mod validate;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The HTTP edge: API, metrics, dashboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpConfig {
    /// Address and port; port 0 takes a free one; empty turns HTTP off.
    pub listen: String,
    /// Threads that serve.
    pub threads: u16,
    /// File with the hashes of API keys; without one nobody needs a key.
    pub keys_file: Option<PathBuf>,
    /// File with the hashes of operator keys; without one, no command is taken over HTTP.
    pub operator_keys_file: Option<PathBuf>,
    /// Origins of web pages that may use the API from a browser; `*` stands for all.
    pub cors_origins: Vec<String>,
    /// Names that may stand in the `Host` header, besides addresses and loopback names; `*` stands for all. When empty, a node that listens on a
    /// loopback address allows none, and another one all.
    pub allowed_hosts: Vec<String>,
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
    /// Requests a minute of one key, or of one address where there are no keys; zero means no limit.
    pub requests_per_minute: u32,
    /// Requests that are translated at the same time.
    pub max_concurrent: usize,
    /// Open connections.
    pub max_connections: usize,
    /// Largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// All bodies in memory at a time, in bytes.
    pub max_buffered_bytes: usize,
    /// The same for bodies that must be read to find the client's key, in bytes; on top of the others.
    pub max_unauthenticated_bytes: usize,
    /// Most texts of a request.
    pub max_texts: usize,
    /// Longest time for a translation, in milliseconds.
    pub timeout_ms: u64,
    /// Longest time to send a request: its head, and then its body, in milliseconds.
    pub read_timeout_ms: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: String::new(),
            threads: 2,
            keys_file: None,
            operator_keys_file: None,
            cors_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            requests_per_minute: 0,
            max_concurrent: 512,
            max_connections: 4_096,
            max_body_bytes: 2 << 20,
            max_buffered_bytes: 128 << 20,
            max_unauthenticated_bytes: 64 << 20,
            max_texts: 100,
            timeout_ms: 30_000,
            read_timeout_ms: 10_000,
        }
    }
}

impl HttpConfig {
    /// Tells what is out of range: whether something is, its key, and what it must be like.
    pub fn check(&self, refuse_if: &mut impl FnMut(bool, &str, &str)) {
        validate::check(self, refuse_if);
    }

    /// The networks of trusted proxies. A plain address is a network of one.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn proxies(&self) -> Result<Vec<ipnet::IpNet>, &str> {
        let network = |text: &String| {
            let network = text.parse::<ipnet::IpNet>().ok();
            network.or_else(|| text.parse::<std::net::IpAddr>().ok().map(Into::into))
        };
        let parse = |text| network(text).ok_or(text.as_str());
        self.trusted_proxies.iter().map(parse).collect()
    }
}
