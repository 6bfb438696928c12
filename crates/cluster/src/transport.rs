//! Connections between nodes: dialled and accepted, encrypted and authenticated.
//!
//! Unauthenticated peers get no further than the handshake, which is bounded in time, number and frame size.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use babelmesh_telemetry::{events::NodeEvent, failure::error_chain};
use rustls::pki_types::CertificateDer;
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use super::{
    certificate::Certificate,
    handshake::{self, HandshakeError, Identity, Peer, PeerVerifier},
    link::{Link, Wire},
    tls::{self, TlsError},
};

/// Admission of nodes by name.
pub(super) trait Register: Send + Sync + 'static {
    /// Returns the incarnation of the node that was declared dead, if any; or the reason why it is rejected.
    fn admit(&self, name: &str, incarnation: u64) -> Result<Option<u64>, String>;
}

/// A node at the other end, and the connection.
pub(super) struct PeerConnection {
    pub(super) peer: Peer,
    pub(super) link: Link,
    /// Whether this node dialled.
    pub(super) dialled: bool,
}

/// Makes connections.
pub(super) struct Transport {
    me: Identity,
    certificate: Option<Arc<Certificate>>,
    register: Arc<dyn Register>,
    within: Duration,
    serial: AtomicU64,
}

impl Transport {
    pub(super) fn new(
        me: Identity,
        certificate: Option<Arc<Certificate>>,
        register: Arc<dyn Register>,
        within: Duration,
    ) -> Self {
        Self {
            me,
            certificate,
            register,
            within,
            serial: AtomicU64::new(0),
        }
    }

    /// Dials an address.
    pub(super) async fn dial(&self, address: SocketAddr) -> Result<PeerConnection> {
        if self.certificate.is_none() && !address.ip().is_loopback() {
            return Err(anyhow!(
                "without cluster.tls only loopback addresses are dialled"
            ));
        }
        self.in_time(async {
            let stream = TcpStream::connect(address).await.context("dialling")?;
            self.perform_handshake(stream, true).await
        })
        .await
    }

    async fn accept(&self, stream: TcpStream) -> Result<PeerConnection> {
        self.in_time(self.perform_handshake(stream, false)).await
    }

    /// Logs why there is no connection to an address. A node that dials itself is not logged.
    pub(super) fn tell_of_refusal(
        &self,
        error: &anyhow::Error,
        address: SocketAddr,
        dialled: bool,
    ) {
        if matches!(error.downcast_ref(), Some(HandshakeError::Itself)) {
            return;
        }
        NodeEvent::PeerRefused {
            address,
            dialled,
            kind: &kind(error),
            error: &error_chain(error.as_ref()),
        }
        .emit();
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.within, work).await {
            Ok(done) => done,
            Err(_) => Err(HandshakeError::Slow.into()),
        }
    }

    async fn perform_handshake(&self, stream: TcpStream, dialled: bool) -> Result<PeerConnection> {
        stream.set_nodelay(true).context("dialling")?;
        let Some(tls) = self.certificate.as_ref().map(|held| held.tls()) else {
            return self.agree(stream, None, &[], dialled).await;
        };
        let stream = match dialled {
            true => tls.connect(stream).await?,
            false => tls.accept(stream).await?,
        };
        let certificate = tls::certificate_of(&stream)?;
        let binding = tls::binding(&stream)?;
        self.agree(stream, Some(certificate), &binding, dialled)
            .await
    }

    async fn agree<W: Wire>(
        &self,
        mut wire: W,
        certificate: Option<CertificateDer<'static>>,
        binding: &[u8],
        dialled: bool,
    ) -> Result<PeerConnection> {
        let verifier = HandshakeVerifier {
            certificate,
            register: &*self.register,
        };
        let shaken = match dialled {
            true => handshake::dial(&mut wire, &self.me, &verifier, binding).await,
            false => handshake::accept(&mut wire, &self.me, &verifier, binding).await,
        };
        let peer = shaken.map_err(|error| match error {
            // The dialling side learns only now whether its certificate was accepted.
            HandshakeError::Io(error) if self.certificate.is_some() => tls::explain(error),
            error => error.into(),
        })?;
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let label = format!("{}#{serial}", peer.name);
        Ok(PeerConnection {
            link: Link::new(Box::new(wire), label),
            peer,
            dialled,
        })
    }
}

/// Kind of a refusal: what the other side says, and times, are not part of it.
fn kind(error: &anyhow::Error) -> String {
    if let Some(error) = error.downcast_ref::<HandshakeError>() {
        return match error {
            HandshakeError::Io(error) => format!("{:?}", error.kind()),
            HandshakeError::Foreign(what) => (*what).to_owned(),
            HandshakeError::Protocol { .. } => "protocol".to_owned(),
            HandshakeError::Cookie => "cookie".to_owned(),
            HandshakeError::Unfit(why) => why.clone(),
            HandshakeError::Refused(_) => "refused".to_owned(),
            HandshakeError::Slow => "slow".to_owned(),
            HandshakeError::Itself => "itself".to_owned(),
        };
    }
    if let Some(error) = error.downcast_ref::<TlsError>() {
        return error.to_string();
    }
    match error.downcast_ref::<io::Error>() {
        Some(error) => format!("{:?}", error.kind()),
        None => error.to_string(),
    }
}

struct HandshakeVerifier<'a> {
    certificate: Option<CertificateDer<'static>>,
    register: &'a dyn Register,
}

impl PeerVerifier for HandshakeVerifier<'_> {
    fn fits(&self, name: &str) -> Result<(), String> {
        match &self.certificate {
            Some(certificate) => tls::names(certificate, name),
            None => Ok(()),
        }
    }

    fn admit(&self, name: &str, incarnation: u64) -> Result<Option<u64>, String> {
        self.register.admit(name, incarnation)
    }
}

/// Accepts connections and passes authenticated ones on. `most` may be in their handshake at once: a new one replaces
/// the oldest, so that stalled peers cannot block others.
pub(super) async fn listen(
    listener: TcpListener,
    transport: Arc<Transport>,
    most: usize,
    on_connected: impl Fn(PeerConnection) + Clone + Send + 'static,
) {
    let mut under_way: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Such as too many open files: those in their handshake give theirs back soon.
                let error = error.to_string();
                NodeEvent::ClusterTrouble { error: &error }.emit();
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        under_way.retain(|task| !task.is_finished());
        while under_way.len() >= most {
            let Some(oldest) = under_way.pop_front() else {
                break;
            };
            oldest.abort();
            NodeEvent::HandshakesCrowded { most }.emit();
        }
        let (transport, on_connected) = (Arc::clone(&transport), on_connected.clone());
        let task = tokio::spawn(async move {
            match transport.accept(stream).await {
                Ok(contact) => on_connected(contact),
                Err(error) => transport.tell_of_refusal(&error, address, false),
            }
        });
        under_way.push_back(task.abort_handle());
    }
}
