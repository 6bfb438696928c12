//! Translation of files: the answer to the upload comes when the file is translated, and names where it can be downloaded.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use babelmesh_actors::domain::ModelType;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use utoipa::ToSchema;

use super::{ErrorBody, language, required};
use crate::{
    body::Form,
    documents::{Documents, NewDocument, Status, Taken, Work},
    error::{ApiError, Dialect},
    state::{Api, Requester},
};

/// Characters that an address cannot have as they are.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A file to translate, as `multipart/form-data`.
#[derive(ToSchema)]
#[schema(as = libretranslate::FileBody)]
#[expect(dead_code, reason = "it only describes what is read by hand")]
pub(crate) struct FileBody {
    /// The file; the ending of its name tells its kind.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Its language, or "auto".
    #[schema(example = "en")]
    source: String,
    /// The language wanted.
    #[schema(example = "fr")]
    target: String,
    /// API key, where one is needed.
    api_key: Option<String>,
}

/// Forgets a document unless it is translated: its client has disconnected, or got an error.
struct Waiting<'a> {
    documents: &'a Documents,
    id: &'a str,
    is_done: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.documents.forget(self.id);
        }
    }
}

/// Translates a file, and answers when that is done.
#[utoipa::path(
    post, path = "/translate_file", tag = "LibreTranslate",
    request_body(content = FileBody, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "`translatedFileUrl`, where the translated file can be downloaded for a while"),
        (status = 400, description = "Invalid request, or the file cannot be translated", body = ErrorBody),
        (status = 413, description = "Too large", body = ErrorBody),
        (status = 429, description = "Too many documents are held; see Retry-After", body = ErrorBody),
        (status = 503, description = "The node is shutting down", body = ErrorBody),
    )
)]
pub(crate) async fn translate_file(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let shared = api.clone().into_inner();
    let answer = async |form: Form, requester: &Requester| {
        let Form { parameters, file } = form;
        let file = file.ok_or_else(|| ApiError::missing("file"))?;
        let catalogue = api.catalogue();
        let known = |tag: &str| language(tag, |language| catalogue.knows(*language));
        let source = required(&parameters, "source")?;
        let source = match source.eq_ignore_ascii_case("auto") {
            true => None,
            false => Some(known(&source)?),
        };
        let target = known(&required(&parameters, "target")?)?;
        let name = translated_name(&file.name, target.as_str());
        let document = NewDocument {
            name: name.clone(),
            bytes: file.bytes,
            work: Work {
                source,
                target,
                tier: ModelType::default(),
                glossary_id: None,
            },
            client: requester.client.clone(),
            client_id: requester.id,
        };
        let id = shared.translate_document(document)?;
        let mut waiting = Waiting {
            documents: &shared.documents,
            id: &id.id,
            is_done: false,
        };
        shared.documents.ended(&id.id).await;
        match shared.documents.status(&id.id, &id.key) {
            Some(Status::Done(_)) => waiting.is_done = true,
            Some(Status::Failed(message)) if shared.documents.are_stopping() => {
                return Err(ApiError::unavailable(&message));
            }
            Some(Status::Failed(message)) => return Err(ApiError::bad(message)),
            _ => return Err(ApiError::ending()),
        }
        let connection = request.connection_info();
        let (scheme, host) = (connection.scheme(), connection.host());
        let name = utf8_percent_encode(&name, RESERVED);
        let url = format!(
            "{scheme}://{host}/download_file/{}.{}.{name}",
            id.id, id.key
        );
        Ok(HttpResponse::Ok().json(json!({ "translatedFileUrl": url })))
    };
    let limit = Some(api.documents.config.max_bytes);
    let route = ("translate_file", Dialect::LibreTranslate);
    api.admitted_form(route, (&request, payload), limit, answer)
        .await
}

/// The name of a file with the language in front of its ending, as LibreTranslate has it.
fn translated_name(name: &str, target: &str) -> String {
    // Some clients send a path.
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    match name.rsplit_once('.') {
        Some((stem, ending)) => format!("{stem}_{target}.{ending}"),
        None => name.to_owned(),
    }
}

/// Sends a translated file. Its address has the key: no other is needed.
#[utoipa::path(
    get, path = "/download_file/{name}", tag = "LibreTranslate",
    params(("name" = String, Path, description = "From the address in `translatedFileUrl`")),
    responses(
        (status = 200, description = "The file"),
        (status = 400, description = "Not an address of a file", body = ErrorBody),
        (status = 404, description = "No such file is held by this node", body = ErrorBody),
    )
)]
pub(crate) async fn download_file(path: web::Path<String>, api: web::Data<Api>) -> HttpResponse {
    let answer = async {
        let mut parts = path.splitn(3, '.');
        let (Some(id), Some(key), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ApiError::bad("Invalid filename"));
        };
        match api.documents.take(id, key, true) {
            Taken::Document(finished) => Ok(HttpResponse::Ok()
                .insert_header((header::CONTENT_TYPE, finished.kind.media_type()))
                .insert_header((header::CONTENT_DISPOSITION, finished.disposition(name)))
                .body(finished.bytes.clone())),
            _ => {
                let message = "No such file: it has expired, or another node translated it";
                Err(ApiError::new(StatusCode::NOT_FOUND, message))
            }
        }
    };
    api.answer("download_file", Dialect::LibreTranslate, answer)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_language() {
        assert_eq!(translated_name("a.b.docx", "fr"), "a.b_fr.docx");
        assert_eq!(translated_name("C:\\x\\a.txt", "fr"), "a_fr.txt");
        assert_eq!(translated_name("README", "fr"), "README");
    }
}
