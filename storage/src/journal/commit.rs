//! The end of a group: commit frame, one sync, then visible.

use std::io;

use bytes::Bytes;

use super::{CommitGroup, Committed, Journal, Now, OpenGroup, roll::Room};
use crate::{
    error::StorageError,
    frame::{
        Kind,
        commit::{CommitFrame, CommitPlace, SourceEntry, TopicEntry},
        footer::FooterCommit,
        frame_bytes,
    },
    log::Publication,
};

impl Journal {
    /// Ends the open group, or makes one without batches (an idle advance of a position): commit frame, one sync,
    /// and then, in one step, visible. Everything is durable when it returns, positions included.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for a source named twice (nothing changed). [`StorageError::Poisoned`] when a write or sync failed: nothing of the group is
    /// visible, nothing more is written, the process must exit. [`StorageError::Damaged`] when a source's position was lost with damaged bytes.
    pub fn commit(&mut self, now: Now, group: CommitGroup) -> Result<Committed, StorageError> {
        self.check_writable()?;
        let frame = self.commit_frame(group)?;
        self.guarded(|journal| {
            let place = journal.write_commit(now, &frame)?;
            journal.sync_group()?;
            Ok(journal.make_visible(place, frame))
        })
    }

    fn commit_frame(&self, group: CommitGroup) -> Result<CommitFrame, StorageError> {
        let mut sources: Vec<SourceEntry> = group
            .positions
            .into_iter()
            .map(|(source, position)| SourceEntry {
                source,
                position: position.0,
            })
            .collect();
        sources.sort_by_key(|entry| entry.source);
        if sources
            .windows(2)
            .any(|pair| pair[0].source == pair[1].source)
        {
            return Err(StorageError::Invalid(
                "a group names a source twice".to_owned(),
            ));
        }
        let ends = self.open.ends.iter();
        Ok(CommitFrame {
            predecessor: self.state.last,
            commit_time_ms: group.commit_time_ms,
            schema_version: group.schema_version,
            sources,
            topics: ends
                .map(|(topic, end)| TopicEntry {
                    topic: *topic,
                    partition: 0,
                    end_offset: end.end,
                })
                .collect(),
        })
    }

    fn write_commit(&mut self, now: Now, frame: &CommitFrame) -> io::Result<CommitPlace> {
        let body = Bytes::from(frame.encode());
        let bytes = frame_bytes(body.len() as u64);
        self.make_room(now, Room::commit(bytes, frame.topics.len()))?;
        let header = self.header(Kind::Commit);
        let (position, header) = self.file.push(header, body);
        self.open.bytes += bytes;
        self.file.flush()?;
        Ok(CommitPlace {
            group: header.group,
            file: header.file,
            position,
        })
    }

    /// The one sync. The tail is behind the group only when it returned.
    fn sync_group(&mut self) -> io::Result<()> {
        self.file.handle.sync()?;
        self.sync_names()
    }

    fn make_visible(&mut self, place: CommitPlace, frame: CommitFrame) -> Committed {
        let open = std::mem::take(&mut self.open);
        open.index_into(self.file.number, &mut self.file.index);
        self.file.index.add_commit(&FooterCommit {
            group: place.group,
            commit_time_ms: frame.commit_time_ms,
            position: place.position,
            topics: frame.topics.clone(),
        });
        self.held = None;
        self.tail = self.file.end;
        self.advance_state(place, &frame, &open);
        self.durable = self.durable_tail();
        let OpenGroup {
            frames,
            finished,
            bytes,
            ..
        } = open;
        self.log.publish(Publication {
            group: place.group,
            commit_time_ms: frame.commit_time_ms,
            frames,
            ends: &frame.topics,
        });
        for (number, index) in finished {
            self.log.thin(number, &index);
        }
        let ends = frame.topics.iter();
        Committed {
            group: place.group,
            topics: ends.map(|end| (end.topic, end.end_offset)).collect(),
            synced_bytes: bytes,
        }
    }

    fn advance_state(&mut self, place: CommitPlace, frame: &CommitFrame, open: &OpenGroup) {
        let state = &mut self.state;
        state.last = place;
        state.schema_version = frame.schema_version;
        state.commit_time_ms = frame.commit_time_ms.or(state.commit_time_ms);
        for source in &frame.sources {
            state
                .positions
                .insert(source.source, source.position.clone());
        }
        for (topic, end) in &open.ends {
            if let Some(topic) = state.topics.get_mut(topic) {
                topic.end = end.end;
                topic.max_timestamp = end.max_timestamp;
            }
        }
    }
}
