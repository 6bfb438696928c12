//! Failure detector: the state of another node, as a pure state machine.
//!
//! ```text
//!            silence          silence
//!   alive ───────────► suspect ───────────► down
//!     ▲ ◄──────────────   │                   │
//!     │    heard again    │ leaves           │ a higher incarnation
//!     │                   ▼                   │
//!     └────────────────  left ◄───────────────┤
//!     ▲        a higher incarnation           │
//!     └───────────────────────────────────────┘
//! ```
//!
//! An *incarnation* is a number that only its own node raises: at its start, and when it learns that it was declared
//! dead. A node that is down or has left stays so in that incarnation, regardless of late messages, so that all nodes
//! agree on whether it came back.

use babelmesh_telemetry::status::MemberState;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Silence timeouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureTimeouts {
    /// Before a node is suspected.
    pub suspect: Duration,
    /// Before it is down. Longer.
    pub down: Duration,
}

/// State of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerState {
    /// Heard recently.
    Alive,
    /// It has been silent for a while, or its connection has ended.
    Suspect,
    /// It has been silent for too long.
    Down,
    /// It has left.
    Left,
}

impl PeerState {
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

/// State of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its newest incarnation.
    pub incarnation: u64,
    /// Its state.
    pub state: PeerState,
    /// When it was last heard.
    pub heard: Instant,
    /// When the state last changed.
    pub since: Instant,
}

/// An event about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberEvent {
    /// It spoke.
    Heard {
        /// In which incarnation.
        incarnation: u64,
    },
    /// The connection to it has ended.
    Unlinked,
    /// It left.
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
            state: PeerState::Alive,
            heard: now,
            since: now,
        }
    }

    /// The state after an event. `now` is monotonic.
    #[must_use]
    pub fn next(&self, event: MemberEvent, now: Instant, timeouts: FailureTimeouts) -> Self {
        match event {
            MemberEvent::Heard { incarnation } if self.accepts(incarnation) => Self {
                incarnation,
                heard: now,
                ..self.turned(PeerState::Alive, now)
            },
            MemberEvent::Farewell { incarnation } if self.accepts(incarnation) => Self {
                incarnation,
                ..self.turned(PeerState::Left, now)
            },
            MemberEvent::Unlinked if self.state == PeerState::Alive => {
                self.turned(PeerState::Suspect, now)
            }
            MemberEvent::Tick => self.waited(now, timeouts),
            _ => *self,
        }
    }

    /// Whether a message of this incarnation is accepted.
    #[must_use]
    pub const fn accepts(&self, incarnation: u64) -> bool {
        incarnation > self.incarnation || incarnation == self.incarnation && !self.state.is_over()
    }

    /// The dead incarnation, which its node must exceed to come back.
    #[must_use]
    pub const fn dead_incarnation(&self) -> Option<u64> {
        if self.state.is_over() {
            Some(self.incarnation)
        } else {
            None
        }
    }

    fn waited(&self, now: Instant, timeouts: FailureTimeouts) -> Self {
        let silence = now.saturating_duration_since(self.heard);
        match self.state {
            PeerState::Alive | PeerState::Suspect if silence >= timeouts.down => {
                self.turned(PeerState::Down, now)
            }
            PeerState::Alive if silence >= timeouts.suspect => self.turned(PeerState::Suspect, now),
            _ => *self,
        }
    }

    fn turned(&self, state: PeerState, now: Instant) -> Self {
        Self {
            state,
            since: if state == self.state { self.since } else { now },
            ..*self
        }
    }
}

