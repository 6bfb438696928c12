//! Node selection for a request.

use babelmesh_actors::{
    domain::ModelType,
    routing::{TierDistance, tier_distance},
};

use babelmesh_telemetry::status::{MemberState, MemberView};

/// Penalty for another node, in milliseconds of waiting: the local node is preferred unless another is clearly faster.
const WAY_MS: f64 = 20.0;

/// Requirements of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requirements {
    /// The source language; `None` if it has to be detected.
    pub source: Option<String>,
    /// The language that is wanted.
    pub target: String,
    /// The tier of models.
    pub tier: ModelType,
    /// If set, only working models with a tier nearer to the requested one than this tier qualify.
    pub nearer_than: Option<ModelType>,
}

/// How good a pool is for a request, the best one first: whether it is broken, and how far its tier is from the one wanted.
type Rank = (bool, TierDistance);

/// Nodes with a model for a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Candidates {
    /// Their names, the best one first.
    pub(super) nodes: Vec<String>,
    /// How many of them have a model that works. These come first.
    pub(super) working: usize,
}

/// The nodes that can do it now, the one with the shortest expected completion time first.
///
/// Pools that do not read the source are left out. Broken pools come after working ones, and tiers farther from the requested one after nearer ones,
/// as within a node.
#[must_use]
pub(super) fn candidates(members: &[MemberView], need: &Requirements) -> Candidates {
    let mut able: Vec<(Rank, f64, &str)> = members
        .iter()
        .filter(|member| member.state.is_up() && member.linked)
        .filter_map(|member| {
            let (rank, wait) = best_pool(member, need)?;
            let way = match member.state {
                MemberState::Own => 0.0,
                _ => WAY_MS,
            };
            Some((rank, wait + way, member.node.as_str()))
        })
        .collect();
    able.sort_by(|a, b| {
        let by_wait = a.1.total_cmp(&b.1);
        a.0.cmp(&b.0).then(by_wait).then(a.2.cmp(b.2))
    });
    let works = |(rank, ..): &&(Rank, f64, &str)| !rank.0;
    let working = able.iter().filter(works).count();
    let nodes = able.into_iter().map(|(_, _, node)| node.to_owned());
    Candidates {
        nodes: nodes.collect(),
        working,
    }
}

