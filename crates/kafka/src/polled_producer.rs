//! A producer whose events are taken by a thread of its own.
//!
//! rdkafka's `ThreadedProducer` does the same, but waits in whole milliseconds: what is left of its 100 ms after the first wait is less than
//! one, and it spins until then, ten times a second, which accounts for most of the CPU time of an idle node.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, ProducerContext},
};

/// How much longer than whole milliseconds a poll of librdkafka is to last: with this, one wait outlasts it, and nothing is left to spin for.
pub(super) const OVER: Duration = Duration::from_micros(20);
/// How long a poll waits for an event; dropping the producer takes this long at most.
const POLL: Duration = Duration::from_millis(200).saturating_add(OVER);

/// A producer that is polled until it is dropped.
pub(super) struct PolledProducer<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> PolledProducer<C> {
    /// Makes a producer and its thread.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration, or no thread can be started.
    pub(super) fn new(config: &ClientConfig, context: C) -> Result<Self> {
        let producer: BaseProducer<C> = config.create_with_context(context)?;
        let (producer, stop) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        let polled = (Arc::clone(&producer), Arc::clone(&stop));
        let poll = move || {
            let (producer, stop) = polled;
            while !stop.load(Ordering::Relaxed) {
                producer.poll(POLL);
            }
        };
        let thread = thread::Builder::new().name("producer".to_owned());
        let thread = thread.spawn(poll).context("starting a producer's thread")?;
        Ok(Self {
            producer,
            stop,
            thread: Some(thread),
        })
    }
}

impl<C: ProducerContext + 'static> Deref for PolledProducer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for PolledProducer<C> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
