//! `headwater check data DIR`: reads a whole data directory and tells what is damaged. Writes nothing in it.
//!
//! Findings go to standard output, one a line, or all as one JSON object; the exit code says whether there were any.

use std::path::PathBuf;

use clap::Args;
use headwater_storage::{
    StorageError,
    check::{self, Finding, Report},
};
use serde_json::{Value, json};

use super::{
    Exit,
    output::{self, Format},
};

#[derive(Debug, Args)]
pub(super) struct CheckData {
    /// The data directory; a broker may have it open.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// How the findings are written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) fn run(args: &CheckData) -> Result<(), Exit> {
    let report = check::check(&args.directory).map_err(|error| {
        let line = error.to_string();
        match error {
            StorageError::Damaged(_) | StorageError::Refused(_) => Exit::Damaged(line),
            StorageError::Locked { .. } => Exit::Locked(line),
            StorageError::Invalid(_)
            | StorageError::NoSpace(_)
            | StorageError::Poisoned(_)
            | StorageError::Read { .. } => Exit::Failed(line),
        }
    })?;
    let text = match args.format {
        Format::Table => as_lines(&report),
        Format::Json => format!("{}\n", as_json(&report)),
    };
    output::write(&text)?;
    if report.is_clean() {
        return Ok(());
    }
    Err(Exit::Damaged(format!(
        "{}: {} places are damaged",
        args.directory.display(),
        report.findings.len() as u64 + report.more
    )))
}

fn as_lines(report: &Report) -> String {
    let mut lines: Vec<String> = report
        .findings
        .iter()
        .map(|finding| format!("damaged: {finding}"))
        .collect();
    if report.more > 0 {
        lines.push(format!("damaged: and {} places more", report.more));
    }
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    let totals = report.totals;
    let how = if report.online {
        ", while a broker has it open"
    } else {
        ""
    };
    lines.push(format!(
        "read{how}: {} instances, {} topics, {} files of {} bytes, {} groups, {} records",
        totals.instances, totals.topics, totals.files, totals.bytes, totals.groups, totals.records
    ));
    lines.push(String::new());
    lines.join("\n")
}

fn as_json(report: &Report) -> Value {
    let totals = report.totals;
    json!({
        "clean": report.is_clean(),
        "online": report.online,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "more_findings": report.more,
        "notes": report.notes,
        "instances": totals.instances,
        "topics": totals.topics,
        "files": totals.files,
        "bytes": totals.bytes,
        "groups": totals.groups,
        "records": totals.records,
    })
}

fn finding(finding: &Finding) -> Value {
    let offsets = finding.offsets.iter().map(|lost| {
        json!({
            "topic_number": lost.topic.0,
            "topic": lost.name,
            "from": lost.from,
            "to": lost.to,
        })
    });
    json!({
        "file": finding.file,
        "from": finding.from,
        "to": finding.to,
        "what": finding.what,
        "offsets": offsets.collect::<Vec<_>>(),
    })
}
