import java.util.Collection;
import java.util.Collections;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A member of a consumer group with an old Java client; prints one JSON object a line. Uses what 0.11 has: no static
 * membership, no cooperative assignor, poll by milliseconds.
 *
 * <pre>
 * OldMember BOOTSTRAP GROUP TOPIC SESSION_MS
 * </pre>
 *
 * Logs in where SASL_MECHANISM, SASL_USERNAME and SASL_PASSWORD are set. Prints {"assigned":N} and {"revoked":N} with
 * the number of partitions, and {"offset":N} for each record, committed before the next one. SIGTERM ends it cleanly:
 * it leaves the group. An error that the library throws ends it: {"error":TEXT}, exit code 1.
 */
public final class OldMember {
    private static final CountDownLatch ENDED = new CountDownLatch(1);

    public static void main(String[] arguments) {
        int status = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties(arguments))) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(consumer)));
            consume(consumer, arguments[2]);
        } catch (WakeupException stopped) {
            // SIGTERM.
        } catch (RuntimeException | Error error) {
            show("error", '"' + error.toString().replace("\\", "\\\\").replace("\"", "\\\"") + '"');
            status = 1;
        }
        ENDED.countDown();
        // Without effect when SIGTERM has begun the end.
        Runtime.getRuntime().halt(status);
    }

    private static void stop(KafkaConsumer<byte[], byte[]> consumer) {
        consumer.wakeup();
        try {
            ENDED.await(10, TimeUnit.SECONDS);
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }

    @SuppressWarnings("deprecation")
    private static void consume(KafkaConsumer<byte[], byte[]> consumer, String topic) {
        consumer.subscribe(Collections.singleton(topic), new Listener());
        while (true) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(100)) {
                show("offset", record.offset());
                TopicPartition partition = new TopicPartition(record.topic(), record.partition());
                OffsetAndMetadata next = new OffsetAndMetadata(record.offset() + 1, "done");
                consumer.commitSync(Collections.singletonMap(partition, next));
            }
        }
    }

    private static Properties properties(String[] arguments) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("group.id", arguments[1]);
        properties.put("session.timeout.ms", arguments[3]);
        properties.put("heartbeat.interval.ms", "1000");
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        String mechanism = System.getenv("SASL_MECHANISM");
        if (mechanism != null) {
            properties.put("security.protocol", "SASL_PLAINTEXT");
            properties.put("sasl.mechanism", mechanism);
            properties.put("sasl.jaas.config", jaas(mechanism));
        }
        return properties;
    }

    private static String jaas(String mechanism) {
        String module = mechanism.equals("PLAIN") ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
        return String.format(
                "org.apache.kafka.common.security.%s required username=\"%s\" password=\"%s\";",
                module, System.getenv("SASL_USERNAME"), System.getenv("SASL_PASSWORD"));
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

    private static void show(String what, Object value) {
        System.out.println("{\"" + what + "\":" + value + "}");
        System.out.flush();
    }
}
