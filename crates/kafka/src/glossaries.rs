//! The topic of glossaries: compacted, so that the last record of each glossary stays. Every node reads all of it, in no group.
//!
//! The key of a record is the id of its glossary, the value the glossary as JSON; a record without a value deletes it.

mod reading;
mod writing;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Result;
use babelmesh_actors::glossaries::Glossaries;

use super::{client::Clients, topic_settings::PlannedTopic};
use reading::Reader;
pub use writing::GlossaryTopic;

/// Reads the topic of glossaries on a thread of its own, until it is dropped.
pub struct GlossaryReader {
    stop: Arc<AtomicBool>,
}

impl GlossaryReader {
    /// Starts to read. A topic that is missing is created. A topic that cannot be read is tried again and again, and stops nothing.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn start(
        clients: &Clients,
        topic: PlannedTopic,
        glossaries: Arc<Glossaries>,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            clients: clients.clone(),
            topic,
            glossaries,
            stop: Arc::clone(&stop),
        };
        let runtime = tokio::runtime::Handle::current();
        let run = move || reader.run(&runtime);
        thread::Builder::new()
            .name("glossaries".to_owned())
            .spawn(run)?;
        Ok(Self { stop })
    }
}

impl Drop for GlossaryReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
