//! Flow control between intake and pools: the intake runs at most one step ahead.
//!
//! A pool accepts pieces of text more slowly than the intake segments texts. Without flow control, megabytes of one client would wait in the pool's
//! mailbox, where other clients cannot overtake them. So the intake continues only after the pools have accepted the orders of the last step; until
//! then, orders wait in its fair queue.

use std::sync::Arc;

use ractor::ActorRef;

use super::IntakeMessage;

/// Sends the intake a message when the last clone is dropped: when every pool that was given one has handled it, or has ended.
pub(super) struct StepCompletion {
    intake: ActorRef<IntakeMessage>,
    message: fn() -> IntakeMessage,
}

impl StepCompletion {
    pub(super) fn new(
        intake: &ActorRef<IntakeMessage>,
        message: fn() -> IntakeMessage,
    ) -> Arc<Self> {
        Arc::new(Self {
            intake: intake.clone(),
            message,
        })
    }
}

impl Drop for StepCompletion {
    fn drop(&mut self) {
        // A stopped intake has nothing to continue.
        let _ = self.intake.cast((self.message)());
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use ractor::{Actor, ActorProcessingErr};
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::{
        domain::{
            JobOutcome, Leg, Locality, ModelType, Order, OutcomeSink, Ticket, TranslationRequest,
        },
        intake::{Intake, IntakeStart, Route},
        pool::PoolMessage,
        retry::RetryPolicy,
        routing::{Capability, EscalationPolicy, PivotPolicy},
    };

    struct Nobody;

    impl OutcomeSink for Nobody {
        fn deliver(&self, _: Vec<JobOutcome>) {}
    }

    /// Offsets of the orders that a pool was given, in order.
    type StepCompletion = Arc<Mutex<Vec<i64>>>;

    /// A pool that takes its time for each message.
    struct SlowPool(StepCompletion);

    impl Actor for SlowPool {
        type Msg = PoolMessage;
        type State = ();
        type Arguments = ();

        async fn pre_start(
            &self,
            _: ActorRef<Self::Msg>,
            (): (),
        ) -> Result<(), ActorProcessingErr> {
            Ok(())
        }

        async fn handle(
            &self,
            _: ActorRef<Self::Msg>,
            message: PoolMessage,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            if let PoolMessage::Submit(submissions) = message {
                sleep(Duration::from_millis(20)).await;
                let offsets = submissions.iter().map(|one| one.job.order.ticket.offset);
                self.0.lock().unwrap().extend(offsets);
            }
            Ok(())
        }
    }

    fn order(offset: i64, client: &str, words: usize) -> Order {
        Order {
            ticket: Ticket {
                offset,
                ..Ticket::default()
            },
            request: TranslationRequest {
                source_language: "en".to_owned(),
                conversation_id: Some(client.to_owned()),
                ..TranslationRequest::new(offset.to_string(), "word. ".repeat(words), "fr")
            },
            submitted: Instant::now(),
            trace: None,
            locality: Locality::Node,
            leg: Leg::Whole,
            replays: 0,
            fresh: false,
            sink: Arc::new(Nobody),
        }
    }

    async fn start() -> (ActorRef<IntakeMessage>, StepCompletion) {
        let taken = StepCompletion::default();
        let pool = SlowPool(Arc::clone(&taken));
        let (pool, _) = Actor::spawn(None, pool, ()).await.unwrap();
        let route = Route {
            model: "slow".into(),
            ability: Capability {
                sources: vec!["en".parse().unwrap()],
                targets: vec!["fr".parse().unwrap()],
                tier: ModelType::Basic,
            },
            pool,
            text: Arc::default(),
            space: None,
        };
        let start = IntakeStart {
            routes: vec![route],
            max_text_chars: 100_000,
            retry: RetryPolicy::default(),
            observer: Arc::new(()),
            escalation: EscalationPolicy::default(),
            pivot: PivotPolicy::default(),
            glossaries: Arc::default(),
            remote_nodes: Arc::new(()),
            max_wait: Duration::ZERO,
        };
        let (intake, _) = Actor::spawn(None, Intake, start).await.unwrap();
        (intake, taken)
    }

    #[tokio::test]
    async fn a_short_text_passes_the_long_ones_that_a_slow_pool_was_not_given_yet() {
        let (intake, taken) = start().await;
        let large = (0..30).map(|number| order(number, "large", 10_000));
        intake.cast(IntakeMessage::Offer(large.collect())).unwrap();
        sleep(Duration::from_millis(10)).await;
        let small = vec![order(100, "small", 5)];
        intake.cast(IntakeMessage::Offer(small)).unwrap();
        let all = async {
            while taken.lock().unwrap().len() < 31 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let all = tokio::time::timeout(Duration::from_secs(30), all).await;
        assert!(all.is_ok(), "every order reaches the pool");
        let taken = taken.lock().unwrap();
        let place = taken.iter().position(|offset| *offset == 100);
        assert!(place.is_some_and(|place| place <= 2), "{taken:?}");
    }
}
