//! Pending orders, scheduled fairly by lane and client, so that a flood of long texts delays no one else.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use crate::{
    domain::{ClientId, Lane, Lanes, Order},
    fair::{ClientTurns, FairQueue},
};

/// Shares of the lanes while all of them have orders.
const WEIGHTS: Lanes<u64> = Lanes {
    interactive: 8,
    normal: 4,
    any: 1,
};
/// Fixed cost of an order, in addition to the bytes of its text.
const ORDER_COST: u64 = 64;

/// Orders and how often each was tried before.
#[derive(Default)]
pub(super) struct Pending {
    lanes: Lanes<Queue>,
    /// Which lane is next; costs are divided by weights.
    turns: FairQueue<Lane>,
    orders: usize,
}

#[derive(Default)]
struct Queue {
    clients: HashMap<ClientId, VecDeque<(Order, u32)>>,
    turns: ClientTurns,
}

impl Pending {
    /// Queues an order that was tried so often before.
    pub(super) fn push(&mut self, order: Order, tries: u32) {
        let (lane, client) = (order.request.lane(), order.client());
        let now = Instant::now();
        let queue = &mut self.lanes[lane];
        let orders = queue.clients.entry(client).or_default();
        orders.push_back((order, tries));
        queue.turns.join(client, now);
        self.turns.join(lane, now);
        self.orders += 1;
    }

    /// Takes the order whose turn it is.
    pub(super) fn pop(&mut self) -> Option<(Order, u32)> {
        let lane = self.turns.first()?;
        let queue = &mut self.lanes[lane];
        let client = queue.turns.first()?;
        let orders = queue.clients.get_mut(&client)?;
        let (order, tries) = orders.pop_front()?;
        let cost = order.request.text.len() as u64 + ORDER_COST;
        queue.turns.serve(client, cost);
        self.turns
            .serve(lane, cost * WEIGHTS.interactive / WEIGHTS[lane]);
        if orders.is_empty() {
            queue.clients.remove(&client);
            queue.turns.leave(client);
        }
        if queue.clients.is_empty() {
            self.turns.leave(lane);
        }
        self.orders -= 1;
        Some((order, tries))
    }

    /// Orders that wait.
    pub(super) const fn len(&self) -> usize {
        self.orders
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        JobOutcome, Leg, Locality, OutcomeSink, Priority, Ticket, TranslationRequest,
    };

    struct Nobody;

    impl OutcomeSink for Nobody {
        fn deliver(&self, _: Vec<JobOutcome>) {}
    }

    fn order(client: &str, number: i64, bytes: usize, priority: Priority) -> Order {
        Order {
            ticket: Ticket {
                offset: number,
                ..Ticket::default()
            },
            request: TranslationRequest {
                conversation_id: Some(client.to_owned()),
                priority: Some(priority),
                ..TranslationRequest::new(number.to_string(), "x".repeat(bytes), "fr")
            },
            submitted: Instant::now(),
            trace: None,
            locality: Locality::Cluster,
            leg: Leg::Whole,
            replays: 0,
            fresh: false,
            sink: Arc::new(Nobody),
        }
    }

    proptest! {
        #[test]
        fn every_order_leaves_once_and_those_of_a_client_and_lane_in_order(
            orders in prop::collection::vec((0u8..4, 0usize..200, 0usize..3), 0..200),
        ) {
            let mut pending = Pending::default();
            let priorities = [Priority::High, Priority::Normal, Priority::Low];
            for (number, (client, bytes, priority)) in (0i64..).zip(&orders) {
                pending.push(order(&client.to_string(), number, *bytes, priorities[*priority]), 0);
            }
            let mut last = HashMap::new();
            let mut count = 0;
            while let Some((order, _)) = pending.pop() {
                count += 1;
                let before = last.insert((order.client(), order.request.lane()), order.ticket.offset);
                prop_assert!(before.is_none_or(|before| before < order.ticket.offset));
            }
            prop_assert_eq!((count, pending.len()), (orders.len(), 0));
            prop_assert!(Lane::ALL.iter().all(|lane| pending.lanes[*lane].clients.is_empty()));
        }
    }

    #[test]
    fn a_short_text_passes_the_long_ones_of_another_client() {
        let mut pending = Pending::default();
        for number in 0..100 {
            pending.push(order("large", number, 90_000, Priority::High), 0);
        }
        pending.pop();
        pending.pop();
        pending.push(order("small", 100, 50, Priority::High), 0);
        pending.push(order("small", 101, 50, Priority::Normal), 0);
        let next: Vec<_> = (0..4)
            .filter_map(|_| pending.pop())
            .map(|(order, _)| order.ticket.offset)
            .collect();
        assert!(next.contains(&100) && next.contains(&101), "{next:?}");
    }
}
