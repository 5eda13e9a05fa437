//! Fetch (api key 1), v4-v16.
//!
//! Waits until enough is there, then reads once and answers with stored batches as they are: no record is decoded,
//! and from the ring none is copied. What a sealed segment has of a log is sent from the file, where the client has no TLS.
//!
//! Behaviour
//! - answers when min_bytes may be there, when max_wait_ms is over, when a partition has an error, or when the broker
//!   stops; min_bytes 0 or max_wait_ms 0: at once
//! - partitions in the order of the request; the first that has something gives at least one whole batch, whatever
//!   the limits say (KIP-74); after it the limits hold. Batches are never cut
//! - a response carries at most 16 MiB besides its first batch, and its first batch only while the unsent responses of
//!   all connections hold more than 64 MiB
//! - an offset inside a batch gives that batch from its start (the client skips); the high watermark gives nothing;
//!   beyond it or below the log start: OFFSET_OUT_OF_RANGE
//! - sessions (KIP-227, [`crate::fetch_session`]): one for a connection; the answer to an incremental fetch has the
//!   partitions with records, an error, or ends that the client does not know. When there is no room: session id 0
//! - high watermark, last stable offset (the same: no transactions) and log start are always told; records are empty,
//!   never null (librdkafka takes null for a parse failure)
//!
//! Versions
//! - v5 log start; v7 sessions (KIP-227); v9 leader epoch (KIP-320); v11 rack (KIP-392, ignored); v12 flexible
//! - v13 topics by id only (KIP-516); v15 replica state (KIP-903, ignored); v16 node endpoints (KIP-951, not told)

mod read;
mod wait;

pub(crate) use self::read::FilePart;

use headwater_protocol::{
    fetch_response::{FetchPartition, FetchResponse, FetchTopic},
    response::Piece,
};
use headwater_storage::Catalog;
use kafka_protocol::messages::{FetchRequest, fetch_request};

use crate::{
    budget::Share,
    context::{Context, Partition},
    error_code::{NONE, Refusal},
    fetch_session::{Asked, Begun, FetchSession, TopicRef},
    limits::FETCH_BYTES_MAX,
};

/// First version that names topics by id.
const BY_ID: i16 = 13;

/// A response and its part of the budget for unsent bytes, to be kept until it is sent.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) response: FetchResponse,
    pub(crate) held: Option<Share>,
    /// Records that are sent from a file, by their number in the response.
    pub(crate) files: Vec<FilePart>,
}

/// One partition of the request, looked up.
#[derive(Debug)]
struct Wanted {
    index: i32,
    offset: i64,
    bytes_max: usize,
    partition: Result<Partition, Refusal>,
}

#[derive(Debug)]
struct WantedTopic {
    topic: TopicRef,
    partitions: Vec<Wanted>,
}

/// Never fails.
pub(crate) async fn handle(ctx: &Context<'_>, request: FetchRequest) -> Fetched {
    let number = ctx.session.number;
    let sessions = &ctx.shared.fetch_sessions;
    let now = || ctx.shared.clock.monotonic();
    let limits = Limits::of(&request);
    let by_id = ctx.version >= BY_ID;
    match sessions.begin(now(), number, &request, by_id) {
        Begun::Without => answer(ctx, limits, look_up(ctx, request)).await,
        Begun::Refused(refusal) => refused_whole(refusal),
        Begun::Within(mut session) => {
            let mut fetched = answer(ctx, limits, look_up_session(ctx, &session)).await;
            tell(&mut session, &mut fetched.response);
            sessions.give_back(now(), number, session);
            fetched
        }
    }
}

/// Waits, then reads and answers everything that is wanted.
async fn answer(ctx: &Context<'_>, limits: Limits, mut wanted: Vec<WantedTopic>) -> Fetched {
    limits.wait.until_enough(ctx, &wanted).await;

    let mut reader = read::Reader::new(ctx, limits.bytes_max);
    let mut topics = Vec::with_capacity(wanted.len());
    for topic in &mut wanted {
        topics.push(read_topic(ctx, &mut reader, topic).await);
    }
    let response = FetchResponse {
        throttle_time_ms: 0,
        error_code: NONE,
        session_id: 0,
        topics,
    };
    let (share, files) = reader.finish();
    Fetched {
        response,
        held: Some(share),
        files,
    }
}

/// Leaves in the response what the client of the session does not know yet, and sets the session's id.
fn tell(session: &mut FetchSession, response: &mut FetchResponse) {
    response.session_id = session.id();
    for topic in &mut response.topics {
        let named = TopicRef {
            name: topic.name.clone(),
            id: topic.topic_id,
        };
        topic
            .partitions
            .retain(|partition| session.tells(&named, partition));
    }
    response.topics.retain(|topic| !topic.partitions.is_empty());
}

