//! Bookkeeping of sent and received ids.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Classification of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The first answer to this message in this language, after this time.
    First(Duration),
    /// One more answer to what was answered already.
    Duplicate,
    /// An answer to nothing that was asked.
    Unknown,
}

/// Counts messages × targets in and out.
#[derive(Debug)]
pub struct Oracle {
    run: String,
    targets: Vec<String>,
    messages: Vec<Message>,
    answered: u64,
    duplicates: u64,
    unknown: u64,
    latency_us: Histogram<u64>,
}

#[derive(Debug)]
struct Message {
    due: Instant,
    /// One bit for each target that was answered.
    answered: u64,
}

impl Oracle {
    /// An oracle for messages that all go to the same targets, at most 64.
    #[must_use]
    pub fn new(run: &str, targets: &[String]) -> Self {
        Self {
            run: run.to_owned(),
            targets: targets.to_vec(),
            messages: Vec::new(),
            answered: 0,
            duplicates: 0,
            unknown: 0,
            // Auto-resizing, three significant digits.
            latency_us: Histogram::new(3).unwrap_or_else(|_| unreachable!("3 digits are valid")),
        }
    }

    /// A message goes out that was due at `due`; returns its id.
    pub fn send(&mut self, due: Instant) -> String {
        let id = format!("{}-{}", self.run, self.messages.len());
        self.messages.push(Message { due, answered: 0 });
        id
    }

    /// An answer came.
    pub fn receive(&mut self, message_id: &str, target: &str, now: Instant) -> Answer {
        let Some((index, bit)) = self.find(message_id, target) else {
            self.unknown += 1;
            return Answer::Unknown;
        };
        let message = &mut self.messages[index];
        if message.answered & bit != 0 {
            self.duplicates += 1;
            return Answer::Duplicate;
        }
        message.answered |= bit;
        self.answered += 1;
        let latency = now.saturating_duration_since(message.due);
        let _ = self
            .latency_us
            .record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        Answer::First(latency)
    }

    /// The number of a message of this run.
    #[must_use]
    pub fn number(&self, message_id: &str) -> Option<usize> {
        let number = message_id
            .strip_prefix(&self.run)?
            .strip_prefix('-')?
            .parse()
            .ok()?;
        (number < self.messages.len()).then_some(number)
    }

    fn find(&self, message_id: &str, target: &str) -> Option<(usize, u64)> {
        let target = self.targets.iter().position(|t| t == target)?;
        Some((self.number(message_id)?, 1 << target))
    }

    /// Messages sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.messages.len() as u64
    }

    /// Answers expected to what was sent.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.sent() * self.targets.len() as u64
    }

    /// Answers that came, each counted once.
    #[must_use]
    pub const fn answered(&self) -> u64 {
        self.answered
    }

    /// Answers that came more than once.
    #[must_use]
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Answers to nothing that was asked.
    #[must_use]
    pub const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Latencies in microseconds.
    #[must_use]
    pub const fn latency_us(&self) -> &Histogram<u64> {
        &self.latency_us
    }

    /// Unanswered: message id and target.
    pub fn missing(&self) -> impl Iterator<Item = (String, &str)> {
        self.messages
            .iter()
            .enumerate()
            .flat_map(move |(number, message)| {
                let unanswered = move |index: usize| message.answered & (1 << index) == 0;
                let targets = self.targets.iter().enumerate();
                targets
                    .filter(move |(index, _)| unanswered(*index))
                    .map(move |(_, target)| (format!("{}-{number}", self.run), target.as_str()))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_and_repeated_answers_are_told_apart() {
        let mut oracle = Oracle::new("r", &["fr".to_owned(), "de".to_owned()]);
        let now = Instant::now();
        let ids: Vec<_> = (0..3).map(|_| oracle.send(now)).collect();
        assert!(matches!(
            oracle.receive(&ids[0], "fr", now),
            Answer::First(_)
        ));
        assert_eq!(oracle.receive(&ids[0], "fr", now), Answer::Duplicate);
        assert!(matches!(
            oracle.receive(&ids[0], "de", now),
            Answer::First(_)
        ));
        assert!(matches!(
            oracle.receive(&ids[2], "fr", now),
            Answer::First(_)
        ));
        assert_eq!(oracle.receive("other-1", "fr", now), Answer::Unknown);
        assert_eq!(oracle.receive("r-7", "fr", now), Answer::Unknown);
        assert_eq!(oracle.receive(&ids[1], "es", now), Answer::Unknown);
        let missing: Vec<_> = oracle.missing().collect();
        let expected =
            [("r-1", "fr"), ("r-1", "de"), ("r-2", "de")].map(|(id, t)| (id.to_owned(), t));
        assert_eq!(missing, expected);
        assert_eq!(
            (oracle.expected(), oracle.answered(), oracle.duplicates()),
            (6, 3, 1)
        );
    }
}
