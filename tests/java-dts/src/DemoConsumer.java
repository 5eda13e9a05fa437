import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.JSONObject;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A consumer with the rules of DTS's "Kafka client demo" for Java, on plain kafka-clients and Avro with a reader schema
 * of 15 fields: it seeks by a time in seconds, drops values of 48 bytes or fewer, and keeps its checkpoint in a file of
 * the working directory only; nothing is committed to the broker.
 *
 * <pre>
 * DemoConsumer ASSIGN|SUBSCRIBE BOOTSTRAP GROUP TOPIC CHECKPOINT SCHEMA
 * </pre>
 *
 * DTS_ACCOUNT and DTS_PASSWORD log in. Where ASSIGN finds its file it goes on from there; SUBSCRIBE always begins at CHECKPOINT.
 * Prints one JSON object a record, {"dropped":OFFSET} for a value that it takes for filler, and {"error":TEXT}.
 */
public final class DemoConsumer {
    private static final int FILLER_BYTES = 48;

    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private static final CountDownLatch ENDED = new CountDownLatch(1);

    private final KafkaConsumer<byte[], byte[]> consumer;
    private final TopicPartition partition;
    private final GenericDatumReader<GenericRecord> reader;
    private final Path file;
    private final long checkpoint;

    private DemoConsumer(String[] arguments) throws IOException {
        consumer = new KafkaConsumer<>(settings(arguments[1], arguments[2]));
        partition = new TopicPartition(arguments[3], 0);
        checkpoint = Long.parseLong(arguments[4]);
        reader = new GenericDatumReader<>(new Schema.Parser().parse(Paths.get(arguments[5]).toFile()));
        file = Paths.get("localCheckpointStore");
    }

    public static void main(String[] arguments) throws IOException {
        DemoConsumer demo = new DemoConsumer(arguments);
        int status = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = demo.consumer) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(consumer)));
            demo.start(arguments[0]);
            demo.consume();
        } catch (WakeupException stopped) {
            // SIGTERM.
        } catch (IOException | RuntimeException error) {
            JSONObject line = new JSONObject();
            line.put("error", error.toString());
            OUT.println(line);
            status = 1;
        }
        ENDED.countDown();
        Runtime.getRuntime().halt(status);
    }

    private static Properties settings(String bootstrap, String group) {
        Properties settings = new Properties();
        String user = System.getenv("DTS_ACCOUNT") + "-" + group;
        settings.put("sasl.jaas.config", "org.apache.kafka.common.security.plain.PlainLoginModule required username=\""
            + user + "\" password=\"" + System.getenv("DTS_PASSWORD") + "\";");
        settings.put("sasl.mechanism", "PLAIN");
        settings.put("security.protocol", "SASL_PLAINTEXT");
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", group);
        settings.put("enable.auto.commit", "false");
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        return settings;
    }

    private static void stop(KafkaConsumer<byte[], byte[]> consumer) {
        consumer.wakeup();
        try {
            ENDED.await(10, TimeUnit.SECONDS);
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }

    private void start(String mode) throws IOException {
        if (mode.equals("ASSIGN")) {
            consumer.assign(Collections.singleton(partition));
            seek(Files.exists(file) ? Long.parseLong(Files.readString(file).split("@")[1]) : checkpoint);
            return;
        }
        consumer.subscribe(Collections.singleton(partition.topic()), new ConsumerRebalanceListener() {
            private boolean first = true;

            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            }

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                if (partitions.contains(partition) && first) {
                    first = false;
                    seek(checkpoint);
                }
            }
        });
    }

    private void seek(long seconds) {
        OffsetAndTimestamp found =
            consumer.offsetsForTimes(Collections.singletonMap(partition, seconds)).get(partition);
        if (found == null) {
            throw new IllegalStateException("no record at " + seconds);
        }
        consumer.seek(partition, found.offset());
    }

    @SuppressWarnings("deprecation")
    private void consume() throws IOException {
        while (true) {
            List<ConsumerRecord<byte[], byte[]>> records = consumer.poll(500).records(partition);
            for (ConsumerRecord<byte[], byte[]> record : records) {
                show(record);
            }
        }
    }

    private void show(ConsumerRecord<byte[], byte[]> record) throws IOException {
        JSONObject line = new JSONObject();
        byte[] value = record.value();
        if (value == null || value.length <= FILLER_BYTES) {
            line.put("dropped", record.offset());
            OUT.println(line);
            return;
        }
        GenericRecord avro = reader.read(null, DecoderFactory.get().binaryDecoder(value, null));
        line.put("offset", record.offset());
        line.put("operation", avro.get("operation").toString());
        line.put("id", avro.get("id"));
        line.put("at", avro.get("sourceTimestamp"));
        line.put("born", avro.get("bornTimestamp"));
        line.put("object", avro.get("objectName") == null ? null : avro.get("objectName").toString());
        line.put("after", String.valueOf(avro.get("afterImages")));
        OUT.println(JSON.toJSONString(line));
        Files.writeString(file, record.offset() + "@" + avro.get("sourceTimestamp"));
    }
}
