import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads topics by assignment with the stock Java client and prints one JSON object a line.
 *
 * <pre>
 * Reader BOOTSTRAP list                          the topics' names
 * Reader BOOTSTRAP consume TOPIC FROM COUNT MS   FROM: start | end | offset:N | time:MS
 * Reader BOOTSTRAP spread PREFIX COUNT MS        all topics with this prefix, from their start
 * </pre>
 *
 * CLIENT_PROPERTIES in the environment has further settings of the client, as a properties file has them.
 *
 * <p>consume prints {"ready":OFFSET} once its position is known, then up to COUNT records, and ends when it has
 * COUNT or after MS milliseconds. A time behind the last record is the end. spread prints {"ready":TOPICS} once it has
 * assigned them, {"read":N} once a poll gave nothing after some gave something, and prints the records likewise.
 */
public final class Reader {
    public static void main(String[] arguments) throws IOException {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(arguments[0])) {
            switch (arguments[1]) {
                case "list" -> list(consumer);
                case "consume" ->
                    consume(
                            consumer,
                            new TopicPartition(arguments[2], 0),
                            arguments[3],
                            Integer.parseInt(arguments[4]),
                            Long.parseLong(arguments[5]));
                case "spread" ->
                    spread(
                            consumer,
                            arguments[2],
                            Integer.parseInt(arguments[3]),
                            Long.parseLong(arguments[4]));
                default -> throw new IllegalArgumentException("unknown command: " + arguments[1]);
            }
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String bootstrap) throws IOException {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "none");
        properties.put("default.api.timeout.ms", "20000");
        properties.load(new StringReader(System.getenv().getOrDefault("CLIENT_PROPERTIES", "")));
        return new KafkaConsumer<>(properties);
    }

    private static void list(KafkaConsumer<byte[], byte[]> consumer) {
        for (String topic : new TreeSet<>(consumer.listTopics().keySet())) {
            System.out.println("{\"topic\":" + quoted(topic) + "}");
        }
    }

    private static void consume(
            KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition, String from, int count, long millis) {
        consumer.assign(List.of(partition));
        seek(consumer, partition, from);
        System.out.println("{\"ready\":" + consumer.position(partition) + "}");
        System.out.flush();
        long deadline = System.nanoTime() + millis * 1_000_000L;
        int seen = 0;
        while (seen < count && System.nanoTime() < deadline) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                if (seen++ < count) {
                    System.out.println(json(record));
                }
            }
        }
    }

    private static void spread(KafkaConsumer<byte[], byte[]> consumer, String prefix, int count, long millis) {
        List<TopicPartition> partitions =
                consumer.listTopics().keySet().stream()
                        .filter(topic -> topic.startsWith(prefix))
                        .map(topic -> new TopicPartition(topic, 0))
                        .toList();
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        System.out.println("{\"ready\":" + partitions.size() + "}");
        System.out.flush();
        long deadline = System.nanoTime() + millis * 1_000_000L;
        int seen = 0;
        int told = 0;
        while (seen < count && System.nanoTime() < deadline) {
            int before = seen;
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                seen++;
                System.out.println(json(record));
            }
            if (seen == before && seen > told) {
                System.out.println("{\"read\":" + seen + "}");
                told = seen;
            }
            System.out.flush();
        }
    }

    private static void seek(KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition, String from) {
        if (from.equals("start")) {
            consumer.seekToBeginning(List.of(partition));
        } else if (from.equals("end")) {
            consumer.seekToEnd(List.of(partition));
        } else if (from.startsWith("offset:")) {
            consumer.seek(partition, Long.parseLong(from.substring(7)));
        } else if (from.startsWith("time:")) {
            Map<TopicPartition, Long> question = new HashMap<>();
            question.put(partition, Long.parseLong(from.substring(5)));
            OffsetAndTimestamp found = consumer.offsetsForTimes(question).get(partition);
            if (found == null) {
                consumer.seekToEnd(List.of(partition));
            } else {
                consumer.seek(partition, found.offset());
            }
        } else {
            throw new IllegalArgumentException("unknown place: " + from);
        }
    }

    private static String json(ConsumerRecord<byte[], byte[]> record) {
        StringBuilder line = new StringBuilder();
        line.append("{\"topic\":").append(quoted(record.topic()));
        line.append(",\"partition\":").append(record.partition());
        line.append(",\"offset\":").append(record.offset());
        line.append(",\"timestamp\":").append(record.timestamp());
        line.append(",\"key\":").append(text(record.key()));
        line.append(",\"value\":").append(text(record.value()));
        line.append(",\"headers\":{");
        String comma = "";
        for (Header header : record.headers()) {
            line.append(comma).append(quoted(header.key())).append(':').append(text(header.value()));
            comma = ",";
        }
        return line.append("}}").toString();
    }

    private static String text(byte[] bytes) {
        return bytes == null ? "null" : quoted(new String(bytes, StandardCharsets.UTF_8));
    }

    private static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c < ' ') {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }
}
