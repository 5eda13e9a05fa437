//! Feeds Kafka with batches as they are: Produce v7, one batch a request, many requests in flight.
//!
//! Kafka takes a batch with base offset 0 only, and puts its own base offset and leader epoch in, all outside the
//! checksum; the rest it keeps. With a topic that is empty at first the batches come out again byte for byte,
//! leader epochs aside.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::batch_place::batch_index;
use super::kafka_frame::{Frame, Reader, invalid};

const PRODUCE: i16 = 0;
/// The newest version that is not flexible and knows what we need.
const VERSION: i16 = 7;
/// A batch begins with its base offset.
const BASE_OFFSET_BYTES: usize = 8;
/// Requests that are sent before the first answer is waited for.
const IN_FLIGHT: usize = 8;
/// A Produce response of one partition is far shorter.
const RESPONSE_BYTES_MAX: usize = 4096;

/// One connection that writes to partition 0 of one topic.
#[derive(Debug)]
pub(crate) struct ProduceClient {
    stream: TcpStream,
    topic: String,
    in_flight: usize,
}

impl ProduceClient {
    pub(crate) fn connect(port: u16, topic: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            stream,
            topic: topic.to_owned(),
            in_flight: 0,
        })
    }

    /// Sends whole batches, in order.
    pub(crate) fn send(&mut self, batches: &[u8]) -> io::Result<()> {
        for place in batch_index(batches)? {
            let batch = &batches[place.at..place.at + place.size];
            self.stream.write_all(&self.request(batch))?;
            self.in_flight += 1;
            if self.in_flight >= IN_FLIGHT {
                self.take_answer()?;
            }
        }
        Ok(())
    }

    /// Waits until everything sent has been taken.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        while self.in_flight > 0 {
            self.take_answer()?;
        }
        Ok(())
    }

    fn request(&self, batch: &[u8]) -> Vec<u8> {
        const ALL_REPLICAS: i16 = -1;
        const TIMEOUT_MS: i32 = 30_000;
        let mut frame = Frame::new(PRODUCE, VERSION);
        // No transaction.
        frame.i16(-1);
        frame.i16(ALL_REPLICAS);
        frame.i32(TIMEOUT_MS);
        // One topic, one partition: 0.
        frame.i32(1);
        frame.string(&self.topic);
        frame.i32(1);
        frame.i32(0);
        frame.bytes(&[&[0; BASE_OFFSET_BYTES], &batch[BASE_OFFSET_BYTES..]].concat());
        frame.finish()
    }

    fn take_answer(&mut self) -> io::Result<()> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > RESPONSE_BYTES_MAX {
            return Err(invalid(format!("a Produce response of {length} bytes")));
        }
        let mut response = vec![0; length];
        self.stream.read_exact(&mut response)?;
        self.in_flight -= 1;
        let mut reader = Reader(&response);
        // Correlation id, one topic, its name, one partition, its index.
        reader.i32()?;
        reader.i32()?;
        reader.string()?;
        reader.i32()?;
        reader.i32()?;
        match reader.i16()? {
            0 => Ok(()),
            code => Err(invalid(format!("Produce error {code}"))),
        }
    }
}
