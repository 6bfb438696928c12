use super::*;

fn ends(list: &[(i32, i64)]) -> TopicPartitionList {
    let mut ends = TopicPartitionList::new();
    for (partition, end) in list {
        let end = Offset::Offset(*end);
        ends.add_partition_offset("t", *partition, end).unwrap();
    }
    ends
}

fn read(gauge: &LagGauge, partition: i32, offsets: impl Iterator<Item = i64>) {
    let topic: Arc<str> = Arc::from("t");
    gauge.read(offsets.map(|offset| (&topic, partition, offset, 20, offset)));
}

fn statistics(partition: i32, next: i64, prefetched: i64) -> Statistics {
    let json = serde_json::json!({"topics": {"t": {"partitions": {
        partition.to_string(): {"next_offset": next, "fetchq_cnt": prefetched, "other": 1}}}}});
    Statistics::read(json.to_string().as_bytes()).unwrap()
}

#[test]
fn the_lag_is_what_is_fetched_and_not_read_and_what_is_not_fetched() {
    let gauge = LagGauge::default();
    read(&gauge, 0, 0..100);
    gauge.ends(&ends(&[(0, 400)]), &HashMap::new(), &ends(&[]), |_| false);
    assert_eq!(gauge.topics()[0].records, 300);
    gauge.statistics(&statistics(0, 150, 50));
    assert_eq!(gauge.topics()[0].records, 300);
    assert!((gauge.tokens_per_record() - 20.0).abs() < 1e-9);
    assert_eq!(gauge.read_up_to_ms(), Some(99));
}

#[test]
fn records_fetched_by_all_partitions_count_once() {
    let gauge = LagGauge::default();
    for partition in 0..4 {
        read(&gauge, partition, 0..100);
    }
    let list: Vec<_> = (0..4).map(|partition| (partition, 400)).collect();
    gauge.ends(&ends(&list), &HashMap::new(), &ends(&[]), |_| false);
    for partition in 0..4 {
        // librdkafka tells the length of its one queue for each of them.
        gauge.statistics(&statistics(partition, 400, 1_200));
    }
    assert_eq!(gauge.topics()[0].records, 1_200);
    for partition in 0..4 {
        gauge.statistics(&statistics(partition, 400, 0));
    }
    assert_eq!(gauge.topics()[0].records, 0);
}

#[test]
fn marks_of_transactions_are_no_records() {
    let gauge = LagGauge::default();
    // Every second offset holds a mark.
    read(&gauge, 0, (0..200).step_by(2));
    gauge.ends(&ends(&[(0, 200)]), &HashMap::new(), &ends(&[]), |_| false);
    // All is read: what remains is the last mark, and librdkafka knows that it has fetched it.
    gauge.statistics(&statistics(0, 200, 0));
    assert_eq!(gauge.topics()[0].records, 0);
    gauge.ends(&ends(&[(0, 1_200)]), &HashMap::new(), &ends(&[]), |_| false);
    let records = gauge.topics()[0].records;
    assert!((490..=510).contains(&records), "{records}");
}

#[test]
fn prefetched_records_of_a_paused_partition_count_as_lag() {
    let gauge = LagGauge::default();
    read(&gauge, 0, 0..100);
    gauge.statistics(&statistics(0, 150, 0));
    gauge.set_paused(true);
    gauge.ends(&ends(&[(0, 400)]), &HashMap::new(), &ends(&[]), |_| false);
    assert_eq!(gauge.topics()[0].records, 300);
}

#[test]
fn partitions_that_went_are_forgotten_and_new_ones_begin_at_the_committed_offset() {
    let gauge = LagGauge::default();
    read(&gauge, 0, 0..100);
    assert!(gauge.has_start("t", 0) && !gauge.has_start("t", 1));
    let starts = HashMap::from([(("t".to_owned(), 1), Some(70))]);
    gauge.ends(&ends(&[(1, 100)]), &starts, &ends(&[]), |_| false);
    let lag = &gauge.topics()[0];
    assert_eq!((lag.partitions, lag.records), (1, 30));
}

