//! Rows of the tables: what they show, and how they are sorted. No terminal is needed for that.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{rates::Rates, screen::Sort};
use crate::{
    cli::table::{short_bytes, short_count, short_duration},
    cluster::{ClusterView, MemberState, MemberView, PoolReport},
};

/// How a row stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
    Dim,
}

/// A row, with the values that it can be sorted by.
#[derive(Debug)]
pub(super) struct RowOf<const N: usize> {
    pub(super) cells: [String; N],
    pub(super) tone: Tone,
    name: String,
    backlog: u64,
    delay_ms: u64,
    rate: f64,
}

impl<const N: usize> RowOf<N> {
    fn compare(&self, other: &Self, sort: Sort) -> Ordering {
        // Numbers: largest first.
        let by = match sort {
            Sort::Name => Ordering::Equal,
            Sort::Backlog => other.backlog.cmp(&self.backlog),
            Sort::Delay => other.delay_ms.cmp(&self.delay_ms),
            Sort::Rate => other.rate.total_cmp(&self.rate),
        };
        by.then_with(|| self.name.cmp(&other.name))
    }
}

/// Sorts rows; equal ones by name.
pub(super) fn sort<const N: usize>(rows: &mut [RowOf<N>], sort: Sort) {
    rows.sort_by(|a, b| a.compare(b, sort));
}

fn rate_text(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"))
}

/// Columns of [`pools`].
pub(super) const POOL_COLUMNS: [(&str, u16); 8] = [
    ("NODE", 13),
    ("POOL", 19),
    ("ACTORS", 8),
    ("LANGUAGES", 11),
    (">BACKLOG", 7),
    (">DELAY", 6),
    (">TOK/S", 5),
    (">JOBS/S", 6),
];

/// A row for each pool of each node.
pub(super) fn pools(view: &ClusterView, rates: &Rates) -> Vec<RowOf<8>> {
    let pools = pools_of(view);
    let row = |(member, pool): (&MemberView, &PoolReport)| {
        let guests = match pool.guests {
            0 => String::new(),
            guests => format!("+{guests}"),
        };
        let mark = |language: &String| match pool.paused.contains(language) {
            true => format!("({language})"),
            false => language.clone(),
        };
        let languages: Vec<_> = pool.ability.targets.iter().map(mark).collect();
        let rate = rates.of(&member.node, &pool.model);
        RowOf {
            cells: [
                member.node.clone(),
                pool.model.clone(),
                format!("{}/{}{guests}", pool.busy, pool.actors),
                languages.join(" "),
                short_count(pool.backlog_tokens),
                short_duration(pool.delay_ms),
                format!("{:.0}", pool.tokens_per_second),
                rate_text(rate),
            ],
            tone: match pool.failing {
                true => Tone::Bad,
                false => Tone::Plain,
            },
            name: format!("{} {}", member.node, pool.model),
            backlog: pool.backlog_tokens,
            delay_ms: pool.delay_ms,
            rate: rate.unwrap_or_default(),
        }
    };
    pools.map(row).collect()
}

/// Columns of [`languages`].
pub(super) const LANGUAGE_COLUMNS: [(&str, u16); 9] = [
    ("LANGUAGE", 9),
    (">NODES", 6),
    (">POOLS", 6),
    (">BUSY", 5),
    (">ACTORS", 7),
    (">BACKLOG", 8),
    (">DELAY", 7),
    (">JOBS/S", 8),
    ("PAUSED ON", 16),
];

/// What the pools of a target language do together. A pool of several languages counts for each of them.
#[derive(Debug, Default)]
struct LanguageSum {
    nodes: usize,
    pools: u32,
    busy: u32,
    actors: u32,
    backlog: u64,
    delay_ms: u64,
    rate: Option<f64>,
    paused_on: Vec<String>,
}

