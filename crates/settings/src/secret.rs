//! Values that are never shown.

use std::{fmt, fs, io, path::Path};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::error::{ConfigError, mistake};

/// Placeholder for a secret.
const HIDDEN: &str = "***";

/// A password. Neither `Debug` nor `Serialize` shows it, and errors about its type do not repeat it.
#[derive(Clone)]
pub struct Secret {
    text: SecretString,
    from_file: bool,
}

impl Secret {
    /// Reads a secret from a file; a line end behind it is not part of it.
    ///
    /// # Errors
    /// When the file cannot be read or is not UTF-8. What it holds is not in the error.
    pub fn read(file: &Path) -> io::Result<Self> {
        let mut text = fs::read_to_string(file)?;
        for end in ['\n', '\r'] {
            if text.ends_with(end) {
                text.pop();
            }
        }
        Ok(Self {
            text: text.into(),
            from_file: true,
        })
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// Whether there is nothing to show of a key: it is absent, or was read from the file that another key names.
    #[must_use]
    pub fn is_elsewhere(secret: &Option<Self>) -> bool {
        secret.as_ref().is_none_or(|secret| secret.from_file)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self {
            text: text.into(),
            from_file: false,
        }
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Any value is taken first: the usual error about a wrong type would print it.
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self::from(text.as_str())),
            _ => Err(D::Error::custom("must be text in quotes")),
        }
    }
}

/// Reads the secret of a key from the file that the key with `_file` behind it names, if it names one.
pub fn read_secret(
    key: &str,
    secret: &mut Option<Secret>,
    file: Option<&Path>,
    errors: &mut Vec<ConfigError>,
) {
    let Some(file) = file else {
        return;
    };
    let path = format!("{key}_file");
    if secret.is_some() {
        let message = format!("cannot be combined with {key}");
        return errors.push(mistake(&path, message));
    }
    match Secret::read(file) {
        Ok(read) => *secret = Some(read),
        Err(error) => {
            let message = format!("reading {}: {error}", file.display());
            errors.push(mistake(&path, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_end_behind_a_secret_in_a_file_is_not_part_of_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (held, secret) in [
            ("hunter2", "hunter2"),
            ("hunter2\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            (" hunter 2 \n\n", " hunter 2 \n"),
            ("", ""),
        ] {
            fs::write(file.path(), held).unwrap();
            assert_eq!(Secret::read(file.path()).unwrap().expose(), secret);
        }
        fs::write(file.path(), b"hunter\xff2").unwrap();
        let error = Secret::read(file.path()).unwrap_err();
        assert!(!error.to_string().contains("hunter"), "{error}");
    }

    proptest! {
        #[test]
        fn no_secret_shows_itself(text in "[a-z0-9]{4,30}") {
            let secret = Secret::from(text.as_str());
            prop_assert_eq!(secret.expose(), text.as_str());
            prop_assert_eq!(format!("{secret:?} {secret:#?}"), "*** ***");
            prop_assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        }

        #[test]
        fn an_error_about_a_secret_does_not_repeat_it(number in 1_000_000_u64..) {
            for value in [serde_json::json!(number), serde_json::json!([number]), serde_json::json!({"a": number})] {
                let error = serde_json::from_value::<Secret>(value).unwrap_err().to_string();
                prop_assert_eq!(error, "must be text in quotes");
            }
        }
    }
}
