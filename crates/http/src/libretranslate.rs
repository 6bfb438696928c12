//! LibreTranslate's API, so that its clients work unchanged.

mod documents;

use std::collections::BTreeSet;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::ContentType},
    web,
};
use babelmesh_actors::domain::{
    ClientId, ErrorCode, Format, Language, MAX_ALTERNATIVES, UnknownName,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use babelmesh_documents::Kind;
pub(super) use documents::{
    __path_download_file, __path_translate_file, download_file, translate_file,
};

use super::{
    body::{Parameters, Texts},
    catalogue::LanguageBody,
    error::{ApiError, Dialect},
    meeshy,
    state::{Api, Requester},
    translation::TranslationOptions,
};

/// A text to translate.
#[derive(ToSchema)]
#[schema(as = libretranslate::TranslateBody)]
#[expect(dead_code, reason = "it only describes what is read by hand")]
pub(super) struct TranslateBody {
    /// The text, or a list of texts.
    #[schema(value_type = String, example = "Where is the train station?")]
    q: Value,
    /// Its language, or "auto".
    #[schema(example = "en")]
    source: String,
    /// The language wanted.
    #[schema(example = "fr")]
    target: String,
    /// "text", "html", "xml", "markdown", "srt" or "vtt"; "text" by default.
    format: Option<String>,
    /// How many other translations to return besides the best one, at most 10.
    alternatives: Option<u32>,
    /// API key, where one is needed.
    api_key: Option<String>,
}

/// The language of a text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Detection {
    /// How sure that is, from 0 to 100; 0 where nothing tells the language, or it is one that no model has.
    confidence: f64,
    /// Its code.
    language: String,
}

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// The error.
    error: String,
}

/// Translates a text or several.
#[utoipa::path(
    post, path = "/translate", tag = "LibreTranslate",
    request_body(content = TranslateBody, examples(
        ("A text" = (value = json!({"q": "Where is the train station?", "source": "en", "target": "fr"}))),
        ("HTML" = (value = json!({"q": "<p>I don&#39;t know <b>this door</b>.</p>", "source": "en", "target": "fr", "format": "html"}))),
        ("Several texts in Markdown" = (value = json!({
            "q": ["# The door", "Read [our guide](docs/set-up.md) first."], "source": "auto", "target": "fr", "format": "markdown",
        }))),
    )),
    responses(
        (status = 200, description = "`translatedText`, and `detectedLanguage` if the source is \"auto\"",
         content_type = "application/json", body = serde_json::Value, example = json!({"translatedText": "Où est la gare ?"})),
        (status = 400, description = "Invalid request, or an API key is needed", body = ErrorBody),
        (status = 403, description = "Wrong API key", body = ErrorBody),
        (status = 413, description = "Too large", body = ErrorBody),
        (status = 429, description = "Too many requests; see Retry-After", body = ErrorBody),
        (status = 503, description = "No model is available", body = ErrorBody),
    )
)]
pub(super) async fn translate(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |parameters: Parameters, requester: &Requester| {
        if let Parameters::Json(object) = &parameters
            && object.contains_key("text")
            && !object.contains_key("q")
        {
            return meeshy::translate_one(&api, requester, object).await;
        }
        let asked = Asked::read(&api, &parameters)?;
        requester.client.bill(asked.characters());
        asked.translate(&api, requester.id).await
    };
    let route = ("translate", Dialect::LibreTranslate);
    api.admitted(route, (&request, payload), answer).await
}

struct Asked {
    texts: Texts,
    source: String,
    target: Language,
    format: Format,
    /// How many other translations are wanted; `None` where the parameter is absent or zero.
    alternatives: Option<u8>,
}

impl Asked {
    fn read(api: &Api, parameters: &Parameters) -> Result<Self, ApiError> {
        let texts = texts(api, parameters)?;
        let source = required(parameters, "source")?;
        let target = required(parameters, "target")?;
        let catalogue = api.catalogue();
        let is_known = |language: &Language| catalogue.knows(*language);
        let asked = Self {
            texts,
            source: match source.as_str() {
                tag if tag.eq_ignore_ascii_case("auto") => "auto".to_owned(),
                tag => language(tag, is_known)?.to_string(),
            },
            target: language(&target, is_known)?,
            format: format(parameters)?,
            alternatives: alternatives(parameters)?,
        };
        asked.texts.check_lengths(api.parts.max_text_chars)?;
        Ok(asked)
    }

