//! How much of its log the server holds for our slot, and when to say that it is too much. Pure; the catalog poll asks.
//!
//! | the server | share |
//! |---|---|
//! | has a limit (`safe_wal_size`) | held / (held + what may still come before the slot is lost) |
//! | has none | [`HIGH_PERCENT`] at the configured number of bytes (`wal_warn`), in proportion |
//! | says `unreserved` | all: the next checkpoint may lose the slot |
//!
//! A level is left [`HYSTERESIS_PERCENT`] below where it is entered, so that it does not flicker. How full the server's
//! disk is cannot be asked by SQL. Manual: "pg_replication_slots".

use super::position::Lsn;
use super::query::{Row, column, literal};

/// Share of what the server keeps from which on a warning is shown, percent.
pub const HIGH_PERCENT: u64 = 50;
/// Share from which on the slot will be lost soon, percent.
pub const CRITICAL_PERCENT: u64 = 80;
/// How far below its threshold a level ends, percent.
const HYSTERESIS_PERCENT: u64 = 10;
/// Held bytes below this say nothing: a fresh segment is larger.
const HELD_BYTES_MIN: u64 = 1 << 20;

/// First server version that knows `wal_status` and `safe_wal_size`.
const HAS_WAL_STATUS: u32 = 130_000;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WalLevel {
    /// As it should be.
    Fine,
    /// More than [`HIGH_PERCENT`].
    High,
    /// More than [`CRITICAL_PERCENT`], or the server has given it up already.
    Critical,
}

impl WalLevel {
    /// `fine`, `high`, `critical`. Never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What the server said at the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalHeld {
    /// From the slot's `restart_lsn` to the end of the log, bytes.
    pub held_bytes: u64,
    /// From what we confirmed to the end of the log, bytes.
    pub behind_bytes: u64,
    /// What may still be written before the slot is lost, bytes; `None`: there is no limit, or the server does not say.
    pub safe_bytes: Option<u64>,
    /// `wal_status`; `None` before 13.
    pub wal_status: Option<String>,
    /// What follows.
    pub level: WalLevel,
}

/// The query for [`WalHeld::parse`]: one row or none.
pub(crate) fn select_sql(slot: &str, server_version: u32) -> String {
    let limits = if server_version >= HAS_WAL_STATUS {
        "wal_status, safe_wal_size"
    } else {
        "NULL, NULL"
    };
    format!(
        "SELECT pg_current_wal_lsn(), restart_lsn, confirmed_flush_lsn, {limits} \
         FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
        literal(slot)
    )
}

impl WalHeld {
    /// `None`: the slot holds nothing.
    pub(crate) fn parse(row: &Row) -> Option<Self> {
        let lsn = |index| column(row, index)?.parse::<Lsn>().ok();
        let end = lsn(0)?.0;
        let safe: Option<i64> = column(row, 4).and_then(|text| text.parse().ok());
        Some(Self {
            held_bytes: end.saturating_sub(lsn(1)?.0),
            behind_bytes: lsn(2).map_or(0, |confirmed| end.saturating_sub(confirmed.0)),
            safe_bytes: safe.map(|bytes| u64::try_from(bytes).unwrap_or(0)),
            wal_status: column(row, 3).map(str::to_owned),
            level: WalLevel::Fine,
        })
    }

    /// See the table of the module. `warn_bytes` is not 0.
    fn percent(&self, warn_bytes: u64) -> u64 {
        let held = self.held_bytes;
        if self.wal_status.as_deref() == Some("unreserved") {
            return 100;
        }
        if held < HELD_BYTES_MIN {
            return 0;
        }
        let share = |part: u64, whole: u64, of: u64| {
            let percent = u128::from(part) * u128::from(of) / u128::from(whole.max(1));
            u64::try_from(percent).unwrap_or(u64::MAX)
        };
        match self.safe_bytes {
            Some(safe) => share(held, held.saturating_add(safe), 100),
            None => share(held, warn_bytes, HIGH_PERCENT),
        }
    }

    /// The level that follows `before`.
    pub(crate) fn level_after(&self, before: WalLevel, warn_bytes: u64) -> WalLevel {
        let percent = self.percent(warn_bytes);
        let holds = |level: WalLevel, threshold: u64| {
            let stays = before >= level;
            let threshold = threshold - if stays { HYSTERESIS_PERCENT } else { 0 };
            percent >= threshold
        };
        if holds(WalLevel::Critical, CRITICAL_PERCENT) {
            WalLevel::Critical
        } else if holds(WalLevel::High, HIGH_PERCENT) {
            WalLevel::High
        } else {
            WalLevel::Fine
        }
    }

