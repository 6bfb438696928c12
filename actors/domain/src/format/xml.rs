//! How elements divide an XML text.

use std::{error::Error, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How XML elements divide a text, as in DeepL's API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct XmlOptions {
    /// Elements whose content stays as it is.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::request::present"
    )]
    pub ignore_tags: Vec<String>,
    /// Elements that end a sentence.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::request::present"
    )]
    pub splitting_tags: Vec<String>,
    /// Elements that never end a sentence.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::request::present"
    )]
    pub non_splitting_tags: Vec<String>,
    /// Whether only `splittingTags` end sentences; by default, an element whose parent contains only elements ends one as well.
    #[serde(deserialize_with = "crate::request::present")]
    pub no_outline_detection: bool,
}

impl XmlOptions {
    /// Largest number of elements in a list.
    pub const MAX_ELEMENTS: usize = 256;
    /// Longest name of an element, in bytes.
    pub const MAX_NAME_BYTES: usize = 128;

    /// Validates all lists.
    ///
    /// # Errors
    /// With the name of the list, as in requests.
    pub fn validate(&self) -> Result<(), (&'static str, InvalidElements)> {
        for (list, names) in [
            ("ignoreTags", &self.ignore_tags),
            ("splittingTags", &self.splitting_tags),
            ("nonSplittingTags", &self.non_splitting_tags),
        ] {
            Self::validate_names(names).map_err(|error| (list, error))?;
        }
        Ok(())
    }

    /// Validates a list of names of elements.
    ///
    /// # Errors
    /// For more than [`MAX_ELEMENTS`](Self::MAX_ELEMENTS) names, and for one that is longer than
    /// [`MAX_NAME_BYTES`](Self::MAX_NAME_BYTES) or that no element can have.
    pub fn validate_names(names: &[String]) -> Result<(), InvalidElements> {
        if names.len() > Self::MAX_ELEMENTS {
            return Err(InvalidElements::TooMany(names.len()));
        }
        for name in names {
            if name.len() > Self::MAX_NAME_BYTES {
                return Err(InvalidElements::TooLong(name.len()));
            }
            if name.is_empty() || name.contains(is_no_name) {
                return Err(InvalidElements::NoName(name.clone()));
            }
        }
        Ok(())
    }
}

/// Whether a character ends the name of an element.
fn is_no_name(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '<' | '>' | '/' | '=' | '&' | '"' | '\'' | ',')
}

/// Why a list of elements is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidElements {
    /// The list has too many elements: their number.
    TooMany(usize),
    /// A name is too long: its bytes.
    TooLong(usize),
    /// Not the name of an element.
    NoName(String),
}

impl fmt::Display for InvalidElements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(count) => {
                let limit = XmlOptions::MAX_ELEMENTS;
                write!(f, "{count} elements, the limit is {limit}")
            }
            Self::TooLong(bytes) => {
                let limit = XmlOptions::MAX_NAME_BYTES;
                write!(f, "a name of {bytes} bytes, the limit is {limit}")
            }
            Self::NoName(name) => write!(f, "{name:?} is not the name of an element"),
        }
    }
}

impl Error for InvalidElements {}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_of_elements_are_accepted_up_to_the_limits() {
        let longest = "x".repeat(XmlOptions::MAX_NAME_BYTES);
        let all = names(&["x", "ns:keep", "a-b.c", "\u{e9}t\u{e9}", &longest]);
        assert_eq!(XmlOptions::validate_names(&all), Ok(()));
        let most = vec!["x".to_owned(); XmlOptions::MAX_ELEMENTS];
        assert_eq!(XmlOptions::validate_names(&most), Ok(()));
    }

    #[test]
    fn too_many_too_long_and_impossible_names_are_refused() {
        let many = vec!["x".to_owned(); XmlOptions::MAX_ELEMENTS + 1];
        let long = names(&[&"x".repeat(XmlOptions::MAX_NAME_BYTES + 1)]);
        assert_eq!(
            XmlOptions::validate_names(&many),
            Err(InvalidElements::TooMany(257))
        );
        assert_eq!(
            XmlOptions::validate_names(&long),
            Err(InvalidElements::TooLong(129))
        );
        for name in ["", " ", "<x>", "x y", "x/", "a,b", "a=\"b\""] {
            let refused = XmlOptions::validate_names(&names(&["x", name]));
            assert_eq!(refused, Err(InvalidElements::NoName(name.to_owned())));
        }
    }

    #[test]
    fn the_list_that_is_invalid_is_named() {
        let options = XmlOptions {
            splitting_tags: names(&["p", "<b>"]),
            ..XmlOptions::default()
        };
        assert_eq!(options.validate().unwrap_err().0, "splittingTags");
    }
}
