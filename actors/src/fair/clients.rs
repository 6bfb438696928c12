//! Turns of clients on two levels: first origins, then the clients of each.

use tokio::time::Instant;

use super::FairQueue;
use crate::domain::{ClientId, Origin};

/// Clients in scheduling order. While several origins have work each gets an equal part of the service, and its clients share that part: four
/// thousand clients of one origin delay a client of another one by one unit of work, as a single client does.
#[derive(Debug, Default)]
pub(crate) struct ClientTurns {
    origins: FairQueue<Origin>,
    calls: FairQueue<ClientId>,
    records: FairQueue<ClientId>,
}

impl ClientTurns {
    /// Turns in which a client with little work may be served so much, above zero, before the age of its work no longer counts among the
    /// clients of its origin. See [`FairQueue::with_quantum`].
    pub(crate) fn with_quantum(cost: u64) -> Self {
        Self {
            origins: FairQueue::default(),
            calls: FairQueue::with_quantum(cost),
            records: FairQueue::with_quantum(cost),
        }
    }

    const fn of(&self, origin: Origin) -> &FairQueue<ClientId> {
        match origin {
            Origin::Calls => &self.calls,
            Origin::Records => &self.records,
        }
    }

    const fn of_mut(&mut self, client: ClientId) -> &mut FairQueue<ClientId> {
        match client.origin() {
            Origin::Calls => &mut self.calls,
            Origin::Records => &mut self.records,
        }
    }

    /// Adds a client with work that has waited since then. No effect if it is already scheduled.
    pub(crate) fn join(&mut self, client: ClientId, since: Instant) {
        self.of_mut(client).join(client, since);
        self.origins.join(client.origin(), since);
        self.park_or_unpark(client.origin());
    }

    /// A client has no more work.
    pub(crate) fn leave(&mut self, client: ClientId) {
        self.of_mut(client).leave(client);
        let origin = client.origin();
        match self.of(origin).len() {
            0 => self.origins.leave(origin),
            _ => self.park_or_unpark(origin),
        }
    }

    /// The next client.
    pub(crate) fn first(&self) -> Option<ClientId> {
        self.of(self.origins.first()?).first()
    }

    /// Whether a client, or its origin if they differ in that, is more than `cost` ahead of another one.
    pub(crate) fn is_ahead(&self, client: ClientId, of: ClientId, cost: u64) -> bool {
        match (client.origin(), of.origin()) {
            (one, other) if one == other => self.of(one).is_ahead(client, of, cost),
            (one, other) => self.origins.is_ahead(one, other, cost),
        }
    }

    /// Counts a service of this cost to a client.
    pub(crate) fn serve(&mut self, client: ClientId, cost: u64) {
        self.of_mut(client).serve(client, cost);
        self.origins.serve(client.origin(), cost);
    }

    /// Counts a cost to a client without serving it; undone by [`refund`](Self::refund).
    pub(crate) fn charge(&mut self, client: ClientId, cost: u64) {
        self.of_mut(client).charge(client, cost);
        self.origins.charge(client.origin(), cost);
    }

    /// Gives a cost back.
    pub(crate) fn refund(&mut self, client: ClientId, cost: u64) {
        self.of_mut(client).refund(client, cost);
        self.origins.refund(client.origin(), cost);
    }

    /// Says how much work of a client waits. More than a quantum is much.
    pub(crate) fn note_waiting(&mut self, client: ClientId, cost: u64) {
        self.of_mut(client).note_waiting(client, cost);
    }

    /// Skips a client until it is [unparked](Self::unpark). It keeps its position.
    pub(crate) fn park(&mut self, client: ClientId) {
        self.of_mut(client).park(client);
        self.park_or_unpark(client.origin());
    }

    /// Ends [`park`](Self::park).
    pub(crate) fn unpark(&mut self, client: ClientId) {
        self.of_mut(client).unpark(client);
        self.park_or_unpark(client.origin());
    }

    /// An origin takes turns while one of its clients does.
    fn park_or_unpark(&mut self, origin: Origin) {
        match self.of(origin).first() {
            Some(_) => self.origins.unpark(origin),
            None => self.origins.park(origin),
        }
    }

    /// Clients that have work.
    pub(crate) fn len(&self) -> usize {
        self.calls.len() + self.records.len()
    }

