//! Cluster configuration: discovery and authentication.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use babelmesh_settings::{ConfigError, Secret, read_secret};
use serde::{Deserialize, Serialize};

use super::membership::FailureTimeouts;

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterConfig {
    /// Whether this node joins a cluster.
    pub enabled: bool,
    /// Address and port that others reach; loopback unless it is set.
    pub listen: String,
    /// Advertised address, host:port; default `listen`.
    pub advertise: Option<String>,
    /// Addresses of other nodes, host:port. A name stands for all its addresses and is resolved again each time.
    pub seeds: Vec<String>,
    /// The shared secret.
    #[serde(skip_serializing_if = "Secret::is_elsewhere")]
    pub cookie: Option<Secret>,
    /// The file that holds it.
    pub cookie_file: Option<PathBuf>,
    /// Heartbeat interval, in milliseconds.
    pub heartbeat_ms: u64,
    /// Silence after which a node is suspected, in milliseconds.
    pub suspect_after_ms: u64,
    /// Silence after which a node is down, in milliseconds.
    pub down_after_ms: u64,
    /// How long a node that is down is still dialled and shown, in milliseconds.
    pub forget_after_ms: u64,
    /// Longest time for a connection to be made and both sides to make sure of each other, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// Maximum concurrent handshakes; the oldest is dropped for a new one.
    pub max_handshakes: usize,
    /// Shortest and longest wait before an address is dialled again, in milliseconds.
    pub redial_initial_backoff_ms: u64,
    /// See above.
    pub redial_max_backoff_ms: u64,
    /// Longest time for another node to answer a request, in milliseconds.
    pub call_timeout_ms: u64,
    /// How long after its start a node assumes that it does not know all others yet, in milliseconds: jobs that it cannot place wait.
    pub discovery_ms: u64,
    /// Jobs in each lane that other nodes may do for this one at a time.
    pub max_forwarded: usize,
    /// Certificates; needed wherever `listen` is not loopback.
    pub tls: TlsConfig,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            listen: "127.0.0.1:7700".to_owned(),
            advertise: None,
            seeds: Vec::new(),
            cookie: None,
            cookie_file: None,
            heartbeat_ms: 500,
            suspect_after_ms: 1_500,
            down_after_ms: 3_500,
            forget_after_ms: 3_600_000,
            handshake_timeout_ms: 2_000,
            max_handshakes: 256,
            redial_initial_backoff_ms: 200,
            redial_max_backoff_ms: 1_000,
            call_timeout_ms: 10_000,
            discovery_ms: 5_000,
            max_forwarded: 64,
            tls: TlsConfig::default(),
        }
    }
}

/// Certificates of the cluster, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    /// Authorities that the nodes' certificates come from.
    pub ca_file: Option<PathBuf>,
    /// This node's certificate; it names the node.
    pub certificate_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// How often the files are read to see whether they have changed, in milliseconds.
    pub reload_interval_ms: u64,
    /// Number of days before expiry from which a warning is logged once a day.
    pub expiry_warning_days: u32,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            ca_file: None,
            certificate_file: None,
            key_file: None,
            reload_interval_ms: 10_000,
            expiry_warning_days: 30,
        }
    }
}

impl TlsConfig {
    /// Authority, certificate and key, if all are given.
    pub(super) fn files(&self) -> Option<(&Path, &Path, &Path)> {
        Some((
            self.ca_file.as_deref()?,
            self.certificate_file.as_deref()?,
            self.key_file.as_deref()?,
        ))
    }

    /// Whether any is given.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        self.ca_file.is_some() || self.certificate_file.is_some() || self.key_file.is_some()
    }
}

impl ClusterConfig {
    /// Reads the secret that nodes share, if it is in a file.
    pub fn read_cookie(&mut self, errors: &mut Vec<ConfigError>) {
        let file = self.cookie_file.as_deref();
        read_secret("cluster.cookie", &mut self.cookie, file, errors);
    }

