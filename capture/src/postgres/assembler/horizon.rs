//! Up to which time everything was sent: what a heartbeat may say.
//!
//! A source that is idle sends nothing that has a time of its own, and the clock proves nothing: the server may lag.
//! What proves it is a look at the server: at its time T, its log ended at L. Once everything below L was
//! assembled, no transaction that committed before T is missing. A commit record gets its time just before it is
//! put into the log, so [`MARGIN_MS`] are taken off T.

use crate::postgres::assembler::Assembler;

/// Between a commit record's time and its place in the log, at most, ms. It is microseconds where no process is
/// stopped in between.
const MARGIN_MS: i64 = 1_000;

/// PostgreSQL's page of WAL, and the headers that a page may begin with, bytes. At a page's end the server may name
/// the place behind the next page's header as the end of its log, where nothing is to be sent before more is written.
const PAGE_BYTES: u64 = 8_192;
const PAGE_HEADERS: [u64; 2] = [24, 40];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Horizon {
    /// LSN and time in ms since 1970; kept until it is reached, later ones are dropped meanwhile.
    pending: Option<(u64, i64)>,
}

impl Horizon {
    fn see(&mut self, lsn: u64, time_ms: i64) {
        let in_page = lsn % PAGE_BYTES;
        let is_behind_header = PAGE_HEADERS.contains(&in_page);
        let end = if is_behind_header { lsn - in_page } else { lsn };
        self.pending.get_or_insert((end, time_ms - MARGIN_MS));
    }

    /// The time, once everything below `end_lsn` was assembled; once.
    fn reached(&mut self, end_lsn: u64) -> Option<i64> {
        let (_, time_ms) = self.pending.take_if(|(lsn, _)| *lsn <= end_lsn)?;
        Some(time_ms)
    }

    /// The next connection may be to a server with another log behind this point.
    pub(super) fn forget(&mut self) {
        self.pending = None;
    }
}

impl Assembler {
    /// At the server's time `time_ms` (ms since 1970) its log ended at `lsn`: with everything below assembled, feeds
    /// of layout stream get a heartbeat of that time. Tells whether the server should be asked how far it has sent.
    pub fn horizon(&mut self, lsn: u64, time_ms: i64, now_ms: i64) -> bool {
        if self
            .encoders
            .iter_mut()
            .all(|encoder| encoder.stream().is_none())
        {
            return false;
        }
        self.handover.now(now_ms);
        self.horizon.see(lsn, time_ms);
        self.beat_if_proven();
        self.horizon.pending.is_some()
    }

    /// Between two transactions, writes the heartbeat that has become true.
    pub(super) fn beat_if_proven(&mut self) {
        if self.open.is_some() {
            return;
        }
        let end_lsn = self.handover.assembled_end_lsn();
        let Some(time_ms) = self.horizon.reached(end_lsn) else {
            return;
        };
        // Times of the stream do not step back for it: what committed since the look was sent already.
        let time_ms = self
            .counters
            .last_commit_time_ms
            .max(Some(time_ms))
            .unwrap_or(time_ms);
        self.gather.begin();
        let times = (time_ms, self.handover.now_ms());
        for (feed, encoder) in self.encoders.iter_mut().enumerate() {
            if let Some(stream) = encoder.stream() {
                stream.heartbeat((&mut self.gather, feed), end_lsn, times);
            }
        }
        self.gather.end_of_controls(time_ms);
    }
}
