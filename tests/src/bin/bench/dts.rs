//! What the feed `dts` costs beside the feed `tables`: the same backlog, drained with one and with both.
//!
//! Timed as in `capture`. Both feeds of a transaction become visible together, so the end of the one is the end of
//! the other.

use super::capture::{Backlog, Drain, Runs};
use super::database::Database;
use super::report::{Cell, Section};
use super::sample::Samples;
use super::{Failure, Settings};

const COLUMNS: &[&str] = &[
    "backlog",
    "tables rows/s",
    "tables and dts rows/s",
    "ratio of rates (hold >= 0.75)",
    "tables CPU us/row",
    "tables and dts CPU us/row",
];

pub(crate) fn run(settings: &Settings) -> Result<Section, Failure> {
    let mut section = Section::new("Capture with the feed dts beside tables", COLUMNS);
    let backlogs = [
        ("500 a transaction", "d", settings.rows, 500),
        ("1 a transaction", "e", settings.single_rows, 1),
    ];
    for (name, prefix, rows, rows_per_transaction) in backlogs {
        let backlog = Backlog {
            name: format!("{rows} rows, {name}"),
            prefix,
            rows,
            rows_per_transaction,
        };
        let name = backlog.name.clone();
        let database = Database::start()?;
        // A slot for each side of each pair.
        let mut runs = Runs::prepare(&database, backlog, 2 * settings.alternations)?;
        let mut pairs = Vec::new();
        for pair in 0..settings.alternations {
            let instance = |side: u32| format!("{prefix}{}", 2 * pair + side);
            let one = |runs: &mut Runs<'_>, side| runs.headwater(&instance(side), "tables");
            let both = |runs: &mut Runs<'_>, side| runs.headwater(&instance(side), "tables,dts");
            let drained = if pair % 2 == 0 {
                let one = one(&mut runs, 1)?;
                (one, both(&mut runs, 2)?)
            } else {
                let both = both(&mut runs, 1)?;
                (one(&mut runs, 2)?, both)
            };
            eprintln!(
                "dts: {name}, pair {}: tables {:.2} s, both {:.2} s",
                pair + 1,
                drained.0.seconds,
                drained.1.seconds
            );
            pairs.push(drained);
        }
        section.row(cells(name, rows, &pairs));
    }
    Ok(section)
}

fn cells(name: String, rows: u64, pairs: &[(Drain, Drain)]) -> Vec<Cell> {
    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    let rows = rows as f64;
    let one = |of: fn(&Drain) -> f64| -> Samples { pairs.iter().map(|(one, _)| of(one)).collect() };
    let both =
        |of: fn(&Drain) -> f64| -> Samples { pairs.iter().map(|(_, both)| of(both)).collect() };
    let ratios = pairs
        .iter()
        .map(|(one, both)| one.seconds / both.seconds)
        .collect();
    vec![
        Cell::text(name),
        Cell::Number(rows / one(|drain| drain.seconds).median(), 0),
        Cell::Number(rows / both(|drain| drain.seconds).median(), 0),
        Cell::Spread(ratios, 2),
        Cell::Number(one(|drain| drain.reader_cpu).median() / rows * 1e6, 2),
        Cell::Number(both(|drain| drain.reader_cpu).median() / rows * 1e6, 2),
    ]
}
