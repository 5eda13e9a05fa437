//! Reads big-endian fields off the front of a slice; every read is checked.

use super::DecodeError;

#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

/// `what` names the field in the error.
impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) fn bytes(
        &mut self,
        size: usize,
        what: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(size)
            .ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array(what).map(u8::from_be_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        self.array(what).map(i32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub(super) fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        self.array(what).map(i64::from_be_bytes)
    }

    /// An i16 that counts something.
    pub(super) fn count(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        let count = self.array(what).map(i16::from_be_bytes)?;
        usize::try_from(count).map_err(|_| DecodeError::Impossible(what))
    }

    /// Bytes behind their length, an i32.
    pub(super) fn sized(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let size = self.i32(what)?;
        let size = usize::try_from(size).map_err(|_| DecodeError::Impossible(what))?;
        self.bytes(size, what)
    }

    /// A string that ends with NUL.
    pub(super) fn string(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        let size = self
            .rest
            .iter()
            .position(|&byte| byte == 0)
            .ok_or(DecodeError::Truncated(what))?;
        let text = self.bytes(size, what)?;
        self.u8(what)?;
        std::str::from_utf8(text).map_err(|_| DecodeError::NotUtf8(what))
    }

    /// The bytes that `walk` reads.
    pub(super) fn measure(
        &mut self,
        walk: impl FnOnce(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<&'a [u8], DecodeError> {
        let mut ahead = *self;
        walk(&mut ahead)?;
        // `ahead` is a suffix of `self`, so this is what lies between them.
        self.bytes(self.rest.len() - ahead.rest.len(), "walked bytes")
    }
}
