//! When a transaction is too large, and what is said of it then. Pure.
//!
//! Asked of a transaction that outgrew capture's budget, before more of it is written and while it waits for space:
//!
//! | the open transaction | meanwhile | so |
//! |---|---|---|
//! | is over what the log of the instance may hold | - | too large, at once |
//! | is more than a file, and without it there would be space | the disk is full, and retention has deleted nothing for [`SPACE_PATIENCE`] | too large |
//! | is anything else | the disk is full | waits in `disk_full`: somebody else has the space |
//!
//! One that is too large is taken back, and capture stands still in the state `transaction_too_large`
//! (`docs/decisions/0031-*`).

use std::time::Duration;

use headwater_capture::{OpenPlace, postgres::SourceState};

use crate::limits::SPACE_PATIENCE;

/// What a transaction does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooLarge {
    /// Not what the log may hold (`retention.size`).
    Log,
    /// Not the disk: without it so many bytes are free.
    Disk { free: u64 },
}

/// The bounds of one instance's log, bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// `retention.size`.
    pub(super) log: u64,
    /// Of a file.
    pub(super) file: u64,
    /// Free bytes from which on capture goes on behind a full disk.
    pub(super) free: u64,
}

impl Room {
    /// The most that one transaction may take. The files in which it begins and ends count whole, and retention must not
    /// delete its beginning as soon as it is visible.
    pub(super) fn transaction_max(&self) -> u64 {
        self.log.saturating_sub(self.file.saturating_mul(2))
    }
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
                is_over.then_some(TooLarge::Disk { free })
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
pub(super) fn standstill(why: TooLarge, room: &Room, told: &Told<'_>, now_ms: i64) -> Standstill {
    let goes_on_at = match why {
        TooLarge::Disk { free } if !told.is_temporary => Some(goes_on_at(free)),
        TooLarge::Disk { .. } | TooLarge::Log => None,
    };
    Standstill {
        state: SourceState::TransactionTooLarge {
            reason: reason(why, room, told),
            fix: fix(why, told),
        },
        since_ms: now_ms,
        goes_on_at,
    }
}

fn reason(why: TooLarge, room: &Room, told: &Told<'_>) -> String {
    let at = told.place.map_or_else(String::new, |place| {
        format!(" that commits at {}", place.commits_at)
    });
    let topic = told.topic.map_or_else(String::new, |topic| {
        format!(", most of it in topic {topic}")
    });
    let (bytes, records) = (mib(told.bytes), told.records);
    let bound = match why {
        TooLarge::Log => {
            let max = mib(room.transaction_max());
            format!("retention.size lets one take {max} MiB (all but two files)")
        }
        TooLarge::Disk { free } => {
            let free = mib(free);
            format!("the disk of the data directory has {free} MiB for it, older records deleted")
        }
    };
    format!(
        "the transaction{at} does not fit: {bytes} MiB and {records} records of it have come{topic}, and {bound}; nothing of \
         it is kept or visible, the source keeps it, and what was committed before it can be read"
    )
}

fn fix(why: TooLarge, told: &Told<'_>) -> String {
    let name = told.instance;
    if told.is_temporary {
        return "start again with more room, and with --data DIR for a slot that outlives it"
            .to_owned();
    }
    let mend = match why {
        TooLarge::Log => format!("raise retention.size of instance {name} and start again"),
        TooLarge::Disk { free } => {
            let wanted = mib(goes_on_at(free));
            format!(
                "make room there, then headwater instance resume {name} (with {wanted} MiB free it goes on by itself)"
            )
        }
    };
    let without = told.place.map_or_else(String::new, |place| {
        let behind = &place.behind;
        format!(
            "; to go on without that transaction: headwater instance resync {name} --from {behind} --force"
        )
    });
    format!("{mend}{without}")
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests;
