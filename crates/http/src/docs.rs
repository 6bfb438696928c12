//! The APIs described: `/openapi.json`, and a page at `/docs/` to read it and to try it.

use std::sync::LazyLock;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderValue},
    middleware::Next,
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as OpenApiDocument,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::SwaggerUi;

use super::{deepl, libretranslate, meeshy, observe, operate};

/// Nothing is loaded from elsewhere, and no script runs that is not in a file of the page. Its library writes styles into the page and has small pictures
/// in its files.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; object-src 'none'";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "babelmesh",
        description = "Translation by the pools of this node. Requests travel in the interactive lane, documents in the bulk lane. Where keys are needed, they are in \
                       `api_key`, or in the header `Authorization: Bearer …` or `Authorization: DeepL-Auth-Key …`."
    ),
    modifiers(&Keys),
    security((), ("API key" = [])),
    paths(
        libretranslate::translate,
        libretranslate::detect,
        libretranslate::languages,
        libretranslate::settings,
        libretranslate::translate_file,
        libretranslate::download_file,
        deepl::translate,
        deepl::usage,
        deepl::languages,
        deepl::upload,
        deepl::document_status,
        deepl::document_result,
        deepl::glossaries::create,
        deepl::glossaries::list,
        deepl::glossaries::show,
        deepl::glossaries::delete,
        deepl::glossaries::entries,
        deepl::glossaries::pairs,
        deepl::glossaries::multilingual::create,
        deepl::glossaries::multilingual::list,
        deepl::glossaries::multilingual::show,
        deepl::glossaries::multilingual::change,
        deepl::glossaries::multilingual::entries,
        deepl::glossaries::multilingual::replace,
        deepl::glossaries::multilingual::remove,
        meeshy::batch,
        meeshy::models,
        observe::live,
        observe::ready,
        observe::health,
        observe::status,
        observe::metrics,
        operate::operate,
    )
)]
struct Document;

/// The button that takes an API key for all requests of the page.
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut OpenApiDocument) {
        let components = document.components.get_or_insert_default();
        for (name, file) in [
            ("API key", "http.keys_file"),
            ("Operator key", "http.operator_keys_file"),
        ] {
            let about = format!("Only where the node has a `{file}`; see `babelmesh keys create`.");
            let key = HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(about))
                .build();
            components.add_security_scheme(name, SecurityScheme::Http(key));
        }
    }
}

/// The description, made once.
static DESCRIPTION: LazyLock<OpenApiDocument> = LazyLock::new(Document::openapi);

/// The description and its page.
pub(super) fn pages() -> SwaggerUi {
    SwaggerUi::new("/docs/{_:.*}").url("/openapi.json", DESCRIPTION.clone())
}

/// Tells browsers what the page may do.
pub(super) async fn guarded(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let is_page = request.path().starts_with("/docs/");
    let mut response = next.call(request).await?;
    if is_page {
        let policy = HeaderValue::from_static(POLICY);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// The description under the name that LibreTranslate has for it.
pub(super) async fn document() -> actix_web::HttpResponse {
    actix_web::HttpResponse::Ok().json(&*DESCRIPTION)
}
