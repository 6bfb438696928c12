//! Translating a document.

use std::{sync::Arc, time::Instant};

use babelmesh_actors::{
    detect::{Finding, detect},
    domain::{ClientId, Format, Language, Priority},
};
use babelmesh_documents::Document;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::spawn_blocking;

use super::Api;
use crate::{
    documents::{DocumentId, Findings, NewDocument, Translation, Work},
    error::ApiError,
    translation::TranslationOptions,
};

/// Bytes of words from which the language of a document is detected.
const SAMPLE_BYTES: usize = 8 << 10;

impl Api {
    /// Holds a document, and has it translated in the background.
    ///
    /// # Errors
    /// 400 for a kind that is not supported, 429 when too many documents are held, 503 while the node stops.
    pub(crate) fn translate_document(
        self: &Arc<Self>,
        document: NewDocument,
    ) -> Result<DocumentId, ApiError> {
        let id = self.documents.admit(&document)?;
        let (api, own) = (Arc::clone(self), id.id.clone());
        self.documents.runtime.spawn(async move {
            let translation = translate(&api, &own, document);
            api.documents.carry_out(&own, translation).await;
        });
        Ok(id)
    }
}

/// Translates a document. The error is for its sender.
async fn translate(api: &Api, id: &str, document: NewDocument) -> Result<Translation, String> {
    let documents = &api.documents;
    let NewDocument {
        name,
        bytes,
        work,
        client,
        client_id,
    } = document;
    let _permit = documents.turn().await;
    let started = Instant::now();
    let limits = documents.config.limits(api.parts.max_text_chars);
    let parsed = spawn_blocking(move || Document::parse(&name, Vec::from(bytes), &limits)).await;
    let document = parsed
        .map_err(|_| "the document cannot be read".to_owned())?
        .map_err(|error| error.to_string())?;
    let characters = document.chars();
    documents.progress(id, 0, characters, started);
    let source = match work.source {
        Some(source) => source,
        None => language(api, &document, work.target)?,
    };
    let translated = segments(api, (id, client_id), &document, (source, &work), started).await?;
    let (texts, findings) = translated;
    let written = spawn_blocking(move || document.write(&texts)).await;
    let bytes = written
        .map_err(|_| "the translated document cannot be written".to_owned())?
        .map_err(|error| error.to_string())?;
    client.bill(characters);
    Ok(Translation {
        bytes: bytes.into(),
        characters,
        findings,
    })
}

/// The language of a document.
fn language(api: &Api, document: &Document, target: Language) -> Result<Language, String> {
    let sample = document.sample(SAMPLE_BYTES).join("\n");
    let sources: Vec<Language> = api.catalogue().sources.iter().copied().collect();
    match detect(&sample, Format::Text, &sources, target) {
        Some(Finding::Candidate(found)) => Ok(found.language),
        Some(Finding::Foreign(Some(language))) => Err(format!(
            "the document seems to be in {} ({language}), which no model reads",
            language.english_name()
        )),
        Some(Finding::Foreign(None)) => {
            Err("the document seems to be in a language that no model reads".to_owned())
        }
        // There is nothing to translate, or nothing that tells.
        None if document.segments().is_empty() => Ok(target),
        None => Err("the language of the document is not detected: name it".to_owned()),
    }
}

/// Translates the segments of a document. Returns the translations, and what their checks found.
async fn segments(
    api: &Api,
    (id, client): (&str, ClientId),
    document: &Document,
    (source, work): (Language, &Work),
    started: Instant,
) -> Result<(Vec<String>, Findings), String> {
    let documents = &api.documents;
    let total = document.chars();
    let one = async |number: usize| {
        let segment = &document.segments()[number];
        let options = TranslationOptions {
            tier: work.tier,
            glossary_id: work.glossary_id.clone(),
            format: segment.format,
            xml: segment.xml().map(Box::new),
            priority: Priority::Low,
            timeout: Some(documents.config.timeout().saturating_sub(started.elapsed())),
            ..TranslationOptions::new(source.to_string(), work.target.to_string())
        };
        let translated = api.translate(&segment.text, &options, client).await;
        translated
            .map(|translation| (translation, segment.chars() as u64))
            .map_err(|error| format!("segment {}: {}", number + 1, error.message))
    };
    let mut translations = stream::iter(0..document.segments().len())
        .map(one)
        .buffered(documents.config.max_segments_in_flight);
    let mut texts = Vec::with_capacity(document.segments().len());
    let (mut done, mut findings) = (0, Findings::default());
    while let Some((translation, characters)) = translations.try_next().await? {
        done += characters;
        documents.progress(id, done, total, started);
        if let Some(checks) = translation.made.and_then(|made| made.checks) {
            findings.flagged_segments += 1;
            findings.untranslated_sentences += u64::from(checks.source);
        }
        texts.push(translation.text);
    }
    Ok((texts, findings))
}
