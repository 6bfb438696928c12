//! File descriptors: a node that runs out of them serves nobody.

use anyhow::{Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{config::Config, events::NodeEvent};

/// What a node has open without any client: connections to brokers, threads' own, files. About 90 were counted on one with a model.
const BASE: u64 = 128;
/// Pipes of the engine processes of a model.
const PER_MODEL: u64 = 8;
/// Connections to other nodes.
const PEERS: u64 = 64;

/// Descriptors that a configuration needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needed {
    /// To run at all.
    least: u64,
    /// With as many connections as are allowed.
    all: u64,
}

impl Needed {
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
        let all = least.saturating_add(http).saturating_add(cluster);
        Self { least, all }
    }
}

/// Allows this process as many descriptors as it may have.
///
/// # Errors
/// When these are too few for the node to run at all; too few for all connections that the configuration allows are warned about.
pub(super) fn allow(config: &Config, models: usize) -> Result<()> {
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
    let needed = Needed::by(config, models);
    if limit < needed.least {
        bail!(
            "this process may have {limit} open files and needs {} at least: raise the hard limit (ulimit -Hn, LimitNOFILE of systemd, --ulimit nofile of Docker)",
            needed.least
        );
    }
    if limit < needed.all {
        NodeEvent::FewDescriptors {
            limit,
            needed: needed.all,
        }
        .emit();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_turned_off_needs_no_descriptors() {
        let mut config = Config::default();
        let alone = Needed::by(&config, 1);
        assert_eq!((alone.least, alone.all), (136, 136));
        config.http.listen = "127.0.0.1:0".to_owned();
        config.http.max_connections = 1_000;
        assert_eq!(Needed::by(&config, 60).least, 608);
        assert_eq!(Needed::by(&config, 60).all, 1_608);
        config.cluster.enabled = true;
        assert!(Needed::by(&config, 1).all > 1_136);
        config.http.max_connections = usize::MAX;
        assert_eq!(Needed::by(&config, 1).all, u64::MAX);
    }
}
