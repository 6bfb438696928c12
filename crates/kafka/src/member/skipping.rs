//! Records that retention deleted before they were read.
//!
//! librdkafka goes on with the first record that is left, and only writes that to its log. The line follows the records that it has fetched
//! before in the queue of the consumer, so its offset is that of the first record that was not given to us.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use babelmesh_telemetry::events::NodeEvent;
use rdkafka::consumer::Consumer;

use super::{Member, MemberConsumer};

/// Most resets that are remembered between two polls.
const MOST: usize = 10_000;
/// How long the brokers may take to tell where all such partitions begin now.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A partition that was to be read from an offset that it does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reset {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) from: i64,
    /// Whether it goes on at its end, as an operator may have configured, and not at its beginning.
    pub(crate) to_end: bool,
}

/// The reset that a line of librdkafka's log tells of:
/// `jobs.fr [3]: offset reset (at offset 42 (leader epoch 0), broker 1) to offset BEGINNING …: … Broker: Offset out of range`.
fn reset(line: &str) -> Option<Reset> {
    let (partition, rest) = line.split_once("]: offset reset (at offset ")?;
    let (topic, partition) = partition.rsplit_once(" [")?;
    let topic = topic.rsplit(' ').next()?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let from = rest[..digits].parse().ok()?;
    let (_, target) = rest.split_once(") to ")?;
    target.contains("out of range").then_some(Reset {
        topic: topic.to_owned(),
        partition: partition.parse().ok()?,
        from,
        to_end: target.contains("offset END"),
    })
}

/// Resets that nobody has looked at yet.
#[derive(Debug, Default)]
pub(crate) struct Resets(Mutex<Vec<Reset>>);

impl Resets {
    /// Takes a line of librdkafka's log.
    pub(crate) fn hear(&self, line: &str) {
        if let Some(reset) = reset(line) {
            let mut resets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if resets.len() < MOST {
                resets.push(reset);
            }
        }
    }

    fn take(&self) -> Vec<Reset> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells how many records were skipped at each of them. Asks the brokers, for no longer than a few seconds.
    pub(crate) fn report(&self, member: &Member, consumer: &MemberConsumer) {
        let until = Instant::now() + TIMEOUT;
        for reset in self.take() {
            let (topic, partition) = (reset.topic.as_str(), reset.partition);
            let left = until.saturating_duration_since(Instant::now());
            let answer =
                (!left.is_zero()).then(|| consumer.fetch_watermarks(topic, partition, left));
            match answer {
                Some(Ok((low, high))) => {
                    let to = if reset.to_end { high } else { low };
                    // An offset behind the end is no loss: what is read again was not read before.
                    if let Some(records) = skipped(reset.from, to) {
                        member.skipped(records);
                        let from = reset.from;
                        let event = NodeEvent::RecordsSkipped {
                            topic,
                            partition,
                            from,
                            to,
                        };
                        event.emit();
                    }
                }
                _ => NodeEvent::RecordsSkippedUncounted {
                    topic,
                    partition,
                    from: reset.from,
                }
                .emit(),
            }
        }
    }
}

/// How many offsets lie between the next one to read and that where it goes on.
fn skipped(from: i64, to: i64) -> Option<u64> {
    u64::try_from(to.saturating_sub(from))
        .ok()
        .filter(|offsets| *offsets > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = "[thrd:main]: b.jobs.fr [3]: offset reset (at offset 42 (leader epoch 0), broker 1) to offset BEGINNING (leader epoch -1): fetch failed due to requested offset not available on the broker: Broker: Offset out of range";

    #[test]
    fn a_line_about_an_offset_that_is_gone_tells_where_it_was_to_be_read() {
        let wanted = Reset {
            topic: "b.jobs.fr".to_owned(),
            partition: 3,
            from: 42,
            to_end: false,
        };
        assert_eq!(reset(LINE), Some(wanted.clone()));
        let cached = LINE.replace(
            "to offset BEGINNING",
            "to cached BEGINNING offset offset 90",
        );
        assert_eq!(reset(&cached), Some(wanted.clone()));
        let end = LINE.replace("offset BEGINNING", "offset END");
        let to_end = true;
        assert_eq!(reset(&end), Some(Reset { to_end, ..wanted }));
        assert_eq!(reset(&LINE.replace("offset 42", "offset INVALID")), None);
        assert_eq!(reset(&LINE.replace("out of range", "none stored")), None);
    }

    #[test]
    fn an_offset_behind_the_end_skips_nothing() {
        assert_eq!(
            (skipped(3, 8), skipped(8, 8), skipped(8, 3)),
            (Some(5), None, None)
        );
    }

    proptest! {
        #[test]
        fn other_lines_and_parts_of_it_never_panic(line in ".{0,80}", cut in 0..LINE.len()) {
            prop_assert_eq!(reset(&line), None);
            let _ = reset(&LINE[..cut]);
        }
    }
}
