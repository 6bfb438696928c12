//! The client and the brokers. Every call is checked: whether the client may make it now, and what it makes visible.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rdkafka::error::RDKafkaErrorCode;

use super::{ClientTransaction, IDS, Transaction, World, offsets};
use crate::{
    publisher::{
        reports::RecordStatus,
        run::{Place, Run},
        topic_failures::Sent,
        transactions::protocol::{Call, CallError, Event, Offsets, Remedy, Replacement, Reports},
    },
    record::OutRecord,
};

fn error(remedy: Remedy) -> CallError {
    CallError {
        remedy,
        text: "an error".to_owned(),
    }
}

impl World {
    pub(super) fn call(&mut self, call: Call) -> Event {
        match call {
            Call::MakeProducer(wanted) => self.make_producer(wanted),
            Call::Initialise { .. } => self.initialise(),
            Call::LookUp(run) => {
                assert!(self.client.transaction.is_none() && self.has_doubt);
                let is_told = self.choices.pick(2) == 0;
                Event::LookedUp(is_told.then(|| self.is_committed(&run)))
            }
            Call::Gather {
                limit,
                may_only_pass,
            } => {
                let (parking, now) = (self.machine.parking(), self.now);
                let verdict = |id: u32, record: &OutRecord| parking.verdict(&record.topic, id, now);
                let (partitions, none) = (&self.partitions, BTreeSet::new());
                let run = Run::gather(partitions, limit, may_only_pass, &none, &verdict);
                Event::Gathered(run)
            }
            Call::Begin => self.begin(),
            Call::Write { run, most } => self.write(&run, most),
            Call::AwaitReports { run, silent_after } => self.await_reports(&run, silent_after),
            Call::SendOffsets(run) => self.send_offsets(&run),
            Call::Commit => self.commit(),
            Call::Abort => self.abort(),
        }
    }

    fn make_producer(&mut self, wanted: Replacement) -> Event {
        if self.choices.pick(2) == 1 {
            self.seen.insert("made no producer");
            return Event::ProducerMade(Err("no producer".to_owned()));
        }
        let transaction = std::mem::take(&mut self.client).transaction;
        self.has_doubt |= transaction.is_some_and(|transaction| transaction.is_commit_asked);
        match wanted {
            Replacement::Same => {}
            Replacement::Another | Replacement::First if self.has_doubt => {
                panic!("how the commit ended can be told only under its own id")
            }
            Replacement::Another => {
                self.seen.insert("left an id");
                let others = (1..IDS).map(|step| (self.id + step) % IDS);
                let mut free = others.filter(|id| !self.left.contains(id));
                let next = free.next().unwrap_or(self.id);
                if next != self.id {
                    self.left.insert(self.id);
                }
                self.id = next;
            }
            Replacement::First => {
                self.seen.insert("went back to the first id");
                self.left.remove(&0);
                self.id = 0;
            }
        }
        Event::ProducerMade(Ok(self.id))
    }

    fn initialise(&mut self) -> Event {
        assert!(
            self.client.transaction.is_none(),
            "there is a transaction to end"
        );
        let failed = |remedy, brokers_answer| Event::NotInitialised {
            error: error(remedy),
            brokers_answer,
        };
        let transaction = self.transactions.get(&self.id);
        if transaction.is_some_and(|transaction| self.is_held_up(transaction)) {
            return failed(Remedy::Repeat, self.choices.pick(2) == 0);
        }
        match self.choices.pick(5) {
            1 => failed(Remedy::Repeat, true),
            2 => failed(Remedy::Repeat, false),
            3 => failed(Remedy::Abort, true),
            4 => failed(Remedy::Replace, true),
            _ => {
                self.transactions.remove(&self.id);
                self.client.is_initialised = true;
                Event::Initialised
            }
        }
    }

    fn begin(&mut self) -> Event {
        assert!(
            self.client.is_initialised,
            "the producer is not initialised"
        );
        assert!(
            self.client.transaction.is_none(),
            "there is a transaction already"
        );
        assert!(!self.has_doubt, "a commit is in doubt");
        Event::Begun(match self.choices.pick(4) {
            1 => Err(error(Remedy::Repeat)),
            2 => Err(error(Remedy::Abort)),
            3 => Err(error(Remedy::Replace)),
            _ => {
                self.client.transaction = Some(ClientTransaction::default());
                let before = self.transactions.insert(self.id, Transaction::default());
                assert!(before.is_none(), "the brokers have one of this id");
                Ok(())
            }
        })
    }

