//! One lane of the backlog: clients that take turns.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use super::client::ClientQueue;
use crate::{
    domain::ClientId,
    fair::ClientTurns,
    pool::{batching::BatchShape, item::Item},
};

/// Upper bounds of the length classes, in estimated tokens; the last class has none.
const CLASSES: [u32; 6] = [8, 16, 32, 64, 128, u32::MAX];

fn class(tokens: u32) -> usize {
    CLASSES.partition_point(|bound| *bound < tokens)
}

/// Tokens that a client may be served ahead of others before the age of its work no longer counts: some chat messages.
pub(super) const QUANTUM: u32 = 128;

/// A lane.
#[derive(Debug)]
pub(super) struct LaneQueue {
    clients: HashMap<ClientId, ClientQueue>,
    turns: ClientTurns,
    /// How many items were queued when.
    ages: BTreeMap<Instant, usize>,
    items: usize,
    tokens: u64,
    /// Tokens taken, divided by the weight.
    pub(super) pass: f64,
}

impl Default for LaneQueue {
    fn default() -> Self {
        Self {
            clients: HashMap::new(),
            turns: ClientTurns::with_quantum(QUANTUM.into()),
            ages: BTreeMap::new(),
            items: 0,
            tokens: 0,
            pass: 0.0,
        }
    }
}

/// A batch as it grows in one lane.
struct BatchBuilder<'a> {
    shape: &'a mut BatchShape,
    per_client: Option<u32>,
    /// Tokens of each client in the batch.
    taken: HashMap<ClientId, u32>,
}

impl BatchBuilder<'_> {
    /// Whether a client may have an item of so many tokens in the batch.
    fn is_in_share(&self, client: ClientId, tokens: u32) -> bool {
        let had = self.taken.get(&client).copied().unwrap_or(0);
        let within = |most| had == 0 || had.saturating_add(tokens) <= most;
        self.per_client.is_none_or(within)
    }
}

impl LaneQueue {
    pub(super) fn push(&mut self, item: Item) {
        let client = self.clients.entry(item.client).or_default();
        client.push(item);
        let waiting = client.tokens();
        self.turns.join(item.client, item.queued);
        self.turns.note_waiting(item.client, waiting);
        self.count(&item);
    }

    /// Adds items to a batch in the order of turns. The first item decides the length class. Items of longer classes would add padding: they are set
    /// aside at first, keep their clients' turns, and get the room that is left at the end. At most as many are set aside as fit into a batch, so a
    /// client whose turn it is gets an item into this batch or is first in the next.
    pub(super) fn take(
        &mut self,
        shape: &mut BatchShape,
        per_client: Option<u32>,
        batch: &mut Vec<Item>,
    ) {
        let mut growing = BatchBuilder {
            shape,
            per_client,
            taken: HashMap::new(),
        };
        let (mut passed, mut parked, mut anchor) = (Vec::new(), Vec::new(), None);
        let start = batch.len();
        // The first client that has used up its share of this batch. Others may get ahead of it by one share at most.
        let mut capped = None;
        let ahead = per_client.map_or(0, |most| u64::from(most.max(QUANTUM)));
        while let Some(client) = self.turns.first() {
            if capped.is_some_and(|capped| self.turns.is_ahead(client, capped, ahead)) {
                break;
            }
            let head = self.clients.get(&client).and_then(ClientQueue::head);
            let Some(tokens) = head.map(|item| item.tokens) else {
                parked.push(client);
                self.turns.park(client);
                continue;
            };
            if !growing.is_in_share(client, tokens) {
                capped.get_or_insert(client);
                parked.push(client);
                self.turns.park(client);
                continue;
            }
            let class = class(tokens);
            let is_similar = class <= *anchor.get_or_insert(class);
            if is_similar && growing.shape.admit(tokens) {
                batch.extend(self.pop(client));
                self.turns.serve(client, u64::from(tokens));
                *growing.taken.entry(client).or_default() += tokens;
            } else if growing.shape.is_full() || passed.len() >= growing.shape.most_items() {
                break;
            } else {
                passed.extend(self.pop(client));
                self.turns.charge(client, u64::from(tokens));
            }
        }
        self.fill(&mut growing, passed, batch);
        for client in parked {
            self.turns.unpark(client);
        }
        for item in &batch[start..] {
            self.served(item);
        }
    }

