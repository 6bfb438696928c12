//! From a request for several languages to jobs for one each.

use std::collections::HashSet;

use crate::domain::{ErrorCode, Language, RequestError, TranslationRequest, parse_language};

/// Limits that a request must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest text, in characters.
    pub text_chars: usize,
    /// Most target languages.
    pub targets: usize,
    /// Longest `messageId`, `taskId`, `conversationId`, `glossaryId` and `sourceLanguage`, in bytes. Every answer to a request, or every job of
    /// it, repeats them.
    pub id_bytes: usize,
}

/// Result of splitting a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// A request for each language that is served, with this target alone, spelled as the sender did.
    pub jobs: Vec<(Language, TranslationRequest)>,
    /// The other targets, as the sender spelled them, with the reason of each.
    pub refused: Vec<(String, RequestError)>,
}

/// Splits a request into its targets. Each language counts once: of several spellings (`fr`, `fr-FR`) the first is answered. `served` are the
/// languages that the cluster has topics for. Takes linear time in what the request names.
///
/// # Errors
/// Those of [`TranslationRequest::validate`] and [`ErrorCode::InvalidRequest`] for too many targets, which concern the request as a whole.
pub fn split(
    request: &TranslationRequest,
    limits: Limits,
    served: &[Language],
) -> Result<Split, RequestError> {
    check_fan_out(request, limits)?;
    request.validate(limits.text_chars)?;
    let mut split = Split {
        jobs: Vec::new(),
        refused: Vec::new(),
    };
    for (tag, language) in distinct_targets(request) {
        match language {
            Ok(language) if served.contains(&language) => {
                split.jobs.push((language, request.only_for(tag)));
            }
            Ok(language) => split
                .refused
                .push((tag.to_owned(), unserved(language, served))),
            Err(error) => split.refused.push((tag.to_owned(), error)),
        }
    }
    Ok(split)
}

/// The targets of a request, in order, as the sender spelled them: each language once, by its first spelling, and each tag that is none once.
pub fn distinct_targets(
    request: &TranslationRequest,
) -> impl Iterator<Item = (&str, Result<Language, RequestError>)> {
    let mut seen = HashSet::new();
    request.targets().filter_map(move |tag| {
        let language = parse_language("targetLanguages", tag);
        let is_new = language.as_ref().map_or(true, |l| seen.insert(*l));
        is_new.then_some((tag, language))
    })
}

/// Whether the answers of a request stay within limits: how many answers it gets, and how much of it each of them
/// repeats. A request beyond them gets one answer as a whole.
///
/// # Errors
/// [`ErrorCode::InvalidRequest`].
pub fn check_fan_out(request: &TranslationRequest, limits: Limits) -> Result<(), RequestError> {
    let refused = |message| Err(RequestError::new(ErrorCode::InvalidRequest, message));
    let repeated = [
        ("messageId", Some(&request.message_id)),
        ("taskId", request.task_id.as_ref()),
        ("conversationId", request.conversation_id.as_ref()),
        ("glossaryId", request.glossary_id.as_ref()),
        ("sourceLanguage", Some(&request.source_language)),
    ];
    for (field, value) in repeated {
        let (bytes, most) = (value.map_or(0, String::len), limits.id_bytes);
        if bytes > most {
            return refused(format!("{field} has {bytes} bytes, the limit is {most}"));
        }
    }
    let (count, most) = (request.targets().count(), limits.targets);
    if count > most {
        return refused(format!(
            "the request names {count} target languages, the limit is {most}"
        ));
    }
    Ok(())
}

fn unserved(language: Language, served: &[Language]) -> RequestError {
    let message = format!(
        "no node supports the target language {language}; available: {}",
        crate::routing::list(served)
    );
    RequestError::new(ErrorCode::UnsupportedLanguage, message)
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

    const LIMITS: Limits = Limits {
        text_chars: 100,
        targets: 64,
        id_bytes: 20,
    };

    fn served() -> [Language; 2] {
        ["fr".parse().unwrap(), "de".parse().unwrap()]
    }

    proptest! {
        #[test]
        fn every_language_is_answered_exactly_once_by_its_first_spelling(
            targets in prop::collection::vec("(fr|de|FR|fr-CA|xx|klingon|)", 1..8),
        ) {
            let split = split(&request(&targets), LIMITS, &served()).unwrap();
            let mut seen: Vec<String> = split.refused.into_iter().map(|(tag, _)| tag).collect();
            for (language, request) in split.jobs {
                let tags: Vec<_> = request.targets().collect();
                prop_assert_eq!(tags.len(), 1);
                prop_assert_eq!(tags[0].parse::<Language>().unwrap(), language);
                prop_assert!(served().contains(&language));
                seen.push(tags[0].to_owned());
            }
            let mut languages = HashSet::new();
            let first = |tag: &&String| match tag.parse::<Language>() {
                Ok(language) => languages.insert(language.to_string()),
                Err(_) => languages.insert(format!("not a tag: {tag}")),
            };
            let mut wanted: Vec<String> = targets.iter().filter(first).cloned().collect();
            wanted.sort_unstable();
            seen.sort_unstable();
            prop_assert_eq!(seen, wanted);
        }
    }

    #[test]
    fn an_unserved_language_is_rejected_next_to_a_served_one() {
        let request = request(&["fr".into(), "xx".into(), "klingon".into()]);
        let split = split(&request, LIMITS, &served()).unwrap();
        assert_eq!(split.jobs.len(), 1);
        let codes: Vec<_> = split.refused.iter().map(|(_, error)| error.code).collect();
        assert_eq!(
            codes,
            [ErrorCode::UnsupportedLanguage, ErrorCode::InvalidLanguage]
        );
    }

    #[test]
    fn repeated_fields_are_limited() {
        let long = "x".repeat(21);
        let mut requests = vec![request(&["fr".into()]); 4];
        requests[0].message_id.clone_from(&long);
        requests[1].task_id = Some(long.clone());
        requests[2].conversation_id = Some(long.clone());
        requests[3].source_language.clone_from(&long);
        for request in requests {
            let error = split(&request, LIMITS, &served()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequest);
            assert!(error.message.contains("21 bytes"), "{error}");
        }
    }

    #[test]
    fn too_many_targets_are_refused_as_a_whole_in_linear_time() {
        let targets: Vec<String> = (0..100_000).map(|n| format!("x{n:05}")).collect();
        let error = split(&request(&targets), LIMITS, &served()).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert!(
            error.message.contains("100000") && error.message.contains("64"),
            "{error}"
        );
        assert!(split(&request(&targets[..64]), LIMITS, &served()).is_ok());
    }
}
