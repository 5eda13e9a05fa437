//! Apache Kafka beside headwater, in one run, with the same records in the same batches.
//!
//! headwater's log is filled first (`big_log.rs`); its batches are fetched raw and produced to Kafka as they are.
//! Both are then read once and compared, so a run of the bench is a run of correctness too. Kafka's JVM is read
//! warm before anything is timed. Both logs lie in the page cache.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::big_log::{BigLog, Shape};
use super::headwater::{Headwater, Launch};
use super::kafka::{self, Kafka, KafkaNode};
use super::produce_client::ProduceClient;
use super::report::{Cell, Section};
use super::sample::Samples;
use super::stretch::{READERS, Readers, Stretch, Throughput, alternate, throughput_cells};
use super::{Failure, Settings, process};

const FETCH_COLUMNS: &[&str] = &[
    "readers",
    "Kafka GB/s",
    "headwater GB/s",
    "ratio of rates (hold >= 1, aim 1.2)",
    "Kafka CPU s/GB",
    "headwater CPU s/GB",
    "ratio of CPU (hold <= 0.8, aim 0.6)",
];
const MEMORY_COLUMNS: &[&str] = &[
    "when",
    "Kafka resident MB",
    "Kafka peak MB",
    "headwater resident MB",
    "headwater peak MB (hold <= 128)",
];
const START_COLUMNS: &[&str] = &["start", "Kafka ms", "headwater ms", "log MiB"];

const INSTANCE: &str = "versus";
/// A start of Kafka takes seconds, a recovery a quarter of a minute: so many are taken.
const KAFKA_STARTS: u32 = 3;

pub(crate) fn run(settings: &Settings, done: &mut dyn FnMut(Section)) -> Result<(), Failure> {
    let log = BigLog::prepare(INSTANCE)?;
    let mut starts = Section::new("Start and recovery beside Kafka", START_COLUMNS);
    starts.row(empty_starts(settings, &log)?);

    log.fill(settings.kafka_mebibytes << 20, Shape::TRANSACTIONS_OF_500)?;
    let mut headwater = log.launch().spawn()?;
    let ours = headwater.stretch(log.topic())?;
    let node = KafkaNode::format()?;
    let mut kafka = node.spawn()?;
    kafka.connect()?;
    let mut memory = Section::new("Memory beside Kafka", MEMORY_COLUMNS);
    memory.row(memory_row("before the first reader", &kafka, &headwater)?);
    feed(&ours, &mut kafka)?;
    let theirs = kafka.stretch(log.topic(), ours.end);
    let digest = theirs.check_equal(&ours)?;
    eprintln!(
        "kafka: {} batches, {} bytes, the same on both sides",
        digest.batches, digest.bytes
    );
    done(fetch(settings, &theirs, &ours)?);
    memory.row(memory_row("after all readers", &kafka, &headwater)?);
    done(memory);

    let times = settings.alternations;
    let (ours_ready, headwater) = recover_headwater(times, headwater, log.launch(), &ours)?;
    let (theirs_ready, kafka) = recover_kafka(times.min(KAFKA_STARTS), kafka, &node, &theirs)?;
    starts.row(vec![
        Cell::text("after kill -9, ready to serve all of it"),
        Cell::Spread(theirs_ready, 0),
        Cell::Spread(ours_ready, 0),
        mebibytes(settings.kafka_mebibytes),
    ]);
    headwater.stop()?;
    starts.row(large(settings, &log, &node, kafka)?);
    done(starts);
    Ok(())
}

