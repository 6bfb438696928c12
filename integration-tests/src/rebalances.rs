//! Which partitions nodes were given and lost, by their logs.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

/// A partition: topic and number.
pub type Partition = (String, i32);

/// Partitions that came to a node or went from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebalance {
    /// When.
    pub at: SystemTime,
    /// The node.
    pub node: String,
    /// Whether they came.
    pub assigned: bool,
    /// Which; there may be none.
    pub partitions: BTreeSet<Partition>,
}

impl Rebalance {
    /// Whether a partition is among them.
    #[must_use]
    pub fn has(&self, partition: &Partition) -> bool {
        self.partitions.contains(partition)
    }
}

/// Reads the log of a node.
#[must_use]
pub fn of_log(node: &str, log: &str) -> Vec<Rebalance> {
    let read = |line: &str| {
        let (head, listed) = line.split_once("partitions=\"")?;
        let assigned = head.contains(" partitions assigned ");
        let when = line.split_ascii_whitespace().next()?;
        (assigned || head.contains(" partitions revoked ")).then(|| Rebalance {
            at: humantime::parse_rfc3339(when).expect("a line of the log begins with its time"),
            node: node.to_owned(),
            assigned,
            partitions: partitions(listed.split('"').next().unwrap_or_default()),
        })
    };
    log.lines().filter_map(read).collect()
}

/// What a node has after all this.
#[must_use]
pub fn held(rebalances: &[Rebalance]) -> BTreeSet<Partition> {
    let mut held = BTreeSet::new();
    for rebalance in rebalances {
        for partition in &rebalance.partitions {
            match rebalance.assigned {
                true => held.insert(partition.clone()),
                false => held.remove(partition),
            };
        }
    }
    held
}

/// Of the partitions that were taken from nodes in these rebalances, those that went to another node, and those that the same one was given
/// again: they had been taken for nothing.
#[must_use]
pub fn moved_and_returned(rebalances: &[Rebalance]) -> (usize, usize) {
    let mut ordered: Vec<_> = rebalances.iter().collect();
    ordered.sort_by_key(|rebalance| rebalance.at);
    let (mut moved, mut returned) = (0, 0);
    for (index, from) in ordered.iter().enumerate().filter(|(_, r)| !r.assigned) {
        for partition in &from.partitions {
            let mut later = ordered[index + 1..].iter();
            match later.find(|to| to.assigned && to.has(partition)) {
                Some(to) if to.node == from.node => returned += 1,
                Some(_) => moved += 1,
                None => {}
            }
        }
    }
    (moved, returned)
}

/// Whether a partition came or went between two moments, or nearly so.
#[must_use]
pub fn touched(
    rebalances: &[Rebalance],
    partition: &Partition,
    from: SystemTime,
    until: SystemTime,
) -> bool {
    const NEARLY: Duration = Duration::from_millis(50);
    let between = from - NEARLY..until + NEARLY;
    let mut those = rebalances.iter().filter(|r| between.contains(&r.at));
    those.any(|rebalance| rebalance.has(partition))
}

/// `a[0,1] b[2]` as nodes write it.
fn partitions(listed: &str) -> BTreeSet<Partition> {
    let of_topic = |topic: &str| {
        let (name, numbers) = topic.split_once('[').expect("numbers follow a topic");
        let numbers = numbers.trim_end_matches(']').split(',');
        let partition = |number: &str| {
            let number = number.parse().expect("partitions have numbers");
            (name.to_owned(), number)
        };
        numbers.map(partition).collect::<Vec<_>>()
    };
    listed.split_ascii_whitespace().flat_map(of_topic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"2026-01-01T00:00:00.000001Z  INFO babelmesh::events: node started node="n"
2026-01-01T00:00:01.000000Z  INFO babelmesh::events: partitions assigned count=3 partitions="a[0,1] b[2]"
2026-01-01T00:00:02.000000Z  INFO babelmesh::events: partitions revoked count=1 partitions="a[1]"
2026-01-01T00:00:03.000000Z  INFO babelmesh::events: partitions assigned count=0 partitions=""
"#;

    fn partition(topic: &str, number: i32) -> Partition {
        (topic.to_owned(), number)
    }

    #[test]
    fn logs_are_read() {
        let rebalances = of_log("n", LOG);
        assert_eq!(rebalances.len(), 3);
        let held = held(&rebalances);
        assert_eq!(
            held.into_iter().collect::<Vec<_>>(),
            [partition("a", 0), partition("b", 2)]
        );
        let (from, until) = (rebalances[0].at, rebalances[2].at);
        assert!(touched(&rebalances, &partition("a", 1), from, until));
        assert!(!touched(
            &rebalances,
            &partition("b", 2),
            from + Duration::from_millis(500),
            until
        ));
    }

    #[test]
    fn returned_partitions_count_as_moved_needlessly() {
        let first = of_log("n", LOG);
        let again = of_log("n", &LOG.replace("00:00:0", "00:01:0"));
        assert_eq!(
            moved_and_returned(&[first.clone(), again.clone()].concat()),
            (0, 1)
        );
        let other = of_log("m", &LOG.replace("00:00:0", "00:01:0"));
        assert_eq!(moved_and_returned(&[first, other].concat()), (1, 0));
    }
}
