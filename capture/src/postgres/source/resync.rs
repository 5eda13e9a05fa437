//! A new beginning for a source whose stored position is of no use any more: where reading may go on, and a slot that
//! holds it. Only an operator asks for it; a running source never does (`slot`).
//!
//! | from | slot afterwards | reading goes on |
//! |---|---|---|
//! | now | dropped, made anew | at the new slot's consistent point: with the first transaction that commits behind it |
//! | earliest | as it stands | at the slot's confirmed LSN, the oldest that it still gives |
//! | an LSN | as it stands | there: not before the slot's confirmed LSN, not behind the server's end |
//!
//! Nothing that was captured is captured again: a place before the stored position, on the same server, is refused.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep;

use super::session::{self, Known, Opened};
use super::worker::{Ended, Shared, Wires};
use super::{Confirmed, SourceConfig};
use crate::postgres::connection::{Connection, Purpose};
use crate::postgres::error::Failure;
use crate::postgres::position::{Lsn, LsnError, Position};
use crate::postgres::preflight::ServerFacts;
use crate::postgres::query::{column, literal};
use crate::postgres::slot::{self, SlotRow};
use crate::postgres::status::SourceStatus;

const QUERY_LIMIT: Duration = Duration::from_secs(40);
/// How often, and how many times, a slot that is still in use is looked at again.
const BUSY_INTERVAL: Duration = Duration::from_millis(250);
const BUSY_LOOKS: u32 = 40;
const CLOSE_LIMIT: Duration = Duration::from_millis(300);

/// Where an operator wants reading to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResyncFrom {
    /// With what is committed from now on.
    Now,
    /// With the oldest that the slot still holds.
    Earliest,
    /// At this place in the server's log.
    Position(Lsn),
}

impl FromStr for ResyncFrom {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, LsnError> {
        match text {
            "now" => Ok(Self::Now),
            "earliest" => Ok(Self::Earliest),
            lsn => lsn.parse().map(Self::Position),
        }
    }
}

impl fmt::Display for ResyncFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Earliest => f.write_str("earliest"),
            Self::Position(lsn) => lsn.fmt(f),
        }
    }
}

/// Prepares the server and gives the position (`Commit::position`) that a [`Source`](super::Source) is then to be
/// started with. No source of this slot may run. `stored` is where the last one stood. `status` shows what a new slot
/// waits for; `stop` takes its creation back.
///
/// # Errors
/// Why not, and what to do. A slot that was dropped for `now` stays dropped.
pub async fn begin(
    config: SourceConfig,
    stored: Option<&[u8]>,
    from: ResyncFrom,
    (status, stop): (watch::Sender<SourceStatus>, watch::Receiver<bool>),
    clock: impl Fn() -> i64 + Send + Sync + 'static,
) -> Result<Vec<u8>, Failure> {
    if config.slot_temporary {
        return Err(Failure::misconfigured(
            "a temporary slot ends with its connection",
            "start again, with --data DIR for a durable slot",
        ));
    }
    let wires = Wires {
        captured: mpsc::channel(1).0,
        demand: Arc::new(Notify::new()),
        confirmed: Arc::new(Confirmed::default()),
        status,
        stop,
        clock: Arc::new(clock),
    };
    let (shared, _handover) = Shared::new(config, wires);
    // What cannot be read is of no server that we know.
    let stored = stored.and_then(|bytes| Position::decode(bytes).ok());
    let begun = match from {
        ResyncFrom::Now => Box::pin(from_now(&shared)).await,
        ResyncFrom::Earliest => Box::pin(from_slot(&shared, None, stored)).await,
        ResyncFrom::Position(lsn) => Box::pin(from_slot(&shared, Some(lsn.0), stored)).await,
    };
    begun.map(|position| position.encode())
}

/// The slot's row, on a connection of its own.
async fn look(shared: &Shared) -> Result<(Connection, ServerFacts, Option<SlotRow>), Failure> {
    let mut catalog = session::connect(shared, Purpose::Catalog).await?;
    let facts = ServerFacts::ask(&mut catalog).await;
    let facts = facts.map_err(|error| shared.failure(&error))?;
    facts.check(&shared.names)?;
    let row = session::find_slot(shared, &mut catalog, &facts).await?;
    if let Some(row) = &row {
        slot::check_kind(row, &shared.names)?;
    }
    Ok((catalog, facts, row))
}

async fn from_now(shared: &Shared) -> Result<Position, Failure> {
    let (mut catalog, facts, row) = look(shared).await?;
    // A login that may not replicate must fail while the old slot is still there.
    let replication = session::connect(shared, Purpose::Replication).await?;
    replication.close(CLOSE_LIMIT).await;
    if row.is_some() {
        drop_slot(shared, &mut catalog, &facts).await?;
    }
    catalog.close(CLOSE_LIMIT).await;
    let mut opened = session::open_connections(shared, Known::default()).await?;
    let created = session::create_slot(shared, &mut opened).await;
    let end = created.map_err(|ended| match ended {
        Ended::Failed(failure) => failure,
        Ended::Stopped | Ended::BackToText => {
            Failure::retry("the new slot did not come about in time")
        }
    })?;
    Ok(close_at(opened, end).await)
}

