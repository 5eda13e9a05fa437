//! What a captured row costs: pgoutput messages as a server sends them, through decoder, encoder and batch.
//!
//! `cargo run --release -p headwater-capture --example capture_throughput [-- tables|debezium|dts|both]`
//!
//! No socket, no disk: 1 M inserts into a table of six columns, in transactions of 500 rows and of one row,
//! taken whenever something is ready; for the feed `tables`, for `dts`, and for both. Positions, transaction numbers and
//! times move on as on a server that commits 10,000 transactions a second. The messages are made beforehand, since a
//! server's lie in the socket's buffer. Prints processor time per row, best of five runs. Linux only.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::time::Duration;

use headwater_capture::postgres::assembler::{Assembler, AssemblerConfig, Pushed};
use headwater_capture::postgres::pgoutput;
use headwater_capture::{
    CaptureLimits, Captured, ColumnFilter, DebeziumOptions, FeedFormat, Preset, TableFilter,
};

#[path = "../src/postgres/pgoutput/wire.rs"]
#[expect(dead_code, reason = "writes more kinds of messages than are measured")]
mod wire;

use wire::Sent;

const ROWS: usize = 1_000_000;
const RELATION: u32 = 16_385;
const COMMIT_TIME_US: i64 = 757_479_845_678_901;
const READ_TIME_MS: i64 = 1_704_164_646_000;

/// Between two transactions.
const TRANSACTION_US: i64 = 100;

/// Where the first transaction's rows lie, and the bytes of log that a row and a commit take up.
const FIRST_LSN: u64 = 0x16_B374_D848;
const ROW_LSNS: u64 = 160;
const COMMIT_LSNS: u64 = 48;

/// Rows whose messages are made at once.
const ROWS_AT_ONCE: usize = 10_000;

fn main() {
    let only = std::env::args().nth(1);
    let is_wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if only.is_none() {
        let decode = best(|| decode_only(500));
        println!("decode only                     {}", per_row(decode));
    }
    let tables = || per_table(Preset::Flink);
    let debezium = || per_table(Preset::Debezium(DebeziumOptions::default()));
    for (name, feeds) in [
        (
            "tables",
            &(|| vec![tables()]) as &dyn Fn() -> Vec<FeedFormat>,
        ),
        ("debezium", &|| vec![debezium()]),
        ("dts", &|| vec![dts()]),
        ("both", &|| vec![tables(), dts()]),
    ]
    .into_iter()
    .filter(|(name, _)| is_wanted(name))
    {
        for rows in [500, 1] {
            let mut bytes = 0;
            let whole = best(|| {
                let (time, written) = capture(rows, feeds());
                bytes = written;
                time
            });
            let record = bytes / ROWS;
            println!(
                "{name:<8} {rows:>3} rows a transaction    {}  {record} B a row",
                per_row(whole)
            );
        }
    }
}

fn per_table(preset: Preset) -> FeedFormat {
    FeedFormat::DebeziumJson {
        preset,
        name: "shop".to_owned(),
    }
}

fn dts() -> FeedFormat {
    FeedFormat::DtsAvro { next_id: 0 }
}

fn best(run: impl FnMut() -> Duration) -> Duration {
    std::iter::repeat_with(run)
        .take(5)
        .min()
        .unwrap_or_default()
}

/// What this thread has had of a processor: other work on the machine does not count.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = stat.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

fn per_row(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6 / ROWS as f64;
    format!("{us:.3} us/row  {:.0} rows/s", 1e6 / us)
}

/// One transaction's messages.
fn transaction(rows: usize) -> Vec<Vec<u8>> {
    let row = |n: usize| {
        let id = (1_000_000 + n).to_string();
        wire::insert(
            RELATION,
            &[
                Sent::Text(&id),
                Sent::Text("48213"),
                Sent::Text("shipped"),
                Sent::Text("1249.90"),
                Sent::Text("2024-01-02 03:04:05.678901+00"),
                Sent::Text("leave at the neighbour's door, ring twice, mind the dog and the gate"),
            ],
        )
    };
    (0..rows).map(row).collect()
}

