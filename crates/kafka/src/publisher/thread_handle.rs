//! The thread of a publisher, as its pipeline holds it.

use std::{
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    publisher_handle::{PublisherHandle, PublisherShutdown},
    threads::join_within,
};

/// A publisher that runs. Dropping it ends the thread without waiting; what is unfinished then is delivered again.
pub struct PublisherThread {
    publisher_handle: PublisherHandle,
    /// Until when it may finish what it has, and by what its end is known.
    stopping: Option<(PublisherShutdown, Instant)>,
    thread: Option<JoinHandle<()>>,
}

impl PublisherThread {
    pub(super) const fn new(publisher_handle: PublisherHandle, thread: JoinHandle<()>) -> Self {
        Self {
            publisher_handle,
            stopping: None,
            thread: Some(thread),
        }
    }

    /// Finishes what was read, within a time, and then ends.
    pub fn finish(&mut self, within: Duration) {
        let stopping = self.publisher_handle.stop(within);
        self.stopping = Some((stopping, Instant::now() + within));
    }

    /// Waits until what was read is finished; says whether it is after a while.
    #[must_use]
    pub fn is_finished_after(&self, within: Duration) -> bool {
        let wait = |(stopping, until): &(PublisherShutdown, Instant)| {
            stopping.wait(within.min(until.saturating_duration_since(Instant::now())))
        };
        self.stopping.as_ref().is_none_or(wait)
    }

    /// The topics that have partitions with unfinished records.
    #[must_use]
    pub fn unfinished(&self, within: Duration) -> Option<Vec<String>> {
        self.publisher_handle.unfinished(within)
    }

    /// Waits for its end, some `grace` beyond the time to finish, and as long for the thread.
    pub fn join(mut self, grace: Duration) {
        if let Some((stopping, until)) = self.stopping.take() {
            let left = until.saturating_duration_since(Instant::now());
            let _ = stopping.wait(left + grace);
        }
        if let Some(thread) = self.thread.take() {
            join_within(thread, grace);
        }
    }
}

impl Drop for PublisherThread {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.publisher_handle.stop(Duration::ZERO);
        }
    }
}
