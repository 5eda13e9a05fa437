//! A real member of a consumer group that costs little itself: a connection of its own to the coordinator, as stock
//! clients have, on which it joins, commits, sends heartbeats, and leaves.
//!
//! Versions: JoinGroup v3 (the last that makes a member at once), SyncGroup v2, Heartbeat v2, OffsetCommit v2,
//! LeaveGroup v1; none is flexible. Layouts: Apache Kafka, `clients/src/main/resources/common/message/*.json`.

use std::io;
use std::time::{Duration, Instant};

use super::fetch_client::FetchClient;
use super::kafka_frame::{Frame, invalid};

const OFFSET_COMMIT: i16 = 8;
const JOIN_GROUP: i16 = 11;
const HEARTBEAT: i16 = 12;
const LEAVE_GROUP: i16 = 13;
const SYNC_GROUP: i16 = 14;

const SESSION_MS: i32 = 30_000;
/// As librdkafka and Java do it by default.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

/// An active member of a group, with one topic of one partition.
#[derive(Debug)]
pub(crate) struct GroupMember {
    client: FetchClient,
    group: String,
    topic: String,
    member_id: String,
    generation: i32,
    last_request: Instant,
}

impl GroupMember {
    /// Joins and becomes active. The group must have no other member.
    pub(crate) fn join(port: u16, group: &str, topic: &str) -> io::Result<Self> {
        let mut member = Self {
            client: FetchClient::connect_small(port)?,
            group: group.to_owned(),
            topic: topic.to_owned(),
            member_id: String::new(),
            generation: -1,
            last_request: Instant::now(),
        };
        member.join_group()?;
        member.sync_group()?;
        Ok(member)
    }

    fn join_group(&mut self) -> io::Result<()> {
        let mut frame = Frame::new(JOIN_GROUP, 3);
        frame.string(&self.group);
        frame.i32(SESSION_MS);
        frame.i32(SESSION_MS);
        frame.string("");
        frame.string("consumer");
        // One protocol, with the subscription to the topic.
        frame.i32(1);
        frame.string("range");
        frame.bytes(&topic_list(&self.topic, &[]));
        let mut reader = self.client.call(frame)?;
        reader.i32()?;
        reader.i32()?;
        check("JoinGroup", reader.i16()?)?;
        self.generation = reader.i32()?;
        reader.string()?;
        let leader = reader.string()?.to_vec();
        let member_id = reader.string()?;
        if leader != member_id {
            return Err(invalid(format!("{} has another active member", self.group)));
        }
        self.member_id = String::from_utf8_lossy(member_id).into_owned();
        Ok(())
    }

    /// Takes partition 0.
    fn sync_group(&mut self) -> io::Result<()> {
        let mut frame = self.frame(SYNC_GROUP, 2);
        frame.i32(1);
        frame.string(&self.member_id);
        let partition_0 = [&1i32.to_be_bytes()[..], &0i32.to_be_bytes()].concat();
        frame.bytes(&topic_list(&self.topic, &partition_0));
        let mut reader = self.client.call(frame)?;
        reader.i32()?;
        reader.i32()?;
        check("SyncGroup", reader.i16()?)
    }

    /// Commits a position of partition 0, and returns when that is answered: it is durable then.
    pub(crate) fn commit(&mut self, offset: i64) -> io::Result<()> {
        let mut frame = Frame::new(OFFSET_COMMIT, 2);
        frame.string(&self.group);
        frame.i32(self.generation);
        frame.string(&self.member_id);
        // The broker's own retention of positions.
        frame.i64(-1);
        frame.i32(1);
        frame.string(&self.topic);
        frame.i32(1);
        frame.i32(0);
        frame.i64(offset);
        frame.string("");
        let mut reader = self.client.call(frame)?;
        // Correlation id, one topic, its name, one partition, its index.
        reader.i32()?;
        reader.i32()?;
        reader.string()?;
        reader.i32()?;
        reader.i32()?;
        check("OffsetCommit", reader.i16()?)?;
        self.last_request = Instant::now();
        Ok(())
    }

    /// A heartbeat, if one is due.
    pub(crate) fn stay(&mut self) -> io::Result<()> {
        if self.last_request.elapsed() < HEARTBEAT_INTERVAL {
            return Ok(());
        }
        let frame = self.frame(HEARTBEAT, 2);
        let mut reader = self.client.call(frame)?;
        reader.i32()?;
        reader.i32()?;
        check("Heartbeat", reader.i16()?)?;
        self.last_request = Instant::now();
        Ok(())
    }

    /// Leaves, so that nobody waits for its session to end.
    pub(crate) fn leave(mut self) -> io::Result<()> {
        let mut frame = Frame::new(LEAVE_GROUP, 1);
        frame.string(&self.group);
        frame.string(&self.member_id);
        let mut reader = self.client.call(frame)?;
        reader.i32()?;
        reader.i32()?;
        check("LeaveGroup", reader.i16()?)
    }

    /// Group, generation, member id: how most requests begin.
    fn frame(&self, api: i16, version: i16) -> Frame {
        let mut frame = Frame::new(api, version);
        frame.string(&self.group);
        frame.i32(self.generation);
        frame.string(&self.member_id);
        frame
    }
}

/// `ConsumerProtocolSubscription` and, with `partitions`, `ConsumerProtocolAssignment` version 0 of one topic.
fn topic_list(topic: &str, partitions: &[u8]) -> Vec<u8> {
    let length = i16::try_from(topic.len()).expect("topic names are short");
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    bytes.extend(length.to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend(partitions);
    // No user data.
    bytes.extend([0xff; 4]);
    bytes
}

fn check(what: &str, code: i16) -> io::Result<()> {
    match code {
        0 => Ok(()),
        code => Err(invalid(format!("{what} error {code}"))),
    }
}
