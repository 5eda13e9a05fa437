//! Tuples of pgoutput as rows of values.

use crate::event::{Operation, Row, RowChange};
use crate::postgres::pgoutput::{Datum, OldTuple, Tuple};
use crate::postgres::text;
use crate::value::{Value, ValueKind};

/// A tuple with its columns' kinds.
#[derive(Debug, Clone, Copy)]
pub(super) struct TupleRow<'a> {
    tuple: Tuple<'a>,
    /// The old row, for values that the new one leaves out because they did not change.
    old: Option<Tuple<'a>>,
    kinds: &'a [ValueKind],
}

impl Row for TupleRow<'_> {
    fn values(&self) -> impl Iterator<Item = Value<'_>> {
        let mut old = self.old.map(|old| old.columns());
        let columns = self.tuple.columns().zip(self.kinds);
        columns.map(move |(datum, kind)| {
            let old = old.as_mut().and_then(Iterator::next);
            match (datum, old) {
                (Datum::Text(text), _) | (Datum::Unchanged, Some(Datum::Text(text))) => {
                    text::value(*kind, text)
                }
                (Datum::Null, _) => Value::Null,
                // An old key holds null for what it does not carry: that is not the value.
                (Datum::Unchanged, Some(Datum::Null | Datum::Unchanged) | None) => {
                    Value::Unchanged(*kind)
                }
            }
        })
    }
}

/// A row message, whichever it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowMessage<'a> {
    pub(super) relation: u32,
    pub(super) operation: Operation,
    pub(super) old: Option<OldTuple<'a>>,
    pub(super) new: Option<Tuple<'a>>,
    /// Bytes of the message.
    pub(super) size: usize,
}

impl<'a> RowMessage<'a> {
    /// The change with its images; `None` if a tuple has another number of columns than the relation.
    pub(super) fn change(&self, kinds: &'a [ValueKind]) -> Option<RowChange<TupleRow<'a>>> {
        let old = self.old.map(OldTuple::tuple);
        let fits = |tuple: &Tuple<'_>| tuple.column_count() == kinds.len();
        if !old.iter().chain(&self.new).all(fits) {
            return None;
        }
        let old_row = old.map(|tuple| TupleRow {
            tuple,
            old: None,
            kinds,
        });
        let new_row = self.new.map(|tuple| TupleRow { tuple, old, kinds });
        let is_full = matches!(self.old, Some(OldTuple::Full(_)));
        Some(RowChange {
            operation: self.operation,
            before: old_row.filter(|_| is_full),
            after: new_row,
            key: new_row.or(old_row)?,
            old_key: old_row.filter(|_| self.operation == Operation::Update),
        })
    }
}
