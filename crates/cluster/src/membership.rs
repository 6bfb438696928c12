//! What a node believes of another one, as a pure state machine.
//!
//! ```text
//!            silence          silence
//!   alive ───────────► suspect ───────────► down
//!     ▲ ◄──────────────   │                   │
//!     │    heard again    │ says goodbye      │ a higher incarnation
//!     │                   ▼                   │
//!     └────────────────  left ◄───────────────┤
//!     ▲        a higher incarnation           │
//!     └───────────────────────────────────────┘
//! ```
//!
//! An *incarnation* is a number that only its own node raises: at its start, and when it learns that somebody took it for dead.
//! A node that is down or has left stays so in that incarnation, whatever still arrives of it, so that every node agrees on
//! whether it came back and what was said before that.

use babelmesh_telemetry::status::MemberState;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long silence may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Before a node is suspected.
    pub suspect: Duration,
    /// Before it is down. Longer.
    pub down: Duration,
}

/// What is believed of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It was heard a moment ago.
    Alive,
    /// It has been silent for a while, or its connection has ended.
    Suspect,
    /// It has been silent for too long.
    Down,
    /// It has said goodbye.
    Left,
}

impl Standing {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
        }
    }

    /// Whether nothing more is expected of this incarnation.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Down | Self::Left)
    }
}

/// What is known of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its newest incarnation.
    pub incarnation: u64,
    /// What is believed of that.
    pub standing: Standing,
    /// When it was last heard.
    pub heard: Instant,
    /// When the standing last changed.
    pub since: Instant,
}

/// Something that was learned about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It spoke.
    Heard {
        /// In which incarnation.
        incarnation: u64,
    },
    /// The connection to it has ended.
    Unlinked,
    /// It said goodbye.
    Farewell {
        /// In which incarnation.
        incarnation: u64,
    },
    /// Time has passed.
    Tick,
}

impl Member {
    /// A node that was heard for the first time.
    #[must_use]
    pub const fn new(incarnation: u64, now: Instant) -> Self {
        Self {
            incarnation,
            standing: Standing::Alive,
            heard: now,
            since: now,
        }
    }

    /// What is believed after a sign. `now` never goes back.
    #[must_use]
    pub fn next(&self, sign: Sign, now: Instant, patience: Patience) -> Self {
        match sign {
            Sign::Heard { incarnation } if self.accepts(incarnation) => Self {
                incarnation,
                heard: now,
                ..self.turned(Standing::Alive, now)
            },
            Sign::Farewell { incarnation } if self.accepts(incarnation) => Self {
                incarnation,
                ..self.turned(Standing::Left, now)
            },
            Sign::Unlinked if self.standing == Standing::Alive => {
                self.turned(Standing::Suspect, now)
            }
            Sign::Tick => self.waited(now, patience),
            _ => *self,
        }
    }

    /// Whether something said in this incarnation counts.
    #[must_use]
    pub const fn accepts(&self, incarnation: u64) -> bool {
        incarnation > self.incarnation
            || incarnation == self.incarnation && !self.standing.is_over()
    }

    /// The incarnation that its node must leave behind to come back, if it is over.
    #[must_use]
    pub const fn buried(&self) -> Option<u64> {
        if self.standing.is_over() {
            Some(self.incarnation)
        } else {
            None
        }
    }

    fn waited(&self, now: Instant, patience: Patience) -> Self {
        let silence = now.saturating_duration_since(self.heard);
        match self.standing {
            Standing::Alive | Standing::Suspect if silence >= patience.down => {
                self.turned(Standing::Down, now)
            }
            Standing::Alive if silence >= patience.suspect => self.turned(Standing::Suspect, now),
            _ => *self,
        }
    }

    fn turned(&self, standing: Standing, now: Instant) -> Self {
        Self {
            standing,
            since: if standing == self.standing {
                self.since
            } else {
                now
            },
            ..*self
        }
    }
}

