//! Parameters of DeepL's text translation beyond texts and languages.
//!
//! A parameter that would change the translation is supported or refused; the page `docs/src/api-parity.md` lists each.

use babelmesh_actors::domain::{Format, ModelType, Splitting, XmlOptions};

use crate::{
    body::{Parameters, Texts},
    error::ApiError,
};

/// Parameters that would change the translation and are not supported.
const REFUSED: [&str; 5] = [
    "glossary_ids",
    "style_id",
    "custom_instructions",
    "translation_memory_id",
    "translation_memory_threshold",
];
/// Switches without effect: formatting is always preserved, and there are no languages in beta.
const SWITCHES_WITHOUT_EFFECT: [&str; 2] = ["preserve_formatting", "enable_beta_languages"];

/// How texts are translated, according to the parameters.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) format: Format,
    pub(super) splitting: Splitting,
    pub(super) xml: Option<Box<XmlOptions>>,
    pub(super) glossary_id: Option<String>,
    /// Tier for the kind of model that is asked for.
    pub(super) tier: ModelType,
    /// Whether the kind of model that was used is told.
    pub(super) shows_model_type: bool,
    pub(super) shows_billed_characters: bool,
}

impl Options {
    /// Reads the parameters of a translation into a language.
    ///
    /// # Errors
    /// 400 with the name of the parameter for an unknown value, and for a parameter that would change the translation and is not supported.
    pub(super) fn read(parameters: &Parameters, target: &str) -> Result<Self, ApiError> {
        refuse_unsupported(parameters)?;
        check_formality(parameters, target)?;
        // Accepted without effect, but not with a value of another type.
        value(parameters, "context")?;
        for name in SWITCHES_WITHOUT_EFFECT {
            switch(parameters, name)?;
        }
        one_of(parameters, "tag_handling_version", &["v1", "v2"])?;
        let format = match one_of(parameters, "tag_handling", &["xml", "html"])? {
            Some("xml") => Format::Xml,
            Some(_) => Format::Html,
            None => Format::Text,
        };
        let splitting = one_of(parameters, "split_sentences", &["0", "1", "nonewlines"])?;
        let splitting = match (splitting, format) {
            (Some("0"), _) => Splitting::Off,
            (Some("nonewlines"), _) | (None, Format::Html) => Splitting::IgnoreLineBreaks,
            _ => Splitting::Sentences,
        };
        let model_types = [
            "latency_optimized",
            "quality_optimized",
            "prefer_quality_optimized",
        ];
        let model_type = one_of(parameters, "model_type", &model_types)?;
        Ok(Self {
            format,
            splitting,
            xml: xml(parameters, format)?,
            glossary_id: value(parameters, "glossary_id")?,
            tier: match model_type {
                Some("quality_optimized" | "prefer_quality_optimized") => ModelType::Premium,
                _ => ModelType::Basic,
            },
            shows_model_type: model_type.is_some(),
            shows_billed_characters: switch(parameters, "show_billed_characters")?.unwrap_or(true),
        })
    }
}

/// Checks the parameters of a document's translation into a language. `output_format` may only be the ending of its name.
///
/// # Errors
/// As for texts.
pub(super) fn check_document(
    parameters: &Parameters,
    target: &str,
    ending: &str,
) -> Result<(), ApiError> {
    refuse_unsupported(parameters)?;
    check_formality(parameters, target)?;
    switch(parameters, "enable_document_minification")?;
    let output = value(parameters, "output_format")?;
    match output.is_none_or(|output| output.eq_ignore_ascii_case(ending)) {
        true => Ok(()),
        false => Err(ApiError::bad(
            "Value for 'output_format' not supported: a document keeps its format.",
        )),
    }
}

fn refuse_unsupported(parameters: &Parameters) -> Result<(), ApiError> {
    match REFUSED.iter().find(|name| parameters.has_value(name)) {
        Some(name) => Err(ApiError::bad(format!("'{name}' is not supported."))),
        None => Ok(()),
    }
}

/// A preference is a hint; a demand that no model meets is refused, as by DeepL for languages without formality.
fn check_formality(parameters: &Parameters, target: &str) -> Result<(), ApiError> {
    let known = ["default", "prefer_more", "prefer_less", "more", "less"];
    match one_of(parameters, "formality", &known)? {
        Some("more" | "less") => Err(ApiError::bad(format!(
            "Target language '{target}' does not support 'formality': use default, prefer_more or prefer_less."
        ))),
        _ => Ok(()),
    }
}

/// How elements divide an XML text. Their lists are refused with other formats, where they would have no effect.
fn xml(parameters: &Parameters, format: Format) -> Result<Option<Box<XmlOptions>>, ApiError> {
    let options = XmlOptions {
        ignore_tags: elements(parameters, "ignore_tags", format)?,
        splitting_tags: elements(parameters, "splitting_tags", format)?,
        non_splitting_tags: elements(parameters, "non_splitting_tags", format)?,
        no_outline_detection: !switch(parameters, "outline_detection")?.unwrap_or(true),
    };
    Ok((format == Format::Xml).then(|| Box::new(options)))
}

/// Names of elements: a list, or one text in which commas divide them.
fn elements(parameters: &Parameters, name: &str, format: Format) -> Result<Vec<String>, ApiError> {
    let lists = match parameters.texts(name)? {
        None => Vec::new(),
        Some(Texts::One(list)) => vec![list],
        Some(Texts::Many(lists)) => lists,
    };
    let names = lists.iter().flat_map(|list| list.split(','));
    let names = names.map(str::trim).filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    if !names.is_empty() && format != Format::Xml {
        return Err(ApiError::bad(format!(
            "'{name}' is only supported with tag_handling=xml."
        )));
    }
    match XmlOptions::validate_names(&names) {
        Ok(()) => Ok(names),
        Err(error) => Err(ApiError::bad(format!(
            "Value for '{name}' not supported: {error}."
        ))),
    }
}

