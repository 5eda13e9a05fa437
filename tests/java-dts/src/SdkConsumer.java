import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.JSONObject;
import com.alibaba.fastjson.serializer.SerializerFeature;
import com.aliyun.dts.subscribe.clients.ConsumerContext;
import com.aliyun.dts.subscribe.clients.DTSConsumer;
import com.aliyun.dts.subscribe.clients.DefaultDTSConsumer;
import com.aliyun.dts.subscribe.clients.metastore.AbstractUserMetaStore;
import com.aliyun.dts.subscribe.clients.record.DefaultUserRecord;
import com.aliyun.dts.subscribe.clients.record.OperationType;
import com.aliyun.dts.subscribe.clients.record.RecordField;
import com.aliyun.dts.subscribe.clients.record.RowImage;
import com.aliyun.dts.subscribe.clients.record.value.Value;
import com.aliyun.dts.subscribe.clients.recordfetcher.KafkaRecordFetcher;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Collections;

/**
 * An application on the SDK of Alibaba Cloud DTS, as its own demo is: it hands address, topic, group and account to the
 * SDK, takes every record with its values, and commits it.
 *
 * <pre>
 * SdkConsumer ASSIGN|SUBSCRIBE BOOTSTRAP GROUP TOPIC CHECKPOINT
 * </pre>
 *
 * DTS_ACCOUNT and DTS_PASSWORD log in. CHECKPOINT is in seconds; DTS_FORCE=1 uses it even where the SDK knows a later
 * one. DTS_STORE names a file that serves as the application's own store of checkpoints. The SDK keeps its local store in
 * the working directory. Prints one JSON object a record, between lines that the SDK logs. SIGTERM closes the SDK: it
 * leaves its group. {"ended":true}: the SDK gave up, exit code 1.
 */
public final class SdkConsumer {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    /** Every second instead of every fifth: the tests wait for it. */
    private static final long COMMIT_INTERVAL_MS = 1_000;

    public static void main(String[] arguments) {
        ConsumerContext context = new ConsumerContext(
            arguments[1], arguments[3], arguments[2], System.getenv("DTS_ACCOUNT"), System.getenv("DTS_PASSWORD"),
            arguments[4], ConsumerContext.ConsumerSubscribeMode.valueOf(arguments[0]));
        context.setCheckpointCommitInterval(COMMIT_INTERVAL_MS);
        context.setForceUseCheckpoint("1".equals(System.getenv("DTS_FORCE")));
        String store = System.getenv("DTS_STORE");
        if (store != null) {
            context.setUserRegisteredStore(new FileStore(Paths.get(store)));
        }
        DTSConsumer consumer = new DefaultDTSConsumer(context);
        consumer.addRecordListeners(Collections.singletonMap("test", SdkConsumer::show));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(consumer)));
        try {
            consumer.start();
        } catch (RuntimeException error) {
            error.printStackTrace();
        }
        OUT.println("{\"ended\":true}");
        // Without effect when SIGTERM has begun the end.
        System.exit(1);
    }

    /** The SDK's fetching thread closes the Kafka consumer, which leaves the group. */
    private static void close(DTSConsumer consumer) {
        consumer.close();
        Thread[] threads = new Thread[Thread.activeCount() + 16];
        int count = Thread.enumerate(threads);
        for (int index = 0; index < count; index++) {
            if (threads[index].getName().equals(KafkaRecordFetcher.class.getName())) {
                join(threads[index]);
            }
        }
    }

    private static void join(Thread thread) {
        try {
            thread.join(10_000);
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }

    private static void show(DefaultUserRecord record) {
        OperationType operation = record.getOperationType();
        JSONObject line = new JSONObject();
        line.put("offset", record.getOffset());
        line.put("operation", operation.toString());
        line.put("id", record.getId());
        line.put("at", record.getSourceTimestamp());
        line.put("object", record.getAvroRecord().getObjectName());
        if (operation == OperationType.INSERT || operation == OperationType.UPDATE || operation == OperationType.DELETE) {
            line.put("key", String.valueOf(record.getSchema().getPrimaryIndexInfo()));
            line.put("unique", String.valueOf(record.getSchema().getUniqueIndexInfo()));
            line.put("before", image(record, record.getBeforeImage()));
            line.put("after", image(record, record.getAfterImage()));
        } else if (operation == OperationType.DDL) {
            line.put("after", image(record, record.getAfterImage()));
        }
        OUT.println(JSON.toJSONString(line, SerializerFeature.WriteMapNullValue));
        record.commit("");
    }

    private static JSONObject image(DefaultUserRecord record, RowImage image) {
        if (image == null) {
            return null;
        }
        JSONObject values = new JSONObject();
        for (RecordField field : record.getSchema().getFields()) {
            Value<?> value = image.getValue(field);
            values.put(field.getFieldName(), value == null ? null : value.toString());
        }
        return values;
    }

    /** A store as an application would register it: the SDK's JSON in a file that all its clients share. */
    private static final class FileStore extends AbstractUserMetaStore {
        private final Path path;

        FileStore(Path path) {
            this.path = path;
        }

        @Override
        protected void saveData(String group, String json) {
            try {
                Files.write(path, json.getBytes(StandardCharsets.UTF_8));
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        @Override
        protected String getData(String group) {
            try {
                return Files.exists(path) ? new String(Files.readAllBytes(path), StandardCharsets.UTF_8) : null;
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    }
}
