//! Tables: markdown rows on standard output, the same cells as JSON on request.

use std::fmt;

use serde_json::{Map, Value, json};

use super::sample::Samples;

/// One cell. What is a number in the table is a number in the JSON.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Text(String),
    /// A value and how many decimals the table shows.
    Number(f64, usize),
    /// Several runs: `median (lowest-highest)`.
    Spread(Samples, usize),
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(value, _) => json!(value),
            Self::Spread(samples, _) => json!({
                "median": samples.median(),
                "min": samples.min(),
                "max": samples.max(),
                "runs": samples.values(),
            }),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(value, decimals) => write!(f, "{value:.decimals$}"),
            Self::Spread(samples, decimals) => write!(
                f,
                "{:.decimals$} ({:.decimals$}-{:.decimals$})",
                samples.median(),
                samples.min(),
                samples.max()
            ),
        }
    }
}

/// One table with its title.
#[derive(Debug)]
pub(crate) struct Section {
    title: &'static str,
    columns: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

impl Section {
    pub(crate) fn new(title: &'static str, columns: &'static [&'static str]) -> Self {
        Self {
            title,
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row: as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(
            cells.len(),
            self.columns.len(),
            "a row of {} has one cell a column",
            self.title
        );
        self.rows.push(cells);
    }

    pub(crate) fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(|row| self.row_json(row)).collect();
        json!({ "title": self.title, "rows": rows })
    }

    fn row_json(&self, row: &[Cell]) -> Value {
        let members: Map<String, Value> = self
            .columns
            .iter()
            .zip(row)
            .map(|(column, cell)| ((*column).to_owned(), cell.json()))
            .collect();
        Value::Object(members)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.columns.len()))?;
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::to_string).collect();
            writeln!(f, "| {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_markdown_and_json_of_the_same_cells() {
        let mut section = Section::new("speed", &["what", "ratio"]);
        let runs = [0.9, 1.1, 1.0].into_iter().collect();
        section.row(vec![Cell::text("rows"), Cell::Spread(runs, 2)]);

        assert_eq!(
            section.to_string(),
            "### speed\n\n| what | ratio |\n|---|---|\n| rows | 1.00 (0.90-1.10) |\n"
        );
        assert_eq!(section.json()["rows"][0]["ratio"]["median"], 1.0);
    }
}
