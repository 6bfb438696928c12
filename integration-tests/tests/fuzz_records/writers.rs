//! Writing records with whatever is in them.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use babelmesh::kafka::client::Clients;
use babelmesh_integration_tests::clients::Interpreter;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use serde_json::{Value, json};

/// Every codec that a producer may choose.
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const BROKER: Duration = Duration::from_secs(60);

/// Writes the records of a file, a line of JSON each, their bytes in hexadecimal digits. A string that encodes itself as other bytes makes names
/// of headers that are no UTF-8. Where this client wants a value of a header or a key, an empty one stands for none.
const PRODUCER: &str = r#"
import json, logging, os
from kafka import KafkaProducer

logging.basicConfig(level=logging.WARNING)

class Raw(str):
    def encode(self, *_):
        return bytes.fromhex(str(self))

def raw(digits):
    return None if digits is None else bytes.fromhex(digits)

producer = KafkaProducer(bootstrap_servers=os.environ["BOOTSTRAP"], max_request_size=10000000, linger_ms=20, compression_type="gzip")
for line in open(os.environ["RECORDS"]):
    record = json.loads(line)
    headers = [(Raw(name), raw(value or "")) for name, value in record["headers"]]
    key = record["key"] if record["value"] is not None else record["key"] or ""
    producer.send(record["topic"], raw(record["value"]), key=raw(key), headers=headers, timestamp_ms=record["timestamp"])
producer.flush(timeout=60)
"#;

/// A record as its bytes.
#[derive(Debug, Default)]
pub(crate) struct RawRecord {
    pub(crate) topic: String,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Milliseconds since 1970; now when absent.
    pub(crate) timestamp: Option<i64>,
}

/// One producer for each codec, and one in Python for what these cannot write.
pub(crate) struct Writers {
    producers: Vec<ThreadedProducer<DefaultProducerContext>>,
    next: usize,
    path: PathBuf,
    file: BufWriter<File>,
}

impl Writers {
    pub(crate) fn new(clients: &Clients, folder: &Path) -> Self {
        let producers = CODECS.map(|codec| {
            let mut config = clients.producer();
            config
                .set("compression.type", codec)
                .set("linger.ms", "20")
                .set("message.max.bytes", "10000000");
            config.create().unwrap()
        });
        let path = folder.join("records");
        Self {
            producers: producers.into(),
            next: 0,
            file: BufWriter::new(File::create(&path).unwrap()),
            path,
        }
    }

    /// Queues a record with the next codec. One with a header name that is not UTF-8 is written when all others are.
    pub(crate) fn write(&mut self, record: RawRecord) {
        let names = record.headers.iter().map(|(name, _)| str::from_utf8(name));
        let Ok(names) = names.collect::<Result<Vec<_>, _>>() else {
            return self.keep(&record);
        };
        let values = record.headers.iter().map(|(_, value)| value.as_deref());
        let headers = names
            .into_iter()
            .zip(values)
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value })
            });
        let mut pending: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(&record.topic).headers(headers);
        if let Some(key) = &record.key {
            pending = pending.key(key);
        }
        if let Some(value) = &record.value {
            pending = pending.payload(value);
        }
        if let Some(timestamp) = record.timestamp {
            pending = pending.timestamp(timestamp);
        }
        self.next = (self.next + 1) % self.producers.len();
        while let Err((error, back)) = self.producers[self.next].send(pending) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full);
            std::thread::sleep(Duration::from_millis(1));
            pending = back;
        }
    }

    fn keep(&mut self, record: &RawRecord) {
        let hex = |bytes: &[u8]| {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            digits.collect::<String>()
        };
        let headers = record.headers.iter();
        let headers: Vec<Value> = headers
            .map(|(name, value)| json!([hex(name), value.as_deref().map(hex)]))
            .collect();
        let line = json!({
            "topic": record.topic,
            "key": record.key.as_deref().map(hex),
            "value": record.value.as_deref().map(hex),
            "headers": headers,
            "timestamp": record.timestamp,
        });
        writeln!(self.file, "{line}").unwrap();
    }

    /// Has everything written.
    pub(crate) fn finish(mut self, python: &Interpreter, bootstrap: &str) {
        for producer in &self.producers {
            producer.flush(BROKER).unwrap();
        }
        self.file.flush().unwrap();
        let records = self.path.display().to_string();
        let _ = python.run(PRODUCER, &[("BOOTSTRAP", bootstrap), ("RECORDS", &records)]);
    }
}
