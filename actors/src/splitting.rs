//! From a request for several languages to jobs for one each.

use crate::domain::{ErrorCode, Language, RequestError, TranslationRequest, parse_language};

/// One target of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A request for this language alone.
    Job {
        /// The language, by which its topic is found.
        target: Language,
        /// The request, with this target alone, spelled as the sender did.
        request: TranslationRequest,
    },
    /// This target cannot be had; the others can.
    Refused {
        /// The target as the sender spelled it.
        target: String,
        /// Why.
        error: RequestError,
    },
}

/// Splits a request into its targets. `served` are the languages that the cluster has topics for.
///
/// # Errors
/// Those of [`TranslationRequest::validate`], which concern the request as a whole.
pub fn split(
    request: &TranslationRequest,
    max_text_chars: usize,
    served: &[Language],
) -> Result<Vec<Part>, RequestError> {
    request.validate(max_text_chars)?;
    let part = |tag: &str| match target(tag, served) {
        Ok(target) => Part::Job {
            target,
            request: request.only_for(tag),
        },
        Err(error) => Part::Refused {
            target: tag.to_owned(),
            error,
        },
    };
    Ok(request.targets().map(part).collect())
}

fn target(tag: &str, served: &[Language]) -> Result<Language, RequestError> {
    let language = parse_language("targetLanguages", tag)?;
    if served.contains(&language) {
        return Ok(language);
    }
    let message = format!(
        "no node translates to {language}, only to {}",
        crate::routing::list(served)
    );
    Err(RequestError::new(ErrorCode::UnsupportedLanguage, message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(targets: &[String]) -> TranslationRequest {
        let json =
            serde_json::json!({"messageId": "m", "text": "hello", "targetLanguages": targets});
        TranslationRequest::decode(json.to_string().as_bytes()).unwrap()
    }

    proptest! {
        #[test]
        fn every_target_is_answered_exactly_once(
            targets in prop::collection::vec("(fr|de|FR|xx|klingon|)", 1..8),
        ) {
            let served = ["fr".parse().unwrap(), "de".parse().unwrap()];
            let request = request(&targets);
            let parts = split(&request, 100, &served).unwrap();
            let mut seen: Vec<String> = parts
                .iter()
                .map(|part| match part {
                    Part::Job { request, target } => {
                        let tags: Vec<_> = request.targets().collect();
                        assert_eq!(tags.len(), 1);
                        assert!(served.contains(target));
                        tags[0].to_owned()
                    }
                    Part::Refused { target, .. } => target.clone(),
                })
                .collect();
            let mut wanted: Vec<String> = targets.clone();
            wanted.sort_unstable();
            wanted.dedup();
            seen.sort_unstable();
            prop_assert_eq!(seen, wanted);
        }
    }

    #[test]
    fn a_language_that_nobody_serves_is_refused_beside_one_that_is() {
        let served = ["fr".parse().unwrap()];
        let parts = split(
            &request(&["fr".into(), "xx".into(), "klingon".into()]),
            100,
            &served,
        )
        .unwrap();
        let codes: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Part::Job { .. } => None,
                Part::Refused { error, .. } => Some(error.code),
            })
            .collect();
        assert_eq!(
            codes,
            [
                None,
                Some(ErrorCode::UnsupportedLanguage),
                Some(ErrorCode::InvalidLanguage)
            ]
        );
    }
}
