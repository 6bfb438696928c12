//! Exclusive resources of a machine, claimed before anything else: on a conflict the node exits at once, not after
//! minutes of loading models.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::{
    EMBEDDED, default_socket,
    handover::Handover,
    parts::{Part, Parts, Shutdown},
    running::{ClusterEnd, ClusterPart},
    shutdown::Phase,
    socket::SocketServer,
};
use crate::{api::StartingServer, cluster::ClusterListener, config::Config};

/// Claimed resources that are handed over later.
pub(super) struct Claims {
    /// Answers that the node starts.
    pub(super) socket: SocketServer,
    /// The same over HTTP.
    pub(super) http: Handover<StartingServer>,
    /// Where other nodes will be listened to.
    pub(super) cluster: ClusterPart,
}

impl Claims {
    /// Claims the name, the status socket and the ports; each is a part from then on.
    ///
    /// # Errors
    /// Which of them is taken.
    pub(super) async fn take(config: &Config, parts: &mut Parts) -> Result<Self> {
        if let Some(name) = NameClaim::take(config)? {
            parts.push(name);
        }
        let path = config.status.socket.clone();
        let path = path.unwrap_or_else(|| default_socket(&config.node.name));
        let (socket, part) = SocketServer::open(path)?;
        parts.push(part);
        let http = Handover::new(StartingServer::start(&config.http)?);
        parts.push(StartingPart(http.clone()));
        let cluster =
            ClusterPart::new(ClusterListener::claim(&config.cluster, &config.node.name).await?);
        parts.push(ClusterEnd(cluster.clone()));
        Ok(Self {
            socket,
            http,
            cluster,
        })
    }
}

/// The name of a node on this machine, among the nodes of the same group on the same brokers: two of them would fence each other in turn. It is an
/// abstract socket, which the system gives back when the process ends, however it ends.
struct NameClaim(#[expect(dead_code, reason = "it is held, and nothing else")] UnixListener);

impl NameClaim {
    /// Claims it; `None` where the brokers are the node's own.
    fn take(config: &Config) -> Result<Option<Self>> {
        let (kafka, node) = (&config.kafka, &config.node.name);
        if kafka.bootstrap_servers == EMBEDDED {
            return Ok(None);
        }
        let scope = [kafka.bootstrap_servers.as_str(), &kafka.group_id, node];
        match Self::of(scope) {
            Ok(claim) => Ok(Some(claim)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => bail!(
                "another node named {node:?} of group {:?} runs on this machine: set a unique node.name",
                kafka.group_id
            ),
            Err(error) => Err(error).with_context(|| format!("claiming the name {node:?}")),
        }
    }

    fn of(scope: [&str; 3]) -> io::Result<Self> {
        let mut digest = Sha256::new();
        for part in scope {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let digest: String = digest
            .finalize()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let address = SocketAddr::from_abstract_name(format!("babelmesh/{digest}"))?;
        UnixListener::bind_addr(&address).map(Self)
    }
}

#[async_trait(?Send)]
impl Part for NameClaim {
    fn name(&self) -> &'static str {
        "the node's name"
    }

    fn phase(&self) -> Phase {
        Phase::LeaveCluster
    }

    async fn stop(self: Box<Self>, _: &Shutdown) {}
}

/// The HTTP server of a node that starts, until the real one takes its listener over.
struct StartingPart(Handover<StartingServer>);

#[async_trait(?Send)]
impl Part for StartingPart {
    fn name(&self) -> &'static str {
        "the HTTP server of the start"
    }

    fn phase(&self) -> Phase {
        Phase::LeaveCluster
    }

    async fn stop(self: Box<Self>, _: &Shutdown) {
        if let Some(server) = self.0.take() {
            // Its listener goes with it.
            let _ = server.hand_over().await;
        }
    }
}

impl Drop for StartingPart {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_among_the_nodes_of_a_group_and_free_again_afterwards() {
        let process = std::process::id().to_string();
        let claim = |group, node| NameClaim::of([process.as_str(), group, node]);
        let first = claim("g", "node-1").unwrap();
        let second = claim("g", "node-1");
        assert_eq!(second.err().unwrap().kind(), io::ErrorKind::AddrInUse);
        let others = [("g", "node-2"), ("other", "node-1"), ("gn", "ode-1")];
        let others = others.map(|(group, node)| claim(group, node));
        assert!(others.iter().all(Result::is_ok));
        drop(first);
        assert!(claim("g", "node-1").is_ok());
    }
}
