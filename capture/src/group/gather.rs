//! Gathers transactions into groups: one open batch per feed and table, whatever the number of transactions.
//!
//! Knows no source and no format: it is told where transactions begin and end, and given encoded records.
//! Records are appended once. They are moved a second time only where the log takes the whole transactions
//! while a later one is open ([`Gather::take_whole`]): each batch is then cut at the mark where the open
//! transaction began in it.
//!
//! A batch that reached its size is set aside as `full`, unfinished, because the open transaction may still
//! have to be cut out of it. For one feed and table, full batches come before the open one, in order.

#[cfg(test)]
mod tests;

use headwater_protocol::batch::{BATCH_HEADER_SIZE, BatchBuilder, BatchFull, Header, Mark};

use crate::encode::{Encoded, TooLarge};
use crate::group::TableBatch;
use crate::table::TableKey;

/// What an open batch costs beside its bytes: its bookkeeping here, and its first allocation's slack.
const BATCH_OVERHEAD: usize = 256;

/// Bytes of a record beside key, value and headers, at most.
const RECORD_OVERHEAD: usize = 64;

/// Where a record goes: a feed, and a table of it unless all its records are one stream.
pub(crate) type Lane = (usize, Option<TableKey>);

/// No open batch.
const NONE: u32 = u32::MAX;

/// Whole transactions not taken yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Transactions, also those without a captured change.
    pub(crate) transactions: u64,
    /// Captured changes.
    pub(crate) changes: u64,
    /// Records that are not of a change: heartbeats, and boundaries of transactions without a change.
    pub(crate) controls: u64,
    /// The highest commit time, ms since 1970.
    pub(crate) commit_time_ms: Option<i64>,
}

impl Whole {
    /// Whether there is something that readers wait for.
    pub(crate) fn has_records(&self) -> bool {
        self.changes > 0 || self.controls > 0
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    batch_bytes: usize,
    /// By feed, then table key: index into `open`, or [`NONE`].
    slots: Vec<Vec<u32>>,
    open: Vec<Batch>,
    full: Vec<Batch>,
    bytes: usize,
    whole: Whole,
    /// Number of the open transaction, or of the last one.
    transaction: u64,
    /// Whether that transaction is open.
    is_open: bool,
    /// Of the open transaction, what is held.
    open_bytes: usize,
    open_changes: u64,
    open_controls: u64,
    /// Whether parts of the open transaction were handed over.
    parts_taken: bool,
    /// Bytes of the largest record since that was last asked.
    largest: usize,
}

#[derive(Debug)]
struct Batch {
    feed: usize,
    table: Option<TableKey>,
    builder: BatchBuilder,
    /// The last transaction with a record in it.
    transaction: u64,
    /// Where that transaction's records begin, unless all are its.
    mark: Option<Mark>,
}

/// What of a batch belongs to whole transactions.
enum Share {
    All,
    Nothing,
    Before(Mark),
}

impl Batch {
    fn new((feed, table): Lane, transaction: u64) -> Self {
        Self {
            feed,
            table,
            builder: BatchBuilder::new(),
            transaction,
            mark: None,
        }
    }

    fn lane(&self) -> Lane {
        (self.feed, self.table)
    }

    fn size(&self) -> usize {
        self.builder.size() + BATCH_OVERHEAD
    }

    /// `open`: the open transaction's number.
    fn whole_share(&self, open: Option<u64>) -> Share {
        match self.mark {
            _ if open != Some(self.transaction) => Share::All,
            Some(mark) => Share::Before(mark),
            None => Share::Nothing,
        }
    }

    /// Moves the records behind `mark` into a batch of the same table, all of the open transaction.
    fn split_off(&mut self, mark: Mark) -> Self {
        Self {
            builder: self.builder.split_off(mark),
            mark: None,
            ..*self
        }
    }

    fn finish_into(mut self, batches: &mut Vec<TableBatch>) {
        if let Some(batch) = self.builder.finish() {
            batches.push(TableBatch {
                feed: self.feed,
                table: self.table,
                batch,
            });
        }
    }
}

impl Gather {
    /// `batch_bytes`: see `CaptureLimits`.
    pub(crate) fn new(feeds: usize, batch_bytes: usize) -> Self {
        Self {
            batch_bytes,
            slots: vec![Vec::new(); feeds],
            ..Self::default()
        }
    }

    /// Bytes held in batches.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the largest record since the last call, about.
    pub(crate) fn take_largest(&mut self) -> usize {
        std::mem::take(&mut self.largest)
    }

    /// Bytes of them that the open transaction brought.
    pub(crate) fn open_bytes(&self) -> usize {
        self.open_bytes
    }

