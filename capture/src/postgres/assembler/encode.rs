//! A row change into the records of every feed: at once where it is as usual, with care where it is too large or came
//! in binary form.

use super::error::{out_of_place, record_too_large, unreadable};
use super::oversize::Omission;
use super::row::{Beside, RowMessage};
use super::{AssembleError, Assembler};
use crate::encode::json::JsonBuffer;
use crate::encode::{Attempt, TooLarge};
use crate::event::ChangeOrigin;
use crate::limits::Oversize;
use crate::postgres::binary::Rendered;
use crate::postgres::pgoutput::{OldTuple, Tuple};
use crate::table::{Table, TableKey};

/// Why the quick way ended.
struct Refused {
    feed: usize,
    /// Records of the change that this feed has already.
    done: usize,
    record: TooLarge,
}

/// A row change on the slow way.
#[derive(Clone, Copy)]
struct Slow<'a> {
    index: usize,
    row: RowMessage<'a>,
    origin: &'a ChangeOrigin,
    /// Values that came in binary form, as texts; of the old tuple, and of the new one.
    rendered: &'a (Rendered, Rendered),
}

impl Assembler {
    /// Renders the change for every feed and appends it.
    pub(super) fn encode(
        &mut self,
        index: usize,
        row: RowMessage<'_>,
        origin: &ChangeOrigin,
    ) -> Result<(), AssembleError> {
        let key = self.prepared(index);
        let mut omitted = Vec::new();
        if row.has_binary() {
            omitted = self.encode_binary(key, (index, row), origin)?;
        } else if let Some(refused) = self.encode_quickly(key, (index, row), origin)? {
            let rendered = Default::default();
            let slow = Slow {
                index,
                row,
                origin,
                rendered: &rendered,
            };
            omitted = self.encode_slowly(key, slow, refused)?;
        }
        let largest = self.gather.take_largest();
        if largest >= self.large_record_bytes || !omitted.is_empty() {
            self.tell_large(index, (&row, largest), origin, omitted);
        }
        Ok(())
    }

    /// `Some`: the record of a feed is too large, and those behind it were not tried.
    fn encode_quickly(
        &mut self,
        key: TableKey,
        (index, row): (usize, RowMessage<'_>),
        origin: &ChangeOrigin,
    ) -> Result<Option<Refused>, AssembleError> {
        let known = self.relations.known(index);
        let change = row.change(known.forms);
        let change = change.ok_or_else(|| other_columns(origin))?;
        let gather = &mut self.gather;
        let mut encoders = self.encoders.iter_mut().enumerate();
        Ok(encoders.find_map(|(feed, encoder)| {
            let mut attempt = Attempt::default();
            let lane = (&mut *gather, feed, key);
            let encoded = encoder.append(lane, (&change, row.size), origin, &mut attempt);
            encoded.err().map(|record| Refused {
                feed,
                done: attempt.done,
                record,
            })
        }))
    }

    fn encode_binary(
        &mut self,
        key: TableKey,
        (index, row): (usize, RowMessage<'_>),
        origin: &ChangeOrigin,
    ) -> Result<Vec<String>, AssembleError> {
        let known = self.relations.known(index);
        let fits = row.change(known.forms).is_some();
        if !fits {
            return Err(other_columns(origin));
        }
        let text_bytes_max = self.record_bytes_max.saturating_mul(2);
        let old = row.old.map(OldTuple::tuple);
        let render = |tuple: Option<Tuple<'_>>| match tuple {
            Some(tuple) => Rendered::of(tuple, known.binary, text_bytes_max),
            None => Ok(Rendered::default()),
        };
        let rendered = render(old).and_then(|old| Ok((old, render(row.new)?)));
        let rendered = rendered.map_err(|refused| {
            let table = self.relations.table(index);
            unreadable(&table, origin, refused)
        })?;
        let slow = Slow {
            index,
            row,
            origin,
            rendered: &rendered,
        };
        let nothing = Refused {
            feed: 0,
            done: 0,
            record: TooLarge { bytes: 0 },
        };
        self.encode_slowly(key, slow, nothing)
    }

    /// From the refused feed on. Gives the names of the columns that were left out in any of them.
    fn encode_slowly(
        &mut self,
        key: TableKey,
        slow: Slow<'_>,
        refused: Refused,
    ) -> Result<Vec<String>, AssembleError> {
        let table = self.relations.table(slow.index);
        if refused.record.bytes > 0 && self.oversize == Oversize::Stop {
            return Err(self.too_large(&table, slow.origin, refused.record));
        }
        let mut omitted = Vec::new();
        let mut done = refused.done;
        for feed in refused.feed..self.encoders.len() {
            let names = self.fit((key, feed), slow, (&table, done))?;
            done = 0;
            if names.len() > omitted.len() {
                omitted = names;
            }
        }
        Ok(omitted)
    }

    /// Appends the change to one feed, without as many of its columns as it takes.
    fn fit(
        &mut self,
        (key, feed): (TableKey, usize),
        slow: Slow<'_>,
        (table, mut done): (&Table, usize),
    ) -> Result<Vec<String>, AssembleError> {
        let mut omission = Omission::new(table, &slow.row.sizes(), self.record_bytes_max);
        let (old, new) = slow.rendered;
        for column in old.too_large().chain(new.too_large()) {
            omission.omit(column);
        }
        loop {
            let names = omission.names(table);
            let refused = self.attempt((key, feed), slow, (&omission, &names), &mut done)?;
            let Some(refused) = refused else {
                return Ok(names);
            };
            if self.oversize == Oversize::Stop || !omission.omit_more() {
                return Err(self.too_large(table, slow.origin, refused));
            }
        }
    }

    fn attempt(
        &mut self,
        (key, feed): (TableKey, usize),
        slow: Slow<'_>,
        (omission, names): (&Omission, &[String]),
        done: &mut usize,
    ) -> Result<Option<TooLarge>, AssembleError> {
        let known = self.relations.known(slow.index);
        let beside = Beside {
            old: &slow.rendered.0,
            new: &slow.rendered.1,
            omitted: omission.omitted(),
        };
        let change = slow.row.slow_change(known.forms, beside);
        let change = change.ok_or_else(|| other_columns(slow.origin))?;
        let list = list_of(names);
        let mut attempt = Attempt {
            omitted: (!names.is_empty()).then_some(&*list),
            done: *done,
        };
        if self.oversize == Oversize::Stop && !names.is_empty() {
            return Ok(Some(TooLarge {
                bytes: slow.row.size,
            }));
        }
        let Some(encoder) = self.encoders.get_mut(feed) else {
            return Ok(None);
        };
        let lane = (&mut self.gather, feed, key);
        let change = (&change, slow.row.size);
        let encoded = encoder.append(lane, change, slow.origin, &mut attempt);
        *done = attempt.done;
        Ok(encoded.err())
    }

    pub(super) fn too_large(
        &self,
        table: &Table,
        origin: &ChangeOrigin,
        record: TooLarge,
    ) -> AssembleError {
        record_too_large(table, origin, record.bytes, self.record_bytes_max)
    }
}

/// Names as a JSON array.
fn list_of(names: &[String]) -> Vec<u8> {
    let mut list = JsonBuffer::new(usize::MAX);
    list.raw(b"[");
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            list.raw(b",");
        }
        list.string(name.as_bytes()).expect("there is no limit");
    }
    list.raw(b"]");
    list.bytes().to_vec()
}

fn other_columns(origin: &ChangeOrigin) -> AssembleError {
    let what = "row with other columns than its relation";
    out_of_place(what, origin.commit_lsn)
}
