//! Encryption between nodes, with certificates on both sides.
//!
//! A node dials addresses, not names: it learns the peer's name from the peer, and then compares it with the
//! certificate. So a certificate names its *node*, as DNS name, and is good wherever the node runs.

use std::{
    io,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    ServerConfig, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{
        WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{
        ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    sign::CertifiedKey,
};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// Label of the value that binds a handshake to its TLS session.
const BINDING: &[u8] = b"EXPORTER-babelmesh-cluster";

/// Content of the three files.
pub(super) struct Credentials {
    /// Authorities that other nodes' certificates must come from.
    pub(super) roots: Arc<RootCertStore>,
    /// This node's certificate, and those between it and the authority.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub(super) key: PrivateKeyDer<'static>,
}

/// Makes encrypted streams of connections.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    chain: Arc<[CertificateDer<'static>]>,
}

impl Tls {
    /// With these certificates and this key.
    ///
    /// # Errors
    /// When they do not belong together, or nobody could use them.
    pub(super) fn new(credentials: Credentials) -> Result<Self> {
        let Credentials { roots, chain, key } = credentials;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier: Arc<dyn ClientCertVerifier> =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())?;
        let algorithms = provider.signature_verification_algorithms;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyNode { roots, algorithms }))
            .with_client_auth_cert(chain.clone(), key)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            chain: chain.into(),
        })
    }

    /// The certificate that the other side is shown, and those between it and the authority.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The accepting side.
    pub(super) async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let stream = self.acceptor.accept(stream).await;
        Ok(TlsStream::Server(stream.map_err(explain)?))
    }

    /// The dialling side.
    pub(super) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let address = stream.peer_addr().context("agreeing on TLS")?;
        let name = ServerName::from(address.ip());
        let stream = self.connector.connect(name, stream).await;
        Ok(TlsStream::Client(stream.map_err(explain)?))
    }
}

/// Why there is no TLS session. The texts say whose certificate is meant, and name no time that passes.
#[derive(Debug, Error)]
pub(super) enum TlsError {
    /// The certificate of the other side is not accepted.
    #[error("peer certificate rejected: {0}")]
    Refused(String),
    /// The other side has none.
    #[error("no certificate presented")]
    Missing,
    /// The certificate of this node is not accepted.
    #[error("the peer rejected the certificate of this node: {0:?}")]
    RefusedThere(AlertDescription),
}

/// The error, naming whose certificate is affected.
pub(super) fn explain(error: io::Error) -> anyhow::Error {
    use AlertDescription as Alert;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(cause)) => TlsError::Refused(invalid(cause)).into(),
        Some(rustls::Error::NoCertificatesPresented) => TlsError::Missing.into(),
        Some(rustls::Error::AlertReceived(
            alert @ (Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::DecryptError),
        )) => TlsError::RefusedThere(*alert).into(),
        _ => anyhow::Error::new(error).context("agreeing on TLS"),
    }
}

/// What is wrong with a certificate. The library's own text counts the seconds since it expired.
fn invalid(cause: &CertificateError) -> String {
    match cause {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("it expired at {}", date(not_after.as_secs()))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            let from = date(not_before.as_secs());
            format!("not valid before {from}; check the clocks of both nodes")
        }
        cause => cause.to_string(),
    }
}

/// A time in seconds since 1970 as a date in UTC.
pub(super) fn date(seconds: u64) -> String {
    // The library knows dates up to the year 9999.
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// A value that only the two ends of a TLS session know.
pub(super) fn binding(stream: &TlsStream<TcpStream>) -> Result<Vec<u8>> {
    let exported = match stream {
        TlsStream::Client(stream) => stream
            .get_ref()
            .1
            .export_keying_material([0; 32], BINDING, None),
        TlsStream::Server(stream) => stream
            .get_ref()
            .1
            .export_keying_material([0; 32], BINDING, None),
    };
    Ok(exported.context("agreeing on TLS")?.to_vec())
}

/// The peer's certificate.
pub(super) fn certificate_of(stream: &TlsStream<TcpStream>) -> Result<CertificateDer<'static>> {
    let chain = stream.get_ref().1.peer_certificates();
    let first = chain.and_then(|chain| chain.first());
    Ok(first
        .context("the peer presented no certificate")?
        .clone()
        .into_owned())
}

/// Whether a certificate names a node.
pub(super) fn names(certificate: &CertificateDer<'_>, node: &str) -> Result<(), String> {
    let wrong = || format!("the peer certificate does not name {node}");
    let name = ServerName::try_from(node).map_err(|_| wrong())?;
    let parsed = ParsedCertificate::try_from(certificate).map_err(|_| wrong())?;
    verify_server_name(&parsed, &name).map_err(|_| wrong())
}

/// Refuses every connection: what ractor_cluster opens for itself is not used.
pub(super) fn nobody() -> Result<TlsAcceptor> {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(NoCertificate));
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// Accepts the certificate of any node that the authority vouches for; the name is compared in the handshake.
#[derive(Debug)]
struct AnyNode {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyNode {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
