//! A client that downloads lists and files, from http, https and file addresses.
//!
//! `hf-hub` would do for the Hub, but it resumes nothing across processes, has no bounds of size or time per read, and brings a second HTTP client:
//! the Hub's addresses are documented and few, so one client serves both sources.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use ureq::{
    Agent, Body,
    http::{Response, StatusCode, header},
    tls::{Certificate, RootCerts, TlsConfig},
};

use babelmesh_models::remote::records;

use crate::config::{FetchConfig, Secret};

const BLOCK: usize = 64 << 10;
/// Most pages of a list: a server that names one after the other without an end is not followed.
const MAX_PAGES: usize = 1_000;
/// Longest `Retry-After` that is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    /// The server does not have it.
    #[error("{url}: not found")]
    NotFound { url: String },
    /// The server refuses it.
    #[error("{url}: the server answered {status}{}", hint(*status))]
    Refused { url: String, status: StatusCode },
    /// The server cannot be reached, or not for long enough.
    #[error("{url}: {reason} ({attempts} attempt(s))")]
    Unreachable {
        url: String,
        reason: String,
        attempts: u16,
    },
    /// It is not what it should be.
    #[error("{url}: {reason}")]
    Unusable { url: String, reason: String },
    /// It is larger than it may be.
    #[error("{url}: larger than {limit} bytes ({key})")]
    TooLarge {
        url: String,
        limit: u64,
        key: &'static str,
    },
    /// A local file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Local { path: PathBuf, source: io::Error },
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; is a token missing?",
        _ => "",
    }
}

/// Why one attempt failed.
enum Failure {
    /// The next attempt may succeed; after the delay, if the server names one.
    Again(String, Option<Duration>),
    Final(DownloadError),
}

/// A size that nothing may pass, and its key in the configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) bytes: u64,
    pub(super) key: &'static str,
}

/// The client. It sends its token to one server only.
pub(super) struct Client {
    agent: Agent,
    token: Option<Secret>,
    server: String,
    attempts: u16,
    backoff: Duration,
    max_backoff: Duration,
}

impl Client {
    pub(super) fn new(config: &FetchConfig, server: &str, token: Option<Secret>) -> Self {
        let timeout = Duration::from_millis(config.timeout_ms);
        let native = rustls_native_certs::load_native_certs().certs;
        let roots = match native.is_empty() {
            true => RootCerts::WebPki,
            false => {
                let certificates = native
                    .iter()
                    .map(|der| Certificate::from_der(der).to_owned());
                RootCerts::new_with_certs(&certificates.collect::<Vec<_>>())
            }
        };
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .root_certs(roots)
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .user_agent(concat!("babelmesh/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_connect(Some(timeout))
            .timeout_resolve(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .timeout_per_read(Some(timeout))
            .build()
            .new_agent();
        Self {
            agent,
            token,
            server: server.trim_end_matches('/').to_owned(),
            attempts: config.attempts,
            backoff: Duration::from_millis(config.initial_backoff_ms),
            max_backoff: Duration::from_millis(config.max_backoff_ms),
        }
    }

    /// Downloads a list. Where the server gives it out in pages, as Kinto does with the header `Next-Page`, they are joined; `limit` is that of all
    /// pages together.
    pub(super) fn list(&self, url: &str, limit: Limit) -> Result<Vec<u8>, DownloadError> {
        if let Some(path) = url.strip_prefix("file://") {
            return read_local(url, Path::new(path), limit);
        }
        let (first, mut next) = self.page(url, limit)?;
        let (mut pages, mut total) = (vec![first], 0);
        while let Some(page) = next {
            total += pages.last().map_or(0, Vec::len) as u64;
            let unusable = |reason: &str| DownloadError::Unusable {
                url: url.to_owned(),
                reason: reason.to_owned(),
            };
            if !is_below(&page, &self.server) {
                return Err(unusable("its next page is on another server"));
            }
            let left = limit.bytes.saturating_sub(total);
            if pages.len() >= MAX_PAGES || left == 0 {
                return Err(larger(url, limit));
            }
            let (bytes, after) = self.page(
                &page,
                Limit {
                    bytes: left,
                    ..limit
                },
            )?;
            pages.push(bytes);
            next = after;
        }
        match pages.as_slice() {
            [_] => Ok(pages.swap_remove(0)),
            pages => records::join(pages.iter().map(Vec::as_slice)).map_err(|reason| {
                let url = url.to_owned();
                DownloadError::Unusable { url, reason }
            }),
        }
    }

    /// Downloads a page of a list, and tells where the next one is.
    fn page(&self, url: &str, limit: Limit) -> Result<(Vec<u8>, Option<String>), DownloadError> {
        self.retry(url, || {
            let mut response = self.get(url, 0)?;
            let next = response.headers().get("next-page");
            let next = next.map(|next| String::from_utf8_lossy(next.as_bytes()).into_owned());
            let mut bytes = Vec::new();
            let mut body = response
                .body_mut()
                .as_reader()
                .take(limit.bytes.saturating_add(1));
            body.read_to_end(&mut bytes).map_err(again)?;
            match bytes.len() as u64 > limit.bytes {
                true => Err(too_large(url, limit)),
                false => Ok((bytes, next.clone())),
            }
        })
    }

    /// Downloads a file, going on where an earlier attempt ended. `progress` is told of bytes that have arrived, and of the bytes that were there.
    pub(super) fn file(
        &self,
        url: &str,
        to: &Path,
        limit: Limit,
        progress: &dyn Fn(u64),
    ) -> Result<(), DownloadError> {
        let mut file = open(to)?;
        if let Some(path) = url.strip_prefix("file://") {
            return copy_local(url, Path::new(path), &mut file, (to, limit), progress);
        }
        progress(length(&file, to)?);
        self.retry(url, || self.attempt(url, &mut file, (to, limit), progress))
    }

    fn attempt(
        &self,
        url: &str,
        file: &mut File,
        (to, limit): (&Path, Limit),
        progress: &dyn Fn(u64),
    ) -> Result<(), Failure> {
        let have = length(file, to).map_err(Failure::Final)?;
        let local = |source| Failure::Final(local(to, source));
        let mut response = self.get(url, have)?;
        let mut written = match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response, have) => have,
            // It is complete, or of another version: the checksum tells.
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(()),
            _ => {
                file.set_len(0).map_err(local)?;
                0
            }
        };
        file.seek(SeekFrom::Start(written)).map_err(local)?;
        let mut body = response.body_mut().as_reader();
        let mut block = vec![0; BLOCK];
        loop {
            let read = body.read(&mut block).map_err(again)?;
            if read == 0 {
                return Ok(());
            }
            written += read as u64;
            if written > limit.bytes {
                file.set_len(0).map_err(local)?;
                return Err(too_large(url, limit));
            }
            file.write_all(&block[..read]).map_err(local)?;
            progress(read as u64);
        }
    }

    fn get(&self, url: &str, from: u64) -> Result<Response<Body>, Failure> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        if let Some(token) = self.token.as_ref().filter(|_| is_below(url, &self.server)) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let response = request.call().map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::TooManyRedirects => {
                Failure::Final(DownloadError::Unreachable {
                    url: url.to_owned(),
                    reason: error.to_string(),
                    attempts: 1,
                })
            }
            error => Failure::Again(error.to_string(), None),
        })?;
        let status = response.status();
        let url = url.to_owned();
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE
                if from > 0 =>
            {
                Ok(response)
            }
            StatusCode::OK => Ok(response),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                Err(Failure::Final(DownloadError::NotFound { url }))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(Failure::Again(answered(status), retry_after(&response)))
            }
            status if status.is_server_error() => {
                Err(Failure::Again(answered(status), retry_after(&response)))
            }
            status => Err(Failure::Final(DownloadError::Refused { url, status })),
        }
    }

    fn retry<T>(
        &self,
        url: &str,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, DownloadError> {
        let mut backoff = self.backoff;
        for number in 1.. {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(reason, _)) if number >= self.attempts => {
                    return Err(DownloadError::Unreachable {
                        url: url.to_owned(),
                        reason,
                        attempts: number,
                    });
                }
                Err(Failure::Again(_, after)) => {
                    let delay = backoff.min(self.max_backoff);
                    thread::sleep(after.map_or(delay, |after| {
                        after.clamp(delay, MAX_RETRY_AFTER.max(delay))
                    }));
                    backoff = backoff.saturating_mul(2);
                }
            }
        }
        unreachable!("attempts are counted")
    }
}

