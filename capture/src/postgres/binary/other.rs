//! Bytes, bits, identifiers, network addresses, pairs, lexemes.

use std::net::Ipv4Addr;

use super::Why;
use super::number::{put_digits, put_format};
use super::reader::Reader;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn put_byte(out: &mut Vec<u8>, byte: u8) {
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
}

/// bytea in hexadecimal digits.
pub(super) fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() * 2 + 2);
    out.extend_from_slice(b"\\x");
    bytes.iter().for_each(|byte| put_byte(out, *byte));
}

/// "char": servers disagree about bytes beyond ASCII.
pub(super) fn put_char(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Why> {
    match bytes {
        [0] => Ok(()),
        [byte] if byte.is_ascii() => {
            out.push(*byte);
            Ok(())
        }
        [_] => Err(Why::Unknown),
        _ => Err(Why::Malformed),
    }
}

pub(super) fn put_uuid(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    for (index, byte) in reader.array::<16>()?.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        put_byte(out, byte);
    }
    Some(())
}

pub(super) fn put_bits(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    let count = reader.count()?;
    let bytes = reader.take(count.div_ceil(8))?;
    let bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    out.extend(bits.take(count).map(|bit| b'0' + bit));
    Some(())
}

/// Family (2 or 3), bits of the network, whether it is a cidr, bytes.
pub(super) fn put_inet(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    let (family, bits) = (reader.u8()?, reader.u8()?);
    let (is_cidr, length) = (reader.u8()? != 0, reader.u8()?);
    let all_bits = match (family, length) {
        (2, 4) => {
            put_format(
                out,
                format_args!("{}", Ipv4Addr::from(reader.array::<4>()?)),
            );
            32
        }
        (3, 16) => {
            put_ipv6(out, reader.array::<16>()?);
            128
        }
        _ => return None,
    };
    if is_cidr || bits != all_bits {
        put_format(out, format_args!("/{bits}"));
    }
    Some(())
}

/// As `src/port/inet_net_ntop.c` writes it.
fn put_ipv6(out: &mut Vec<u8>, bytes: [u8; 16]) {
    let (pairs, _) = bytes.as_chunks::<2>();
    let words: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    let (base, length) = longest_zeros(&words);
    let is_v4 = match (base, length) {
        (Some(0), 6) => true,
        (Some(0), 7) => words.last() != Some(&1),
        (Some(0), 5) => words.get(5) == Some(&0xFFFF),
        _ => false,
    };
    for (index, word) in words.iter().enumerate() {
        if base.is_some_and(|base| (base..base + length).contains(&index)) {
            if base == Some(index) {
                out.push(b':');
            }
            continue;
        }
        if index > 0 {
            out.push(b':');
        }
        if index == 6 && is_v4 {
            let [.., a, b, c, d] = bytes;
            put_format(out, format_args!("{a}.{b}.{c}.{d}"));
            return;
        }
        put_format(out, format_args!("{word:x}"));
    }
    if base.is_some_and(|base| base + length == words.len()) {
        out.push(b':');
    }
}

/// The first of the longest runs of two zeros or more.
fn longest_zeros(words: &[u16]) -> (Option<usize>, usize) {
    let (mut base, mut length) = (None, 1);
    let mut run = 0;
    for (index, word) in words.iter().enumerate() {
        run = if *word == 0 { run + 1 } else { 0 };
        if run > length {
            (base, length) = (Some(index + 1 - run), run);
        }
    }
    (base, length)
}

pub(super) fn put_mac(out: &mut Vec<u8>, reader: &mut Reader<'_>, bytes: u8) -> Option<()> {
    for (index, byte) in reader.take(usize::from(bytes))?.iter().enumerate() {
        if index > 0 {
            out.push(b':');
        }
        put_byte(out, *byte);
    }
    Some(())
}

pub(super) fn put_lsn(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    put_format(out, format_args!("{:X}/{:X}", reader.u32()?, reader.u32()?));
    Some(())
}

pub(super) fn put_row_id(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    put_format(out, format_args!("({},{})", reader.u32()?, reader.u16()?));
    Some(())
}

/// Count, xmin, xmax, the transactions in progress.
pub(super) fn put_snapshot(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    let count = reader.count()?;
    put_format(out, format_args!("{}:{}:", reader.u64()?, reader.u64()?));
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        put_digits(out, reader.u64()?);
    }
    Some(())
}

/// hstore.
pub(super) fn put_pairs(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Why> {
    let mut reader = Reader::new(bytes);
    let pairs = || {
        let count = reader.count()?;
        for index in 0..count {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            put_quoted(out, reader.sized()??);
            out.extend_from_slice(b"=>");
            match reader.sized()? {
                Some(value) => put_quoted(out, value),
                None => out.extend_from_slice(b"NULL"),
            }
        }
        reader.is_empty().then_some(())
    };
    let mut pairs = pairs;
    pairs().ok_or(Why::Malformed)
}

pub(super) fn put_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// tsvector: count, then each lexeme with NUL, count of positions, positions with a weight in the two highest bits.
pub(super) fn put_lexemes(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    let count = reader.count()?;
    for index in 0..count {
        if index > 0 {
            out.push(b' ');
        }
        out.push(b'\'');
        for byte in reader.string()? {
            if matches!(byte, b'\'' | b'\\') {
                out.push(*byte);
            }
            out.push(*byte);
        }
        out.push(b'\'');
        for position in 0..reader.u16()? {
            out.push(if position == 0 { b':' } else { b',' });
            let packed = reader.u16()?;
            put_digits(out, packed & 0x3FFF);
            match packed >> 14 {
                3 => out.push(b'A'),
                2 => out.push(b'B'),
                1 => out.push(b'C'),
                _ => {}
            }
        }
    }
    Some(())
}
