//! Fair scheduling of clients: start-time fair queueing (Goyal, Vin and Cheng, 1996) with the clock of weighted fair
//! queueing.
//!
//! Each client has a start tag: the service that it has had, in units of cost. The client with the smallest tag is next, and what it gets is added
//! to its tag. The clock shows what each client would have had if all were served at the same time in equal parts; a client that joins starts
//! there, so it neither gets credit for the time without work nor waits for others to use up theirs. Two clients that have work all the time are
//! served equally, but for one unit of work. A client that has left is remembered only until the clock has reached its tag.
//!
//! With a quantum, clients with little work whose tags are in the same multiple of it go by age. So one that has begun a small piece of work goes on
//! with it before the turn of those that came later: exact turns would finish the work of thousands of clients all at the same time, at the end.
//! Clients with [much work](Turns::note_waiting) take exact turns, after those with little work of the same multiple.

mod clients;

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use tokio::time::Instant;

pub(crate) use clients::ClientTurns;

/// Units of the clock in one unit of cost: a service of one unit is shared by all clients.
const UNITS: u64 = 1 << 16;

/// A client's place: its turn; clients with the same turn go by the age of their work, then in the order in which they joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The start tag: with little work, the last multiple of the quantum before it.
    turn: u64,
    since: Instant,
    number: u64,
    tag: u64,
    has_much: bool,
}

impl Place {
    fn set(&mut self, tag: u64, has_much: bool, quantum: u64) {
        self.tag = tag;
        self.has_much = has_much;
        self.turn = if has_much { tag } else { tag - tag % quantum };
    }
}

/// Active clients, in scheduling order.
#[derive(Debug)]
pub(crate) struct FairQueue<K> {
    places: HashMap<K, Place>,
    order: BTreeSet<(Place, K)>,
    /// Clients that have left ahead of the clock.
    left: HashMap<K, u64>,
    left_order: BTreeSet<(u64, K)>,
    clock: u64,
    joined: u64,
    /// In units of the clock.
    quantum: u64,
}

impl<K> Default for FairQueue<K> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            order: BTreeSet::new(),
            left: HashMap::new(),
            left_order: BTreeSet::new(),
            clock: 0,
            joined: 0,
            quantum: 1,
        }
    }
}

impl<K: Copy + Ord + Hash> FairQueue<K> {
    /// Turns in which a client with little work may be served so much, above zero, before the age of its work no longer counts.
    pub(crate) fn with_quantum(cost: u64) -> Self {
        Self {
            quantum: cost.max(1).saturating_mul(UNITS),
            ..Self::default()
        }
    }

    /// Adds a client with work that has waited since then. No effect if it is already scheduled.
    pub(crate) fn join(&mut self, client: K, since: Instant) {
        if self.places.contains_key(&client) {
            return;
        }
        let before = self.left.remove(&client);
        if let Some(tag) = before {
            self.left_order.remove(&(tag, client));
        }
        let tag = before.unwrap_or(self.clock).max(self.clock);
        let mut place = Place {
            turn: tag,
            since,
            number: self.joined,
            tag,
            has_much: false,
        };
        place.set(tag, false, self.quantum);
        self.joined += 1;
        self.places.insert(client, place);
        self.order.insert((place, client));
    }

    /// A client has no more work.
    pub(crate) fn leave(&mut self, client: K) {
        let Some(place) = self.places.remove(&client) else {
            return;
        };
        self.order.remove(&(place, client));
        if self.places.is_empty() {
            self.left.clear();
            self.left_order.clear();
            self.clock = 0;
        } else if place.tag > self.clock {
            self.left.insert(client, place.tag);
            self.left_order.insert((place.tag, client));
        }
    }

    /// The next client.
    pub(crate) fn first(&self) -> Option<K> {
        self.order.first().map(|(_, client)| *client)
    }

    /// Whether a client is more than `cost` ahead of another one.
    pub(crate) fn is_ahead(&self, client: K, of: K, cost: u64) -> bool {
        let tag = |client| {
            self.places
                .get(&client)
                .map_or(0, |place: &Place| place.tag)
        };
        tag(client) > tag(of).saturating_add(cost.saturating_mul(UNITS))
    }

