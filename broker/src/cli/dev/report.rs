//! What `dev` tells: topics as they appear, warnings, the line to copy, and how things are.

use std::collections::HashSet;

use headwater_capture::postgres::{SourceState, SourceStatus, TableStatus};

use crate::{RunningBroker, status::lag};

/// Topics that are named; of more only the number is told.
const TOPICS_SHOWN: usize = 20;

/// Between two status lines where they cannot be written over, in ticks.
const QUIET_TICKS: u64 = 12;

/// Between two status lines on a terminal, in ticks.
const LIVE_TICKS: u64 = 2;

/// Remembers what was told.
#[derive(Debug)]
pub(super) struct Report {
    live: bool,
    topics: usize,
    warnings: HashSet<String>,
    state: Option<&'static str>,
    /// Ticks since the last status line.
    ticks: u64,
    last: Option<Snapshot>,
}

/// What a status line says, for knowing whether anything changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Snapshot {
    state: &'static str,
    rows: u64,
    transactions: u64,
    clients: i64,
}

impl Report {
    pub(super) fn new(live: bool) -> Self {
        Self {
            live,
            topics: 0,
            warnings: HashSet::new(),
            state: None,
            ticks: 0,
            last: None,
        }
    }

    /// Lines about what is new since the last call.
    pub(super) fn news(&mut self, broker: &RunningBroker) -> Vec<String> {
        let Some(instance) = broker.instances().next() else {
            return Vec::new();
        };
        let status = instance.status_now();
        let mut lines: Vec<String> = self.state_news(&status).into_iter().collect();
        lines.extend(self.warning_news(&status));
        if status.state == SourceState::Running {
            lines.extend(self.topic_news(broker));
        }
        lines
    }

    fn state_news(&mut self, status: &SourceStatus) -> Option<String> {
        let state = status.state.name();
        if self.state.replace(state) == Some(state) {
            return None;
        }
        match (&status.state, &status.server) {
            (SourceState::Running, Some(server)) => Some(format!(
                "running: PostgreSQL {}, database {}, {} tables",
                server.version,
                server.database,
                status.tables.len()
            )),
            (state, _) => state
                .reason()
                .map(|_| format!("{}: {}", state.name(), super::told(state))),
        }
    }

    fn warning_news(&mut self, status: &SourceStatus) -> Vec<String> {
        let of_tables = status.tables.iter().filter_map(table_warning);
        let all = status.warnings.iter().cloned().chain(of_tables);
        let new: Vec<String> = all
            .filter(|line| self.warnings.insert(line.clone()))
            .collect();
        new.into_iter()
            .map(|line| format!("note: {line}"))
            .collect()
    }

    fn topic_news(&mut self, broker: &RunningBroker) -> Vec<String> {
        let topics = broker.topics();
        let new = topics.get(self.topics..).unwrap_or_default();
        let first_time = self.topics == 0;
        self.topics = topics.len();
        let mut lines: Vec<String> = new
            .iter()
            .take(TOPICS_SHOWN)
            .map(|topic| format!("topic {topic}"))
            .collect();
        if new.len() > TOPICS_SHOWN {
            lines.push(format!("... and {} topics more", new.len() - TOPICS_SHOWN));
        }
        // Names of instances have no dots: a topic with one is of a table, and readable.
        let readable = new.iter().find(|topic| topic.contains('.'));
        if let (true, Some(topic), Some(address)) =
            (first_time, readable, broker.kafka_addresses().first())
        {
            lines.push(format!("read it: kcat -b {address} -C -t {topic}"));
        }
        lines
    }

    /// The status line, when it is time for one and something changed.
    pub(super) fn status(&mut self, broker: &RunningBroker) -> Option<String> {
        self.ticks += 1;
        if self.ticks < if self.live { LIVE_TICKS } else { QUIET_TICKS } {
            return None;
        }
        let instance = broker.instances().next()?;
        let status = instance.status_now();
        let now = Snapshot {
            state: status.state.name(),
            rows: status.counters.changes,
            transactions: status.counters.transactions,
            clients: broker.connections(),
        };
        if self.last == Some(now) {
            return None;
        }
        let ticks = std::mem::take(&mut self.ticks);
        if self.last.is_none() && !self.live {
            self.last = Some(now);
            return None;
        }
        let before = self.last.replace(now).map_or(now.rows, |last| last.rows);
        let rate = per_second(now.rows.saturating_sub(before), ticks);
        let behind = lag(&status, broker.wall_ms()).seconds;
        Some(format!(
            "{}: {} rows in {} transactions, {rate} rows/s, {behind:.1} s behind, {} clients",
            now.state,
            grouped(now.rows),
            grouped(now.transactions),
            now.clients
        ))
    }
}

fn per_second(rows: u64, ticks: u64) -> String {
    grouped(rows * super::TICKS_PER_SECOND / ticks.max(1))
}

fn table_warning(table: &TableStatus) -> Option<String> {
    let warning = table.warning.as_ref()?;
    Some(format!("table {}.{}: {warning}", table.schema, table.name))
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn rates_are_per_second() {
        assert_eq!(per_second(1000, 4), "1,000");
        assert_eq!(per_second(1000, 8), "500");
    }
}
