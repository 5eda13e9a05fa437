//! Zigzag varints of record batches (Protocol Buffers' `sint32` and `sint64`).

use super::BatchError;

/// Zigzag: small magnitudes become small numbers, whatever their sign.
#[expect(
    clippy::cast_sign_loss,
    reason = "zigzag reinterprets the bits on purpose"
)]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[expect(clippy::cast_possible_wrap, reason = "undoes zigzag bit by bit")]
fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Bytes that [`put`] writes for `value`, 1 to 10.
#[inline]
pub(super) fn size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends `value`.
#[inline]
pub(super) fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push((rest & 0x7f) as u8);
}

/// Writes `value` at `start` of `out`, which has room for it; returns where it ends.
#[inline]
pub(super) fn put_at(out: &mut [u8], start: usize, value: i64) -> usize {
    let mut rest = zigzag(value);
    let mut at = start;
    for byte in out.get_mut(start..).unwrap_or_default() {
        at += 1;
        *byte = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            break;
        }
        *byte |= 0x80;
    }
    at
}

/// Takes a varlong from the front of `input`.
pub(super) fn take(input: &mut &[u8]) -> Result<i64, BatchError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first().ok_or(BatchError::Truncated)?;
        *input = rest;
        let group = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit only.
        if shift == 63 && group > 1 {
            return Err(BatchError::Varint);
        }
        value |= group << shift;
        if byte & 0x80 == 0 {
            return Ok(unzigzag(value));
        }
    }
    Err(BatchError::Varint)
}

/// Takes a varint that must fit an i32 from the front of `input`.
pub(super) fn take_i32(input: &mut &[u8]) -> Result<i32, BatchError> {
    i32::try_from(take(input)?).map_err(|_| BatchError::Varint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_comes_back_and_has_the_size_that_was_told() {
        let mut values = vec![
            0,
            -1,
            1,
            i64::MAX,
            i64::MIN,
            i64::from(i32::MAX),
            i64::from(i32::MIN),
        ];
        for shift in 0..63 {
            values.extend([
                1 << shift,
                (1 << shift) - 1,
                -(1 << shift),
                -(1 << shift) - 1,
            ]);
        }
        for value in values {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(bytes.len(), size(value), "value={value}");
            let mut input = bytes.as_slice();
            assert_eq!(take(&mut input), Ok(value));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn small_magnitudes_take_one_byte_with_the_sign_in_the_lowest_bit() {
        let mut bytes = Vec::new();
        for value in [0, -1, 1, -64, 63] {
            put(&mut bytes, value);
        }
        assert_eq!(bytes, [0, 1, 2, 127, 126]);
    }

    #[test]
    fn a_varint_without_end_or_over_its_width_is_refused() {
        assert_eq!(take(&mut [0x80; 11].as_slice()), Err(BatchError::Varint));
        assert_eq!(
            take(&mut [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2].as_slice()),
            Err(BatchError::Varint)
        );
        assert_eq!(
            take(&mut [0x80, 0x80].as_slice()),
            Err(BatchError::Truncated)
        );
        assert_eq!(take(&mut [].as_slice()), Err(BatchError::Truncated));
        let mut wide = Vec::new();
        put(&mut wide, i64::from(i32::MAX) + 1);
        assert_eq!(take_i32(&mut wide.as_slice()), Err(BatchError::Varint));
    }
}