    fn characters(&self) -> u64 {
        self.texts
            .list()
            .iter()
            .map(|t| t.chars().count() as u64)
            .sum()
    }

    async fn translate(&self, api: &Api, client: ClientId) -> Result<HttpResponse, ApiError> {
        let options = TranslationOptions {
            format: self.format,
            alternatives: self.alternatives.unwrap_or(0),
            ..TranslationOptions::new(&self.source, self.target.to_string())
        };
        let translations = api.translate_all(self.texts.list(), &options, client).await;
        let translations = translations.map_err(|error| self.explain(error))?;
        let auto = self.source == "auto";
        let detections = || {
            translations.iter().map(|translation| {
                let made = translation.made.as_ref();
                let found = made.map(|made| (made.source.clone(), made.detected));
                // LibreTranslate's own answer where the language cannot be detected.
                let (language, confidence) = found.unwrap_or_else(|| ("en".to_owned(), None));
                Detection::new(language, confidence.unwrap_or_default())
            })
        };
        let texts = || translations.iter().map(|translation| &translation.text);
        let mut answer = match &self.texts {
            Texts::One(_) => json!({ "translatedText": texts().next() }),
            Texts::Many(_) => json!({ "translatedText": texts().collect::<Vec<_>>() }),
        };
        if auto {
            answer["detectedLanguage"] = match &self.texts {
                Texts::One(_) => json!(detections().next()),
                Texts::Many(_) => json!(detections().collect::<Vec<_>>()),
            };
        }
        if self.alternatives.is_some() {
            let mut others = translations
                .iter()
                .map(|translation| &translation.alternatives);
            answer["alternatives"] = match &self.texts {
                Texts::One(_) => json!(others.next()),
                Texts::Many(_) => json!(others.collect::<Vec<_>>()),
            };
        }
        Ok(HttpResponse::Ok().json(answer))
    }

    /// An error in the words of LibreTranslate, where it has some.
    fn explain(&self, error: ApiError) -> ApiError {
        match (error.code(), self.source.parse::<Language>()) {
            (Some(ErrorCode::UnsupportedPair | ErrorCode::UnsupportedLanguage), Ok(source)) => {
                ApiError::bad(format!(
                    "{} ({}) is not available as a target language from {} ({source})",
                    self.target.english_name(),
                    self.target,
                    source.english_name(),
                ))
            }
            _ => error,
        }
    }
}

fn required(parameters: &Parameters, name: &str) -> Result<String, ApiError> {
    let value = parameters.text(name)?.filter(|value| !value.is_empty());
    value.ok_or_else(|| ApiError::missing(name))
}

/// The parameter `alternatives`.
fn alternatives(parameters: &Parameters) -> Result<Option<u8>, ApiError> {
    let number = parameters.text("alternatives")?.unwrap_or_default();
    let number = match number.as_str() {
        "" => 0.0,
        number => number.parse().unwrap_or(f64::NAN),
    };
    if number.is_nan() {
        let message = "Invalid request: alternatives parameter is not a number";
        return Err(ApiError::bad(message));
    }
    if number > f64::from(MAX_ALTERNATIVES) {
        return Err(ApiError::bad(format!(
            "Invalid request: alternatives must be at most {MAX_ALTERNATIVES}"
        )));
    }
    Ok((number >= 1.0).then_some(number as u8))
}

/// The format of the texts; an error is in LibreTranslate's words, followed by the formats that exist.
fn format(parameters: &Parameters) -> Result<Format, ApiError> {
    let name = parameters.text("format")?.unwrap_or_default();
    if name.is_empty() {
        return Ok(Format::default());
    }
    name.parse().map_err(|error: UnknownName| {
        let (name, supported) = (error.name(), error.supported());
        ApiError::bad(format!(
            "{name} format is not supported; supported: {supported}"
        ))
    })
}

fn exceeds(size: usize, limit: usize) -> ApiError {
    ApiError::bad(format!(
        "Invalid request: request ({size}) exceeds text limit ({limit})"
    ))
}

fn language(tag: &str, is_known: impl Fn(&Language) -> bool) -> Result<Language, ApiError> {
    let language = tag.parse().ok().filter(is_known);
    language.ok_or_else(|| {
        let tag: String = tag.chars().take(40).collect();
        ApiError::bad(format!("{tag} is not supported"))
    })
}

/// Forms have the line ends of the network.
fn unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

