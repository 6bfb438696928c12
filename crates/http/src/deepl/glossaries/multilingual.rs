//! `/v3/glossaries`: glossaries for several pairs of languages, which can be changed.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use babelmesh_actors::{
    domain::{Glossary, GlossaryDictionary},
    glossaries::KnownGlossary,
    text::glossary::tables,
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    super::super::{
        body::Parameters,
        edge::{get, resource},
        error::{ApiError, Dialect},
        state::{Api, Requester},
    },
    creation_time, find, id, new_id, not_found, now_ms, position, reading, tag,
};

/// A glossary.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MultilingualGlossaryBody {
    glossary_id: String,
    name: String,
    dictionaries: Vec<DictionaryBody>,
    creation_time: String,
}

/// A dictionary of a glossary, without its entries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DictionaryBody {
    source_lang: String,
    target_lang: String,
    entry_count: usize,
}

/// A dictionary with its entries.
#[derive(ToSchema)]
#[schema(as = deepl::DictionaryEntriesBody)]
#[expect(dead_code, reason = "it only describes what is read by hand")]
pub(crate) struct DictionaryEntriesBody {
    source_lang: String,
    target_lang: String,
    /// One entry in a line: the term and its translation.
    entries: String,
    /// "tsv" or "csv".
    entries_format: String,
}

/// A glossary to create or to change.
#[derive(ToSchema)]
#[schema(as = deepl::MultilingualGlossaryEntriesBody)]
#[expect(dead_code, reason = "it only describes what is read by hand")]
pub(crate) struct MultilingualGlossaryEntriesBody {
    name: String,
    dictionaries: Vec<DictionaryEntriesBody>,
}

impl DictionaryBody {
    fn of(dictionary: &GlossaryDictionary) -> Self {
        Self {
            source_lang: tag(dictionary.source_language),
            target_lang: tag(dictionary.target_language),
            entry_count: dictionary.terms.len(),
        }
    }
}

impl MultilingualGlossaryBody {
    fn of(known: &KnownGlossary) -> Self {
        let glossary = known.glossary();
        Self {
            glossary_id: known.id().to_owned(),
            name: glossary.name.clone(),
            dictionaries: glossary
                .dictionaries
                .iter()
                .map(DictionaryBody::of)
                .collect(),
            creation_time: creation_time(glossary.created_ms),
        }
    }
}

pub(super) fn routes(to: &mut web::ServiceConfig) {
    to.service(
        resource("/v3/glossaries", "GET, HEAD, POST, OPTIONS")
            .route(web::get().to(list))
            .route(web::post().to(create)),
    )
    .service(
        resource("/v3/glossaries/{id}", "GET, HEAD, PATCH, DELETE, OPTIONS")
            .route(web::get().to(show))
            .route(web::patch().to(change))
            .route(web::delete().to(super::delete)),
    )
    .service(get("/v3/glossaries/{id}/entries", entries))
    .service(
        resource("/v3/glossaries/{id}/dictionaries", "PUT, DELETE, OPTIONS")
            .route(web::put().to(replace))
            .route(web::delete().to(remove)),
    );
}

/// Creates a glossary.
#[utoipa::path(
    post, path = "/v3/glossaries", tag = "DeepL", request_body = MultilingualGlossaryEntriesBody,
    responses(
        (status = 201, description = "The glossary", body = MultilingualGlossaryBody),
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
        let missing = || ApiError::bad("Parameter 'dictionaries' not specified.");
        let glossary = Glossary {
            name: reading::text(&parameters, "name")?,
            created_ms: now_ms(),
            dictionaries: reading::dictionaries(&parameters, limits)?.ok_or_else(missing)?,
        };
        let id = new_id();
        api.parts.glossaries.create(&id, glossary).await?;
        // It may have been deleted at once.
        let known = api.parts.glossaries.get(&id).ok_or_else(not_found)?;
        Ok(HttpResponse::Created().json(MultilingualGlossaryBody::of(&known)))
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

/// Lists the glossaries.
#[utoipa::path(
    get, path = "/v3/glossaries", tag = "DeepL",
    responses((status = 200, description = "The list `glossaries`", body = [MultilingualGlossaryBody]))
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
            .map(|one| MultilingualGlossaryBody::of(one))
            .collect();
        Ok(HttpResponse::Ok().json(json!({ "glossaries": bodies })))
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

/// Shows a glossary, without its entries.
#[utoipa::path(
    get, path = "/v3/glossaries/{id}", tag = "DeepL",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The glossary", body = MultilingualGlossaryBody),
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
        Ok(HttpResponse::Ok().json(MultilingualGlossaryBody::of(&known)))
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

/// Changes the name of a glossary, and adds entries to its dictionaries. An entry with a known term replaces the one before.
#[utoipa::path(
    patch, path = "/v3/glossaries/{id}", tag = "DeepL", request_body = MultilingualGlossaryEntriesBody,
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The glossary", body = MultilingualGlossaryBody),
        (status = 400, description = "Invalid request"),
        (status = 404, description = "Glossary not found"),
    )
)]
pub(crate) async fn change(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |parameters: Parameters, _: &Requester| {
        let limits = api.parts.glossaries.limits().terms;
        let name = parameters.text("name")?;
        let dictionaries = reading::dictionaries(&parameters, limits)?;
        if name.is_none() && dictionaries.is_none() {
            return Err(ApiError::bad(
                "Neither 'name' nor 'dictionaries' specified.",
            ));
        }
        let change = |glossary: &mut Glossary| {
            glossary.name = name.unwrap_or(std::mem::take(&mut glossary.name));
            for dictionary in dictionaries.into_iter().flatten() {
                merge(glossary, dictionary);
            }
            Ok::<_, ApiError>(())
        };
        let known = api.parts.glossaries.change(id(&request), change).await?;
        Ok(HttpResponse::Ok().json(MultilingualGlossaryBody::of(&known)))
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

/// Adds the entries of a dictionary to a glossary.
fn merge(glossary: &mut Glossary, added: GlossaryDictionary) {
    let Some(at) = position(glossary, &added) else {
        glossary.dictionaries.push(added);
        return;
    };
    let terms = &mut glossary.dictionaries[at].terms;
    let sources: std::collections::HashSet<&str> = added
        .terms
        .iter()
        .map(|term| term.source.as_str())
        .collect();
    terms.retain(|term| !sources.contains(term.source.as_str()));
    terms.extend(added.terms);
}

/// Shows the entries of a dictionary.
#[utoipa::path(
    get, path = "/v3/glossaries/{id}/entries", tag = "DeepL",
    params(
        ("id" = String, Path, description = "Id of the glossary"),
        ("source_lang" = String, Query, description = "Language of the terms"),
        ("target_lang" = String, Query, description = "Language of their translations"),
    ),
    responses(
        (status = 200, description = "The list `dictionaries`, with `entries` as TSV"),
        (status = 404, description = "Glossary or dictionary not found"),
    )
)]
pub(crate) async fn entries(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |parameters: Parameters, _: &Requester| {
        let known = find(&api, &request)?;
        let (source, target) = reading::pair(&parameters)?;
        let found = known.glossary().dictionary(source, target);
        let dictionary = found.ok_or_else(no_dictionary)?;
        Ok(HttpResponse::Ok().json(json!({"dictionaries": [{
            "source_lang": tag(source),
            "target_lang": tag(target),
            "entries": tables::write_tsv(&dictionary.terms),
            "entries_format": "tsv",
        }]})))
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

fn no_dictionary() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "Dictionary not found")
}

