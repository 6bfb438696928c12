//! Detection of recreated topics.
//!
//! The new topic counts its offsets from zero, but librdkafka keeps the position in the old topic and skips the records before it. It notices that
//! the id of the topic has changed, and only writes that to its log; the line precedes every record of the new topic in the queue of the
//! consumer. Brokers before Kafka 2.8 do not tell ids.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How an id is written that is not known yet.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// The topic that a line of librdkafka's log says was recreated.
fn recreated(line: &str) -> Option<&str> {
    let (_, line) = line.split_once("Topic ")?;
    let (topic, ids) = line.split_once(" changed id from ")?;
    let (before, after) = ids.split_once(" to ")?;
    let (before, after) = (before.trim(), after.trim());
    (before != NO_ID && after != NO_ID && before != after).then_some(topic)
}

/// Topics that were recreated and are not read from their beginning yet.
#[derive(Debug, Default)]
pub(crate) struct Recreations(Mutex<BTreeSet<String>>);

impl Recreations {
    /// Takes a line of librdkafka's log.
    pub(crate) fn hear(&self, line: &str) {
        if let Some(topic) = recreated(line) {
            self.topics().insert(topic.to_owned());
        }
    }

    /// The topics that were recreated since the last call.
    pub(crate) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.topics())
    }

    fn topics(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = "[thrd:main]: Topic jobs.fr changed id from          R0NmTUXVRDyc4h3EPZ1w0A to h3EPZ1w0AR0NmTUXVRDyc4";

    #[test]
    fn a_topic_was_recreated_when_it_has_another_id() {
        assert_eq!(recreated(LINE), Some("jobs.fr"));
        let first = LINE.replace("R0NmTUXVRDyc4h3EPZ1w0A to", &format!("{NO_ID} to"));
        assert_eq!(recreated(&first), None, "it is seen for the first time");
        let recreations = Recreations::default();
        recreations.hear(LINE);
        recreations.hear(LINE);
        assert_eq!(recreations.take(), ["jobs.fr".to_owned()].into());
        assert_eq!(recreations.take(), BTreeSet::new());
    }

    proptest! {
        #[test]
        fn other_lines_say_nothing(line in ".{0,80}", cut in 0..LINE.len()) {
            prop_assert_eq!(recreated(&line), None);
            let part = &LINE[..cut];
            prop_assert!(recreated(part).is_none_or(|topic| topic == "jobs.fr"));
        }
    }
}