fn relation() -> Vec<u8> {
    let columns = [
        (1, "id", 20, -1),
        (0, "customer", 23, -1),
        (0, "status", 25, -1),
        (0, "amount", 1700, -1),
        (0, "created_at", 1184, -1),
        (0, "note", 25, -1),
    ];
    wire::relation(RELATION, ("public", "orders"), b'd', &columns)
}

fn decode_only(rows: usize) -> Duration {
    let messages = transaction(rows);
    let started = processor_time();
    for _ in 0..ROWS / rows {
        for message in &messages {
            std::hint::black_box(pgoutput::decode(message).expect("a good message"));
        }
    }
    processor_time() - started
}

fn capture(rows: usize, feeds: Vec<FeedFormat>) -> (Duration, usize) {
    let config = AssemblerConfig {
        system_id: 1,
        timeline: 1,
        database: "shop".to_owned(),
        server_version: "15.18 (Debian 15.18-0+deb12u1)".to_owned(),
        feeds,
        tables: TableFilter::default(),
        columns: ColumnFilter::default(),
        known_keys: Vec::new(),
        limits: CaptureLimits::default(),
    };
    let mut assembler = Assembler::new(config, 0);
    let messages = transaction(rows);
    let defined = assembler.push(0, &relation(), 0);
    assert!(matches!(defined, Ok(Pushed::Continue)));
    assembler
        .set_catalog(RELATION, None)
        .expect("few relations");
    let (mut written, mut time) = (0, Duration::ZERO);
    let transactions = ROWS / rows;
    for first in (0..transactions).step_by(ROWS_AT_ONCE / rows) {
        let numbers = first..transactions.min(first + ROWS_AT_ONCE / rows);
        let sent: Vec<_> = numbers
            .map(|number| Transaction::new(number, rows))
            .collect();
        let started = processor_time();
        for transaction in &sent {
            transaction.push(&mut assembler, &messages);
            // A log that is as fast as a sync a millisecond.
            if assembler.gathered_bytes() > 1_000_000 {
                written += take(&mut assembler);
            }
        }
        time += processor_time() - started;
    }
    let started = processor_time();
    written += take(&mut assembler);
    (time + (processor_time() - started), written)
}

/// The messages around the rows of one transaction, and where they lie.
struct Transaction {
    first_lsn: u64,
    read_time_ms: i64,
    begin: Vec<u8>,
    commit: Vec<u8>,
}

impl Transaction {
    fn new(number: usize, rows: usize) -> Self {
        let rows_lsns = ROW_LSNS * u64::try_from(rows).expect("few");
        let nth = u32::try_from(number).expect("few");
        let first_lsn = FIRST_LSN + u64::from(nth) * (rows_lsns + COMMIT_LSNS);
        let lsn = first_lsn + rows_lsns;
        let after_us = TRANSACTION_US * i64::from(nth);
        let time = COMMIT_TIME_US + after_us;
        Self {
            first_lsn,
            read_time_ms: READ_TIME_MS + after_us / 1_000,
            begin: wire::begin(lsn, time, 700_000 + nth),
            commit: wire::commit(lsn, lsn + COMMIT_LSNS, time),
        }
    }

    fn push(&self, assembler: &mut Assembler, rows: &[Vec<u8>]) {
        let mut lsn = self.first_lsn;
        let messages = [&self.begin].into_iter().chain(rows).chain([&self.commit]);
        for message in messages {
            let pushed = assembler.push(lsn, message, self.read_time_ms);
            assert!(!matches!(
                pushed.expect("a good message"),
                Pushed::NeedsCatalog(_)
            ));
            lsn += ROW_LSNS;
        }
    }
}

fn take(assembler: &mut Assembler) -> usize {
    let mut written = 0;
    while let Some(captured) = assembler.take() {
        if let Captured::Group(group) = std::hint::black_box(captured) {
            written += group
                .batches
                .iter()
                .map(|b| b.batch.bytes.len())
                .sum::<usize>();
        }
    }
    written
}
