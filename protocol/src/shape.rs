//! The shape check: walks a request frame against its layout before the crate's decoder sees it.
//!
//! The `kafka-protocol` decoder reserves memory by counts from the wire, so that 25 bytes from a
//! stranger can ask for 154 GB and abort the process. After this check it cannot: every count fits
//! the bytes that remain (each element taken at its smallest), every length fits, known tagged fields
//! have the size they claim, and what the decoder will allocate is within a budget that is
//! proportional to the frame ([`crate::limits`]).
//!
//! It checks lengths, nulls and memory. It does not check UTF-8 or values; the decoder and the
//! handlers do. Bytes left over behind the last field are told, not refused: Kafka ignores them.
//!
//! Work is linear in the frame: every step consumes bytes, except elements of arrays, whose smallest
//! size is at least one byte. Nesting is that of the layout.

mod layout;

use crate::limits::STRING_BYTES_MAX;

pub(crate) use layout::request_layout;
use layout::{Field, Layout, Shape, Tag};

/// What the decoder may allocate for one tagged field: a leaf of the map it collects unknown ones in.
const TAGGED_FIELD_MEMORY: usize = 512;

/// How a frame differs from its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The frame ends inside a field.
    #[error("it ends inside a field")]
    Truncated,
    /// A length or count is negative, or a string is longer than Kafka's longest.
    #[error("it has an impossible length")]
    Length,
    /// A count is larger than the bytes that remain could hold.
    #[error("it has a count that the frame could not hold")]
    Count,
    /// A field that must not be null is null.
    #[error("it has a null where none may be")]
    Null,
    /// An unsigned varint has more than 32 bits.
    #[error("it has an impossible varint")]
    Varint,
    /// A tagged field does not have the size it claims, or is of a later version.
    #[error("it has a malformed tagged field")]
    Tag,
    /// Decoded, it would take more memory than a frame of this size may.
    #[error("it would take too much memory")]
    Memory,
}

