use std::{collections::HashSet, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::pool::item::LookedUp;

const BUDGET: BatchBudget = BatchBudget {
    items: 32,
    padded_tokens: 512,
};

fn item(job: u64, tokens: u32, lane: Lane, start: Instant) -> Item {
    Item {
        job,
        piece: 0,
        tokens,
        target: "fr".parse().unwrap(),
        lane,
        queued: start + Duration::from_micros(job),
        has_begun: false,
        client: ClientId::of(&job.to_string()),
        key: None,
        looked_up: LookedUp::default(),
    }
}

/// A piece of a job of a client.
fn piece(client: u64, job: u64, piece: u32, tokens: u32, start: Instant) -> Item {
    Item {
        client: ClientId::of(&format!("client {client}")),
        piece,
        ..item(job, tokens, Lane::Interactive, start)
    }
}

fn lanes() -> impl Strategy<Value = Lane> {
    prop::sample::select(Lane::ALL.to_vec())
}

proptest! {
    #[test]
    fn every_item_leaves_exactly_once_and_every_batch_keeps_the_budget(
        items in prop::collection::vec((1u32..700, lanes()), 0..300), rest: bool,
    ) {
        let start = Instant::now();
        let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
        for (job, (tokens, lane)) in items.iter().enumerate() {
            backlog.push(item(job as u64, *tokens, *lane, start));
        }
        let mut seen = HashSet::new();
        while !backlog.is_empty() {
            let batch = backlog.take(|_| BUDGET.into(), |_| true, rest);
            prop_assert!(!batch.is_empty());
            let longest = batch.iter().map(|i| i.tokens).max().unwrap() as usize;
            prop_assert!(batch.len() == 1 || batch.len() * longest <= BUDGET.padded_tokens as usize);
            prop_assert!(batch.len() <= BUDGET.items);
            for item in batch {
                prop_assert!(seen.insert(item.job));
            }
        }
        prop_assert_eq!(seen.len(), items.len());
        for lane in Lane::ALL {
            prop_assert_eq!((backlog.items(lane), backlog.tokens(lane)), (0, 0));
        }
    }

    #[test]
    fn the_oldest_item_of_the_lane_whose_turn_it_is_is_in_the_batch(
        items in prop::collection::vec(1u32..700, 1..200),
    ) {
        let start = Instant::now();
        let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
        for (job, tokens) in items.iter().enumerate() {
            backlog.push(item(job as u64, *tokens, Lane::Normal, start));
        }
        while let Some(oldest) = backlog.oldest(Lane::Normal) {
            let batch = backlog.take(|_| BUDGET.into(), |_| true, true);
            prop_assert!(batch.iter().any(|i| i.queued == oldest));
        }
    }

    #[test]
    fn clients_that_always_have_work_get_equal_shares_but_for_a_batch(
        lengths in prop::collection::vec(prop::collection::vec(1u32..200, 300..400), 2..6),
        per_client in prop::option::of(1u32..300),
    ) {
        let start = Instant::now();
        let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
        // The first client has one long message, the second two, and so on.
        for (client, lengths) in (0u64..).zip(&lengths) {
            for (number, tokens) in (0u32..).zip(lengths) {
                let job = client * 100 + u64::from(number) % (client + 1);
                backlog.push(piece(client, job, number, *tokens, start));
            }
        }
        let limits = BatchLimits { budget: BUDGET, per_client };
        let all = backlog.clients(Lane::Interactive);
        let mut served = vec![0u64; lengths.len()];
        while backlog.clients(Lane::Interactive) == all {
            for item in backlog.take(|_| limits, |_| true, true) {
                served[(item.job / 100) as usize] += u64::from(item.tokens);
            }
            let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
            let bound = u64::from(BUDGET.padded_tokens + 2 * lane::QUANTUM) + 2 * 200;
            prop_assert!(most - least <= bound, "{served:?}");
        }
    }

    #[test]
    fn pieces_of_one_length_leave_in_the_order_of_their_message(
        pieces in prop::collection::vec((0u64..4, 0u64..3, prop::sample::select(vec![5u32, 30, 100])), 1..300),
    ) {
        let start = Instant::now();
        let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
        for (number, (client, job, tokens)) in (0u32..).zip(&pieces) {
            backlog.push(piece(*client, client * 10 + job, number, *tokens, start));
        }
        let mut last = std::collections::HashMap::new();
        let mut left = 0;
        while !backlog.is_empty() {
            for item in backlog.take(|_| BUDGET.into(), |_| true, true) {
                left += 1;
                let before = last.insert((item.job, item.tokens), item.piece);
                prop_assert!(before.is_none_or(|before| before < item.piece));
            }
        }
        prop_assert_eq!(left, pieces.len());
        prop_assert_eq!(backlog.clients(Lane::Interactive), 0);
    }

    #[test]
    fn a_client_that_comes_is_in_one_of_the_next_batches(
        others in 1u64..5, batches in 0usize..30, per_client in prop::option::of(1u32..300), tokens in 1u32..200,
    ) {
        let start = Instant::now();
        let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
        for client in 0..others {
            for number in 0..2_000 {
                backlog.push(piece(client, client, number, 20 + number % 30, start));
            }
        }
        let limits = BatchLimits { budget: BUDGET, per_client };
        for _ in 0..batches {
            backlog.take(|_| limits, |_| true, true);
        }
        backlog.push(piece(9, 9, 0, tokens, start));
        let mut found = false;
        // Those that came before have much work: one item of each may go first, whatever the quantum.
        for _ in 0..1 + others {
            found |= backlog.take(|_| limits, |_| true, true).iter().any(|item| item.job == 9);
        }
        prop_assert!(found);
    }

    #[test]
    fn removed_and_remaining_items_are_complete(
        items in prop::collection::vec((1u32..700, lanes()), 0..200), modulus in 1u64..5,
    ) {
        let start = Instant::now();
        let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
        for (job, (tokens, lane)) in items.iter().enumerate() {
            backlog.push(item(job as u64, *tokens, *lane, start));
        }
        let removed = backlog.remove(|i| i.job % modulus != 0);
        prop_assert!(removed.iter().all(|i| i.job % modulus == 0));
        let left: usize = Lane::ALL.iter().map(|l| backlog.items(*l)).sum();
        prop_assert_eq!(left + removed.len(), items.len());
    }
}

#[test]
fn items_that_come_back_go_where_their_time_puts_them() {
    let start = Instant::now();
    let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
    for job in 0..100 {
        backlog.push(item(job, 6, Lane::Normal, start));
    }
    let removed = backlog.remove(|item| item.job % 2 == 0);
    assert_eq!(removed.len(), 50);
    backlog.push(item(100, 6, Lane::Normal, start));
    backlog.restore(removed);
    let mut order = Vec::new();
    while !backlog.is_empty() {
        order.extend(backlog.take(|_| BUDGET.into(), |_| true, true));
    }
    let jobs: Vec<_> = order.iter().map(|item| item.job).collect();
    assert_eq!(jobs, (0..=100).collect::<Vec<_>>());
}

#[test]
fn lanes_that_are_all_full_share_by_weight() {
    let start = Instant::now();
    let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
    for job in 0..60_000 {
        backlog.push(item(job, 10, Lane::ALL[job as usize % 3], start));
    }
    let mut taken = Lanes::<u64>::default();
    for _ in 0..800 {
        for item in backlog.take(|_| BUDGET.into(), |_| true, true) {
            taken[item.lane] += u64::from(item.tokens);
        }
    }
    assert!(
        Lane::ALL.iter().all(|lane| backlog.items(*lane) > 0),
        "a lane ran dry"
    );
    let share = taken.normal as f64 / taken.any as f64;
    assert!(
        (3.8..4.2).contains(&share),
        "normal got {share} times what any got"
    );
    let share = taken.interactive as f64 / taken.normal as f64;
    assert!(
        (1.9..2.1).contains(&share),
        "interactive got {share} times what normal got"
    );
}

#[test]
fn a_lane_that_was_idle_does_not_catch_up() {
    let start = Instant::now();
    let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
    for job in 0..50_000 {
        backlog.push(item(job, 10, Lane::Normal, start));
    }
    for _ in 0..500 {
        backlog.take(|_| BUDGET.into(), |_| true, true);
    }
    for job in 0..5_000 {
        backlog.push(item(100_000 + job, 10, Lane::Any, start));
    }
    let mut taken = Lanes::<usize>::default();
    for _ in 0..100 {
        for item in backlog.take(|_| BUDGET.into(), |_| true, true) {
            taken[item.lane] += 1;
        }
    }
    assert!(taken.normal > 3 * taken.any, "{taken:?}");
}

#[test]
fn a_lane_that_was_never_used_does_not_shut_out_one_that_worked_alone_for_long() {
    let start = Instant::now();
    let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
    for job in 0..50_000 {
        backlog.push(item(job, 10, Lane::Normal, start));
    }
    while !backlog.is_empty() {
        backlog.take(|_| BUDGET.into(), |_| true, true);
    }
    for job in 0..10_000 {
        backlog.push(item(100_000 + job, 10, Lane::Any, start));
    }
    for job in 0..10_000 {
        backlog.push(item(200_000 + job, 10, Lane::Normal, start));
    }
    let mut taken = Lanes::<usize>::default();
    for _ in 0..50 {
        for item in backlog.take(|_| BUDGET.into(), |_| true, true) {
            taken[item.lane] += 1;
        }
    }
    assert!(taken.normal > 3 * taken.any, "{taken:?}");
}

#[test]
fn similar_lengths_travel_together() {
    let start = Instant::now();
    let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
    for job in 0..1_000 {
        backlog.push(item(
            job,
            if job % 2 == 0 { 6 } else { 60 },
            Lane::Normal,
            start,
        ));
    }
    let batch = backlog.take(|_| BUDGET.into(), |_| true, true);
    assert!(batch.iter().all(|i| i.tokens == 6), "{batch:?}");
    assert_eq!(batch.len(), BUDGET.items);
}

#[test]
fn a_short_message_overtakes_long_ones_of_its_own_client() {
    let start = Instant::now();
    let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
    for job in 0..10 {
        for number in 0..100 {
            backlog.push(piece(1, job, number, 30, start));
        }
    }
    backlog.take(|_| BUDGET.into(), |_| true, true);
    backlog.push(piece(1, 10, 0, 8, start));
    let batch = backlog.take(|_| BUDGET.into(), |_| true, true);
    assert!(batch.iter().any(|item| item.job == 10));
    let long: HashSet<_> = batch.iter().map(|item| item.job).collect();
    assert_eq!(long, HashSet::from([0, 10]), "long ones leave in turn");
}

#[test]
fn a_client_has_no_more_of_a_batch_than_its_share() {
    let start = Instant::now();
    let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
    for number in 0..500 {
        backlog.push(piece(1, 1, number, 10, start));
    }
    for client in 2..12 {
        backlog.push(piece(client, client, 0, 10, start));
    }
    let limits = BatchLimits {
        budget: BUDGET,
        per_client: Some(35),
    };
    let batch = backlog.take(|_| limits, |_| true, true);
    let large = batch.iter().filter(|item| item.job == 1).count();
    assert_eq!((large, batch.len()), (3, 13));
    let limits = BatchLimits {
        per_client: Some(1),
        ..limits
    };
    let batch = backlog.take(|_| limits, |_| true, true);
    assert_eq!(batch.len(), 1, "one item is always allowed");
}

#[test]
fn a_client_of_the_interactive_lane_has_no_smaller_share_than_one_of_the_normal_lane() {
    let start = Instant::now();
    let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
    for number in 0..5_000 {
        for client in 0..10 {
            backlog.push(piece(client, client, number, 10, start));
        }
        backlog.push(Item {
            lane: Lane::Normal,
            ..piece(99, 99, number, 10, start)
        });
    }
    let mut served = std::collections::HashMap::<_, u64>::new();
    for _ in 0..500 {
        for item in backlog.take(|_| BUDGET.into(), |_| true, true) {
            *served.entry(item.job).or_default() += u64::from(item.tokens);
        }
    }
    let normal = served[&99];
    let bound = u64::from(BUDGET.padded_tokens);
    assert!(
        (0..10).all(|job| served[&job] + bound >= normal),
        "{served:?}"
    );
    assert!(normal > 0, "the normal lane is not starved");
}

#[test]
fn forgotten_items_are_not_counted_and_leave_no_client() {
    let start = Instant::now();
    let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
    for number in 0..50 {
        backlog.push(piece(1, 1, number, 10, start));
        backlog.push(piece(1, 2, number, 10, start));
        backlog.push(piece(2, 3, number, 10, start));
    }
    let client = |name: u64| piece(name, 0, 0, 1, start).client;
    backlog.forget(Lane::Interactive, client(1), 1);
    backlog.forget(Lane::Interactive, client(1), 77);
    let load = backlog.load(Lane::Interactive, client(1));
    assert_eq!(
        load,
        LaneLoad {
            tokens: 1_000,
            other_clients: 1,
            own_tokens: 500,
            own_messages: 1
        }
    );
    backlog.forget(Lane::Interactive, client(1), 2);
    backlog.forget(Lane::Interactive, client(2), 3);
    assert!(backlog.is_empty());
    assert_eq!(backlog.clients(Lane::Interactive), 0);
    assert_eq!(backlog.oldest(Lane::Interactive), None);
}

#[test]
fn a_message_that_has_begun_goes_before_those_of_its_client_that_have_not() {
    let start = Instant::now();
    let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
    for job in 1..200 {
        backlog.push(piece(1, job, 0, 10, start));
        backlog.push(piece(2, 1_000 + job, 0, 10, start));
    }
    let first = backlog.take(|_| BUDGET.into(), |_| true, true);
    assert!(first.iter().any(|item| item.job == 1));
    backlog.push(Item {
        has_begun: true,
        ..piece(1, 1, 1, 30, start)
    });
    let batch = backlog.take(|_| BUDGET.into(), |_| true, true);
    assert!(batch.iter().any(|item| item.job == 1), "{batch:?}");
    let others = batch.iter().filter(|item| item.job > 1_000).count();
    assert!(others > 0, "another client has its turn all the same");
}
