import com.aliyun.dts.subscribe.clients.formats.avro.Record;
import com.aliyun.dts.subscribe.clients.record.DefaultUserRecord;
import com.aliyun.dts.subscribe.clients.record.OperationType;
import com.aliyun.dts.subscribe.clients.record.RecordField;
import com.aliyun.dts.subscribe.clients.record.RowImage;
import com.aliyun.dts.subscribe.clients.record.UserRecord;
import com.aliyun.dts.subscribe.clients.record.value.Value;
import com.aliyun.dts.subscribe.clients.recordgenerator.AvroDeserializer;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads a topic with the Kafka client that the DTS SDK brings, decodes with the SDK's own classes as its record
 * generator does, touches every value, and prints a line a record, which begins with "record". (The SDK logs to
 * the same place.)
 *
 *     DtsDecoder BOOTSTRAP TOPIC COUNT
 */
public final class DtsDecoder {
    /** Values of so many bytes or fewer are no records to the SDK. */
    private static final int FILLER_BYTES = 2;

    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private static final AvroDeserializer DESERIALIZER = new AvroDeserializer();

    @SuppressWarnings("deprecation")
    public static void main(String[] arguments) {
        TopicPartition partition = new TopicPartition(arguments[1], 0);
        int count = Integer.parseInt(arguments[2]);
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("auto.offset.reset", "none");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            consumer.assign(Collections.singleton(partition));
            consumer.seekToBeginning(Collections.singleton(partition));
            long deadline = System.currentTimeMillis() + 30_000;
            int seen = 0;
            while (seen < count && System.currentTimeMillis() < deadline) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(200)) {
                    if (seen++ < count) {
                        show(partition, record);
                    }
                }
            }
            if (seen < count) {
                throw new IllegalStateException(seen + " records came, expected " + count);
            }
        }
    }

    private static void show(TopicPartition partition, ConsumerRecord<byte[], byte[]> kafka) {
        if (kafka.value().length <= FILLER_BYTES) {
            throw new IllegalStateException("offset " + kafka.offset() + " is filler");
        }
        Record avro = DESERIALIZER.deserialize(kafka.value());
        UserRecord record = new DefaultUserRecord(partition, kafka.offset(), avro, null);
        StringBuilder line = new StringBuilder();
        line.append(record.getOperationType()).append(' ').append(avro.getObjectName());
        line.append(" at ").append(record.getSourceTimestamp());
        if (isRow(record.getOperationType())) {
            line.append(" key ").append(record.getSchema().getPrimaryIndexInfo());
            image(line, " before", record, record.getBeforeImage());
            image(line, " after", record, record.getAfterImage());
        } else if (record.getOperationType() == OperationType.DDL) {
            image(line, " statement", record, record.getAfterImage());
        }
        OUT.println("record " + line.toString().replace('\n', ' '));
    }

    private static boolean isRow(OperationType operation) {
        return operation == OperationType.INSERT
            || operation == OperationType.UPDATE
            || operation == OperationType.DELETE;
    }

    private static void image(StringBuilder line, String title, UserRecord record, RowImage image) {
        if (image == null) {
            return;
        }
        line.append(title);
        for (RecordField field : record.getSchema().getFields()) {
            Value<?> value = image.getValue(field);
            line.append(' ').append(field.getFieldName()).append('=').append(value);
        }
    }
}
