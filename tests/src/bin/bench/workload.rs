//! The table all benches write: six columns, about 120 bytes a tuple, some 460 bytes as a record.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Failure;
use super::postgres_client::Connection;

/// The table, without its schema `public`.
pub(crate) const TABLE: &str = "orders";

/// `schema.table`, as headwater and topics name it.
pub(crate) const QUALIFIED_TABLE: &str = "public.orders";

const TABLE_SQL: &str = "
drop table if exists orders;
create table orders (
    id bigint primary key,
    customer bigint not null,
    status text not null,
    amount numeric(12,2) not null,
    note text not null,
    created_at timestamptz not null
);
create or replace procedure fill(first int, rows int, rows_per_transaction int)
language plpgsql as $$
begin
    for begins in first..first + rows - 1 by rows_per_transaction loop
        insert into orders
        select id, id % 5000, 'shipped', id % 100000 / 100.0,
               md5(id::text) || md5((id + 1)::text), clock_timestamp()
        from generate_series(begins,
                             least(begins + rows_per_transaction, first + rows) - 1) as id;
        commit;
    end loop;
end $$;
";

/// Makes the table, empty.
pub(crate) fn create_table(sql: &mut Connection) -> io::Result<()> {
    sql.query(TABLE_SQL).map(drop)
}

/// The topic that an instance gives the table.
pub(crate) fn topic(instance: &str) -> String {
    format!("{instance}.{QUALIFIED_TABLE}")
}

/// Inserts `rows` rows with ids from `first` on, without waiting for each commit's sync.
pub(crate) fn fill(
    sql: &mut Connection,
    first: u64,
    rows: u64,
    rows_per_transaction: u64,
) -> io::Result<()> {
    sql.query("set synchronous_commit = off")?;
    sql.query(&format!(
        "call fill({first}, {rows}, {rows_per_transaction})"
    ))?;
    sql.query("set synchronous_commit = on").map(drop)
}

/// Makes publication and slot of an instance beforehand; both stand where the log is now.
///
/// headwater uses what an operator made before the first start, so a backlog can be prepared.
pub(crate) fn prepare_instance(sql: &mut Connection, instance: &str) -> io::Result<()> {
    publish(sql, &slot(instance))?;
    create_slot(sql, &slot(instance))
}

/// Makes a slot that stands where the log is now.
pub(crate) fn create_slot(sql: &mut Connection, slot: &str) -> io::Result<()> {
    sql.query(&format!(
        "select pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    ))
    .map(drop)
}

/// Drops a slot that nobody reads.
pub(crate) fn drop_slot(sql: &mut Connection, slot: &str) -> io::Result<()> {
    sql.query(&format!("select pg_drop_replication_slot('{slot}')"))
        .map(drop)
}

/// Makes a publication of the table.
pub(crate) fn publish(sql: &mut Connection, publication: &str) -> io::Result<()> {
    sql.query(&format!(
        "create publication {publication} for table {TABLE}"
    ))
    .map(drop)
}

/// What headwater calls the slot and the publication of an instance.
pub(crate) fn slot(instance: &str) -> String {
    format!("headwater_{instance}")
}

/// Waits until a slot is being read and returns the process that serves it.
pub(crate) fn wait_for_walsender(sql: &mut Connection, slot: &str) -> Result<u32, Failure> {
    /// Enough for a connector in a JVM on a loaded machine.
    const PATIENCE: Duration = Duration::from_secs(120);
    let active = format!(
        "select coalesce(active_pid, 0) from pg_replication_slots where slot_name = '{slot}'"
    );
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match sql.value(&active)?.parse()? {
            0 => sleep(Duration::from_millis(2)),
            pid => return Ok(pid),
        }
    }
    Err(format!("nobody reads from slot {slot}").into())
}

/// Waits until every other session of the database has ended.
pub(crate) fn wait_until_alone(sql: &mut Connection) -> Result<(), Failure> {
    const OTHERS: &str = "select count(*) from pg_stat_activity
        where backend_type in ('client backend', 'walsender') and pid <> pg_backend_pid()";
    let deadline = Instant::now() + Duration::from_secs(60);
    while sql.value(OTHERS)? != "0" {
        if Instant::now() > deadline {
            return Err("a reader's sessions do not end".into());
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}
