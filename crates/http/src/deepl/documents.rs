//! Translation of documents: upload, status, download.

use std::time::Instant;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use babelmesh_actors::domain::ModelType;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{glossaries, missing, options, pair};
use crate::{
    body::{Form, Parameters},
    documents::{NewDocument, Status, Taken, Work},
    error::{ApiError, Dialect},
    state::{Api, Requester},
};

/// A document to translate, as `multipart/form-data`.
#[derive(ToSchema)]
#[schema(as = deepl::DocumentBody)]
#[expect(dead_code, reason = "it only describes what is read by hand")]
pub(crate) struct DocumentBody {
    /// The document.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Its name, if the form does not tell it. Its ending tells its kind.
    filename: Option<String>,
    /// Its language; it is detected if omitted.
    source_lang: Option<String>,
    /// The language wanted.
    target_lang: String,
    /// The ending of its name: a document keeps its format.
    output_format: Option<String>,
    /// "default", "prefer_more" or "prefer_less", without effect.
    formality: Option<String>,
    /// Accepted without effect.
    enable_document_minification: Option<bool>,
    /// Id of a glossary for the two languages; needs `source_lang`.
    glossary_id: Option<String>,
    /// API key, where one is needed and no header has it.
    auth_key: Option<String>,
}

/// Takes a document and has it translated in the background.
#[utoipa::path(
    post, path = "/v2/document", tag = "DeepL",
    request_body(content = DocumentBody, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "`document_id` and `document_key`, which status and download need"),
        (status = 400, description = "Invalid request, or the kind of document is not supported"),
        (status = 403, description = "Missing or wrong key"),
        (status = 413, description = "Too large"),
        (status = 429, description = "Too many documents are held; see Retry-After"),
    )
)]
pub(crate) async fn upload(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let shared = api.clone().into_inner();
    let answer = async |form: Form, requester: &Requester| {
        let Form { parameters, file } = form;
        let file = file.ok_or_else(|| missing("file"))?;
        let (source, target) = pair(&api, &parameters)?;
        let name = parameters.text("filename")?.unwrap_or_default();
        let name = if name.is_empty() { file.name } else { name };
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        options::check_document(&parameters, target.as_str(), ending)?;
        let glossary = parameters.text("glossary_id")?;
        let glossary_id = glossary.filter(|id| !id.is_empty());
        if let Some(id) = &glossary_id {
            let source = source.map_or_else(String::new, |source| source.to_string());
            glossaries::check(&api, id, &source, target.as_str())?;
        }
        let document = NewDocument {
            bytes: file.bytes,
            work: Work {
                source,
                target,
                tier: ModelType::default(),
                glossary_id,
            },
            client: requester.client.clone(),
            client_id: requester.id,
            name,
        };
        let id = shared.translate_document(document)?;
        Ok(HttpResponse::Ok().json(json!({"document_id": id.id, "document_key": id.key})))
    };
    let limit = Some(api.documents.config.max_bytes);
    let route = ("deepl_document", Dialect::DeepL);
    api.admitted_form(route, (&request, payload), limit, answer)
        .await
}

/// The key of a document.
#[derive(ToSchema)]
#[schema(as = deepl::DocumentKey)]
#[expect(dead_code, reason = "it only describes what is read by hand")]
pub(crate) struct DocumentKey {
    /// The key from the answer to the upload.
    document_key: String,
}

/// Tells how far the translation of a document is.
#[utoipa::path(
    post, path = "/v2/document/{id}", tag = "DeepL",
    params(("id" = String, Path, description = "The `document_id`")),
    request_body = DocumentKey,
    responses(
        (status = 200, description = "`status`: queued, translating (with `seconds_remaining`), done (with `billed_characters`) or error (with `error_message`)"),
        (status = 404, description = "No document with this id and key is held by this node"),
    )
)]
pub(crate) async fn document_status(
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<String>,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |parameters: Parameters, _: &Requester| {
        let key = key(&parameters)?;
        let status = api.documents.status(&id, &key).ok_or_else(unknown)?;
        Ok(HttpResponse::Ok().json(described(&id, &status)))
    };
    let route = ("deepl_document_status", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

fn described(id: &str, status: &Status) -> Value {
    match status {
        Status::Queued => json!({"document_id": id, "status": "queued"}),
        Status::Translating { done, total, since } => json!({
            "document_id": id,
            "status": "translating",
            "seconds_remaining": seconds_remaining(*done, *total, *since),
        }),
        Status::Done(finished) => json!({
            "document_id": id,
            "status": "done",
            "billed_characters": finished.characters,
            "flagged_segments": finished.findings.flagged_segments,
            "untranslated_sentences": finished.findings.untranslated_sentences,
        }),
        Status::Failed(message) => json!({
            "document_id": id,
            "status": "error",
            "error_message": message,
            "message": message,
        }),
    }
}

/// At the speed of what is translated already. Clients that poll use it as a delay.
fn seconds_remaining(done: u64, total: u64, since: Instant) -> u64 {
    let left = total.saturating_sub(done);
    let seconds = since.elapsed().as_secs().saturating_mul(left) / done.max(1);
    seconds.clamp(1, 3_600)
}

/// Sends a translated document, once.
#[utoipa::path(
    post, path = "/v2/document/{id}/result", tag = "DeepL",
    params(("id" = String, Path, description = "The `document_id`")),
    request_body = DocumentKey,
    responses(
        (status = 200, description = "The document, which is then forgotten"),
        (status = 400, description = "The document was not translated"),
        (status = 404, description = "No document with this id and key is held by this node"),
        (status = 503, description = "The document is not translated yet"),
    )
)]
pub(crate) async fn document_result(
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<String>,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |parameters: Parameters, _: &Requester| {
        let key = key(&parameters)?;
        match api.documents.take(&id, &key, false) {
            Taken::Document(finished) => {
                let disposition = finished.disposition(&finished.name);
                Ok(HttpResponse::Ok()
                    .insert_header((header::CONTENT_TYPE, finished.kind.media_type()))
                    .insert_header((header::CONTENT_DISPOSITION, disposition))
                    .body(finished.bytes.clone()))
            }
            Taken::NotReady => Err(ApiError::unavailable("Document translation is not done")),
            Taken::Failed(message) => Err(ApiError::bad(message)),
            Taken::Unknown => Err(unknown()),
        }
    };
    let route = ("deepl_document_result", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

fn key(parameters: &Parameters) -> Result<String, ApiError> {
    let key = parameters.text("document_key")?.unwrap_or_default();
    match key.is_empty() {
        true => Err(missing("document_key")),
        false => Ok(key),
    }
}

fn unknown() -> ApiError {
    let message = "Document not found: the key is wrong, it was downloaded or has expired, or another node took it";
    ApiError::new(StatusCode::NOT_FOUND, message)
}
