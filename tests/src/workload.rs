//! A seeded load for the kill loop: every kind of transaction that has ever made a change-data tool lose or
//! double something. Each writer has rows and one table of its own, so that writers never wait for each other
//! and a script means the same in every run.
//!
//! | table | identity | for |
//! |---|---|---|
//! | `ledger` | primary key of three columns | single rows, many rows, COPY, deletes, changed keys |
//! | `audit` | none | inserts only; says how many rows each transaction has |
//! | `stock` | FULL | updates, changed keys and deletes with whole old rows |
//! | `wide` | primary key | large values that updates leave unchanged |
//! | `evolving_N` | primary key | writer N's own: columns that come, go and change their type |
//! | `left_N`, `right_N` | primary key | writer N's own: tables of other columns that change names with each other |

use std::fmt::Write as _;

use crate::random::Random;

/// Tables that all writers share. The workload needs [`schema`] to have been run.
const SHARED: [&str; 4] = ["ledger", "audit", "stock", "wide"];

/// The tables' definitions, for this many writers.
#[must_use]
pub fn schema(writers: u64) -> String {
    let mut sql = "
        CREATE TABLE ledger (writer int, seq bigint, idx bigint, size int, note text, PRIMARY KEY (writer, seq, idx));
        CREATE TABLE audit (writer int, seq bigint, size int);
        CREATE TABLE stock (id bigint PRIMARY KEY, amount bigint, price numeric(12, 3), ok boolean, note text);
        ALTER TABLE stock REPLICA IDENTITY FULL;
        CREATE TABLE wide (id bigint PRIMARY KEY, changes int, big text);
        ALTER TABLE wide ALTER COLUMN big SET STORAGE EXTERNAL;"
        .to_owned();
    for writer in 0..writers {
        write!(
            sql,
            "CREATE TABLE evolving_{writer} (id bigint PRIMARY KEY, n int, v int);
             CREATE TABLE left_{writer} (id bigint PRIMARY KEY, l text DEFAULT 'l');
             CREATE TABLE right_{writer} (id bigint PRIMARY KEY, r int DEFAULT 7);"
        )
        .expect("a string grows");
    }
    sql
}

/// The names of all tables.
#[must_use]
pub fn tables(writers: u64) -> Vec<String> {
    let own = |writer| ["evolving", "left", "right"].map(|table| format!("{table}_{writer}"));
    let own = (0..writers).flat_map(own);
    SHARED
        .iter()
        .map(|&name| name.to_owned())
        .chain(own)
        .collect()
}

/// The script after which nothing more is committed: when its record has arrived, everything has.
#[must_use]
pub fn end_mark(round: u64) -> String {
    format!("INSERT INTO audit VALUES (-1, {round}, 0);")
}

/// One client of the database.
#[derive(Debug)]
pub struct Writer {
    number: u64,
    random: Random,
    /// Number of the last script; names its rows.
    seq: u64,
    /// Columns that `evolving_N` has besides its first three.
    columns: Vec<u64>,
    /// Whether its column `v` is a text by now.
    is_text: bool,
    load: Load,
    largest: Largest,
}

/// What a [`Writer`] writes most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Some of everything.
    Mixed,
    /// Every other transaction changes a schema.
    SchemaChanges,
}

/// The largest transactions of a [`Writer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Largest {
    /// Some that headwater does not hold in memory.
    OutgrowsMemory,
    /// None over about 200 KB: a small log holds many of them.
    Small,
}

impl Writer {
    /// The writer of this number in the run of this seed.
    #[must_use]
    pub fn new(seed: u64, number: u64, (load, largest): (Load, Largest)) -> Self {
        Self {
            load,
            largest,
            number,
            random: Random::new(seed, number + 1),
            seq: 0,
            columns: Vec::new(),
            is_text: false,
        }
    }

    /// The next script for `Session::run`.
    pub fn script(&mut self) -> String {
        self.seq += 1;
        if self.load == Load::SchemaChanges && self.random.one_in(2) {
            return self.schema_change();
        }
        match self.random.within(0..100) {
            0..25 => self.single_row(),
            25..40 => self.many_rows_over_tables(),
            40..50 => self.copy(),
            50..60 => self.savepoints(),
            60..67 => self.aborted(),
            67..75 => self.updates(),
            75..81 => self.changed_keys(),
            81..87 => self.deletes(),
            87..92 => self.large_values(),
            92..96 => self.schema_change(),
            96 if self.random.one_in(20) && self.largest == Largest::OutgrowsMemory => {
                self.outgrows_memory()
            }
            _ => format!("SELECT pg_sleep(0.0{});", self.random.within(10..50)),
        }
    }