    fn write(&mut self, run: &Run, most: usize) -> Event {
        self.check_assignments(run);
        let transaction = self.client.transaction.as_mut().unwrap();
        assert!(!transaction.has_offsets, "the offsets are sent already");
        let places = run.places().iter().skip(transaction.sent).take(most);
        let written = &mut self.transactions.get_mut(&self.id).unwrap().written;
        written.extend(places.cloned());
        transaction.sent = written.len();
        transaction.is_acknowledged = false;
        Event::Written
    }

    /// A transaction with records of a partition that was dropped must end.
    fn check_assignments(&self, run: &Run) {
        for (id, epoch) in run.assignments() {
            let partition = self.partitions.find(id, epoch);
            assert!(partition.is_some(), "{id} was dropped");
        }
    }

    fn await_reports(&mut self, run: &Run, silent_after: Option<Duration>) -> Event {
        let transaction = self.client.transaction.as_ref().unwrap();
        assert!(!transaction.has_offsets, "the offsets are sent already");
        self.check_assignments(run);
        let sent_so_far = transaction.sent;
        let places = &run.places()[..sent_so_far];
        let sent = |status: &dyn Fn(usize, &Place) -> RecordStatus| -> Vec<Sent> {
            let places = places.iter().enumerate();
            let sent = places.map(|(index, place)| Sent {
                source: place.id,
                topic: Arc::clone(&place.topic),
                status: status(index, place),
            });
            sent.collect()
        };
        let is_silent = |place: &Place| self.silent.contains(&*place.topic);
        let is_denied = |place: &Place| self.denied.contains(&*place.topic);
        let (taken, pending) = (RecordStatus::Taken, RecordStatus::Pending);
        let failed = RecordStatus::Failed;
        let silence = |status: &dyn Fn(usize, &Place) -> RecordStatus, brokers_answer| {
            silent_after.map_or(Reports::Pending, |_| Reports::Silent {
                sent: sent(status),
                brokers_answer,
            })
        };
        let purged = failed(RDKafkaErrorCode::PurgeQueue);
        let too_large = failed(RDKafkaErrorCode::MessageSizeTooLarge);
        let timed_out = failed(RDKafkaErrorCode::MessageTimedOut);
        let reports = if places.iter().any(is_denied) {
            let denied = failed(RDKafkaErrorCode::TopicAuthorizationFailed);
            let status = |_, place: &Place| if is_denied(place) { denied } else { purged };
            Reports::NotTaken(sent(&status))
        } else if places.iter().any(is_silent) {
            let among =
                |status| move |_, place: &Place| if is_silent(place) { status } else { taken };
            match self.choices.pick(4) {
                1 => Reports::Pending,
                2 => Reports::NotTaken(sent(&among(timed_out))),
                3 => Reports::Unavailable,
                _ => silence(&among(pending), true),
            }
        } else {
            match self.choices.pick(10) {
                1 => Reports::Pending,
                2 => Reports::NotTaken(sent(&|index, _| {
                    if index == 0 { too_large } else { purged }
                })),
                3 => Reports::NotTaken(sent(&|_, _| too_large)),
                4 => Reports::NotTaken(sent(&|_, _| purged)),
                5 => Reports::NotTaken(sent(&|_, _| timed_out)),
                6 => silence(&|_, _| pending, true),
                7 => silence(&|_, _| pending, false),
                8 => Reports::Fatal("fenced".to_owned()),
                9 => Reports::Unavailable,
                _ => Reports::Taken(sent_so_far),
            }
        };
        if matches!(reports, Reports::Silent { .. }) {
            self.seen.insert("heard nothing");
            self.now += silent_after.unwrap_or_default();
        }
        let is_acknowledged = matches!(reports, Reports::Taken(_));
        let transaction = self.client.transaction.as_mut().unwrap();
        transaction.is_acknowledged = is_acknowledged;
        Event::Reported(reports)
    }

