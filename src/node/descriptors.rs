//! File descriptor limits.

use anyhow::{Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{config::Config, events::NodeEvent};

/// What a node has open without any client: connections to brokers, threads' own, files. About 90 were counted on one with a model.
const BASE: u64 = 128;
/// Pipes of the engine processes of a model.
const PER_MODEL: u64 = 8;
/// Connections to other nodes.
const PEERS: u64 = 64;
/// HTTP connections that are allowed even where the limit leaves no room for them.
const MIN_CONNECTIONS: u64 = 16;

/// Descriptors that a configuration needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DescriptorNeeds {
    /// To run at all.
    least: u64,
    /// With the connections to other nodes, but without any HTTP client.
    without_http: u64,
    /// With as many connections as are allowed.
    all: u64,
}

impl DescriptorNeeds {
    fn by(config: &Config, models: usize) -> Self {
        let least = BASE + PER_MODEL * models as u64;
        let http = match config.http.listen.as_str() {
            "" => 0,
            _ => config.http.max_connections as u64,
        };
        let cluster = match config.cluster.enabled {
            true => PEERS + config.cluster.max_handshakes as u64,
            false => 0,
        };
        let without_http = least.saturating_add(cluster);
        Self {
            least,
            without_http,
            all: without_http.saturating_add(http),
        }
    }

    /// HTTP connections that a limit leaves room for. More would take the descriptors that the rest of the node needs, and nobody could connect.
    const fn connections(&self, limit: u64) -> u64 {
        let room = limit.saturating_sub(self.without_http);
        match room < MIN_CONNECTIONS {
            true => MIN_CONNECTIONS,
            false => room,
        }
    }
}

/// Allows this process as many descriptors as it may have. Returns how many HTTP connections may be open: `http.max_connections`, or fewer, with a
/// warning, where the limit is too low for these.
///
/// # Errors
/// When the descriptors are too few for the node to run at all.
pub(super) fn allow(config: &Config, models: usize) -> Result<usize> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // What the system refuses leaves the limit as it is.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = DescriptorNeeds::by(config, models);
    if limit < needed.least {
        bail!(
            "the limit of {limit} open files is below the required {}: raise the hard limit (ulimit -Hn, LimitNOFILE of systemd, --ulimit nofile of Docker)",
            needed.least
        );
    }
    let wanted = config.http.max_connections;
    if limit >= needed.all {
        return Ok(wanted);
    }
    let room = usize::try_from(needed.connections(limit)).unwrap_or(usize::MAX);
    let connections = room.min(wanted);
    NodeEvent::FewDescriptors {
        limit,
        needed: needed.all,
        connections,
    }
    .emit();
    Ok(connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disabled_features_need_no_descriptors() {
        let mut config = Config::default();
        let alone = DescriptorNeeds::by(&config, 1);
        assert_eq!((alone.least, alone.all), (136, 136));
        config.http.listen = "127.0.0.1:0".to_owned();
        config.http.max_connections = 1_000;
        assert_eq!(DescriptorNeeds::by(&config, 60).least, 608);
        assert_eq!(DescriptorNeeds::by(&config, 60).all, 1_608);
        assert_eq!(DescriptorNeeds::by(&config, 60).connections(1_608), 1_000);
        assert_eq!(DescriptorNeeds::by(&config, 60).connections(1_024), 416);
        assert_eq!(DescriptorNeeds::by(&config, 60).connections(608), 16);
        config.cluster.enabled = true;
        assert!(DescriptorNeeds::by(&config, 1).all > 1_136);
        config.http.max_connections = usize::MAX;
        assert_eq!(DescriptorNeeds::by(&config, 1).all, u64::MAX);
    }
}