/// How good a node's best pool for it is, and how long a job waits there, in milliseconds.
fn best_pool(member: &MemberView, need: &Requirements) -> Option<(Rank, f64)> {
    let report = member.report.as_ref().filter(|report| !report.draining)?;
    let able = report.pools.iter().filter(|pool| {
        let reads = |source: &String| pool.ability.sources.contains(source);
        let distance = tier_distance(pool.ability.tier, need.tier);
        let is_nearer = |own| !pool.is_broken() && distance < tier_distance(own, need.tier);
        pool.serves(&need.target)
            && need.source.as_ref().is_none_or(reads)
            && need.nearer_than.is_none_or(is_nearer)
    });
    let rated = able.map(|pool| {
        let rank = (
            pool.is_broken(),
            tier_distance(pool.ability.tier, need.tier),
        );
        let speed = pool.tokens_per_second_of_an_actor * f64::from(pool.warm.max(1));
        let queue = match speed > 0.0 {
            true => pool.backlog_tokens as f64 / speed * 1e3,
            false => 0.0,
        };
        (rank, queue.max(pool.delay_ms as f64))
    });
    rated.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample::report;

    const TARGETS: [&str; 3] = ["fr", "de", "es"];

    fn candidates(members: &[MemberView], need: &Requirements) -> Vec<String> {
        super::candidates(members, need).nodes
    }

    fn need(target: &str) -> Requirements {
        Requirements {
            source: None,
            target: target.to_owned(),
            tier: ModelType::Basic,
            nearer_than: None,
        }
    }

    fn of_tier(mut member: MemberView, tier: ModelType) -> MemberView {
        if let Some(report) = &mut member.report {
            report.pools[0].ability.tier = tier;
        }
        member
    }

    fn member(number: usize, state: MemberState, target: &str, delay_ms: u64) -> MemberView {
        let mut report = report(&[target]);
        report.pools[0].delay_ms = delay_ms;
        MemberView {
            node: format!("n{number:02}"),
            address: String::new(),
            incarnation: 1,
            state,
            linked: true,
            since_ms: 0,
            report: Some(report),
        }
    }

    fn members() -> impl Strategy<Value = Vec<MemberView>> {
        const STATES: [MemberState; 5] = [
            MemberState::Alive,
            MemberState::Alive,
            MemberState::Suspect,
            MemberState::Down,
            MemberState::Left,
        ];
        let one = (
            0..5_usize,
            0..3_usize,
            0..5_000_u64,
            any::<bool>(),
            any::<bool>(),
        );
        prop::collection::vec(one, 0..10).prop_map(|all| {
            let all = all.into_iter().enumerate();
            all.map(|(number, (state, target, delay, linked, draining))| {
                let state = if number == 0 {
                    MemberState::Own
                } else {
                    STATES[state]
                };
                let mut member = member(number, state, TARGETS[target], delay);
                member.linked = linked || number == 0;
                if let Some(report) = &mut member.report {
                    report.draining = draining;
                }
                member
            })
            .collect()
        })
    }

    proptest! {
        #[test]
        fn exactly_the_nodes_that_can_do_it_are_candidates_whatever_their_order(members in members(), target in 0..3_usize) {
            let need = need(TARGETS[target]);
            let chosen = candidates(&members, &need);
            for member in &members {
                let report = member.report.as_ref().unwrap();
                let able = member.state.is_up() && member.linked && report.serves(&need.target);
                prop_assert_eq!(chosen.contains(&member.node), able);
            }
            let mut reversed = members.clone();
            reversed.reverse();
            prop_assert_eq!(candidates(&reversed, &need), chosen);
        }

        #[test]
        fn a_longer_wait_never_moves_a_node_forward(members in members(), target in 0..3_usize, who in 0..10_usize, more in 0..9_000_u64) {
            let need = need(TARGETS[target]);
            let place = |members: &[MemberView], node: &str| candidates(members, &need).iter().position(|n| n == node);
            prop_assume!(who < members.len());
            let node = members[who].node.clone();
            let before = place(&members, &node);
            let mut slower = members;
            slower[who].report.as_mut().unwrap().pools[0].delay_ms += more;
            prop_assert!(place(&slower, &node) >= before);
        }
    }

    #[test]
    fn this_node_is_taken_unless_another_is_clearly_quicker() {
        let own = |delay| member(0, MemberState::Own, "fr", delay);
        let other = |delay| member(1, MemberState::Alive, "fr", delay);
        assert_eq!(
            candidates(&[own(10), other(0)], &need("fr")),
            ["n00", "n01"]
        );
        assert_eq!(
            candidates(&[own(500), other(0)], &need("fr")),
            ["n01", "n00"]
        );
    }

    #[test]
    fn a_model_of_the_tier_that_is_asked_for_comes_first_however_busy() {
        let mut premium = member(1, MemberState::Alive, "fr", 4_000);
        premium.report.as_mut().unwrap().pools[0].ability.tier = ModelType::Premium;
        let basic = member(0, MemberState::Own, "fr", 0);
        let need = Requirements {
            tier: ModelType::Premium,
            ..need("fr")
        };
        assert_eq!(candidates(&[basic, premium], &need), ["n01", "n00"]);
    }

    #[test]
    fn the_nearest_tier_comes_first_and_the_better_of_two_as_within_a_node() {
        use ModelType::{Basic, Medium, Premium};

        let own = of_tier(member(0, MemberState::Own, "fr", 0), Basic);
        let medium = of_tier(member(1, MemberState::Alive, "fr", 0), Medium);
        let premium = of_tier(member(2, MemberState::Alive, "fr", 0), Premium);
        let chosen = |members: &[MemberView], tier| {
            let need = Requirements { tier, ..need("fr") };
            candidates(members, &need)
        };
        let all = [own.clone(), medium, premium.clone()];
        assert_eq!(chosen(&all, Basic), ["n00", "n01", "n02"]);
        assert_eq!(chosen(&all, Premium), ["n02", "n01", "n00"]);
        assert_eq!(chosen(&[own, premium], Medium), ["n02", "n00"]);
    }

    #[test]
    fn only_working_pools_of_a_nearer_tier_will_do_where_a_node_has_one_of_its_own() {
        use ModelType::{Basic, Medium, Premium};

        let medium = of_tier(member(1, MemberState::Alive, "fr", 0), Medium);
        let premium = of_tier(member(2, MemberState::Alive, "fr", 0), Premium);
        let basic = of_tier(member(3, MemberState::Alive, "fr", 0), Basic);
        let mut broken = of_tier(member(4, MemberState::Alive, "fr", 0), Premium);
        let pool = &mut broken.report.as_mut().unwrap().pools[0];
        (pool.failing, pool.warm, pool.wanted) = (true, 0, 0);
        let need = |own| Requirements {
            tier: Premium,
            nearer_than: Some(own),
            ..need("fr")
        };
        let members = [medium, premium, basic, broken];
        assert_eq!(candidates(&members, &need(Basic)), ["n02", "n01"]);
        assert_eq!(candidates(&members, &need(Medium)), ["n02"]);
        assert!(candidates(&members, &need(Premium)).is_empty());
    }

    #[test]
    fn a_node_whose_actors_fail_comes_last_however_little_waits_there() {
        let mut broken = member(0, MemberState::Own, "fr", 0);
        let pool = &mut broken.report.as_mut().unwrap().pools[0];
        // A pool that needs actors and has none is not a candidate.
        (pool.failing, pool.warm, pool.wanted) = (true, 0, 0);
        let mut premium = member(1, MemberState::Alive, "fr", 4_000);
        premium.report.as_mut().unwrap().pools[0].ability.tier = ModelType::Premium;
        let Candidates { nodes, working } =
            super::candidates(&[broken.clone(), premium], &need("fr"));
        assert_eq!((nodes, working), (vec!["n01".into(), "n00".into()], 1));
        let alone = super::candidates(&[broken], &need("fr"));
        assert_eq!((alone.nodes.len(), alone.working), (1, 0));
    }

    #[test]
    fn a_node_that_cannot_read_the_source_is_no_candidate_however_idle() {
        let mut german = member(0, MemberState::Own, "fr", 0);
        german.report.as_mut().unwrap().pools[0].ability.sources = vec!["de".to_owned()];
        let mut premium = member(1, MemberState::Alive, "fr", 4_000);
        premium.report.as_mut().unwrap().pools[0].ability.tier = ModelType::Premium;
        let of = |source: &str| Requirements {
            source: Some(source.to_owned()),
            ..need("fr")
        };
        let members = [german, premium];
        assert_eq!(candidates(&members, &of("en")), ["n01"]);
        assert_eq!(candidates(&members, &of("de")), ["n00"]);
        assert!(candidates(&members, &of("es")).is_empty());
    }
}
