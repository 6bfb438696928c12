//! The part of DeepL's API that its clients need to translate texts and documents.

mod documents;
pub(super) mod glossaries;
mod options;

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, web};
use babelmesh_actors::domain::{ErrorCode, Language, ModelType};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    body::{Parameters, Texts},
    edge::get,
    error::{ApiError, Dialect},
    state::{Api, Requester},
    translation::TranslationOptions,
};
pub(super) use documents::{
    __path_document_result, __path_document_status, __path_upload, document_result,
    document_status, upload,
};
use options::{Options, unsupported};

/// DeepL's own number for "no limit".
const NO_LIMIT: u64 = 1_000_000_000_000;

/// Texts to translate. A parameter that would change the translation and is not supported is refused.
#[derive(ToSchema)]
#[schema(as = deepl::TranslateBody)]
#[expect(dead_code, reason = "it only describes what is read by hand")]
pub(super) struct TranslateBody {
    /// The texts.
    text: Vec<String>,
    /// Their language; it is detected if omitted.
    source_lang: Option<String>,
    /// The language wanted.
    target_lang: String,
    /// "xml" or "html"; the texts are plain if omitted.
    tag_handling: Option<String>,
    /// "v1" or "v2"; both have the same effect.
    tag_handling_version: Option<String>,
    /// Elements whose content stays as it is; with `tag_handling=xml`.
    ignore_tags: Option<Vec<String>>,
    /// Elements that end a sentence; with `tag_handling=xml`.
    splitting_tags: Option<Vec<String>>,
    /// Elements that never end a sentence; with `tag_handling=xml`.
    non_splitting_tags: Option<Vec<String>>,
    /// Whether an element whose parent contains only elements ends a sentence (the default); with `tag_handling=xml`.
    outline_detection: Option<bool>,
    /// "1": at sentence ends and line breaks; "nonewlines": at sentence ends; "0": not at all. By default "nonewlines" with
    /// `tag_handling=html`, else "1".
    split_sentences: Option<String>,
    /// "quality_optimized" and "prefer_quality_optimized" select models of the tier `premium`, "latency_optimized" those of `basic`.
    model_type: Option<String>,
    /// Whether the answer has `billed_characters` (the default).
    show_billed_characters: Option<bool>,
    /// "default", "prefer_more" or "prefer_less", without effect.
    formality: Option<String>,
    /// Accepted without effect: formatting is always preserved.
    preserve_formatting: Option<bool>,
    /// Accepted without effect.
    context: Option<String>,
    /// Accepted without effect.
    enable_beta_languages: Option<bool>,
    /// Id of a glossary for the two languages; needs `source_lang`.
    glossary_id: Option<String>,
    /// API key, where one is needed and no header has it.
    auth_key: Option<String>,
}

/// Translated texts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Translations {
    translations: Vec<TranslationBody>,
}

/// A translated text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TranslationBody {
    /// The language that the text was in.
    detected_source_language: String,
    /// The translation.
    text: String,
    /// Characters of the text, unless `show_billed_characters` is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    billed_characters: Option<u64>,
    /// Kind of the model that was used, where `model_type` asked for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_type_used: Option<&'static str>,
}

/// A language.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = deepl::LanguageBody)]
pub(super) struct LanguageBody {
    language: String,
    name: String,
    supports_formality: bool,
}