impl From<Standing> for MemberState {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Alive => Self::Alive,
            Standing::Suspect => Self::Suspect,
            Standing::Down => Self::Down,
            Standing::Left => Self::Left,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Patience = Patience {
        suspect: Duration::from_millis(1_500),
        down: Duration::from_millis(3_500),
    };

    fn signs() -> impl Strategy<Value = Vec<(u64, Sign)>> {
        let incarnation = 0..4_u64;
        let sign = prop_oneof![
            4 => incarnation.clone().prop_map(|incarnation| Sign::Heard { incarnation }),
            1 => Just(Sign::Unlinked),
            1 => incarnation.prop_map(|incarnation| Sign::Farewell { incarnation }),
            4 => Just(Sign::Tick),
        ];
        prop::collection::vec((0..2_000_u64, sign), 0..60)
    }

    /// The states that signs lead through, each with the sign and the time that led there.
    fn history(signs: Vec<(u64, Sign)>) -> Vec<(Member, Sign, Instant, Member)> {
        let mut now = Instant::now();
        let mut member = Member::new(1, now);
        let mut history = Vec::new();
        for (later, sign) in signs {
            now += Duration::from_millis(later);
            let next = member.next(sign, now, PATIENCE);
            history.push((member, sign, now, next));
            member = next;
        }
        history
    }

    proptest! {
        #[test]
        fn an_incarnation_never_falls_and_one_that_is_over_never_comes_back(signs in signs()) {
            for (before, _, _, after) in history(signs) {
                prop_assert!(after.incarnation >= before.incarnation);
                if before.standing.is_over() && !after.standing.is_over() {
                    prop_assert!(after.incarnation > before.incarnation);
                }
            }
        }

        #[test]
        fn whoever_was_silent_for_too_long_is_down_after_a_tick(signs in signs(), more in 0..5_000_u64) {
            let history = history(signs);
            let Some((.., now, last)) = history.last() else { return Ok(()) };
            let later = *now + PATIENCE.down + Duration::from_millis(more);
            let after = last.next(Sign::Tick, later, PATIENCE);
            prop_assert!(after.standing.is_over());
            prop_assert_eq!(after.next(Sign::Tick, later, PATIENCE), after);
        }

        #[test]
        fn whoever_is_heard_often_enough_is_never_suspected(gaps in prop::collection::vec(0..1_500_u64, 1..60)) {
            let mut now = Instant::now();
            let mut member = Member::new(7, now);
            for gap in gaps {
                now += Duration::from_millis(gap);
                member = member.next(Sign::Tick, now, PATIENCE);
                prop_assert_eq!(member.standing, Standing::Alive);
                member = member.next(Sign::Heard { incarnation: 7 }, now, PATIENCE);
            }
        }

        #[test]
        fn a_higher_incarnation_is_alive_whatever_was_before(signs in signs()) {
            for (.., now, member) in history(signs) {
                let incarnation = member.incarnation + 1;
                let back = member.next(Sign::Heard { incarnation }, now, PATIENCE);
                prop_assert_eq!((back.standing, back.incarnation, back.heard), (Standing::Alive, incarnation, now));
            }
        }

        #[test]
        fn since_changes_with_the_standing_alone(signs in signs()) {
            for (before, _, now, after) in history(signs) {
                let expected = if before.standing == after.standing { before.since } else { now };
                prop_assert_eq!(after.since, expected);
            }
        }
    }

    #[test]
    fn a_connection_that_ends_makes_suspect_and_silence_makes_down() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let cut = Member::new(1, start).next(Sign::Unlinked, at(100), PATIENCE);
        assert_eq!(cut.standing, Standing::Suspect);
        let waiting = cut.next(Sign::Tick, at(3_499), PATIENCE);
        assert_eq!(waiting.standing, Standing::Suspect);
        let down = waiting.next(Sign::Tick, at(3_500), PATIENCE);
        assert_eq!((down.standing, down.buried()), (Standing::Down, Some(1)));
        let late = down.next(Sign::Heard { incarnation: 1 }, at(3_600), PATIENCE);
        assert_eq!(late, down, "what was on its way does not wake the dead");
    }
}