/// A parameter that is a text; `None` where it is absent or empty.
fn value(parameters: &Parameters, name: &str) -> Result<Option<String>, ApiError> {
    Ok(parameters.text(name)?.filter(|value| !value.is_empty()))
}

/// A parameter with a few values.
fn one_of<'a>(
    parameters: &Parameters,
    name: &str,
    known: &[&'a str],
) -> Result<Option<&'a str>, ApiError> {
    let Some(value) = value(parameters, name)? else {
        return Ok(None);
    };
    match known.iter().find(|known| **known == value) {
        Some(known) => Ok(Some(known)),
        None => Err(unsupported(name)),
    }
}

/// A parameter that is on or off.
fn switch(parameters: &Parameters, name: &str) -> Result<Option<bool>, ApiError> {
    let value = one_of(parameters, name, &["0", "1", "false", "true"])?;
    Ok(value.map(|value| matches!(value, "1" | "true")))
}

/// Error for an unsupported value, in DeepL's wording.
pub(super) fn unsupported(name: &str) -> ApiError {
    ApiError::bad(format!("Value for '{name}' not supported."))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: Value) -> Result<Options, ApiError> {
        match body {
            Value::Object(object) => Options::read(&Parameters::Json(object), "fr"),
            _ => panic!("{body}"),
        }
    }

    fn form(pairs: &[(&str, &str)]) -> Result<Options, ApiError> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Options::read(&Parameters::Pairs(pairs.collect()), "fr")
    }

    #[test]
    fn line_breaks_end_sentences_unless_the_text_is_html_or_it_is_told() {
        let splitting = |body| read(body).unwrap().splitting;
        assert_eq!(splitting(json!({})), Splitting::Sentences);
        assert_eq!(
            splitting(json!({"tag_handling": "xml"})),
            Splitting::Sentences
        );
        assert_eq!(
            splitting(json!({"tag_handling": "html"})),
            Splitting::IgnoreLineBreaks
        );
        assert_eq!(
            splitting(json!({"tag_handling": "html", "split_sentences": 1})),
            Splitting::Sentences
        );
        assert_eq!(
            splitting(json!({"split_sentences": "nonewlines"})),
            Splitting::IgnoreLineBreaks
        );
        assert_eq!(splitting(json!({"split_sentences": "0"})), Splitting::Off);
    }

    #[test]
    fn elements_are_lists_or_divided_by_commas() {
        let expected = ["x", "keep"];
        for options in [
            read(json!({"tag_handling": "xml", "ignore_tags": ["x", "keep"]})),
            read(json!({"tag_handling": "xml", "ignore_tags": "x, keep"})),
            read(json!({"tag_handling": "xml", "ignore_tags": ["x,keep", ""]})),
            form(&[("tag_handling", "xml"), ("ignore_tags", "x,keep")]),
            form(&[
                ("tag_handling", "xml"),
                ("ignore_tags", "x"),
                ("ignore_tags", "keep"),
            ]),
        ] {
            let options = options.unwrap();
            assert_eq!(options.format, Format::Xml);
            assert_eq!(options.xml.unwrap().ignore_tags, expected);
        }
    }

    #[test]
    fn outlines_are_detected_unless_it_is_switched_off() {
        let off = |body| read(body).unwrap().xml.unwrap().no_outline_detection;
        assert!(!off(json!({"tag_handling": "xml"})));
        assert!(!off(
            json!({"tag_handling": "xml", "outline_detection": true})
        ));
        for value in [json!(false), json!(0), json!("0"), json!("false")] {
            assert!(off(
                json!({"tag_handling": "xml", "outline_detection": value})
            ));
        }
    }

    #[test]
    fn wrong_values_are_refused_with_the_name_of_the_parameter() {
        let many = vec!["x"; XmlOptions::MAX_ELEMENTS + 1];
        for (name, wrong) in [
            ("tag_handling", json!("markdown")),
            ("tag_handling_version", json!("v3")),
            ("split_sentences", json!(2)),
            ("outline_detection", json!("off")),
            ("preserve_formatting", json!(7)),
            ("show_billed_characters", json!("yes")),
            ("enable_beta_languages", json!([])),
            ("formality", json!("polite")),
            ("formality", json!("more")),
            ("model_type", json!("large")),
            ("context", json!(["a", "b"])),
            ("ignore_tags", json!(["<x>"])),
            ("splitting_tags", json!(many)),
            ("non_splitting_tags", json!({"x": 1})),
            ("glossary_id", json!(["a"])),
            ("glossary_ids", json!(["a"])),
            ("style_id", json!("a")),
            ("custom_instructions", json!(["a"])),
        ] {
            let mut body = json!({"tag_handling": "xml"});
            body[name] = wrong;
            let error = read(body.clone()).unwrap_err();
            assert!(error.message.contains(name), "{body}: {}", error.message);
        }
        for name in ["ignore_tags", "splitting_tags", "non_splitting_tags"] {
            for handling in ["html", ""] {
                let error = form(&[(name, "x"), ("tag_handling", handling)]).unwrap_err();
                assert!(error.message.contains("tag_handling=xml"), "{name}");
            }
        }
    }
}
