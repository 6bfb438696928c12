//! Which model translates what.

mod escalation;
mod pivot;

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::domain::{ErrorCode, Language, ModelType, RequestError};
pub use escalation::EscalationPolicy;
pub use pivot::{PivotPolicy, choose_pivot, reachable};

/// Capabilities of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capability {
    /// Languages it reads.
    pub sources: Vec<Language>,
    /// Languages it writes.
    pub targets: Vec<Language>,
    /// Its tier.
    pub tier: ModelType,
}

impl Capability {
    /// Whether it translates from `source` to `target`.
    #[must_use]
    pub fn serves(&self, source: Language, target: Language) -> bool {
        source != target && self.sources.contains(&source) && self.targets.contains(&target)
    }
}

/// A model that may be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its capabilities.
    pub ability: &'a Capability,
    /// Whether it works, as far as is known.
    pub works: bool,
}

/// The model that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Its index among the candidates.
    pub index: usize,
    /// Whether it works, as far as is known.
    pub works: bool,
}

/// Distance of a tier from the requested one; smaller is nearer. At equal distance, the better tier is nearer.
pub type TierDistance = (u8, Reverse<ModelType>);

/// How far a tier is from the one that is wanted.
#[must_use]
pub fn tier_distance(tier: ModelType, wanted: ModelType) -> TierDistance {
    ((tier as u8).abs_diff(wanted as u8), Reverse(tier))
}

/// Chooses the model for a language pair: working models first, then the tier nearest to the requested one, at equal distance the better tier, then
/// the first candidate.
///
/// # Errors
/// [`ErrorCode::UnsupportedLanguage`] when no model writes the target, [`ErrorCode::UnsupportedPair`] when none that does
/// reads the source.
pub fn choose<'a>(
    candidates: impl IntoIterator<Item = Candidate<'a>>,
    source: Language,
    target: Language,
    tier: ModelType,
) -> Result<Chosen, RequestError> {
    let mut known = false;
    let mut sources: Vec<Language> = Vec::new();
    let best = candidates
        .into_iter()
        .enumerate()
        .filter(|(_, Candidate { ability, .. })| {
            if ability.targets.contains(&target) {
                known = true;
                sources.extend(&ability.sources);
            }
            ability.serves(source, target)
        })
        .min_by_key(|(_, Candidate { ability, works })| {
            (!works, tier_distance(ability.tier, tier))
        });
    if let Some((index, Candidate { works, .. })) = best {
        return Ok(Chosen { index, works });
    }
    if known {
        sources.sort_unstable();
        sources.dedup();
        let message = format!(
            "no model translates {source} to {target}, only {}",
            list(&sources)
        );
        Err(RequestError::new(ErrorCode::UnsupportedPair, message))
    } else {
        let message = format!("no model supports the target language {target}");
        Err(RequestError::new(ErrorCode::UnsupportedLanguage, message))
    }
}

/// Languages for a message to people.
#[must_use]
pub fn list(languages: &[Language]) -> String {
    languages
        .iter()
        .map(Language::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn language(tag: &str) -> Language {
        tag.parse().unwrap()
    }

    fn ability(sources: &[&str], targets: &[&str], tier: ModelType) -> Capability {
        let all = |tags: &[&str]| tags.iter().map(|tag| language(tag)).collect();
        Capability {
            sources: all(sources),
            targets: all(targets),
            tier,
        }
    }

    fn working(models: &[Capability]) -> impl Iterator<Item = Candidate<'_>> {
        models.iter().map(|ability| Candidate {
            ability,
            works: true,
        })
    }

    #[test]
    fn a_model_that_works_is_taken_before_one_that_does_not_whatever_their_tiers() {
        let models = [ModelType::Basic, ModelType::Medium, ModelType::Premium]
            .map(|tier| ability(&["en"], &["fr"], tier));
        let choice = |works: [bool; 3]| {
            let all = models.iter().zip(works);
            let all = all.map(|(ability, works)| Candidate { ability, works });
            choose(all, language("en"), language("fr"), ModelType::Basic)
                .unwrap()
                .index
        };
        assert_eq!(choice([true, true, true]), 0);
        assert_eq!(choice([false, true, true]), 1);
        assert_eq!(choice([false, false, true]), 2);
        assert_eq!(
            choice([false, false, false]),
            0,
            "the job waits for its preferred model"
        );
    }

    #[test]
    fn the_nearest_tier_is_taken_and_the_better_of_two() {
        let models = [
            ability(&["en"], &["fr"], ModelType::Basic),
            ability(&["en"], &["fr"], ModelType::Premium),
        ];
        let choice = |tier| {
            choose(working(&models), language("en"), language("fr"), tier)
                .unwrap()
                .index
        };
        assert_eq!(choice(ModelType::Basic), 0);
        assert_eq!(choice(ModelType::Premium), 1);
        assert_eq!(choice(ModelType::Medium), 1, "the better one of two");
    }

    #[test]
    fn an_unknown_language_and_an_unknown_pair_are_different_errors() {
        let models = [ability(&["en"], &["fr"], ModelType::Basic)];
        let code = |source, target| {
            choose(
                working(&models),
                language(source),
                language(target),
                ModelType::Basic,
            )
            .unwrap_err()
            .code
        };
        assert_eq!(code("en", "xx"), ErrorCode::UnsupportedLanguage);
        assert_eq!(code("de", "fr"), ErrorCode::UnsupportedPair);
    }

    proptest! {
        #[test]
        fn the_model_that_is_chosen_serves_the_pair(
            models in prop::collection::vec(
                (prop::collection::vec(0usize..4, 1..3), prop::collection::vec(0usize..4, 1..3), 0usize..3, any::<bool>()), 0..6),
            source in 0usize..4, target in 0usize..4, tier in 0usize..3,
        ) {
            const TAGS: [&str; 4] = ["en", "fr", "de", "es"];
            const TIERS: [ModelType; 3] = [ModelType::Basic, ModelType::Medium, ModelType::Premium];
            let tags = |indices: &[usize]| indices.iter().map(|i| TAGS[*i]).collect::<Vec<_>>();
            let models: Vec<_> = models.iter().map(|(s, t, tier, works)| (ability(&tags(s), &tags(t), TIERS[*tier]), *works)).collect();
            let (source, target) = (language(TAGS[source]), language(TAGS[target]));
            let serving = |works: bool| models.iter().any(|(m, w)| *w == works && m.serves(source, target));
            let all = models.iter().map(|(ability, works)| Candidate { ability, works: *works });
            match choose(all, source, target, TIERS[tier]) {
                Ok(Chosen { index, works }) => {
                    prop_assert!(models[index].0.serves(source, target));
                    prop_assert_eq!(models[index].1, works);
                    prop_assert!(works || !serving(true), "one that works was passed over");
                }
                Err(_) => prop_assert!(!serving(true) && !serving(false)),
            }
        }
    }
}