    /// The whole transactions that [`Gather::take_whole`] would hand over.
    pub(crate) fn whole(&self) -> Whole {
        self.whole
    }

    /// Whether parts of the open transaction were handed over.
    pub(crate) fn parts_taken(&self) -> bool {
        self.parts_taken
    }

    /// A transaction begins.
    pub(crate) fn begin(&mut self) {
        self.transaction += 1;
        self.is_open = true;
    }

    /// Counts a captured change of the open transaction, once for all feeds.
    pub(crate) fn count_change(&mut self) {
        self.open_changes += 1;
    }

    /// Counts a record of the open transaction that is not of a change.
    pub(crate) fn count_control(&mut self) {
        self.open_controls += 1;
    }

    /// Appends a record of the open transaction.
    pub(crate) fn append(
        &mut self,
        lane: Lane,
        timestamp_ms: i64,
        record: &Encoded<'_>,
    ) -> Result<(), TooLarge> {
        let (key, value) = (record.key, record.value);
        self.append_with(lane, record.size(), |builder| {
            let appended = builder.append(timestamp_ms, key, value, record.headers());
            appended.map_err(|_| TooLarge {
                bytes: record.size(),
            })
        })
    }

    /// Appends a record of the open transaction, without key, whose value of about `expected` bytes is written
    /// straight into the batch.
    pub(crate) fn append_value<E: From<BatchFull>>(
        &mut self,
        lane: Lane,
        (timestamp_ms, expected): (i64, usize),
        headers: &[Header<'_>],
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.append_with(lane, expected, |builder| {
            builder.append_value(timestamp_ms, expected, headers, write)
        })
    }

    fn append_with<E>(
        &mut self,
        lane: Lane,
        expected: usize,
        append: impl FnOnce(&mut BatchBuilder) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut index = self.open_batch(lane);
        let expected = expected + RECORD_OVERHEAD;
        if let Some(batch) = self.open.get(index)
            && !batch.builder.is_empty()
            && batch.builder.size() + expected > self.batch_bytes
        {
            self.close(index);
            index = self.open_batch(lane);
        }
        let transaction = self.transaction;
        let batch = self.open.get_mut(index).expect("open_batch gave its index");
        if batch.transaction != transaction {
            batch.transaction = transaction;
            batch.mark = (!batch.builder.is_empty()).then(|| batch.builder.mark());
        }
        let (before, start) = (batch.builder.size(), batch.builder.mark());
        append(&mut batch.builder)?;
        let size = batch.builder.size();
        self.largest = self.largest.max(size - before);
        self.bytes += size - before;
        self.open_bytes += size - before;
        if size >= self.batch_bytes {
            self.close_behind(
                index,
                (size > self.batch_bytes && before > 0).then_some(start),
            );
        }
        Ok(())
    }

    /// Sets an open batch aside; a last record that was larger than expected goes to a batch of its own.
    fn close_behind(&mut self, index: usize, last_record: Option<Mark>) {
        let split = self.open.get_mut(index).zip(last_record);
        let alone = split.map(|(batch, start)| batch.split_off(start));
        self.close(index);
        let Some(alone) = alone else {
            return;
        };
        // The split gave the record a batch header of its own.
        let overhead = BATCH_OVERHEAD + BATCH_HEADER_SIZE;
        self.bytes += overhead;
        self.open_bytes += overhead;
        if alone.builder.size() >= self.batch_bytes {
            self.full.push(alone);
            return;
        }
        let slot = u32::try_from(self.open.len()).expect("open batches are bounded in bytes");
        self.set_slot(alone.lane(), slot);
        self.open.push(alone);
    }

    /// The index of the open batch of a lane; a new one if there was none.
    fn open_batch(&mut self, lane: Lane) -> usize {
        let slots = self.slots.get_mut(lane.0).expect("a feed of this source");
        let key = slot_index(lane.1);
        if key >= slots.len() {
            slots.resize(key + 1, NONE);
        }
        let slot = slots.get_mut(key).expect("resized above");
        if *slot == NONE {
            *slot = u32::try_from(self.open.len()).expect("open batches are bounded in bytes");
            self.open.push(Batch::new(lane, self.transaction));
            self.bytes += BATCH_OVERHEAD;
            self.open_bytes += BATCH_OVERHEAD;
        }
        usize::try_from(*slot).expect("usize has at least 32 bits here")
    }

    /// Sets an open batch aside.
    fn close(&mut self, index: usize) {
        let batch = self.open.swap_remove(index);
        self.set_slot(batch.lane(), NONE);
        if let Some(moved) = self.open.get(index) {
            let slot = u32::try_from(index).expect("smaller than before");
            self.set_slot(moved.lane(), slot);
        }
        self.full.push(batch);
    }

    fn set_slot(&mut self, (feed, table): Lane, value: u32) {
        let slots = self.slots.get_mut(feed);
        if let Some(slot) = slots.and_then(|slots| slots.get_mut(slot_index(table))) {
            *slot = value;
        }
    }

    /// The open transaction ends.
    pub(crate) fn commit(&mut self, commit_time_ms: i64) {
        self.whole.transactions += 1;
        self.whole.changes += self.open_changes;
        self.whole.controls += self.open_controls;
        self.whole.commit_time_ms = self.whole.commit_time_ms.max(Some(commit_time_ms));
        self.end();
    }

    /// What began with [`Gather::begin`] was no transaction: its records are whole.
    pub(crate) fn end_of_controls(&mut self, timestamp_ms: i64) {
        self.whole.controls += self.open_controls;
        self.whole.commit_time_ms = self.whole.commit_time_ms.max(Some(timestamp_ms));
        self.end();
    }

    fn end(&mut self) {
        self.is_open = false;
        self.parts_taken = false;
        self.open_bytes = 0;
        self.open_changes = 0;
        self.open_controls = 0;
    }

    /// Hands over the whole transactions; what the open one brought stays. Linear in what is held.
    ///
    /// The caller sees to it that no parts of the open transaction were handed over before.
    pub(crate) fn take_whole(&mut self) -> (Vec<TableBatch>, Whole) {
        let mut batches = Vec::with_capacity(self.full.len() + self.open.len());
        let open_transaction = self.open_transaction();
        let mut keep = |mut batch: Batch| -> Option<Batch> {
            let kept = match batch.whole_share(open_transaction) {
                Share::Nothing => return Some(batch),
                Share::Before(mark) => Some(batch.split_off(mark)),
                Share::All => None,
            };
            batch.finish_into(&mut batches);
            kept
        };
        let (full, open) = self.take_held();
        let full = full.into_iter().filter_map(&mut keep).collect();
        let open = open.into_iter().filter_map(&mut keep).collect();
        self.hold(full, open);
        self.open_bytes = self.bytes;
        (batches, std::mem::take(&mut self.whole))
    }

    /// Hands over part of the open transaction: the full batches, then the largest open ones, until at most
    /// `keep_bytes` are held. The caller sees to it that no whole transaction is held.
    pub(crate) fn take_part(&mut self, keep_bytes: usize) -> Vec<TableBatch> {
        let (full, mut open) = self.take_held();
        let mut batches = Vec::with_capacity(full.len());
        full.into_iter()
            .for_each(|batch| batch.finish_into(&mut batches));
        let mut held: usize = open.iter().map(Batch::size).sum();
        open.sort_by_key(Batch::size);
        while held > keep_bytes
            && let Some(largest) = open.pop()
        {
            held -= largest.size();
            largest.finish_into(&mut batches);
        }
        self.hold(Vec::new(), open);
        self.open_bytes = self.bytes;
        self.parts_taken = true;
        batches
    }

    /// Forgets the open transaction. Parts handed over before are the caller's to take back.
    pub(crate) fn abandon(&mut self) {
        let open_transaction = self.open_transaction();
        let keep = |mut batch: Batch| -> Option<Batch> {
            match batch.whole_share(open_transaction) {
                Share::Nothing => return None,
                Share::Before(mark) => drop(batch.split_off(mark)),
                Share::All => {}
            }
            Some(batch)
        };
        let (full, open) = self.take_held();
        let full = full.into_iter().filter_map(keep).collect();
        let open = open.into_iter().filter_map(keep).collect();
        self.hold(full, open);
        self.end();
    }

    fn open_transaction(&self) -> Option<u64> {
        self.is_open.then_some(self.transaction)
    }

    /// Takes all batches out, the full ones and the open ones.
    fn take_held(&mut self) -> (Vec<Batch>, Vec<Batch>) {
        let open = std::mem::take(&mut self.open);
        for batch in &open {
            self.set_slot(batch.lane(), NONE);
        }
        (std::mem::take(&mut self.full), open)
    }

    /// Puts back those that stay.
    fn hold(&mut self, full: Vec<Batch>, open: Vec<Batch>) {
        for (slot, batch) in (0..).zip(&open) {
            self.set_slot(batch.lane(), slot);
        }
        self.bytes = full.iter().chain(&open).map(Batch::size).sum();
        self.full = full;
        self.open = open;
    }
}

/// A feed whose records are one stream has one slot.
fn slot_index(table: Option<TableKey>) -> usize {
    let key = table.map_or(0, |table| table.0);
    usize::try_from(key).expect("usize has at least 32 bits here")
}
