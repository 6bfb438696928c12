//! Checks of parameters that report all errors at once.

/// A parameter that cannot work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConfigError {
    /// The parameter's name in the configuration.
    pub field: &'static str,
    /// The error.
    pub problem: String,
}

/// Errors found so far.
#[derive(Debug, Default)]
pub struct ConfigChecks(Vec<ConfigError>);

impl ConfigChecks {
    /// Reports a parameter with this value unless it is good.
    pub fn require(&mut self, field: &'static str, good: bool, problem: &str, value: String) {
        if !good {
            let problem = format!("{problem}, not {value}");
            self.0.push(ConfigError { field, problem });
        }
    }

    /// Ends the checks.
    ///
    /// # Errors
    /// All that were reported.
    pub fn finish(self) -> Result<(), Vec<ConfigError>> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(self.0),
        }
    }
}