    /// One line when a level is entered; `None` for [`WalLevel::Fine`].
    pub(crate) fn warning(&self, slot: &str) -> Option<String> {
        let shown = super::check::shown_bytes;
        let held = shown(self.held_bytes);
        let room = match self.safe_bytes {
            Some(safe) => format!("after {} more the slot is lost", shown(safe)),
            None => "the server has no limit for it: watch its disk".to_owned(),
        };
        // What was confirmed is held all the same while an older transaction is open.
        let cause = if self.behind_bytes < self.held_bytes / 2 {
            "most of it is captured and held by a transaction that is open at the source, or until its next checkpoint"
        } else {
            "it is not captured yet"
        };
        let level = self.level.name();
        (self.level > WalLevel::Fine)
            .then(|| format!("source log: {level}: slot \"{slot}\" holds {held}, {room}; {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn held(held: u64, safe: Option<u64>) -> WalHeld {
        WalHeld {
            held_bytes: held,
            behind_bytes: held,
            safe_bytes: safe,
            wal_status: Some("reserved".into()),
            level: WalLevel::Fine,
        }
    }

    #[test]
    fn what_the_server_says_is_read_by_every_version() {
        let row = ["0/500000", "0/300000", "0/400000", "extended", "-7"];
        let row: Row = row.map(|text| Some(text.to_owned())).to_vec();
        let wal = WalHeld::parse(&row).expect("a row");
        assert_eq!((wal.held_bytes, wal.behind_bytes), (2 * MB, MB));
        assert_eq!(wal.safe_bytes, Some(0), "less than nothing is nothing");
        let old: Row = vec![row[0].clone(), row[1].clone(), None, None, None];
        let wal = WalHeld::parse(&old).expect("a row");
        assert_eq!((wal.safe_bytes, wal.wal_status), (None, None));
        assert_eq!(WalHeld::parse(&vec![row[0].clone(), None]), None);
        assert!(select_sql("s", 120_000).contains("NULL, NULL"));
        assert!(select_sql("s", 130_000).contains("safe_wal_size"));
    }

    #[test]
    fn levels_follow_the_share_of_the_servers_limit() {
        let fresh = |wal: WalHeld| wal.level_after(WalLevel::Fine, MB);
        assert_eq!(fresh(held(49 * MB, Some(51 * MB))), WalLevel::Fine);
        assert_eq!(fresh(held(50 * MB, Some(50 * MB))), WalLevel::High);
        assert_eq!(fresh(held(80 * MB, Some(20 * MB))), WalLevel::Critical);
        assert_eq!(fresh(held(MB - 1, Some(0))), WalLevel::Fine, "a segment");
        let mut given_up = held(MB, None);
        given_up.wal_status = Some("unreserved".into());
        assert_eq!(fresh(given_up), WalLevel::Critical);
    }

    #[test]
    fn without_a_limit_the_configured_bytes_count() {
        let level = |bytes| held(bytes, None).level_after(WalLevel::Fine, 100 * MB);
        assert_eq!(level(99 * MB), WalLevel::Fine);
        assert_eq!(level(100 * MB), WalLevel::High);
        assert_eq!(level(160 * MB), WalLevel::Critical);
        assert_eq!(level(u64::MAX), WalLevel::Critical);
    }

    #[test]
    fn a_level_is_left_later_than_it_is_entered() {
        let at = |percent: u64, before| {
            held(percent * MB, Some((100 - percent) * MB)).level_after(before, MB)
        };
        assert_eq!(at(45, WalLevel::High), WalLevel::High);
        assert_eq!(at(39, WalLevel::High), WalLevel::Fine);
        assert_eq!(at(75, WalLevel::Critical), WalLevel::Critical);
        assert_eq!(at(69, WalLevel::Critical), WalLevel::High);
        assert_eq!(at(45, WalLevel::Fine), WalLevel::Fine);
    }

    #[test]
    fn a_warning_names_slot_room_and_cause() {
        let mut wal = held(60 * MB, Some(40 * MB));
        assert_eq!(wal.warning("s"), None);
        wal.level = WalLevel::High;
        let told = wal.warning("s").expect("a line");
        for word in [
            "high",
            "\"s\"",
            "60.0 MB",
            "after 40.0 MB more",
            "not captured yet",
        ] {
            assert!(told.contains(word), "{told}");
        }
        wal.behind_bytes = MB;
        assert!(
            wal.warning("s")
                .expect("a line")
                .contains("is open at the source")
        );
    }
}