    /// Counts a service of this cost to a client.
    pub(crate) fn serve(&mut self, client: K, cost: u64) {
        self.charge(client, cost);
        let mut rest = cost.saturating_mul(UNITS);
        loop {
            let sharing = (self.places.len() + self.left.len()).max(1) as u64;
            let Some((tag, gone)) = self.left_order.first().copied() else {
                self.clock = self.clock.saturating_add(rest / sharing);
                return;
            };
            let until = tag.saturating_sub(self.clock).saturating_mul(sharing);
            if until > rest {
                self.clock = self.clock.saturating_add(rest / sharing);
                return;
            }
            rest -= until;
            self.clock = self.clock.max(tag);
            self.left_order.remove(&(tag, gone));
            self.left.remove(&gone);
        }
    }

    /// Counts a cost to a client without serving it; undone by [`refund`](Self::refund).
    pub(crate) fn charge(&mut self, client: K, cost: u64) {
        let cost = cost.saturating_mul(UNITS);
        self.change(client, |place| {
            (place.tag.saturating_add(cost), place.has_much)
        });
    }

    /// Gives a cost back.
    pub(crate) fn refund(&mut self, client: K, cost: u64) {
        let cost = cost.saturating_mul(UNITS);
        self.change(client, |place| {
            (place.tag.saturating_sub(cost), place.has_much)
        });
    }

    /// Says how much work of a client waits. More than a quantum is much.
    pub(crate) fn note_waiting(&mut self, client: K, cost: u64) {
        let has_much = cost.saturating_mul(UNITS) > self.quantum;
        if (self.places.get(&client)).is_some_and(|place| place.has_much != has_much) {
            self.change(client, |place| (place.tag, has_much));
        }
    }

    fn change(&mut self, client: K, new: impl Fn(&Place) -> (u64, bool)) {
        if let Some(place) = self.places.get_mut(&client) {
            let is_there = self.order.remove(&(*place, client));
            let (tag, has_much) = new(place);
            place.set(tag, has_much, self.quantum);
            if is_there {
                self.order.insert((*place, client));
            }
        }
    }

    /// Skips a client until it is [unparked](Self::unpark). It keeps its position.
    pub(crate) fn park(&mut self, client: K) {
        if let Some(place) = self.places.get(&client) {
            self.order.remove(&(*place, client));
        }
    }

    /// Ends [`park`](Self::park).
    pub(crate) fn unpark(&mut self, client: K) {
        if let Some(place) = self.places.get(&client) {
            self.order.insert((*place, client));
        }
    }

    /// Whether a client has work.
    pub(crate) fn contains(&self, client: K) -> bool {
        self.places.contains_key(&client)
    }