/// The same with a log of gigabytes, Kafka's only where that was asked for.
fn large(
    settings: &Settings,
    log: &BigLog,
    node: &KafkaNode,
    mut kafka: Kafka,
) -> Result<Vec<Cell>, Failure> {
    let more = settings
        .kafka_large_mebibytes
        .saturating_sub(settings.kafka_mebibytes);
    log.fill(more << 20, Shape::TRANSACTIONS_OF_500)?;
    let mut headwater = log.launch().spawn()?;
    let ours = headwater.stretch(log.topic())?;
    let theirs = if settings.kafka_large {
        let known = kafka.connect()?.high_watermark(log.topic())?;
        let behind = Stretch {
            start: known.ok_or("Kafka lost the topic")?,
            ..ours.clone()
        };
        produce(&behind, &mut kafka)?;
        let whole = kafka.stretch(log.topic(), ours.end);
        let (ready, kafka) = recover_kafka(1, kafka, node, &whole)?;
        kafka.stop();
        Cell::Spread(ready, 0)
    } else {
        kafka.stop();
        Cell::text("not taken: --kafka-large")
    };
    let (ready, headwater) =
        recover_headwater(settings.alternations, headwater, log.launch(), &ours)?;
    headwater.stop()?;
    Ok(vec![
        Cell::text("after kill -9, ready to serve all of it"),
        theirs,
        Cell::Spread(ready, 0),
        mebibytes(settings.kafka_large_mebibytes),
    ])
}

/// From exec to the first answer to Metadata, without any log.
fn empty_starts(settings: &Settings, log: &BigLog) -> Result<Vec<Cell>, Failure> {
    let (mut theirs, mut ours) = (Samples::default(), Samples::default());
    for run in 0..settings.alternations.min(KAFKA_STARTS) {
        let node = KafkaNode::format()?;
        let began = Instant::now();
        let mut kafka = node.spawn()?;
        kafka.connect()?;
        theirs.push(milliseconds(began));
        kafka.stop();

        let data = tempfile::tempdir()?;
        let launch = Launch::new(log.database(), &format!("new{run}"), data.path());
        let began = Instant::now();
        let mut headwater = launch.spawn()?;
        headwater.connect()?.metadata()?;
        ours.push(milliseconds(began));
        headwater.stop()?;
    }
    Ok(vec![
        Cell::text("new data directory, to Metadata"),
        Cell::Spread(theirs, 0),
        Cell::Spread(ours, 0),
        mebibytes(0),
    ])
}

/// Every batch of our log, produced to Kafka as it is.
fn feed(ours: &Stretch, kafka: &mut Kafka) -> Result<(), Failure> {
    kafka.make_topic(&ours.topic)?;
    produce(ours, kafka)
}

fn produce(ours: &Stretch, kafka: &mut Kafka) -> Result<(), Failure> {
    let began = Instant::now();
    let mut producer = ProduceClient::connect(kafka.port(), &ours.topic)?;
    ours.read_once(|batches| producer.send(batches))?;
    producer.finish()?;
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("kafka: took all batches in {seconds:.0} s");
    kafka.wait_for_end(&ours.topic, ours.end)
}

fn fetch(settings: &Settings, theirs: &Stretch, ours: &Stretch) -> Result<Section, Failure> {
    let warm = Duration::from_secs(settings.kafka_warm_seconds);
    theirs.measure(Readers::together(4), warm)?;
    let duration = Duration::from_secs(settings.fetch_seconds);
    let mut section = Section::new("Fetch beside Kafka, log in the page cache", FETCH_COLUMNS);
    for readers in READERS {
        let pairs = alternate(
            settings.alternations,
            || theirs.measure(readers, duration),
            || ours.measure(readers, duration),
        )?;
        let mut row = vec![readers.cell()];
        row.extend(throughput_cells(&pairs));
        section.row(row);
    }
    let pairs = alternate(settings.alternations, || kcat(theirs), || kcat(ours))?;
    let mut row = vec![Cell::text("kcat to /dev/null")];
    row.extend(throughput_cells(&pairs));
    section.row(row);
    // Numbers of groups that nobody has used.
    let groups = std::cell::Cell::new(0);
    let group = || {
        groups.set(groups.get() + 1);
        format!("perf-{}", groups.get())
    };
    let pairs = alternate(
        settings.alternations,
        || perf_test(theirs, &group()),
        || perf_test(ours, &group()),
    )?;
    let mut row = vec![Cell::text(
        "kafka-consumer-perf-test, a group of its own each time",
    )];
    row.extend(throughput_cells(&pairs));
    section.row(row);
    Ok(section)
}

