//! When a transaction is too large, and what is said of it then. Pure.
//!
//! Asked of a transaction that outgrew capture's budget, before more of it is written and while it waits for space:
//!
//! | the open transaction | meanwhile | so |
//! |---|---|---|
//! | is more than a file, and without it there would be space | the disk is full, and retention has deleted nothing for [`SPACE_PATIENCE`] | too large |
//! | is anything else | the disk is full | waits in `disk_full`: somebody else has the space |
//!
//! One that is too large is taken back, and capture stands still in the state `transaction_too_large`
//! (`docs/decisions/0031-*`).

use std::time::Duration;

use headwater_capture::{OpenPlace, postgres::SourceState};

use crate::limits::SPACE_PATIENCE;

/// A transaction does not fit the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge {
    /// Bytes that are free without it.
    pub(super) free: u64,
}

/// What a transaction is measured by, bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Of a file.
    pub(super) file: u64,
    /// Free bytes from which on capture goes on behind a full disk.
    pub(super) free: u64,
}

/// One look at a transaction that waits for space, bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Written of it, and about to be.
    pub(super) transaction: u64,
    /// What the disk would get back of it.
    pub(super) gives_back: u64,
    /// Free on the disk.
    pub(super) free: u64,
    /// All files of the log: retention makes it smaller.
    pub(super) log: u64,
}

/// How long a transaction has waited in vain.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// When the log last became smaller, monotonic, and its bytes since then.
    since: Option<(Duration, u64)>,
}

impl Patience {
    /// Takes a look into account.
    pub(super) fn look(&mut self, room: &Room, seen: Seen, now: Duration) -> Option<TooLarge> {
        let free = seen.free.saturating_add(seen.gives_back);
        if seen.transaction <= room.file || free < room.free {
            self.since = None;
            return None;
        }
        match self.since {
            Some((since, log)) if seen.log >= log => {
                let is_over = now.saturating_sub(since) >= SPACE_PATIENCE;
                is_over.then_some(TooLarge { free })
            }
            None | Some(_) => {
                self.since = Some((now, seen.log));
                None
            }
        }
    }

    /// Something was written, or nothing waits any more.
    pub(super) fn forget(&mut self) {
        self.since = None;
    }
}

/// Capture that stands still until a person, or more space, lets it go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standstill {
    /// What is shown.
    pub(super) state: SourceState,
    /// Since when, unix ms.
    pub(super) since_ms: i64,
    /// With so many bytes free it is worth another attempt; `None`: space alone does not help.
    pub(super) goes_on_at: Option<u64>,
}

/// What is known of the transaction, for people.
#[derive(Debug, Clone)]
pub(super) struct Told<'a> {
    pub(super) instance: &'a str,
    /// Known once a part of it was handed over.
    pub(super) place: Option<&'a OpenPlace>,
    /// The topic that has most of it.
    pub(super) topic: Option<&'a str>,
    /// So far.
    pub(super) bytes: u64,
    pub(super) records: u64,
    /// The source's slot ends with its connection.
    pub(super) is_temporary: bool,
}

/// Each attempt needs a quarter more room than the one before had, so that attempts by itself are few.
fn goes_on_at(free: u64) -> u64 {
    free.saturating_add(free / 4)
}

/// The standstill of a transaction that is too large.
pub(super) fn standstill(why: TooLarge, told: &Told<'_>, now_ms: i64) -> Standstill {
    Standstill {
        state: SourceState::TransactionTooLarge {
            reason: reason(why, told),
            fix: fix(why, told),
        },
        since_ms: now_ms,
        goes_on_at: (!told.is_temporary).then_some(goes_on_at(why.free)),
    }
}

fn reason(why: TooLarge, told: &Told<'_>) -> String {
    let at = told.place.map_or_else(String::new, |place| {
        format!(" that commits at {}", place.commits_at)
    });
    let topic = told.topic.map_or_else(String::new, |topic| {
        format!(", most of it in topic {topic}")
    });
    let (bytes, records) = (mib(told.bytes), told.records);
    let free = mib(why.free);
    format!(
        "the transaction{at} does not fit: {bytes} MiB and {records} records of it have come{topic}, and the disk of the data \
         directory has {free} MiB for it, older records deleted; nothing of \
         it is kept or visible, the source keeps it, and what was committed before it can be read"
    )
}

fn fix(why: TooLarge, told: &Told<'_>) -> String {
    let name = told.instance;
    if told.is_temporary {
        return "start again with more room, and with --data DIR for a slot that outlives it"
            .to_owned();
    }
    let wanted = mib(goes_on_at(why.free));
    let without = told.place.map_or_else(String::new, |place| {
        let behind = &place.behind;
        format!(
            "; to go on without that transaction: headwater instance resync {name} --from {behind} --force"
        )
    });
    format!(
        "make room there, then headwater instance resume {name} (with {wanted} MiB free it goes on by itself){without}"
    )
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests;
