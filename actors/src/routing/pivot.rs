//! Routes over one intermediate language, for pairs without a model of their own.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Language, ModelType};

use super::{Capability, TierDistance, tier_distance};

/// Which pairs go over a pivot language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PivotPolicy {
    /// Whether a pair without a model of its own is translated in two steps.
    pub enabled: bool,
    /// Languages that may be pivots, the preferred one first. Empty: any language, English first.
    pub languages: Vec<Language>,
}

impl Default for PivotPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            languages: Vec::new(),
        }
    }
}

impl PivotPolicy {
    /// A policy without pivots.
    pub const NONE: Self = Self {
        enabled: false,
        languages: Vec::new(),
    };

    /// The rank of a pivot, the best one first. `None` if it is not allowed.
    fn rank(&self, pivot: Language) -> Option<usize> {
        if !self.enabled {
            return None;
        }
        match self.languages.is_empty() {
            true => Some(usize::from(pivot.as_str() != "en")),
            false => self.languages.iter().position(|allowed| *allowed == pivot),
        }
    }
}

/// The pivot for a pair of languages among these models. `None` where no allowed language connects the two.
///
/// Pivots are ranked by the worse of their two steps (how near its tier is to the requested one), then by the other step, then by the order of the
/// policy, then by the tag. So all nodes that know the same models choose the same pivot.
///
/// Takes linear time in the number of languages of all models.
#[must_use]
pub fn choose_pivot<'a>(
    models: impl IntoIterator<Item = &'a Capability>,
    (source, target): (Language, Language),
    tier: ModelType,
    policy: &PivotPolicy,
) -> Option<Language> {
    if !policy.enabled || source == target {
        return None;
    }
    let mut to_pivot: BTreeMap<Language, TierDistance> = BTreeMap::new();
    let mut from_pivot: BTreeMap<Language, TierDistance> = BTreeMap::new();
    for ability in models {
        let rank = tier_distance(ability.tier, tier);
        if ability.sources.contains(&source) {
            keep_best(&mut to_pivot, &ability.targets, rank);
        }
        if ability.targets.contains(&target) {
            keep_best(&mut from_pivot, &ability.sources, rank);
        }
    }
    let routes = to_pivot.into_iter().filter_map(|(pivot, first)| {
        if pivot == source || pivot == target {
            return None;
        }
        let second = *from_pivot.get(&pivot)?;
        let steps = (first.max(second), first.min(second));
        Some((steps, policy.rank(pivot)?, pivot))
    });
    routes.min().map(|(_, _, pivot)| pivot)
}

fn keep_best(
    steps: &mut BTreeMap<Language, TierDistance>,
    pivots: &[Language],
    rank: TierDistance,
) {
    for pivot in pivots {
        let best = steps.entry(*pivot).or_insert(rank);
        *best = rank.min(*best);
    }
}

/// The languages that a source is translated to, by one model or over a pivot. The source itself is never among them.
#[must_use]
pub fn reachable(
    capabilities: &[Capability],
    source: Language,
    policy: &PivotPolicy,
) -> BTreeSet<Language> {
    let targets_of = |source: Language| {
        let models = capabilities
            .iter()
            .filter(move |ability| ability.sources.contains(&source));
        models.flat_map(|ability| ability.targets.iter().copied())
    };
    let direct: BTreeSet<Language> = targets_of(source).collect();
    let mut reached = direct.clone();
    for pivot in direct {
        if pivot != source && policy.rank(pivot).is_some() {
            reached.extend(targets_of(pivot));
        }
    }
    reached.remove(&source);
    reached
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn language(tag: &str) -> Language {
        tag.parse().unwrap()
    }

    fn model(source: &str, target: &str, tier: ModelType) -> Capability {
        Capability {
            sources: vec![language(source)],
            targets: vec![language(target)],
            tier,
        }
    }

    fn chosen(models: &[Capability], pair: (&str, &str), policy: &PivotPolicy) -> Option<String> {
        let pair = (language(pair.0), language(pair.1));
        choose_pivot(models, pair, ModelType::Basic, policy).map(|pivot| pivot.to_string())
    }

    #[test]
    fn english_is_preferred_unless_the_policy_names_others() {
        let basic = |source, target| model(source, target, ModelType::Basic);
        let models = [
            basic("pt", "de"),
            basic("de", "fr"),
            basic("pt", "en"),
            basic("en", "fr"),
        ];
        let any = PivotPolicy::default();
        assert_eq!(chosen(&models, ("pt", "fr"), &any).unwrap(), "en");
        assert_eq!(chosen(&models[..2], ("pt", "fr"), &any).unwrap(), "de");
        let german = PivotPolicy {
            languages: vec![language("de")],
            ..PivotPolicy::default()
        };
        assert_eq!(chosen(&models, ("pt", "fr"), &german).unwrap(), "de");
        assert_eq!(chosen(&models[2..], ("pt", "fr"), &german), None);
        assert_eq!(chosen(&models, ("pt", "fr"), &PivotPolicy::NONE), None);
        assert_eq!(chosen(&models, ("fr", "pt"), &any), None);
    }

    #[test]
    fn the_weaker_step_of_a_route_decides() {
        let (basic, premium) = (ModelType::Basic, ModelType::Premium);
        let models = [
            model("pt", "en", basic),
            model("en", "fr", premium),
            model("pt", "de", basic),
            model("de", "fr", basic),
        ];
        let any = PivotPolicy::default();
        assert_eq!(chosen(&models, ("pt", "fr"), &any).unwrap(), "de");
    }

    proptest! {
        #[test]
        fn a_pivot_exists_exactly_for_what_is_listed_as_reachable(
            models in prop::collection::vec((0usize..5, 0usize..5), 0..8), source in 0usize..5,
        ) {
            const TAGS: [&str; 5] = ["de", "en", "es", "fr", "pt"];
            let models: Vec<_> = models
                .into_iter()
                .map(|(source, target)| model(TAGS[source], TAGS[target], ModelType::Basic))
                .collect();
            let policy = PivotPolicy::default();
            let source = language(TAGS[source]);
            let reached = reachable(&models, source, &policy);
            prop_assert!(!reached.contains(&source));
            for target in TAGS.map(language).into_iter().filter(|target| *target != source) {
                let is_direct = models.iter().any(|ability| ability.serves(source, target));
                let pivot = choose_pivot(&models, (source, target), ModelType::Basic, &policy);
                if let Some(pivot) = pivot {
                    prop_assert!(models.iter().any(|ability| ability.serves(source, pivot)));
                    prop_assert!(models.iter().any(|ability| ability.serves(pivot, target)));
                }
                prop_assert_eq!(reached.contains(&target), is_direct || pivot.is_some());
            }
        }
    }
}