/// The whole topic once, by a stock client.
fn kcat(stretch: &Stretch) -> Result<Throughput, Failure> {
    let cpu_before = process::cpu_seconds(stretch.pid)?;
    let began = Instant::now();
    let records = stretch.end - stretch.start;
    let status = Command::new("kcat")
        .args(["-C", "-q", "-b", &format!("127.0.0.1:{}", stretch.port)])
        .args(["-t", &stretch.topic, "-p", "0", "-o", "beginning"])
        .args(["-c", &records.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    let seconds = began.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("kcat: {status}").into());
    }
    let cpu = process::cpu_seconds(stretch.pid)? - cpu_before;
    #[expect(clippy::cast_precision_loss, reason = "a sum of bytes")]
    let bytes = stretch.digest()?.bytes as f64;
    Ok(Throughput {
        bytes_per_second: bytes / seconds,
        cpu_seconds_per_gigabyte: cpu / (bytes / 1e9),
    })
}

/// The whole topic once, by Kafka's own measuring tool, as a consumer group; its rate is that of its fetches, without
/// the time until it had its partition.
fn perf_test(stretch: &Stretch, group: &str) -> Result<Throughput, Failure> {
    /// Of the tool's last line: start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s.
    const FETCH_MS: usize = 7;
    const RECORDS: usize = 4;
    let records = stretch.end - stretch.start;
    let cpu_before = process::cpu_seconds(stretch.pid)?;
    let output = kafka::java("org.apache.kafka.tools.ConsumerPerformance")?
        .args(["--bootstrap-server", &format!("127.0.0.1:{}", stretch.port)])
        .args(["--topic", &stretch.topic, "--group", group, "--hide-header"])
        .args(["--num-records", &records.to_string(), "--timeout", "60000"])
        .stdin(Stdio::null())
        .output()?;
    let cpu = process::cpu_seconds(stretch.pid)? - cpu_before;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let result = said.lines().rfind(|line| line.contains(", "));
    let fields: Vec<&str> = result
        .unwrap_or_default()
        .split(", ")
        .map(str::trim)
        .collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    #[expect(clippy::cast_precision_loss, reason = "a count of records")]
    let all = number(RECORDS).is_some_and(|read| read >= records as f64);
    let fetched = number(FETCH_MS).filter(|_| all && output.status.success());
    let Some(fetch_ms) = fetched else {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("kafka-consumer-perf-test: {said}{errors}").into());
    };
    #[expect(clippy::cast_precision_loss, reason = "a sum of bytes")]
    let bytes = stretch.digest()?.bytes as f64;
    Ok(Throughput {
        bytes_per_second: bytes / (fetch_ms / 1e3),
        cpu_seconds_per_gigabyte: cpu / (bytes / 1e9),
    })
}

/// From exec after kill -9 until the topic's end is told: ready to serve all of it.
fn recover_headwater(
    times: u32,
    mut headwater: Headwater,
    launch: &Launch,
    whole: &Stretch,
) -> Result<(Samples, Headwater), Failure> {
    let mut ready = Samples::default();
    let records = u64::try_from(whole.end)?;
    for _ in 0..times {
        headwater.kill();
        let began = Instant::now();
        headwater = launch.spawn()?;
        headwater.wait_for_records(&whole.topic, records, Duration::from_millis(1))?;
        ready.push(milliseconds(began));
    }
    Ok((ready, headwater))
}

/// The same of Kafka.
fn recover_kafka(
    times: u32,
    mut kafka: Kafka,
    node: &KafkaNode,
    whole: &Stretch,
) -> Result<(Samples, Kafka), Failure> {
    let mut ready = Samples::default();
    for _ in 0..times {
        kafka.kill();
        let began = Instant::now();
        kafka = node.spawn()?;
        kafka.wait_for_end(&whole.topic, whole.end)?;
        ready.push(milliseconds(began));
    }
    Ok((ready, kafka))
}

fn memory_row(when: &str, kafka: &Kafka, headwater: &Headwater) -> Result<Vec<Cell>, Failure> {
    #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
    let megabytes = |bytes: u64| Cell::Number(bytes as f64 / 1e6, 1);
    let (theirs, ours) = (kafka.memory()?, headwater.memory()?);
    Ok(vec![
        Cell::text(when),
        megabytes(theirs.resident),
        megabytes(theirs.peak),
        megabytes(ours.resident),
        megabytes(ours.peak),
    ])
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn mebibytes(count: u64) -> Cell {
    Cell::text(count.to_string())
}
