//! The glossary of an order, and the terms that are sent along when its text is translated elsewhere.

use std::{collections::HashSet, sync::Arc};

use crate::{
    containment::contain,
    domain::{ErrorCode, Language, Order, RequestError, Term, TranslationRequest},
    events::{Event, Observer, Stage},
    glossaries::{Glossaries, Missing},
    text::{
        format::{Options, parse},
        glossary::Dictionary,
    },
};

use super::{IntakeState, resolution::PlacementFailure};

/// A pair of languages.
type Pair = (Language, Language);

impl IntakeState {
    /// Whether the glossary of an order can be used. An order waits for glossaries that have not been read yet, and for a while for one that
    /// may have been created just before it.
    pub(super) fn check_glossary(&self, order: &Order, pair: Pair) -> Result<(), PlacementFailure> {
        let Some(id) = &order.request.glossary_id else {
            return Ok(());
        };
        let glossaries = &self.start.glossaries;
        let missing = match glossaries.has_dictionary(id, pair) {
            Ok(()) => return Ok(()),
            Err(missing) => missing,
        };
        let is_new = order.submitted.elapsed() < glossaries.limits().wait;
        let error = error(missing, id, pair);
        Err(match missing {
            Missing::Unread => PlacementFailure::Early(error),
            Missing::Unknown if is_new => PlacementFailure::Early(error),
            Missing::Unknown | Missing::Pair => PlacementFailure::Wrong(error),
        })
    }

    pub(super) fn terms(&self) -> TermSource {
        TermSource {
            glossaries: Arc::clone(&self.start.glossaries),
            observer: Arc::clone(&self.start.observer),
        }
    }
}

/// Whether a request has terms of its own or of a glossary.
pub(super) const fn has_terms(request: &TranslationRequest) -> bool {
    request.glossary_id.is_some() || !request.terms.is_empty()
}

/// Where the terms of requests come from. To prepare many terms takes some milliseconds.
pub(super) struct TermSource {
    glossaries: Arc<Glossaries>,
    observer: Arc<dyn Observer>,
}

impl TermSource {
    /// The terms of a request, prepared for its text.
    pub(super) fn dictionary(
        &self,
        request: &TranslationRequest,
        pair: Pair,
    ) -> Result<Option<Arc<Dictionary>>, RequestError> {
        match &request.glossary_id {
            Some(id) => {
                let found = self.contained(|| self.glossaries.dictionary(id, pair))?;
                found.map(Some).map_err(|missing| error(missing, id, pair))
            }
            None if request.terms.is_empty() => Ok(None),
            None => self
                .contained(|| self.glossaries.prepare(&request.terms))?
                .map(Some),
        }
    }

    /// The request for another node, or for a step of a route over a pivot: in place of a glossary, it has those terms that are in its text.
    pub(super) fn with_own_terms(
        &self,
        mut request: TranslationRequest,
        pair: Pair,
    ) -> Result<TranslationRequest, RequestError> {
        if let Some(dictionary) = self.dictionary(&request, pair)? {
            request.glossary_id = None;
            request.terms = self.contained(|| terms_in(&request, &dictionary))?;
        }
        Ok(request)
    }

    fn contained<T>(&self, task: impl FnOnce() -> T) -> Result<T, RequestError> {
        contain(task).map_err(|panic| {
            let (stage, panic) = (Stage::Intake, panic.to_string());
            self.observer
                .observe(&Event::PanicContained { stage, panic });
            let message = "internal error while looking for terms of the glossary";
            RequestError::new(ErrorCode::InternalError, message)
        })
    }
}

/// The terms in the text of a request, as they are written there.
fn terms_in(request: &TranslationRequest, dictionary: &Dictionary) -> Vec<Term> {
    let options = Options {
        splitting: request.splitting,
        xml: request.xml.as_deref(),
        // Of the attributes as well, in case they are translated.
        attributes: true,
        glossary: Some(dictionary),
        ..Options::default()
    };
    let document = parse(request.text.as_str(), request.format, &options);
    let on_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let terms = document.terms();
    let terms = terms.map(|term| Term::new(on_one_line(&term.source), on_one_line(&term.target)));
    let mut seen = HashSet::new();
    terms
        .filter(|term| seen.insert(term.source.clone()))
        .collect()
}

/// The terms that keep the targets of these as they are: for the second step of a route over a pivot.
pub(super) fn kept(terms: &[Term]) -> Vec<Term> {
    let mut seen = HashSet::new();
    let targets = terms.iter().map(|term| term.target.as_str());
    let targets = targets.filter(|target| seen.insert(*target));
    targets.map(|target| Term::new(target, target)).collect()
}

fn error(missing: Missing, id: &str, (source, target): Pair) -> RequestError {
    // The id comes from the request and may be long.
    let id = &id[..id.floor_char_boundary(64)];
    let (code, message) = match missing {
        Missing::Unread => (
            ErrorCode::GlossariesUnavailable,
            "the glossaries have not been read yet".to_owned(),
        ),
        Missing::Unknown => (
            ErrorCode::UnknownGlossary,
            format!("there is no glossary {id}"),
        ),
        Missing::Pair => (
            ErrorCode::UnknownGlossary,
            format!("glossary {id} has no dictionary for {source} to {target}"),
        ),
    };
    RequestError::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Format;

    #[test]
    fn the_terms_of_a_text_go_along_as_they_are_written_there() {
        let terms = [
            Term::new("new york", "Nouvelle York"),
            Term::new("babelmesh", "babelmesh"),
            Term::new("unused", "inutile"),
        ];
        let dictionary = Dictionary::new(terms.to_vec()).unwrap();
        let request = TranslationRequest {
            format: Format::Html,
            ..TranslationRequest::new("1", "<p title='New York'>NEW\n YORK, BabelMesh</p>", "fr")
        };
        let mut found = terms_in(&request, &dictionary);
        found.sort_by(|one, other| one.source.cmp(&other.source));
        let expected = [
            Term::new("BabelMesh", "BabelMesh"),
            Term::new("NEW YORK", "NOUVELLE YORK"),
            Term::new("New York", "Nouvelle York"),
        ];
        assert_eq!(found, expected);
        assert_eq!(kept(&found)[1], Term::new("NOUVELLE YORK", "NOUVELLE YORK"));
    }
}
