//! The database's own history, from a second replication slot: `test_decoding`, read by `pg_recvlogical`.
//!
//! A line of it is `BEGIN 700`, `COMMIT 700`, or a change:
//!
//! ```text
//! table public.t: INSERT: id[integer]:1 note[text]:'it''s' gone[text]:null
//! table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 big[text]:unchanged-toast-datum
//! table public.t: DELETE: id[integer]:2
//! ```
//!
//! Names and types that need it are in double quotes. Text in single quotes may hold line breaks, so a history
//! is parsed as a whole and not by lines.

use std::{fs, path::Path, process::Stdio, time::Duration};

use crate::{
    change::{Cell, Change, Operation, Row},
    harness::{Postgres, Process},
};

/// A committed transaction with at least one change, in commit order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its id.
    pub id: u64,
    /// In the order of the statements.
    pub changes: Vec<Change>,
}

/// A slot that remembers everything from its creation on, until it is read.
#[derive(Debug)]
pub struct Witness {
    slot: String,
}

impl Witness {
    /// Creates the slot. Everything that is committed from now on is remembered.
    #[must_use]
    pub fn of(postgres: &Postgres, slot: &str) -> Self {
        let create =
            format!("SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')");
        postgres.execute(&create);
        Self {
            slot: slot.to_owned(),
        }
    }

    /// Reads what was committed up to now, and forgets it. No transaction may be open meanwhile.
    #[must_use]
    pub fn testify(&self, postgres: &Postgres) -> Vec<Transaction> {
        // The reader stops at the first thing at or behind this place: a message outside of any transaction.
        let end = postgres.value("SELECT pg_logical_emit_message(false, 'headwater-tests', 'end')");
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let (history, log) = (
            directory.path().join("history"),
            directory.path().join("log"),
        );
        let mut reader = self.reader(postgres, &end, &history, &log);
        let status = reader.wait(Duration::from_secs(120));
        assert!(
            status.success(),
            "pg_recvlogical: {status}\n{}",
            reader.log()
        );
        let text = fs::read_to_string(&history).expect("it has been written");
        parse(&text).unwrap_or_else(|error| panic!("test_decoding: {error}"))
    }

    fn reader(&self, postgres: &Postgres, end: &str, history: &Path, log: &Path) -> Process {
        let mut command = postgres.client_program("pg_recvlogical");
        command
            .args([
                "-d",
                &postgres.url(),
                "--slot",
                &self.slot,
                "--start",
                "--no-loop",
                "--endpos",
                end,
            ])
            .args(["-o", "skip-empty-xacts=1", "-o", "include-xids=1", "-f"])
            .arg(history)
            .stdin(Stdio::null());
        Process::spawn("pg_recvlogical", command, log)
    }
}

/// Parses a history. Transactions without changes are left out.
///
/// # Errors
/// The text that cannot be read.
pub fn parse(text: &str) -> Result<Vec<Transaction>, String> {
    let mut history = Vec::new();
    let mut open: Option<Transaction> = None;
    let mut rest = text;
    while !rest.is_empty() {
        let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        if let Some(id) = line.strip_prefix("BEGIN ") {
            let id = id
                .parse()
                .map_err(|_| format!("not a transaction id: {id}"))?;
            open = Some(Transaction {
                id,
                changes: Vec::new(),
            });
            rest = behind;
        } else if line.starts_with("COMMIT ") {
            let transaction = open.take().ok_or_else(|| format!("{line} without BEGIN"))?;
            history.extend((!transaction.changes.is_empty()).then_some(transaction));
            rest = behind;
        } else if line.starts_with("message: ") || line.is_empty() {
            rest = behind;
        } else {
            let transaction = open
                .as_mut()
                .ok_or_else(|| format!("outside a transaction: {line}"))?;
            let mut scanner = Scanner { rest };
            transaction.changes.push(scanner.change(transaction.id)?);
            rest = scanner.rest;
        }
    }
    match open {
        Some(transaction) => Err(format!("transaction {} has no end", transaction.id)),
        None => Ok(history),
    }
}

