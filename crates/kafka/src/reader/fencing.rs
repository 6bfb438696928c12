//! Whether a fenced member rejoins.
//!
//! The group fences a static member when another one joins under its name. That is a second node with the same `node.name`, or the member itself:
//! during a network partition longer than its session, librdkafka sends a join request on a dead connection, and another one on a new connection
//! afterwards. If the first request arrives after the second, the group waits for a member that does not exist.
//!
//! One network partition leaves one such request, so a fenced member rejoins, once or twice. Two nodes with one name fence each other in turn: the
//! older one exceeds that limit first, and exits.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A member that is fenced this often within a [`WINDOW`] exits.
const MOST: usize = 3;
/// How long it is remembered that a member was fenced.
const WINDOW: Duration = Duration::from_secs(60);
/// How long a fenced member waits before it joins again.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// When a member was fenced lately.
#[derive(Debug, Default)]
pub(super) struct Fences(VecDeque<Instant>);

impl Fences {
    /// Records that the member was fenced. Returns whether it may rejoin. `now` must not decrease.
    pub(super) fn may_rejoin(&mut self, now: Instant) -> bool {
        self.0.retain(|at| now.duration_since(*at) < WINDOW);
        self.0.push_back(now);
        self.0.len() < MOST
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_gives_way_exactly_when_it_was_fenced_often_within_a_window(
            gaps in prop::collection::vec(0_u64..90_000, 1..40),
        ) {
            let (mut now, mut fences) = (Instant::now(), Fences::default());
            let mut all = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                all.push(now);
                let recent = all.iter().filter(|at| now.duration_since(**at) < WINDOW).count();
                prop_assert_eq!(fences.may_rejoin(now), recent < MOST);
            }
        }

        #[test]
        fn of_two_nodes_with_one_name_the_first_gives_way_and_the_second_stays(
            // Between a fence and the next one lie the pause, a heartbeat and what joining takes.
            rounds in prop::collection::vec(0_u64..8_000, 2 * MOST),
        ) {
            let mut fences = [Fences::default(), Fences::default()];
            let mut now = Instant::now();
            for (round, delay) in rounds.into_iter().enumerate() {
                now += PAUSE + Duration::from_millis(delay);
                let fenced = round % 2;
                if !fences[fenced].may_rejoin(now) {
                    prop_assert_eq!(fenced, 0);
                    return Ok(());
                }
            }
            prop_assert!(false, "both went on");
        }
    }
}