/// A row for each target language.
pub(super) fn languages(view: &ClusterView, rates: &Rates) -> Vec<RowOf<9>> {
    let mut sums: BTreeMap<&str, LanguageSum> = BTreeMap::new();
    for served in &view.languages {
        sums.entry(&served.language).or_default().nodes = served.nodes.len();
    }
    for (member, pool) in pools_of(view) {
        for language in &pool.ability.targets {
            let sum = sums.entry(language).or_default();
            sum.pools += 1;
            sum.busy += pool.busy;
            sum.actors += pool.actors;
            sum.backlog += pool.backlog_tokens;
            sum.delay_ms = sum.delay_ms.max(pool.delay_ms);
            if let Some(rate) = rates.of(&member.node, &pool.model) {
                *sum.rate.get_or_insert(0.0) += rate;
            }
            if pool.paused.contains(language) {
                sum.paused_on.push(member.node.clone());
            }
        }
    }
    let row = |(language, sum): (&str, LanguageSum)| RowOf {
        cells: [
            language.to_owned(),
            sum.nodes.to_string(),
            sum.pools.to_string(),
            sum.busy.to_string(),
            sum.actors.to_string(),
            short_count(sum.backlog),
            short_duration(sum.delay_ms),
            rate_text(sum.rate),
            sum.paused_on.join(" "),
        ],
        tone: match (sum.nodes, sum.paused_on.is_empty()) {
            (0, _) => Tone::Bad,
            (_, false) => Tone::Warning,
            _ => Tone::Plain,
        },
        name: language.to_owned(),
        backlog: sum.backlog,
        delay_ms: sum.delay_ms,
        rate: sum.rate.unwrap_or_default(),
    };
    sums.into_iter().map(row).collect()
}

/// Columns of [`nodes`].
pub(super) const NODE_COLUMNS: [(&str, u16); 8] = [
    ("NODE", 18),
    ("STATE", 9),
    (">UPTIME", 7),
    (">LOAD", 8),
    (">MEMORY", 7),
    (">PARTITIONS", 10),
    (">UNREAD", 6),
    (">OLDEST", 7),
];

/// A row for each node.
pub(super) fn nodes(view: &ClusterView) -> Vec<RowOf<8>> {
    let row = |member: &MemberView| {
        let report = member.report.as_ref();
        let told = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let state = match report.is_some_and(|report| report.draining) {
            true => "draining",
            false => member.state.name(),
        };
        RowOf {
            cells: [
                member.node.clone(),
                state.to_owned(),
                told(report.map(|r| short_duration(r.uptime_ms))),
                told(report.map(|r| format!("{:.1}/{}", r.load, r.cores))),
                told(report.map(|r| short_bytes(r.memory_bytes))),
                told(report.map(|r| format!("{}+{}", r.requests.partitions, r.jobs.partitions))),
                told(report.map(|r| short_count(r.jobs.lag_records))),
                told(report.map(|r| short_duration(r.jobs.oldest_age_ms))),
            ],
            tone: tone(member.state),
            name: member.node.clone(),
            backlog: report.map_or(0, |r| r.jobs.lag_records),
            delay_ms: report.map_or(0, |r| r.jobs.oldest_age_ms),
            rate: report.map_or(0.0, |r| r.load),
        }
    };
    view.members.iter().map(row).collect()
}

/// Columns of [`links`].
pub(super) const LINK_COLUMNS: [(&str, u16); 6] = [
    ("NODE", 18),
    ("STATE", 9),
    ("LINK", 4),
    (">SINCE", 7),
    ("ADDRESS", 28),
    (">VERSION", 9),
];

/// A row for each node, with the connection to it.
pub(super) fn links(view: &ClusterView) -> Vec<RowOf<6>> {
    let row = |member: &MemberView| {
        let link = match (member.state, member.linked) {
            (MemberState::Own, _) => "self",
            (_, true) => "up",
            (_, false) => "down",
        };
        let version = member.report.as_ref().map(|report| report.version.clone());
        RowOf {
            cells: [
                member.node.clone(),
                member.state.name().to_owned(),
                link.to_owned(),
                short_duration(member.since_ms),
                member.address.clone(),
                version.unwrap_or_else(|| "-".to_owned()),
            ],
            tone: tone(member.state),
            name: member.node.clone(),
            backlog: 0,
            delay_ms: 0,
            rate: 0.0,
        }
    };
    view.members.iter().map(row).collect()
}

fn tone(state: MemberState) -> Tone {
    match state {
        MemberState::Own | MemberState::Alive => Tone::Good,
        MemberState::Suspect | MemberState::Unreached => Tone::Warning,
        MemberState::Down => Tone::Bad,
        MemberState::Left => Tone::Dim,
    }
}

fn pools_of(view: &ClusterView) -> impl Iterator<Item = (&MemberView, &PoolReport)> {
    view.members.iter().flat_map(|member| {
        let pools = member.report.iter().flat_map(|report| &report.pools);
        pools.map(move |pool| (member, pool))
    })
}