    fn send_offsets(&mut self, run: &Run) -> Event {
        let client = self.client.transaction.as_mut().unwrap();
        assert!(!client.has_offsets, "the offsets are sent already");
        assert!(client.is_acknowledged, "its records are not acknowledged");
        let is_ours = |(id, epoch): (u32, u32)| {
            let source = &self.sources[id as usize];
            source.is_ours && source.epoch == epoch
        };
        if !run.assignments().all(is_ours) {
            return Event::OffsetsSent(Offsets::NotOurs);
        }
        let transaction = self.transactions.get_mut(&self.id).unwrap();
        let is_written = |place: &Place| {
            let key = |place: &Place| (place.id, place.epoch, place.offset, place.number);
            let mut written = transaction.written.iter();
            written.any(|written| key(written) == key(place))
        };
        let mut count = 0;
        for (id, next) in offsets(run) {
            let (epoch, from) = {
                let source = &self.sources[id as usize];
                (source.epoch, source.committed)
            };
            let log = &self.sources[id as usize].log;
            let partition = self.partitions.find(id, epoch).unwrap();
            for offset in (from..next).filter(|offset| log[*offset as usize].is_some()) {
                let found = partition.released.iter().find(|r| r.offset == offset);
                for answer in found.expect("it is skipped").answers.iter() {
                    count += 1;
                    assert!(is_written(&Place {
                        id,
                        epoch,
                        offset,
                        number: answer.number,
                        topic: Arc::clone(&answer.record.topic),
                    }));
                }
            }
        }
        assert_eq!(transaction.written.len(), count, "it has other records too");
        Event::OffsetsSent(match self.choices.pick(4) {
            1 => Offsets::Failed(error(Remedy::Repeat)),
            2 => Offsets::Failed(error(Remedy::Abort)),
            3 => Offsets::Failed(error(Remedy::Replace)),
            _ => {
                client.has_offsets = true;
                transaction.offsets = offsets(run);
                Offsets::Accepted
            }
        })
    }

    fn commit(&mut self) -> Event {
        let client = self.client.transaction.as_mut().unwrap();
        assert!(client.has_offsets, "the offsets are not sent");
        client.is_commit_asked = true;
        let transaction = self.transactions.get_mut(&self.id).unwrap();
        transaction.is_commit_asked = true;
        let was_committed = transaction.is_committed;
        let answers: &[(bool, Option<Remedy>)] = match was_committed {
            true => &[
                (true, None),
                (true, Some(Remedy::Repeat)),
                (true, Some(Remedy::Replace)),
            ],
            false => &[
                (true, None),
                (false, Some(Remedy::Repeat)),
                (true, Some(Remedy::Repeat)),
                (false, Some(Remedy::Abort)),
                (false, Some(Remedy::Replace)),
                (true, Some(Remedy::Replace)),
            ],
        };
        let (is_committed, remedy) = answers[self.choices.pick(answers.len())];
        transaction.is_committed = is_committed;
        let offsets = transaction.offsets.clone();
        match remedy {
            None => {
                self.seen.insert("committed");
                self.client.transaction = None;
                self.transactions.remove(&self.id);
            }
            Some(Remedy::Abort) => {
                client.is_commit_asked = false;
                transaction.is_commit_asked = false;
            }
            Some(_) => {}
        }
        if is_committed && !was_committed {
            self.make_visible(&offsets);
        }
        Event::Committed(remedy.map_or(Ok(()), |remedy| Err(error(remedy))))
    }

    fn abort(&mut self) -> Event {
        let client = self.client.transaction.as_ref();
        assert!(
            client.is_none_or(|client| !client.is_commit_asked),
            "it may be committed"
        );
        let transaction = self.transactions.get(&self.id);
        let remedy = match transaction.is_some_and(|transaction| self.is_held_up(transaction)) {
            true => [Remedy::Repeat, Remedy::Replace][self.choices.pick(2)],
            false => match self.choices.pick(4) {
                1 => Remedy::Repeat,
                2 => Remedy::Abort,
                3 => Remedy::Replace,
                _ => {
                    self.client.transaction = None;
                    self.transactions.remove(&self.id);
                    return Event::Aborted(Ok(()));
                }
            },
        };
        Event::Aborted(Err(error(remedy)))
    }
}
