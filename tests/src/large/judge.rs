//! What is right: while it happens, and in the log afterwards.

use std::{
    io::{self, Read},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{Ends, PIECE_BYTES, ends};
use crate::wire::{
    FETCH_VERSION, Record, Wire, decode_records, encode, fetch_request, from_offset,
};

/// Bytes of one fetch; a larger batch comes whole.
const FETCH_BYTES: i32 = 8 << 20;

/// Looks at both topics until `stop`: the large transaction of so many rows behind `before` is there as a whole, or
/// nothing behind `before` is.
pub(super) fn watch(
    address: &str,
    topics: &[String],
    (before, rows): (Ends, u64),
    stop: &AtomicBool,
) -> Result<u64, String> {
    let mut looks = 0;
    while !stop.load(Ordering::Relaxed) {
        // None: it is being started again.
        if let Some(seen) = ends(address, topics) {
            let nothing = seen == before;
            let all = seen.bulk == before.bulk + rows && seen.small >= before.small + 2;
            if !nothing && !all {
                return Err(format!("{seen:?} was visible, behind {before:?}"));
            }
            looks += 1;
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(looks)
}

/// The topic has the rows 1 to `count` of `bulk` and nothing else.
pub(super) fn bulk(
    address: &str,
    topic: &str,
    (count, pieces): (u64, usize),
) -> Result<(), String> {
    let width = usize::try_from(PIECE_BYTES).unwrap_or(0);
    read(address, topic, count, |id, value| {
        let head = format!("\"after\":{{\"id\":{id},\"payload\":\"");
        let Some(at) = find(value, head.as_bytes()) else {
            return false;
        };
        let piece = format!("{id:.>width$}");
        let rest = value.get(at + head.len()..).unwrap_or_default();
        let Some((payload, behind)) = rest.split_at_checked(piece.len() * pieces) else {
            return false;
        };
        payload
            .chunks(piece.len())
            .all(|found| found == piece.as_bytes())
            && behind.first() == Some(&b'"')
    })
}

/// The topic has the rows 1 to `count` of `small` and nothing else.
pub(super) fn small(address: &str, topic: &str, count: u64) -> Result<(), String> {
    read(address, topic, count, |seq, value| {
        let value: Result<Value, _> = serde_json::from_slice(value);
        value.is_ok_and(|value| value["after"]["seq"] == seq && value["op"] == "c")
    })
}

/// Reads it from its beginning: record N is the one that `is` says it is.
fn read(
    address: &str,
    topic: &str,
    count: u64,
    is: impl Fn(u64, &[u8]) -> bool,
) -> Result<(), String> {
    let text = |error: io::Error| format!("{topic}: {error}");
    let mut wire = Wire::connect(address).map_err(text)?;
    let mut next = 0;
    while next < count {
        let from = i64::try_from(next).map_err(|error| error.to_string())?;
        let fetched = wire
            .fetch(
                &[(topic.to_owned(), from)],
                Duration::from_millis(100),
                FETCH_BYTES,
            )
            .map_err(text)?;
        let answer = fetched.first().filter(|answer| answer.error_code == 0);
        let answer = answer.ok_or_else(|| format!("{topic} cannot be read at {next}"))?;
        if u64::try_from(answer.high_watermark) != Ok(count) {
            return Err(format!(
                "{topic} has {} records, not {count}",
                answer.high_watermark
            ));
        }
        let records = decode_records(&answer.records).map_err(text)?;
        for record in from_offset(records, from) {
            check(topic, next, &record, &is)?;
            next += 1;
        }
    }
    Ok(())
}

fn check(
    topic: &str,
    at: u64,
    record: &Record,
    is: impl Fn(u64, &[u8]) -> bool,
) -> Result<(), String> {
    let value = record.value.as_deref().unwrap_or_default();
    if u64::try_from(record.offset) == Ok(at) && is(at + 1, value) {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(value.get(..200).unwrap_or(value)).into_owned();
    Err(format!(
        "{topic} at {at} is record {}: {shown}",
        record.offset
    ))
}

/// Reads the first batch, and waits at the barrier twice when its first bytes are here. Gives the bytes of the response.
pub(super) fn read_first(address: &str, topic: &str, barrier: &Barrier) -> Result<u64, String> {
    let text = |error: io::Error| format!("{topic}: {error}");
    let begin = || {
        let mut wire = Wire::connect(address)?;
        let request = fetch_request(
            &[(topic.to_owned(), 0)],
            Duration::from_millis(100),
            FETCH_BYTES,
        )?;
        wire.send_raw(&encode(1, FETCH_VERSION, &request)?)?;
        let mut prefix = [0; 4];
        wire.stream().read_exact(&mut prefix)?;
        Ok((wire, u64::from(u32::from_be_bytes(prefix))))
    };
    let begun = begin();
    barrier.wait();
    barrier.wait();
    let (wire, bytes) = begun.map_err(text)?;
    let taken = io::copy(&mut wire.stream().take(bytes), &mut io::sink()).map_err(text)?;
    if taken == bytes {
        Ok(bytes)
    } else {
        Err(format!("{topic}: {taken} of {bytes} bytes came"))
    }
}

/// Where `wanted` is; it stands near the beginning of a record.
fn find(value: &[u8], wanted: &[u8]) -> Option<usize> {
    value
        .windows(wanted.len())
        .position(|found| found == wanted)
}
