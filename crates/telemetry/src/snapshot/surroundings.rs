//! What a node has around it that has a value at every moment: other nodes, and what it remembers.

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
        "Nodes that this one knows, itself too",
        members,
    );
    let linked = view.members.iter().filter(|member| member.linked).count();
    page.value(
        "cluster_links",
        "Nodes that there is a connection to",
        linked as f64,
    );
    page.value(
        "cluster_warnings",
        "What babelmesh status warns of",
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
        "Messages that came over no connection of this node",
        [(Vec::new(), view.forged_messages)],
    );
}

/// Help that pools have from others and give to others.
pub(super) fn help(page: &mut Page, pools: &[PoolStatus]) {
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&PoolStatus) -> f64| {
        page.gauge(name, help, each(pools, value));
    };
    gauge(
        "pool_guests",
        "Places in pools of other nodes that work for this one",
        &|pool| pool.guests.len() as f64,
    );
    gauge(
        "pool_loans",
        "Batches of other nodes that wait or are done here",
        &|pool| (pool.loans.queued + pool.loans.in_flight) as f64,
    );
    gauge(
        "pool_held_segments",
        "Segments that wait because their language is paused",
        &|pool| pool.held.segments as f64,
    );
    let mut counter = |name: &str, help: &str, value: &dyn Fn(&PoolStatus) -> u64| {
        page.counter(name, help, each(pools, value));
    };
    counter(
        "lent_batches",
        "Batches of other nodes that were done here",
        &|pool| pool.loans.batches,
    );
    counter(
        "lent_tokens",
        "Estimated tokens of batches of other nodes that were done here",
        &|pool| pool.loans.tokens,
    );
    counter(
        "refused_loans",
        "Batches of other nodes that were not done here",
        &|pool| pool.loans.refused,
    );
}

/// What the node remembers.
pub(super) fn cache(page: &mut Page, cache: &CacheStatus) {
    page.value(
        "cache_entries",
        "Translations at hand",
        cache.entries as f64,
    );
    page.value(
        "cache_bytes",
        "Memory that translations at hand take, estimated",
        cache.bytes as f64,
    );
    page.value(
        "cache_max_bytes",
        "Most memory that translations at hand may take",
        cache.max_bytes as f64,
    );
    let Some(shared) = &cache.shared else {
        return;
    };
    page.value(
        "cache_shared_reachable",
        "Whether the Redis that nodes share answers",
        f64::from(u8::from(shared.reachable)),
    );
    let label = |name: &str| vec![("outcome", name.to_owned())];
    page.counter(
        "cache_shared_lookups",
        "Translations that the Redis was asked for",
        [
            (label("found"), shared.found),
            (label("missed"), shared.missed),
            (label("failed"), shared.failed),
        ],
    );
    page.counter(
        "cache_shared_writes",
        "Translations for the Redis",
        [
            (label("written"), shared.written),
            (label("dropped"), shared.dropped),
        ],
    );
}
