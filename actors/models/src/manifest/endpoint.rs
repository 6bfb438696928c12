//! The section `endpoint` of a model that runs behind an OpenAI-compatible server.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// What a prompt can name in braces: the languages by name and by code, and the text.
pub const PLACEHOLDERS: [&str; 5] = ["source", "target", "source_code", "target_code", "text"];

/// An OpenAI-compatible server and how it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Address below which `/chat/completions` lies, such as `http://127.0.0.1:8000/v1`. It does not end with a slash.
    pub url: String,
    /// Name of the model on the server.
    pub model: String,
    /// The user's message, with [`PLACEHOLDERS`] in braces.
    pub prompt: String,
    /// The system's message, if there is one, with the same placeholders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Sampling temperature; zero is greedy.
    pub temperature: f64,
    /// Whether the server is asked for the probabilities of the tokens, from which the confidence is computed.
    pub logprobs: bool,
    /// Most requests at once of one engine process.
    pub concurrency: u16,
    /// Longest time for one request, in milliseconds.
    pub request_timeout_ms: u64,
    /// Longest time for a batch with all retries, in milliseconds.
    pub batch_timeout_ms: u64,
    /// Retries of a request that failed for a transient reason.
    pub retries: u16,
    /// Longest delay before the first retry, in milliseconds; it doubles from one to the next.
    pub initial_backoff_ms: u64,
    /// Longest such delay, in milliseconds.
    pub max_backoff_ms: u64,
    /// Largest answer of the server, in KiB.
    pub max_response_kb: u32,
    /// Absolute path of the file with the API key, which is sent as a bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<PathBuf>,
    /// Names of languages in prompts, by their tag in the manifest, where the English name does not do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub language_names: BTreeMap<String, String>,
}

impl Endpoint {
    /// Longest time for one request.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// Longest time for a batch.
    #[must_use]
    pub const fn batch_timeout(&self) -> Duration {
        Duration::from_millis(self.batch_timeout_ms)
    }
}

/// A part of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'t> {
    /// Text that stays as it is.
    Literal(&'t str),
    /// A name in braces, without them. Only lower-case letters and underscores make a name; other braces are text.
    Placeholder(&'t str),
}

/// The parts of a prompt. Takes linear time.
#[must_use]
pub fn pieces(template: &str) -> Vec<Piece<'_>> {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut pieces = Vec::new();
    let mut literal = 0;
    for (start, _) in template.match_indices('{') {
        let name = &template[start + 1..];
        let end = name.find(|c| !is_of_name(c)).unwrap_or(name.len());
        if end == 0 || !name[end..].starts_with('}') {
            continue;
        }
        if literal < start {
            pieces.push(Piece::Literal(&template[literal..start]));
        }
        pieces.push(Piece::Placeholder(&name[..end]));
        literal = start + end + 2;
    }
    if literal < template.len() {
        pieces.push(Piece::Literal(&template[literal..]));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_in_braces_are_placeholders_and_other_braces_are_text() {
        assert_eq!(
            pieces("To {target}: {\"a\": {text}} {}"),
            [
                Piece::Literal("To "),
                Piece::Placeholder("target"),
                Piece::Literal(": {\"a\": "),
                Piece::Placeholder("text"),
                Piece::Literal("} {}"),
            ]
        );
        assert_eq!(pieces(""), []);
    }

    proptest! {
        #[test]
        fn pieces_join_to_the_template(template in "[{}a-z_ é]{0,40}") {
            let joined: String = pieces(&template)
                .into_iter()
                .map(|piece| match piece {
                    Piece::Literal(text) => text.to_owned(),
                    Piece::Placeholder(name) => format!("{{{name}}}"),
                })
                .collect();
            prop_assert_eq!(joined, template);
        }
    }
}
