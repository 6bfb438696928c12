use babelmesh_actors::flow::WaterMarks;
use proptest::prelude::*;

use super::*;
use crate::publisher::{parking::Verdict, run::Run};

const ID: u32 = 1;
const EPOCH: u32 = 1;

/// A run where every topic can be written.
fn gather(
    partitions: &Partitions,
    may_only_pass: bool,
    unreadable: &BTreeSet<String>,
) -> Option<Run> {
    Run::gather(partitions, 2, may_only_pass, unreadable, &|_, _| {
        Verdict::Free
    })
}

#[derive(Debug, Clone)]
enum Step {
    /// The topic gets a record, or a marker of a transaction.
    Append {
        is_record: bool,
    },
    /// The next record is read, with the markers before it.
    Read,
    /// The oldest records that are not settled are settled.
    Settle(usize),
    /// The reader says how far it has passed markers.
    Pass,
    /// It says so once more, late.
    PassLate,
    /// A transaction begins.
    Begin {
        may_only_pass: bool,
    },
    Commit,
    Abort,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => any::<bool>().prop_map(|is_record| Step::Append { is_record }),
        3 => Just(Step::Read),
        2 => (1_usize..4).prop_map(Step::Settle),
        2 => Just(Step::Pass),
        1 => Just(Step::PassLate),
        3 => any::<bool>().prop_map(|may_only_pass| Step::Begin { may_only_pass }),
        3 => Just(Step::Commit),
        1 => Just(Step::Abort),
    ];
    prop::collection::vec(step, 0..200)
}

/// A topic of one partition, its reader and its group.
struct World {
    /// Whether each offset has a record.
    log: Vec<bool>,
    /// The next offset to read.
    read: i64,
    /// Records that were read and are not settled, the oldest first.
    open: VecDeque<i64>,
    partitions: Partitions,
    flow: Flow,
    gauges: DeliveryGauges,
    run: Option<Run>,
    /// What the reader said about markers, in turn.
    passed: Vec<i64>,
    /// The group's committed offsets, in turn.
    committed: Vec<i64>,
}

impl World {
    fn new() -> Self {
        let flow = Flow::new(WaterMarks { high: 100, low: 10 });
        let mut partitions = Partitions::default();
        partitions.assigned(ID, (Arc::from("t"), 0, EPOCH), &flow);
        Self {
            log: Vec::new(),
            read: 0,
            open: VecDeque::new(),
            partitions,
            flow,
            gauges: DeliveryGauges::default(),
            run: None,
            passed: Vec::new(),
            committed: vec![0],
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append { is_record } => self.log.push(is_record),
            Step::Read => self.read(),
            Step::Settle(count) => self.settle(count),
            Step::Pass => self.pass(),
            Step::PassLate => {
                if let Some(offset) = self.passed.first().copied() {
                    self.partition().pass(offset);
                }
            }
            Step::Begin { may_only_pass } => {
                if self.run.is_none() {
                    self.run = gather(&self.partitions, may_only_pass, &BTreeSet::new());
                }
            }
            Step::Commit => self.commit(),
            Step::Abort => self.run = None,
        }
    }

    fn partition(&mut self) -> &mut Partition {
        self.partitions.get(ID, EPOCH).unwrap()
    }

    fn read(&mut self) {
        let unread = &self.log[self.read as usize..];
        let Some(markers) = unread.iter().position(|is_record| *is_record) else {
            return;
        };
        let offset = self.read + markers as i64;
        self.read = offset + 1;
        assert!(self.partition().ledger.open(offset));
        self.open.push_back(offset);
    }

    fn settle(&mut self, count: usize) {
        for _ in 0..count {
            let Some(offset) = self.open.pop_front() else {
                return;
            };
            let answer = Completed::answers(Vec::new());
            let partition = self.partition();
            partition.ledger.settle(offset, answer).unwrap();
            while let Some((offset, _)) = partition.ledger.release() {
                partition.released.push_back(Released {
                    offset,
                    answers: Answers::new(Vec::new()),
                    request_trace: None,
                });
            }
        }
    }

    /// The markers behind the last record that was read, if nothing but markers follows.
    fn pass(&mut self) {
        let unread = &self.log[self.read as usize..];
        let markers = unread.iter().take_while(|is_record| !**is_record).count();
        if markers > 0 {
            let offset = self.read + markers as i64;
            self.passed.push(offset);
            self.partition().pass(offset);
        }
    }

    fn commit(&mut self) {
        let Some(run) = self.run.take() else {
            return;
        };
        for element in run.offsets().elements() {
            let offset = element.offset().to_raw().unwrap();
            self.committed.push(offset);
            let partition = self.partitions.get(ID, EPOCH).unwrap();
            partition.finish(offset - 1, &self.flow, &self.gauges);
        }
    }

    /// Records before an offset that nobody has answered.
    fn unanswered(&self, offset: i64) -> usize {
        let records = (0..offset).filter(|offset| self.log[*offset as usize]);
        let is_open = |offset: &i64| *offset >= self.read || self.open.contains(offset);
        records.filter(is_open).count()
    }
}

proptest! {
    #[test]
    fn a_committed_offset_never_goes_back_and_stands_behind_nothing_that_is_not_answered(
        steps in steps(),
    ) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            let committed = *world.committed.last().unwrap();
            prop_assert_eq!(world.unanswered(committed), 0);
            prop_assert!(world.committed.is_sorted_by(|before, after| before < after));
        }
        // When nothing is left to do, the group's offset is the end of the partition.
        world.take(Step::Abort);
        for _ in 0..world.log.len() {
            world.take(Step::Read);
        }
        world.take(Step::Settle(usize::MAX));
        world.take(Step::Pass);
        for _ in 0..=world.log.len() {
            world.take(Step::Begin { may_only_pass: true });
            world.take(Step::Commit);
        }
        prop_assert_eq!(world.committed.last().copied(), Some(world.log.len() as i64));
    }
}

#[test]
fn passed_markers_do_not_hide_the_only_record_of_a_run() {
    let mut world = World::new();
    let other = 2;
    let (flow, topic) = (&world.flow, Arc::from("other"));
    world.partitions.assigned(other, (topic, 0, EPOCH), flow);
    world.partitions.get(other, EPOCH).unwrap().pass(5);
    for step in [
        Step::Append { is_record: true },
        Step::Read,
        Step::Settle(1),
    ] {
        world.take(step);
    }
    let run = gather(&world.partitions, false, &BTreeSet::new()).unwrap();
    assert_eq!(run.len(), 1);
    assert_eq!(run.offset_of("t", 0), Some(1));
    assert!(run.touches(&[other]) && run.offset_of("other", 0) == Some(5));
}

#[test]
fn records_of_a_topic_that_became_forbidden_wait() {
    let mut world = World::new();
    for step in [
        Step::Append { is_record: true },
        Step::Read,
        Step::Settle(1),
    ] {
        world.take(step);
    }
    let unreadable = BTreeSet::from(["t".to_owned()]);
    assert!(gather(&world.partitions, true, &unreadable).is_none());
    assert!(gather(&world.partitions, true, &BTreeSet::new()).is_some());
}