impl From<PeerState> for MemberState {
    fn from(state: PeerState) -> Self {
        match state {
            PeerState::Alive => Self::Alive,
            PeerState::Suspect => Self::Suspect,
            PeerState::Down => Self::Down,
            PeerState::Left => Self::Left,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMEOUTS: FailureTimeouts = FailureTimeouts {
        suspect: Duration::from_millis(1_500),
        down: Duration::from_millis(3_500),
    };

    fn events() -> impl Strategy<Value = Vec<(u64, MemberEvent)>> {
        let incarnation = 0..4_u64;
        let event = prop_oneof![
            4 => incarnation.clone().prop_map(|incarnation| MemberEvent::Heard { incarnation }),
            1 => Just(MemberEvent::Unlinked),
            1 => incarnation.prop_map(|incarnation| MemberEvent::Farewell { incarnation }),
            4 => Just(MemberEvent::Tick),
        ];
        prop::collection::vec((0..2_000_u64, event), 0..60)
    }

    /// The states that events lead through, each with its event and time.
    fn history(events: Vec<(u64, MemberEvent)>) -> Vec<(Member, MemberEvent, Instant, Member)> {
        let mut now = Instant::now();
        let mut member = Member::new(1, now);
        let mut history = Vec::new();
        for (later, event) in events {
            now += Duration::from_millis(later);
            let next = member.next(event, now, TIMEOUTS);
            history.push((member, event, now, next));
            member = next;
        }
        history
    }

    proptest! {
        #[test]
        fn an_incarnation_never_falls_and_one_that_is_over_never_comes_back(events in events()) {
            for (before, _, _, after) in history(events) {
                prop_assert!(after.incarnation >= before.incarnation);
                if before.state.is_over() && !after.state.is_over() {
                    prop_assert!(after.incarnation > before.incarnation);
                }
            }
        }

        #[test]
        fn a_silent_member_is_down_after_a_tick(events in events(), more in 0..5_000_u64) {
            let history = history(events);
            let Some((.., now, last)) = history.last() else { return Ok(()) };
            let later = *now + TIMEOUTS.down + Duration::from_millis(more);
            let after = last.next(MemberEvent::Tick, later, TIMEOUTS);
            prop_assert!(after.state.is_over());
            prop_assert_eq!(after.next(MemberEvent::Tick, later, TIMEOUTS), after);
        }

        #[test]
        fn a_member_heard_often_enough_is_never_suspected(gaps in prop::collection::vec(0..1_500_u64, 1..60)) {
            let mut now = Instant::now();
            let mut member = Member::new(7, now);
            for gap in gaps {
                now += Duration::from_millis(gap);
                member = member.next(MemberEvent::Tick, now, TIMEOUTS);
                prop_assert_eq!(member.state, PeerState::Alive);
                member = member.next(MemberEvent::Heard { incarnation: 7 }, now, TIMEOUTS);
            }
        }

        #[test]
        fn a_higher_incarnation_is_alive_whatever_was_before(events in events()) {
            for (.., now, member) in history(events) {
                let incarnation = member.incarnation + 1;
                let back = member.next(MemberEvent::Heard { incarnation }, now, TIMEOUTS);
                prop_assert_eq!((back.state, back.incarnation, back.heard), (PeerState::Alive, incarnation, now));
            }
        }

        #[test]
        fn since_changes_with_the_standing_alone(events in events()) {
            for (before, _, now, after) in history(events) {
                let expected = if before.state == after.state { before.since } else { now };
                prop_assert_eq!(after.since, expected);
            }
        }
    }

    #[test]
    fn a_connection_that_ends_makes_suspect_and_silence_makes_down() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let cut = Member::new(1, start).next(MemberEvent::Unlinked, at(100), TIMEOUTS);
        assert_eq!(cut.state, PeerState::Suspect);
        let waiting = cut.next(MemberEvent::Tick, at(3_499), TIMEOUTS);
        assert_eq!(waiting.state, PeerState::Suspect);
        let down = waiting.next(MemberEvent::Tick, at(3_500), TIMEOUTS);
        assert_eq!(
            (down.state, down.dead_incarnation()),
            (PeerState::Down, Some(1))
        );
        let late = down.next(MemberEvent::Heard { incarnation: 1 }, at(3_600), TIMEOUTS);
        assert_eq!(late, down, "what was on its way does not wake the dead");
    }
}
