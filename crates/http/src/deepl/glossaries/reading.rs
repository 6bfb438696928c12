//! Reads glossaries from the parameters of a request.

use babelmesh_actors::{
    domain::{GlossaryDictionary, Language, TermLimits, check_terms},
    text::glossary::tables::{self, TableFormat},
};
use serde_json::Value;

use crate::{body::Parameters, deepl::options::unsupported, error::ApiError};

/// A parameter that must be there.
pub(super) fn text(parameters: &Parameters, name: &str) -> Result<String, ApiError> {
    let missing = || ApiError::bad(format!("Parameter '{name}' not specified."));
    parameters.text(name)?.ok_or_else(missing)
}

/// The language that a parameter names.
fn language(parameters: &Parameters, name: &str) -> Result<Language, ApiError> {
    text(parameters, name)?
        .parse()
        .map_err(|_| unsupported(name))
}

/// The pair of languages of a dictionary.
pub(super) fn pair(parameters: &Parameters) -> Result<(Language, Language), ApiError> {
    let source = language(parameters, "source_lang")?;
    Ok((source, language(parameters, "target_lang")?))
}

/// A dictionary with its entries.
pub(super) fn dictionary(
    parameters: &Parameters,
    limits: TermLimits,
) -> Result<GlossaryDictionary, ApiError> {
    let (source_language, target_language) = pair(parameters)?;
    let format = match text(parameters, "entries_format")?.as_str() {
        "tsv" => TableFormat::Tsv,
        "csv" => TableFormat::Csv,
        _ => return Err(unsupported("entries_format")),
    };
    let table = text(parameters, "entries")?;
    let invalid = |error: &dyn std::fmt::Display| {
        ApiError::bad(format!("Invalid glossary entries provided: {error}."))
    };
    let languages = Some((source_language, target_language));
    let terms = tables::read(&table, format, languages, limits.entries);
    let terms = terms.map_err(|error| invalid(&error))?;
    check_terms(&terms, limits).map_err(|error| invalid(&error))?;
    Ok(GlossaryDictionary {
        source_language,
        target_language,
        terms,
    })
}

/// The dictionaries of a glossary for several pairs; none where the parameter is absent.
pub(super) fn dictionaries(
    parameters: &Parameters,
    limits: TermLimits,
) -> Result<Option<Vec<GlossaryDictionary>>, ApiError> {
    let wrong =
        || ApiError::bad("Invalid request: dictionaries parameter is not a list of objects");
    let Parameters::Json(object) = parameters else {
        return match parameters.has_value("dictionaries") {
            true => Err(wrong()),
            false => Ok(None),
        };
    };
    let list = match object.get("dictionaries") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong()),
    };
    let read = |one: &Value| match one {
        Value::Object(object) => dictionary(&Parameters::Json(object.clone()), limits),
        _ => Err(wrong()),
    };
    list.iter().map(read).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use babelmesh_actors::domain::Term;
    use serde_json::json;

    use super::*;

    fn json(value: Value) -> Parameters {
        match value {
            Value::Object(object) => Parameters::Json(object),
            _ => panic!("{value}"),
        }
    }

    fn body(entries: &str, format: &str) -> Value {
        json!({"source_lang": "EN", "target_lang": "fr-CA", "entries": entries, "entries_format": format})
    }

    fn read(value: Value) -> Result<GlossaryDictionary, ApiError> {
        dictionary(&json(value), TermLimits::default())
    }

    #[test]
    fn dictionaries_are_read_from_tables() {
        for (entries, format) in [("a\tb\nc d\te", "tsv"), ("a,b\r\n\"c d\",e,en,fr", "csv")] {
            let dictionary = read(body(entries, format)).unwrap();
            assert_eq!(dictionary.target_language.as_str(), "fr");
            assert_eq!(
                dictionary.terms,
                [Term::new("a", "b"), Term::new("c d", "e")]
            );
        }
    }

    #[test]
    fn errors_name_the_parameter_or_the_entry() {
        let without = |name: &str| {
            let mut body = body("a\tb", "tsv");
            body[name] = Value::Null;
            body
        };
        for (body, message) in [
            (without("entries"), "Parameter 'entries' not specified."),
            (
                without("source_lang"),
                "Parameter 'source_lang' not specified.",
            ),
            (
                body("a\tb", "xml"),
                "Value for 'entries_format' not supported.",
            ),
            (
                body("", "tsv"),
                "Invalid glossary entries provided: there are no entries.",
            ),
            (body("a\tb\na\tc", "tsv"), "duplicates the one of entry 1"),
            (body("a", "tsv"), "row 1 has 1 columns instead of 2"),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.message.contains(message), "{}", error.message);
        }
        let list = json(json!({"dictionaries": [body("a\tb", "tsv"), 1]}));
        assert!(dictionaries(&list, TermLimits::default()).is_err());
        let none = dictionaries(&json(json!({})), TermLimits::default());
        assert_eq!(none.unwrap(), None);
    }
}
