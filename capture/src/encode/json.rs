//! JSON written by hand into one reused buffer.
//!
//! Strings are copied in the longest runs that need no escape. Nothing is allocated per record once the
//! buffer has its size; a buffer that one large row blew up is given back by [`JsonBuffer::clear`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::limits::SCRATCH_BYTES;

/// Hexadecimal digits that are turned into base64 at a time; a multiple of 6, so that only the last piece
/// is padded.
const HEX_PIECE: usize = 1536;

/// The record would be larger than the limit. `bytes` is what was known when that became clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge {
    pub(crate) bytes: usize,
}

/// A growing JSON text that is never longer than its limit plus one short value.
#[derive(Debug, Default)]
pub(crate) struct JsonBuffer {
    bytes: Vec<u8>,
    limit: usize,
    repaired: u64,
}

impl JsonBuffer {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(SCRATCH_BYTES);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Texts so far in which bytes that are not UTF-8 were replaced by U+FFFD.
    pub(crate) fn repaired(&self) -> u64 {
        self.repaired
    }

    /// Appends JSON as it stands.
    pub(crate) fn raw(&mut self, json: &[u8]) {
        self.bytes.extend_from_slice(json);
    }

    pub(crate) fn integer(&mut self, number: impl itoa::Integer) {
        let mut digits = itoa::Buffer::new();
        self.raw(digits.format(number).as_bytes());
    }

    /// Appends a string whose characters need no escape.
    pub(crate) fn plain_string(&mut self, text: &[u8], suffix: &[u8]) {
        self.bytes.reserve(text.len() + suffix.len() + 2);
        self.raw(b"\"");
        self.raw(text);
        self.raw(suffix);
        self.raw(b"\"");
    }

    /// Appends a string of any text.
    pub(crate) fn string(&mut self, text: &[u8]) -> Result<(), TooLarge> {
        if text.len() > SCRATCH_BYTES {
            self.make_room(escaped_size(text))?;
        }
        self.raw(b"\"");
        match std::str::from_utf8(text) {
            Ok(_) => put_escaped(&mut self.bytes, text),
            Err(_) => self.repaired_text(text),
        }
        self.raw(b"\"");
        Ok(())
    }

    /// Only a database in SQL_ASCII sends such text: it converts nothing.
    fn repaired_text(&mut self, text: &[u8]) {
        self.repaired += 1;
        for chunk in text.utf8_chunks() {
            put_escaped(&mut self.bytes, chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                self.raw("\u{FFFD}".as_bytes());
            }
        }
    }

    /// Appends the base64 form of bytes that are given as pairs of hexadecimal digits.
    pub(crate) fn base64_of_hex(&mut self, digits: &[u8]) -> Result<(), TooLarge> {
        let size = digits.len() / 6 * 4 + 6;
        if size > SCRATCH_BYTES {
            self.make_room(size)?;
        }
        self.raw(b"\"");
        for piece in digits.chunks(HEX_PIECE) {
            let mut decoded = [0u8; HEX_PIECE / 2];
            let mut encoded = [0u8; HEX_PIECE / 6 * 4];
            let decoded = decode_hex(piece, &mut decoded);
            let size = STANDARD
                .encode_slice(decoded, &mut encoded)
                .expect("base64 has four bytes for three");
            self.raw(encoded.get(..size).unwrap_or_default());
        }
        self.raw(b"\"");
        Ok(())
    }

    /// Appends the base64 form of bytes.
    pub(crate) fn base64(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        let size = bytes.len() / 3 * 4 + 6;
        if size > SCRATCH_BYTES {
            self.make_room(size)?;
        }
        self.raw(b"\"");
        for piece in bytes.chunks(HEX_PIECE / 2) {
            let mut encoded = [0u8; HEX_PIECE / 6 * 4];
            let size = STANDARD
                .encode_slice(piece, &mut encoded)
                .expect("base64 has four bytes for three");
            self.raw(encoded.get(..size).unwrap_or_default());
        }
        self.raw(b"\"");
        Ok(())
    }

    /// For large values: refuses before anything is allocated, and allocates once, exactly.
    fn make_room(&mut self, size: usize) -> Result<(), TooLarge> {
        let bytes = self.bytes.len().saturating_add(size);
        if bytes > self.limit {
            return Err(TooLarge { bytes });
        }
        self.bytes.reserve_exact(size + 2);
        Ok(())
    }

    /// Whether the text is still within the limit.
    pub(crate) fn check(&self) -> Result<(), TooLarge> {
        let bytes = self.bytes.len();
        if bytes > self.limit {
            return Err(TooLarge { bytes });
        }
        Ok(())
    }
}

/// Pairs of digits into bytes; anything that is not a digit counts as 0, since callers checked.
fn decode_hex<'a>(digits: &[u8], out: &'a mut [u8]) -> &'a [u8] {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    };
    let (pairs, _) = digits.as_chunks::<2>();
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = nibble(*high) << 4 | nibble(*low);
    }
    out.get(..pairs.len()).unwrap_or_default()
}

