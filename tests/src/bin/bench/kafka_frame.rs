//! Kafka's requests and responses, field by field: what the clients of the benches are made of. Non-flexible
//! versions only. Layouts: Apache Kafka, `clients/src/main/resources/common/message/*.json`.

use std::io;

/// A request under construction: length, API key, version, correlation id, client id.
pub(crate) struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(api_key: i16, version: i16) -> Self {
        let mut frame = Self { bytes: vec![0; 4] };
        frame.i16(api_key);
        frame.i16(version);
        frame.i32(1);
        frame.string("headwater-bench");
        frame
    }

    /// Bytes so far, the length prefix included.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn string(&mut self, text: &str) {
        let length = i16::try_from(text.len()).expect("topic and client names are short");
        self.i16(length);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// BYTES: a length of four bytes, then so many.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.i32(i32::try_from(bytes.len()).expect("a batch is below 2 GiB"));
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len() - 4).expect("requests here are below 2 GiB");
        self.bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.bytes
    }
}

/// Takes fields off the front of a response.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// Fetch v11: the records of its one partition.
    pub(crate) fn fetch_response(&mut self) -> io::Result<&'a [u8]> {
        // Correlation id, throttle time.
        self.i32()?;
        self.i32()?;
        let error = self.i16()?;
        // Session id, one topic, its name, one partition, its index.
        self.i32()?;
        self.i32()?;
        self.string()?;
        self.i32()?;
        self.i32()?;
        let partition_error = self.i16()?;
        if (error, partition_error) != (0, 0) {
            return Err(invalid(format!("Fetch errors {error} {partition_error}")));
        }
        // High watermark, last stable offset, log start offset.
        self.i64()?;
        self.i64()?;
        self.i64()?;
        let aborted_count = self.i32()?;
        if aborted_count > 0 {
            return Err(invalid(
                "aborted transactions in a log without any".to_owned(),
            ));
        }
        // Preferred read replica.
        self.i32()?;
        let size = usize::try_from(self.i32()?).unwrap_or(0);
        self.take(size)
    }

    pub(crate) fn i16(&mut self) -> io::Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> io::Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> io::Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn string(&mut self) -> io::Result<&'a [u8]> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        self.take(length)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk().ok_or_else(short)?;
        self.0 = rest;
        Ok(*value)
    }

    pub(crate) fn take(&mut self, size: usize) -> io::Result<&'a [u8]> {
        let (value, rest) = self.0.split_at_checked(size).ok_or_else(short)?;
        self.0 = rest;
        Ok(value)
    }
}

fn short() -> io::Error {
    invalid("response is cut short".to_owned())
}

pub(crate) fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("kafka: {text}"))
}