/// Replaces a dictionary of a glossary, or adds it.
#[utoipa::path(
    put, path = "/v3/glossaries/{id}/dictionaries", tag = "DeepL", request_body = DictionaryEntriesBody,
    params(("id" = String, Path, description = "Id of the glossary")),
    responses(
        (status = 200, description = "The dictionary", body = DictionaryBody),
        (status = 400, description = "Invalid request"),
        (status = 404, description = "Glossary not found"),
    )
)]
pub(crate) async fn replace(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |parameters: Parameters, _: &Requester| {
        let limits = api.parts.glossaries.limits().terms;
        let dictionary = reading::dictionary(&parameters, limits)?;
        let body = DictionaryBody::of(&dictionary);
        let change = |glossary: &mut Glossary| {
            match position(glossary, &dictionary) {
                Some(at) => glossary.dictionaries[at] = dictionary,
                None => glossary.dictionaries.push(dictionary),
            }
            Ok::<_, ApiError>(())
        };
        api.parts.glossaries.change(id(&request), change).await?;
        Ok(HttpResponse::Ok().json(body))
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

/// Removes a dictionary from a glossary, unless it is the only one.
#[utoipa::path(
    delete, path = "/v3/glossaries/{id}/dictionaries", tag = "DeepL",
    params(
        ("id" = String, Path, description = "Id of the glossary"),
        ("source_lang" = String, Query, description = "Language of the terms"),
        ("target_lang" = String, Query, description = "Language of their translations"),
    ),
    responses(
        (status = 204, description = "It is removed"),
        (status = 400, description = "It is the only dictionary"),
        (status = 404, description = "Glossary or dictionary not found"),
    )
)]
pub(crate) async fn remove(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let answer = async |parameters: Parameters, _: &Requester| {
        let (source, target) = reading::pair(&parameters)?;
        let change = |glossary: &mut Glossary| {
            let all = &mut glossary.dictionaries;
            let at = all.iter().position(|one| one.is_for(source, target));
            let at = at.ok_or_else(no_dictionary)?;
            if all.len() == 1 {
                return Err(ApiError::bad(
                    "It is the only dictionary of the glossary: delete the glossary.",
                ));
            }
            all.remove(at);
            Ok(())
        };
        api.parts.glossaries.change(id(&request), change).await?;
        Ok(HttpResponse::NoContent().finish())
    };
    let route = ("deepl_glossaries", Dialect::DeepL);
    api.admitted(route, (&request, payload), answer).await
}

#[cfg(test)]
mod tests {
    use babelmesh_actors::domain::Term;

    use super::*;

    fn dictionary(target: &str, pairs: &[(&str, &str)]) -> GlossaryDictionary {
        GlossaryDictionary {
            source_language: "en".parse().unwrap(),
            target_language: target.parse().unwrap(),
            terms: pairs.iter().map(|(s, t)| Term::new(*s, *t)).collect(),
        }
    }

    #[test]
    fn entries_are_merged_by_their_terms() {
        let mut glossary = Glossary {
            name: "Shop".to_owned(),
            created_ms: 0,
            dictionaries: vec![dictionary("fr", &[("a", "b"), ("c", "d")])],
        };
        merge(&mut glossary, dictionary("fr", &[("c", "x"), ("e", "f")]));
        merge(&mut glossary, dictionary("de", &[("a", "b")]));
        let expected = [
            dictionary("fr", &[("a", "b"), ("c", "x"), ("e", "f")]),
            dictionary("de", &[("a", "b")]),
        ];
        assert_eq!(glossary.dictionaries, expected);
    }
}