/// Whether any of eight bytes needs an escape: below 0x20, a quote, or a backslash.
fn any_escape(bytes: [u8; 8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(bytes);
    // The classic "is there a byte below n" test; a set bit may also come from a neighbour's borrow, which
    // costs a slow look and is never missed.
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & TOPS;
    let control = below(word, 0x20);
    let quote = below(word ^ (ONES * 0x22), 1);
    let backslash = below(word ^ (ONES * 0x5C), 1);
    control | quote | backslash != 0
}

/// What stands for a byte in a string, if not itself: RFC 8259 section 7.
fn escape_of(byte: u8) -> Option<[u8; 6]> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = |letter: u8| [b'\\', letter, 0, 0, 0, 0];
    Some(match byte {
        b'"' | b'\\' => short(byte),
        b'\n' => short(b'n'),
        b'\r' => short(b'r'),
        b'\t' => short(b't'),
        0x00..=0x1F => {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            [b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]
        }
        _ => return None,
    })
}

fn escape_size(escape: [u8; 6]) -> usize {
    if escape[1] == b'u' { 6 } else { 2 }
}

/// Bytes that the text has inside quotes, at least: an invalid byte becomes three.
fn escaped_size(text: &[u8]) -> usize {
    let size = |byte: &u8| match escape_of(*byte) {
        Some(escape) => escape_size(escape),
        None => 1,
    };
    text.iter().map(size).sum()
}

fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while !rest.is_empty() {
        let (clean, dirty) = rest.split_at(clean_prefix(rest));
        out.extend_from_slice(clean);
        rest = match dirty.split_first() {
            Some((byte, behind)) => {
                let escape = escape_of(*byte).unwrap_or_default();
                out.extend_from_slice(escape.get(..escape_size(escape)).unwrap_or_default());
                behind
            }
            None => dirty,
        };
    }
}

/// How many leading bytes need no escape.
fn clean_prefix(text: &[u8]) -> usize {
    let (words, _) = text.as_chunks::<8>();
    let skipped = 8 * words.iter().take_while(|word| !any_escape(**word)).count();
    let slow = text.get(skipped..).unwrap_or_default();
    let clean = slow.iter().take_while(|byte| escape_of(**byte).is_none());
    skipped + clean.count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(text: &[u8]) -> Vec<u8> {
        let mut json = JsonBuffer::new(usize::MAX);
        json.string(text).expect("no limit");
        json.bytes().to_vec()
    }

    #[test]
    fn every_byte_that_json_forbids_is_escaped() {
        let text: String = (0..=0x7F_u8).map(char::from).collect();
        let written = string(text.as_bytes());
        let read: String = serde_json::from_slice(&written).expect("JSON");
        assert_eq!(read, text);
        assert_eq!(
            string(b"a\"b\\c\n\r\t\x01\x1f"),
            br#""a\"b\\c\n\r\t\u0001\u001f""#
        );
        assert_eq!(
            string("é\u{2028}\u{10FFFF}".as_bytes()),
            "\"é\u{2028}\u{10FFFF}\"".as_bytes()
        );
    }

    #[test]
    fn text_that_is_not_utf8_is_repaired_and_counted() {
        let mut json = JsonBuffer::new(usize::MAX);
        json.string(b"caf\xe9 \"x").expect("no limit");
        assert_eq!(json.bytes(), "\"caf\u{FFFD} \\\"x\"".as_bytes());
        assert_eq!(json.repaired(), 1);
    }

    #[test]
    fn a_large_value_is_refused_before_it_is_written() {
        let text = vec![1u8; SCRATCH_BYTES + 1];
        let mut json = JsonBuffer::new(SCRATCH_BYTES * 6);
        let refused = json.string(&text).expect_err("six bytes for each");
        assert_eq!(refused.bytes, text.len() * 6);
        assert_eq!(json.len(), 0);
        let digits = vec![b'a'; SCRATCH_BYTES * 12];
        assert!(json.base64_of_hex(&digits).is_err());
        assert_eq!(json.bytes.capacity(), 0);
    }

    #[test]
    fn a_grown_buffer_is_given_back() {
        let mut json = JsonBuffer::new(usize::MAX);
        json.string(&vec![b'x'; SCRATCH_BYTES * 4])
            .expect("no limit");
        json.clear();
        assert!(json.bytes.capacity() <= SCRATCH_BYTES);
    }

    proptest! {
        #[test]
        fn any_text_reads_back_as_itself(text in any::<String>(), noise in prop::collection::vec(0u8..0x60, 0..40)) {
            for text in [text, String::from_utf8(noise).expect("ASCII")] {
                let read: String = serde_json::from_slice(&string(text.as_bytes())).expect("JSON");
                prop_assert_eq!(&read, &text);
                prop_assert_eq!(escaped_size(text.as_bytes()) + 2, string(text.as_bytes()).len());
            }
        }

        #[test]
        fn any_bytes_read_back_from_base64(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut json = JsonBuffer::new(usize::MAX);
            json.base64_of_hex(hex.as_bytes()).expect("no limit");
            let text: String = serde_json::from_slice(json.bytes()).expect("JSON");
            prop_assert_eq!(STANDARD.decode(text).expect("base64"), &*bytes);
            let mut direct = JsonBuffer::new(usize::MAX);
            direct.base64(&bytes).expect("no limit");
            prop_assert_eq!(direct.bytes(), json.bytes());
        }
    }
}
