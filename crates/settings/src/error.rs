//! Errors in a configuration.

use std::fmt;

/// Where a key was given. The order is that of a report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of a file.
    Line {
        /// Path of the file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A `--set` option.
    Flag,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("--set"),
        }
    }
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Path of the key, such as `pool.batch.segments`; empty when the file as a whole is meant.
    pub path: String,
    /// The error.
    pub message: String,
    /// Where it was given, if it was.
    pub place: Option<Place>,
}

impl ConfigError {
    /// An error about a key that does not exist.
    #[must_use]
    pub fn unknown_key(path: &str) -> Self {
        mistake(path, UNKNOWN_KEY)
    }

    /// Whether this is about a key that does not exist.
    #[must_use]
    pub fn is_unknown_key(&self) -> bool {
        self.message == UNKNOWN_KEY
    }
}

const UNKNOWN_KEY: &str = "unknown key";

/// All errors of a configuration, those of files by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(
            f,
            "invalid configuration ({count} error{})",
            if count == 1 { "" } else { "s" }
        )?;
        for error in &self.0 {
            f.write_str("\n  ")?;
            if let Some(place) = &error.place {
                write!(f, "{place}: ")?;
            }
            match error.path.as_str() {
                "" => f.write_str(&error.message)?,
                path => write!(f, "{path}: {}", error.message)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// An error in the value of a key.
#[must_use]
pub fn mistake(path: &str, message: impl Into<String>) -> ConfigError {
    ConfigError {
        path: path.to_owned(),
        message: message.into(),
        place: None,
    }
}
