import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.SimpleHeaderConverter;

/**
 * Runs the Debezium connector for PostgreSQL as Kafka Connect would, and writes its records down as Connect's
 * converters render them (JsonConverter for key and value, SimpleHeaderConverter, the default, for headers).
 *
 * <p>Arguments: properties file, output file, whether schemas are written. One line a record: topic, key, value,
 * headers, separated by tabs ("-": null); headers as name=value, each behind a tab. Prints "ready" once the slot is
 * there and ends after the record of table finish, or after its transaction's END where those are written.
 */
public final class Recorder {
  private static final CountDownLatch FINISHED = new CountDownLatch(1);
  private static boolean withTransactions;
  private static boolean seenFinish;

  public static void main(String[] args) throws Exception {
    Properties properties = new Properties();
    try (var reader = Files.newBufferedReader(Path.of(args[0]))) {
      properties.load(reader);
    }
    withTransactions = Boolean.parseBoolean(properties.getProperty("provide.transaction.metadata"));
    JsonConverter keys = converter(args[2], true);
    JsonConverter values = converter(args[2], false);
    SimpleHeaderConverter headers = new SimpleHeaderConverter();
    try (PrintWriter out = new PrintWriter(args[1], StandardCharsets.UTF_8)) {
      DebeziumEngine<?> engine =
          DebeziumEngine.create(Connect.class)
              .using(properties)
              .using(new Ready())
              .notifying(event -> write(out, event.value(), keys, values, headers))
              .using((success, message, error) -> ended(success, message, error))
              .build();
      ExecutorService executor = Executors.newSingleThreadExecutor();
      executor.execute(engine);
      boolean finished = FINISHED.await(120, TimeUnit.SECONDS);
      engine.close();
      executor.shutdownNow();
      if (!finished) {
        System.err.println("the record of table finish did not come");
        System.exit(1);
      }
    }
    System.exit(0);
  }

  private static JsonConverter converter(String schemas, boolean isKey) {
    JsonConverter converter = new JsonConverter();
    converter.configure(Map.of("schemas.enable", schemas), isKey);
    return converter;
  }

  private static void ended(boolean success, String message, Throwable error) {
    if (!success) {
      System.err.println(message);
      if (error != null) {
        error.printStackTrace();
      }
      System.exit(1);
    }
  }

  private static void write(
      PrintWriter out,
      SourceRecord record,
      JsonConverter keys,
      JsonConverter values,
      SimpleHeaderConverter headers) {
    StringBuilder line = new StringBuilder(record.topic());
    String topic = record.topic();
    line.append('\t').append(text(keys.fromConnectData(topic, record.keySchema(), record.key())));
    line.append('\t')
        .append(text(values.fromConnectData(topic, record.valueSchema(), record.value())));
    for (Header header : record.headers()) {
      byte[] value = headers.fromConnectHeader(topic, header.key(), header.schema(), header.value());
      line.append('\t').append(header.key()).append('=').append(text(value));
    }
    out.println(line);
    seenFinish |= topic.endsWith(".finish");
    if (seenFinish && (!withTransactions || isEnd(record))) {
      out.flush();
      FINISHED.countDown();
    }
  }

  private static boolean isEnd(SourceRecord record) {
    return record.topic().endsWith(".transaction")
        && "END".equals(((Struct) record.value()).getString("status"));
  }

  private static String text(byte[] bytes) {
    return bytes == null ? "-" : new String(bytes, StandardCharsets.UTF_8);
  }

  private static final class Ready implements DebeziumEngine.ConnectorCallback {
    @Override
    public void pollingStarted() {
      System.out.println("ready");
    }
  }
}
