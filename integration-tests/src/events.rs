//! What actors said.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use babelmesh_actors::events::{Event, Observer};

/// Remembers every event and when it came, except those of single batches.
#[derive(Debug, Default)]
pub struct Events(Mutex<Vec<(Instant, Event)>>);

impl Events {
    /// What `pick` finds in the events so far, with their times.
    pub fn all<T>(&self, mut pick: impl FnMut(&Event) -> Option<T>) -> Vec<(Instant, T)> {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events
            .iter()
            .filter_map(|(at, event)| Some((*at, pick(event)?)))
            .collect()
    }

    /// How many events so far are such.
    pub fn count(&self, mut is_such: impl FnMut(&Event) -> bool) -> usize {
        self.all(|event| is_such(event).then_some(())).len()
    }

    /// The errors of actors that failed, and the number of segments that went back to the backlog.
    #[must_use]
    pub fn failures(&self) -> Vec<(String, usize)> {
        let failure = |event: &Event| match event {
            Event::ActorFailed {
                error, requeued, ..
            } => Some((error.clone(), *requeued)),
            _ => None,
        };
        self.all(failure)
            .into_iter()
            .map(|(_, failure)| failure)
            .collect()
    }

    /// Every engine process that ever was ready.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let pid = |event: &Event| match event {
            Event::ActorReady { pid, .. } => *pid,
            _ => None,
        };
        self.all(pid).into_iter().map(|(_, pid)| pid).collect()
    }
}

impl Observer for Events {
    fn observe(&self, event: &Event) {
        if !matches!(event, Event::BatchDone { .. } | Event::Accepted { .. }) {
            let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            events.push((Instant::now(), event.clone()));
        }
    }
}