#[test]
fn deleted_records_are_not_lag() {
    let gauge = LagGauge::default();
    let starts = HashMap::from([(("t".to_owned(), 0), Some(0))]);
    gauge.set_paused(true);
    assert!(gauge.stands("t", 0));
    let (end, begin) = (ends(&[(0, 5_000)]), ends(&[(0, 4_990)]));
    gauge.ends(&end, &starts, &begin, |_| false);
    assert_eq!(gauge.topics()[0].records, 10);
    assert!(gauge.stands("t", 0));
    gauge.ends(&end, &starts, &end, |_| false);
    assert_eq!(gauge.topics()[0].records, 0);
    assert!(!gauge.stands("t", 0));
    // Neither is what it deletes while the partition is paused.
    read(&gauge, 0, 5_000..5_100);
    gauge.ends(&ends(&[(0, 6_000)]), &starts, &ends(&[]), |_| false);
    assert_eq!(gauge.topics()[0].records, 900);
    assert!(gauge.stands("t", 0));
    let (end, begin) = (ends(&[(0, 6_000)]), ends(&[(0, 5_800)]));
    gauge.ends(&end, &starts, &begin, |_| false);
    assert_eq!(gauge.topics()[0].records, 200);
    gauge.set_paused(false);
    assert!(!gauge.stands("t", 0));
}

#[test]
fn a_partition_that_stands_still_before_its_end_is_stalled() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut position = Position {
        read: Some(100),
        end: Some(120),
        ..Position::default()
    };
    position.watch(true, at(0));
    position.watch(true, at(7));
    assert!(!position.is_stalled);
    position.watch(true, at(8));
    assert!(position.is_stalled);
    // It gets further, and stands again.
    position.read = Some(101);
    position.watch(true, at(9));
    assert!(!position.is_stalled);
    position.watch(true, at(17));
    assert!(position.is_stalled);
    // Records of other partitions are fetched and read meanwhile.
    position.has_queue = true;
    position.watch(true, at(18));
    assert!(position.is_stalled);
    // It is held back, or nothing more is fetched, or there is nothing more but a mark that is fetched.
    position.watch(false, at(18));
    assert!(!position.is_stalled);
    position.is_queue_full = true;
    position.watch(true, at(19));
    position.watch(true, at(40));
    assert!(!position.is_stalled);
    (position.has_queue, position.is_queue_full) = (false, false);
    position.fetched = Some(120);
    position.watch(true, at(41));
    position.watch(true, at(60));
    assert!(!position.is_stalled);
}

fn looked(gauge: &LagGauge, end: i64, committed: Option<i64>) {
    let starts = HashMap::from([(("t".to_owned(), 0), committed)]);
    gauge.ends(&ends(&[(0, end)]), &starts, &ends(&[]), |_| false);
}

#[test]
fn statistics_of_librdkafka_do_not_prove_that_records_were_read() {
    let gauge = LagGauge::default();
    read(&gauge, 0, 0..100);
    looked(&gauge, 150, None);
    // It has purged fifty records because the partition is paused.
    gauge.statistics(&statistics(0, 150, 0));
    gauge.set_paused(true);
    assert_eq!(gauge.passed(), []);
    gauge.set_paused(false);
    gauge.statistics(&statistics(0, 150, 0));
    assert_eq!(gauge.passed(), []);
    let t: Arc<str> = Arc::from("t");
    let span = Span { from: 100, to: 150 };
    assert_eq!(gauge.unchecked(), [(Arc::clone(&t), 0, span)]);
    gauge.checked(&t, 0, span, false);
    assert!(gauge.passed().is_empty() && gauge.unchecked().is_empty());
}

#[test]
fn only_markers_behind_records_that_were_given_to_us_are_passed() {
    let gauge = LagGauge::default();
    let t: Arc<str> = Arc::from("t");
    let span = |from, to| Span { from, to };
    read(&gauge, 0, 50..60);
    looked(&gauge, 70, None);
    gauge.statistics(&statistics(0, 70, 9));
    assert!(gauge.unchecked().is_empty());
    read(&gauge, 0, 60..69);
    gauge.statistics(&statistics(0, 70, 0));
    assert_eq!(gauge.unchecked(), [(Arc::clone(&t), 0, span(69, 70))]);
    gauge.checked(&t, 0, span(60, 70), true);
    assert_eq!(gauge.passed(), [], "it was read further meanwhile");
    gauge.checked(&t, 0, span(69, 70), true);
    assert_eq!(gauge.passed(), [(Arc::clone(&t), 0, 70)]);
    read(&gauge, 0, 70..80);
    assert_eq!(gauge.passed(), []);
    gauge.forget("t", 0);
    gauge.checked(&t, 0, span(80, 81), true);
    assert_eq!(gauge.passed(), []);
}

