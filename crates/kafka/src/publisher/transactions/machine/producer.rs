//! The producer from the moment when it is wanted until it can begin transactions, and the commits that are in doubt meanwhile.

use std::{sync::Arc, time::Instant};

use super::{Machine, State};
use crate::publisher::{
    Next,
    run::Run,
    transactions::protocol::{Call, CallError, Effect, Remedy, Replacement, Then},
};

/// Why the id of a producer is left.
const BLOCKED: &str = "the transaction cannot end until a topic is writable again; continuing with another transactional.id";

impl Machine {
    /// Goes on with another producer, which completes or aborts the old transaction.
    pub(super) fn replace(
        &mut self,
        error: String,
        effects: &mut Vec<Effect>,
        now: Instant,
    ) -> Then {
        effects.push(Effect::TellBroken(error));
        self.retries.pause(now);
        match self.state {
            State::Aborting { leaving: Some(_) } => self.leave(effects),
            // Only a producer with the same id can determine the outcome of the interrupted commit.
            _ => self.make(Replacement::Same, self.doubt()),
        }
    }

    /// Goes on under another id.
    pub(super) fn leave(&mut self, effects: &mut Vec<Effect>) -> Then {
        effects.push(Effect::TellBroken(BLOCKED.to_owned()));
        self.make(Replacement::Another, None)
    }

    fn make(&mut self, wanted: Replacement, doubt: Option<Arc<Run>>) -> Then {
        self.state = State::Broken { wanted, doubt };
        Then::Call(Call::MakeProducer(wanted))
    }

    pub(super) fn producer_made(
        &mut self,
        made: Result<u32, String>,
        effects: &mut Vec<Effect>,
        now: Instant,
    ) -> Then {
        match made {
            Ok(number) => {
                self.id = number;
                self.began = now;
                self.state = State::Starting {
                    doubt: self.doubt(),
                };
                Then::Proceed
            }
            Err(error) => {
                // Its configuration was good before: it is tried again.
                effects.push(Effect::TellBroken(error));
                self.retries.pause(now);
                Then::Return(Next::Later)
            }
        }
    }

    pub(super) fn initialised(&mut self, effects: &mut Vec<Effect>, now: Instant) -> Then {
        match self.doubt() {
            Some(run) => {
                self.state = State::Resolving {
                    doubt: Arc::clone(&run),
                    is_over: true,
                };
                Then::Call(Call::LookUp(run))
            }
            None => self.ready(effects, now),
        }
    }

    /// The producer cannot be initialised, or not yet. A transaction that its predecessor left may be held up.
    pub(super) fn not_initialised(
        &mut self,
        error: &CallError,
        brokers_answer: bool,
        effects: &mut Vec<Effect>,
        now: Instant,
    ) -> Then {
        let doubt = self.doubt();
        match (error.remedy, doubt) {
            (Remedy::Repeat, _) if !brokers_answer => Then::Return(Next::Later),
            (Remedy::Repeat, Some(run)) => {
                // The brokers show only offsets of transactions that have ended for the group. If they show those of the interrupted commit, it was
                // decided, even if a topic cannot take its marker yet.
                self.state = State::Resolving {
                    doubt: Arc::clone(&run),
                    is_over: false,
                };
                Then::Call(Call::LookUp(run))
            }
            (Remedy::Repeat, None) => self.leave(effects),
            (_, None) if self.id > 0 => {
                // The cluster may allow no other id than the first.
                self.retries.pause(now);
                self.make(Replacement::First, None)
            }
            // No transaction is open yet, so nothing is to be aborted.
            _ => self.replace(error.text.clone(), effects, now),
        }
    }

    pub(super) fn looked_up(
        &mut self,
        is_committed: Option<bool>,
        effects: &mut Vec<Effect>,
        now: Instant,
    ) -> Then {
        let State::Resolving { doubt, is_over } = &self.state else {
            return Then::Proceed;
        };
        let (run, is_over) = (Arc::clone(doubt), *is_over);
        match is_committed.filter(|is_committed| *is_committed || is_over) {
            Some(is_committed) => {
                effects.push(Effect::Settle { run, is_committed });
                match is_over {
                    true => self.ready(effects, now),
                    false => self.leave(effects),
                }
            }
            None => {
                // Initialising again does no harm.
                self.state = State::Starting { doubt: Some(run) };
                self.retries.pause(now);
                Then::Return(Next::Later)
            }
        }
    }

    /// The producer can begin transactions: its last one has ended.
    fn ready(&mut self, effects: &mut Vec<Effect>, now: Instant) -> Then {
        effects.push(Effect::Ready);
        self.parking.ended(self.id, now);
        self.state = State::Idle;
        Then::Proceed
    }
}