fn refused_whole(refusal: Refusal) -> Fetched {
    let response = FetchResponse {
        throttle_time_ms: 0,
        error_code: refusal.code(),
        session_id: 0,
        topics: Vec::new(),
    };
    Fetched {
        response,
        held: None,
        files: Vec::new(),
    }
}

/// What the request says of the response as a whole.
#[derive(Debug, Clone, Copy)]
struct Limits {
    wait: wait::Wait,
    bytes_max: usize,
}

impl Limits {
    fn of(request: &FetchRequest) -> Self {
        let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0);
        Self {
            wait: wait::Wait::of(request),
            bytes_max: bytes_max.min(FETCH_BYTES_MAX),
        }
    }
}

fn look_up(ctx: &Context<'_>, request: FetchRequest) -> Vec<WantedTopic> {
    let catalog = ctx.catalog();
    let look_up_topic = |asked: fetch_request::FetchTopic| {
        let topic = TopicRef {
            name: asked.topic,
            id: asked.topic_id,
        };
        let partitions = asked.partitions.iter().map(Asked::from);
        let partitions = partitions
            .map(|asked| look_up_partition(ctx, &catalog, &topic, asked))
            .collect();
        WantedTopic { topic, partitions }
    };
    request.topics.into_iter().map(look_up_topic).collect()
}

/// Neighbours of one topic are one topic of the answer.
fn look_up_session(ctx: &Context<'_>, session: &FetchSession) -> Vec<WantedTopic> {
    let catalog = ctx.catalog();
    let mut wanted: Vec<WantedTopic> = Vec::new();
    for (topic, asked) in session.partitions() {
        let partition = look_up_partition(ctx, &catalog, topic, asked);
        match wanted.last_mut().filter(|last| last.topic == *topic) {
            Some(last) => last.partitions.push(partition),
            None => wanted.push(WantedTopic {
                topic: topic.clone(),
                partitions: vec![partition],
            }),
        }
    }
    wanted
}

fn look_up_partition(
    ctx: &Context<'_>,
    catalog: &Catalog,
    topic: &TopicRef,
    asked: Asked,
) -> Wanted {
    let found = if ctx.version >= BY_ID {
        ctx.partition_with_id(catalog, topic.id, asked.index)
    } else {
        ctx.partition_named(catalog, &topic.name, asked.index)
    };
    let fenced = |partition: Partition| {
        partition
            .check_epoch(asked.current_leader_epoch)
            .map(|()| partition)
    };
    Wanted {
        index: asked.index,
        offset: asked.offset,
        bytes_max: usize::try_from(asked.bytes_max).unwrap_or(0),
        partition: found.and_then(fenced),
    }
}

async fn read_topic(
    ctx: &Context<'_>,
    reader: &mut read::Reader,
    wanted: &mut WantedTopic,
) -> FetchTopic {
    let mut partitions = Vec::with_capacity(wanted.partitions.len());
    for one in &mut wanted.partitions {
        partitions.push(read_partition(ctx, reader, one).await);
    }
    FetchTopic {
        name: wanted.topic.name.clone(),
        topic_id: wanted.topic.id,
        partitions,
    }
}

async fn read_partition(
    ctx: &Context<'_>,
    reader: &mut read::Reader,
    wanted: &mut Wanted,
) -> FetchPartition {
    let partition = match &mut wanted.partition {
        Ok(partition) => partition,
        Err(refusal) => return refused(wanted.index, *refusal),
    };
    let read = reader
        .read(partition, wanted.offset, wanted.bytes_max)
        .await;
    // After the read, so that the high watermark is never below what the answer carries.
    if let Some(ends) = partition.log.ends(partition.topic) {
        partition.ends = ends;
    }
    let (error_code, records) = match read {
        Ok(records) => (NONE, records),
        Err(refusal) => (refusal.code(), Vec::new()),
    };
    let bytes: usize = records.iter().map(Piece::size).sum();
    ctx.shared.metrics.fetched(bytes);
    FetchPartition {
        index: wanted.index,
        error_code,
        high_watermark: partition.ends.end,
        last_stable_offset: partition.ends.end,
        log_start_offset: partition.ends.start,
        records,
    }
}

/// A partition of which nothing is known.
fn refused(index: i32, refusal: Refusal) -> FetchPartition {
    FetchPartition {
        index,
        error_code: refusal.code(),
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        records: Vec::new(),
    }
}
