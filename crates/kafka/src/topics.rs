//! Names of topics.

use babelmesh_actors::domain::{Lane, Language};
use serde::{Deserialize, Serialize};

/// Names of the cluster's topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicNames {
    /// Requests of backends.
    pub requests: String,
    /// What the name of a language's job topic begins with; the language follows after a dot.
    pub jobs: String,
    /// Results and error results.
    pub results: String,
    /// Messages that can never succeed.
    pub dead_letters: String,
    /// Glossaries; without a name, there are none.
    pub glossaries: String,
}

impl Default for TopicNames {
    fn default() -> Self {
        Self {
            requests: "translation.requests".to_owned(),
            jobs: "translation.jobs".to_owned(),
            results: "translation.results".to_owned(),
            dead_letters: "translation.dead-letters".to_owned(),
            glossaries: "translation.glossaries".to_owned(),
        }
    }
}

impl TopicNames {
    /// The job topic of a language. Bulk work has a topic of its own that is read in parallel, so that it neither fills the partitions of
    /// conversations nor delays their results.
    #[must_use]
    pub fn jobs_of(&self, target: Language, lane: Lane) -> String {
        match lane {
            Lane::Interactive | Lane::Normal => format!("{}.{target}", self.jobs),
            Lane::Any => format!("{}.{target}.any", self.jobs),
        }
    }

    /// Both job topics of each language.
    pub fn all_jobs<'a>(&'a self, targets: &'a [Language]) -> impl Iterator<Item = String> + 'a {
        targets
            .iter()
            .flat_map(|t| [Lane::Normal, Lane::Any].map(|lane| self.jobs_of(*t, lane)))
    }

    /// Every topic that the translation into `targets` needs: all but that of glossaries.
    #[must_use]
    pub fn all(&self, targets: &[Language]) -> Vec<String> {
        let fixed = [&self.requests, &self.results, &self.dead_letters].map(Clone::clone);
        fixed.into_iter().chain(self.all_jobs(targets)).collect()
    }
}
