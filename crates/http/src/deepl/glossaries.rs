//! DeepL's glossaries: `/v2/glossaries` for one pair of languages, `/v3/glossaries` for several.

pub(crate) mod multilingual;
mod reading;

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use babelmesh_actors::{
    domain::{Glossary, GlossaryDictionary, GlossaryError},
    glossaries::{ChangeError, KnownGlossary, Missing},
    text::glossary::tables,
};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::super::{
    body::Parameters,
    edge::{get, resource},
    error::{ApiError, Dialect},
    state::{Api, Requester},
};

/// The type of tables.
const TSV: &str = "text/tab-separated-values";

/// A glossary for one pair of languages.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GlossaryBody {
    glossary_id: String,
    name: String,
    /// Always true.
    ready: bool,
    source_lang: String,
    target_lang: String,
    creation_time: String,
    entry_count: usize,
}

/// A glossary to create.
#[derive(ToSchema)]
#[schema(as = deepl::CreateGlossaryBody)]
#[expect(dead_code, reason = "it only describes what is read by hand")]
pub(super) struct CreateGlossaryBody {
    name: String,
    source_lang: String,
    target_lang: String,
    /// One entry in a line: the term and its translation.
    entries: String,
    /// "tsv" or "csv".
    entries_format: String,
}

impl GlossaryBody {
    /// None for a glossary with several dictionaries.
    fn of(known: &KnownGlossary) -> Option<Self> {
        let glossary = known.glossary();
        let [dictionary] = glossary.dictionaries.as_slice() else {
            return None;
        };
        Some(Self {
            glossary_id: known.id().to_owned(),
            name: glossary.name.clone(),
            ready: true,
            source_lang: tag(dictionary.source_language),
            target_lang: tag(dictionary.target_language),
            creation_time: creation_time(glossary.created_ms),
            entry_count: dictionary.terms.len(),
        })
    }
}

/// DeepL writes the languages of glossaries in small letters.
fn tag(language: babelmesh_actors::domain::Language) -> String {
    language.as_str().to_ascii_lowercase()
}

/// A time as in RFC 3339.
fn creation_time(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    let ms = ms % 1_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

fn new_id() -> String {
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    id.hyphenated().to_string()
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Unknown => not_found(),
            ChangeError::Invalid(GlossaryError::Name) => {
                let error = GlossaryError::Name;
                Self::bad(format!("Value for 'name' not supported: {error}."))
            }
            ChangeError::Invalid(error) => {
                Self::bad(format!("Invalid glossary entries provided: {error}."))
            }
            ChangeError::Full(message) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, message),
            ChangeError::Unavailable(message) => Self::unavailable(&message),
        }
    }
}

fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "Glossary not found")
}

/// The glossary of the path.
fn find(api: &Api, request: &HttpRequest) -> Result<std::sync::Arc<KnownGlossary>, ApiError> {
    let glossaries = &api.parts.glossaries;
    match glossaries.get(id(request)) {
        Some(known) => Ok(known),
        None if glossaries.is_read() => Err(not_found()),
        None => Err(unread()),
    }
}

fn unread() -> ApiError {
    ApiError::unavailable("The glossaries have not been read yet")
}

fn id(request: &HttpRequest) -> &str {
    request.match_info().get("id").unwrap_or_default()
}

/// Checks the glossary of a translation, whose languages must be those of a dictionary.
pub(super) fn check(api: &Api, id: &str, source: &str, target: &str) -> Result<(), ApiError> {
    let (Ok(from), Ok(to)) = (source.parse(), target.parse()) else {
        return Err(ApiError::bad(
            "Use of a glossary requires the source_lang parameter to be specified.",
        ));
    };
    match api.parts.glossaries.has_dictionary(id, (from, to)) {
        Ok(()) => Ok(()),
        Err(Missing::Unread) => Err(unread()),
        Err(Missing::Unknown) => Err(not_found()),
        Err(Missing::Pair) => Err(ApiError::bad(format!(
            "The glossary has no dictionary for source_lang {} and target_lang {}.",
            source.to_ascii_uppercase(),
            target.to_ascii_uppercase()
        ))),
    }
}

pub(crate) fn routes(to: &mut web::ServiceConfig) {
    to.service(
        resource("/v2/glossaries", "GET, HEAD, POST, OPTIONS")
            .route(web::get().to(list))
            .route(web::post().to(create)),
    )
    .service(
        resource("/v2/glossaries/{id}", "GET, HEAD, DELETE, OPTIONS")
            .route(web::get().to(show))
            .route(web::delete().to(delete)),
    )
    .service(get("/v2/glossaries/{id}/entries", entries))
    .service(get("/v2/glossary-language-pairs", pairs))
    .configure(multilingual::routes);
}