    /// Clients that have work.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn clients_that_always_have_work_are_served_equally_but_for_one_unit(
            clients in 1usize..8, costs in prop::collection::vec(1u64..100, 1..400),
        ) {
            let mut turns = FairQueue::default();
            (0..clients).for_each(|client| turns.join(client, Instant::now()));
            let mut served = vec![0; clients];
            let mut largest = 0;
            for cost in costs {
                let client = turns.first().unwrap();
                turns.serve(client, cost);
                served[client] += cost;
                largest = largest.max(cost);
                let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
                prop_assert!(most - least <= 2 * largest);
            }
        }

        #[test]
        fn a_client_that_joins_waits_for_one_unit_of_work_of_each_other(
            others in 1usize..8, before in prop::collection::vec(1u64..100, 0..300),
        ) {
            let mut turns = FairQueue::default();
            let now = Instant::now();
            (0..others).for_each(|client| turns.join(client, now));
            for cost in before {
                let client = turns.first().unwrap();
                turns.serve(client, cost);
            }
            turns.join(others, now);
            let mut work = 0;
            while let Some(client) = turns.first() && client != others {
                turns.serve(client, 100);
                work += 100;
            }
            prop_assert!(work <= 2 * 100 * others, "{work}");
        }

        #[test]
        fn a_flood_of_short_lived_clients_starves_no_other(
            waiting in 1usize..50, costs in prop::collection::vec(1u64..100, 20..40),
        ) {
            // One client has much work; there are always so many others with one unit each, served and replaced by new ones.
            let mut turns = FairQueue::default();
            let now = Instant::now();
            turns.join(0, now);
            let mut next = 1;
            while next <= waiting {
                turns.join(next, now);
                next += 1;
            }
            let (mut had, mut others) = (0, 0);
            for cost in costs.iter().cycle().take(20 * costs.len()) {
                match turns.first().unwrap() {
                    0 => {
                        turns.serve(0, *cost);
                        had += cost;
                    }
                    client => {
                        turns.serve(client, 50);
                        others += 50;
                        turns.leave(client);
                        turns.join(next, now);
                        next += 1;
                    }
                }
            }
            let share = others / (waiting as u64 + 1);
            prop_assert!(had + 200 >= share / 2, "{had} of its own, {others} of {waiting} others");
            prop_assert!(turns.left.len() <= 4 * (waiting + 1) + 100, "{} are remembered", turns.left.len());
        }

        #[test]
        fn clients_with_little_work_finish_in_the_order_in_which_they_came(
            pieces in prop::collection::vec(prop::collection::vec(1u64..20, 1..5), 1..100),
        ) {
            let mut turns = FairQueue::with_quantum(100);
            let start = Instant::now();
            let mut left = pieces.clone();
            (0..pieces.len()).for_each(|client| turns.join(client, start));
            let mut finished = Vec::new();
            while let Some(client) = turns.first() {
                let cost = left[client].pop().unwrap();
                turns.serve(client, cost);
                if left[client].is_empty() {
                    turns.leave(client);
                    finished.push(client);
                }
            }
            prop_assert_eq!(finished, (0..pieces.len()).collect::<Vec<_>>());
        }

        #[test]
        fn a_client_with_little_work_goes_before_those_with_much(
            others in 1usize..8, before in prop::collection::vec(1u64..50, 0..300), cost in 1u64..100,
        ) {
            let mut turns = FairQueue::with_quantum(100);
            let start = Instant::now();
            for client in 0..others {
                turns.join(client, start);
                turns.note_waiting(client, 1_000_000);
            }
            for cost in before {
                let client = turns.first().unwrap();
                turns.serve(client, cost);
            }
            turns.join(others, start);
            turns.note_waiting(others, cost);
            // Those that are behind the clock catch up with it first, with one unit of work each.
            let mut work = 0;
            while let Some(client) = turns.first() && client != others {
                turns.serve(client, 50);
                work += 1;
            }
            prop_assert!(work <= others, "{work}");
        }

        #[test]
        fn clients_that_always_have_work_are_served_equally_but_for_a_quantum(
            clients in 1usize..8, costs in prop::collection::vec(1u64..100, 1..400),
        ) {
            let mut turns = FairQueue::with_quantum(150);
            (0..clients).for_each(|client| turns.join(client, Instant::now()));
            let mut served = vec![0; clients];
            for cost in costs {
                let client = turns.first().unwrap();
                turns.serve(client, cost);
                served[client] += cost;
                let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
                prop_assert!(most - least <= 150 + 2 * 100, "{served:?}");
            }
        }

        #[test]
        fn charging_and_refunding_keeps_the_order(costs in prop::collection::vec((0usize..4, 1u64..50), 0..60)) {
            let mut turns = FairQueue::default();
            (0..4).for_each(|client| turns.join(client, Instant::now()));
            let order = |turns: &FairQueue<usize>| turns.order.iter().copied().collect::<Vec<_>>();
            let before = order(&turns);
            for (client, cost) in &costs {
                turns.charge(*client, *cost);
            }
            turns.park(2);
            for (client, cost) in costs.iter().rev() {
                turns.refund(*client, *cost);
            }
            turns.unpark(2);
            prop_assert_eq!(order(&turns), before);
        }
    }

    #[test]
    fn clients_without_work_leave_nothing_behind() {
        let mut turns = FairQueue::default();
        for client in 0..1_000 {
            turns.join(client, Instant::now());
            turns.serve(client, 5);
            turns.leave(client);
        }
        assert_eq!((turns.len(), turns.order.len()), (0, 0));
        assert_eq!((turns.left.len(), turns.left_order.len()), (0, 0));
    }
}
