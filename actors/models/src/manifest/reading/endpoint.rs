//! Reads the section `endpoint`.

use std::{ops::RangeInclusive, path::PathBuf};

use toml::Value;

use super::Section;
use crate::manifest::{Endpoint, PLACEHOLDERS, Piece, pieces};

/// The user's message, unless the manifest has another.
const PROMPT: &str = "Translate the following text from {source} into {target}. \
    Answer with the translation only, without explanations.\n\n{text}";

const MAX_CONCURRENCY: u64 = 256;
const MAX_RETRIES: u64 = 20;
/// An hour.
const MAX_MS: u64 = 3_600_000;
const MAX_RESPONSE_KB: u64 = 65_536;
const MAX_TEMPERATURE: f64 = 2.0;

/// Reads everything; an invalid value records a problem and yields a placeholder.
pub(super) fn read(mut section: Section<'_>) -> Endpoint {
    let url = section.text("url").trim_end_matches('/').to_owned();
    if let Some(problem) = problem_of_url(&url) {
        section.report("url", problem);
    }
    let prompt = section.optional_text("prompt");
    let prompt = prompt.unwrap_or_else(|| PROMPT.to_owned());
    check_template(&mut section, "prompt", &prompt);
    let has_text = pieces(&prompt).contains(&Piece::Placeholder("text"));
    section.check("prompt", has_text, "must contain `{text}`");
    let system = section.optional_text("system");
    if let Some(system) = &system {
        check_template(&mut section, "system", system);
    }
    let endpoint = Endpoint {
        url,
        model: section.text("model"),
        prompt,
        system,
        temperature: temperature(&mut section),
        logprobs: section.flag_or("logprobs", true),
        concurrency: within(&mut section, "concurrency", 8, 1..=MAX_CONCURRENCY),
        request_timeout_ms: within(&mut section, "request_timeout_ms", 30_000, 1..=MAX_MS),
        batch_timeout_ms: within(&mut section, "batch_timeout_ms", 60_000, 1..=MAX_MS),
        retries: within(&mut section, "retries", 3, 0..=MAX_RETRIES),
        initial_backoff_ms: within(&mut section, "initial_backoff_ms", 500, 1..=MAX_MS),
        max_backoff_ms: within(&mut section, "max_backoff_ms", 10_000, 1..=MAX_MS),
        max_response_kb: within(&mut section, "max_response_kb", 1_024, 1..=MAX_RESPONSE_KB),
        api_key_file: section.optional_text("api_key_file").map(PathBuf::from),
        language_names: section.optional_text_table("language_names"),
    };
    let file = endpoint.api_key_file.as_ref();
    let is_absolute = file.is_none_or(|file| file.is_absolute());
    section.check("api_key_file", is_absolute, "must be an absolute path");
    section.refuse_the_rest();
    endpoint
}

/// What is wrong with an address. A key in it would be shown wherever the address is.
fn problem_of_url(url: &str) -> Option<&'static str> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let Some(rest) = rest else {
        return Some("must begin with `http://` or `https://`");
    };
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() {
        return Some("must name a host");
    }
    if rest.contains('@') {
        return Some("must not contain a user or password; use api_key_file");
    }
    let is_allowed = |c: char| c.is_ascii_graphic() && c != '?' && c != '#';
    (!rest.chars().all(is_allowed)).then_some("must not contain a query, a fragment or spaces")
}

fn check_template(section: &mut Section<'_>, key: &str, template: &str) {
    for piece in pieces(template) {
        if let Piece::Placeholder(name) = piece
            && !PLACEHOLDERS.contains(&name)
        {
            let known = PLACEHOLDERS.map(|name| format!("`{{{name}}}`")).join(", ");
            section.report(
                key,
                format!("`{{{name}}}` is not a placeholder; available: {known}"),
            );
        }
    }
}

fn temperature(section: &mut Section<'_>) -> f64 {
    const KEY: &str = "temperature";
    if !section.table.contains_key(KEY) {
        return 0.0;
    }
    let convert = |value: Value| match value {
        Value::Float(number) => Some(number),
        Value::Integer(number) => Some(number as f64),
        _ => None,
    };
    let temperature = section.take(KEY, "a number", convert).unwrap_or_default();
    let is_valid = (0.0..=MAX_TEMPERATURE).contains(&temperature);
    section.check(KEY, is_valid, "must be between 0 and 2");
    temperature
}

