//! Errors, in the format of each API.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
};
use babelmesh_actors::domain::{ErrorCode, RequestError};
use serde_json::json;

/// The form of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `{"error": "…"}`
    LibreTranslate,
    /// `{"message": "…"}`
    DeepL,
    /// `{"detail": "…", "code": "…"}`
    Meeshy,
}

impl Dialect {
    /// The form that clients of a path expect.
    pub(super) fn of(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("v2" | "v3") => Self::DeepL,
            _ if matches!(path, "/translate/batch" | "/models") => Self::Meeshy,
            _ => Self::LibreTranslate,
        }
    }

    /// The status of a request without the key that is needed.
    pub(super) const fn missing_key(self) -> StatusCode {
        match self {
            Self::LibreTranslate => StatusCode::BAD_REQUEST,
            Self::DeepL | Self::Meeshy => StatusCode::FORBIDDEN,
        }
    }

    /// The parameter that holds the API key, where no header does.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::LibreTranslate | Self::Meeshy => "api_key",
            Self::DeepL => "auth_key",
        }
    }
}

/// Why a request is not answered as it wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// Retry-After, in seconds.
    pub(super) retry_after: Option<u64>,
    code: Option<ErrorCode>,
    /// Whether this client asked too often, rather than the node being busy.
    is_rate_limit: bool,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
            code: None,
            is_rate_limit: false,
        }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn missing(name: &str) -> Self {
        Self::bad(format!("Invalid request: missing {name} parameter"))
    }

    pub(super) fn too_many(message: &str, retry_after: u64) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, message)
        }
    }

    /// A client asked more often than it may.
    pub(super) fn slow_down(retry_after: u64) -> Self {
        Self {
            is_rate_limit: true,
            ..Self::too_many("too many requests", retry_after)
        }
    }

    /// The kind of error that the actors told, if it was they.
    pub(super) const fn code(&self) -> Option<ErrorCode> {
        self.code
    }

    pub(super) fn ending() -> Self {
        Self::unavailable("The node is shutting down")
    }

    /// Transient unavailability.
    pub(super) fn unavailable(why: &str) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }

    /// Whether this node lacks a working model, so that another node may succeed.
    pub(super) fn is_worth_another_node(&self) -> bool {
        let lacking = matches!(
            self.code,
            Some(ErrorCode::UnsupportedPair | ErrorCode::UnsupportedLanguage)
        );
        lacking || self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    pub(super) fn response(&self, dialect: Dialect) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        let message = &self.message;
        response.json(match dialect {
            Dialect::LibreTranslate if self.is_rate_limit => {
                json!({"error": format!("Slowdown: {message}")})
            }
            Dialect::LibreTranslate => json!({"error": message}),
            Dialect::DeepL => json!({"message": message}),
            Dialect::Meeshy => json!({"detail": message, "code": self.code.map(ErrorCode::name)}),
        })
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let status = match error.code {
            ErrorCode::TextTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            ErrorCode::ModelUnavailable
            | ErrorCode::ShuttingDown
            | ErrorCode::GlossariesUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::UnknownGlossary => StatusCode::NOT_FOUND,
            ErrorCode::PoisonText
            | ErrorCode::EngineFailed
            | ErrorCode::ResultTooLarge
            | ErrorCode::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        Self {
            status,
            retry_after: error.code.retriable().then_some(1),
            code: Some(error.code),
            message: error.message,
            is_rate_limit: false,
        }
    }
}
