//! The head of a footer: all of it but the commit entries. A start needs no more, and in a file of small groups the commit
//! entries are megabytes (`docs/format.md`, "Footer frame").

use super::{EncodedCommits, FIXED_BYTES, Footer, FooterTopic, TOPIC_BLOCK_BYTES, bytes};
use crate::{
    codec::Input,
    frame::{FrameError, FrameHeader},
    number::TopicNumber,
};

/// Bytes of the footer's own position, behind the commit entries.
const OWN_POSITION_BYTES: u64 = 8;
/// Bytes of a head without topics.
const HEAD_BYTES_MIN: u64 = FIXED_BYTES - OWN_POSITION_BYTES;

/// What a footer says of its file and of its topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FooterHead {
    /// Position behind the last frame before the footer.
    pub(crate) frames_end: u64,
    /// The group that goes on in the next file; 0 for none.
    pub(crate) open_group: u64,
    /// By topic number.
    pub(crate) topics: Vec<FooterTopic>,
    /// Position of the last commit frame in this file, if there is one.
    pub(crate) last_commit: Option<u64>,
    /// Where the footer's header stands.
    pub(crate) position: u64,
}

/// Where a head ends, and its checksum, as the frame header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadMark {
    /// Bytes from the start of the body.
    pub(crate) bytes: usize,
    crc: u32,
}

impl HeadMark {
    /// What `header` says; `None` where it tells of no head, or of one that its body cannot hold: then the whole body is
    /// to be read.
    pub(crate) fn of(header: &FrameHeader) -> Option<Self> {
        let bytes = u64::from(header.topic.0);
        let fits = bytes >= HEAD_BYTES_MIN && bytes + OWN_POSITION_BYTES <= header.length.into();
        let bytes = usize::try_from(bytes).ok().filter(|_| fits)?;
        Some(Self {
            bytes,
            crc: header.record_count,
        })
    }

    /// Whether `head` is what the header was marked with.
    pub(crate) fn covers(self, head: &[u8]) -> bool {
        head.len() == self.bytes && crc32fast::hash(head) == self.crc
    }
}

impl EncodedCommits {
    /// Marks in `header` the head of `body`, which [`super::encode`] made with these commits. To be done before the
    /// header is sealed.
    pub(crate) fn mark_head(&self, header: &mut FrameHeader, body: &[u8]) {
        let behind = self.bytes.len() + bytes(OWN_POSITION_BYTES);
        let (head, _) = body.split_at(body.len().saturating_sub(behind));
        let length = u32::try_from(head.len()).expect("no body of 2^32 bytes is framed");
        header.topic = TopicNumber(length);
        header.record_count = crc32fast::hash(head);
        header.base_offset = i64::try_from(self.last_position).expect("files end before 2^63");
    }
}

impl FooterHead {
    /// Reads a head whose checksum is right, of the footer whose `header` stands at `position`.
    ///
    /// # Errors
    /// [`FrameError`].
    pub(crate) fn decode(
        header: &FrameHeader,
        head: &[u8],
        position: u64,
    ) -> Result<Self, FrameError> {
        let mut input = Input::new(head);
        let (frames_end, open_group) = (input.u64()?, input.u64()?);
        let (topic_count, commit_count) = (input.u32()?, input.u32()?);
        let topics = input.list(topic_count, bytes(TOPIC_BLOCK_BYTES), FooterTopic::decode)?;
        input.end()?;
        let last_commit = u64::try_from(header.base_offset);
        let last_commit = last_commit.map_err(|_| FrameError::Malformed)?;
        Ok(Self {
            frames_end,
            open_group,
            topics,
            last_commit: (commit_count > 0).then_some(last_commit),
            position,
        })
    }
}

impl From<Footer> for FooterHead {
    fn from(footer: Footer) -> Self {
        Self {
            last_commit: footer.commits.last().map(|commit| commit.position),
            frames_end: footer.frames_end,
            open_group: footer.open_group,
            topics: footer.topics,
            position: footer.position,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Kind, footer::FooterCommit};

    fn footer(commits: u64) -> (FrameHeader, Vec<u8>) {
        let mut encoded = EncodedCommits::default();
        for number in 1..=commits {
            encoded.push(&FooterCommit {
                group: number,
                commit_time_ms: None,
                position: 1000 * number,
                topics: Vec::new(),
            });
        }
        let fixed = Footer {
            frames_end: 8000,
            open_group: 9,
            position: 9000,
            ..Footer::default()
        };
        let topic = FooterTopic {
            topic: TopicNumber(4),
            batches: 1,
            first_offset: 5,
            end_offset: 7,
            records: 2,
            bytes: 300,
            highest_timestamp: 11,
            max_timestamp: 12,
            entries: Vec::new(),
        };
        let body = super::super::encode(&fixed, [&topic], &encoded);
        let mut header = FrameHeader::new(Kind::Footer, 1, 2, 3);
        encoded.mark_head(&mut header, &body);
        let _sealed = header.seal(&body);
        (header, body)
    }

    #[test]
    fn the_head_says_what_the_whole_footer_says() {
        for commits in [0, 1, 3] {
            let (header, body) = footer(commits);
            let mark = HeadMark::of(&header).expect("marked");
            assert_eq!(mark.bytes, 24 + 64);
            let head = &body[..mark.bytes];
            assert!(mark.covers(head));
            let whole = Footer::decode(&body).expect("a footer");
            assert_eq!(
                FooterHead::decode(&header, head, 9000),
                Ok(FooterHead::from(whole))
            );
        }
    }

    #[test]
    fn any_flipped_bit_of_a_head_is_seen() {
        let (header, body) = footer(2);
        let mark = HeadMark::of(&header).expect("marked");
        for at in 0..mark.bytes {
            let mut head = body[..mark.bytes].to_vec();
            head[at] ^= 4;
            assert!(!mark.covers(&head), "byte {at}");
        }
    }

    #[test]
    fn a_mark_that_does_not_fit_the_body_is_none() {
        let (header, _) = footer(1);
        for bytes in [0, 23, header.length - 7, u32::MAX] {
            let header = FrameHeader {
                topic: TopicNumber(bytes),
                ..header
            };
            assert_eq!(HeadMark::of(&header), None, "{bytes} bytes");
        }
    }
}
