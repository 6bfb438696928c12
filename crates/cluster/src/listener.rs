//! The cluster listener, bound before this node joins the cluster.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use babelmesh_settings::Secret;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::certificate::Certificate;
use crate::config::ClusterConfig;

/// How long it rests after a connection that could not be accepted.
const REST: Duration = Duration::from_millis(100);

/// A bound address, and the credentials that a node needs to join its cluster. Until it is handed over, connections are closed at once: nodes that
/// dial meanwhile try again soon.
pub struct ClusterListener {
    pub(super) address: SocketAddr,
    pub(super) cookie: Secret,
    pub(super) certificate: Option<Arc<Certificate>>,
    handed_over: oneshot::Sender<()>,
    turning_away: JoinHandle<TcpListener>,
}

impl ClusterListener {
    /// Claims the address that the configuration names; `None` where the node is in no cluster.
    ///
    /// # Errors
    /// When the address is taken, the cookie is missing, or a certificate cannot be used.
    pub async fn claim(cluster: &ClusterConfig, node: &str) -> Result<Option<Self>> {
        if !cluster.enabled {
            return Ok(None);
        }
        let cookie = cluster.cookie.clone();
        let cookie = cookie.context("cluster.cookie_file is missing")?;
        let certificate = match cluster.tls.is_given() {
            true => {
                let read = Certificate::load(&cluster.tls, node);
                Some(Arc::new(read.context("reading cluster.tls")?))
            }
            false => None,
        };
        let listener = TcpListener::bind(&cluster.listen)
            .await
            .with_context(|| format!("listening for other nodes at {}", cluster.listen))?;
        let address = listener.local_addr()?;
        let (handed_over, ready) = oneshot::channel();
        Ok(Some(Self {
            address,
            cookie,
            certificate,
            handed_over,
            turning_away: tokio::spawn(turn_away(listener, ready)),
        }))
    }

    /// Stops rejecting connections.
    pub(super) async fn hand_over(self) -> Result<TcpListener> {
        // The task ends whether it is told or not.
        let _ = self.handed_over.send(());
        Ok(self.turning_away.await?)
    }
}

/// Closes every connection until it is stopped or dropped.
async fn turn_away(listener: TcpListener, mut ready: oneshot::Receiver<()>) -> TcpListener {
    loop {
        tokio::select! {
            _ = &mut ready => return listener,
            accepted = listener.accept() => {
                if accepted.is_err() {
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpStream};

    use super::*;

    fn config(listen: &str) -> ClusterConfig {
        ClusterConfig {
            enabled: true,
            listen: listen.to_owned(),
            cookie: Some(Secret::from("a cookie of this test")),
            ..ClusterConfig::default()
        }
    }

    #[tokio::test]
    async fn an_address_is_claimed_once_and_dialling_it_does_not_hang() {
        let claimed = ClusterListener::claim(&config("127.0.0.1:0"), "node-1").await;
        let claimed = claimed.unwrap().unwrap();
        let address = claimed.address;
        let second = ClusterListener::claim(&config(&address.to_string()), "node-1").await;
        let error = format!("{:#}", second.err().unwrap());
        assert!(error.contains("listening for other nodes"), "{error}");
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It is closed, with or without a reset.
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0])).await;
        assert!(!matches!(read.unwrap(), Ok(1..)));
        let listener = claimed.hand_over().await.unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        drop(listener);
        let again = ClusterListener::claim(&config(&address.to_string()), "node-1").await;
        drop(again.unwrap().unwrap());
    }
}
