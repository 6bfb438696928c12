//! The node's certificate: read with its key and its authorities, and read again when a file changes.
//!
//! Connections that exist keep what they were made with; the next ones use what was read last. A file that cannot be used changes nothing.

use std::{
    fs,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow, ensure};
use babelmesh_telemetry::events::NodeEvent;
use rustls::{
    CertificateError, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use sha2::{Digest, Sha256};

use super::{
    config::TlsConfig,
    tls::{self, Credentials, Tls},
};

const DAY: u64 = 24 * 60 * 60;

/// The certificate as it was read last.
struct Current {
    /// Hash of the files.
    version: [u8; 32],
    tls: Tls,
    /// When the first certificate of the chain expires, in seconds since 1970.
    not_after: u64,
}

/// The node's certificate. It is never absent: an unreadable file does not replace it.
pub(super) struct Certificate {
    config: TlsConfig,
    node: String,
    current: RwLock<Arc<Current>>,
}

/// How long a certificate is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    /// Longer than the warning period.
    Good,
    /// For this many days.
    Ends(u64),
    /// Expired.
    Over,
}

impl Validity {
    /// Of a certificate that expires at `not_after`, at the time `now`, both in seconds since 1970.
    pub(super) const fn of(not_after: u64, now: u64, warning_days: u32) -> Self {
        if not_after < now {
            return Self::Over;
        }
        let days = (not_after - now) / DAY;
        if days < warning_days as u64 {
            Self::Ends(days)
        } else {
            Self::Good
        }
    }
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, the key is another certificate's, or the certificate has expired.
    pub(super) fn load(config: &TlsConfig, node: &str) -> Result<Self> {
        let current = Current::read(config)?.1?;
        current.check_expiry(config, now())?;
        Ok(Self {
            config: config.clone(),
            node: node.to_owned(),
            current: RwLock::new(Arc::new(current)),
        })
    }

    /// TLS state for new connections.
    pub(super) fn tls(&self) -> Tls {
        self.current().tls.clone()
    }

    /// When it expires, in seconds since 1970.
    pub(super) fn not_after(&self) -> u64 {
        self.current().not_after
    }

    /// Current warnings for operators.
    pub(super) fn warning(&self) -> Option<String> {
        let date = tls::date(self.not_after());
        match self.validity() {
            Validity::Good => None,
            Validity::Ends(days) => Some(format!(
                "the certificate of this node expires in {days} days, at {date}"
            )),
            Validity::Over => Some(format!("the certificate of this node expired at {date}")),
        }
    }

    fn validity(&self) -> Validity {
        Validity::of(self.not_after(), now(), self.config.expiry_warning_days)
    }

    fn current(&self) -> Arc<Current> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// Reads the files again if they have changed; whether they had.
    ///
    /// # Errors
    /// Why what they hold now is not used.
    pub(super) fn reload(&self) -> Result<bool> {
        let (version, read) = Current::read(&self.config)?;
        if version == self.current().version {
            return Ok(false);
        }
        let read = read?;
        read.check_expiry(&self.config, now())?;
        tls::names(&read.end_entity()?, &self.node).map_err(|wrong| anyhow!(wrong))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
        Ok(true)
    }

    /// Looks at the files from now on, and warns of the expiry once a day.
    pub(super) async fn watch(self: Arc<Self>) {
        let interval = Duration::from_millis(self.config.reload_interval_ms);
        let mut warned: Option<Instant> = None;
        loop {
            let due = warned.is_none_or(|at| at.elapsed() >= Duration::from_secs(DAY));
            if due && let Some(warning) = self.warning() {
                NodeEvent::CertificateExpires { warning: &warning }.emit();
                warned = Some(Instant::now());
            }
            tokio::time::sleep(interval).await;
            let this = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || this.reload()).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    let expires = tls::date(self.not_after());
                    NodeEvent::CertificateReloaded { expires: &expires }.emit();
                    warned = None;
                }
                Ok(Err(error)) => {
                    let error = format!("{error:#}");
                    NodeEvent::CertificateUnusable { error: &error }.emit();
                }
                // The node ends.
                Err(_) => return,
            }
        }
    }
}

impl Current {
    /// The version of the files, and what they hold.
    fn read(config: &TlsConfig) -> Result<([u8; 32], Result<Self>)> {
        let (ca, certificate, key) = config
            .files()
            .context("cluster.tls names no certificates")?;
        let bytes = |file: &Path| fs::read(file).with_context(|| reading(file));
        let held = [bytes(ca)?, bytes(certificate)?, bytes(key)?];
        let mut hash = Sha256::new();
        for bytes in &held {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        let version = hash.finalize().into();
        Ok((version, Self::parse(config, version, &held)))
    }

    fn parse(config: &TlsConfig, version: [u8; 32], held: &[Vec<u8>; 3]) -> Result<Self> {
        let (ca, certificate, key) = config
            .files()
            .context("cluster.tls names no certificates")?;
        let [ca_bytes, certificate_bytes, key_bytes] = held;
        let mut roots = RootCertStore::empty();
        for authority in certificates(ca, ca_bytes)? {
            roots.add(authority).with_context(|| reading(ca))?;
        }
        let chain = certificates(certificate, certificate_bytes)?;
        let key = PrivateKeyDer::from_pem_slice(key_bytes).with_context(|| reading(key))?;
        let mut not_after = u64::MAX;
        for link in &chain {
            not_after = not_after.min(expiry(link).with_context(|| reading(certificate))?);
        }
        let credentials = Credentials {
            roots: Arc::new(roots),
            chain,
            key,
        };
        let using = || {
            format!(
                "using the certificate {} and its key",
                certificate.display()
            )
        };
        let tls = Tls::new(credentials).with_context(using)?;
        Ok(Self {
            version,
            tls,
            not_after,
        })
    }

    fn end_entity(&self) -> Result<CertificateDer<'static>> {
        let first = self.tls.chain().first();
        Ok(first.context("there is no certificate")?.clone())
    }

    fn check_expiry(&self, config: &TlsConfig, now: u64) -> Result<()> {
        let file = config.certificate_file.as_deref().unwrap_or(Path::new(""));
        ensure!(
            Validity::of(self.not_after, now, 0) != Validity::Over,
            "the certificate {} expired at {}; replace it and its key (remove both files, then `babelmesh cluster certs --out DIR --add NODE`, if they were created that way)",
            file.display(),
            tls::date(self.not_after)
        );
        Ok(())
    }
}

fn reading(file: &Path) -> String {
    format!("reading {}", file.display())
}

fn certificates(file: &Path, held: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(held)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| reading(file))?;
    ensure!(
        !found.is_empty(),
        "reading {}: no certificate found",
        file.display()
    );
    Ok(found)
}

/// When a certificate expires, in seconds since 1970.
fn expiry(certificate: &CertificateDer<'_>) -> Result<u64> {
    // The library reports the expiry only in the error for an expired certificate, and checks times first: at the end of time, every certificate has
    // expired.
    let never = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let parsed = ParsedCertificate::try_from(certificate).context("it is not a certificate")?;
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let refused = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &RootCertStore::empty(),
        &[],
        never,
        algorithms.all,
    );
    match refused {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after,
            ..
        })) => Ok(not_after.as_secs()),
        Err(error) => Err(anyhow::Error::new(error).context("it is not a certificate")),
        Ok(()) => Err(anyhow!("it never expires")),
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
