import { Kafka } from "kafkajs";

const kafka = new Kafka({ brokers: [process.env.BROKERS ?? "127.0.0.1:9092"] });
const request = { messageId: "m-1", text: "Good morning!", sourceLanguage: "en",
  targetLanguages: ["fr"], conversationId: "c-7" };
const producer = kafka.producer();
await producer.connect();
await producer.send({ topic: "translation.requests", messages: [{ key: "c-7", value: JSON.stringify(request) }] });
await producer.disconnect();

const consumer = kafka.consumer({ groupId: "backend", readUncommitted: false });
await consumer.connect();
await consumer.subscribe({ topic: "translation.results", fromBeginning: true });
const answer = await new Promise((resolve) => consumer.run({
  eachMessage: async ({ message }) => {
    const answer = JSON.parse(message.value.toString());
    if (answer.messageId === "m-1") resolve(answer);
  },
}));
console.log(answer.translatedText ?? answer.error);
await consumer.disconnect();
