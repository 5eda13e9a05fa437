import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.JSONObject;
import com.aliyun.dts.subscribe.clients.formats.avro.Record;
import com.aliyun.dts.subscribe.clients.recordgenerator.AvroDeserializer;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Calls the broker as flink-dts-connector does, which is in no package registry: for each subtask a consumer that looks for
 * the topic's partitions, a consumer of its own for the lookup by seconds, and one that assigns the partition, seeks and
 * fetches; at each of Flink's checkpoints a commit of the next offset with empty metadata, outside of any group.
 *
 * <pre>
 * FlinkReader BOOTSTRAP SID TOPIC SECONDS|OFFSET@SECONDS SUBTASKS
 * </pre>
 *
 * SECONDS is a first start; OFFSET@SECONDS a state to restore, from which it goes on one behind what the lookup finds.
 * DTS_ACCOUNT and DTS_PASSWORD log in, as ACCOUNT-SID, or as ACCOUNT where SID is empty. Decodes the 14 fields of the
 * SDK's class. Prints one JSON object a record, {"assigned":COUNT} for each subtask, {"committed":OFFSET}, {"refused":TEXT}.
 */
public final class FlinkReader {
    private static final long CHECKPOINT_MS = 1_000;

    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private static final AvroDeserializer DESERIALIZER = new AvroDeserializer();

    private static final CountDownLatch ENDED = new CountDownLatch(1);

    public static void main(String[] arguments) {
        Properties settings = settings(arguments[0], arguments[1]);
        int status = 0;
        try {
            run(settings, arguments);
        } catch (WakeupException stopped) {
            // SIGTERM.
        } catch (RuntimeException error) {
            tell("error", error.toString());
            status = 1;
        }
        ENDED.countDown();
        Runtime.getRuntime().halt(status);
    }

    private static Properties settings(String bootstrap, String sid) {
        Properties settings = new Properties();
        String account = System.getenv("DTS_ACCOUNT");
        String user = sid.isEmpty() ? account : account + "-" + sid;
        settings.put("sasl.jaas.config", "org.apache.kafka.common.security.plain.PlainLoginModule required username=\""
            + user + "\" password=\"" + System.getenv("DTS_PASSWORD") + "\";");
        settings.put("sasl.mechanism", "PLAIN");
        settings.put("security.protocol", "SASL_PLAINTEXT");
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", sid.isEmpty() ? System.getenv("DTS_GROUP") : sid);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        return settings;
    }

    private static void run(Properties settings, String[] arguments) {
        int subtasks = Integer.parseInt(arguments[4]);
        TopicPartition partition = new TopicPartition(arguments[2], 0);
        long from = -1;
        // Subtasks stand side by side: their consumers are open at the same time.
        List<KafkaConsumer<byte[], byte[]>> discoverers = new java.util.ArrayList<>();
        for (int subtask = 0; subtask < subtasks; subtask++) {
            KafkaConsumer<byte[], byte[]> discoverer = new KafkaConsumer<>(settings);
            discoverers.add(discoverer);
            List<PartitionInfo> found = discoverer.partitionsFor(partition.topic());
            boolean mine = subtask == 0;
            tell("assigned", mine ? found.size() : 0);
            long start = start(settings, partition, arguments[3]);
            from = mine ? start : from;
        }
        fetch(settings, partition, from);
    }

    private static long start(Properties settings, TopicPartition partition, String place) {
        int at = place.indexOf('@');
        long seconds = Long.parseLong(place.substring(at + 1));
        try (KafkaConsumer<byte[], byte[]> lookup = new KafkaConsumer<>(settings)) {
            OffsetAndTimestamp found =
                lookup.offsetsForTimes(Collections.singletonMap(partition, seconds)).get(partition);
            if (found == null) {
                throw new IllegalStateException("nothing found at " + seconds);
            }
            return at < 0 ? found.offset() : found.offset() + 1;
        }
    }

    @SuppressWarnings("deprecation")
    private static void fetch(Properties settings, TopicPartition partition, long from) {
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(consumer)));
            consumer.assign(Collections.singleton(partition));
            consumer.seek(partition, from);
            long next = from;
            long due = System.currentTimeMillis() + CHECKPOINT_MS;
            while (true) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(100)) {
                    show(record);
                    next = record.offset() + 1;
                }
                if (System.currentTimeMillis() >= due && next > from) {
                    commit(consumer, partition, next);
                    due = System.currentTimeMillis() + CHECKPOINT_MS;
                }
            }
        }
    }

    private static void commit(KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition, long next) {
        consumer.commitAsync(Collections.singletonMap(partition, new OffsetAndMetadata(next)), (offsets, error) -> {
            if (error == null) {
                tell("committed", next);
            } else {
                tell("refused", error.toString());
            }
        });
    }

    private static void stop(KafkaConsumer<byte[], byte[]> consumer) {
        consumer.wakeup();
        try {
            ENDED.await(10, TimeUnit.SECONDS);
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }

    private static void show(ConsumerRecord<byte[], byte[]> record) {
        Record avro = DESERIALIZER.deserialize(record.value());
        JSONObject line = new JSONObject();
        line.put("offset", record.offset());
        line.put("timestamp", record.timestamp());
        line.put("operation", avro.getOperation().toString());
        line.put("at", avro.getSourceTimestamp());
        line.put("object", avro.getObjectName());
        line.put("after", String.valueOf(avro.getAfterImages()));
        OUT.println(JSON.toJSONString(line));
    }

    private static void tell(String what, Object value) {
        JSONObject line = new JSONObject();
        line.put(what, value);
        OUT.println(JSON.toJSONString(line));
    }
}
