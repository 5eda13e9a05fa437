import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/**
 * Runs a file of Flink SQL in this process, statement by statement: SET, CREATE TABLE, SELECT, INSERT INTO.
 *
 * <p>A SELECT is read to its end; each of its rows is a line {@code row +I[...]}. An INSERT is a job: a line
 * {@code job ID}, and the process ends with the job.
 */
public final class SqlFile {
  public static void main(String[] args) throws Exception {
    Configuration settings = new Configuration();
    List<String> statements = new ArrayList<>();
    for (String statement : statements(Files.readString(Path.of(args[0])))) {
      if (statement.toUpperCase().startsWith("SET ")) set(settings, statement);
      else statements.add(statement);
    }
    StreamExecutionEnvironment environment =
        StreamExecutionEnvironment.getExecutionEnvironment(settings);
    environment.setParallelism(1);
    StreamTableEnvironment tables = StreamTableEnvironment.create(environment);
    for (String statement : statements) run(tables, statement);
  }

  private static void run(StreamTableEnvironment tables, String statement) throws Exception {
    TableResult result = tables.executeSql(statement);
    String kind = statement.toUpperCase();
    if (kind.startsWith("SELECT ")) {
      try (CloseableIterator<Row> rows = result.collect()) {
        rows.forEachRemaining(row -> System.out.println("row " + row));
      }
    } else if (kind.startsWith("INSERT ")) {
      System.out.println("job " + result.getJobClient().orElseThrow().getJobID());
      result.await();
    }
  }

  /** Whatever ends in a semicolon at the end of a line, without lines of comment. */
  private static List<String> statements(String text) {
    String bare = text.replaceAll("(?m)^\\s*--.*$", "");
    List<String> statements = new ArrayList<>();
    for (String statement : bare.split(";[ \\t]*(\\r?\\n|$)")) {
      if (!statement.isBlank()) statements.add(statement.strip());
    }
    return statements;
  }

  /** {@code SET 'key' = 'value'}, as the SQL client has it; these are settings of the job. */
  private static void set(Configuration settings, String statement) {
    String[] parts = statement.split("'");
    if (parts.length != 4) throw new IllegalArgumentException("no SET 'key' = 'value': " + statement);
    settings.setString(parts[1], parts[3]);
  }

  private SqlFile() {}
}
