//! The section `[models]`.

use std::{path::PathBuf, time::Duration};

use babelmesh_actors::{
    domain::Language,
    routing::{EscalationPolicy, PivotPolicy},
};
use serde::{Deserialize, Serialize};

use super::fetch::FetchConfig;

/// Which models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelsConfig {
    /// Folders that hold model directories.
    pub directories: Vec<PathBuf>,
    /// Ids of the models to use; empty means all that are found.
    pub load: Vec<String>,
    /// Where the engines' own forms of models are kept; the user's cache folder when absent.
    pub cache_directory: Option<PathBuf>,
    /// Whether a pair without a model of its own is translated in two steps, over a pivot language.
    pub pivot: bool,
    /// Languages that may be pivots, the preferred one first; empty means any, English first.
    pub pivot_languages: Vec<Language>,
    /// Which translations are made again by a model of a higher tier.
    pub escalation: EscalationConfig,
    /// Where models are downloaded from.
    pub fetch: FetchConfig,
}

impl ModelsConfig {
    /// Which pairs are translated over a pivot language.
    #[must_use]
    pub fn pivots(&self) -> PivotPolicy {
        PivotPolicy {
            enabled: self.pivot,
            languages: self.pivot_languages.clone(),
        }
    }
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            directories: vec![PathBuf::from("models")],
            load: Vec::new(),
            cache_directory: None,
            pivot: true,
            pivot_languages: Vec::new(),
            escalation: EscalationConfig::default(),
            fetch: FetchConfig::default(),
        }
    }
}

/// Which translations are made again by a model of a higher tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EscalationConfig {
    /// A translation whose confidence, 0 to 1, is below this is made again; zero makes none again.
    pub below: f64,
    /// How long the second translation may take, in milliseconds.
    pub timeout_ms: u64,
}

impl EscalationConfig {
    /// As the intake applies it.
    #[must_use]
    pub fn policy(&self) -> EscalationPolicy {
        EscalationPolicy {
            below: self.below,
            within: Duration::from_millis(self.timeout_ms),
        }
    }
}

impl Default for EscalationConfig {
    fn default() -> Self {
        let EscalationPolicy { below, within } = EscalationPolicy::default();
        Self {
            below,
            timeout_ms: within.as_millis() as u64,
        }
    }
}
