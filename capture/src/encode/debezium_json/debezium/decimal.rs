//! Exact decimals as Connect's `Decimal`: the unscaled number in big-endian two's complement, as short as it can be,
//! in base64; and as Debezium's `VariableScaleDecimal`, which carries its scale.

use super::super::rows::PlainScratch;
use crate::encode::json::{JsonBuffer, TooLarge};

/// Digits before and behind the point of PostgreSQL's numeric; its conversion takes quadratic time, so more are not
/// converted.
const DIGITS_MAX: usize = 131_072 + 16_383;

/// Digits that fit the magnitude of an i128.
const SHORT_DIGITS: usize = 38;

/// `atttypmod` of numeric is `(precision << 16 | scale) + 4`, the scale in 11 bits with its sign.
const MODIFIER_OFFSET: i32 = 4;

/// Precision and scale; `None` for a numeric without them.
pub(super) fn precision_and_scale(modifier: i32) -> Option<(i32, i32)> {
    let packed = modifier
        .checked_sub(MODIFIER_OFFSET)
        .filter(|packed| *packed >= 0)?;
    let scale = ((packed & 0x7FF) ^ 0x400) - 0x400;
    Some((packed >> 16 & 0xFFFF, scale))
}

/// A numeric: sign, digits, perhaps a point and digits.
pub(super) fn put(
    out: &mut JsonBuffer,
    modifier: i32,
    text: &[u8],
    scratch: &mut PlainScratch,
) -> Result<(), TooLarge> {
    let number = Number::split(text);
    let Some((_, scale)) = precision_and_scale(modifier) else {
        return put_variable(out, number, text, scratch);
    };
    if number.scaled_to(scale, &mut scratch.digits) {
        put_unscaled(out, number.is_negative, scratch)
    } else {
        out.string(text)
    }
}

/// `{"scale":...,"value":...}`, without trailing zeros behind the point.
fn put_variable(
    out: &mut JsonBuffer,
    mut number: Number<'_>,
    text: &[u8],
    scratch: &mut PlainScratch,
) -> Result<(), TooLarge> {
    while let Some(shorter) = number.fraction.strip_suffix(b"0") {
        number.fraction = shorter;
    }
    let scale = i32::try_from(number.fraction.len()).unwrap_or(i32::MAX);
    if !number.scaled_to(scale, &mut scratch.digits) {
        return out.string(text);
    }
    out.raw(b"{\"scale\":");
    out.integer(scale);
    out.raw(b",\"value\":");
    put_unscaled(out, number.is_negative, scratch)?;
    out.raw(b"}");
    Ok(())
}

/// `-$1,234.56`, as the server writes it under `lc_monetary=C`. Returns whether it was that.
pub(super) fn put_money(
    out: &mut JsonBuffer,
    text: &[u8],
    scratch: &mut PlainScratch,
) -> Result<bool, TooLarge> {
    let unsigned = text.strip_prefix(b"-");
    let Some(amount) = unsigned.unwrap_or(text).strip_prefix(b"$") else {
        return Ok(false);
    };
    let digits = amount.iter().filter(|byte| byte.is_ascii_digit());
    scratch.digits.clear();
    scratch.digits.extend(digits);
    let Some((cents, whole)) = amount
        .split_last_chunk::<3>()
        .map(|(whole, cents)| (cents, whole))
    else {
        return Ok(false);
    };
    let is_amount = cents[0] == b'.'
        && scratch.digits.len() < SHORT_DIGITS
        && whole
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b',');
    if is_amount {
        put_unscaled(out, unsigned.is_some(), scratch)?;
    }
    Ok(is_amount)
}

/// A decimal's parts.
#[derive(Debug, Clone, Copy)]
struct Number<'a> {
    is_negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Number<'a> {
    fn split(text: &'a [u8]) -> Self {
        let unsigned = text.strip_prefix(b"-");
        let digits = unsigned.unwrap_or(text);
        let point = digits.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = digits.split_at(point.unwrap_or(digits.len()));
        Self {
            is_negative: unsigned.is_some(),
            whole,
            fraction: fraction.get(1..).unwrap_or_default(),
        }
    }

    /// Writes the digits of the number times ten to the `scale`. False: that would drop digits, or there are too many.
    fn scaled_to(&self, scale: i32, digits: &mut Vec<u8>) -> bool {
        digits.clear();
        let size = usize::try_from(scale.unsigned_abs()).unwrap_or(usize::MAX);
        let count = self
            .whole
            .len()
            .saturating_add(self.fraction.len().max(size));
        if count > DIGITS_MAX {
            return false;
        }
        digits.extend_from_slice(self.whole);
        digits.extend_from_slice(self.fraction);
        if scale >= 0 {
            digits.resize(self.whole.len() + size, b'0');
            return self.fraction.len() <= size;
        }
        let kept = digits.len().saturating_sub(size);
        let is_exact = digits.iter().skip(kept).all(|digit| *digit == b'0');
        digits.truncate(kept);
        is_exact && self.fraction.is_empty()
    }
}

/// The number whose digits stand in `scratch.digits`.
fn put_unscaled(
    out: &mut JsonBuffer,
    is_negative: bool,
    scratch: &mut PlainScratch,
) -> Result<(), TooLarge> {
    let PlainScratch {
        digits,
        bytes,
        limbs,
        ..
    } = scratch;
    if digits.len() <= SHORT_DIGITS {
        let magnitude = digits
            .iter()
            .fold(0_i128, |number, digit| number * 10 + i128::from(digit & 15));
        let number = if is_negative { -magnitude } else { magnitude };
        return out.base64(shortest(&number.to_be_bytes()));
    }
    magnitude_limbs(digits, limbs);
    bytes.clear();
    // A limb more than the magnitude needs, so that there is room for the sign.
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend(limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()));
    if is_negative {
        negate(bytes);
    }
    out.base64(shortest(bytes))
}

/// Digits into limbs of 64 bits, the lowest first: 18 digits at a time.
fn magnitude_limbs(digits: &[u8], limbs: &mut Vec<u64>) {
    limbs.clear();
    let (head, rest) = digits.split_at(digits.len() % 18);
    for piece in std::iter::once(head).chain(rest.chunks(18)) {
        let add = piece
            .iter()
            .fold(0_u64, |number, digit| number * 10 + u64::from(digit & 15));
        let factor = piece.iter().fold(1_u64, |factor, _| factor * 10);
        let mut carry = u128::from(add);
        for limb in &mut *limbs {
            let product = u128::from(*limb) * u128::from(factor) + carry;
            let low = product & u128::from(u64::MAX);
            *limb = u64::try_from(low).expect("masked to 64 bits");
            carry = product >> 64;
        }
        if carry > 0 {
            limbs.push(u64::try_from(carry).expect("less than the factor, or the added digits"));
        }
    }
}

/// Two's complement of a big-endian number.
fn negate(bytes: &mut [u8]) {
    let mut carry = true;
    for byte in bytes.iter_mut().rev() {
        let (negated, overflows) = (!*byte).overflowing_add(u8::from(carry));
        *byte = negated;
        carry = overflows;
    }
}

/// Without leading bytes that only repeat the sign; one byte stays.
fn shortest(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && let Some(second) = rest.first()
        && (*first == 0 && second & 0x80 == 0 || *first == 0xFF && second & 0x80 != 0)
    {
        bytes = rest;
    }
    bytes
}
