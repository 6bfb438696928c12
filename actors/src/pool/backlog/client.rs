//! The queue of one client in a lane: its messages.
//!
//! Each message has the tag at which it would be complete if all messages of the client were served equally at the same time; the one with the
//! smallest tag is served first, alone (fair sojourn protocol; Friedman and Henderson, 2003). So each message is complete no later than with
//! equal shares, a short one overtakes long ones, and equal ones leave in the order in which they came.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::pool::item::Item;

/// Units of the clock in a token: the service of one token is shared by all messages.
const UNITS: u64 = 1 << 16;

/// The messages of a client.
#[derive(Debug, Default)]
pub(super) struct ClientQueue {
    messages: HashMap<u64, Message>,
    /// Those with items, by tag.
    order: BTreeSet<(u64, u64)>,
    /// Virtual time: the service of each message under equal sharing.
    clock: u64,
    tokens: u64,
}

#[derive(Debug)]
struct Message {
    items: VecDeque<Item>,
    tag: u64,
}

impl ClientQueue {
    /// Queues an item behind the others of its message. Further items of a message that has begun go before messages that have not begun: the message
    /// has already waited for its turn.
    pub(super) fn push(&mut self, item: Item) {
        let (start, tokens) = match item.has_begun {
            true => (0, 0),
            false => (self.clock, item.tokens),
        };
        let message = self.messages.entry(item.job).or_insert_with(|| Message {
            items: VecDeque::new(),
            tag: start,
        });
        self.order.remove(&(message.tag, item.job));
        let cost = u64::from(tokens).saturating_mul(UNITS);
        message.tag = message.tag.saturating_add(cost);
        message.items.push_back(item);
        self.order.insert((message.tag, item.job));
        self.tokens += u64::from(item.tokens);
    }

    /// The item that is next.
    pub(super) fn head(&self) -> Option<&Item> {
        let (_, job) = self.order.first()?;
        self.messages.get(job)?.items.front()
    }

    /// Takes the item that is next. It can be [put back](Self::put_back) until [`served`](Self::served) is called for
    /// another item of its message.
    pub(super) fn pop(&mut self) -> Option<Item> {
        let (tag, job) = *self.order.first()?;
        let message = self.messages.get_mut(&job)?;
        let item = message.items.pop_front()?;
        if message.items.is_empty() {
            self.order.remove(&(tag, job));
        }
        self.tokens -= u64::from(item.tokens);
        Some(item)
    }

    /// Puts an item back before the others of its message.
    pub(super) fn put_back(&mut self, item: Item) {
        if let Some(message) = self.messages.get_mut(&item.job) {
            message.items.push_front(item);
            self.order.insert((message.tag, item.job));
            self.tokens += u64::from(item.tokens);
        }
    }

    /// Counts the service of an item.
    pub(super) fn served(&mut self, item: &Item) {
        let messages = self.messages.len().max(1) as u64;
        let cost = u64::from(item.tokens).saturating_mul(UNITS);
        self.clock = self.clock.saturating_add(cost / messages);
        self.drop_if_empty(item.job);
    }

    fn drop_if_empty(&mut self, job: u64) {
        if self.messages.get(&job).is_some_and(|m| m.items.is_empty()) {
            self.messages.remove(&job);
        }
    }

    /// Takes out every item that `keep` refuses.
    pub(super) fn remove(&mut self, keep: &mut impl FnMut(&Item) -> bool, removed: &mut Vec<Item>) {
        let (order, tokens) = (&mut self.order, &mut self.tokens);
        self.messages.retain(|job, message| {
            message.items.retain(|item| {
                let kept = keep(item);
                if !kept {
                    *tokens -= u64::from(item.tokens);
                    removed.push(*item);
                }
                kept
            });
            let is_left = !message.items.is_empty();
            if !is_left {
                order.remove(&(message.tag, *job));
            }
            is_left
        });
    }

    /// Takes out what waits of a message.
    pub(super) fn forget(&mut self, job: u64) -> VecDeque<Item> {
        let Some(message) = self.messages.remove(&job) else {
            return VecDeque::new();
        };
        self.order.remove(&(message.tag, job));
        let tokens = message.items.iter().map(|item| u64::from(item.tokens));
        self.tokens -= tokens.sum::<u64>();
        message.items
    }

    /// Puts the items of a message in the order in which they were queued.
    pub(super) fn sort(&mut self, job: u64) {
        if let Some(message) = self.messages.get_mut(&job) {
            let items = message.items.make_contiguous();
            if !items.is_sorted_by_key(|item| (item.queued, item.piece)) {
                items.sort_by_key(|item| (item.queued, item.piece));
            }
        }
    }

    /// Waiting tokens.
    pub(super) const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Waiting messages.
    pub(super) fn messages(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}
