//! Sending at a pace, receiving, until everything is answered.

use std::time::{Duration, Instant};

use anyhow::Result;
use babelmesh_actors::domain::{TranslationRequest, TranslationResult};
use rdkafka::Message;

use super::{
    client::Backend,
    oracle::{Answer, Oracle},
    report::{LoadReport, Tally},
    texts::Texts,
};
use crate::kafka::{client::Clients, topics::TopicNames};

/// How long the receiving side is polled between two looks at the sending side.
const POLL: Duration = Duration::from_millis(1);
/// Interval of progress reports.
const PROGRESS: Duration = Duration::from_millis(100);
/// Most records received between two looks at the sending side.
const BURST: usize = 256;

/// How fast messages go out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Open loop: this many per second.
    Rate(f64),
    /// Closed loop: at most this many unanswered.
    InFlight(u64),
}

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// Messages in it.
    pub messages: u64,
    /// Its pace.
    pub pace: Pace,
}

/// The plan.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Texts, taken in turn.
    pub texts: Texts,
    /// Source language.
    pub source: String,
    /// Target languages of every message.
    pub targets: Vec<String>,
    /// One part after the other.
    pub phases: Vec<Phase>,
    /// Number of conversations that messages belong to in turn.
    pub conversations: u64,
    /// Share of bulk messages, 0 to 1.
    pub bulk: f64,
    /// Unanswered messages at which sending is held back whatever the pace: a broker that keeps little must not lose any.
    pub max_in_flight: u64,
    /// How long to wait for a further answer before what is missing counts as lost.
    pub patience: Duration,
}

/// How far a run is.
pub struct Progress<'a> {
    /// Ids so far.
    pub oracle: &'a Oracle,
    /// Messages of the whole plan.
    pub planned: u64,
    /// Answers since the last time, with the texts that they answer; at most a few.
    pub samples: Vec<(String, TranslationResult)>,
}

/// Runs a plan. Blocks; `stop` ends sending early, what is out is still waited for.
///
/// # Errors
/// When no broker answers, or publishing is refused.
pub fn run(
    clients: &Clients,
    topics: &TopicNames,
    plan: &Plan,
    stop: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<LoadReport> {
    let backend = Backend::connect(clients, topics)?;
    let name = format!("load-{:08x}", rand::random::<u32>());
    let oracle = Oracle::new(&name, &plan.targets);
    let mut run = Run {
        backend,
        plan,
        oracle,
        tally: Tally::default(),
        samples: Vec::new(),
    };
    let started = Instant::now();
    run.send_all(stop, progress)?;
    let sent_in = started.elapsed();
    run.wait_for_rest(progress);
    run.tell(progress);
    Ok(LoadReport::new(&run.oracle, run.tally, sent_in))
}

struct Run<'a> {
    backend: Backend,
    plan: &'a Plan,
    oracle: Oracle,
    tally: Tally,
    samples: Vec<(String, TranslationResult)>,
}

impl Run<'_> {
    fn send_all(
        &mut self,
        stop: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<()> {
        let mut told = Instant::now();
        for phase in &self.plan.phases {
            let started = Instant::now();
            let mut sent = 0;
            while sent < phase.messages {
                if stop() {
                    return Ok(());
                }
                let now = Instant::now();
                let due = match phase.pace {
                    Pace::Rate(rate) => started + Duration::from_secs_f64(sent as f64 / rate),
                    Pace::InFlight(_) => now,
                };
                if due <= now && self.may_send(phase.pace) && self.send(due)? {
                    sent += 1;
                    // Receiving costs a call; a burst of sending must not pay it for each message.
                    if sent % 16 != 0 {
                        continue;
                    }
                    self.receive(Duration::ZERO);
                } else {
                    // librdkafka waits in whole milliseconds; less would be a busy loop beside the node.
                    self.receive(POLL);
                }
                if told.elapsed() > PROGRESS {
                    told = Instant::now();
                    self.tell(progress);
                }
            }
        }
        Ok(())
    }

    fn may_send(&mut self, pace: Pace) -> bool {
        // Answers are for messages × targets; a message counts until its last one.
        let open =
            (self.oracle.expected() - self.oracle.answered()) / self.plan.targets.len() as u64;
        if open >= self.plan.max_in_flight {
            self.tally.held_back = true;
            return false;
        }
        match pace {
            Pace::Rate(_) => true,
            Pace::InFlight(most) => open < most,
        }
    }

    fn send(&mut self, due: Instant) -> Result<bool> {
        let number = self.oracle.sent();
        let bulk = (number as f64 * self.plan.bulk) as u64
            != ((number + 1) as f64 * self.plan.bulk) as u64;
        let text = self.plan.texts.nth(number).into_owned();
        let id = self.oracle.send(due);
        self.tally.sent();
        let conversation = if bulk {
            "any".to_owned()
        } else {
            format!("conversation-{}", number % self.plan.conversations.max(1))
        };
        let request = TranslationRequest {
            source_language: self.plan.source.clone(),
            target_languages: self.plan.targets.clone(),
            target_language: None,
            conversation_id: Some(conversation),
            format: self.plan.texts.format(),
            ..TranslationRequest::new(id, text, "")
        };
        let payload = serde_json::to_vec(&request)?;
        while !self.backend.send(request.key(), &payload)? {
            self.receive(POLL);
        }
        Ok(true)
    }

    /// Takes answers until there is none for the moment.
    fn receive(&mut self, wait: Duration) -> bool {
        let mut wait = wait;
        for count in 0..BURST {
            let Some(Ok(message)) = self.backend.consumer.poll(wait) else {
                return count > 0;
            };
            wait = Duration::ZERO;
            let Ok(result) =
                serde_json::from_slice::<TranslationResult>(message.payload().unwrap_or_default())
            else {
                continue;
            };
            let answer =
                self.oracle
                    .receive(&result.message_id, &result.target_language, Instant::now());
            if let Answer::First(_) = answer {
                self.tally.add(&result);
                self.sample(result);
            }
        }
        true
    }

    fn sample(&mut self, result: TranslationResult) {
        if self.samples.len() < 2
            && let Some(number) = self.oracle.number(&result.message_id)
        {
            let text = self.plan.texts.nth(number as u64).into_owned();
            self.samples.push((text, result));
        }
    }

    fn wait_for_rest(&mut self, progress: &mut dyn FnMut(Progress<'_>)) {
        let mut last = Instant::now();
        let mut told = Instant::now();
        while self.oracle.answered() < self.oracle.expected() && last.elapsed() < self.plan.patience
        {
            if self.receive(POLL * 10) {
                last = Instant::now();
            }
            if told.elapsed() > PROGRESS {
                told = Instant::now();
                self.tell(progress);
            }
        }
        // What comes twice comes late.
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            self.receive(POLL * 10);
        }
    }

    fn tell(&mut self, progress: &mut dyn FnMut(Progress<'_>)) {
        let planned = self.plan.phases.iter().map(|phase| phase.messages).sum();
        let samples = std::mem::take(&mut self.samples);
        progress(Progress {
            oracle: &self.oracle,
            planned,
            samples,
        });
    }
}