/// Creates a glossary for one pair of languages.
#[utoipa::path(
    post, path = "/v2/glossaries", tag = "DeepL",
    request_body(content = CreateGlossaryBody, example = json!({
        "name": "Shop", "source_lang": "en", "target_lang": "fr", "entries": "board\tconseil\nBabelmesh\tBabelmesh", "entries_format": "tsv",
    })),
    responses(
        (status = 201, description = "The glossary", body = GlossaryBody),
        (status = 400, description = "Invalid request"),
        (status = 413, description = "Too large, or too many glossaries"),
        (status = 503, description = "The glossaries are not available"),
    )
)]
pub(crate) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |parameters: Parameters, _: &Requester| {
        let limits = api.parts.glossaries.limits().terms;
        let glossary = Glossary {
            name: reading::text(&parameters, "name")?,
            created_ms: now_ms(),
            dictionaries: vec![reading::dictionary(&parameters, limits)?],
        };
        let id = new_id();
        api.parts.glossaries.create(&id, glossary).await?;
        // It may have been deleted at once.
        let known = api.parts.glossaries.get(&id).ok_or_else(not_found)?;
        Ok(HttpResponse::Created().json(GlossaryBody::of(&known)))
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

/// Lists the glossaries for one pair of languages.
#[utoipa::path(
    get, path = "/v2/glossaries", tag = "DeepL",
    responses((status = 200, description = "The list `glossaries`", body = [GlossaryBody]))
)]
pub(crate) async fn list(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |_: Parameters, _: &Requester| {
        let all = api.parts.glossaries.all();
        let bodies: Vec<_> = all
            .iter()
            .filter_map(|known| GlossaryBody::of(known))
            .collect();
        Ok(HttpResponse::Ok().json(json!({ "glossaries": bodies })))
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

/// Shows a glossary, without its entries.
#[utoipa::path(
    get, path = "/v2/glossaries/{id}", tag = "DeepL",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The glossary", body = GlossaryBody),
        (status = 404, description = "Glossary not found"),
    )
)]
pub(crate) async fn show(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |_: Parameters, _: &Requester| {
        let known = find(&api, &request)?;
        let body = GlossaryBody::of(&known).ok_or_else(multilingual_only)?;
        Ok(HttpResponse::Ok().json(body))
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

fn multilingual_only() -> ApiError {
    ApiError::bad("The glossary has several dictionaries: use /v3/glossaries.")
}

/// Deletes a glossary.
#[utoipa::path(
    delete, path = "/v2/glossaries/{id}", tag = "DeepL",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, description = "Glossary not found"),
    )
)]
pub(crate) async fn delete(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |_: Parameters, _: &Requester| {
        api.parts.glossaries.delete(id(&request)).await?;
        Ok(HttpResponse::NoContent().finish())
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

/// Shows the entries of a glossary, one in a line.
#[utoipa::path(
    get, path = "/v2/glossaries/{id}/entries", tag = "DeepL",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The entries", content_type = "text/tab-separated-values", body = String),
        (status = 404, description = "Glossary not found"),
        (status = 406, description = "Another type is wanted"),
    )
)]
pub(crate) async fn entries(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |_: Parameters, _: &Requester| {
        let known = find(&api, &request)?;
        let [dictionary] = known.glossary().dictionaries.as_slice() else {
            return Err(multilingual_only());
        };
        if !accepts_tsv(&request) {
            let message = format!("Entries are only available as {TSV}.");
            return Err(ApiError::new(StatusCode::NOT_ACCEPTABLE, message));
        }
        let mut response = HttpResponse::Ok();
        response.insert_header((header::CONTENT_TYPE, format!("{TSV}; charset=utf-8")));
        Ok(response.body(tables::write_tsv(&dictionary.terms)))
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

/// Whether a client takes a table.
fn accepts_tsv(request: &HttpRequest) -> bool {
    let mut accepted = request.headers().get_all(header::ACCEPT).peekable();
    let takes = |value: &header::HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        let kinds = value.split(',');
        let mut kinds = kinds.map(|kind| kind.split(';').next().unwrap_or_default().trim());
        kinds.any(|kind| matches!(kind, TSV | "text/*" | "*/*" | ""))
    };
    accepted.peek().is_none() || accepted.any(takes)
}

/// Lists the pairs of languages that are translated. Glossaries may be made for others too.
#[utoipa::path(
    get, path = "/v2/glossary-language-pairs", tag = "DeepL",
    responses((status = 200, description = "The list `supported_languages`, with `source_lang` and `target_lang` of each"))
)]
pub(crate) async fn pairs(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |_: Parameters, _: &Requester| {
        let catalogue = api.catalogue();
        let pairs = catalogue.pairs().map(
            |(source, target)| json!({"source_lang": tag(source), "target_lang": tag(target)}),
        );
        let pairs: Vec<_> = pairs.collect();
        Ok(HttpResponse::Ok().json(json!({ "supported_languages": pairs })))
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

/// Where a dictionary is in a glossary.
fn position(glossary: &Glossary, of: &GlossaryDictionary) -> Option<usize> {
    let mut all = glossary.dictionaries.iter();
    all.position(|dictionary| dictionary.is_for(of.source_language, of.target_language))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_rfc_3339() {
        assert_eq!(creation_time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(creation_time(1_628_000_178_329), "2021-08-03T14:16:18.329Z");
    }

    #[test]
    fn ids_are_uuids_and_differ() {
        let (one, other) = (new_id(), new_id());
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[14..15]), (36, "4"));
    }

    #[test]
    fn a_glossary_with_several_dictionaries_has_no_short_form_errors_say_what_is_wrong() {
        let error = ApiError::from(ChangeError::Unknown);
        assert_eq!(
            (error.status, error.message.as_str()),
            (StatusCode::NOT_FOUND, "Glossary not found")
        );
        let invalid = ChangeError::Invalid(GlossaryError::NoDictionary);
        let error = ApiError::from(invalid);
        assert!(
            error
                .message
                .starts_with("Invalid glossary entries provided: ")
        );
    }
}
