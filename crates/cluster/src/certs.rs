//! The cluster's own certificate authority, and node certificates.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use time::{Duration, OffsetDateTime};

/// The authority's certificate in a folder of certificates.
pub const CA: &str = "cluster-ca.pem";
/// The authority's key. It can issue certificates for any node: no node needs it.
pub const CA_KEY: &str = "cluster-ca.key";
/// The secret that all nodes share.
pub const COOKIE: &str = "cookie";

/// Days for which an authority is valid, unless a certificate is valid for longer.
const AUTHORITY_DAYS: u32 = 3_650;

/// A file to be written.
struct Output {
    path: PathBuf,
    text: String,
    secret: bool,
}

/// Makes an authority, a cookie, and for each node a certificate (`NODE.pem`) and a key (`NODE.key`), valid for so many days. Keys and the
/// cookie are readable for their owner only. Returns the files.
///
/// # Errors
/// When a name cannot be in a certificate, or a file exists already (then none is written) or cannot be written.
pub fn make(folder: &Path, nodes: &[String], days: u32) -> Result<Vec<PathBuf>> {
    check_names(nodes)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("making {}", folder.display()))?;
    let key = KeyPair::generate()?;
    let params = authority(days.max(AUTHORITY_DAYS));
    let (certificate, key_text) = (params.self_signed(&key)?, key.serialize_pem());
    let issuer = Issuer::new(params, key);
    let mut files = vec![
        public(folder.join(CA), certificate.pem()),
        secret(folder.join(CA_KEY), key_text),
    ];
    files.extend(issue(folder, &issuer, nodes, days)?);
    // Written last: if this file exists, so do the others.
    let cookie: [u8; 32] = rand::random();
    let cookie: String = cookie.iter().map(|byte| format!("{byte:02x}")).collect();
    files.push(secret(folder.join(COOKIE), cookie + "\n"));
    write_all(files)
}

/// Makes certificates and keys of further nodes with the authority of a folder that [`make`] wrote. No other file changes. Returns the files.
///
/// # Errors
/// When the folder has no authority with its key, or another tool made it, and those of [`make`].
pub fn add(folder: &Path, nodes: &[String], days: u32) -> Result<Vec<PathBuf>> {
    check_names(nodes)?;
    let path = folder.join(CA);
    let certificate = CertificateDer::from_pem_file(&path)
        .with_context(|| format!("reading {}", path.display()))?;
    let path = folder.join(CA_KEY);
    let key = fs::read_to_string(&path).with_context(|| {
        format!(
            "reading the authority's key {}: without it no certificate can be added",
            path.display()
        )
    })?;
    let key = KeyPair::from_pem(&key).with_context(|| format!("reading {}", path.display()))?;
    let issuer = Issuer::new(authority(AUTHORITY_DAYS), key);
    check_issuer(&issuer, &certificate).with_context(|| {
        format!(
            "{} does not match the authority's key, or was not created by this command",
            folder.join(CA).display()
        )
    })?;
    write_all(issue(folder, &issuer, nodes, days)?)
}

/// Makes sure that an authority's certificate vouches for what its issuer signs.
fn check_issuer(issuer: &Issuer<'_, KeyPair>, authority: &CertificateDer<'_>) -> Result<()> {
    let sample = node_params("sample", 1)?.signed_by(&KeyPair::generate()?, issuer)?;
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned())?;
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let sample = ParsedCertificate::try_from(sample.der())?;
    verify_server_cert_signed_by_trust_anchor(
        &sample,
        &roots,
        &[],
        UnixTime::now(),
        algorithms.all,
    )?;
    Ok(())
}

fn check_names(nodes: &[String]) -> Result<()> {
    for (number, node) in nodes.iter().enumerate() {
        ensure!(
            ServerName::try_from(node.as_str()).is_ok(),
            "invalid node name {node}: each label may have at most 63 letters, digits and dashes"
        );
        ensure!(
            format!("{node}.pem") != CA,
            "invalid node name {node}: its files would overwrite the authority's"
        );
        ensure!(!nodes[..number].contains(node), "{node} is named twice");
    }
    Ok(())
}

fn issue(
    folder: &Path,
    issuer: &Issuer<'_, KeyPair>,
    nodes: &[String],
    days: u32,
) -> Result<Vec<Output>> {
    let mut files = Vec::with_capacity(2 * nodes.len());
    for node in nodes {
        let key = KeyPair::generate()?;
        let certificate = node_params(node, days)?.signed_by(&key, issuer)?;
        files.push(public(
            folder.join(format!("{node}.pem")),
            certificate.pem(),
        ));
        files.push(secret(
            folder.join(format!("{node}.key")),
            key.serialize_pem(),
        ));
    }
    Ok(files)
}

