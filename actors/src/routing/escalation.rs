//! Escalation: which translations are made again by a model of a higher tier.

use std::time::Duration;

use crate::domain::ModelType;

/// Which translations are made again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EscalationPolicy {
    /// A translation whose confidence, 0 to 1, is below this is made again; zero makes none again.
    pub below: f64,
    /// Timeout of the second translation, at most four fifths of the time left until the deadline. After it, the first translation is the result.
    pub within: Duration,
}

impl Default for EscalationPolicy {
    fn default() -> Self {
        Self {
            below: 0.0,
            within: Duration::from_secs(10),
        }
    }
}

impl EscalationPolicy {
    /// Whether any translation is made again.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.below > 0.0
    }

    /// Whether a translation of this confidence is doubtful.
    #[must_use]
    pub fn doubts(&self, confidence: f64) -> bool {
        confidence < self.below
    }

    /// The tier of the next translation: the lowest of those that are available and above `tier`.
    #[must_use]
    pub fn next_tier(
        tier: ModelType,
        available: impl IntoIterator<Item = ModelType>,
    ) -> Option<ModelType> {
        available.into_iter().filter(|next| *next > tier).min()
    }

    /// How long the next translation may take when the deadline leaves so much; `None` when there is no time left.
    #[must_use]
    pub fn allowance(&self, left: Option<Duration>) -> Option<Duration> {
        let allowed = left.map_or(self.within, |left| self.within.min(left * 4 / 5));
        (!allowed.is_zero()).then_some(allowed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tier() -> impl Strategy<Value = ModelType> {
        prop::sample::select(vec![
            ModelType::Basic,
            ModelType::Medium,
            ModelType::Premium,
        ])
    }

    proptest! {
        #[test]
        fn the_next_tier_is_the_nearest_above(own in tier(), available in prop::collection::vec(tier(), 0..6)) {
            match EscalationPolicy::next_tier(own, available.iter().copied()) {
                Some(next) => {
                    prop_assert!(next > own && available.contains(&next));
                    prop_assert!(available.iter().all(|other| *other <= own || *other >= next));
                }
                None => prop_assert!(available.iter().all(|other| *other <= own)),
            }
        }

        #[test]
        fn the_second_translation_ends_before_the_deadline(within in 0u64..100_000, left in prop::option::of(0u64..100_000)) {
            let policy = EscalationPolicy { below: 0.5, within: Duration::from_millis(within) };
            let left = left.map(Duration::from_millis);
            match policy.allowance(left) {
                Some(allowed) => {
                    prop_assert!(allowed <= policy.within);
                    prop_assert!(left.is_none_or(|left| allowed < left));
                }
                None => prop_assert!(within == 0 || left.is_some_and(|left| left.is_zero())),
            }
        }
    }

    #[test]
    fn only_low_confidence_is_doubted_and_nothing_by_default() {
        let policy = EscalationPolicy {
            below: 0.4,
            ..EscalationPolicy::default()
        };
        assert!(policy.is_enabled() && policy.doubts(0.39) && !policy.doubts(0.4));
        let policy = EscalationPolicy::default();
        assert!(!policy.is_enabled() && !policy.doubts(0.0));
    }
}
