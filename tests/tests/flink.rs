//! The SQL of `docs/flink.md`, as it stands there, on stock Flink: a table of the source is read to its end, and totals
//! are kept over kills of the job and of headwater, from a checkpoint.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use headwater_tests::harness::{
    Configured, Coordinator, Headwater, Options, Postgres, Process, Version, clock, installed,
    port, repository,
};
use tempfile::TempDir;

const PASSWORD: &str = "Orders-2024";
const TOPIC: &str = "shop.public.orders";

/// A JVM with Flink in it starts, plans, runs a job and checkpoints within this, also on a loaded machine.
const LIMIT: Duration = Duration::from_secs(240);

/// The block of SQL below `<!-- NAME -->`.
fn sql(name: &str) -> String {
    let page = fs::read_to_string(repository().join("docs/flink.md")).expect("the page is there");
    let mark = format!("<!-- {name} -->\n```sql\n");
    let (_, rest) = page.split_once(&mark).expect("a block of this name");
    let (block, _) = rest.split_once("```").expect("a block has an end");
    block.to_owned()
}

/// A Flink with everything beside it, and the directory of its checkpoints.
struct Flink {
    home: PathBuf,
    bootstrap: String,
    directory: TempDir,
}

impl Flink {
    fn checkpoints(&self) -> PathBuf {
        self.directory.path().join("checkpoints")
    }

    /// Runs the blocks of the page, with this test's addresses and directories in them.
    fn run(&self, name: &str, text: &str) -> Process {
        let checkpoints = self.checkpoints().display().to_string();
        let text = text
            .replace("127.0.0.1:9093", &self.bootstrap)
            .replace("<password>", PASSWORD)
            .replace("/var/lib/flink/checkpoints", &checkpoints);
        let file = self.directory.path().join(format!("{name}.sql"));
        fs::write(&file, text).expect("the directory is ours");
        let class_path = format!("{0}/classes:{0}/lib/*", self.home.display());
        let mut command = Command::new("java");
        command
            .args(["-Xmx768m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"])
            // What Flink itself needs of Java 17 (its config.yaml has the same).
            .args(["--add-opens", "java.base/java.util=ALL-UNNAMED"])
            .args(["--add-opens", "java.base/java.lang=ALL-UNNAMED"])
            .args(["--add-opens", "java.base/java.time=ALL-UNNAMED"])
            .args(["-cp", &class_path, "SqlFile"])
            .arg(file)
            .env("TZ", "UTC")
            .current_dir(self.directory.path());
        let log = self.directory.path().join(format!("{name}.log"));
        Process::spawn(&format!("Flink {name}"), command, &log)
    }

    /// The newest whole checkpoint and its number.
    fn newest_checkpoint(&self) -> Option<(u64, PathBuf)> {
        let jobs = fs::read_dir(self.checkpoints()).ok()?;
        let places = jobs
            .flatten()
            .filter_map(|job| fs::read_dir(job.path()).ok());
        let whole = places.flatten().flatten().map(|place| place.path());
        let whole = whole.filter(|place| place.join("_metadata").exists());
        whole
            .filter_map(|place| {
                let name = place.file_name()?.to_str()?;
                Some((name.strip_prefix("chk-")?.parse().ok()?, place))
            })
            .max()
    }
}

fn postgres_with_orders() -> Postgres {
    let postgres = Postgres::start(Version::V15);
    postgres.execute(&sql("source"));
    postgres
}

fn start_headwater(postgres: &Postgres, data: &Path) -> (Headwater, String) {
    let bootstrap = format!("127.0.0.1:{}", port::free());
    let password = data.with_extension("password");
    fs::write(&password, PASSWORD).expect("the directory is ours");
    let mut options = Options::of(postgres, data);
    options.configured = Some(Configured {
        listeners: format!(
            "[[kafka.listener]]\nlisten = {bootstrap:?}\nprotocol = \"SASL_PLAINTEXT\""
        ),
        instance: format!(
            "[[instance.group]]\nname = \"Warehouse\"\nid = \"warehouse\"\naccount = \"flink\"\n\
             password = {{ file = {password:?} }}"
        ),
        ..Configured::default()
    });
    (Headwater::start(&options), bootstrap)
}

/// Rows of a changelog that Flink printed, after all updates and deletes, in order.
fn rows_left(log: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for line in log.lines() {
        let line = line.strip_prefix("row ").unwrap_or(line);
        let Some((kind, row)) = line.split_once('[') else {
            continue;
        };
        let row = row.strip_suffix(']').unwrap_or(row);
        match kind {
            "+I" | "+U" => rows.push(row.to_owned()),
            "-U" | "-D" => {
                let gone = rows.iter().position(|one| one == row);
                assert!(gone.is_some(), "{line} was never there:\n{log}");
                gone.map(|at| rows.remove(at));
            }
            _ => {}
        }
    }
    rows.sort();
    rows
}

fn a_bounded_read_ends_with_the_rows_of_the_table(flink: &Flink) {
    let text = [sql("table"), sql("bounded")].concat();
    let mut job = flink.run("bounded", &text);
    let status = job.wait(LIMIT);
    assert!(status.success(), "{}", job.log());
    assert_eq!(
        rows_left(&job.log()),
        [
            "1, open, 12.50, true, 0.1, 2024-02-29, 12:34:56, 2024-02-29T12:34:56.789012, \
             2024-02-29T10:34:56Z, [0, -1], [a, null]",
            "2, shipped, 3.00, null, null, null, null, null, null, null, null",
        ]
    );
}

