//! Avro's binary encoding, as far as the records need it (specification 1.11, "Binary encoding").
//!
//! Whole numbers are zigzag varints; strings and bytes have their length in front; a union has its branch's
//! number in front; an array is its count, its items and a zero.

use crate::encode::TooLarge;

/// Bytes of the longest varint.
const VARINT_BYTES_MAX: usize = 10;

/// Appends to a record that is never longer than its limit plus one short value.
#[derive(Debug)]
pub(super) struct AvroWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    limit: usize,
}

impl<'a> AvroWriter<'a> {
    /// A record that begins where `out` ends, of at most `limit` bytes.
    pub(super) fn new(out: &'a mut Vec<u8>, limit: usize) -> Self {
        let start = out.len();
        Self { out, start, limit }
    }

    /// Whether the record is within its limit with `more` bytes.
    pub(super) fn check(&self, more: usize) -> Result<(), TooLarge> {
        let bytes = (self.out.len() - self.start).saturating_add(more);
        if bytes > self.limit {
            return Err(TooLarge { bytes });
        }
        Ok(())
    }

    /// Appends what is encoded already.
    #[inline]
    pub(super) fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }

    /// The null branch, which is the first of every union here.
    #[inline]
    pub(super) fn null(&mut self) {
        self.out.push(0);
    }

    /// `int` and `long`, also the number of a branch and of an enum's symbol.
    #[inline]
    #[expect(
        clippy::cast_sign_loss,
        reason = "zigzag reinterprets the bits on purpose"
    )]
    pub(super) fn long(&mut self, value: i64) {
        let zigzag = ((value << 1) ^ (value >> 63)) as u64;
        if zigzag < 0x80 {
            self.out.push((zigzag & 0x7f) as u8);
        } else {
            self.varint(zigzag);
        }
    }

    fn varint(&mut self, zigzag: u64) {
        let mut bytes = [0; VARINT_BYTES_MAX];
        let (mut rest, mut size) = (zigzag, 0);
        for byte in &mut bytes {
            *byte = (rest & 0x7f) as u8 | 0x80;
            rest >>= 7;
            size += 1;
            if rest == 0 {
                *byte &= 0x7f;
                break;
            }
        }
        self.first(&bytes, size);
    }

    /// Appends the first `size` of some bytes. A copy whose length is known beforehand, of which the rest is given back,
    /// is cheaper than one whose length is not.
    #[inline]
    pub(super) fn first<const N: usize>(&mut self, bytes: &[u8; N], size: usize) {
        let end = self.out.len() + size.min(N);
        self.out.extend_from_slice(bytes);
        self.out.truncate(end);
    }

    /// A length or count.
    #[inline]
    pub(super) fn count(&mut self, count: usize) {
        // Lengths of slices in memory are at most isize::MAX.
        self.long(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// `bytes`, and `string` of text that is UTF-8.
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// `string` of any text; tells whether bytes that are not UTF-8 were replaced.
    pub(super) fn text(&mut self, text: &[u8]) -> bool {
        match std::str::from_utf8(text) {
            Ok(_) => {
                self.bytes(text);
                false
            }
            Err(_) => {
                self.bytes(String::from_utf8_lossy(text).as_bytes());
                true
            }
        }
    }

    /// `bytes` that are given as pairs of hexadecimal digits.
    pub(super) fn bytes_of_hex(&mut self, digits: &[u8]) {
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => 0,
        };
        let (pairs, _) = digits.as_chunks::<2>();
        self.count(pairs.len());
        let bytes = pairs
            .iter()
            .map(|[high, low]| nibble(*high) << 4 | nibble(*low));
        self.out.extend(bytes);
    }

    /// `double`.
    pub(super) fn double(&mut self, value: f64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }
}
