//! What follows from an origin, kept as bytes: with one row a transaction, three records have the same.

use super::avro::AvroWriter;
use super::envelope::{put_decimal, put_position};
use super::{Origin, Position};

/// Made again for an origin that says something else.
#[derive(Debug, Default)]
pub(super) struct OriginBytes {
    /// Commit time, safe position and number.
    transaction: Option<(i64, Position, u64)>,
    read_time_ms: Option<i64>,
    /// The field `sourceTimestamp`.
    pub(super) seconds: Vec<u8>,
    /// `safeSourcePosition`, `sourceTxid`, `source`.
    pub(super) transaction_fields: Vec<u8>,
    /// The entry `readerThroughoutTime`, and the end of the tags.
    pub(super) read_time: Vec<u8>,
}

impl OriginBytes {
    /// Follows `origin`. `source`: the field of that name, always the same one.
    #[inline]
    pub(super) fn follow(&mut self, origin: &Origin<'_>, source: &[u8]) {
        let transaction = (
            origin.commit_time_ms,
            origin.safe_position,
            origin.transaction,
        );
        if self.transaction != Some(transaction) {
            self.transaction = Some(transaction);
            self.render_transaction(origin, source);
        }
        if self.read_time_ms != Some(origin.read_time_ms) {
            self.read_time_ms = Some(origin.read_time_ms);
            self.render_read_time(origin.read_time_ms);
        }
    }

    fn render_transaction(&mut self, origin: &Origin<'_>, source: &[u8]) {
        self.seconds.clear();
        let mut out = AvroWriter::new(&mut self.seconds, usize::MAX);
        out.long(origin.commit_time_ms.div_euclid(1000));
        self.transaction_fields.clear();
        let mut out = AvroWriter::new(&mut self.transaction_fields, usize::MAX);
        put_position(&mut out, origin.safe_position);
        put_decimal(&mut out, origin.transaction);
        out.raw(source);
    }

    fn render_read_time(&mut self, read_time_ms: i64) {
        self.read_time.clear();
        let mut out = AvroWriter::new(&mut self.read_time, usize::MAX);
        out.bytes(b"readerThroughoutTime");
        put_decimal(&mut out, u64::try_from(read_time_ms).unwrap_or_default());
        out.raw(&[0]);
    }
}