/// Per status count and sum, as the database has them and as the job printed them last.
fn totals_of_database(postgres: &Postgres) -> Vec<String> {
    let rows = postgres.query(
        "SELECT status, count(*), sum(amount) FROM orders WHERE status IS NOT NULL GROUP BY status",
    );
    let mut totals: Vec<String> = rows.into_iter().map(|row| row.join(", ")).collect();
    totals.sort();
    totals
}

/// Waits until what the job printed is what the database has. `before` is what earlier runs of it printed.
fn wait_for_totals(job: &mut Process, before: &str, postgres: &Postgres) {
    let expected = totals_of_database(postgres);
    let reached = clock::poll(LIMIT, || {
        let printed = format!("{before}{}", job.log());
        (rows_left(&printed) == expected || job.ended().is_some()).then_some(())
    });
    let printed = format!("{before}{}", job.log());
    assert_eq!(rows_left(&printed), expected, "{reached:?}\n{printed}");
}

/// A count or sum would be wrong for ever if the restored job read one change twice, or missed one.
fn totals_stay_right_over_kills(flink: &Flink, postgres: &Postgres, headwater: &mut Headwater) {
    postgres.execute(
        "INSERT INTO orders (id, status, amount) SELECT i, 'open', i FROM generate_series(10, 500) i; \
         UPDATE orders SET status = 'shipped' WHERE id % 3 = 0; DELETE FROM orders WHERE id % 7 = 0;",
    );
    let text = [sql("table"), sql("job")].concat();
    let mut job = flink.run("job", &text);
    wait_for_totals(&mut job, "", postgres);
    // It tells the group with a whole checkpoint only: behind this one nothing more is printed.
    wait_until_all_is_committed(headwater);
    job.kill();
    let printed = job.log();
    let (_, checkpoint) = flink.newest_checkpoint().expect("checkpoints were made");
    postgres.execute("UPDATE orders SET amount = amount + 1 WHERE id % 2 = 0;");
    headwater.kill();
    headwater.start_again();
    postgres.execute("DELETE FROM orders WHERE id % 11 = 0;");
    let restart = sql("restart").replace(
        "file:///var/lib/flink/checkpoints/<job>/chk-<number>",
        &format!("file://{}", checkpoint.display()),
    );
    let mut restored = flink.run("restored", &[restart, text].concat());
    wait_for_totals(&mut restored, &printed, postgres);
    headwater.kill();
    headwater.start_again();
    postgres.execute("UPDATE orders SET status = 'done' WHERE id % 5 = 0;");
    wait_for_totals(&mut restored, &printed, postgres);
    wait_until_all_is_committed(headwater);
}

/// With each checkpoint the job tells the group where it is. It is no member: it assigns partitions by itself.
fn wait_until_all_is_committed(headwater: &Headwater) {
    let bootstrap = headwater.bootstrap();
    let coordinator = Coordinator {
        bootstrap: &bootstrap,
        group: "warehouse",
    };
    coordinator.wait_committed(TOPIC, end_of_topic(&bootstrap), LIMIT);
    assert_eq!(coordinator.members().ok(), Some(0));
}

fn end_of_topic(bootstrap: &str) -> i64 {
    let mut wire = headwater_tests::wire::Wire::connect(bootstrap).expect("it accepts");
    let ends = wire.ends(&[TOPIC.to_owned()]).expect("it answers");
    ends[0].expect("the topic exists")
}

/// What `headwater group clients` prints to be copied is the table of the page, but for the columns.
fn the_printed_options_are_those_of_the_page(data: &Path, bootstrap: &str) {
    let data = data.display().to_string();
    let arguments = [
        "group",
        "clients",
        "warehouse",
        "--lang",
        "flink",
        "--data",
        &data,
    ];
    let mut command = Headwater::spawn_arguments(&arguments);
    assert!(command.wait(LIMIT).success(), "{}", command.log());
    let options = |text: &str| -> Vec<String> {
        let options = text.lines().map(|line| line.trim().trim_end_matches(','));
        let options = options.filter(|line| line.starts_with('\''));
        options.map(str::to_owned).collect()
    };
    let page = sql("table").replace("127.0.0.1:9093", bootstrap);
    assert_eq!(options(&command.log()), options(&page), "{}", command.log());
}

fn the_page_runs_on(version: &str) {
    let postgres = postgres_with_orders();
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let directory = data.path().join("data");
    let (mut headwater, bootstrap) = start_headwater(&postgres, &directory);
    the_printed_options_are_those_of_the_page(&directory, &bootstrap);
    let flink = Flink {
        home: installed(&format!("flink-{version}")),
        bootstrap,
        directory: tempfile::tempdir().expect("a temporary directory can be made"),
    };
    postgres.execute(
        "INSERT INTO orders VALUES (1, 'new', 12.50, true, 0.1, '2024-02-29', '12:34:56.789', \
         '2024-02-29 12:34:56.789012', '2024-02-29 12:34:56+02', '\\x00ff', '{a,NULL}'), (2, 'shipped', 3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL); \
         INSERT INTO orders VALUES (3, 'gone', 1); UPDATE orders SET status = 'open' WHERE id = 1; \
         DELETE FROM orders WHERE id = 3;",
    );
    a_bounded_read_ends_with_the_rows_of_the_table(&flink);
    totals_stay_right_over_kills(&flink, &postgres, &mut headwater);
}

#[test]
fn the_page_runs_on_flink_1_20() {
    the_page_runs_on("1.20");
}

#[test]
fn the_page_runs_on_flink_2_2() {
    the_page_runs_on("2.2");
}
