//! The configured feeds of an instance, found in the catalog or made there.

use headwater_capture::encode::{FeedFormat, Layout};
use headwater_storage::{
    Catalog, CatalogChange, DataDirectory, Feed, FeedLayout, FeedNumber, InstanceNumber, Journal,
    StorageError, Topic, TopicNumber, catalog::random_id,
};

use crate::{config::FeedConfig, dts::FORMAT};

/// A feed that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunningFeed {
    pub(super) number: FeedNumber,
    /// Topics are `<prefix>.<schema>.<table>`.
    pub(super) prefix: String,
    /// The one topic of a stream.
    pub(super) stream: Option<TopicNumber>,
    /// Whether it has a topic for logical messages.
    pub(super) carries_messages: bool,
    /// Whether it has a topic for the boundaries of transactions.
    pub(super) carries_transactions: bool,
}

/// In the order of the configuration. A new feed begins behind the position where the log stands; the topic of a
/// stream exists from then on.
///
/// # Errors
/// [`StorageError::Invalid`], naming the feed, if it was created differently, or if a stream's topic name is taken.
pub(super) fn find_or_make(
    directory: &DataDirectory,
    instance: InstanceNumber,
    feeds: &[FeedConfig],
    (journal, position): (&mut Journal, Option<&[u8]>),
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
        let stream = match feed.format.layout() {
            Layout::PerTable => None,
            Layout::Stream => Some(stream_topic(directory, instance, (number, feed), journal)?),
        };
        running.push(RunningFeed {
            number,
            prefix: feed.prefix.clone(),
            stream,
            carries_messages: feed.format.carries_messages(),
            carries_transactions: feed.format.carries_transactions(),
        });
    }
    Ok(running)
}

/// The topic of a stream: the prefix is its name.
fn stream_topic(
    directory: &DataDirectory,
    instance: InstanceNumber,
    (number, feed): (FeedNumber, &FeedConfig),
    journal: &mut Journal,
) -> Result<TopicNumber, StorageError> {
    let catalog = directory.catalog();
    if let Some(known) = find_stream(&catalog, instance, number) {
        return Ok(known);
    }
    if catalog.topic_by_name(&feed.prefix).is_some() {
        return Err(StorageError::Invalid(format!(
            "feed {} would have the topic {}, which exists already: give the feed another prefix",
            feed.name, feed.prefix
        )));
    }
    let topic = Topic {
        number: catalog.next_topic(),
        id: random_id(),
        name: feed.prefix.clone(),
        instance,
        feed: number,
        table: None,
        epochs: Topic::first_epoch(),
    };
    directory.change(vec![CatalogChange::Topic(topic.clone())])?;
    journal.add_topic(&topic);
    Ok(topic.number)
}

fn find_stream(
    catalog: &Catalog,
    instance: InstanceNumber,
    feed: FeedNumber,
) -> Option<TopicNumber> {
    let mut topics = catalog.topics_of(instance);
    let found = topics.find(|topic| topic.feed == feed && topic.table.is_none());
    found.map(|topic| topic.number)
}

/// The formats of running feeds, each told where its topic stands.
pub(super) fn formats(
    configured: &[FeedConfig],
    running: &[RunningFeed],
    journal: &Journal,
) -> Vec<FeedFormat> {
    let format = |(feed, running): (&FeedConfig, &RunningFeed)| match &feed.format {
        FeedFormat::DebeziumJson { .. } => feed.format.clone(),
        FeedFormat::DtsAvro { .. } => {
            let ends = running.stream.and_then(|topic| journal.log().ends(topic));
            FeedFormat::DtsAvro {
                next_id: ends.map_or(0, |ends| ends.end),
            }
        }
    };
    configured.iter().zip(running).map(format).collect()
}

fn wanted(instance: InstanceNumber, feed: &FeedConfig) -> Feed {
    let (format, preset, key) = match &feed.format {
        FeedFormat::DebeziumJson { preset, .. } => {
            ("debezium-json", Some(preset.name()), "primary-key")
        }
        FeedFormat::DtsAvro { .. } => (FORMAT, None, "none"),
    };
    Feed {
        number: FeedNumber(0),
        instance,
        name: feed.name.clone(),
        layout: match feed.format.layout() {
            Layout::PerTable => FeedLayout::PerTable,
            Layout::Stream => FeedLayout::Stream,
        },
        format: format.to_owned(),
        preset,
        key: key.to_owned(),
        partitions: 1,
        prefix: feed.prefix.clone(),
        start_position: Vec::new(),
    }
}