impl Detection {
    /// A language and how sure it is, from 0 to 1.
    fn new(language: String, confidence: f64) -> Self {
        Self {
            confidence: (confidence * 1000.0).round() / 10.0,
            language,
        }
    }
}

/// The texts of a request, not more than there may be.
fn texts(api: &Api, parameters: &Parameters) -> Result<Texts, ApiError> {
    if matches!(parameters, Parameters::List(_)) {
        return Err(ApiError::bad("Invalid JSON format"));
    }
    match parameters.texts("q")? {
        Some(Texts::One(text)) if !text.is_empty() => Ok(Texts::One(match parameters.is_json() {
            true => text,
            false => unix_lines(&text),
        })),
        Some(Texts::Many(texts)) if texts.len() > api.max_texts => {
            Err(exceeds(texts.len(), api.max_texts))
        }
        Some(Texts::Many(texts)) if !texts.is_empty() => Ok(Texts::Many(texts)),
        _ => Err(ApiError::missing("q")),
    }
}

impl Texts {
    fn list(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }

    /// Whether no text has more characters than this.
    fn check_lengths(&self, limit: usize) -> Result<(), ApiError> {
        for text in self.list() {
            // A text has at most as many characters as bytes, so the common case counts nothing.
            if text.len() > limit && text.chars().count() > limit {
                return Err(exceeds(text.chars().count(), limit));
            }
        }
        Ok(())
    }
}

/// Detects the language of a text.
#[utoipa::path(
    post, path = "/detect", tag = "LibreTranslate",
    request_body(content_type = "application/json", content = serde_json::Value, example = json!({"q": "Where is the train station?"})),
    responses(
        (status = 200, description = "The likeliest language", body = [Detection]),
        (status = 400, description = "Invalid request", body = ErrorBody),
    )
)]
pub(super) async fn detect(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |parameters: Parameters, _: &Requester| {
        let texts = texts(&api, &parameters)?;
        texts.check_lengths(api.parts.max_text_chars)?;
        let detection = match api.identify(texts.list()) {
            Some(found) => Detection::new(found.language.to_string(), found.confidence),
            // LibreTranslate's own answer where the language cannot be detected.
            None => Detection::new("en".to_owned(), 0.0),
        };
        Ok(HttpResponse::Ok().json([detection]))
    };
    let route = ("detect", Dialect::LibreTranslate);
    api.admitted(route, (&request, payload), answer).await
}

/// Lists the languages and what each is translated to.
#[utoipa::path(
    get, path = "/languages", tag = "LibreTranslate",
    responses((status = 200, description = "The languages", body = [LanguageBody]))
)]
pub(super) async fn languages(api: web::Data<Api>) -> HttpResponse {
    let answer = async {
        let body = api.catalogue().languages.clone();
        Ok(HttpResponse::Ok()
            .content_type(ContentType::json())
            .body(body))
    };
    api.answer("languages", Dialect::LibreTranslate, answer)
        .await
}

/// Tells a front end what it may do.
#[utoipa::path(
    get, path = "/frontend/settings", tag = "LibreTranslate",
    responses((status = 200, description = "The settings"))
)]
pub(super) async fn settings(api: web::Data<Api>) -> HttpResponse {
    let answer = async {
        let catalogue = api.catalogue();
        let first = |languages: &BTreeSet<Language>| {
            let language = languages.first().copied();
            language.map(|l| json!({"code": l.to_string(), "name": l.english_name()}))
        };
        let timeout = u64::try_from(api.timeout.as_millis()).unwrap_or(u64::MAX);
        Ok(HttpResponse::Ok().json(json!({
            "charLimit": api.parts.max_text_chars,
            "frontendTimeout": timeout.min(500),
            "apiKeys": api.keys.are_needed(),
            "keyRequired": api.keys.are_needed(),
            "suggestions": false,
            "filesTranslation": true,
            "supportedFilesFormat": Kind::extensions().map(|ending| format!(".{ending}")),
            "language": {
                "source": {"code": "auto", "name": "Auto Detect"},
                "target": first(&catalogue.targets),
            },
        })))
    };
    api.answer("settings", Dialect::LibreTranslate, answer)
        .await
}

/// Suggestions are not kept.
pub(super) async fn no_suggestions(api: web::Data<Api>) -> HttpResponse {
    let message = "Suggestions are disabled on this server.";
    let answer = async { Err(ApiError::new(StatusCode::FORBIDDEN, message)) };
    api.answer("unsupported", Dialect::LibreTranslate, answer)
        .await
}
