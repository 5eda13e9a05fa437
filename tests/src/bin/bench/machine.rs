//! The machine a run was taken on: a number without it says nothing.

use std::fs;

use serde_json::{Value, json};

/// Facts for the head of a report.
#[derive(Debug)]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    memory: String,
    kernel: String,
    load: String,
}

impl Machine {
    /// Reads procfs now; what cannot be read is said to be unknown.
    pub(crate) fn read() -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: field("/proc/cpuinfo", "model name"),
            memory: field("/proc/meminfo", "MemTotal"),
            kernel: text("/proc/sys/kernel/osrelease"),
            load: text("/proc/loadavg"),
        }
    }

    /// The load averages as procfs gives them.
    pub(crate) fn load(&self) -> &str {
        &self.load
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "cores": self.cores,
            "processor": self.processor,
            "memory": self.memory,
            "kernel": self.kernel,
            "load": self.load,
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "cores:     {} ({})", self.cores, self.processor)?;
        writeln!(f, "memory:    {}", self.memory)?;
        writeln!(f, "kernel:    {}", self.kernel)?;
        write!(f, "load now:  {}", self.load)
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn field(path: &str, name: &str) -> String {
    text(path)
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_once(':'))
        .map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().to_owned(),
        )
}
