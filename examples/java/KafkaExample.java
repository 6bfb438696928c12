import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class KafkaExample {
    static final String BROKERS = "127.0.0.1:9092";

    public static void main(String[] args) throws Exception {
        var json = new ObjectMapper();
        var request = json.writeValueAsString(Map.of("messageId", "m-1", "text", "Good morning!",
            "sourceLanguage", "en", "targetLanguages", List.of("fr"), "conversationId", "c-7"));
        Map<String, Object> config = Map.of("bootstrap.servers", BROKERS);
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            producer.send(new ProducerRecord<>("translation.requests", "c-7", request)).get();
        }

        Map<String, Object> reading = Map.of("bootstrap.servers", BROKERS, "group.id", "backend",
            "isolation.level", "read_committed", "auto.offset.reset", "earliest");
        var strings = new StringDeserializer();
        try (var consumer = new KafkaConsumer<>(reading, strings, strings)) {
            consumer.subscribe(List.of("translation.results"));
            while (true) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    JsonNode answer = json.readTree(record.value());
                    if (answer.get("messageId").asText().equals("m-1")) {
                        var text = answer.get("translatedText");
                        System.out.println(text == null ? answer.get("error") : text.asText());
                        return;
                    }
                }
            }
        }
    }
}