/// Reads one change from the front of the text.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn change(&mut self, transaction: u64) -> Result<Change, String> {
        self.expect("table ")?;
        let table = self.until(": ")?.replace('"', "");
        let operation = match self.until(":")? {
            "INSERT" => Operation::Insert,
            "UPDATE" => Operation::Update,
            "DELETE" => Operation::Delete,
            other => return Err(format!("unknown operation {other}")),
        };
        let change = |before, after, key| Change {
            transaction,
            table,
            operation,
            before,
            after,
            key,
        };
        Ok(match operation {
            Operation::Insert => change(None, Some(self.row()?), Row::new()),
            Operation::Update => {
                let before = if self.skip(" old-key:") {
                    Some(self.row()?)
                } else {
                    None
                };
                let _only_with_an_old_key = self.skip(" new-tuple:");
                let after = filled(self.row()?, before.as_ref());
                change(before, Some(after), Row::new())
            }
            Operation::Delete => change(None, None, self.row()?),
        })
    }

    /// ` name[type]:value` until the line ends or something else follows.
    fn row(&mut self) -> Result<Row, String> {
        let mut row = Row::new();
        while !self.skip("\n") {
            if self.rest.is_empty() || self.rest.starts_with(" new-tuple:") {
                break;
            }
            self.expect(" ")?;
            let name = self.until("[")?.trim_matches('"').to_owned();
            self.data_type()?;
            row.insert(name, self.cell()?);
        }
        Ok(row)
    }

    /// What is left of `integer]:` or `text[]]:`.
    fn data_type(&mut self) -> Result<(), String> {
        self.until("]:").map(|_| ())
    }

    fn cell(&mut self) -> Result<Cell, String> {
        if let Some(quoted) = self.rest.strip_prefix('\'') {
            return self.quoted(quoted);
        }
        let end = self.rest.find([' ', '\n']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(match word {
            "null" => Cell::Null,
            "unchanged-toast-datum" => Cell::Unchanged,
            word => Cell::Text(word.to_owned()),
        })
    }

    fn quoted(&mut self, text: &'a str) -> Result<Cell, String> {
        let mut value = String::new();
        let mut rest = text;
        loop {
            let (piece, behind) = rest.split_once('\'').ok_or("a quote that does not end")?;
            value.push_str(piece);
            match behind.strip_prefix('\'') {
                // Two quotes stand for one.
                Some(more) => {
                    value.push('\'');
                    rest = more;
                }
                None => {
                    self.rest = behind;
                    return Ok(Cell::Text(value));
                }
            }
        }
    }

    fn skip(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, prefix: &str) -> Result<(), String> {
        if self.skip(prefix) {
            Ok(())
        } else {
            Err(self.stuck(prefix))
        }
    }

    fn until(&mut self, end: &str) -> Result<&'a str, String> {
        let (found, rest) = self.rest.split_once(end).ok_or_else(|| self.stuck(end))?;
        self.rest = rest;
        Ok(found)
    }

    fn stuck(&self, wanted: &str) -> String {
        let near: String = self.rest.chars().take(80).collect();
        format!("expected {wanted:?} at {near:?}")
    }
}

/// Under REPLICA IDENTITY FULL the old row has the large values that the new one leaves out.
fn filled(mut after: Row, before: Option<&Row>) -> Row {
    for (name, cell) in &mut after {
        if *cell == Cell::Unchanged
            && let Some(old) = before.and_then(|row| row.get(name))
        {
            *cell = old.clone();
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Cell {
        Cell::Text(value.to_owned())
    }

    #[test]
    fn quotes_line_breaks_and_nulls_are_read() {
        let history = "BEGIN 7\ntable public.t: INSERT: id[integer]:-1 note[text]:'it''s\nBEGIN 8' gone[text]:null\n\
                       COMMIT 7\n";
        let parsed = parse(history).unwrap();
        assert_eq!(parsed.len(), 1);
        let row = parsed[0].changes[0].after.clone().unwrap();
        assert_eq!((parsed[0].id, row["id"].clone()), (7, text("-1")));
        assert_eq!(
            (row["note"].clone(), row["gone"].clone()),
            (text("it's\nBEGIN 8"), Cell::Null)
        );
    }

    #[test]
    fn updates_carry_the_old_key_and_unchanged_values() {
        let history = "BEGIN 7\n\
             table public.\"T\": UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 big[text]:unchanged-toast-datum\n\
             table public.t: UPDATE: id[integer]:2 \"a b\"[character varying]:'x'\n\
             table public.t: DELETE: id[integer]:2\nCOMMIT 7\nBEGIN 8\nCOMMIT 8\n";
        let parsed = parse(history).unwrap();
        let [first, second, third] = &parsed[0].changes[..] else {
            panic!("{parsed:?}")
        };
        assert_eq!(first.table, "public.T");
        assert_eq!(first.before.as_ref().unwrap()["id"], text("1"));
        assert_eq!(first.after.as_ref().unwrap()["big"], Cell::Unchanged);
        assert_eq!(
            (
                second.before.clone(),
                second.after.as_ref().unwrap()["a b"].clone()
            ),
            (None, text("x"))
        );
        assert_eq!(
            (third.operation, third.key["id"].clone()),
            (Operation::Delete, text("2"))
        );
    }

    #[test]
    fn an_unchanged_value_is_filled_from_a_whole_old_row() {
        let history = "BEGIN 7\ntable public.t: UPDATE: old-key: id[integer]:1 big[text]:'long' \
             new-tuple: id[integer]:1 big[text]:unchanged-toast-datum\nCOMMIT 7\n";
        let after = parse(history).unwrap()[0].changes[0].after.clone().unwrap();
        assert_eq!(after["big"], text("long"));
    }

    #[test]
    fn a_history_that_is_cut_off_is_an_error() {
        assert!(parse("BEGIN 7\ntable public.t: INSERT: id[integer]:1\n").is_err());
        assert!(parse("BEGIN 7\ntable public.t: INSERT: id[text]:'abc").is_err());
    }
}
