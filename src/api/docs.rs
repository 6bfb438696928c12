//! The APIs described: `/openapi.json`, and a page at `/docs/` to read it and to try it.

use std::sync::LazyLock;

use utoipa::{OpenApi, openapi::OpenApi as OpenApiDocument};
use utoipa_swagger_ui::SwaggerUi;

use super::{deepl, libretranslate, meeshy, observe};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "babelmesh",
        description = "Translation by the pools of this node. Requests travel in the interactive lane. Where keys are needed, they are in \
                       `api_key`, or in the header `Authorization: Bearer …` or `Authorization: DeepL-Auth-Key …`."
    ),
    paths(
        libretranslate::translate,
        libretranslate::detect,
        libretranslate::languages,
        libretranslate::settings,
        deepl::translate,
        deepl::usage,
        deepl::languages,
        meeshy::batch,
        meeshy::models,
        observe::live,
        observe::ready,
        observe::health,
        observe::status,
        observe::metrics,
    )
)]
struct Document;

/// The description, made once.
static DESCRIPTION: LazyLock<OpenApiDocument> = LazyLock::new(Document::openapi);

/// The description and its page.
pub(super) fn pages() -> SwaggerUi {
    SwaggerUi::new("/docs/{_:.*}").url("/openapi.json", DESCRIPTION.clone())
}

/// The description under the name that LibreTranslate has for it.
pub(super) async fn document() -> actix_web::HttpResponse {
    actix_web::HttpResponse::Ok().json(&*DESCRIPTION)
}
