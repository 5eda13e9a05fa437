import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A member of a consumer group with the stock Java client; prints one JSON object a line.
 *
 * <pre>
 * Member BOOTSTRAP GROUP TOPIC SESSION_MS INSTANCE ASSIGNOR
 * </pre>
 *
 * INSTANCE is the group.instance.id, `-` for none; ASSIGNOR `range`, `roundrobin` or `cooperative-sticky`. Prints
 * {"assigned":N} and {"revoked":N} with the number of partitions, and {"offset":N} for each record once it is committed.
 * SIGTERM ends it cleanly: it leaves the group.
 */
public final class Member {
    private static final String PACKAGE = "org.apache.kafka.clients.consumer.";
    private static final Map<String, String> ASSIGNORS =
            Map.of(
                    "range", PACKAGE + "RangeAssignor",
                    "roundrobin", PACKAGE + "RoundRobinAssignor",
                    "cooperative-sticky", PACKAGE + "CooperativeStickyAssignor");

    public static void main(String[] arguments) throws Exception {
        KafkaConsumer<byte[], byte[]> consumer = consumer(arguments);
        Thread main = Thread.currentThread();
        Runtime.getRuntime()
                .addShutdownHook(
                        new Thread(
                                () -> {
                                    consumer.wakeup();
                                    try {
                                        main.join(10_000);
                                    } catch (InterruptedException ended) {
                                        Thread.currentThread().interrupt();
                                    }
                                }));
        try {
            consumer.subscribe(List.of(arguments[2]), new Listener());
            while (true) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    TopicPartition partition = new TopicPartition(record.topic(), record.partition());
                    consumer.commitSync(Map.of(partition, new OffsetAndMetadata(record.offset() + 1, "done")));
                    show("offset", record.offset());
                }
            }
        } catch (WakeupException stopped) {
            // SIGTERM.
        } finally {
            consumer.close();
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String[] arguments) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("group.id", arguments[1]);
        properties.put("session.timeout.ms", arguments[3]);
        properties.put("heartbeat.interval.ms", "1000");
        if (!arguments[4].equals("-")) {
            properties.put("group.instance.id", arguments[4]);
        }
        properties.put("partition.assignment.strategy", ASSIGNORS.get(arguments[5]));
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        return new KafkaConsumer<>(properties);
    }

    private static final class Listener implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            show("assigned", partitions.size());
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            show("revoked", partitions.size());
        }
    }

    private static void show(String what, long number) {
        System.out.println("{\"" + what + "\":" + number + "}");
        System.out.flush();
    }
}
