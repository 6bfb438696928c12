//! Gauges of the cluster and the cache.

use babelmesh_actors::pool::PoolStatus;

use super::{Page, each};
use crate::status::{CacheStatus, ClusterView, MemberState};

/// The other nodes, as this one sees them.
pub(super) fn cluster(page: &mut Page, view: &ClusterView) {
    let members = MemberState::ALL.map(|state| {
        let count = view.members.iter().filter(|m| m.state == state).count();
        (vec![("state", state.name().to_owned())], count as f64)
    });
    page.gauge(
        "cluster_members",
        "Known cluster members by state, including this node",
        members,
    );
    let linked = view.members.iter().filter(|member| member.linked).count();
    page.value("cluster_links", "Connected nodes", linked as f64);
    page.value(
        "cluster_warnings",
        "Warnings of babelmesh status",
        view.warnings.len() as f64,
    );
    if let Some(expires) = view.certificate_not_after {
        page.value(
            "certificate_expiry_timestamp_seconds",
            "When the node's certificate expires, in seconds since 1970",
            expires as f64,
        );
    }
    page.counter(
        "cluster_dropped_messages",
        "Messages dropped because their sender is not connected",
        [(Vec::new(), view.forged_messages)],
    );
}

/// Offload between pools, in both directions.
pub(super) fn help(page: &mut Page, pools: &[PoolStatus]) {
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&PoolStatus) -> f64| {
        page.gauge(name, help, each(pools, value));
    };
    gauge(
        "pool_guests",
        "Remote workers: borrowed actors on other nodes",
        &|pool| pool.guests.len() as f64,
    );
    gauge(
        "pool_loans",
        "Batches of other nodes, queued or in progress",
        &|pool| (pool.loans.queued + pool.loans.in_flight) as f64,
    );
    gauge(
        "pool_held_segments",
        "Segments of paused languages",
        &|pool| pool.held.segments as f64,
    );
    let mut counter = |name: &str, help: &str, value: &dyn Fn(&PoolStatus) -> u64| {
        page.counter(name, help, each(pools, value));
    };
    counter(
        "lent_batches",
        "Completed batches of other nodes",
        &|pool| pool.loans.batches,
    );
    counter(
        "lent_tokens",
        "Estimated tokens of completed batches of other nodes",
        &|pool| pool.loans.tokens,
    );
    counter(
        "refused_loans",
        "Rejected or failed batches of other nodes",
        &|pool| pool.loans.refused,
    );
}

/// The cache of the node.
pub(super) fn cache(page: &mut Page, cache: &CacheStatus) {
    page.value("cache_entries", "Cached translations", cache.entries as f64);
    page.value(
        "cache_bytes",
        "Estimated memory of cached translations",
        cache.bytes as f64,
    );
    page.value(
        "cache_max_bytes",
        "Memory limit of cached translations",
        cache.max_bytes as f64,
    );
    let Some(shared) = &cache.shared else {
        return;
    };
    page.value(
        "cache_shared_reachable",
        "1 if the shared Redis answers",
        f64::from(u8::from(shared.reachable)),
    );
    let label = |name: &str| vec![("outcome", name.to_owned())];
    page.counter(
        "cache_shared_lookups",
        "Lookups in the shared Redis, by result",
        [
            (label("found"), shared.found),
            (label("missed"), shared.missed),
            (label("failed"), shared.failed),
        ],
    );
    page.counter(
        "cache_shared_writes",
        "Writes to the shared Redis, by result",
        [
            (label("written"), shared.written),
            (label("dropped"), shared.dropped),
        ],
    );
}
