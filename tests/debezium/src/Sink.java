import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.debezium.transforms.ExtractNewRecordState;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.header.Headers;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.storage.SimpleHeaderConverter;

/**
 * Reads topics as a sink of Kafka Connect does: Kafka's JsonConverter, SimpleHeaderConverter, then Debezium's
 * ExtractNewRecordState, as all of them are by default.
 *
 * <p>Arguments: bootstrap address; then PREFIX=true or PREFIX=false for topics whose records have schemas or not. All
 * that there is when it starts is read, topic by topic. One line of JSON a record: topic, key, value, headers; "flat"
 * is what the transformation makes of it, absent where it drops the record; "error" stands where Connect would stop.
 */
public final class Sink {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final JsonConverter keys = new JsonConverter();
  private final JsonConverter values = new JsonConverter();
  private final SimpleHeaderConverter headers = new SimpleHeaderConverter();
  private final JsonConverter shown = new JsonConverter();
  private final ExtractNewRecordState<SinkRecord> flatten = new ExtractNewRecordState<>();

  private Sink(String schemas) {
    keys.configure(Map.of("schemas.enable", schemas), true);
    values.configure(Map.of("schemas.enable", schemas), false);
    shown.configure(Map.of("schemas.enable", "false"), false);
    flatten.configure(Map.of());
  }

  public static void main(String[] args) throws Exception {
    Map<String, Object> settings = Map.of("bootstrap.servers", args[0]);
    ByteArrayDeserializer bytes = new ByteArrayDeserializer();
    try (var consumer = new KafkaConsumer<>(settings, bytes, bytes)) {
      for (int at = 1; at < args.length; at++) {
        String[] parts = args[at].split("=");
        Sink sink = new Sink(parts[1]);
        for (String topic : consumer.listTopics().keySet().stream().sorted().toList()) {
          if (topic.startsWith(parts[0] + ".")) {
            sink.read(consumer, new TopicPartition(topic, 0));
          }
        }
      }
    }
  }

  private void read(KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition)
      throws Exception {
    List<TopicPartition> all = List.of(partition);
    consumer.assign(all);
    consumer.seekToBeginning(all);
    long end = consumer.endOffsets(all).get(partition);
    while (consumer.position(partition) < end) {
      for (var record : consumer.poll(Duration.ofMillis(200))) {
        System.out.println(JSON.writeValueAsString(told(record)));
      }
    }
  }

  private ObjectNode told(ConsumerRecord<byte[], byte[]> record) throws Exception {
    ObjectNode line = JSON.createObjectNode().put("topic", record.topic());
    try {
      SinkRecord converted = converted(record);
      line.set("key", json(converted.topic(), converted.keySchema(), converted.key()));
      line.set("value", json(converted.topic(), converted.valueSchema(), converted.value()));
      ObjectNode named = line.putObject("headers");
      converted.headers().forEach(header -> named.put(header.key(), String.valueOf(header.value())));
      SinkRecord flat = flatten.apply(converted);
      if (flat != null) {
        line.set("flat", json(flat.topic(), flat.valueSchema(), flat.value()));
      }
    } catch (ConnectException refused) {
      line.put("error", refused.toString());
      line.set("key", bytes(record.key()));
      line.set("value", bytes(record.value()));
    }
    return line;
  }

  /** As a worker makes it of what it has read. */
  private SinkRecord converted(ConsumerRecord<byte[], byte[]> record) {
    String topic = record.topic();
    SchemaAndValue key = keys.toConnectData(topic, record.headers(), record.key());
    SchemaAndValue value = values.toConnectData(topic, record.headers(), record.value());
    Headers converted = new ConnectHeaders();
    for (var header : record.headers()) {
      converted.add(header.key(), headers.toConnectHeader(topic, header.key(), header.value()));
    }
    return new SinkRecord(
        topic,
        record.partition(),
        key.schema(),
        key.value(),
        value.schema(),
        value.value(),
        record.offset(),
        record.timestamp(),
        TimestampType.CREATE_TIME,
        converted);
  }

  private JsonNode json(String topic, org.apache.kafka.connect.data.Schema schema, Object value)
      throws Exception {
    return bytes(shown.fromConnectData(topic, schema, value));
  }

  private static JsonNode bytes(byte[] text) throws Exception {
    return text == null
        ? JSON.nullNode()
        : JSON.readTree(new String(text, StandardCharsets.UTF_8));
  }
}
