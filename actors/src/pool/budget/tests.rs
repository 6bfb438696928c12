use std::sync::mpsc::{Receiver, channel};

use super::*;

const TARGET: Duration = Duration::from_secs(1);

fn join(budget: &Arc<NodeBudget>) -> (BudgetHandle, Receiver<Notice>) {
    let (sender, receiver) = channel();
    let budget_handle = budget.join(move |notice| drop(sender.send(notice)));
    (budget_handle, receiver)
}

#[test]
fn a_slot_that_becomes_free_goes_to_the_most_urgent_pool_that_waits() {
    let budget = NodeBudget::new(1, 0);
    let ((a, _a), (b, at_b), (c, at_c)) = (join(&budget), join(&budget), join(&budget));
    let slot = a.request(1, Lane::Normal, TARGET).unwrap();
    assert!(b.request(1, Lane::Any, TARGET).is_none());
    assert!(c.request(1, Lane::Interactive, TARGET).is_none());
    drop(slot);
    assert!(at_b.try_recv().is_err());
    let Ok(Notice::Slot(slot)) = at_c.try_recv() else {
        panic!("the slot did not arrive");
    };
    assert_eq!(budget.state().busy_threads, 1);
    drop(slot);
    assert!(matches!(at_b.try_recv(), Ok(Notice::Slot(_))));
    assert_eq!(budget.state().busy_threads, 0);
}

#[test]
fn a_slot_for_a_pool_that_has_ended_is_passed_on() {
    let budget = NodeBudget::new(1, 0);
    let ((a, _a), (b, at_b), (c, at_c)) = (join(&budget), join(&budget), join(&budget));
    let slot = a.request(1, Lane::Normal, TARGET);
    assert!(b.request(1, Lane::Normal, TARGET).is_none());
    assert!(c.request(1, Lane::Normal, TARGET).is_none());
    drop(at_b);
    drop(slot);
    assert!(matches!(at_c.try_recv(), Ok(Notice::Slot(_))));
    drop((b, c));
    assert_eq!(budget.state().busy_threads, 0);
}

#[test]
fn a_batch_wider_than_the_node_has_the_node_for_itself() {
    let budget = NodeBudget::new(2, 0);
    let ((a, _a), (b, at_b)) = (join(&budget), join(&budget));
    let slot = a.request(1, Lane::Normal, TARGET).unwrap();
    assert!(b.request(8, Lane::Interactive, TARGET).is_none());
    assert!(a.request(1, Lane::Normal, TARGET).is_none(), "overtaken");
    drop(slot);
    assert!(matches!(at_b.try_recv(), Ok(Notice::Slot(_))));
}

#[test]
fn idle_actors_take_no_core_and_memory_is_never_exceeded() {
    let budget = NodeBudget::new(2, 1_000);
    let (a, _a) = join(&budget);
    let mut first = a.acquire(400, true).unwrap();
    let second = a.acquire(400, false).unwrap();
    assert!(a.acquire(400, false).is_none());
    first.measured(600);
    assert_eq!(a.room(1, 1, 2).memory, 0);
    drop(second);
    assert_eq!(a.room(1, 400, 1).room(), 1);
    assert_eq!(a.room(1, 400, 2).cores, 0, "a third would never be busy");
}

#[test]
fn a_pool_with_work_evicts_the_least_recently_used_idle_pool() {
    let budget = NodeBudget::new(2, 1_000);
    let ((a, at_a), (b, at_b), (c, _c)) = (join(&budget), join(&budget), join(&budget));
    let (of_a, _of_b) = (a.acquire(500, false), b.acquire(500, false));
    a.note_idle(false);
    a.note_idle(true);
    b.note_idle(false);
    assert!(c.acquire(500, false).is_none());
    assert!(
        at_a.try_recv().is_err(),
        "nobody is evicted for a pool without work"
    );
    assert!(c.acquire(500, true).is_none());
    assert!(matches!(at_a.try_recv(), Ok(Notice::Evict)));
    assert!(c.acquire(500, true).is_none());
    assert!(at_b.try_recv().is_err(), "one is enough");
    drop(of_a);
    assert!(b.acquire(500, false).is_none(), "it is reserved");
    assert!(c.acquire(500, true).is_some());
}

#[test]
fn a_model_larger_than_the_node_starts_alone() {
    let budget = NodeBudget::new(2, 1_000);
    let (a, _a) = join(&budget);
    assert!(a.acquire(5_000, false).is_some());
}
