use std::{collections::HashSet, sync::Mutex};

use async_trait::async_trait;
use babelmesh_engine_protocol::Completeness;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::{
    cache::CacheSpace,
    domain::{ClientId, Lane, Language},
    pool::item::LookedUp,
};

/// Remembers in a map, and counts look-ups.
#[derive(Default)]
struct Memory {
    all: Mutex<HashMap<CacheKey, Translation>>,
    looked_up: Mutex<usize>,
}

#[async_trait]
impl TranslationCache for Memory {
    fn get(&self, key: &CacheKey) -> Option<Translation> {
        *self.looked_up.lock().unwrap() += 1;
        self.all.lock().unwrap().get(key).cloned()
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn ask(&self, _: &[CacheKey]) -> Vec<Option<Translation>> {
        Vec::new()
    }

    fn put(&self, made: Vec<(CacheKey, Translation)>) {
        self.all.lock().unwrap().extend(made);
    }
}

fn item(job: u64, text: u8) -> Item {
    let [en, fr]: [Language; 2] = ["en", "fr"].map(|tag| tag.parse().unwrap());
    Item {
        job,
        piece: 0,
        tokens: 1,
        target: fr,
        lane: Lane::Normal,
        client: ClientId::default(),
        queued: Instant::now(),
        has_begun: false,
        key: Some(CacheSpace::new(["model"]).key(en, fr, &text.to_string())),
        looked_up: LookedUp::default(),
    }
}

fn translation() -> Translation {
    Translation {
        text: "oui".to_owned(),
        score: 0.0,
        input_tokens: 1,
        output_tokens: 1,
        completeness: Completeness::Whole,
        alignment: None,
        alternatives: Vec::new(),
    }
}

fn translated(batch: Vec<Item>) -> Vec<(Item, Translation)> {
    batch
        .into_iter()
        .map(|item| (item, translation()))
        .collect()
}

fn verified(made: &[Answered]) -> Vec<Verified> {
    let stored = made.iter().filter_map(|answered| {
        let translation = answered.translation.clone();
        answered.store.map(|store| Verified { store, translation })
    });
    stored.collect()
}

fn single_flight() -> (SingleFlight, Arc<Memory>) {
    let memory = Arc::new(Memory::default());
    let mut flight = SingleFlight::new(Some(Arc::<Memory>::clone(&memory)));
    flight.set_numeric(Some("int8"));
    (flight, memory)
}

proptest! {
    /// Batches of some texts begin, and end well or not, in any order.
    #[test]
    fn every_piece_is_translated_once_and_no_text_is_with_two_engines(
        steps in prop::collection::vec((prop::collection::vec(0u8..6, 1..5), any::<bool>(), any::<bool>()), 1..60),
    ) {
        let (mut flight, _) = single_flight();
        let (mut next, mut done, mut back) = (0, HashSet::new(), Vec::new());
        let mut under_way: Vec<Vec<Item>> = Vec::new();
        let mut end = |known: Vec<Answered>| known.into_iter().all(|known| done.insert(known.item.job));
        for (texts, ends, well) in steps {
            let mut batch = std::mem::take(&mut back);
            for text in texts {
                batch.push(item(next, text));
                next += 1;
            }
            prop_assert!(end(flight.admit(&mut batch)));
            let with_engines: Vec<_> = under_way.iter().flatten().chain(&batch).map(|item| item.key).collect();
            prop_assert_eq!(with_engines.iter().collect::<HashSet<_>>().len(), with_engines.len());
            under_way.push(batch);
            if ends {
                let batch = under_way.remove(0);
                if well {
                    let (waited, made) = flight.complete(translated(batch));
                    flight.store(verified(&made));
                    prop_assert!(end(waited) && end(made));
                } else {
                    back = flight.release(&batch);
                    back.extend(batch);
                }
            }
        }
        for batch in under_way {
            let (waited, made) = flight.complete(translated(batch));
            prop_assert!(end(waited) && end(made));
        }
        prop_assert_eq!(done.len() + back.len(), next as usize);
        prop_assert!(flight.waiting.is_empty());
    }
}

#[test]
fn a_piece_is_looked_up_again_only_when_its_text_was_translated_meanwhile() {
    let (mut flight, memory) = single_flight();
    let looked_up = || std::mem::take(&mut *memory.looked_up.lock().unwrap());
    let [mut a, mut b, mut c] = [item(1, 1), item(2, 2), item(3, 1)];
    for item in [&mut a, &mut b, &mut c] {
        assert_eq!(flight.look_up(item), None);
    }
    assert_eq!(looked_up(), 3);
    let mut batch = vec![a];
    assert!(flight.admit(&mut batch).is_empty());
    assert_eq!((batch.len(), looked_up()), (1, 0));
    let (_, made) = flight.complete(translated(batch));
    flight.store(verified(&made));
    let mut batch = vec![b, c];
    let known = flight.admit(&mut batch);
    assert_eq!(known, [Answered::known(known[0].item, translation())]);
    assert_eq!((known[0].item.job, batch.len(), looked_up()), (3, 1, 1));
}

#[test]
fn what_was_looked_up_for_another_numeric_type_is_looked_up_again() {
    let (mut flight, memory) = single_flight();
    let [mut a, b] = [item(1, 1), item(2, 2)];
    flight.look_up(&mut a);
    flight.set_numeric(Some("float32"));
    flight.admit(&mut vec![a, b]);
    assert_eq!(*memory.looked_up.lock().unwrap(), 3);
}

#[test]
fn a_translation_without_its_end_is_not_taken() {
    let (flight, memory) = single_flight();
    let mut item = item(1, 1);
    let unfinished = Translation {
        completeness: Completeness::Unfinished,
        ..translation()
    };
    memory.put(vec![(item.key.unwrap().made_in("int8"), unfinished)]);
    assert_eq!(flight.look_up(&mut item), None);
}

#[test]
fn nothing_is_cached_before_it_has_passed_the_checks() {
    let (mut flight, memory) = single_flight();
    let [a, b, mut later] = [item(1, 1), item(2, 1), item(3, 1)];
    let mut batch = vec![a, b];
    assert!(flight.admit(&mut batch).is_empty());
    let (waited, made) = flight.complete(translated(batch));
    assert_eq!((waited.len(), made.len()), (1, 1));
    assert_eq!(waited[0].store, made[0].store);
    assert_eq!(flight.look_up(&mut later), None);
    flight.store(verified(&[waited, made].concat()));
    assert_eq!(memory.all.lock().unwrap().len(), 1);
    assert_eq!(flight.look_up(&mut later), Some(translation()));
}

#[test]
fn a_translation_is_stored_with_the_numeric_type_that_it_was_made_in() {
    let (mut flight, _) = single_flight();
    let (_, made) = flight.complete(translated(vec![item(1, 1)]));
    flight.set_numeric(Some("float32"));
    flight.store(verified(&made));
    let mut later = item(2, 1);
    assert_eq!(flight.look_up(&mut later), None);
    flight.set_numeric(Some("int8"));
    assert_eq!(flight.look_up(&mut later), Some(translation()));
    flight.set_numeric(None);
    let (_, made) = flight.complete(translated(vec![item(3, 2)]));
    assert_eq!(made[0].store, None);
}
