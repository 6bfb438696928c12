//! Calibration of confidence: from a model's own score to the share of good translations among those with that score.

use std::fmt;

/// Most points of a curve.
const MAX_POINTS: usize = 64;

/// A curve from a model's score, the geometric mean of its token probabilities, to a calibrated confidence. Linear between its points, and level
/// before the first and behind the last.
///
/// # Examples
/// ```
/// use babelmesh_domain::ConfidenceCurve;
///
/// let curve = ConfidenceCurve::new(vec![(0.4, 0.1), (0.8, 0.9)])?;
/// assert_eq!(curve.at(0.2), 0.1);
/// assert!((curve.at(0.6) - 0.5).abs() < 1e-9);
/// assert_eq!(curve.at(1.0), 0.9);
/// # Ok::<(), babelmesh_domain::InvalidCurve>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ConfidenceCurve(Vec<(f64, f64)>);

/// Why points are not a [`ConfidenceCurve`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidCurve(&'static str);

impl fmt::Display for InvalidCurve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidCurve {}

impl ConfidenceCurve {
    /// The curve through these points: scores and their calibrated confidence.
    ///
    /// # Errors
    /// [`InvalidCurve`] for none or more than 64 points, for numbers that are not between 0 and 1, and unless both rise from point to point; the
    /// confidence may stay the same.
    pub fn new(points: Vec<(f64, f64)>) -> Result<Self, InvalidCurve> {
        if points.is_empty() || points.len() > MAX_POINTS {
            return Err(InvalidCurve("must have 1 to 64 points"));
        }
        let is_share = |number: &f64| (0.0..=1.0).contains(number);
        if !points
            .iter()
            .all(|(from, to)| is_share(from) && is_share(to))
        {
            return Err(InvalidCurve("must consist of numbers from 0 to 1"));
        }
        let rises = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
        match points.windows(2).all(rises) {
            true => Ok(Self(points)),
            false => Err(InvalidCurve("must rise from point to point")),
        }
    }

    /// Its points.
    #[must_use]
    pub fn points(&self) -> &[(f64, f64)] {
        &self.0
    }

    /// The calibrated confidence of a score.
    #[must_use]
    pub fn at(&self, score: f64) -> f64 {
        let after = self.0.partition_point(|(from, _)| *from <= score);
        match (after.checked_sub(1).map(|at| self.0[at]), self.0.get(after)) {
            (Some((from, low)), Some((to, high))) => {
                low + (high - low) * (score - from) / (to - from)
            }
            (Some((_, last)), None) => last,
            (None, Some((_, first))) => *first,
            (None, None) => score,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_curve_rises_and_stays_between_its_ends(
            mut points in prop::collection::vec((0u16..1_000, 0u16..1_000), 1..20), scores in prop::collection::vec(0.0..=1.0, 2..10),
        ) {
            points.sort_unstable();
            points.dedup_by_key(|(from, _)| *from);
            let mut highest = 0;
            let rising = points.iter().map(|(from, to)| {
                highest = highest.max(*to);
                (f64::from(*from) / 1e3, f64::from(highest) / 1e3)
            });
            let curve = ConfidenceCurve::new(rising.collect()).unwrap();
            let mut scores: Vec<f64> = scores;
            scores.sort_by(f64::total_cmp);
            let calibrated: Vec<f64> = scores.iter().map(|score| curve.at(*score)).collect();
            prop_assert!(calibrated.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12), "{calibrated:?}");
            for (from, to) in curve.points() {
                prop_assert!((curve.at(*from) - to).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn points_that_are_no_curve_are_refused() {
        let refused = |points: &[(f64, f64)]| ConfidenceCurve::new(points.to_vec()).is_err();
        assert!(refused(&[]) && refused(&[(0.1, 0.2); 65]));
        assert!(refused(&[(0.5, 0.5), (0.5, 0.6)]) && refused(&[(0.1, 0.9), (0.5, 0.6)]));
        assert!(refused(&[(0.5, f64::NAN)]) && refused(&[(-0.1, 0.5)]) && refused(&[(0.1, 1.5)]));
        assert!(!refused(&[(0.1, 0.5), (0.2, 0.5)]));
    }
}
