use babelmesh_engine_protocol::Segment;
use proptest::prelude::*;
use tokio::sync::oneshot::{self, Receiver};

use super::*;

type Answer = Receiver<Result<Vec<Translation>, PeerError>>;

fn loan(segments: usize) -> (OffloadRequest, Answer) {
    let (reply, answer) = oneshot::channel();
    let segment = Segment {
        text: "Hello.".to_owned(),
        source: "en".to_owned(),
        target: "fr".to_owned(),
        align: false,
        alternatives: 0,
    };
    let loan = OffloadRequest {
        from: Arc::from("b"),
        space: "space".to_owned(),
        segments: vec![segment; segments],
        span: None,
        reply,
    };
    (loan, answer)
}

fn events() -> PoolEvents {
    PoolEvents::new(Arc::new(()), Arc::from("model"))
}

const fn host(in_flight: usize) -> Host<'static> {
    Host {
        is_closing: false,
        space: "space",
        in_flight,
        budget: BatchBudget {
            items: 4,
            padded_tokens: 1_000,
        },
    }
}

fn error(answer: &mut Answer) -> Option<PeerError> {
    answer.try_recv().ok()?.err()
}

proptest! {
    #[test]
    fn no_more_batches_are_taken_than_were_offered(credits in 0u32..6, in_flight in 0usize..6, offers in 0usize..10) {
        let mut queue = PeerQueue::default();
        queue.set_credits(credits);
        let mut answers: Vec<_> = (0..offers)
            .map(|_| {
                let (loan, answer) = loan(1);
                queue.take_in(loan, &host(in_flight), &events());
                answer
            })
            .collect();
        let room = (credits as usize).saturating_sub(in_flight);
        let refused = answers.iter_mut().filter_map(error);
        prop_assert!(refused.filter(|error| *error == PeerError::Busy).count() == offers.saturating_sub(room));
        prop_assert_eq!(queue.status(in_flight).queued, offers.min(room));
    }
}

#[test]
fn what_does_not_suit_is_refused_with_the_reason() {
    let mut queue = PeerQueue::default();
    queue.set_credits(10);
    let refused =
        |queue: &mut PeerQueue, (loan, mut answer): (OffloadRequest, Answer), host: &Host<'_>| {
            queue.take_in(loan, host, &events());
            error(&mut answer)
        };
    let closing = Host {
        is_closing: true,
        ..host(0)
    };
    assert_eq!(
        refused(&mut queue, loan(1), &closing),
        Some(PeerError::Closing)
    );
    let other = Host {
        space: "another",
        ..host(0)
    };
    for (loan, host) in [(loan(1), other), (loan(0), host(0)), (loan(5), host(0))] {
        let error = refused(&mut queue, loan, &host);
        assert!(matches!(error, Some(PeerError::Unsuitable(_))), "{error:?}");
    }
    assert_eq!(refused(&mut queue, loan(4), &host(0)), None);
    assert_eq!(queue.status(0).refused, 4);
}

#[test]
fn a_batch_that_was_passed_over_often_enough_has_its_turn() {
    let mut queue = PeerQueue::default();
    queue.set_credits(1);
    queue.pass_over();
    let (loan, _answer) = loan(1);
    queue.take_in(loan, &host(0), &events());
    for _ in 0..OWN_BEFORE_LENT {
        assert!(queue.overdue().is_none());
        queue.pass_over();
    }
    assert!(queue.overdue().is_some());
    assert!(!queue.is_waiting());
}

#[test]
fn a_batch_that_has_waited_for_too_long_is_given_back_and_an_unwanted_one_forgotten() {
    let mut queue = PeerQueue::default();
    queue.set_credits(2);
    let (first, mut answer) = loan(1);
    let (second, unwanted) = loan(1);
    queue.take_in(first, &host(0), &events());
    queue.take_in(second, &host(0), &events());
    drop(unwanted);
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    queue.sweep(second, now, &events());
    assert_eq!(queue.status(0).queued, 1);
    queue.sweep(second, now + 2 * second, &events());
    assert_eq!(error(&mut answer), Some(PeerError::Busy));
    assert!(!queue.is_waiting());
}
