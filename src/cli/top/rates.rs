//! Jobs per second between two views.

use std::collections::HashMap;

use crate::cluster::ClusterView;

/// Jobs per second, by node and model.
#[derive(Debug, Default)]
pub(super) struct Rates(HashMap<(String, String), f64>);

impl Rates {
    /// The rates between two views, from the clocks of the nodes themselves.
    pub(super) fn between(before: &ClusterView, after: &ClusterView) -> Self {
        let mut rates = HashMap::new();
        for member in &after.members {
            let earlier = before.member(&member.node).and_then(|m| m.report.as_ref());
            let (Some(now), Some(earlier)) = (&member.report, earlier) else {
                continue;
            };
            let seconds = now.uptime_ms.saturating_sub(earlier.uptime_ms) as f64 / 1e3;
            for pool in &now.pools {
                let known = earlier.pools.iter().find(|p| p.model == pool.model);
                if let (Some(known), true) = (known, seconds > 0.0) {
                    let jobs = pool.translated.saturating_sub(known.translated);
                    let key = (member.node.clone(), pool.model.clone());
                    rates.insert(key, jobs as f64 / seconds);
                }
            }
        }
        Self(rates)
    }

    /// The rate of a pool, once two views have it.
    pub(super) fn of(&self, node: &str, model: &str) -> Option<f64> {
        let key = (node.to_owned(), model.to_owned());
        self.0.get(&key).copied()
    }

    /// The sum over all pools; `None` before there is any rate.
    pub(super) fn sum(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.values().sum())
    }
}
