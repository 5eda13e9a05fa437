//! Consumer groups: many that read one hot log at once, beside the bare loop of `fetch`; and what a group costs in
//! memory.

use std::time::Duration;

use super::fetch::Hot;
use super::fetch_client::{FetchClient, FetchRequest};
use super::group_client::GroupMember;
use super::report::{Cell, Section};
use super::stretch::{Readers, alternate, throughput_cells};
use super::{Failure, Settings};

const COLUMNS: &[&str] = &[
    "groups",
    "bare loop GB/s",
    "headwater GB/s",
    "ratio of rates (hold >= 0.8)",
    "bare loop CPU s/GB",
    "headwater CPU s/GB",
    "ratio of CPU (hold <= 1.3)",
    "headwater peak MB",
];
const MEMORY_COLUMNS: &[&str] = &["groups", "resident MB", "KB a further group (hold <= 1000)"];

const INSTANCE: &str = "groups";
/// The first is where a further group is counted from: code and buffers of the first ones are there by then.
const GROUPS: [usize; 3] = [20, 100, 200];

pub(crate) fn run(settings: &Settings) -> Result<Section, Failure> {
    let mut hot = Hot::prepare(INSTANCE)?;
    let duration = Duration::from_secs(settings.fetch_seconds);
    let mut section = Section::new("Groups that read one hot log at once", COLUMNS);
    for groups in [1, 4, 20] {
        let pairs = alternate(
            settings.alternations,
            || hot.reference().measure(Readers::together(groups), duration),
            || hot.newest.measure(Readers::in_groups(groups), duration),
        )?;
        let mut row = vec![Cell::text(groups.to_string())];
        row.extend(throughput_cells(&pairs));
        row.push(hot.headwater.peak_cell()?);
        section.row(row);
    }
    hot.headwater.connect()?;
    hot.stop()?;
    Ok(section)
}

/// Each group has an active member that has read all of the log, committed, and waits in a fetch for more.
pub(crate) fn memory() -> Result<Section, Failure> {
    let hot = Hot::prepare(INSTANCE)?;
    let mut section = Section::new("Memory of groups", MEMORY_COLUMNS);
    let mut members = Vec::new();
    let mut first = None;
    for groups in GROUPS {
        while members.len() < groups {
            members.push(reading_member(&hot, members.len())?);
        }
        let resident = hot.headwater.memory()?.resident;
        #[expect(clippy::cast_precision_loss, reason = "shown in kilobytes")]
        let a_group = match first {
            None => Cell::text(""),
            Some(before) => {
                let grown = resident as f64 - before as f64;
                Cell::Number(grown / 1e3 / (groups - GROUPS[0]) as f64, 1)
            }
        };
        first = first.or(Some(resident));
        #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
        let megabytes = Cell::Number(resident as f64 / 1e6, 1);
        section.row(vec![Cell::text(groups.to_string()), megabytes, a_group]);
    }
    drop(members);
    hot.stop()?;
    Ok(section)
}

/// The member, and the connection on which its fetch is parked.
fn reading_member(hot: &Hot, number: usize) -> Result<(GroupMember, FetchClient), Failure> {
    let stretch = &hot.newest;
    let name = format!("memory-{number}");
    let mut member = GroupMember::join(stretch.port, &name, &stretch.topic)?;
    stretch.read_once(|_| Ok(()))?;
    member.commit(stretch.end)?;
    let mut reader = FetchClient::connect_small(stretch.port)?;
    let mut request = FetchRequest::new(&stretch.topic, Duration::from_secs(300));
    reader.send(&mut request, stretch.end)?;
    Ok((member, reader))
}