/// Translates texts.
#[utoipa::path(
    post, path = "/v2/translate", tag = "DeepL",
    request_body(content = TranslateBody, examples(
        ("Texts" = (value = json!({"text": ["Good morning!", "Where is the train station?"], "target_lang": "FR"}))),
        ("HTML" = (value = json!({"text": ["<p>Open <b>this door</b>.</p>"], "source_lang": "EN", "target_lang": "FR", "tag_handling": "html"}))),
        ("XML with elements that stay as they are" = (value = json!({
            "text": ["<par>Run <code>make build</code> first.</par>"], "source_lang": "EN", "target_lang": "FR", "tag_handling": "xml",
            "ignore_tags": ["code"], "outline_detection": false, "splitting_tags": ["par"],
        }))),
    )),
    responses(
        (status = 200, description = "The translations", body = Translations),
        (status = 400, description = "Invalid request"),
        (status = 403, description = "Missing or wrong key"),
        (status = 404, description = "Glossary not found"),
        (status = 413, description = "Too large"),
        (status = 429, description = "Too many requests; see Retry-After"),
        (status = 503, description = "No model is available"),
    )
)]
pub(super) async fn translate(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |parameters: Parameters, requester: &Requester| {
        let (texts, source, target) = read(&api, &parameters)?;
        let options = Options::read(&parameters, &target)?;
        if let Some(id) = &options.glossary_id {
            glossaries::check(&api, id, &source, &target)?;
        }
        let count = |text: &String| text.chars().count() as u64;
        requester.client.bill(texts.iter().map(count).sum());
        let wanted = TranslationOptions {
            tier: options.tier,
            format: options.format,
            splitting: options.splitting,
            xml: options.xml,
            glossary_id: options.glossary_id,
            ..TranslationOptions::new(&source, &target)
        };
        let translations = api.translate_all(&texts, &wanted, requester.id).await;
        let translations = translations.map_err(|error| match error.code() {
            Some(ErrorCode::UnsupportedPair) => unsupported("source_lang"),
            _ => error,
        })?;
        let body = texts.iter().zip(translations).map(|(text, translation)| {
            let made = translation.made.as_ref();
            let language = match made {
                Some(made) => made.source.as_str(),
                // The language cannot be detected: DeepL guesses one too.
                None if source == "auto" => "en",
                None => &source,
            };
            TranslationBody {
                detected_source_language: language.to_ascii_uppercase(),
                text: translation.text,
                billed_characters: options.shows_billed_characters.then(|| count(text)),
                model_type_used: options
                    .shows_model_type
                    .then(|| model_type(made.map_or(wanted.tier, |made| made.tier))),
            }
        });
        Ok(HttpResponse::Ok().json(Translations {
            translations: body.collect(),
        }))
    };
    let route = ("deepl_translate", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

fn read(api: &Api, parameters: &Parameters) -> Result<(Vec<String>, String, String), ApiError> {
    let texts = match parameters.texts("text")?.ok_or_else(|| missing("text"))? {
        Texts::One(text) => vec![text],
        Texts::Many(texts) => texts,
    };
    if texts.is_empty() {
        return Err(missing("text"));
    }
    if texts.len() > api.max_texts {
        let limit = api.max_texts;
        let message = format!("Too many texts: at most {limit} in a request.");
        return Err(ApiError::new(
            actix_web::http::StatusCode::PAYLOAD_TOO_LARGE,
            message,
        ));
    }
    let (source, target) = pair(api, parameters)?;
    let source = source.map_or_else(|| "auto".to_owned(), |source| source.to_string());
    Ok((texts, source, target.to_string()))
}

fn missing(name: &str) -> ApiError {
    ApiError::bad(format!("Parameter '{name}' not specified."))
}

/// The languages of a request; the source is absent if it is to be detected.
fn pair(api: &Api, parameters: &Parameters) -> Result<(Option<Language>, Language), ApiError> {
    let tag = |name| -> Result<Option<String>, ApiError> {
        Ok(parameters.text(name)?.filter(|tag| !tag.is_empty()))
    };
    let known = |tag: &str, name, known: &BTreeSet<Language>| {
        let language = tag.parse().ok().filter(|language| known.contains(language));
        language.ok_or_else(|| unsupported(name))
    };
    let catalogue = api.catalogue();
    let target = tag("target_lang")?.ok_or_else(|| missing("target_lang"))?;
    let target = known(&target, "target_lang", &catalogue.targets)?;
    let source = match tag("source_lang")? {
        None => None,
        Some(tag) => Some(known(&tag, "source_lang", &catalogue.sources)?),
    };
    Ok((source, target))
}

/// The kind of a model in DeepL's words.
const fn model_type(tier: ModelType) -> &'static str {
    match tier {
        ModelType::Premium => "quality_optimized",
        ModelType::Basic | ModelType::Medium => "latency_optimized",
    }
}

/// Paths of DeepL's other endpoints: lists, which are empty.
pub(super) fn empty_lists(to: &mut web::ServiceConfig) {
    for (path, list) in [
        ("/v3/style_rules", "style_rules"),
        ("/v3/translation_memories", "translation_memories"),
    ] {
        let none = move || async move { HttpResponse::Ok().json(json!({ list: [] })) };
        to.service(get(path, none));
    }
}

/// Tells how many characters this key had translated since the node started.
#[utoipa::path(
    get, path = "/v2/usage", tag = "DeepL",
    responses((status = 200, description = "`character_count` and `character_limit`"))
)]
pub(super) async fn usage(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |_: Parameters, requester: &Requester| {
        Ok(HttpResponse::Ok().json(json!({
            "character_count": requester.client.characters(),
            "character_limit": NO_LIMIT,
        })))
    };
    let route = ("deepl_usage", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

/// Lists the languages.
#[utoipa::path(
    get, path = "/v2/languages", tag = "DeepL", 
    params(("type" = Option<String>, Query, description = "\"source\" (as if nothing were said) or \"target\"")),
    responses((status = 200, description = "The languages", body = [LanguageBody]))
)]
pub(super) async fn languages(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    // Clients put the kind into the query, or into a body even with GET.
    let answer = async |parameters: Parameters, _: &Requester| {
        let catalogue = api.catalogue();
        let languages = match parameters.text("type")?.as_deref() {
            None | Some("source") => &catalogue.sources,
            Some("target") => &catalogue.targets,
            Some(_) => return Err(unsupported("type")),
        };
        let body = languages.iter().map(|language| LanguageBody {
            language: language.as_str().to_ascii_uppercase(),
            name: language.english_name().to_owned(),
            supports_formality: false,
        });
        let body: Vec<_> = body.collect();
        Ok(HttpResponse::Ok().json(body))
    };
    let route = ("deepl_languages", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}
