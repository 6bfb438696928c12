//! From TOML to a [`Manifest`], collecting every problem on the way.

mod endpoint;

use std::{collections::BTreeMap, fmt::Display};

use babelmesh_domain::ConfidenceCurve;
use toml::{Table, Value};

use super::{
    Architecture, FileEntry, Limits, Manifest, ManifestError, Problem, Role, SOURCE_PLACEHOLDER,
    TARGET_PLACEHOLDER, Tier,
};

pub(super) fn parse(text: &str) -> Result<Manifest, ManifestError> {
    let table = text
        .parse::<Table>()
        .map_err(|error| ManifestError::Syntax(error.message().to_owned()))?;
    let mut problems = Vec::new();
    let manifest = read(Section {
        table,
        path: String::new(),
        problems: &mut problems,
    });
    if problems.is_empty() {
        Ok(manifest)
    } else {
        Err(ManifestError::Invalid(problems))
    }
}

/// Reads everything; an invalid value records a problem and yields a placeholder.
fn read(mut root: Section<'_>) -> Manifest {
    let id = root.text("id");
    root.check(
        "id",
        is_id(&id),
        "must consist of lower-case letters, digits, `-`, `_` and `.`",
    );
    let source_languages = languages(&mut root, "source_languages");
    let target_languages = languages(&mut root, "target_languages");
    let language_token = root.optional_text("language_token");
    if let Some(token) = &language_token {
        root.check(
            "language_token",
            [SOURCE_PLACEHOLDER, TARGET_PLACEHOLDER]
                .iter()
                .any(|place| token.contains(place)),
            "must contain `{source}` or `{target}`, the place of a language",
        );
    }
    let target_token = root.optional_text("target_token");
    let architecture = root.choice("architecture", &Architecture::ALL);
    let tokens = [&language_token, &target_token];
    check_targets(&mut root, architecture, tokens, &target_languages);
    let manifest = Manifest {
        id,
        name: root.text("name"),
        description: root.text("description"),
        architecture,
        source_languages,
        target_languages,
        tier: tier(&mut root, architecture),
        licence: root.text("licence"),
        attribution: root.text("attribution"),
        language_token,
        target_token,
        source_end: root.flag_or("source_end", true),
        language_codes: root.optional_text_table("language_codes"),
        limits: limits(root.section("limits")),
        confidence: confidence(&mut root),
        endpoint: (architecture == Architecture::Openai)
            .then(|| endpoint::read(root.section("endpoint"))),
        files: match architecture {
            Architecture::Openai if !root.table.contains_key("files") => BTreeMap::new(),
            _ => files(root.section("files"), architecture),
        },
    };
    root.refuse_the_rest();
    manifest
}

/// A language model is large.
fn tier(root: &mut Section<'_>, architecture: Architecture) -> Tier {
    match architecture {
        Architecture::Openai if !root.table.contains_key("tier") => Tier::Premium,
        _ => root.choice("tier", &Tier::ALL),
    }
}

fn check_targets(
    root: &mut Section<'_>,
    architecture: Architecture,
    tokens: [&Option<String>; 2],
    targets: &[String],
) {
    let [language_token, target_token] = tokens;
    if architecture == Architecture::Firefox {
        let message = "must name one language: a firefox model has one target";
        root.check("target_languages", targets.len() <= 1, message);
        let message = "does not apply: a firefox model has one target language";
        root.check("language_token", language_token.is_none(), message);
        root.check("target_token", target_token.is_none(), message);
        return;
    }
    if architecture == Architecture::Openai {
        let message = "does not apply: the prompt of an openai model names the languages";
        root.check("language_token", language_token.is_none(), message);
        root.check("target_token", target_token.is_none(), message);
        return;
    }
    let names_target = |token: &&Option<String>| {
        token
            .as_ref()
            .is_some_and(|token| token.contains(TARGET_PLACEHOLDER))
    };
    root.check(
        "language_token",
        targets.len() <= 1 || tokens.iter().any(names_target),
        "or target_token must contain `{target}` where there is more than one target language",
    );
}

fn limits(mut section: Section<'_>) -> Limits {
    let limits = Limits {
        max_input_tokens: tokens(&mut section, "max_input_tokens"),
        max_output_tokens: tokens(&mut section, "max_output_tokens"),
    };
    section.refuse_the_rest();
    limits
}

/// The section `confidence`, if there is one.
fn confidence(root: &mut Section<'_>) -> Option<ConfidenceCurve> {
    if !root.table.contains_key("confidence") {
        return None;
    }
    let mut section = root.section("confidence");
    let points = section.take("curve", "a list of pairs of numbers", points_of);
    let curve = points.and_then(|points| match ConfidenceCurve::new(points) {
        Ok(curve) => Some(curve),
        Err(error) => {
            section.report("curve", error.to_string());
            None
        }
    });
    section.refuse_the_rest();
    curve
}

fn points_of(value: Value) -> Option<Vec<(f64, f64)>> {
    let number = |value: &Value| match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number @ 0..=1) => Some(*number as f64),
        _ => None,
    };
    let point = |value: &Value| match value.as_array()?.as_slice() {
        [from, to] => Some((number(from)?, number(to)?)),
        _ => None,
    };
    value.as_array()?.iter().map(point).collect()
}

/// A source needs room for its language token, one piece and its end mark.
const LEAST_TOKENS: u64 = 3;

fn tokens(section: &mut Section<'_>, key: &str) -> u32 {
    let number = section.number(key);
    section.check(
        key,
        (LEAST_TOKENS..=u64::from(u32::MAX)).contains(&number),
        "must be at least 3",
    );
    u32::try_from(number).unwrap_or_default()
}

