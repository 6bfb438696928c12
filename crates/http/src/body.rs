//! Parameters of a request: JSON, a form, or the query.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    web::{Bytes, BytesMut, Payload},
};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;
use babelmesh_actors::domain::decoded_leniently;

type Object = serde_json::Map<String, Value>;

/// Where parameters come from.
#[derive(Debug)]
pub(super) enum Parameters {
    /// A JSON object.
    Json(Object),
    /// Pairs of a form and of the query. A name may be there several times.
    Pairs(Vec<(String, String)>),
    /// A JSON array, which only batches are.
    List(Vec<Value>),
}

/// A form with a file.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) parameters: Parameters,
    /// The file, if there is one.
    pub(super) file: Option<UploadedFile>,
}

/// A file in a form.
#[derive(Debug)]
pub(super) struct UploadedFile {
    /// Its name; empty if it has none.
    pub(super) name: String,
    pub(super) bytes: Bytes,
}

/// A body's share of what all bodies together may take. Given back when the request is answered.
type Share = Option<OwnedSemaphorePermit>;

/// Reads a request's body, but not more and not longer than it may. `room` has a permit for each byte that all bodies together may have.
///
/// # Errors
/// 413, 408, and 429 when all bodies together would need more memory than `room` allows.
pub(super) async fn collect_within(
    request: &HttpRequest,
    payload: &mut Payload,
    (limit, room): (usize, &Arc<Semaphore>),
    within: Duration,
) -> Result<(BytesMut, Share), ApiError> {
    let reading = collect(request, payload, limit, room);
    tokio::time::timeout(within, reading)
        .await
        .unwrap_or_else(|_| {
            let message = "Timeout while reading the request";
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, message))
        })
}

/// Refuses a body that is compressed: it would be read as it is.
///
/// # Errors
/// 415.
pub(super) fn check_encoding(request: &HttpRequest) -> Result<(), ApiError> {
    let encodings = request.headers().get_all(header::CONTENT_ENCODING);
    let is_plain = |value: &HeaderValue| {
        let value = value.as_bytes().trim_ascii();
        value.is_empty() || value.eq_ignore_ascii_case(b"identity")
    };
    match encodings.into_iter().all(is_plain) {
        true => Ok(()),
        false => Err(unsupported(
            "a Content-Encoding is not supported: send the body uncompressed",
        )),
    }
}

fn unsupported(message: &str) -> ApiError {
    let message = format!("Invalid request: {message}");
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
}

/// Whether parameters may come under a type. Some clients post forms and JSON as plain text or bytes.
fn is_readable(kind: &str) -> bool {
    matches!(
        kind,
        "" | "application/x-www-form-urlencoded"
            | "multipart/form-data"
            | "text/plain"
            | "text/json"
            | "application/octet-stream"
    )
}

/// A parameter of the query.
pub(super) fn query_value(request: &HttpRequest, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(request.query_string().as_bytes());
    let found = pairs.find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned())
}

/// Reads parameters from a body, and from the query where the body is not JSON.
///
/// # Errors
/// 400 for a body that is not what its type says, 415 for other types.
pub(super) async fn parse(request: &HttpRequest, body: &[u8]) -> Result<Parameters, ApiError> {
    let full = request.headers().get(header::CONTENT_TYPE);
    let full = full.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = full.split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if kind == "application/json" || kind.ends_with("+json") {
        return json(body);
    }
    if !body.is_empty() && !is_readable(&kind) {
        return Err(unsupported(
            "the Content-Type must be application/json, application/x-www-form-urlencoded or multipart/form-data",
        ));
    }
    let mut pairs = pairs(request.query_string().as_bytes())?;
    if kind.starts_with("multipart/") {
        pairs.extend(multipart(full, body).await?);
        return Ok(Parameters::Pairs(pairs));
    }
    // Python's and Go's clients post forms under other types too; JSON is recognised by its first byte.
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') if kind != "application/x-www-form-urlencoded" => json(body),
        _ => {
            // A parameter of the query goes before one of the form, as Flask has it.
            pairs.extend(self::pairs(body)?);
            Ok(Parameters::Pairs(pairs))
        }
    }
}

