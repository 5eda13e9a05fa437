//! Tuples of pgoutput as rows of values.

use crate::event::{Operation, Row, RowChange};
use crate::postgres::binary::Rendered;
use crate::postgres::pgoutput::{Datum, OldTuple, Tuple};
use crate::postgres::text;
use crate::value::{Value, ValueForm};

/// A tuple of texts with its columns' forms.
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
                // An old key holds null for what it does not carry: that is not the value. Rows with values in
                // binary form go another way.
                (Datum::Unchanged, Some(_) | None) | (Datum::Binary(_), _) => {
                    Value::Unchanged(*form)
                }
            }
        })
    }
}

/// What a change has beside its message: values in binary form as texts, and columns that are left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside<'a> {
    pub(super) old: &'a Rendered,
    pub(super) new: &'a Rendered,
    /// For each column, whether it is left out.
    pub(super) omitted: &'a [bool],
}

/// A tuple that takes longer: in binary form, or without some of its columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlowRow<'a> {
    row: TupleRow<'a>,
    rendered: &'a Rendered,
    beside: Beside<'a>,
}

impl Row for SlowRow<'_> {
    fn values(&self) -> impl Iterator<Item = Value<'_>> {
        let mut old = self.row.old.map(|old| old.columns());
        let omitted = self.beside.omitted.iter();
        let omitted = omitted.copied().chain(std::iter::repeat(false));
        let columns = self.row.tuple.columns().zip(self.row.forms).zip(omitted);
        columns
            .enumerate()
            .map(move |(index, ((datum, form), omitted))| {
                let old = old.as_mut().and_then(Iterator::next);
                if omitted && !matches!(datum, Datum::Null) {
                    return Value::Omitted(*form);
                }
                match (datum, old) {
                    (Datum::Text(text), _) | (Datum::Unchanged, Some(Datum::Text(text))) => {
                        text::value(*form, text)
                    }
                    (Datum::Binary(bytes), _) => self.rendered.value(index, *form, bytes),
                    (Datum::Unchanged, Some(Datum::Binary(bytes))) => {
                        self.beside.old.value(index, *form, bytes)
                    }
                    (Datum::Null, _) => Value::Null,
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

    /// The same with what stands beside the message.
    pub(super) fn slow_change(
        &self,
        forms: &'a [ValueForm],
        beside: Beside<'a>,
    ) -> Option<RowChange<SlowRow<'a>>> {
        let new = self.new;
        let slow = |row: TupleRow<'a>| SlowRow {
            row,
            rendered: if Some(row.tuple) == new {
                beside.new
            } else {
                beside.old
            },
            beside,
        };
        Some(self.change(forms)?.map(slow))
    }

    /// Whether a value came in binary form.
    pub(super) fn has_binary(&self) -> bool {
        let old = self.old.map(OldTuple::tuple);
        old.iter().chain(&self.new).any(Tuple::has_binary)
    }

    /// Bytes that each column takes up in the message, over both images.
    pub(super) fn sizes(&self) -> Vec<usize> {
        let mut sizes = Vec::new();
        let old = self.old.map(OldTuple::tuple);
        for tuple in old.iter().chain(&self.new) {
            sizes.resize(sizes.len().max(tuple.column_count()), 0);
            for (size, datum) in sizes.iter_mut().zip(tuple.columns()) {
                *size += match datum {
                    Datum::Text(bytes) | Datum::Binary(bytes) => bytes.len(),
                    Datum::Null | Datum::Unchanged => 0,
                };
            }
        }
        sizes
    }

    /// The values of some columns, for people: as the source sent them, with commas between, cut.
    pub(super) fn key_text(&self, columns: &[usize], bytes_max: usize) -> String {
        let Some(row) = self.new.or(self.old.map(OldTuple::tuple)) else {
            return String::new();
        };
        let value = |index: &usize| match row.columns().nth(*index) {
            Some(Datum::Text(text)) => {
                String::from_utf8_lossy(text.get(..bytes_max).unwrap_or(text)).into_owned()
            }
            Some(Datum::Binary(bytes)) => {
                let shown = bytes.get(..bytes_max / 2).unwrap_or(bytes);
                let digits = shown.iter().map(|byte| format!("{byte:02x}"));
                format!("\\x{}", digits.collect::<String>())
            }
            Some(Datum::Null | Datum::Unchanged) | None => "NULL".to_owned(),
        };
        let values: Vec<_> = columns.iter().map(value).collect();
        let text = values.join(",");
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        text.chars().take(bytes_max).map(printable).collect()
    }
}