fn files(mut section: Section<'_>, architecture: Architecture) -> BTreeMap<Role, FileEntry> {
    let optional = architecture.optional_roles().iter();
    let present = optional.filter(|role| section.table.contains_key(&role.to_string()));
    let roles = architecture.required_roles().iter().chain(present);
    let roles = roles.copied().collect::<Vec<_>>();
    let files = roles
        .into_iter()
        .map(|role| (role, file(section.section(&role.to_string()))))
        .collect::<BTreeMap<_, _>>();
    if architecture == Architecture::Ctranslate2 {
        let has = |role| files.contains_key(&role);
        let complete = has(Role::Vocab) || has(Role::SourceVocab) && has(Role::TargetVocab);
        let message = "is missing, and so is source_vocab or target_vocab";
        section.check("vocab", complete, message);
    }
    section.refuse_the_rest();
    files
}

fn file(mut section: Section<'_>) -> FileEntry {
    let entry = FileEntry {
        name: section.text("name"),
        sha256: section.text("sha256"),
        bytes: section.number("bytes"),
    };
    let plain = !entry.name.contains(['/', '\\']) && entry.name != "." && entry.name != "..";
    section.check(
        "name",
        plain,
        "must be the name of a file in the model's own folder",
    );
    section.check(
        "sha256",
        is_sha256(&entry.sha256),
        "must be 64 lower-case hexadecimal digits",
    );
    section.refuse_the_rest();
    entry
}

fn languages(section: &mut Section<'_>, key: &str) -> Vec<String> {
    let languages = section.texts(key);
    section.check(
        key,
        !languages.is_empty(),
        "must name at least one language",
    );
    for language in &languages {
        let valid = is_language(language);
        section.check(
            key,
            valid,
            &format!("`{language}` is not a language tag such as `en`"),
        );
    }
    languages
}

/// Whether a text can be a model's id, which is also the name of its folder in the cache.
pub(crate) fn is_id(id: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(allowed)
}

/// Whether a text looks like a BCP-47 tag.
pub(crate) fn is_language(tag: &str) -> bool {
    let mut parts = tag.split(['-', '_']);
    let primary = parts.next().unwrap_or_default();
    (2..=3).contains(&primary.len())
        && primary.chars().all(|c| c.is_ascii_lowercase())
        && parts.all(|part| {
            (2..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
        })
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

/// A TOML table that is emptied key by key; what is left at the end is unknown.
struct Section<'p> {
    table: Table,
    path: String,
    problems: &'p mut Vec<Problem>,
}

impl Section<'_> {
    fn report(&mut self, key: &str, message: impl Into<String>) {
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        // Report one problem per key: the first is the cause of the others.
        if self.problems.iter().all(|problem| problem.path != path) {
            self.problems.push(Problem {
                path,
                message: message.into(),
            });
        }
    }

    fn check(&mut self, key: &str, holds: bool, message: &str) {
        if !holds {
            self.report(key, message);
        }
    }

    fn take<T>(
        &mut self,
        key: &str,
        wanted: &str,
        convert: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        match self.table.remove(key).map(convert) {
            Some(Some(value)) => Some(value),
            Some(None) => {
                self.report(key, format!("must be {wanted}"));
                None
            }
            None => {
                self.report(key, "is missing");
                None
            }
        }
    }

    fn text(&mut self, key: &str) -> String {
        let text = self.take(key, "text", text_of);
        let filled = text.as_ref().is_none_or(|text| !text.trim().is_empty());
        self.check(key, filled, "must not be empty");
        text.unwrap_or_default()
    }

    fn optional_text(&mut self, key: &str) -> Option<String> {
        self.table.contains_key(key).then(|| self.text(key))
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        let convert = |value| match value {
            Value::Array(values) => values.into_iter().map(text_of).collect(),
            _ => None,
        };
        self.take(key, "a list of texts", convert)
            .unwrap_or_default()
    }

    fn flag_or(&mut self, key: &str, default: bool) -> bool {
        if !self.table.contains_key(key) {
            return default;
        }
        self.take(key, "true or false", |value| value.as_bool())
            .unwrap_or(default)
    }

    fn optional_text_table(&mut self, key: &str) -> BTreeMap<String, String> {
        if !self.table.contains_key(key) {
            return BTreeMap::new();
        }
        let convert = |value| match value {
            Value::Table(table) => table
                .into_iter()
                .map(|(name, value)| Some((name, text_of(value)?)))
                .collect(),
            _ => None,
        };
        self.take(key, "a table of texts", convert)
            .unwrap_or_default()
    }

    fn number(&mut self, key: &str) -> u64 {
        let convert = |value: Value| value.as_integer().and_then(|number| number.try_into().ok());
        self.take(key, "a whole number, zero or more", convert)
            .unwrap_or_default()
    }

    fn choice<T: Copy + Display>(&mut self, key: &str, choices: &[T]) -> T {
        let text = self.text(key);
        let found = choices.iter().find(|choice| choice.to_string() == text);
        let names = choices
            .iter()
            .map(|choice| format!("`{choice}`"))
            .collect::<Vec<_>>();
        self.check(
            key,
            found.is_some(),
            &format!("must be one of {}", names.join(", ")),
        );
        *found.unwrap_or(&choices[0])
    }

    fn section(&mut self, key: &str) -> Section<'_> {
        let convert = |value| match value {
            Value::Table(table) => Some(table),
            _ => None,
        };
        let table = self.take(key, "a table", convert).unwrap_or_default();
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        Section {
            table,
            path,
            problems: self.problems,
        }
    }

    fn refuse_the_rest(mut self) {
        for key in std::mem::take(&mut self.table).keys() {
            self.report(key, "is not a known key");
        }
    }
}

fn text_of(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
