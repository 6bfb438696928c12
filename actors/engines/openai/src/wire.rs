//! Requests and answers of the endpoint, in JSON.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// The body of a request to `/chat/completions`.
#[derive(Debug, Serialize)]
pub(crate) struct ChatRequest<'r> {
    pub(crate) model: &'r str,
    pub(crate) messages: Vec<Message<'r>>,
    pub(crate) temperature: f64,
    pub(crate) max_tokens: u32,
    pub(crate) stream: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) logprobs: bool,
}

/// A message of the conversation.
#[derive(Debug, Serialize)]
pub(crate) struct Message<'r> {
    pub(crate) role: &'static str,
    pub(crate) content: &'r str,
}

/// An answer of `/chat/completions`, as far as it is used.
#[derive(Debug, Deserialize)]
struct ChatResponse {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Answer,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<Logprobs>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Logprobs {
    #[serde(default)]
    content: Option<Vec<TokenLogprob>>,
}

#[derive(Debug, Deserialize)]
struct TokenLogprob {
    logprob: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u32>,
    #[serde(default)]
    completion_tokens: Option<u32>,
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// It was done.
    Stop,
    /// The answer reached its longest length.
    Length,
    /// The server or the model refused.
    Refused,
    /// Anything else: a call of a tool, for example.
    Other,
}

/// A completion.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Completion {
    pub(crate) text: String,
    pub(crate) finish: Finish,
    /// Mean log-probability of the tokens, zero or below; `None` where the server does not tell it.
    pub(crate) score: Option<f32>,
    /// Tokens of the whole prompt.
    pub(crate) input_tokens: Option<u32>,
    /// Tokens of the whole answer.
    pub(crate) output_tokens: Option<u32>,
}

/// Reads an answer of `/chat/completions`. The error does not repeat it.
pub(crate) fn read_completion(body: &[u8]) -> Result<Completion, String> {
    let response: ChatResponse = serde_json::from_slice(body).map_err(|error| {
        format!(
            "the answer is not a chat completion (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    let choice = response.choices.into_iter().next();
    let choice = choice.ok_or("the answer has no choice")?;
    let finish = match choice.finish_reason.as_deref() {
        _ if choice.message.refusal.is_some_and(|text| !text.is_empty()) => Finish::Refused,
        None | Some("" | "stop" | "eos" | "end_turn") => Finish::Stop,
        Some("length" | "max_tokens") => Finish::Length,
        Some("content_filter" | "refusal") => Finish::Refused,
        Some(_) => Finish::Other,
    };
    let usage = response.usage.as_ref();
    Ok(Completion {
        text: choice.message.content.unwrap_or_default(),
        finish,
        score: choice.logprobs.as_ref().and_then(mean),
        input_tokens: usage.and_then(|usage| usage.prompt_tokens),
        output_tokens: usage.and_then(|usage| usage.completion_tokens),
    })
}

/// Some servers write minus infinity as a large number.
const MIN_LOGPROB: f64 = -1_000.0;

fn mean(logprobs: &Logprobs) -> Option<f32> {
    let tokens = logprobs.content.as_ref()?;
    let finite = tokens.iter().filter_map(|token| token.logprob);
    let finite: Vec<f64> = finite.filter(|logprob| logprob.is_finite()).collect();
    let mean = finite.iter().sum::<f64>() / finite.len() as f64;
    mean.is_finite()
        .then_some(mean.clamp(MIN_LOGPROB, 0.0) as f32)
}

/// Reads the ids of the models in an answer of `/models`.
pub(crate) fn read_models(body: &[u8]) -> Result<HashSet<String>, String> {
    #[derive(Deserialize)]
    struct Models {
        data: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
    }
    let models: Models = serde_json::from_slice(body)
        .map_err(|_| "the answer is not a list of models".to_owned())?;
    Ok(models.data.into_iter().map(|model| model.id).collect())
}

/// The code of an error of the endpoint, such as `context_length_exceeded`. Its message is not used: it may repeat the text or the key.
pub(crate) fn error_code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        error: Detail,
    }
    #[derive(Deserialize)]
    struct Detail {
        code: Option<serde_json::Value>,
        #[serde(rename = "type")]
        kind: Option<serde_json::Value>,
    }
    const MOST: usize = 48;
    let Detail { code, kind } = serde_json::from_slice::<Body>(body).ok()?.error;
    let is_code = |text: &&str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c == '_';
        !text.is_empty() && text.len() <= MOST && text.chars().all(allowed)
    };
    let text = |value: &Option<serde_json::Value>| {
        let text = value.as_ref().and_then(serde_json::Value::as_str);
        text.filter(is_code).map(str::to_owned)
    };
    text(&code).or_else(|| text(&kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_completion_is_read_with_its_usage_and_score() {
        let body = br#"{"id": "x", "choices": [{"message": {"role": "assistant", "content": "Bom dia"}, "finish_reason": "stop",
            "logprobs": {"content": [{"token": "Bom", "logprob": -0.5}, {"token": " dia", "logprob": -1.5}]}}],
            "usage": {"prompt_tokens": 21, "completion_tokens": 3}}"#;
        let read = read_completion(body).unwrap();
        let expected = Completion {
            text: "Bom dia".to_owned(),
            finish: Finish::Stop,
            score: Some(-1.0),
            input_tokens: Some(21),
            output_tokens: Some(3),
        };
        assert_eq!(read, expected);
        let least = read_completion(br#"{"choices": [{"message": {"content": "a"}}]}"#).unwrap();
        assert_eq!((least.finish, least.score), (Finish::Stop, None));
    }

    #[test]
    fn why_the_model_stopped_is_known() {
        let finish = |reason: &str| {
            let body = format!(
                r#"{{"choices": [{{"message": {{"content": "a"}}, "finish_reason": "{reason}"}}]}}"#
            );
            read_completion(body.as_bytes()).unwrap().finish
        };
        assert_eq!(finish("stop"), Finish::Stop);
        assert_eq!(finish("length"), Finish::Length);
        assert_eq!(finish("content_filter"), Finish::Refused);
        assert_eq!(finish("tool_calls"), Finish::Other);
        let refusal = br#"{"choices": [{"message": {"content": null, "refusal": "No."}, "finish_reason": "stop"}]}"#;
        assert_eq!(read_completion(refusal).unwrap().finish, Finish::Refused);
    }

    #[test]
    fn errors_do_not_repeat_the_answer() {
        for body in ["secret", "{\"choices\": \"secret\"}", "{\"choices\": []}"] {
            let error = read_completion(body.as_bytes()).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        let code = |body: &str| error_code(body.as_bytes());
        let body = r#"{"error": {"message": "key sk-1", "code": "invalid_api_key"}}"#;
        assert_eq!(code(body).as_deref(), Some("invalid_api_key"));
        let body = r#"{"error": {"code": 404, "type": "NotFoundError"}}"#;
        assert_eq!(code(body), None);
        assert_eq!(code(r#"{"error": {"code": "sk-1"}}"#), None);
        assert_eq!(code("no"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (read_completion(&bytes), read_models(&bytes), error_code(&bytes));
        }

        #[test]
        fn scores_are_finite_and_not_above_zero(logprobs in prop::collection::vec(-1e300_f64..1e300, 0..5)) {
            let tokens: Vec<_> = logprobs.iter().map(|logprob| serde_json::json!({"logprob": logprob})).collect();
            let body = serde_json::json!({"choices": [{"message": {"content": "a"}, "logprobs": {"content": tokens}}]});
            let score = read_completion(body.to_string().as_bytes()).unwrap().score;
            prop_assert!(score.is_none_or(|score| score <= 0.0));
        }
    }
}