/// Reads through a frame by lengths only.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
    /// Bytes the decoder may yet allocate.
    budget: usize,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(bytes: &'a [u8], version: i16, flexible: bool, budget: usize) -> Self {
        Self {
            rest: bytes,
            version,
            flexible,
            budget,
        }
    }

    /// Bytes not walked yet.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Walks a structure: its fields, then in flexible versions its tagged fields.
    pub(crate) fn structure(&mut self, layout: &Layout) -> Result<(), ShapeError> {
        let version = self.version;
        for field in layout.fields.iter().filter(|field| field.is_in(version)) {
            self.field(&field.shape)?;
        }
        if self.flexible && layout.tagged {
            self.tagged_fields(layout.tags)?;
        }
        Ok(())
    }

    /// The client id of a request header: a classic string even where everything else is compact.
    pub(crate) fn client_id(&mut self) -> Result<Option<&'a [u8]>, ShapeError> {
        let length = self.classic_length(2)?;
        length.map(|length| self.take(length)).transpose()
    }

    /// A section of tagged fields: count, and for each tag, size and bytes (KIP-482).
    pub(crate) fn tagged_fields(&mut self, known: &[Tag]) -> Result<(), ShapeError> {
        let count = self.unsigned_varint()?;
        for _ in 0..count {
            self.charge(1, TAGGED_FIELD_MEMORY)?;
            let tag = self.unsigned_varint()?;
            let size = usize_of(self.unsigned_varint()?);
            let bytes = self.take(size)?;
            if let Some(known) = known.iter().find(|known| known.tag == tag) {
                self.known_tagged_field(known, bytes)?;
            }
        }
        Ok(())
    }

    /// The decoder reads a tagged field it knows by its layout and ignores the size, so the two must
    /// agree. One of a later version is an error to Kafka and to the decoder.
    fn known_tagged_field(&mut self, known: &Tag, bytes: &'a [u8]) -> Result<(), ShapeError> {
        if self.version < known.from {
            return Err(ShapeError::Tag);
        }
        let outer = std::mem::replace(&mut self.rest, bytes);
        let walked = self.field(&known.shape);
        let inner = std::mem::replace(&mut self.rest, outer);
        walked?;
        if inner.is_empty() {
            Ok(())
        } else {
            Err(ShapeError::Tag)
        }
    }

    fn field(&mut self, shape: &Shape) -> Result<(), ShapeError> {
        match shape {
            Shape::Fixed(size) => self.take(*size).map(|_| ()),
            Shape::String => self.string()?.ok_or(ShapeError::Null),
            Shape::NullableString => self.string().map(|_| ()),
            Shape::Bytes => self.bytes()?.ok_or(ShapeError::Null),
            Shape::NullableBytes => self.bytes().map(|_| ()),
            Shape::Array(element) => self.array(element)?.ok_or(ShapeError::Null),
            Shape::NullableArray(element) => self.array(element).map(|_| ()),
            Shape::Structure(layout) => self.structure(layout),
        }
    }

    fn string(&mut self) -> Result<Option<()>, ShapeError> {
        let Some(length) = self.length(2)? else {
            return Ok(None);
        };
        if length > STRING_BYTES_MAX {
            return Err(ShapeError::Length);
        }
        self.take(length).map(|_| Some(()))
    }

    fn bytes(&mut self) -> Result<Option<()>, ShapeError> {
        let Some(length) = self.length(4)? else {
            return Ok(None);
        };
        self.take(length).map(|_| Some(()))
    }

    fn array(&mut self, element: &Layout) -> Result<Option<()>, ShapeError> {
        let Some(count) = self.length(4)? else {
            return Ok(None);
        };
        let size_min = self.size_min(element);
        debug_assert!(
            size_min > 0,
            "an element takes at least a byte, or the walk is not linear"
        );
        if count
            .checked_mul(size_min)
            .is_none_or(|size| size > self.rest.len())
        {
            return Err(ShapeError::Count);
        }
        self.charge(count, element.memory)?;
        for _ in 0..count {
            self.structure(element)?;
        }
        Ok(Some(()))
    }

    /// The fewest bytes a structure can take in this version.
    fn size_min(&self, layout: &Layout) -> usize {
        let present = layout
            .fields
            .iter()
            .filter(|field| field.is_in(self.version));
        let fields: usize = present
            .map(|field: &Field| self.field_size_min(&field.shape))
            .sum();
        fields + usize::from(self.flexible && layout.tagged)
    }

    fn field_size_min(&self, shape: &Shape) -> usize {
        match shape {
            Shape::Fixed(size) => *size,
            Shape::String | Shape::NullableString => {
                if self.flexible {
                    1
                } else {
                    2
                }
            }
            Shape::Bytes | Shape::NullableBytes | Shape::Array(_) | Shape::NullableArray(_) => {
                if self.flexible {
                    1
                } else {
                    4
                }
            }
            Shape::Structure(layout) => self.size_min(layout),
        }
    }

    fn charge(&mut self, count: usize, memory: usize) -> Result<(), ShapeError> {
        let left = count
            .checked_mul(memory)
            .and_then(|cost| self.budget.checked_sub(cost));
        self.budget = left.ok_or(ShapeError::Memory)?;
        Ok(())
    }

    /// A length or count, None for null: an unsigned varint of it plus one in flexible versions,
    /// else a signed integer of `classic_size` bytes with -1 for null.
    fn length(&mut self, classic_size: usize) -> Result<Option<usize>, ShapeError> {
        if !self.flexible {
            return self.classic_length(classic_size);
        }
        Ok(self.unsigned_varint()?.checked_sub(1).map(usize_of))
    }

    fn classic_length(&mut self, size: usize) -> Result<Option<usize>, ShapeError> {
        let bytes = self.take(size)?;
        let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
        if negative {
            let null = bytes.iter().all(|byte| *byte == 0xff);
            return if null {
                Ok(None)
            } else {
                Err(ShapeError::Length)
            };
        }
        Ok(Some(
            bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte)),
        ))
    }

    fn unsigned_varint(&mut self) -> Result<u32, ShapeError> {
        let mut value = 0_u32;
        for shift in (0..32).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(ShapeError::Truncated)?;
            self.rest = rest;
            // The fifth byte has room for four bits only.
            if shift == 28 && byte > 0x0f {
                return Err(ShapeError::Varint);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ShapeError::Varint)
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8], ShapeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(size)
            .ok_or(ShapeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// A wire length as an index; on a 16-bit machine it would be one that no frame holds.
fn usize_of(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