/// Reads a form with a file in its field `file`, and parameters from the query.
///
/// # Errors
/// 400 for a form that is malformed, 415 for a body of another type.
pub(super) async fn parse_form(request: &HttpRequest, body: Bytes) -> Result<Form, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let mut parameters = pairs(request.query_string().as_bytes())?;
    let is_form = kind.trim_start().to_ascii_lowercase();
    if !is_form.starts_with("multipart/form-data") {
        return Err(unsupported(
            "send the file in the field file of a multipart/form-data body",
        ));
    }
    let mut file = None;
    parameters.extend(fields(kind, body, Some(&mut file)).await?);
    Ok(Form {
        parameters: Parameters::Pairs(parameters),
        file,
    })
}

/// The fields of a multipart form without a file.
async fn multipart(kind: &str, body: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    fields(kind, Bytes::copy_from_slice(body), None).await
}

/// The fields of a multipart form, apart from the one with the file. The body is in memory already, so its size is bounded.
async fn fields(
    kind: &str,
    body: Bytes,
    mut file: Option<&mut Option<UploadedFile>>,
) -> Result<Vec<(String, String)>, ApiError> {
    let malformed = |_| ApiError::bad("Invalid request: the multipart form is malformed");
    let boundary = multer::parse_boundary(kind).map_err(malformed)?;
    let whole = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut form = multer::Multipart::new(whole, boundary);
    let mut pairs = Vec::new();
    while let Some(field) = form.next_field().await.map_err(malformed)? {
        let name = field.name().map(str::to_owned);
        let file_name = field.file_name().unwrap_or_default().to_owned();
        let value = field.bytes().await.map_err(malformed)?;
        if let Some(file) = &mut file
            && name.as_deref() == Some("file")
        {
            if file.is_some() {
                return Err(ApiError::bad("Invalid request: there are several files"));
            }
            **file = Some(UploadedFile {
                name: file_name,
                bytes: value,
            });
            continue;
        }
        let value = String::from_utf8(value.into()).map_err(|_| not_utf8())?;
        pairs.extend(name.map(|name| (name, value)));
    }
    Ok(pairs)
}

fn not_utf8() -> ApiError {
    ApiError::bad("Invalid request: the body is not UTF-8")
}

