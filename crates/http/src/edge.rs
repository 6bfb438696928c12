//! Middleware before all handlers: the Host check, path normalisation, and `HEAD`; and the fallback handlers.

use actix_web::{
    Error, FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder,
    body::{BodySize, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse, Url},
    http::{
        Method, StatusCode, Uri,
        header::{self, HeaderValue},
    },
    middleware::Next,
    web::{self, Data},
};

use super::{
    error::{ApiError, Dialect},
    state::Api,
};

/// The path with one slash where there are several, and none at its end; `None` if it is so already. The pages under `/docs/` keep theirs.
fn normalised(path: &str) -> Option<String> {
    let mut clean = String::with_capacity(path.len());
    for letter in path.chars() {
        if !(letter == '/' && clean.ends_with('/')) {
            clean.push(letter);
        }
    }
    if clean == "/docs" {
        clean.push('/');
    } else if clean.len() > 1 && clean.ends_with('/') && clean != "/docs/" {
        clean.pop();
    }
    (clean != path).then_some(clean)
}

fn normalise(request: &mut ServiceRequest) {
    let uri = &request.head().uri;
    let Some(path) = normalised(uri.path()) else {
        return;
    };
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    // The target alone: nothing after this reads the scheme or the authority.
    let Ok(uri) = target.parse::<Uri>() else {
        return;
    };
    request.match_info_mut().set(Url::new(uri.clone()));
    request.head_mut().uri = uri;
}

/// Longest target of a request, path and query, in bytes. The parser of heads refuses those from 64 KiB on, without a body.
const MAX_TARGET_BYTES: usize = 32 << 10;

/// Why no handler may see a request.
fn refusal(request: &ServiceRequest) -> Option<ApiError> {
    let uri = &request.head().uri;
    let length = uri.path().len() + uri.query().map_or(0, str::len);
    if length > MAX_TARGET_BYTES {
        let message = format!("The target of the request exceeds {MAX_TARGET_BYTES} bytes");
        return Some(ApiError::new(StatusCode::URI_TOO_LONG, message));
    }
    let api = request.app_data::<Data<Api>>()?;
    let host = request.headers().get(header::HOST);
    // A target in absolute form names a host too, and counts more than the header.
    let target = uri.host().map(str::as_bytes);
    let names = [host.map(HeaderValue::as_bytes), target];
    let is_allowed = names.into_iter().all(|name| api.hosts.allows(name));
    (!is_allowed).then(|| {
        let message = "The host name is not allowed; the operator can add it to http.allowed_hosts";
        ApiError::new(StatusCode::FORBIDDEN, message)
    })
}

/// The API's form of an error that was answered without a body, by an extractor or a handler of a library.
fn described<B: MessageBody>(
    response: ServiceResponse<B>,
    dialect: Dialect,
) -> ServiceResponse<EitherBody<B>> {
    let status = response.status();
    let is_bare = matches!(
        response.response().body().size(),
        BodySize::None | BodySize::Sized(0)
    );
    if !is_bare || !(status.is_client_error() || status.is_server_error()) {
        return response.map_into_left_body();
    }
    let reason = status.canonical_reason().unwrap_or("Error");
    let error = ApiError::new(status, reason).response(dialect);
    let kind = error.headers().get(header::CONTENT_TYPE).cloned();
    let mut response = response.map_body(|_, _| EitherBody::right(error.into_body()));
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// Checks and prepares a request, and completes its answer.
pub(super) async fn prepared(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    // Normalising drops the host of a target in absolute form.
    let refused = refusal(&request);
    normalise(&mut request);
    let dialect = Dialect::of(request.path());
    if let Some(refused) = refused {
        let response = refused.response(dialect);
        return Ok(with_charset(request.into_response(response)).map_into_right_body());
    }
    // The connection sends no body after HEAD, whatever the handler returns.
    if *request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    let response = next.call(request).await?;
    let response = described(response, dialect);
    Ok(with_charset(response).map_into_left_body())
}

/// Clients that read a body without a charset as Latin-1 would garble JSON.
fn with_charset<B>(mut response: ServiceResponse<B>) -> ServiceResponse<B> {
    let headers = response.headers_mut();
    if let Some(kind) = headers.get_mut(header::CONTENT_TYPE)
        && kind.as_bytes() == b"application/json"
    {
        *kind = HeaderValue::from_static("application/json; charset=utf-8");
    }
    response
}

/// A resource that is read.
pub(super) fn get<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    at(path, "GET, HEAD, OPTIONS").route(web::get().to(handler))
}

/// A resource that is posted to.
pub(super) fn post<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    at(path, "POST, OPTIONS").route(web::post().to(handler))
}

/// A resource that is read, by either method.
pub(super) fn get_or_post<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    at(path, "GET, HEAD, POST, OPTIONS")
        .route(web::get().to(handler.clone()))
        .route(web::post().to(handler))
}

/// A resource whose routes have these methods.
pub(super) fn resource(path: &str, allow: &'static str) -> Resource {
    at(path, allow)
}

/// A resource that answers methods other than its own with 405, and `OPTIONS` with the methods that it has.
fn at(path: &str, allow: &'static str) -> Resource {
    let other = move |request: HttpRequest, api: Data<Api>| async move {
        let dialect = Dialect::of(request.path());
        let answer = async { other_method(&request, allow, dialect) };
        api.answer("other_method", dialect, answer).await
    };
    web::resource(path).default_service(web::to(other))
}

fn other_method(
    request: &HttpRequest,
    allow: &'static str,
    dialect: Dialect,
) -> Result<HttpResponse, ApiError> {
    if *request.method() == Method::OPTIONS {
        let preflight = header::ACCESS_CONTROL_REQUEST_METHOD;
        if request.headers().contains_key(preflight) {
            let message = "Pages of other origins may not use this API; the operator can allow them in http.cors_origins";
            return Err(ApiError::new(StatusCode::FORBIDDEN, message));
        }
        let mut response = HttpResponse::NoContent();
        return Ok(response.insert_header((header::ALLOW, allow)).finish());
    }
    let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
    let mut response = error.response(dialect);
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    Ok(response)
}

/// Answers requests for paths that do not exist, in the form of the API they look like.
pub(super) async fn not_found(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let error = ApiError::new(StatusCode::NOT_FOUND, "Not found");
    let dialect = Dialect::of(request.path());
    api.answer("none", dialect, async { Err(error) }).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slashes_are_merged_and_trimmed() {
        let clean = |path| normalised(path).unwrap_or_else(|| path.to_owned());
        for (path, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("//translate", "/translate"),
            ("/translate//", "/translate"),
            ("/v2//languages/", "/v2/languages"),
            ("/docs", "/docs/"),
            ("/docs/", "/docs/"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in "/[a-z/]{0,20}") {
            let once = normalised(&path).unwrap_or(path);
            prop_assert_eq!(normalised(&once), None);
        }
    }
}