const fn public(path: PathBuf, text: String) -> Output {
    Output {
        path,
        text,
        secret: false,
    }
}

const fn secret(path: PathBuf, text: String) -> Output {
    Output {
        path,
        text,
        secret: true,
    }
}

/// Writes files, all of them or none where one exists already.
fn write_all(files: Vec<Output>) -> Result<Vec<PathBuf>> {
    for file in &files {
        if fs::symlink_metadata(&file.path).is_ok() {
            bail!("{} already exists", file.path.display());
        }
    }
    let mut written = Vec::with_capacity(files.len());
    for file in files {
        write(&file.path, &file.text, file.secret)?;
        written.push(file.path);
    }
    Ok(written)
}

fn authority(days: u32) -> CertificateParams {
    let mut params = valid_for(CertificateParams::default(), days);
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "babelmesh cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

    use super::*;

    fn names(nodes: &[&str]) -> Vec<String> {
        nodes.iter().map(|node| (*node).to_owned()).collect()
    }

    /// Files by name, each with its mode and text.
    fn files(folder: &Path) -> BTreeMap<String, (u32, String)> {
        let entries = fs::read_dir(folder).unwrap();
        let file = |entry: fs::DirEntry| {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let text = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), (mode, text))
        };
        entries.map(|entry| file(entry.unwrap())).collect()
    }

    #[test]
    fn keys_and_the_cookie_are_for_their_owner_only() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("certs");
        make(&folder, &names(&["one", "two"]), 1).unwrap();
        let modes: Vec<(String, u32)> = files(&folder)
            .into_iter()
            .map(|(name, (mode, _))| (name, mode))
            .collect();
        let expected = [
            (CA_KEY, 0o600),
            (CA, 0o644),
            (COOKIE, 0o600),
            ("one.key", 0o600),
            ("one.pem", 0o644),
            ("two.key", 0o600),
            ("two.pem", 0o644),
        ];
        assert_eq!(modes, expected.map(|(name, mode)| (name.to_owned(), mode)));
        let mode = fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
        let cookie = &files(&folder)[COOKIE].1;
        assert!(cookie.trim_end().len() == 64, "{cookie}");
    }

    #[test]
    fn a_node_is_added_and_the_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), &names(&["one"]), 1).unwrap();
        let before = files(folder.path());
        let written = add(folder.path(), &names(&["two"]), 1).unwrap();
        assert_eq!(written.len(), 2);
        let mut after = files(folder.path());
        assert_eq!(after.remove("two.key").unwrap().0, 0o600);
        let added = after.remove("two.pem").unwrap().1;
        assert_eq!(after, before);
        // The authority vouches for it.
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(folder.path().join(CA)).unwrap();
        roots.add(authority).unwrap();
        let added = CertificateDer::from_pem_slice(added.as_bytes()).unwrap();
        let parsed = ParsedCertificate::try_from(&added).unwrap();
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &roots,
            &[],
            UnixTime::now(),
            algorithms.all,
        )
        .unwrap();
    }

    #[test]
    fn nothing_is_replaced_and_nothing_is_left_half_done() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), &names(&["one"]), 1).unwrap();
        let before = files(folder.path());
        for error in [
            make(folder.path(), &names(&["two"]), 1).unwrap_err(),
            add(folder.path(), &names(&["three", "one"]), 1).unwrap_err(),
        ] {
            assert!(format!("{error:#}").contains("already exists"), "{error:#}");
        }
        for wrong in [
            &["cluster-ca"][..],
            &["a", "a"],
            &["no spaces"],
            &["../one"],
        ] {
            add(folder.path(), &names(wrong), 1).unwrap_err();
        }
        assert_eq!(files(folder.path()), before);
        // The key of another authority.
        let other = tempfile::tempdir().unwrap();
        make(other.path(), &names(&["one"]), 1).unwrap();
        fs::copy(other.path().join(CA_KEY), folder.path().join(CA_KEY)).unwrap();
        let error = add(folder.path(), &names(&["two"]), 1).unwrap_err();
        assert!(
            format!("{error:#}").contains("does not match the authority"),
            "{error:#}"
        );
        fs::remove_file(folder.path().join(CA_KEY)).unwrap();
        let error = add(folder.path(), &names(&["two"]), 1).unwrap_err();
        assert!(format!("{error:#}").contains(CA_KEY), "{error:#}");
    }
}