    /// An id that no other writer and no other script has.
    fn id(&self, n: u64) -> u64 {
        (self.number * 1_000_000 + self.seq) * 1_000 + n
    }

    /// Some script before this one.
    fn earlier(&mut self) -> u64 {
        let back = self.random.within(1..30);
        self.seq.saturating_sub(back)
    }

    fn ledger(&self, first: u64, count: u64) -> String {
        let (writer, seq, last) = (self.number, self.seq, first + count - 1);
        format!(
            "INSERT INTO ledger SELECT {writer}, {seq}, i, {count}, 'it''s ' || i FROM generate_series({first}, {last}) i;"
        )
    }

    fn audit(&self, size: u64) -> String {
        format!(
            "INSERT INTO audit VALUES ({}, {}, {size});",
            self.number, self.seq
        )
    }

    fn stock(&mut self, count: u64) -> String {
        let (first, last) = (self.id(0), self.id(count - 1));
        let price = self.random.within(0..1_000_000);
        format!(
            "INSERT INTO stock SELECT i, i % 7, {price} / 1000.0, i % 2 = 0, CASE WHEN i % 3 > 0 THEN 'n' END \
             FROM generate_series({first}, {last}) i;"
        )
    }

    fn single_row(&mut self) -> String {
        if self.random.one_in(2) {
            self.ledger(0, 1)
        } else {
            self.audit(1)
        }
    }

    fn many_rows_over_tables(&mut self) -> String {
        let count = self.random.within(2..60);
        format!(
            "BEGIN; {} {} {} COMMIT;",
            self.ledger(0, count),
            self.audit(count),
            self.stock(count)
        )
    }

    /// COPY writes many rows in one record of the source's log, all at the same place.
    fn copy(&mut self) -> String {
        let count = self.random.within(2..400);
        let mut script = format!("BEGIN; {}\nCOPY ledger FROM stdin;\n", self.audit(count));
        for n in 0..count {
            writeln!(
                script,
                "{}\t{}\t{n}\t{count}\tcopied\\t{n}",
                self.number, self.seq
            )
            .expect("a string grows");
        }
        script + "\\.\nCOMMIT;"
    }

    fn savepoints(&mut self) -> String {
        let kept = self.random.within(1..20);
        format!(
            "BEGIN; {} SAVEPOINT a; {} {} ROLLBACK TO a; {} SAVEPOINT b; {} RELEASE b; COMMIT;",
            self.ledger(0, kept),
            self.ledger(100, 50),
            self.audit(99_999),
            self.ledger(100, kept),
            self.audit(2 * kept),
        )
    }

    fn aborted(&mut self) -> String {
        let count = self.random.within(1..200);
        format!(
            "BEGIN; {} {} ROLLBACK;",
            self.ledger(0, count),
            self.audit(88_888)
        )
    }

    fn updates(&mut self) -> String {
        let (low, high) = (self.id_of_earlier(), self.id(0));
        let (writer, seq, earlier) = (self.number, self.seq, self.earlier());
        format!(
            "UPDATE stock SET amount = amount + 1, note = NULL WHERE id BETWEEN {low} AND {high} AND id % 5 = 0; \
             UPDATE ledger SET note = 'seen by {seq}' WHERE writer = {writer} AND seq = {earlier} AND idx < 40;"
        )
    }

    fn id_of_earlier(&mut self) -> u64 {
        (self.number * 1_000_000 + self.earlier()) * 1_000
    }

    fn changed_keys(&mut self) -> String {
        let from = self.id_of_earlier();
        let (writer, earlier) = (self.number, self.earlier());
        format!(
            "BEGIN; UPDATE stock SET id = id + 500 WHERE id BETWEEN {from} AND {from} + 9; \
             UPDATE ledger SET idx = idx + 1000000 WHERE writer = {writer} AND seq = {earlier} AND idx < 3; COMMIT;"
        )
    }

    fn deletes(&mut self) -> String {
        let from = self.id_of_earlier();
        let (writer, earlier) = (self.number, self.earlier());
        format!(
            "DELETE FROM stock WHERE id BETWEEN {from} AND {from} + 20; \
             DELETE FROM ledger WHERE writer = {writer} AND seq = {earlier};"
        )
    }

