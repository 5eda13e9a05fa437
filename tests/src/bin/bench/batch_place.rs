//! Where in a run of stored v2 batches each batch lies: read off their headers, no record is decoded.

use std::io;

use super::kafka_frame::{Reader, invalid};

/// Bytes of a v2 batch in front of its records.
pub(crate) const BATCH_HEADER_BYTES: usize = 61;
/// Base offset and length, which the length does not count.
const BATCH_LENGTH_PREFIX: usize = 12;
const LAST_OFFSET_DELTA_AT: usize = 23;

/// The base offset and size of each batch in `batches`, which must be whole.
pub(crate) fn batch_index(batches: &[u8]) -> io::Result<Vec<BatchPlace>> {
    let mut places = Vec::new();
    let mut at = 0;
    while at < batches.len() {
        let place = batch_at(&batches[at..], at, batches.len() - at)?;
        at += place.size;
        places.push(place);
    }
    Ok(places)
}

/// Where a batch lies and which offsets it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchPlace {
    pub(crate) at: usize,
    pub(crate) size: usize,
    pub(crate) base_offset: i64,
    /// Behind its last record.
    pub(crate) end_offset: i64,
}

/// The whole batches at the front, and the offset behind the last of them; `None` where there is none.
///
/// Kafka fills a response up to the limit and so cuts its last batch off; headwater sends whole ones.
pub(crate) fn whole_batches(fetched: &[u8]) -> (&[u8], Option<i64>) {
    let mut at = 0;
    let mut end = None;
    while let Ok(place) = batch_at(&fetched[at..], at, fetched.len() - at) {
        at += place.size;
        end = Some(place.end_offset);
    }
    (&fetched[..at], end)
}

/// The batch whose header is given: it begins at byte `at`, with so many bytes behind that place.
pub(crate) fn batch_at(header: &[u8], at: usize, left: usize) -> io::Result<BatchPlace> {
    let cut = || invalid("a batch that is cut short".to_owned());
    let header = header.first_chunk::<BATCH_HEADER_BYTES>().ok_or_else(cut)?;
    let mut reader = Reader(header);
    let base_offset = reader.i64()?;
    let size = usize::try_from(reader.i32()?)
        .ok()
        .and_then(|length| length.checked_add(BATCH_LENGTH_PREFIX))
        .ok_or_else(cut)?;
    if size < BATCH_HEADER_BYTES || size > left {
        return Err(cut());
    }
    let last_offset_delta = Reader(&header[LAST_OFFSET_DELTA_AT..]).i32()?;
    Ok(BatchPlace {
        at,
        size,
        base_offset,
        end_offset: base_offset + i64::from(last_offset_delta) + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base_offset: i64, last_offset_delta: i32, records_bytes: usize) -> Vec<u8> {
        let mut bytes = vec![0; BATCH_HEADER_BYTES + records_bytes];
        let length = i32::try_from(bytes.len() - BATCH_LENGTH_PREFIX).expect("short");
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[LAST_OFFSET_DELTA_AT..LAST_OFFSET_DELTA_AT + 4]
            .copy_from_slice(&last_offset_delta.to_be_bytes());
        bytes
    }

    #[test]
    fn batches_are_walked_by_their_headers() {
        let bytes = [batch(10, 4, 100), batch(15, 0, 7)].concat();
        let places = batch_index(&bytes).expect("whole batches");
        assert_eq!(places.len(), 2);
        assert_eq!((places[1].at, places[1].size), (161, 68));
        assert_eq!((places[0].end_offset, places[1].end_offset), (15, 16));
    }

    #[test]
    fn a_batch_that_is_cut_short_is_an_error() {
        let bytes = batch(10, 4, 100);
        assert!(batch_index(&bytes[..bytes.len() - 1]).is_err());
        assert!(batch_index(&bytes[..20]).is_err());
    }

    #[test]
    fn a_batch_that_is_cut_off_at_the_end_of_a_response_is_left_out() {
        let bytes = [batch(10, 4, 100), batch(15, 0, 7)].concat();
        assert_eq!(whole_batches(&bytes), (&bytes[..], Some(16)));
        let cut = whole_batches(&bytes[..bytes.len() - 1]);
        assert_eq!(cut, (&bytes[..161], Some(15)));
        assert_eq!(whole_batches(&bytes[..20]), (&bytes[..0], None));
    }
}
