//! The HTTP client of the endpoint: single attempts, bounded in time and size.

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use babelmesh_models::manifest::Endpoint;
use babelmesh_settings::Secret;
use ureq::{
    Agent, Body,
    http::{HeaderValue, Response, StatusCode, header},
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{
    retry::retry_after,
    wire::{self, ChatRequest, Completion},
};

/// Why an attempt failed. No text of a segment, answer or key is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The next attempt may succeed, after the delay that the server asks for, if it asks for one.
    #[error("{reason}")]
    Transient {
        reason: String,
        after: Option<Duration>,
    },
    /// No request of this engine succeeds until the server or the settings change.
    #[error("{0}")]
    Denied(String),
    /// This request never succeeds.
    #[error("{0}")]
    Rejected(String),
}

impl CallError {
    fn transient(reason: impl Into<String>) -> Self {
        Self::Transient {
            reason: reason.into(),
            after: None,
        }
    }
}

/// Whether the server lists a model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// It does.
    Listed,
    /// It lists others only; some of them.
    Others(Vec<String>),
    /// It has no list.
    None,
}

/// Most models of a server that an error names.
const MAX_NAMED: usize = 10;

/// The client.
pub(crate) struct Client {
    agent: Agent,
    url: String,
    authorization: Option<HeaderValue>,
    max_response: u64,
}

impl Client {
    /// A client of an endpoint. Reads the API key.
    ///
    /// # Errors
    /// When the key cannot be read or cannot be sent; the error does not contain it.
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self, String> {
        let authorization = match &endpoint.api_key_file {
            None => None,
            Some(file) => {
                let within = |reason: String| format!("api_key_file {}: {reason}", file.display());
                let key = Secret::read(file).map_err(|error| within(error.to_string()))?;
                Some(bearer(&key).ok_or_else(|| within("is not an API key in one line".into()))?)
            }
        };
        let agent = Agent::config_builder()
            .tls_config(tls())
            .http_status_as_error(false)
            // A key must not reach another server, and a redirected POST becomes a GET.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("babelmesh/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_idle_connections_per_host(endpoint.concurrency.into())
            .max_idle_connections(endpoint.concurrency.into())
            .build()
            .new_agent();
        Ok(Self {
            agent,
            url: endpoint.url.clone(),
            authorization,
            max_response: u64::from(endpoint.max_response_kb) << 10,
        })
    }

    /// Looks for a model in the server's list.
    pub(crate) fn listing(&self, model: &str, timeout: Duration) -> Result<Listing, CallError> {
        let mut request = self.agent.get(format!("{}/models", self.url));
        if let Some(key) = &self.authorization {
            request = request.header(header::AUTHORIZATION, key);
        }
        let request = request.config().timeout_global(Some(timeout)).build();
        let response = request.call().map_err(failed)?;
        if matches!(
            response.status(),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        ) {
            return Ok(Listing::None);
        }
        let body = self.body(response)?;
        let models = wire::read_models(&body).map_err(CallError::transient)?;
        // Ollama's names have a tag, and one that is left out is this.
        if models.contains(model) || models.contains(&format!("{model}:latest")) {
            return Ok(Listing::Listed);
        }
        let mut others: Vec<String> = models.into_iter().collect();
        others.sort_unstable();
        others.truncate(MAX_NAMED);
        Ok(Listing::Others(others))
    }

    /// Asks for a completion.
    pub(crate) fn complete(
        &self,
        request: &ChatRequest<'_>,
        timeout: Duration,
    ) -> Result<Completion, CallError> {
        let body = serde_json::to_vec(request)
            .map_err(|error| CallError::Rejected(format!("writing the request: {error}")))?;
        let url = format!("{}/chat/completions", self.url);
        let mut post = self.agent.post(url).content_type("application/json");
        if let Some(key) = &self.authorization {
            post = post.header(header::AUTHORIZATION, key);
        }
        let post = post.config().timeout_global(Some(timeout)).build();
        let response = post.send(&body).map_err(failed)?;
        let body = self.body(response)?;
        wire::read_completion(&body).map_err(CallError::transient)
    }

    /// The body of an answer that is a success.
    fn body(&self, mut response: Response<Body>) -> Result<Vec<u8>, CallError> {
        let status = response.status();
        let asked = response.headers().get(header::RETRY_AFTER);
        let asked = asked.and_then(|value| value.to_str().ok());
        let after = asked.and_then(|value| retry_after(value, SystemTime::now()));
        let body = response.body_mut().with_config().limit(self.max_response);
        let body = body.read_to_vec();
        if status == StatusCode::OK {
            return body.map_err(failed);
        }
        // An error is told also if its body cannot be read.
        let code = body.ok().and_then(|body| wire::error_code(&body));
        let code = code.map_or_else(String::new, |code| format!(" ({code})"));
        let reason = format!("the server answered {status}{code}");
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => {
                CallError::Transient { reason, after }
            }
            status if status.is_server_error() => CallError::Transient { reason, after },
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => CallError::Rejected(reason),
            _ => CallError::Denied(reason),
        })
    }
}

/// The header with a key; `None` where it is not one.
fn bearer(key: &Secret) -> Option<HeaderValue> {
    let key = key.expose().trim();
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_graphic()) {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).ok()?;
    // `Debug` does not show it.
    value.set_sensitive(true);
    Some(value)
}

/// The system's certificate authorities, or Mozilla's where there are none.
fn tls() -> TlsConfig {
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
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(provider))
        .root_certs(roots)
        .build()
}

/// An attempt that the library gave up.
fn failed(error: ureq::Error) -> CallError {
    match error {
        ureq::Error::BodyExceedsLimit(limit) => {
            CallError::Rejected(format!("the answer is larger than {} KiB", limit >> 10))
        }
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
            CallError::Denied(error.to_string())
        }
        ureq::Error::Timeout(_) => CallError::transient("the server did not answer in time"),
        ureq::Error::Io(error) if is_size(&error) => CallError::Rejected(error.to_string()),
        error => CallError::transient(error.to_string()),
    }
}

/// Whether an error is that of a body which is too large, inside an error of the system.
fn is_size(error: &io::Error) -> bool {
    let inner = error.get_ref();
    let inner = inner.and_then(|inner| inner.downcast_ref::<ureq::Error>());
    matches!(inner, Some(ureq::Error::BodyExceedsLimit(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_word_and_is_never_shown() {
        let value = bearer(&Secret::from(" sk-secret\n")).unwrap();
        assert_eq!(value.as_bytes(), b"Bearer sk-secret");
        assert!(!format!("{value:?}").contains("secret"));
        for key in ["", "  ", "two words", "two\nlines", "é"] {
            assert!(bearer(&Secret::from(key)).is_none(), "{key:?}");
        }
    }
}
