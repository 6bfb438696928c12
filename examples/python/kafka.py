import json, os
from confluent_kafka import Consumer, KafkaException, Producer

config = {"bootstrap.servers": os.environ.get("BROKERS", "127.0.0.1:9092")}
request = {"messageId": "m-1", "text": "Good morning!", "sourceLanguage": "en",
           "targetLanguages": ["fr"], "conversationId": "c-7"}
producer = Producer(config)
producer.produce("translation.requests", key="c-7", value=json.dumps(request))
producer.flush()

reading = {"group.id": "backend", "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
consumer = Consumer(config | reading)
consumer.subscribe(["translation.results"])
while True:
    record = consumer.poll(1.0)
    if record is None:
        continue
    if record.error():
        raise KafkaException(record.error())
    answer = json.loads(record.value())
    if answer["messageId"] == "m-1":
        print(answer.get("translatedText") or answer["error"])
        break
consumer.close()
