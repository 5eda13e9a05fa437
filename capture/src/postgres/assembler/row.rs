//! Tuples of pgoutput as rows of values.

use crate::event::{Operation, Row, RowChange};
use crate::postgres::pgoutput::{Datum, OldTuple, Tuple};
use crate::postgres::text;
use crate::value::{Value, ValueForm};

/// A tuple with its columns' forms.
#[derive(Debug, Clone, Copy)]
pub(super) struct TupleRow<'a> {
    tuple: Tuple<'a>,
    /// The old row, for values that the new one leaves out because they did not change.
    old: Option<Tuple<'a>>,
    forms: &'a [ValueForm],
}

impl Row for TupleRow<'_> {
    fn values(&self) -> impl Iterator<Item = Value<'_>> {
        let mut old = self.old.map(|old| old.columns());
        let columns = self.tuple.columns().zip(self.forms);
        columns.map(move |(datum, form)| {
            let old = old.as_mut().and_then(Iterator::next);
            match (datum, old) {
                (Datum::Text(text), _) | (Datum::Unchanged, Some(Datum::Text(text))) => {
                    text::value(*form, text)
                }
                (Datum::Null, _) => Value::Null,
                // An old key holds null for what it does not carry: that is not the value.
                (Datum::Unchanged, Some(Datum::Null | Datum::Unchanged) | None) => {
                    Value::Unchanged(*form)
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
    pub(super) fn change(&self, forms: &'a [ValueForm]) -> Option<RowChange<TupleRow<'a>>> {
        let old = self.old.map(OldTuple::tuple);
        let fits = |tuple: &Tuple<'_>| tuple.column_count() == forms.len();
        if !old.iter().chain(&self.new).all(fits) {
            return None;
        }
        let old_row = old.map(|tuple| TupleRow {
            tuple,
            old: None,
            forms,
        });
        let new_row = self.new.map(|tuple| TupleRow { tuple, old, forms });
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
