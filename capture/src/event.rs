//! One row change on its way from a source to the encoders.

use crate::value::Value;

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It was inserted.
    Create,
    /// It was changed.
    Update,
    /// It was deleted.
    Delete,
}

/// A row image in a source's own form: walked as often as an encoder needs, in the table's column order,
/// with as many values as the table has columns.
pub trait Row: Copy {
    /// The columns' values.
    fn values(&self) -> impl Iterator<Item = Value<'_>>;
}

/// A logical message: what an application wrote into the source's log beside its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogicalMessage<'a> {
    /// Whether it belongs to a transaction; otherwise it stands by itself.
    pub is_transactional: bool,
    /// Who it is for.
    pub prefix: &'a str,
    /// What it says.
    pub content: &'a [u8],
}

/// A row change with its images.
#[derive(Debug, Clone, Copy)]
pub struct RowChange<R> {
    /// What happened.
    pub operation: Operation,
    /// The full old row, where the source sent it; never a part of one.
    pub before: Option<R>,
    /// The new row; none for a delete.
    pub after: Option<R>,
    /// A row that holds at least the record key's columns, as they are after the change.
    pub key: R,
    /// A row that holds at least the record key's columns, as they were before an update; none where the
    /// source says that they did not change.
    pub old_key: Option<R>,
}

impl<R> RowChange<R> {
    /// The same change of rows in another form.
    pub(crate) fn map<S>(self, form: impl Fn(R) -> S) -> RowChange<S> {
        RowChange {
            operation: self.operation,
            before: self.before.map(&form),
            after: self.after.map(&form),
            key: form(self.key),
            old_key: self.old_key.map(&form),
        }
    }
}

/// Where a change comes from; identity is (`commit_lsn`, `ordinal`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeOrigin {
    /// The source transaction's id.
    pub transaction_id: u64,
    /// Position of the transaction's commit in the source's log.
    pub commit_lsn: u64,
    /// Position of the change itself. Several changes may share one.
    pub lsn: u64,
    /// Index of the change in its transaction, before any filter of ours.
    pub ordinal: u64,
    /// Where the transaction before ended, or where reading resumed; `None`: neither is known.
    pub previous_end_lsn: Option<u64>,
    /// Source commit time, microseconds since 1970.
    pub commit_time_us: i64,
    /// When the change was read, ms since 1970.
    pub read_time_ms: i64,
}

impl ChangeOrigin {
    /// Source commit time, ms since 1970; never negative, since Kafka's timestamps are not.
    pub fn commit_time_ms(&self) -> i64 {
        self.commit_time_us.div_euclid(1000).max(0)
    }
}
