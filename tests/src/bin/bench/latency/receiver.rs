//! Threads that note when a transaction arrived: from a slot directly, and from a topic.

use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use super::Schedule;
use crate::Failure;
use crate::database::Database;
use crate::fetch_client::{FetchClient, FetchRequest};
use crate::sample::Samples;

/// When the last row of each transaction arrived, by the transaction's number.
type Arrivals = Arc<Mutex<HashMap<u64, Instant>>>;

/// A thread that notes arrivals until its socket is closed.
pub(crate) struct Receiver {
    arrivals: Arrivals,
    socket: TcpStream,
    thread: JoinHandle<()>,
    name: &'static str,
}

impl Receiver {
    /// The reference, with the slot and the publication of this name: pgoutput messages, of which only a commit and a row's number are looked at.
    pub(super) fn of_the_slot(database: &Database, name: &str) -> Result<Self, Failure> {
        let mut connection = database.connect_for_replication()?;
        connection.start_replication(name, name)?;
        let socket = connection.socket()?;
        Ok(Self::spawn("the reference", socket, move |arrivals| {
            let mut transaction = None;
            while let Ok(change) = connection.next_change() {
                match change.first() {
                    Some(b'I') => transaction = transaction_of_insert(change),
                    Some(b'C') => note(arrivals, transaction.take()),
                    _ => {}
                }
            }
        }))
    }

    /// The consumer: long polls of a topic, once it is there.
    pub(crate) fn of_the_topic(mut client: FetchClient, topic: &str) -> Result<Self, Failure> {
        client.wait_for_records(topic, 0, Duration::from_millis(10))?;
        let topic = topic.to_owned();
        let socket = client.socket()?;
        Ok(Self::spawn("the consumer", socket, move |arrivals| {
            consume(&mut client, &topic, arrivals);
        }))
    }

    fn spawn(
        name: &'static str,
        socket: TcpStream,
        receive: impl FnOnce(&Arrivals) + Send + 'static,
    ) -> Self {
        let arrivals = Arrivals::default();
        let noted = Arc::clone(&arrivals);
        Self {
            arrivals,
            socket,
            thread: std::thread::spawn(move || receive(&noted)),
            name,
        }
    }

    /// Waits until every transaction of the schedule has arrived; milliseconds from due to arrival.
    pub(crate) fn take(&self, schedule: &Schedule) -> Result<Samples, Failure> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            let samples: Option<Samples> = (0..schedule.count)
                .map(|index| {
                    let arrived = arrivals.get(&(schedule.first + index))?;
                    let latency = arrived.saturating_duration_since(schedule.due(index));
                    Some(latency.as_secs_f64() * 1e3)
                })
                .collect();
            let count = arrivals.len();
            drop(arrivals);
            if let Some(samples) = samples {
                return Ok(samples);
            }
            if Instant::now() > deadline {
                let all = schedule.first + schedule.count - 1;
                return Err(format!("{} received {count} of {all}", self.name).into());
            }
            sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn stop(self) {
        // Closed already is as good; the thread ends with its next read.
        let _closed = self.socket.shutdown(std::net::Shutdown::Both);
        let _ended = self.thread.join();
    }
}

fn note(arrivals: &Arrivals, transactions: impl IntoIterator<Item = u64>) {
    let now = Instant::now();
    let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
    arrivals.extend(
        transactions
            .into_iter()
            .map(|transaction| (transaction, now)),
    );
}

fn consume(client: &mut FetchClient, topic: &str, arrivals: &Arrivals) {
    let mut request = FetchRequest::new(topic, Duration::from_millis(500));
    let mut offset = 0;
    while let Ok(fetched) = client.fetch(&mut request, offset) {
        note(arrivals, transactions_in(fetched.batches));
        offset = fetched.next_offset;
    }
}

/// Insert: `I`, relation, `N`, column count; then per column a kind, a length and text. The number
/// of the transaction is the second column.
fn transaction_of_insert(change: &[u8]) -> Option<u64> {
    const COLUMNS_AT: usize = 1 + 4 + 1 + 2;
    let (_, after_id) = text_column(change.get(COLUMNS_AT..)?)?;
    let (customer, _) = text_column(after_id)?;
    std::str::from_utf8(customer).ok()?.parse().ok()
}

fn text_column(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.strip_prefix(b"t")?.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The numbers found in uncompressed JSON records, without decoding any of them.
fn transactions_in(batches: &[u8]) -> Vec<u64> {
    const FIELD: &[u8] = br#""customer":"#;
    let mut found = Vec::new();
    let mut rest = batches;
    while let Some(at) = rest.windows(FIELD.len()).position(|window| window == FIELD) {
        rest = &rest[at + FIELD.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |number: u64, digit| {
            number
                .wrapping_mul(10)
                .wrapping_add(u64::from(digit - b'0'))
        });
        if found.last() != Some(&number) {
            found.push(number);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_once_each_in_records_of_json() {
        let bytes = br#"..{"after":{"id":10,"customer":1,"x":2}}..{"customer":1}{"customer":42}"#;
        assert_eq!(transactions_in(bytes), [1, 42]);
    }

    #[test]
    fn the_number_of_an_insert_is_its_second_column() {
        let mut change = b"I\0\0\0\x01N\0\x02".to_vec();
        change.extend(b"t\0\0\0\x0217t\0\0\0\x03123");
        assert_eq!(transaction_of_insert(&change), Some(123));
        assert_eq!(transaction_of_insert(&change[..12]), None);
    }
}
