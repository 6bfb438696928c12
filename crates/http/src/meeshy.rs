//! The API of Meeshy's translator 0.4.9.

use actix_web::{HttpRequest, HttpResponse, web};
use babelmesh_actors::domain::{ClientId, Format, ModelType, TextChecks, UnknownName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    body::Parameters,
    error::{ApiError, Dialect},
    state::{Api, Requester},
    translation::TranslationOptions,
};

/// A text to translate.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Item {
    /// The text.
    text: String,
    /// Its language, or "auto".
    #[serde(default = "auto", alias = "sourceLanguage")]
    source_language: String,
    /// The language wanted.
    #[serde(alias = "targetLanguage")]
    target_language: String,
    /// Quality tier wanted.
    #[serde(default, alias = "modelType")]
    #[schema(value_type = String, example = "basic")]
    model_type: ModelType,
    /// "text", "html", "xml", "markdown", "srt" or "vtt"; "text" by default.
    #[schema(example = "text")]
    format: Option<String>,
}

impl Item {
    fn options(&self) -> Result<TranslationOptions, ApiError> {
        let format = match self.format.as_deref() {
            None | Some("") => Format::default(),
            Some(name) => name
                .parse()
                .map_err(|error: UnknownName| ApiError::bad(error.to_string()))?,
        };
        Ok(TranslationOptions {
            tier: self.model_type,
            format,
            ..TranslationOptions::new(&self.source_language, &self.target_language)
        })
    }
}

fn auto() -> String {
    "auto".to_owned()
}

/// A translated text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemAnswer {
    translated_text: String,
    source_language: String,
    detected_language: Option<String>,
    target_language: String,
    confidence: f64,
    model_used: String,
    /// Tier of that model; absent when none was needed.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    model_type_used: Option<ModelType>,
    from_cache: bool,
    /// Findings of the checks of the translation; absent when every sentence was translated whole and passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<ChecksBody>,
    processing_time_ms: f64,
}

/// Findings of the checks of a text's sentences.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChecksBody {
    /// Number of sentences that were translated with stand-ins for some of their tokens.
    stand_in: u32,
    /// Number of sentences that were cut at tokens or markup, and translated in parts.
    cut: u32,
    /// Number of sentences of which a part was left untranslated.
    source: u32,
    /// Checks that failed in some sentence.
    #[schema(example = json!(["token"]))]
    flags: Vec<String>,
    /// Kinds of the tokens that the model did not copy.
    #[schema(example = json!(["placeholder"]))]
    kinds: Vec<String>,
}

impl From<&TextChecks> for ChecksBody {
    fn from(checks: &TextChecks) -> Self {
        Self {
            stand_in: checks.stand_in,
            cut: checks.cut,
            source: checks.source,
            flags: checks.flags.clone(),
            kinds: checks.kinds.clone(),
        }
    }
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelBody {
    id: String,
    #[schema(value_type = String)]
    model_type: ModelType,
    source_languages: Vec<String>,
    target_languages: Vec<String>,
    licence: String,
    engine: Option<String>,
    actors: usize,
    loaded: bool,
}

async fn translate(api: &Api, item: Item, client: ClientId) -> Result<Value, ApiError> {
    let options = item.options()?;
    let translation = api.translate(&item.text, &options, client).await?;
    let made = translation.made.as_ref();
    let answer = ItemAnswer {
        detected_language: made
            .filter(|made| made.detected.is_some())
            .map(|made| made.source.clone()),
        confidence: made.map_or(1.0, |made| (made.confidence * 1e4).round() / 1e4),
        model_used: made.map_or_else(String::new, |made| made.model_id.clone()),
        model_type_used: made
            .filter(|made| !made.model_id.is_empty())
            .map(|made| made.tier),
        from_cache: made.is_some_and(|made| made.from_cache),
        checks: made
            .and_then(|made| made.checks.as_ref())
            .map(ChecksBody::from),
        processing_time_ms: made.map_or(0.0, |made| made.took_ms),
        translated_text: translation.text,
        source_language: item.source_language,
        target_language: item.target_language,
    };
    Ok(json!(answer))
}

fn read(value: Value) -> Result<Item, ApiError> {
    // The parser's message may repeat what was sent.
    serde_json::from_value(value).map_err(|_| {
        ApiError::bad(
            "an item has text and target_language, and may have source_language, model_type and format",
        )
    })
}

/// Translates the text of a body in this API's form.
pub(super) async fn translate_one(
    api: &Api,
    requester: &Requester,
    body: &Map<String, Value>,
) -> Result<HttpResponse, ApiError> {
    let item = read(Value::Object(body.clone()))?;
    requester.client.bill(item.text.chars().count() as u64);
    Ok(HttpResponse::Ok().json(translate(api, item, requester.id).await?))
}

/// Translates several texts, each into its own language. One that fails has an `error` in place of its translation.
#[utoipa::path(
    post, path = "/translate/batch", tag = "Meeshy", request_body = [Item],
    responses(
        (status = 200, description = "The translations, in order", body = [ItemAnswer]),
        (status = 400, description = "Invalid request"),
        (status = 403, description = "Missing or wrong key"),
        (status = 429, description = "Too many requests; see Retry-After"),
    )
)]
pub(super) async fn batch(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |parameters: Parameters, requester: &Requester| {
        let list = match parameters {
            Parameters::List(list) => list,
            Parameters::Json(mut object) => match object.remove("requests") {
                Some(Value::Array(list)) => list,
                _ => return Err(ApiError::bad("the body is a list of texts")),
            },
            Parameters::Pairs(_) => return Err(ApiError::bad("the body is not JSON")),
        };
        if list.len() > api.max_texts {
            let limit = api.max_texts;
            return Err(ApiError::bad(format!("at most {limit} texts in a request")));
        }
        let items = list.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let count = |item: &Item| item.text.chars().count() as u64;
        requester.client.bill(items.iter().map(count).sum());
        let one = async |item| match translate(&api, item, requester.id).await {
            Ok(answer) => answer,
            Err(error) => json!({"error": {
                "code": error.code().map(babelmesh_actors::domain::ErrorCode::name),
                "message": error.message,
            }}),
        };
        let answers = futures_util::future::join_all(items.into_iter().map(one)).await;
        Ok(HttpResponse::Ok().json(answers))
    };
    let route = ("batch", Dialect::Meeshy);
    api.admitted(route, (&request, payload), answer).await
}

/// Lists the models.
#[utoipa::path(
    get, path = "/models", tag = "Meeshy",
    responses((status = 200, description = "The models", body = [ModelBody]))
)]
pub(super) async fn models(api: web::Data<Api>) -> HttpResponse {
    let answer = async {
        let status = api.status().await;
        let tags = |languages: &[babelmesh_actors::domain::Language]| {
            languages.iter().map(ToString::to_string).collect()
        };
        let body = api.parts.status.models().into_iter().map(|model| {
            let pool = status.pools.iter().find(|pool| pool.model_id == model.id);
            let warm = pool.map_or(0, |pool| {
                pool.actors.iter().filter(|a| a.phase.is_warm()).count()
            });
            ModelBody {
                id: model.id.clone(),
                model_type: model.ability.tier,
                source_languages: tags(&model.ability.sources),
                target_languages: tags(&model.ability.targets),
                licence: model.licence.clone(),
                engine: pool.map(|pool| pool.engine.clone()),
                actors: warm,
                loaded: warm > 0,
            }
        });
        let body: Vec<_> = body.collect();
        Ok(HttpResponse::Ok().json(body))
    };
    api.answer("models", Dialect::Meeshy, answer).await
}
