//! The little that we read from an X.509 certificate ourselves.
//!
//! - how it is signed, since `tls-server-end-point` channel binding hashes it in the same way (RFC 5929 4.1);
//! - how long it is valid, for a certificate that is trusted by being listed in `sslrootcert` itself.
//!
//! Everything else is webpki's. DER is walked without recursion; every length is checked.
//!
//! ```text
//! Certificate  { TBSCertificate, signatureAlgorithm { OID, .. }, signature }
//! TBS          { [0] version?, serial, algorithm, issuer, Validity { notBefore, notAfter }, .. }
//! ```

use ring::digest;

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// 1.2.840.113549.1.1: the RSA signatures; the next byte tells the hash.
const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// 1.2.840.10045.4.3: ECDSA with SHA-2; the next byte tells the hash.
const ECDSA: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];

/// The certificate's hash for `tls-server-end-point`; `None` where the RFC defines none (Ed25519, PSS).
pub(crate) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (fields, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(fields, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (oid, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    let hash = signature_hash(oid)?;
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

fn signature_hash(oid: &[u8]) -> Option<&'static digest::Algorithm> {
    let last = |prefix: &[u8]| match oid.strip_prefix(prefix) {
        Some([last]) => Some(*last),
        Some(_) | None => None,
    };
    match (last(&RSA), last(&ECDSA)) {
        // MD5 and SHA-1 are replaced by SHA-256.
        (Some(4 | 5 | 11), _) | (_, Some(2)) => Some(&digest::SHA256),
        (Some(12), _) | (_, Some(3)) => Some(&digest::SHA384),
        (Some(13), _) | (_, Some(4)) => Some(&digest::SHA512),
        (Some(_) | None, Some(_) | None) => None,
    }
}

/// First and last second of validity, as unix time.
pub(crate) fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (fields, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(fields, SEQUENCE)?;
    if let Some((_, behind)) = element(rest, VERSION) {
        rest = behind;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (from, rest) = time(validity)?;
    let (until, _) = time(rest)?;
    Some((from, until))
}

/// The content of the element with this tag, and what follows it.
fn element(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (
                digits
                    .iter()
                    .fold(0, |length, &digit| (length << 8) | usize::from(digit)),
                rest,
            )
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (tag == wanted).then_some((content, rest))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`, the only forms that RFC 5280 allows.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (year, text, rest) = if let Some((text, rest)) = element(bytes, UTC_TIME) {
        let (year, text) = text.split_at_checked(2)?;
        let year = number(year)?;
        (
            if year < 50 { 2000 + year } else { 1900 + year },
            text,
            rest,
        )
    } else {
        let (text, rest) = element(bytes, GENERALIZED_TIME)?;
        let (year, text) = text.split_at_checked(4)?;
        (number(year)?, text, rest)
    };
    let &[m1, m2, d1, d2, h1, h2, n1, n2, s1, s2, b'Z'] = text else {
        return None;
    };
    let [month, day, hour, minute, second] =
        [[m1, m2], [d1, d2], [h1, h2], [n1, n2], [s1, s2]].map(|digits| number(&digits));
    let days = days_from_1970(year, month?, day?);
    Some((((days * 24 + hour?) * 60 + minute?) * 60 + second?, rest))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })
}

/// Days from 1970-01-01 in the Gregorian calendar: years begin in March, so that the leap day is last.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut bytes = vec![tag];
        if length < 0x80 {
            bytes.push(u8::try_from(length).unwrap());
        } else {
            bytes.push(0x82);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        bytes.extend(content);
        bytes
    }

    fn certificate(oid: &[u8], from: &[u8], until: &[u8]) -> Vec<u8> {
        let algorithm = der(SEQUENCE, &der(OBJECT_IDENTIFIER, oid));
        let validity = der(SEQUENCE, &[from, until].concat());
        let tbs = [
            der(VERSION, &der(INTEGER, &[2])),
            der(INTEGER, &[7]),
            algorithm.clone(),
            der(SEQUENCE, &[0; 200]),
            validity,
        ];
        der(
            SEQUENCE,
            &[der(SEQUENCE, &tbs.concat()), algorithm, vec![3, 1, 0]].concat(),
        )
    }

    #[test]
    fn validity_is_read_in_both_notations() {
        let from = der(UTC_TIME, b"700101000000Z");
        let until = der(GENERALIZED_TIME, b"20380119031408Z");
        let bytes = certificate(&[RSA.as_slice(), &[11]].concat(), &from, &until);
        assert_eq!(validity(&bytes), Some((0, 1 << 31)));
        let until = der(GENERALIZED_TIME, b"20240229120000Z");
        assert_eq!(
            validity(&certificate(&RSA, &from, &until)),
            Some((0, 1_709_208_000))
        );
        let wrong = der(UTC_TIME, b"7001010000-0Z");
        assert_eq!(validity(&certificate(&RSA, &wrong, &until)), None);
    }

    #[test]
    fn the_hash_follows_the_signature() {
        let time = der(UTC_TIME, b"700101000000Z");
        let length = |oid: &[u8]| end_point(&certificate(oid, &time, &time)).map(|hash| hash.len());
        assert_eq!(length(&[RSA.as_slice(), &[5]].concat()), Some(32));
        assert_eq!(length(&[RSA.as_slice(), &[12]].concat()), Some(48));
        assert_eq!(length(&[ECDSA.as_slice(), &[4]].concat()), Some(64));
        assert_eq!(length(&[0x2b, 0x65, 0x70]), None, "Ed25519 has none");
    }

    #[test]
    fn certificates_cut_anywhere_give_nothing() {
        let time = der(UTC_TIME, b"700101000000Z");
        let bytes = certificate(&[RSA.as_slice(), &[11]].concat(), &time, &time);
        for cut in 0..bytes.len() {
            assert_eq!(
                (end_point(&bytes[..cut]), validity(&bytes[..cut])),
                (None, None)
            );
        }
    }
}