    /// A value of 20,000 bytes lies outside the row; the updates behind it leave it as it is.
    fn large_values(&mut self) -> String {
        let (id, from) = (self.id(0), self.id_of_earlier());
        format!(
            "INSERT INTO wide VALUES ({id}, 0, repeat('{:x}', 1250)); \
             UPDATE wide SET changes = changes + 1 WHERE id BETWEEN {from} AND {id};",
            self.random.next() | 1 << 63,
        )
    }

    fn schema_change(&mut self) -> String {
        match self.random.within(0..4) {
            0 => self.changed_names(),
            1 => {
                let alter = self.other_type();
                self.around(&alter)
            }
            _ => {
                let alter = self.other_columns();
                self.around(&alter)
            }
        }
    }

    /// Two tables change names with each other, as where a copy is put in the place of a table.
    fn changed_names(&self) -> String {
        let writer = self.number;
        let insert = |side, n| format!("INSERT INTO {side}_{writer} (id) VALUES ({});", self.id(n));
        format!(
            "{} BEGIN; {} ALTER TABLE left_{writer} RENAME TO swap_{writer}; \
             ALTER TABLE right_{writer} RENAME TO left_{writer}; ALTER TABLE swap_{writer} RENAME TO right_{writer}; \
             {} COMMIT; {}",
            insert("left", 0),
            insert("right", 1),
            insert("left", 2),
            insert("right", 3),
        )
    }

    /// The column `v` becomes a text, or an integer again: every row is written anew.
    fn other_type(&mut self) -> String {
        self.is_text = !self.is_text;
        let to = if self.is_text { "text" } else { "int" };
        let table = self.number;
        format!("ALTER TABLE evolving_{table} ALTER COLUMN v TYPE {to} USING v::{to};")
    }

    /// Adds or drops a column.
    fn other_columns(&mut self) -> String {
        let table = format!("evolving_{}", self.number);
        match self.columns.pop() {
            Some(column) if self.columns.len() >= 4 || self.random.one_in(2) => {
                format!("ALTER TABLE {table} DROP COLUMN c{column};")
            }
            kept => {
                self.columns.extend(kept);
                self.columns.push(self.seq);
                format!(
                    "ALTER TABLE {table} ADD COLUMN c{} text DEFAULT 'since {0}';",
                    self.seq
                )
            }
        }
    }

    /// A change of `evolving_N` by itself, or between two inserts of one transaction.
    fn around(&self, alter: &str) -> String {
        let table = format!("evolving_{}", self.number);
        let insert = |n| {
            let id = self.id(n);
            format!(
                "INSERT INTO {table} (id, n, v) VALUES ({id}, {n}, {});",
                n + 40
            )
        };
        let update = format!(
            "UPDATE {table} SET n = n + 1 WHERE id > {};",
            self.id(0).saturating_sub(20_000)
        );
        if self.seq.is_multiple_of(2) {
            format!("{} {alter} {} {update}", insert(0), insert(1))
        } else {
            format!(
                "BEGIN; {} {alter} {} {update} COMMIT;",
                insert(0),
                insert(1)
            )
        }
    }

    /// About 30 MB in one transaction: more than is gathered in memory, so its parts go to the log before its end.
    fn outgrows_memory(&self) -> String {
        let (writer, seq) = (self.number, self.seq);
        format!(
            "BEGIN; INSERT INTO ledger SELECT {writer}, {seq}, i, 40000, repeat('x', 400) \
             FROM generate_series(1, 40000) i; {} COMMIT;",
            self.audit(40_000)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_writes_the_same_scripts() {
        let scripts = |seed| {
            let mut writer = Writer::new(seed, 1, (Load::Mixed, Largest::OutgrowsMemory));
            (0..200).map(|_| writer.script()).collect::<Vec<_>>()
        };
        assert_eq!(scripts(5), scripts(5));
        assert_ne!(scripts(5), scripts(6));
    }

    #[test]
    fn every_kind_of_transaction_comes_within_a_thousand_scripts() {
        let mut writer = Writer::new(1, 0, (Load::Mixed, Largest::OutgrowsMemory));
        let all: String = (0..1_000).map(|_| writer.script() + "\n").collect();
        for word in [
            "COPY",
            "ROLLBACK TO",
            "ROLLBACK;",
            "ADD COLUMN",
            "DROP COLUMN",
            "TYPE text",
            "TYPE int",
            "RENAME TO",
            "40000",
            "id + 500",
            "DELETE",
        ] {
            assert!(all.contains(word), "{word}");
        }
    }
}