#[test]
fn unread_markers_are_passed_once_a_check_finds_no_record() {
    let gauge = LagGauge::default();
    let t: Arc<str> = Arc::from("t");
    let span = |from, to| Span { from, to };
    looked(&gauge, 101, Some(100));
    assert!(
        gauge.unchecked().is_empty(),
        "librdkafka has not fetched it"
    );
    gauge.statistics(&statistics(0, 101, 0));
    assert_eq!(gauge.unchecked(), [(Arc::clone(&t), 0, span(100, 101))]);
    assert_eq!(gauge.passed(), [], "this proves nothing");
    gauge.checked(&t, 0, span(90, 101), true);
    assert_eq!(gauge.passed(), [], "the group stands elsewhere");
    gauge.checked(&t, 0, span(100, 101), true);
    assert!(gauge.unchecked().is_empty());
    assert_eq!(gauge.passed(), [(Arc::clone(&t), 0, 101)]);
    // More markers come, then a record.
    looked(&gauge, 103, None);
    gauge.statistics(&statistics(0, 103, 0));
    gauge.checked(&t, 0, span(100, 103), false);
    assert!(gauge.unchecked().is_empty() && gauge.passed().is_empty());
    looked(&gauge, 104, None);
    gauge.statistics(&statistics(0, 104, 0));
    gauge.checked(&t, 0, span(100, 104), true);
    assert_eq!(gauge.passed(), [(Arc::clone(&t), 0, 104)]);
    read(&gauge, 0, 104..105);
    assert_eq!(gauge.passed(), []);
}

#[test]
fn a_group_without_an_offset_passes_nothing() {
    let gauge = LagGauge::default();
    looked(&gauge, 1, None);
    gauge.statistics(&statistics(0, 1, 0));
    assert!(gauge.unchecked().is_empty());
    gauge.checked(&Arc::from("t"), 0, Span { from: 0, to: 1 }, true);
    assert_eq!(gauge.passed(), []);
}

/// Statistics of a consumer that has fetched all committed records.
fn open_transaction(at: i64, high: i64) -> Statistics {
    let json = serde_json::json!({"topics": {"t": {"partitions": {
        "0": {"next_offset": at, "fetchq_cnt": 0, "hi_offset": high, "ls_offset": at}}}}});
    Statistics::read(json.to_string().as_bytes()).unwrap()
}

#[test]
fn an_open_transaction_that_lasts_holds_its_partition_up_until_it_ends() {
    let mut position = Position {
        read: Some(10),
        end: Some(10),
        fetched: Some(10),
        ..Position::default()
    };
    let now = Instant::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    position.watch_transactions(10, 10, 40, at(0));
    position.watch_transactions(10, 10, 40, at(4));
    assert!(!position.is_held && position.ahead(1.0, false) < 1.0);
    position.watch_transactions(10, 10, 50, at(5));
    assert!(position.is_held);
    assert!((position.ahead(1.0, false) - 40.0).abs() < 1e-9);
    // Another transaction begins where this one ended.
    position.watch_transactions(20, 20, 50, at(6));
    assert!(!position.is_held);
    position.watch_transactions(20, 20, 50, at(11));
    assert!(position.is_held);
    // It has ended, and a paused consumer does not know it.
    position.end = Some(50);
    position.judge_transactions(at(12));
    assert!(!position.is_held);
    // What is only not fetched yet waits for nobody.
    position.watch_transactions(20, 50, 50, at(13));
    position.watch_transactions(20, 50, 50, at(30));
    assert!(!position.is_held);
}

#[test]
fn what_librdkafka_says_of_transactions_is_read() {
    let gauge = LagGauge::default();
    read(&gauge, 0, 0..10);
    gauge.ends(&ends(&[(0, 10)]), &HashMap::new(), &ends(&[]), |_| false);
    gauge.statistics(&open_transaction(10, 40));
    let open = gauge.known().partitions.values().next().unwrap().open;
    assert_eq!(open.map(|(at, _)| at), Some(10));
    assert!(gauge.held().is_empty(), "it has just begun");
    gauge.statistics(&statistics(0, 10, 0));
    let known = gauge.known();
    assert!(known.partitions.values().all(|p| p.open.is_none()));
}

#[test]
fn records_of_partitions_that_nobody_owns_are_unread() {
    let gauge = LagGauge::default();
    read(&gauge, 0, 0..10);
    gauge.ends(&ends(&[(0, 15)]), &HashMap::new(), &ends(&[]), |_| false);
    let unowned = |topic: &str| (Arc::from(topic), 1);
    gauge.set_unowned([(unowned("t"), 3), (unowned("u"), 0)].into());
    let lag: Vec<_> = gauge.topics().into_iter().collect();
    let told = lag
        .iter()
        .map(|lag| (&*lag.topic, lag.partitions, lag.records));
    assert_eq!(told.collect::<Vec<_>>(), [("t", 1, 8), ("u", 0, 0)]);
    assert_eq!(gauge.unowned(), [unowned("t"), unowned("u")]);
    gauge.set_unowned(BTreeMap::new());
    assert_eq!(gauge.topics().len(), 1);
}
