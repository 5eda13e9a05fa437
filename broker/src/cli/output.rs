//! What commands write to standard output: tables for people, JSON for programs.

use std::io::{self, Write};

use clap::ValueEnum;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Exit;

/// How the answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// As the HTTP API says it.
    Json,
}

/// Writes to standard output.
pub(super) fn write(text: &str) -> Result<(), Exit> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Exit::Failed(format!("cannot write to standard output: {error}")))
}

/// One JSON value and a line break.
pub(super) fn write_json(value: &Value) -> Result<(), Exit> {
    write(&format!("{value:#}\n"))
}

/// What the broker said, as far as it is shown.
pub(super) fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Exit> {
    serde_json::from_value(answer).map_err(|error| {
        Exit::Failed(format!(
            "the broker's answer is of another version ({error}); use the headwater that runs"
        ))
    })
}

/// Columns side by side, two spaces between, a line for the heads. What could steer a terminal is escaped.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    let mut lines: Vec<Vec<String>> = vec![heads];
    lines.extend(
        rows.iter()
            .map(|row| row.iter().map(|cell| shown(cell)).collect()),
    );
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths);
        let padded: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Names that clients give themselves may hold anything.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A time in UTC, to the second; `-` for none.
pub(super) fn time(ms: Option<i64>) -> String {
    let time = ms.and_then(|ms| Timestamp::from_second(ms.div_euclid(1000)).ok());
    or_dash(time)
}

/// `-` for none.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_steer_no_terminal() {
        let rows = [
            vec!["orders".to_owned(), "1".to_owned()],
            vec!["a\u{1b}[2Jb\n".to_owned(), "-".to_owned()],
        ];
        let text = table(&["GROUP", "LAG"], &rows);
        let lines = [
            "GROUP          LAG",
            "orders         1",
            r"a\u{1b}[2Jb\n  -",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(time(Some(1_700_000_000_999)), "2023-11-14T22:13:20Z");
        assert_eq!(time(None), "-");
    }
}
