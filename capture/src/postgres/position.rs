//! Where a PostgreSQL source stands, as the log stores it (`Commit::position`), and LSNs as text.
//!
//! Layout, big endian, 34 bytes:
//!
//! | bytes | field |
//! |---|---|
//! | 0 | version, 1 |
//! | 1 | kind of source, 1: PostgreSQL |
//! | 2..10 | system identifier, u64 |
//! | 10..14 | timeline, u32 |
//! | 14..22 | LSN of the commit record, u64; equal to the end LSN where no transaction ends |
//! | 22..30 | end LSN, u64: everything below is in the log, reading resumes here |
//! | 30..34 | ordinal, u32, always 0: only whole transactions are recorded |
//!
//! Example: system 7, timeline 1, commit at 0/16B3748, end 0/16B3778:
//! `01 01 0000000000000007 00000001 00000000016b3748 00000000016b3778 00000000`.

use std::fmt;
use std::str::FromStr;

const VERSION: u8 = 1;
const KIND_POSTGRESQL: u8 = 1;

/// Bytes of an encoded position.
pub const POSITION_BYTES: usize = 34;

/// A log sequence number; prints and parses in PostgreSQL's own form, `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// The text is not an LSN: two hexadecimal numbers of at most 32 bits with a slash between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an lsn of the form 16/B374D848")]
pub struct LsnError;

impl FromStr for Lsn {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, LsnError> {
        let half = |digits: &str| -> Result<u64, LsnError> {
            if digits.starts_with('+') {
                return Err(LsnError);
            }
            u32::from_str_radix(digits, 16)
                .map(u64::from)
                .map_err(|_| LsnError)
        };
        let (high, low) = text.split_once('/').ok_or(LsnError)?;
        Ok(Self(half(high)? << 32 | half(low)?))
    }
}

/// A place in one server's log between two transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// `IDENTIFY_SYSTEM`, systemid.
    pub system_id: u64,
    /// `IDENTIFY_SYSTEM`, timeline.
    pub timeline: u32,
    /// LSN of the last commit record; equal to `end_lsn` for an idle position.
    pub commit_lsn: u64,
    /// Everything below it is covered.
    pub end_lsn: u64,
}

/// The bytes are not a position of a PostgreSQL source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// Written by a later version of headwater.
    #[error("source position has an unknown version version={0}")]
    Version(u8),
    /// Of a source of another kind.
    #[error("source position is not of a PostgreSQL source kind={0}")]
    Kind(u8),
    /// Not what any version wrote.
    #[error("source position is damaged bytes={0}")]
    Damaged(usize),
}

/// A stored position for people: its end LSN. Empty bytes are no position yet.
#[must_use]
pub fn shown(stored: &[u8]) -> String {
    if stored.is_empty() {
        return "nothing captured".to_owned();
    }
    Position::decode(stored).map_or_else(
        |error| error.to_string(),
        |position| {
            format!(
                "{} (system {}, timeline {})",
                Lsn(position.end_lsn),
                position.system_id,
                position.timeline
            )
        },
    )
}

impl Position {
    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(POSITION_BYTES);
        bytes.extend([VERSION, KIND_POSTGRESQL]);
        bytes.extend(self.system_id.to_be_bytes());
        bytes.extend(self.timeline.to_be_bytes());
        bytes.extend(self.commit_lsn.to_be_bytes());
        bytes.extend(self.end_lsn.to_be_bytes());
        bytes.extend(0u32.to_be_bytes());
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`PositionError`]; nothing is guessed, since a wrong position loses or repeats transactions.
    pub fn decode(bytes: &[u8]) -> Result<Self, PositionError> {
        let damaged = PositionError::Damaged(bytes.len());
        let (&[version, kind], rest) = bytes.split_first_chunk().ok_or(damaged)?;
        if version != VERSION {
            return Err(PositionError::Version(version));
        }
        if kind != KIND_POSTGRESQL {
            return Err(PositionError::Kind(kind));
        }
        let (system_id, rest) = rest.split_first_chunk().ok_or(damaged)?;
        let (timeline, rest) = rest.split_first_chunk().ok_or(damaged)?;
        let (commit_lsn, rest) = rest.split_first_chunk().ok_or(damaged)?;
        let (end_lsn, ordinal) = rest.split_first_chunk().ok_or(damaged)?;
        let position = Self {
            system_id: u64::from_be_bytes(*system_id),
            timeline: u32::from_be_bytes(*timeline),
            commit_lsn: u64::from_be_bytes(*commit_lsn),
            end_lsn: u64::from_be_bytes(*end_lsn),
        };
        if ordinal != [0; 4] || position.commit_lsn > position.end_lsn {
            return Err(damaged);
        }
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSITION: Position = Position {
        system_id: 7,
        timeline: 1,
        commit_lsn: 0x016B_3748,
        end_lsn: 0x016B_3778,
    };

    #[test]
    fn position_is_written_as_documented() {
        let hex: String = POSITION
            .encode()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            hex,
            "010100000000000000070000000100000000016b374800000000016b377800000000"
        );
        assert_eq!(Position::decode(&POSITION.encode()), Ok(POSITION));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        let good = POSITION.encode();
        for size in 0..good.len() {
            let refused = Position::decode(&good[..size]);
            assert_eq!(refused, Err(PositionError::Damaged(size)), "size {size}");
        }
        let with = |index: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[index] = byte;
            Position::decode(&bytes)
        };
        assert_eq!(with(0, 2), Err(PositionError::Version(2)));
        assert_eq!(with(1, 9), Err(PositionError::Kind(9)));
        assert_eq!(with(33, 1), Err(PositionError::Damaged(34)), "an ordinal");
        assert_eq!(
            with(14, 1),
            Err(PositionError::Damaged(34)),
            "commit behind end"
        );
        let longer = [good.as_slice(), &[0]].concat();
        assert_eq!(Position::decode(&longer), Err(PositionError::Damaged(35)));
    }

    #[test]
    fn lsn_has_the_servers_own_form() {
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
        assert_eq!("16/B374D848".parse(), Ok(Lsn(0x16_B374_D848)));
        assert_eq!("0/0".parse(), Ok(Lsn(0)));
        for wrong in ["", "/", "16", "16/", "+1/0", "1/123456789", "g/0", "1/2/3"] {
            assert_eq!(wrong.parse::<Lsn>(), Err(LsnError), "{wrong}");
        }
    }
}
