//! Reading and writing the fields of frame bodies: big endian, every length checked before it is used.

use crate::frame::FrameError;

/// What is left to read of a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(FrameError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(FrameError::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FrameError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, FrameError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, FrameError> {
        self.array().map(i64::from_be_bytes)
    }

    /// `count` bytes that must be zero.
    pub(crate) fn zeros(&mut self, count: usize) -> Result<(), FrameError> {
        if self.bytes(count)?.iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            Err(FrameError::Malformed)
        }
    }

    /// `count` entries, each of at least `entry_bytes`: refuses a count that the rest cannot hold, before
    /// anything is allocated for it.
    pub(crate) fn list<T>(
        &mut self,
        count: u32,
        entry_bytes: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, FrameError>,
    ) -> Result<Vec<T>, FrameError> {
        let count = usize::try_from(count).map_err(|_| FrameError::Malformed)?;
        if count > self.0.len() / entry_bytes {
            return Err(FrameError::Malformed);
        }
        (0..count).map(|_| read(self)).collect()
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), FrameError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(FrameError::Malformed)
        }
    }
}

/// Fields appended to a body.
pub(crate) trait Output {
    fn u8(&mut self, value: u8);
    fn u16(&mut self, value: u16);
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
    fn i32(&mut self, value: i32);
    fn i64(&mut self, value: i64);
    /// A number of entries. No list of ours comes near the bound.
    fn count(&mut self, count: usize);
}

impl Output for Vec<u8> {
    fn u8(&mut self, value: u8) {
        self.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("a body holds fewer than 2^31 bytes of entries"));
    }
}

/// An optional time: the smallest `i64` stands for none.
pub(crate) fn time_or_none(raw: i64) -> Option<i64> {
    (raw != i64::MIN).then_some(raw)
}

/// The reverse of [`time_or_none`].
pub(crate) fn raw_time(time: Option<i64>) -> i64 {
    time.unwrap_or(i64::MIN)
}
