//! `headwater group seek`: what it would do, a question, then the move.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::{ArgGroup, Args};
use hyper::Method;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Value, json};

use super::{Format, Named, answer::SeekAnswer};
use crate::cli::{
    Exit, Screen,
    client::ApiClient,
    output::{self, or_dash, time},
};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").required(true).args(["to", "undo", "past_damage"])))]
pub(super) struct SeekArgs {
    #[command(flatten)]
    group: Named,
    /// start, end, now, offset N, a time (2026-11-26T10:00:00Z; without a zone it is local), or -15m, -2h, -1d.
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    to: Option<String>,
    /// The N of --to offset N.
    #[arg(value_name = "N", hide = true)]
    offset: Option<u64>,
    /// Take the last seek back.
    #[arg(long)]
    undo: bool,
    /// Step over records that are damaged; positions that can be read stay.
    #[arg(long)]
    past_damage: bool,
    /// Only this topic; without it, every topic of the group lands at the same transaction.
    #[arg(long)]
    topic: Option<String>,
    #[command(flatten)]
    how: How,
}

/// How far to go without asking.
#[derive(Debug, Args)]
struct How {
    /// Put the group's consumers out first.
    #[arg(long)]
    disconnect: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Show what it would do, and stop.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(
    client: &ApiClient,
    args: SeekArgs,
    (format, screen): (Format, &Screen),
) -> Result<(), Exit> {
    let path = format!("{}/seek", args.group.path(client).await?);
    let to = args.place()?;
    let body = |to: Option<&String>, dry_run: bool| {
        json!({
            "to": to,
            "undo": args.undo,
            "topic": args.topic,
            "disconnect": args.how.disconnect,
            "dry_run": dry_run,
        })
    };
    let planned = client
        .send(Method::POST, &path, Some(&body(to.as_ref(), true)))
        .await?;
    let plan: SeekAnswer = output::read(planned.clone())?;
    if args.how.dry_run {
        return write_plan(&plan, planned, format);
    }
    if plan.members > 0 && !args.how.disconnect {
        return Err(Exit::Failed(format!(
            "group {} has {} consumers now; stop them, or seek with --disconnect",
            plan.group, plan.members
        )));
    }
    if !args.how.yes {
        confirm(&plan, screen)?;
    }
    // The time that was shown, not one that is later by what the answer took.
    let done = client
        .send(Method::POST, &path, Some(&body(plan.to.as_ref(), false)))
        .await?;
    let plan: SeekAnswer = output::read(done.clone())?;
    write_plan(&plan, done, format)?;
    screen.line(&format!("group {} is moved", plan.group));
    Ok(())
}

impl SeekArgs {
    /// As the API wants it; a time without a zone is one of this machine.
    fn place(&self) -> Result<Option<String>, Exit> {
        if self.past_damage {
            return Ok(Some("past-damage".to_owned()));
        }
        let Some(to) = &self.to else {
            return Ok(None);
        };
        if let Some(offset) = self.offset {
            if to != "offset" {
                let line = format!("a number goes with --to offset only, not with --to {to}");
                return Err(Exit::Usage(line));
            }
            return Ok(Some(format!("offset {offset}")));
        }
        Ok(Some(with_zone(to, &TimeZone::system())))
    }
}

fn with_zone(to: &str, zone: &TimeZone) -> String {
    if to.parse::<Timestamp>().is_ok() {
        return to.to_owned();
    }
    let local: Option<DateTime> = to.parse().ok();
    let zoned = local.and_then(|local| local.to_zoned(zone.clone()).ok());
    zoned.map_or_else(|| to.to_owned(), |zoned| zoned.timestamp().to_string())
}

fn write_plan(plan: &SeekAnswer, answer: Value, format: Format) -> Result<(), Exit> {
    match format {
        Format::Json => output::write_json(&answer),
        Format::Table => output::write(&as_text(plan)),
    }
}

fn as_text(plan: &SeekAnswer) -> String {
    let rows: Vec<_> = plan
        .moves
        .iter()
        .map(|moved| {
            vec![
                moved.topic.clone(),
                or_dash(moved.from),
                time(moved.from_time_ms),
                or_dash(moved.to),
                time(moved.to_time_ms),
                records(moved.records),
            ]
        })
        .collect();
    let heads = ["TOPIC", "FROM", "FROM TIME", "TO", "TO TIME", "RECORDS"];
    let to = match &plan.to {
        Some(to) => format!("to {to}"),
        None => "back to before the last seek".to_owned(),
    };
    format!(
        "group {} {to}\n{}",
        plan.group,
        output::table(&heads, &rows)
    )
}

fn records(records: i64) -> String {
    match records {
        0 => "0".to_owned(),
        back if back < 0 => format!("{} again", back.unsigned_abs()),
        over => format!("{over} skipped"),
    }
}

/// Shows what would be done, and asks a person; a script has to say --yes.
fn confirm(plan: &SeekAnswer, screen: &Screen) -> Result<(), Exit> {
    if !io::stdin().is_terminal() || !screen.is_terminal() {
        let line = "nobody is there to ask: say --yes, or look at it with --dry-run";
        return Err(Exit::Usage(line.to_owned()));
    }
    let failed = |error: io::Error| Exit::Failed(format!("cannot ask: {error}"));
    let asked = format!("{}Move it? [y/N] ", as_text(plan));
    io::stderr().write_all(asked.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Exit::Failed("nothing is moved".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_zone_is_local_and_all_else_stays_as_it_was_said() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (said, sent) in [
            ("2026-11-26T10:00:00", "2026-11-26T08:00:00Z"),
            ("2026-11-26 10:00", "2026-11-26T08:00:00Z"),
            ("2026-11-26", "2026-11-25T22:00:00Z"),
            ("2026-11-26T10:00:00Z", "2026-11-26T10:00:00Z"),
            ("2026-11-26T10:00:00-05:00", "2026-11-26T10:00:00-05:00"),
            ("-15m", "-15m"),
            ("start", "start"),
            ("offset 12", "offset 12"),
        ] {
            assert_eq!(with_zone(said, &zone), sent, "{said}");
        }
    }

    #[test]
    fn records_say_whether_they_are_read_again_or_skipped() {
        assert_eq!(records(-3), "3 again");
        assert_eq!(records(3), "3 skipped");
        assert_eq!(records(0), "0");
    }
}