    /// Silence timeouts.
    #[must_use]
    pub const fn timeouts(&self) -> FailureTimeouts {
        FailureTimeouts {
            suspect: Duration::from_millis(self.suspect_after_ms),
            down: Duration::from_millis(self.down_after_ms),
        }
    }

    pub(super) const fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    pub(super) const fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.call_timeout_ms)
    }

    /// Adds what is wrong, as pairs of a key and what it must be like.
    pub fn check(&self, node: &str, refuse_if: &mut dyn FnMut(bool, &str, &str)) {
        let listen = self.listen.parse::<SocketAddr>();
        refuse_if(
            listen.is_err(),
            "listen",
            "must be an address and a port, such as 127.0.0.1:7700",
        );
        let address = "must be host:port";
        let advertise = self.advertise.as_deref();
        refuse_if(
            advertise.is_some_and(|text| !is_host_and_port(text)),
            "advertise",
            address,
        );
        refuse_if(
            self.seeds.iter().any(|seed| !is_host_and_port(seed)),
            "seeds",
            address,
        );
        refuse_if(
            self.enabled && self.cookie.is_none(),
            "cookie_file",
            "is missing: nodes must share a secret",
        );
        let short = |cookie: &Secret| cookie.expose().len() < 16;
        refuse_if(
            self.cookie.as_ref().is_some_and(short),
            "cookie",
            "must be at least 16 characters long",
        );
        let tls = &self.tls;
        refuse_if(
            tls.is_given() && tls.files().is_none(),
            "tls",
            "needs ca_file, certificate_file and key_file",
        );
        refuse_if(
            tls.is_given() && rustls::pki_types::ServerName::try_from(node).is_err(),
            "tls",
            "needs a node.name that a certificate can hold: labels of at most 63 characters",
        );
        refuse_if(
            !(100..=3_600_000).contains(&tls.reload_interval_ms),
            "tls.reload_interval_ms",
            "must be between 100 and 3600000",
        );
        refuse_if(
            tls.expiry_warning_days > 365,
            "tls.expiry_warning_days",
            "must not be above 365",
        );
        let listen = listen.ok().map(|address| address.ip());
        let open = listen.is_some_and(|address| !address.is_loopback());
        refuse_if(
            self.enabled && open && !tls.is_given(),
            "tls",
            "is missing: without certificates a node listens on loopback only",
        );
        let wildcard = listen.is_some_and(|address| address.is_unspecified());
        refuse_if(
            self.enabled && wildcard && advertise.is_none(),
            "advertise",
            "is missing: others cannot dial the address of cluster.listen",
        );
        self.check_bounds(refuse_if);
    }

    /// Checks times and sizes.
    fn check_bounds(&self, refuse_if: &mut dyn FnMut(bool, &str, &str)) {
        let above_zero = [
            ("heartbeat_ms", self.heartbeat_ms),
            ("forget_after_ms", self.forget_after_ms),
            ("handshake_timeout_ms", self.handshake_timeout_ms),
            ("max_handshakes", self.max_handshakes as u64),
            ("redial_initial_backoff_ms", self.redial_initial_backoff_ms),
            ("call_timeout_ms", self.call_timeout_ms),
            ("max_forwarded", self.max_forwarded as u64),
        ];
        for (key, value) in above_zero {
            refuse_if(value == 0, key, "must be above zero");
        }
        refuse_if(
            self.suspect_after_ms < self.heartbeat_ms.saturating_mul(2),
            "suspect_after_ms",
            "must be at least twice cluster.heartbeat_ms",
        );
        refuse_if(
            self.down_after_ms <= self.suspect_after_ms,
            "down_after_ms",
            "must be above cluster.suspect_after_ms",
        );
        refuse_if(
            self.redial_max_backoff_ms < self.redial_initial_backoff_ms,
            "redial_max_backoff_ms",
            "must not be below cluster.redial_initial_backoff_ms",
        );
    }
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && host.len() <= 255 && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}