/// Waits until nobody uses the slot, and drops it.
async fn drop_slot(
    shared: &Shared,
    catalog: &mut Connection,
    facts: &ServerFacts,
) -> Result<(), Failure> {
    for _ in 0..BUSY_LOOKS {
        let row = session::find_slot(shared, catalog, facts).await?;
        match row.map(|row| row.active_pid) {
            None => return Ok(()),
            Some(None) => {
                let slot = literal(&shared.names.slot);
                let sql = format!("SELECT pg_catalog.pg_drop_replication_slot({slot})");
                let dropped = catalog.query(&sql, QUERY_LIMIT).await;
                return dropped.map(drop).map_err(|error| shared.failure(&error));
            }
            Some(Some(pid)) => {
                // Ours, if it is one of ours that has not noticed its end.
                session::end_ghost(shared, catalog, pid).await;
                sleep(BUSY_INTERVAL).await;
            }
        }
    }
    let slot = &shared.names.slot;
    Err(Failure::retry(format!(
        "slot \"{slot}\" is in use by another process: end that first"
    )))
}

/// The slot stays. `wanted`: an LSN, or the oldest.
async fn from_slot(
    shared: &Shared,
    wanted: Option<u64>,
    stored: Option<Position>,
) -> Result<Position, Failure> {
    let (catalog, _facts, row) = look(shared).await?;
    catalog.close(CLOSE_LIMIT).await;
    let slot = &shared.names.slot;
    let lost = |why: String| Failure::needs_resync(why, &shared.names);
    let row = row.ok_or_else(|| lost(format!("slot \"{slot}\" is missing: it holds nothing")))?;
    if let Some(reason) = slot::invalidation(&row) {
        return Err(lost(format!("slot \"{slot}\" holds nothing: {reason}")));
    }
    let mut opened = session::open_connections(shared, Known::default()).await?;
    let sql = "SELECT pg_catalog.pg_current_wal_lsn()";
    let rows = opened.catalog.query(sql, QUERY_LIMIT).await;
    let rows = rows.map_err(|error| shared.failure(&error))?;
    let end = rows.first().and_then(|row| column(row, 0)?.parse().ok());
    let place = Place {
        held: row.confirmed_flush.unwrap_or_default(),
        end: end.unwrap_or_default(),
        captured: stored
            .filter(|stored| stored.system_id == opened.identity.system_id)
            .map(|stored| Lsn(stored.end_lsn)),
    };
    let chosen = place.choose(wanted.map(Lsn)).map_err(|reason| {
        let fix = "choose --from now, or an LSN that the slot still gives";
        Failure::misconfigured(reason, fix)
    })?;
    Ok(close_at(opened, chosen.0).await)
}

async fn close_at(opened: Opened, end_lsn: u64) -> Position {
    let Opened {
        replication,
        catalog,
        identity,
        ..
    } = opened;
    replication.close(CLOSE_LIMIT).await;
    catalog.close(CLOSE_LIMIT).await;
    Position {
        system_id: identity.system_id,
        timeline: identity.timeline,
        commit_lsn: end_lsn,
        end_lsn,
    }
}

/// What there is to choose from.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The slot gives everything from here on.
    held: Lsn,
    /// End of the server's log.
    end: Lsn,
    /// Everything below is in our log already; `None` if that is of another server.
    captured: Option<Lsn>,
}

impl Place {
    /// # Errors
    /// One line: which bound is not kept.
    fn choose(self, wanted: Option<Lsn>) -> Result<Lsn, String> {
        let chosen = wanted.unwrap_or(self.held);
        let Self { held, end, .. } = self;
        if chosen < held {
            return Err(format!(
                "{chosen} is gone: the slot gives changes from {held} on"
            ));
        }
        if chosen > end {
            return Err(format!(
                "{chosen} is in the future: the server's log ends at {end}"
            ));
        }
        match self.captured {
            Some(captured) if chosen < captured => Err(format!(
                "{chosen} lies before {captured}, up to where everything is captured: changes would be doubled"
            )),
            Some(_) | None => Ok(chosen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_writes_is_read() {
        assert_eq!("now".parse(), Ok(ResyncFrom::Now));
        assert_eq!("earliest".parse(), Ok(ResyncFrom::Earliest));
        let lsn: ResyncFrom = "16/B374D848".parse().expect("an LSN");
        assert_eq!(lsn, ResyncFrom::Position(Lsn(0x16_B374_D848)));
        assert_eq!(lsn.to_string(), "16/B374D848");
        for bad in ["", "Now", "16", "-1/0", "latest"] {
            assert_eq!(bad.parse::<ResyncFrom>(), Err(LsnError), "{bad:?}");
        }
    }

    #[test]
    fn a_place_is_held_by_the_slot_and_doubles_nothing() {
        let place = |captured: Option<u64>| Place {
            held: Lsn(10),
            end: Lsn(20),
            captured: captured.map(Lsn),
        };
        assert_eq!(place(Some(5)).choose(None), Ok(Lsn(10)));
        assert_eq!(place(None).choose(Some(Lsn(20))), Ok(Lsn(20)));
        assert_eq!(place(Some(15)).choose(Some(Lsn(15))), Ok(Lsn(15)));
        for (captured, wanted, said) in [
            (None, Some(9), "is gone"),
            (None, Some(21), "in the future"),
            (Some(15), Some(14), "would be doubled"),
            (Some(11), None, "would be doubled"),
        ] {
            let refused = place(captured).choose(wanted.map(Lsn));
            assert!(
                refused.as_ref().is_err_and(|why| why.contains(said)),
                "{refused:?}"
            );
        }
    }
}