async fn collect(
    request: &HttpRequest,
    payload: &mut Payload,
    limit: usize,
    room: &Arc<Semaphore>,
) -> Result<(BytesMut, Share), ApiError> {
    let too_large = || {
        let message = format!("Invalid request: the body exceeds {limit} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let told = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    let mut share: Share = None;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| ApiError::bad("Invalid request: the body is incomplete"))?;
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        let bytes = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        let more = Arc::clone(room).try_acquire_many_owned(bytes);
        let more = more.map_err(|_| ApiError::too_many("too many request bodies in flight", 1))?;
        match &mut share {
            Some(share) => share.merge(more),
            None => share = Some(more),
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, share))
}

/// Reads JSON as [`decoded_leniently`] does.
fn json(body: &[u8]) -> Result<Parameters, ApiError> {
    match decoded_leniently(body, |body| serde_json::from_slice(body)) {
        Ok(Value::Object(object)) => Ok(Parameters::Json(object)),
        Ok(Value::Array(list)) => Ok(Parameters::List(list)),
        Ok(_) => Err(ApiError::bad("Invalid JSON format")),
        // The parser's message may repeat what was sent.
        Err(error) => Err(ApiError::bad(format!(
            "Invalid request: the body is not JSON (line {}, column {})",
            error.line(),
            error.column()
        ))),
    }
}

/// The pairs of a form. Bytes that are not UTF-8 are refused rather than replaced: a replacement would be translated.
fn pairs(text: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    let decoded = percent_encoding::percent_decode(text).decode_utf8();
    decoded.map_err(|_| not_utf8())?;
    Ok(form_urlencoded::parse(text).into_owned().collect())
}

/// One text, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Parameters {
    pub(super) const fn is_json(&self) -> bool {
        matches!(self, Self::Json(_) | Self::List(_))
    }

    /// Whether a parameter is there and not empty, whatever its type.
    pub(super) fn has_value(&self, name: &str) -> bool {
        match self {
            Self::Json(object) => match object.get(name) {
                None | Some(Value::Null) => false,
                Some(Value::String(text)) => !text.is_empty(),
                Some(Value::Array(list)) => !list.is_empty(),
                Some(_) => true,
            },
            Self::Pairs(pairs) => pairs
                .iter()
                .any(|(key, value)| key == name && !value.is_empty()),
            Self::List(_) => false,
        }
    }

    /// A parameter as text. Numbers and booleans are text too.
    ///
    /// # Errors
    /// 400 for one of another type.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, ApiError> {
        match self {
            Self::Json(object) => match object.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(text)) => Ok(Some(text.clone())),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
                Some(_) => Err(ApiError::bad(format!(
                    "Invalid request: {name} parameter is not a text"
                ))),
            },
            Self::Pairs(pairs) => Ok(pairs
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())),
            Self::List(_) => Ok(None),
        }
    }

    /// A parameter that is one text or several: a list in JSON, a repeated name in a form.
    ///
    /// # Errors
    /// 400 for one of another type.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Texts>, ApiError> {
        if let Self::Json(object) = self
            && let Some(Value::Array(list)) = object.get(name)
        {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let texts: Option<Vec<_>> = list.iter().map(text).collect();
            return match texts {
                Some(texts) => Ok(Some(Texts::Many(texts))),
                None => Err(ApiError::bad(format!(
                    "Invalid request: {name} parameter is not a list of texts"
                ))),
            };
        }
        if let Self::Pairs(pairs) = self {
            let named =
                |(key, _): &&(String, String)| key == name || key.strip_suffix("[]") == Some(name);
            let texts: Vec<String> = pairs.iter().filter(named).map(|p| p.1.clone()).collect();
            let is_list = pairs
                .iter()
                .any(|(key, _)| key.strip_suffix("[]") == Some(name));
            if texts.len() > 1 || is_list {
                return Ok(Some(Texts::Many(texts)));
            }
        }
        Ok(self.text(name)?.map(Texts::One))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(text: &str) -> Parameters {
        json(text.as_bytes()).unwrap()
    }

    #[test]
    fn lists_are_lists_in_json_and_repeated_names_in_forms() {
        let many = |texts: [&str; 2]| Some(Texts::Many(texts.map(str::to_owned).to_vec()));
        assert_eq!(
            object(r#"{"q":["a","b"]}"#).texts("q").unwrap(),
            many(["a", "b"])
        );
        let form = Parameters::Pairs(pairs(b"q=a&source=en&q=b+c%21").unwrap());
        assert_eq!(form.texts("q").unwrap(), many(["a", "b c!"]));
        assert_eq!(form.text("source").unwrap().as_deref(), Some("en"));
        let one = Some(Texts::One("a".to_owned()));
        assert_eq!(object(r#"{"q":"a"}"#).texts("q").unwrap(), one);
        assert_eq!(object(r#"{"q":null}"#).texts("q").unwrap(), None);
    }

    #[test]
    fn half_a_surrogate_pair_is_read_as_a_replacement_character() {
        let body = object(r#"{"q":"So \ud83d, \\ud83d and \ud83d\ude00"}"#);
        let text = "So \u{fffd}, \\ud83d and \u{1f600}".to_owned();
        assert_eq!(body.texts("q").unwrap(), Some(Texts::One(text)));
        assert!(json(br#"{"q":"\ud83d}"#).is_err());
    }

    #[test]
    fn forms_that_are_not_utf8_are_refused_rather_than_altered() {
        assert!(pairs(b"q=caf%E9&source=fr").is_err());
        assert!(pairs(b"q=caf\xe9").is_err());
        let form = Parameters::Pairs(pairs("q[]=C%2B%2B+caf%C3%A9".as_bytes()).unwrap());
        let texts = Texts::Many(vec!["C++ caf\u{e9}".to_owned()]);
        assert_eq!(form.texts("q").unwrap(), Some(texts));
    }

    #[test]
    fn values_of_the_wrong_type_are_rejected_and_not_quoted() {
        for text in [r#"{"q":{"secret":1}}"#, r#"{"q":["secret",{}]}"#] {
            let error = object(text).texts("q").unwrap_err();
            assert_eq!(error.status, StatusCode::BAD_REQUEST);
            assert!(!error.message.contains("secret"), "{}", error.message);
        }
        let error = json(br#"{"q": "secret" "more"}"#).unwrap_err();
        assert!(!error.message.contains("secret"), "{}", error.message);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = json(&bytes);
            let _ = pairs(&bytes);
        }
    }
}
