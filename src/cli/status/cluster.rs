//! The status of a cluster as text.

use std::fmt::Write as _;

use crate::{
    cli::table::{lines, short_bytes, short_count, short_duration, table},
    cluster::{ClusterView, MemberState, NodeReport, PoolReport},
};

/// Width that lists are wrapped at.
const WIDTH: usize = 80;

pub(super) fn text(view: &ClusterView) -> String {
    let (up, all) = (view.up(), view.members.len());
    let mut text = format!("{up} of {all} nodes up, seen from {}\n", view.node);
    for warning in &view.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    let _ = write!(text, "\n{}\n{}", nodes(view), links(view));
    if view.members.iter().any(|member| member.report.is_some()) {
        let _ = write!(text, "\n{}", pools(view));
    }
    let served = view.languages.iter().map(|language| {
        let nodes = language.nodes.len();
        format!("{} by {nodes}", language.language)
    });
    let _ = write!(text, "\n{}", wrapped("languages served: ", served));
    text
}

fn nodes(view: &ClusterView) -> String {
    let mut nodes = table(&[
        "node",
        "state",
        ">uptime",
        ">load",
        ">memory",
        ">partitions",
        ">unread",
        ">oldest",
    ]);
    for member in &view.members {
        let state = match &member.report {
            Some(report) if report.draining => "draining",
            _ => member.state.name(),
        };
        let mut row = vec![member.node.clone(), state.to_owned()];
        match &member.report {
            Some(report) => row.extend(node_cells(report)),
            None => row.extend(std::iter::repeat_n("-".to_owned(), 6)),
        }
        nodes.add_row(row);
    }
    lines(&nodes)
}

fn node_cells(report: &NodeReport) -> [String; 6] {
    [
        short_duration(report.uptime_ms),
        format!("{:.1}/{}", report.load, report.cores),
        short_bytes(report.memory_bytes),
        format!("{}+{}", report.requests.partitions, report.jobs.partitions),
        short_count(report.jobs.lag_records),
        short_duration(report.jobs.oldest_age_ms),
    ]
}

fn links(view: &ClusterView) -> String {
    let mut links = table(&["node", "link", ">since", "address", "version"]);
    for member in &view.members {
        let link = match (member.state, member.linked) {
            (MemberState::Own, _) => "self",
            (_, true) => "up",
            (_, false) => "down",
        };
        let version = member.report.as_ref().map_or("-", |report| &report.version);
        links.add_row([
            &member.node,
            link,
            &short_duration(member.since_ms),
            &member.address,
            version,
        ]);
    }
    lines(&links)
}

fn pools(view: &ClusterView) -> String {
    let mut pools = table(&[
        "node", "pool", ">actors", "bounds", ">backlog", ">delay", ">tok/s", ">done", "paused",
    ]);
    for member in &view.members {
        for pool in member.report.iter().flat_map(|report| &report.pools) {
            pools.add_row(pool_cells(&member.node, pool));
        }
    }
    lines(&pools)
}

fn pool_cells(node: &str, pool: &PoolReport) -> [String; 9] {
    let [min, max] = pool.bounds;
    let guests = match pool.guests {
        0 => String::new(),
        guests => format!("+{guests}"),
    };
    let paused = match pool.paused.as_slice() {
        [] => "-".to_owned(),
        paused => paused.join(" "),
    };
    [
        node.to_owned(),
        pool.model.clone(),
        format!("{}/{}{guests}", pool.busy, pool.actors),
        format!("{min}-{max}"),
        short_count(pool.backlog_tokens),
        short_duration(pool.delay_ms),
        format!("{:.0}", pool.tokens_per_second),
        short_count(pool.translated),
        paused,
    ]
}

/// A list behind a title, wrapped between its items.
fn wrapped(title: &str, items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    if items.is_empty() {
        return format!("{title}none\n");
    }
    let mut text = title.to_owned();
    let mut width = title.len();
    for (index, item) in items.iter().enumerate() {
        let end = if index + 1 == items.len() { "" } else { "," };
        let length = item.len() + end.len();
        if index > 0 && width + 1 + length > WIDTH {
            text.push_str("\n  ");
            width = 2;
        } else if index > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(item);
        text.push_str(end);
        width += length;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_wrapped_and_loses_nothing() {
        let items: Vec<_> = (0..60).map(|number| format!("l{number} by 2")).collect();
        let text = wrapped("languages served: ", items.clone().into_iter());
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(joined, format!("languages served: {}", items.join(", ")));
        assert_eq!(wrapped("served: ", std::iter::empty()), "served: none\n");
    }
}
