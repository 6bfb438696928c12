use proptest::prelude::*;

use super::*;

fn partitions(list: &[(&str, i32)]) -> BTreeSet<Partition> {
    let list = list.iter();
    list.map(|(topic, number)| (Arc::from(*topic), *number))
        .collect()
}

fn put_name(bytes: &mut Vec<u8>, name: &str) {
    bytes.extend(i16::try_from(name.len()).unwrap().to_be_bytes());
    bytes.extend(name.as_bytes());
}

fn assignment(topics: &BTreeMap<String, Vec<i32>>) -> Vec<u8> {
    let mut bytes = vec![0, 1];
    bytes.extend(i32::try_from(topics.len()).unwrap().to_be_bytes());
    for (topic, numbers) in topics {
        put_name(&mut bytes, topic);
        bytes.extend(i32::try_from(numbers.len()).unwrap().to_be_bytes());
        numbers.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
    }
    bytes.extend([0xff; 4]);
    bytes
}

#[test]
fn a_partition_that_nobody_owns_at_two_looks_is_confirmed_and_joined_for() {
    let mut unowned = Unowned::default();
    let (wanted, owned) = (
        partitions(&[("fr", 0), ("pt", 0), ("pt", 1)]),
        partitions(&[("fr", 0), ("pt", 1)]),
    );
    let now = Instant::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let mut joins = Vec::new();
    for seconds in 0..100 {
        if unowned.look(&wanted, &owned, |_| 0, at(seconds)) {
            joins.push(seconds);
        }
        let confirmed = unowned.confirmed();
        assert_eq!(confirmed.is_empty(), seconds == 0);
        assert!(confirmed.is_subset(&partitions(&[("pt", 0)])));
    }
    assert_eq!(joins, [6, 26, 66], "the pause doubles");
    assert!(!unowned.look(&wanted, &wanted, |_| 0, at(101)));
    assert!(unowned.confirmed().is_empty());
}

#[test]
fn members_join_again_one_after_the_other() {
    let mut unowned = Unowned::default();
    let (wanted, owned) = (partitions(&[("pt", 0)]), BTreeSet::new());
    let now = Instant::now();
    let joins: Vec<_> = (0..20_u64)
        .filter(|look| {
            let at = now + EVERY * u32::try_from(*look).unwrap();
            unowned.look(&wanted, &owned, |_| 2, at)
        })
        .collect();
    assert_eq!(joins[0], 10, "two turns after it was confirmed");
}

#[test]
fn only_members_that_subscribe_to_the_topic_take_a_turn() {
    let mut group = Group::default();
    let subscription = |topic: &str| {
        let mut bytes = vec![0, 3, 0, 0, 0, 1];
        put_name(&mut bytes, topic);
        bytes
    };
    for (client, topic) in [("a", "fr"), ("b", "pt"), ("c", "pt")] {
        group.add(client, &[], &subscription(topic)).unwrap();
    }
    let unowned = partitions(&[("pt", 0)]);
    let rank = |client| group.rank(Some(client))(&unowned);
    assert_eq!(["a", "b", "c"].map(rank), [0, 0, 1]);
    assert_eq!(group.add("d", &[0], &[]), None, "it cannot be read");
}

proptest! {
    #[test]
    fn an_assignment_is_read_as_it_was_written_and_a_part_of_it_never_panics(
        topics in prop::collection::btree_map("[a-z.]{1,8}", prop::collection::vec(0..99_i32, 0..5), 0..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = assignment(&topics);
        let wanted: Vec<Partition> = topics
            .iter()
            .flat_map(|(topic, numbers)| numbers.iter().map(|n| (Arc::from(topic.as_str()), *n)))
            .collect();
        prop_assert_eq!(assigned(&bytes), Some(wanted));
        let cut = cut.index(bytes.len());
        let _ = (assigned(&bytes[..cut]), subscribed(&bytes[..cut]));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = (assigned(&bytes), subscribed(&bytes));
    }
}
