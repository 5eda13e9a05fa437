//! A group in the words of DTS's own API, for instances with a feed of format `dts-avro`.
//!
//! DTS names three figures of a consumer group: `ConsumptionCheckpoint`, `MessageDelay`, `UnconsumedData`. The last two are
//! -1 there while no client is connected, and so here; the group's other fields tell its lag also then.

use std::sync::Arc;

use headwater_storage::{Catalog, InstanceNumber, Log};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    GroupError,
    report::{TopicReport, time_at},
};
use crate::dts;

/// What DTS shows while nobody is connected.
const NOBODY: i64 = -1;

/// A group as DTS's `DescribeConsumerGroup` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DtsView {
    /// Up to which time it has consumed, `2026-11-26T10:00:00Z`; empty: it never committed.
    #[schema(example = "2026-11-26T10:00:00Z")]
    pub consumption_checkpoint: String,
    /// Age of the oldest record that it has not consumed, seconds; 0 if there is none; -1 while no client is connected.
    pub message_delay: i64,
    /// Records that it has not consumed, heartbeats too; -1 while no client is connected.
    pub unconsumed_data: i64,
}

/// The group's view; `None`: `instance` has no feed for DTS clients. Reads the disk, off the runtime.
pub(super) async fn view(
    (log, catalog): (&Arc<Log>, &Catalog),
    instance: InstanceNumber,
    topics: &[TopicReport],
    (is_connected, now_ms): (bool, i64),
) -> Result<Option<DtsView>, GroupError> {
    let mut topics_of_instance = catalog.topics_of(instance);
    let Some(stream) = topics_of_instance.find(|topic| dts::is_of_dts(catalog, topic)) else {
        return Ok(None);
    };
    let Some(ends) = log.ends(stream.number) else {
        return Ok(None);
    };
    let report = topics.iter().find(|topic| topic.topic == stream.name);
    let standing = Standing {
        position: report.map(|report| (report.offset, report.metadata.clone())),
        start: ends.start,
        end: ends.end,
        is_connected,
    };
    let (log, number) = (Arc::clone(log), stream.number);
    let looking = tokio::task::spawn_blocking(move || {
        standing.view(now_ms, |offset| {
            time_at(&log, number, offset).ok().flatten()
        })
    });
    let view = looking.await;
    view.map(Some)
        .map_err(|panic| GroupError::Storage(format!("looking at the log panicked: {panic}")))
}

/// Where a group stands in the feed.
#[derive(Debug)]
struct Standing {
    /// Committed offset and metadata.
    position: Option<(i64, String)>,
    start: i64,
    end: i64,
    is_connected: bool,
}

impl Standing {
    /// `time`: of the batch that holds an offset, ms.
    fn view(&self, now_ms: i64, time: impl Fn(i64) -> Option<i64>) -> DtsView {
        let committed = self
            .position
            .as_ref()
            .map_or(self.start, |(offset, _)| *offset);
        let next = committed.max(self.start);
        let unconsumed = (self.end - next).max(0);
        let oldest = if unconsumed > 0 { time(next) } else { None };
        let delay_s = oldest.map_or(0, |oldest| now_ms.saturating_sub(oldest).max(0) / 1000);
        let shown = |figure| if self.is_connected { figure } else { NOBODY };
        DtsView {
            consumption_checkpoint: self.checkpoint(time).unwrap_or_default(),
            message_delay: shown(delay_s),
            unconsumed_data: shown(unconsumed),
        }
    }

    /// The second that the client committed, else that of the last record before the committed offset.
    fn checkpoint(&self, time: impl Fn(i64) -> Option<i64>) -> Option<String> {
        let (offset, metadata) = self.position.as_ref()?;
        let committed = dts::dts_offset_of_metadata(metadata).parse().ok();
        let before = || Some(time((offset - 1).max(self.start))?.div_euclid(1000));
        let second = committed.or_else(before)?;
        Some(Timestamp::from_second(second).ok()?.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_700_000_100_000;

    /// Records 10 to 19, one a second, the first at 1,700,000,010.
    fn view(position: Option<(i64, &str)>, is_connected: bool) -> (String, i64, i64) {
        let standing = Standing {
            position: position.map(|(offset, metadata)| (offset, metadata.to_owned())),
            start: 10,
            end: 20,
            is_connected,
        };
        let time = |offset| {
            (10..20)
                .contains(&offset)
                .then_some((1_700_000_000 + offset) * 1000)
        };
        let view = standing.view(NOW_MS, time);
        (
            view.consumption_checkpoint,
            view.message_delay,
            view.unconsumed_data,
        )
    }

    #[test]
    fn a_group_is_shown_as_dts_shows_it() {
        for (position, expected) in [
            (None, ("", 90, 10)),
            (Some((15, "1700000001")), ("2023-11-14T22:13:21Z", 85, 5)),
            (Some((15, "1700000001|x")), ("2023-11-14T22:13:21Z", 85, 5)),
            (Some((15, "")), ("2023-11-14T22:13:34Z", 85, 5)),
            (Some((15, "text")), ("2023-11-14T22:13:34Z", 85, 5)),
            (Some((20, "")), ("2023-11-14T22:13:39Z", 0, 0)),
            // Its records are deleted: what is left is what it has not consumed.
            (Some((3, "")), ("2023-11-14T22:13:30Z", 90, 10)),
            (Some((99, "1700000001")), ("2023-11-14T22:13:21Z", 0, 0)),
            (Some((20, "99999999999999999")), ("", 0, 0)),
        ] {
            let (checkpoint, delay, unconsumed) = view(position, true);
            let found = (checkpoint.as_str(), delay, unconsumed);
            assert_eq!(found, expected, "{position:?}");
            let (checkpoint, delay, unconsumed) = view(position, false);
            let found = (checkpoint.as_str(), delay, unconsumed);
            assert_eq!(found, (expected.0, NOBODY, NOBODY), "{position:?}");
        }
    }
}