    /// How many other clients with work take turns with a client, as if each had as large a share as this one: an origin that has work counts
    /// as many clients as the client's own origin has.
    pub(crate) fn rivals(&self, client: ClientId) -> usize {
        let own = self.of(client.origin());
        let in_own_origin = own.len() + usize::from(!own.contains(client));
        let other_origins = self.origins.len() - usize::from(own.len() > 0);
        in_own_origin * (1 + other_origins) - 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(number: usize) -> ClientId {
        ClientId::of(&number.to_string())
    }

    fn record(number: usize) -> ClientId {
        call(number).from_origin(Origin::Records)
    }

    proptest! {
        #[test]
        fn any_number_of_clients_of_one_origin_delays_another_origin_by_one_unit_of_work(
            clients in 1usize..300, before in 0usize..600, quantum in 1u64..200, costs in prop::collection::vec(1u64..100, 1..20),
        ) {
            let mut turns = ClientTurns::with_quantum(quantum);
            let now = Instant::now();
            (0..clients).for_each(|client| turns.join(record(client), now));
            let mut costs = costs.iter().cycle();
            for _ in 0..before {
                let client = turns.first().unwrap();
                turns.serve(client, *costs.next().unwrap());
            }
            turns.join(call(0), now);
            let mut waited = 0;
            while turns.first() != Some(call(0)) {
                let client = turns.first().unwrap();
                turns.serve(client, *costs.next().unwrap());
                waited += 1;
            }
            prop_assert!(waited <= 1, "{waited}");
        }

        #[test]
        fn origins_that_always_have_work_are_served_equally_but_for_a_unit(
            calls in 1usize..5, records in 1usize..50, costs in prop::collection::vec(1u64..100, 1..400),
        ) {
            let mut turns = ClientTurns::with_quantum(128);
            let now = Instant::now();
            (0..calls).for_each(|client| turns.join(call(client), now));
            (0..records).for_each(|client| turns.join(record(client), now));
            let mut served = [0u64; 2];
            for cost in costs {
                let client = turns.first().unwrap();
                turns.serve(client, cost);
                served[usize::from(client.origin() == Origin::Records)] += cost;
                prop_assert!(served[0].abs_diff(served[1]) <= 2 * 100, "{served:?}");
            }
        }

        #[test]
        fn parked_clients_are_skipped_and_their_origin_with_the_last_of_them(
            steps in prop::collection::vec((0usize..3, any::<bool>(), 0u8..5), 0..200),
        ) {
            let mut turns = ClientTurns::with_quantum(16);
            let (mut present, mut parked) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
            for (number, is_call, step) in steps {
                let client = if is_call { call(number) } else { record(number) };
                match step {
                    0 => {
                        turns.join(client, Instant::now());
                        present.insert(client);
                    }
                    1 => {
                        turns.leave(client);
                        present.remove(&client);
                        parked.remove(&client);
                    }
                    2 if present.contains(&client) => {
                        turns.park(client);
                        parked.insert(client);
                    }
                    3 => {
                        turns.unpark(client);
                        parked.remove(&client);
                    }
                    _ if present.contains(&client) => turns.serve(client, 7),
                    _ => {}
                }
                prop_assert_eq!(turns.len(), present.len());
                let mut awake = present.difference(&parked);
                match turns.first() {
                    Some(first) => prop_assert!(awake.any(|client| *client == first)),
                    None => prop_assert!(awake.next().is_none()),
                }
            }
        }
    }

    #[test]
    fn rivals_of_another_origin_count_as_much_as_those_of_ones_own() {
        let mut turns = ClientTurns::with_quantum(128);
        let now = Instant::now();
        assert_eq!(turns.rivals(call(0)), 0);
        (0..100).for_each(|client| turns.join(record(client), now));
        assert_eq!((turns.rivals(call(0)), turns.rivals(record(0))), (1, 99));
        assert_eq!(turns.rivals(record(100)), 100);
        turns.join(call(0), now);
        assert_eq!((turns.rivals(call(0)), turns.rivals(record(0))), (1, 199));
        turns.join(call(1), now);
        assert_eq!((turns.rivals(call(0)), turns.rivals(call(2))), (3, 5));
    }
}