/// A whole number within bounds, or its default.
fn within<T: TryFrom<u64> + Default>(
    section: &mut Section<'_>,
    key: &str,
    default: u64,
    bounds: RangeInclusive<u64>,
) -> T {
    let number = match section.table.contains_key(key) {
        true => section.number(key),
        false => default,
    };
    if !bounds.contains(&number) {
        let message = format!("must be between {} and {}", bounds.start(), bounds.end());
        section.report(key, message);
    }
    T::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{Architecture, Manifest, ManifestError, Tier};

    fn manifest(head: &str, endpoint: &str) -> String {
        format!(
            r#"
            id = "gemma"
            name = "Gemma"
            description = "A language model"
            architecture = "openai"
            source_languages = ["en", "fr"]
            target_languages = ["pt", "de"]
            licence = "Gemma"
            attribution = "Google"
            {head}
            [limits]
            max_input_tokens = 512
            max_output_tokens = 1024
            [endpoint]
            {endpoint}
            "#
        )
    }

    const LEAST: &str = "url = \"http://127.0.0.1:8000/v1/\"\nmodel = \"gemma\"";

    fn problems(head: &str, endpoint: &str) -> String {
        match Manifest::parse(&manifest(head, endpoint)) {
            Err(ManifestError::Invalid(problems)) => {
                let problems = problems.iter().map(ToString::to_string);
                problems.collect::<Vec<_>>().join("\n")
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn url_and_model_suffice_and_what_is_written_is_read_back() {
        let read = Manifest::parse(&manifest("", LEAST)).unwrap();
        assert_eq!(read.architecture, Architecture::Openai);
        assert_eq!(read.tier, Tier::Premium);
        assert!(read.files.is_empty());
        let endpoint = read.endpoint.as_ref().unwrap();
        assert_eq!(endpoint.url, "http://127.0.0.1:8000/v1");
        assert_eq!((endpoint.temperature, endpoint.retries), (0.0, 3));
        assert_eq!(Manifest::parse(&read.to_toml()).as_ref(), Ok(&read));

        let all = "temperature = 1\nlogprobs = false\nconcurrency = 2\nretries = 0\nsystem = \"You translate {source_code}.\"\n\
                   prompt = \"{source} {target} {text}\"\napi_key_file = \"/run/key\"\n[endpoint.language_names]\npt = \"Brazilian Portuguese\"";
        let all = format!("{LEAST}\n{all}");
        let read = Manifest::parse(&manifest("tier = \"medium\"", &all)).unwrap();
        let endpoint = read.endpoint.as_ref().unwrap();
        assert_eq!(read.tier, Tier::Medium);
        assert_eq!(
            endpoint.api_key_file.as_deref(),
            Some(Path::new("/run/key"))
        );
        assert_eq!(endpoint.language_names["pt"], "Brazilian Portuguese");
        assert_eq!(Manifest::parse(&read.to_toml()).as_ref(), Ok(&read));
    }

    #[test]
    fn mistakes_are_told_with_their_key() {
        for (endpoint, problem) in [
            ("model = \"m\"", "endpoint.url: is missing"),
            ("url = \"http://h\"", "endpoint.model: is missing"),
            (
                "url = \"ftp://h\"",
                "endpoint.url: must begin with `http://`",
            ),
            ("url = \"http://\"", "endpoint.url: must begin with"),
            (
                "url = \"https://user:key@h/v1\"",
                "endpoint.url: must not contain a user",
            ),
            (
                "url = \"https://h/v1?key=1\"",
                "endpoint.url: must not contain a query",
            ),
            (
                "prompt = \"{source}\"",
                "endpoint.prompt: must contain `{text}`",
            ),
            (
                "prompt = \"{text} {terms}\"",
                "endpoint.prompt: `{terms}` is not a placeholder",
            ),
            (
                "system = \"{languages}\"",
                "endpoint.system: `{languages}` is not a placeholder",
            ),
            (
                "temperature = 3.5",
                "endpoint.temperature: must be between 0 and 2",
            ),
            (
                "temperature = nan",
                "endpoint.temperature: must be between 0 and 2",
            ),
            (
                "concurrency = 0",
                "endpoint.concurrency: must be between 1 and 256",
            ),
            (
                "concurrency = 70000",
                "endpoint.concurrency: must be between 1 and 256",
            ),
            (
                "request_timeout_ms = 0",
                "endpoint.request_timeout_ms: must be between",
            ),
            (
                "api_key_file = \"key\"",
                "endpoint.api_key_file: must be an absolute path",
            ),
            (
                "api_key = \"secret\"",
                "endpoint.api_key: is not a known key",
            ),
        ] {
            let found = problems("", endpoint);
            assert!(found.contains(problem), "{endpoint}: {found}");
            assert!(!found.contains("secret"), "{found}");
        }
        let found = problems("language_token = \"{target}\"", LEAST);
        assert!(found.contains("language_token: does not apply"), "{found}");
    }

    #[test]
    fn other_models_have_no_endpoint() {
        let text = manifest("", LEAST).replace("\"openai\"", "\"firefox\"");
        let error = Manifest::parse(&text).unwrap_err().to_string();
        assert!(error.contains("endpoint: is not a known key"), "{error}");
    }
}
