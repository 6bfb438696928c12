//! Records that the brokers delete before they are read.

use babelmesh_integration_tests::{
    Cluster, Kafka, PATIENCE, ProcessNode, Record, Sandbox, TopicWriter, block_on, request,
    wait_until,
};
use rdkafka::{Offset, TopicPartitionList, admin::AdminOptions};

#[test]
fn records_that_retention_deletes_before_they_are_read_are_counted() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let settings = kafka.node(sandbox.node());
    let mut node = ProcessNode::start(&sandbox, &settings);
    let topic = kafka.topics().requests;
    let write = |ids: std::ops::Range<i32>| {
        let writer = TopicWriter::new(&kafka.clients());
        for number in ids {
            let body = request(&format!("m{number}"), "hello", &["fr"], "c").to_string();
            writer.write(&Record::to(&topic, "c", body));
        }
        writer.flush();
    };
    backend.ids.ask("m0", "fr");
    write(0..1);
    backend.read_all(PATIENCE);
    node.stop(PATIENCE);
    write(1..41);
    let mut list = TopicPartitionList::new();
    for number in 0..4 {
        list.add_partition_offset(&topic, number, Offset::End)
            .unwrap();
    }
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    block_on(kafka.admin().delete_records(&list, &options)).unwrap();
    node.start_again();
    node.wait_ready();
    backend.ids.ask("m50", "fr");
    write(50..51);
    backend.read_all(PATIENCE);
    wait_until("they are counted", PATIENCE, || {
        node.status().requests.delivery.skipped_records == 40
    });
    let log = node.log();
    assert!(
        log.contains("retention deleted records before they were read"),
        "{log}"
    );
}
