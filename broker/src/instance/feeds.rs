//! The configured feeds of an instance, found in the catalog or made there.

use headwater_capture::encode::{FeedFormat, Preset};
use headwater_storage::{
    CatalogChange, DataDirectory, Feed, FeedLayout, FeedNumber, InstanceNumber, StorageError,
};

use crate::config::FeedConfig;

/// A feed that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunningFeed {
    pub(super) number: FeedNumber,
    /// Topics are `<prefix>.<schema>.<table>`.
    pub(super) prefix: String,
}

/// In the order of the configuration. A new feed begins behind `position`, where the log stands.
///
/// # Errors
/// [`StorageError::Invalid`], naming the feed, if it was created differently.
pub(super) fn find_or_make(
    directory: &DataDirectory,
    instance: InstanceNumber,
    feeds: &[FeedConfig],
    position: Option<&[u8]>,
) -> Result<Vec<RunningFeed>, StorageError> {
    let mut running = Vec::new();
    for feed in feeds {
        let catalog = directory.catalog();
        let mut wanted = wanted(instance, feed);
        let number = match catalog.check_feed(&wanted)? {
            Some(stored) => stored.number,
            None => {
                wanted.number = catalog.next_feed();
                wanted.start_position = position.unwrap_or_default().to_vec();
                let number = wanted.number;
                directory.change(vec![CatalogChange::Feed(wanted)])?;
                number
            }
        };
        running.push(RunningFeed {
            number,
            prefix: feed.prefix.clone(),
        });
    }
    Ok(running)
}

fn wanted(instance: InstanceNumber, feed: &FeedConfig) -> Feed {
    let FeedFormat::DebeziumJson {
        preset: Preset::Flink,
        ..
    } = &feed.format;
    Feed {
        number: FeedNumber(0),
        instance,
        name: feed.name.clone(),
        layout: FeedLayout::PerTable,
        format: "debezium-json".to_owned(),
        preset: Some("flink".to_owned()),
        key: "primary-key".to_owned(),
        partitions: 1,
        prefix: feed.prefix.clone(),
        start_position: Vec::new(),
    }
}
