//! Whether enough nodes have a model for each language.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::view::{MemberState, MemberView};

/// How many nodes can serve a language now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// The language.
    pub language: String,
    /// The nodes that can translate into it now.
    pub nodes: Vec<String>,
}

/// Every language that a node knows topics for or has a model for, with those that serve it.
#[must_use]
pub fn coverage(members: &[MemberView]) -> Vec<Coverage> {
    let mut nodes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for member in members {
        let Some(report) = &member.report else {
            continue;
        };
        let pools = report.pools.iter();
        let targets = pools.flat_map(|pool| &pool.ability.targets);
        for language in report.languages.iter().chain(targets) {
            let serving = nodes.entry(language).or_default();
            if member.state.is_up() && report.serves(language) {
                serving.insert(&member.node);
            }
        }
    }
    nodes
        .into_iter()
        .map(|(language, nodes)| Coverage {
            language: language.to_owned(),
            nodes: nodes.into_iter().map(str::to_owned).collect(),
        })
        .collect()
}

/// Warnings for operators.
#[must_use]
pub fn warnings(members: &[MemberView], coverage: &[Coverage]) -> Vec<String> {
    let mut warnings = Vec::new();
    for Coverage { language, nodes } in coverage {
        match nodes.as_slice() {
            [] => warnings.push(format!("no node serves {language}")),
            [node] => warnings.push(format!("only one node serves {language}: {node}")),
            _ => {}
        }
    }
    for member in members {
        let (node, address) = (&member.node, &member.address);
        match member.state {
            MemberState::Down => {
                let seconds = member.since_ms / 1_000;
                warnings.push(format!("{node} has been down for {seconds} s"));
            }
            MemberState::Unreached => warnings.push(format!(
                "{node} at {address} is known to other nodes but unreachable from this node"
            )),
            _ => {}
        }
    }
    let versions: BTreeSet<&str> = members
        .iter()
        .filter_map(|member| Some(member.report.as_ref()?.version.as_str()))
        .collect();
    if versions.len() > 1 {
        let versions: Vec<_> = versions.into_iter().collect();
        let versions = versions.join(", ");
        warnings.push(format!("nodes run different versions ({versions})"));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::status::report::tests::report;

    fn member(node: &str, state: MemberState, targets: &[&str]) -> MemberView {
        MemberView {
            node: node.to_owned(),
            address: String::new(),
            incarnation: 1,
            state,
            linked: true,
            since_ms: 3_000,
            report: Some(report(targets)),
        }
    }

    #[test]
    fn languages_of_one_node_or_none_are_warned_about() {
        let mut drained = member("d", MemberState::Alive, &["it"]);
        drained.report.as_mut().unwrap().draining = true;
        let members = [
            member("a", MemberState::Own, &["fr", "de"]),
            member("b", MemberState::Alive, &["fr"]),
            member("c", MemberState::Suspect, &["de", "es"]),
            drained,
        ];
        let coverage = coverage(&members);
        let told = warnings(&members, &coverage);
        let expected = [
            "only one node serves de: a",
            "no node serves es",
            "no node serves it",
        ];
        assert_eq!(told, expected);
    }

    proptest! {
        #[test]
        fn only_nodes_that_are_up_cover_a_language(
            states in prop::collection::vec((0..6_usize, prop::collection::vec(0..4_usize, 0..4)), 0..8)
        ) {
            const STATES: [MemberState; 6] = [
                MemberState::Own, MemberState::Alive, MemberState::Suspect,
                MemberState::Down, MemberState::Left, MemberState::Unreached,
            ];
            const LANGUAGES: [&str; 4] = ["fr", "de", "es", "it"];
            let members: Vec<_> = states.iter().enumerate().map(|(number, (state, targets))| {
                let targets: Vec<_> = targets.iter().map(|t| LANGUAGES[*t]).collect();
                member(&format!("n{number}"), STATES[*state], &targets)
            }).collect();
            for Coverage { language, nodes } in coverage(&members) {
                for member in &members {
                    let report = member.report.as_ref().unwrap();
                    let has = report.pools[0].ability.targets.contains(&language);
                    prop_assert_eq!(nodes.contains(&member.node), has && member.state.is_up());
                }
            }
        }
    }
}