    /// Gives the room that is left to items that were passed over, and puts the others back.
    fn fill(&mut self, growing: &mut BatchBuilder<'_>, passed: Vec<Item>, batch: &mut Vec<Item>) {
        let mut back = Vec::new();
        for item in passed {
            let (client, tokens) = (item.client, item.tokens);
            if growing.is_in_share(client, tokens) && growing.shape.admit(tokens) {
                self.turns.refund(client, u64::from(tokens));
                self.turns.serve(client, u64::from(tokens));
                *growing.taken.entry(client).or_default() += tokens;
                batch.push(item);
            } else {
                back.push(item);
            }
        }
        for item in back.into_iter().rev() {
            self.turns.refund(item.client, u64::from(item.tokens));
            if let Some(client) = self.clients.get_mut(&item.client) {
                client.put_back(item);
                self.count(&item);
            }
        }
    }

    fn pop(&mut self, client: ClientId) -> Option<Item> {
        let item = self.clients.get_mut(&client)?.pop()?;
        self.discount(&item);
        Some(item)
    }

    fn served(&mut self, item: &Item) {
        if let Some(client) = self.clients.get_mut(&item.client) {
            client.served(item);
            self.turns.note_waiting(item.client, client.tokens());
        }
        self.leave_if_empty(item.client);
    }

    /// An idle client leaves no state behind.
    fn leave_if_empty(&mut self, client: ClientId) {
        if self.clients.get(&client).is_some_and(ClientQueue::is_empty) {
            self.clients.remove(&client);
            self.turns.leave(client);
        }
    }

    pub(super) fn remove(&mut self, keep: &mut impl FnMut(&Item) -> bool, removed: &mut Vec<Item>) {
        let start = removed.len();
        for client in self.clients.values_mut() {
            client.remove(keep, removed);
        }
        for item in &removed[start..] {
            self.discount(item);
            self.leave_if_empty(item.client);
        }
    }

    pub(super) fn forget(&mut self, client: ClientId, job: u64) {
        let Some(queue) = self.clients.get_mut(&client) else {
            return;
        };
        for item in queue.forget(job) {
            self.discount(&item);
        }
        self.leave_if_empty(client);
    }

    pub(super) fn sort(&mut self, client: ClientId, job: u64) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.sort(job);
        }
    }

    fn count(&mut self, item: &Item) {
        self.items += 1;
        self.tokens += u64::from(item.tokens);
        *self.ages.entry(item.queued).or_default() += 1;
    }

    fn discount(&mut self, item: &Item) {
        self.items -= 1;
        self.tokens -= u64::from(item.tokens);
        if let Some(count) = self.ages.get_mut(&item.queued) {
            *count -= 1;
            if *count == 0 {
                self.ages.remove(&item.queued);
            }
        }
    }

    pub(super) fn oldest(&self) -> Option<Instant> {
        self.ages.keys().next().copied()
    }

    pub(super) const fn items(&self) -> usize {
        self.items
    }

    pub(super) const fn tokens(&self) -> u64 {
        self.tokens
    }

    pub(super) fn clients(&self) -> usize {
        self.turns.len()
    }

    /// How many clients with shares like its own take turns with a client of this id.
    pub(super) fn rivals(&self, client: ClientId) -> usize {
        self.turns.rivals(client)
    }

    pub(super) fn client(&self, client: ClientId) -> Option<&ClientQueue> {
        self.clients.get(&client)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.items == 0
    }
}
