//! A certificate authority to try things with, and certificates for nodes.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::ServerName;
use time::{Duration, OffsetDateTime};

/// The authority's certificate in a folder of certificates.
pub const CA: &str = "cluster-ca.pem";

/// Makes an authority, and for each node a certificate (`NODE.pem`) and a key (`NODE.key`), valid for so many days. Returns the files.
///
/// # Errors
/// When a name cannot be in a certificate, or a file is there already or cannot be written.
pub fn make(folder: &Path, nodes: &[String], days: u32) -> Result<Vec<PathBuf>> {
    for node in nodes {
        ensure!(
            ServerName::try_from(node.as_str()).is_ok(),
            "{node} cannot be in a certificate: each part of a name has at most 63 letters, digits, dashes"
        );
    }
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let issuer = authority(days)?;
    let mut files = vec![(folder.join(CA), issuer.pem(), false)];
    for node in nodes {
        let key = KeyPair::generate()?;
        let certificate = node_params(node, days)?.signed_by(&key, &issuer)?;
        files.push((folder.join(format!("{node}.pem")), certificate.pem(), false));
        files.push((
            folder.join(format!("{node}.key")),
            key.serialize_pem(),
            true,
        ));
    }
    // The authority's key is not kept: whoever needs another node makes all of them anew, or has an authority of their own.
    let mut written = Vec::with_capacity(files.len());
    for (path, text, secret) in files {
        write(&path, &text, secret)?;
        written.push(path);
    }
    Ok(written)
}

fn authority(days: u32) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = valid_for(CertificateParams::default(), days);
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "babelmesh cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A node dials and is dialled: its certificate is good for both.
fn node_params(node: &str, days: u32) -> Result<CertificateParams> {
    let mut params = valid_for(CertificateParams::new(vec![node.to_owned()])?, days);
    params.distinguished_name.push(DnType::CommonName, node);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

fn valid_for(mut params: CertificateParams, days: u32) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    // Clocks of nodes differ a little.
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(i64::from(days));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

fn write(path: &Path, text: &str, secret: bool) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(if secret { 0o600 } else { 0o644 })
        .open(path)
        .with_context(writing)?;
    file.write_all(text.as_bytes()).with_context(writing)
}
