//! Sends a message to babelmesh and prints its translation. Needs the crates `rdkafka` and `serde_json`.

#![allow(clippy::print_stdout, reason = "it prints the answer")]

use std::{error::Error, time::Duration};

use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let brokers = std::env::args().nth(1).unwrap_or("127.0.0.1:9092".into());
    let request = json!({"messageId": "m-1", "text": "Good morning!", "sourceLanguage": "en",
        "targetLanguages": ["fr"], "conversationId": "c-7"});
    let mut config = ClientConfig::new();
    let producer: BaseProducer = config.set("bootstrap.servers", brokers).create()?;
    let request = request.to_string();
    let record = BaseRecord::to("translation.requests").key("c-7");
    let sent = producer.send(record.payload(&request));
    sent.map_err(|(error, _)| error)?;
    producer.flush(Duration::from_secs(10))?;

    let consumer: BaseConsumer = config
        .set("group.id", "backend")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&["translation.results"])?;
    for record in consumer.iter() {
        let answer: Value = serde_json::from_slice(record?.payload().unwrap_or_default())?;
        if answer["messageId"] == "m-1" {
            let text = answer.get("translatedText");
            println!("{}", text.unwrap_or(&answer["error"]));
            break;
        }
    }
    Ok(())
}
