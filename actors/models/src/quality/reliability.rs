//! How far a model's confidence can be trusted: the share of good translations by score, and the curve that calibrates it.

use babelmesh_domain::ConfidenceCurve;

/// A translation counts as good from this chrF2 on, 0 to 100, against its reference: below, Tatoeba's sentences mostly say something else.
pub const GOOD_CHRF: f64 = 50.0;
/// Steps of a curve, at most.
const STEPS: usize = 16;
/// Sentences that calibrate a model, at least.
pub const LEAST_TO_CALIBRATE: usize = 200;
/// Sentences of a step, at least: fewer say little.
const LEAST_SENTENCES: usize = 25;

/// A translated sentence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The model's confidence, 0 to 1.
    pub confidence: f64,
    /// Whether the translation is [good](GOOD_CHRF).
    pub is_good: bool,
}

/// Sentences of similar confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// Number of sentences.
    pub sentences: usize,
    /// Their mean confidence, 0 to 1.
    pub confidence: f64,
    /// The share of good translations among them, 0 to 1.
    pub good: f64,
}

impl ReliabilityBin {
    fn of(samples: &[Sample]) -> Self {
        let count = samples.len().max(1) as f64;
        let good = samples.iter().filter(|sample| sample.is_good).count();
        Self {
            sentences: samples.len(),
            confidence: samples.iter().map(|sample| sample.confidence).sum::<f64>() / count,
            good: good as f64 / count,
        }
    }

    fn with(self, other: Self) -> Self {
        let (own, others) = (self.sentences as f64, other.sentences as f64);
        let mean = |a: f64, b: f64| (a * own + b * others) / (own + others);
        Self {
            sentences: self.sentences + other.sentences,
            confidence: mean(self.confidence, other.confidence),
            good: mean(self.good, other.good),
        }
    }
}

/// At most so many bins with about equally many sentences each, by rising confidence.
#[must_use]
pub fn bins(samples: &[Sample], most: usize) -> Vec<ReliabilityBin> {
    let mut samples = samples.to_vec();
    samples.sort_by(|a, b| a.confidence.total_cmp(&b.confidence));
    let size = samples.len().div_ceil(most.max(1)).max(1);
    samples.chunks(size).map(ReliabilityBin::of).collect()
}

/// The mean difference between confidence and the share of good translations over ten bins, weighted by their sentences: the expected calibration
/// error (Naeini, Cooper and Hauskrecht, 2015), 0 to 1.
#[must_use]
pub fn calibration_error(samples: &[Sample]) -> f64 {
    let weigh = |bin: ReliabilityBin| (bin.confidence - bin.good).abs() * bin.sentences as f64;
    bins(samples, 10).into_iter().map(weigh).sum::<f64>() / samples.len().max(1) as f64
}

/// The curve from these translations' confidence to the share of good ones: isotonic regression (Zadrozny and Elkan, 2002) by pooling adjacent
/// violators, over bins of 25 sentences at least. `None` for fewer than [`LEAST_TO_CALIBRATE`] sentences.
#[must_use]
pub fn calibrate(samples: &[Sample]) -> Option<ConfidenceCurve> {
    if samples.len() < LEAST_TO_CALIBRATE {
        return None;
    }
    let steps = (samples.len() / LEAST_SENTENCES).min(STEPS);
    let mut rising: Vec<ReliabilityBin> = Vec::new();
    for bin in bins(samples, steps) {
        let mut bin = bin;
        while let Some(last) =
            rising.pop_if(|last| last.good >= bin.good || last.confidence >= bin.confidence)
        {
            bin = last.with(bin);
        }
        rising.push(bin);
    }
    let rounded = |number: f64| (number * 1e4).round() / 1e4;
    let mut points: Vec<_> = rising
        .iter()
        .map(|bin| (rounded(bin.confidence), rounded(bin.good)))
        .collect();
    points.dedup_by_key(|(from, _)| *from);
    ConfidenceCurve::new(points).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Samples whose confidence is the square root of the share of good ones.
    fn overconfident(count: usize) -> Vec<Sample> {
        let sample = |number: usize| {
            let share = (number % 100) as f64 / 100.0;
            // Each share of the samples with it is good.
            let is_good = ((number / 100 * 37) % 100) as f64 / 100.0 < share;
            Sample {
                confidence: share.sqrt(),
                is_good,
            }
        };
        (0..count).map(sample).collect()
    }

    #[test]
    fn calibration_brings_confidence_near_to_the_share_of_good_translations() {
        let samples = overconfident(10_000);
        let before = calibration_error(&samples);
        let curve = calibrate(&samples).unwrap();
        let calibrated: Vec<_> = samples
            .iter()
            .map(|sample| Sample {
                confidence: curve.at(sample.confidence),
                ..*sample
            })
            .collect();
        let after = calibration_error(&calibrated);
        assert!(before > 0.1 && after < 0.02, "{before} {after}");
    }

    #[test]
    fn too_few_sentences_make_no_curve_and_equal_ones_a_level_one() {
        assert_eq!(calibrate(&overconfident(LEAST_TO_CALIBRATE - 1)), None);
        assert_eq!(calibrate(&[]), None);
        assert!(bins(&[], 10).is_empty() && calibration_error(&[]) == 0.0);
        let equal = [Sample {
            confidence: 0.7,
            is_good: true,
        }; 200];
        assert_eq!(calibrate(&equal).unwrap().points(), [(0.7, 1.0)]);
    }

    proptest! {
        #[test]
        fn any_samples_make_a_curve_and_bins_that_hold_all_of_them(
            samples in prop::collection::vec((0.0..=1.0f64, any::<bool>()), 200..600), most in 1usize..30,
        ) {
            let samples: Vec<_> = samples.into_iter().map(|(confidence, is_good)| Sample { confidence, is_good }).collect();
            prop_assert!(calibrate(&samples).is_some());
            let bins = bins(&samples, most);
            prop_assert!(bins.len() <= most);
            prop_assert_eq!(bins.iter().map(|bin| bin.sentences).sum::<usize>(), samples.len());
            prop_assert!(bins.windows(2).all(|pair| pair[0].confidence <= pair[1].confidence + 1e-12));
        }
    }
}