/// Whether an address is on a server, and not on one whose name begins like it.
fn is_below(url: &str, server: &str) -> bool {
    url.strip_prefix(server)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn answered(status: StatusCode) -> String {
    format!("the server answered {status}")
}

fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

fn starts_at(response: &Response<Body>, from: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}

fn again(error: io::Error) -> Failure {
    Failure::Again(error.to_string(), None)
}

fn too_large(url: &str, limit: Limit) -> Failure {
    Failure::Final(larger(url, limit))
}

fn larger(url: &str, limit: Limit) -> DownloadError {
    DownloadError::TooLarge {
        url: url.to_owned(),
        limit: limit.bytes,
        key: limit.key,
    }
}

fn local(path: &Path, source: io::Error) -> DownloadError {
    DownloadError::Local {
        path: path.to_owned(),
        source,
    }
}

/// Opens a file that may be there in part.
fn open(path: &Path) -> Result<File, DownloadError> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let file = file.map_err(|source| local(path, source))?;
    Ok(file)
}

fn length(file: &File, path: &Path) -> Result<u64, DownloadError> {
    let metadata = file.metadata().map_err(|source| local(path, source))?;
    Ok(metadata.len())
}

fn read_local(url: &str, path: &Path, limit: Limit) -> Result<Vec<u8>, DownloadError> {
    let file = open_local(url, path)?;
    let mut bytes = Vec::new();
    let mut file = file.take(limit.bytes.saturating_add(1));
    file.read_to_end(&mut bytes)
        .map_err(|source| local(path, source))?;
    match bytes.len() as u64 > limit.bytes {
        true => Err(larger(url, limit)),
        false => Ok(bytes),
    }
}

fn copy_local(
    url: &str,
    path: &Path,
    file: &mut File,
    (to, limit): (&Path, Limit),
    progress: &dyn Fn(u64),
) -> Result<(), DownloadError> {
    let source = open_local(url, path)?;
    if length(&source, path)? > limit.bytes {
        return Err(larger(url, limit));
    }
    file.set_len(0).map_err(|source| local(to, source))?;
    let copied = io::copy(&mut source.take(limit.bytes), file);
    progress(copied.map_err(|source| local(to, source))?);
    Ok(())
}

fn open_local(url: &str, path: &Path) -> Result<File, DownloadError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            File::open(path).map_err(|source| local(path, source))
        }
        _ => Err(DownloadError::NotFound {
            url: url.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_its_own_server_only() {
        let server = "https://models.example";
        assert!(is_below("https://models.example/v1/", server));
        for url in [
            "https://models.example.evil/v1/",
            "https://models.example@evil/",
            "http://models.example/v1/",
            "https://cdn.example/",
        ] {
            assert!(!is_below(url, server), "{url}");
        }
    }
}
