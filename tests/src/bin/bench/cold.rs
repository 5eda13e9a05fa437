//! One of 200 topics that were written by turns, read cold, beside a topic that has its log to itself.
//!
//! Both logs have the same batches in the same groups. Cold: before each reading the log's files are taken out of
//! the page cache (`posix_fadvise`), and what is read was not read before, so that no cache of headwater's own has
//! it either.

use std::time::{Duration, Instant};

use super::big_log::{BigLog, Shape};
use super::fetch_client::{FetchClient, FetchRequest};
use super::headwater::Headwater;
use super::report::{Cell, Section};
use super::sample::Samples;
use super::stretch::{Stretch, alternate};
use super::{Failure, Settings};

const COLUMNS: &[&str] = &[
    "log",
    "read MB",
    "single topic GB/s",
    "one of 200 GB/s",
    "ratio (hold >= 0.5)",
    "headwater peak MB",
];

const TOPICS: usize = 200;
/// Some 8 KB: what a topic gets of a group when 200 are busy.
const ROWS_A_BATCH: usize = 18;

/// A log, and where its next reading begins.
struct Side<'a> {
    log: &'a BigLog,
    headwater: Headwater,
    unread: Vec<Stretch>,
}

pub(crate) fn run(settings: &Settings) -> Result<Section, Failure> {
    let bytes = settings.cold_mebibytes << 20;
    let shape = |topics| Shape {
        rows: ROWS_A_BATCH,
        batches: TOPICS,
        topics,
    };
    let single = BigLog::prepare("single")?;
    let many = BigLog::prepare("many")?;
    let single_topic = single.fill(bytes, shape(1))?;
    let many_topics = many.fill(bytes, shape(TOPICS))?;
    let mut single = Side::open(&single, &single_topic)?;
    let mut many = Side::open(&many, &many_topics)?;
    // As much of the single topic as one of the others has, each time from another place.
    let length = many.shortest();
    single.cut(length, settings.alternations);
    let mut read_bytes = 0;
    let pairs = alternate(
        settings.alternations,
        || single.read_next(length).map(|(rate, _)| rate),
        || {
            let (rate, bytes) = many.read_next(length)?;
            read_bytes = bytes;
            Ok(rate)
        },
    )?;
    let mut section = Section::new("One of 200 topics, cold", COLUMNS);
    let samples = |of: fn(&(f64, f64)) -> f64| -> Samples { pairs.iter().map(of).collect() };
    #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
    let read_megabytes = read_bytes as f64 / 1e6;
    section.row(vec![
        Cell::text(format!("{} MiB each", settings.cold_mebibytes)),
        Cell::Number(read_megabytes, 1),
        Cell::Number(samples(|(single, _)| single / 1e9).median(), 3),
        Cell::Number(samples(|(_, many)| many / 1e9).median(), 3),
        Cell::Spread(samples(|(single, many)| many / single), 2),
        many.headwater.peak_cell()?,
    ]);
    single.headwater.stop()?;
    many.headwater.stop()?;
    Ok(section)
}

impl<'a> Side<'a> {
    fn open(log: &'a BigLog, topics: &[String]) -> Result<Self, Failure> {
        let mut headwater = log.launch().spawn()?;
        let unread = topics
            .iter()
            .map(|topic| headwater.stretch(topic))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            log,
            headwater,
            unread,
        })
    }

    fn shortest(&self) -> i64 {
        let lengths = self
            .unread
            .iter()
            .map(|stretch| stretch.end - stretch.start);
        lengths.min().unwrap_or(0)
    }

    /// Cuts the one long stretch into so many that lie evenly over it.
    fn cut(&mut self, length: i64, count: u32) {
        let Some(whole) = self.unread.pop() else {
            return;
        };
        let step = (whole.end - whole.start) / i64::from(count.max(1));
        self.unread = (0..i64::from(count))
            .map(|number| Stretch {
                start: whole.start + number * step,
                end: whole.start + number * step + length.min(step),
                ..whole.clone()
            })
            .collect();
    }

    /// Bytes a second, and bytes, of a stretch that was not read before.
    fn read_next(&mut self, length: i64) -> Result<(f64, u64), Failure> {
        let stretch = self.unread.pop().ok_or("more alternations than topics")?;
        self.log.chill()?;
        let mut client = FetchClient::connect(stretch.port)?;
        let mut request = FetchRequest::new(&stretch.topic, Duration::ZERO);
        let (mut offset, mut bytes) = (stretch.start, 0);
        let began = Instant::now();
        while offset < stretch.start + length.min(stretch.end - stretch.start) {
            let fetched = client.fetch(&mut request, offset)?;
            if fetched.next_offset == offset {
                return Err(format!("fetch at {offset} brought nothing").into());
            }
            bytes += fetched.batches.len() as u64;
            offset = fetched.next_offset;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = bytes as f64 / began.elapsed().as_secs_f64();
        Ok((rate, bytes))
    }
}
