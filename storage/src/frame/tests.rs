use super::{checkpoint::*, commit::*, footer::*, *};
use crate::number::LeaderEpoch;

/// The worked example of `docs/format.md`.
const DATA: &str = "
    68 77 6a 01 01 00 00 00 00 00 00 46 cc e0 0f 26
    00 00 00 00 00 00 00 03 00 00 01 00 00 00 00 02
    00 00 00 00 00 00 00 07 00 00 01 a0 c4 50 6c 00
    00 00 00 05 00 00 00 01 9e 37 79 b9 59 f3 1c 0d
    00 00 00 00 00 00 00 07 00 00 00 3a 00 00 00 00
    02 f3 61 b6 94 00 00 00 00 00 00 00 00 01 a0 c4
    50 6c 00 00 00 01 a0 c4 50 6c 00 ff ff ff ff ff
    ff ff ff ff ff ff ff ff ff 00 00 00 01 10 00 00
    00 01 04 68 69 00";
const COMMIT: &str = "
    68 77 6a 01 02 00 00 00 00 00 00 70 01 9c 0d 45
    00 00 00 00 00 00 00 03 00 00 01 00 00 00 00 02
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 00 00 00 00 00 00 9e 37 79 b9 3d 0b 08 09
    00 00 01 00 00 00 00 01 00 00 00 00 00 00 00 03
    00 00 00 00 00 00 10 00 00 00 01 a0 c4 50 6c 00
    00 00 00 00 00 00 00 0c 00 01 00 00 00 00 00 01
    00 01 00 00 00 00 00 22 01 01 61 24 fe e9 93 bc
    00 01 00 00 00 01 00 00 00 00 01 6b 37 48 00 00
    00 00 01 6b 37 78 00 00 00 00 00 00 00 00 00 00
    00 00 00 05 00 00 00 00 00 00 00 00 00 00 00 08";
const SALT: u32 = 0x9e37_79b9;
const GROUP: u64 = (1 << 40) | 2;

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |byte| u8::from_str_radix(byte, 16).expect("hex");
    hex.split_whitespace().map(byte).collect()
}

fn example_commit() -> CommitFrame {
    let commit = bytes(COMMIT);
    CommitFrame {
        predecessor: CommitPlace {
            group: GROUP - 1,
            file: 3,
            position: 4096,
        },
        commit_time_ms: Some(1_790_000_000_000),
        schema_version: 12,
        sources: vec![SourceEntry {
            source: 1,
            position: commit[0x78..0x78 + 34].to_vec(),
        }],
        topics: vec![TopicEntry {
            topic: TopicNumber(5),
            partition: 0,
            end_offset: 8,
        }],
    }
}

#[test]
fn the_documented_data_frame_is_what_is_written() {
    let frame = bytes(DATA);
    let body = &frame[HEADER_BYTES..];
    let mut header = FrameHeader {
        base_offset: 7,
        max_timestamp: 1_790_000_000_000,
        topic: TopicNumber(5),
        record_count: 1,
        ..FrameHeader::new(Kind::Data, 3, SALT, GROUP)
    };
    assert_eq!(header.seal(body).as_slice(), &frame[..HEADER_BYTES]);
    assert_eq!(FrameHeader::parse(&frame), Ok(header));
    assert!(header.covers(body));
    assert_eq!((header.frame_bytes(), header.end_offset()), (136, 8));
}

#[test]
fn the_documented_commit_frame_is_what_is_written() {
    let frame = bytes(COMMIT);
    let body = example_commit().encode();
    let mut header = FrameHeader::new(Kind::Commit, 3, SALT, GROUP);
    assert_eq!([header.seal(&body).as_slice(), &body].concat(), frame);
    assert_eq!(CommitFrame::decode(&body), Ok(example_commit()));
}

#[test]
fn every_flipped_bit_is_noticed() {
    for example in [DATA, COMMIT] {
        let frame = bytes(example);
        for bit in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let passes =
                FrameHeader::parse(&bad).is_ok_and(|header| header.covers(&bad[HEADER_BYTES..]));
            assert!(!passes, "bit {bit} flipped and not noticed");
        }
    }
}

#[test]
fn a_body_checked_in_pieces_is_judged_as_the_whole() {
    let frame = bytes(DATA);
    let header = FrameHeader::parse(&frame).expect("a frame");
    let body = &frame[HEADER_BYTES..];
    for cut in 0..body.len() {
        let mut check = header.body_check();
        check.update(&body[..cut]);
        check.update(&body[cut..]);
        assert!(check.passes());
    }
    let mut short = header.body_check();
    short.update(&body[1..]);
    assert!(!short.passes());
}

#[test]
fn what_a_newer_version_wrote_is_told_from_damage() {
    let mut frame = bytes(DATA);
    let seal = |frame: &mut Vec<u8>| {
        let header: [u8; HEADER_BYTES] = *frame.first_chunk().expect("a header");
        frame[60..64].copy_from_slice(&header_checksum(&header).to_be_bytes());
    };
    frame[4] = 6;
    assert_eq!(FrameHeader::parse(&frame), Err(FrameError::Malformed));
    seal(&mut frame);
    assert_eq!(
        FrameHeader::parse(&frame),
        Err(FrameError::Newer("frame kind"))
    );
    frame[3] = 2;
    seal(&mut frame);
    assert_eq!(FrameHeader::parse(&frame), Err(FrameError::Newer("frame")));

    let mut increment = example_commit().encode();
    increment[50] = 1;
    assert_eq!(
        CommitFrame::decode(&increment),
        Err(FrameError::Newer("position mode"))
    );
}

#[test]
fn a_checkpoint_reads_back() {
    let topic = |start, end, epoch, max_timestamp| TopicState {
        start,
        end,
        epoch: LeaderEpoch {
            epoch,
            start_offset: start,
        },
        max_timestamp,
    };
    let state = LogState {
        last: CommitPlace {
            group: GROUP,
            file: 2,
            position: 640,
        },
        positions: [(1, vec![1, 2, 3]), (9, vec![0; 16])].into(),
        topics: [
            (TopicNumber(1), topic(0, 0, 0, i64::MIN)),
            (TopicNumber(7), topic(5, 900, 3, 1_790_000_000_000)),
        ]
        .into(),
        commit_time_ms: None,
        schema_version: 4,
    };
    let checkpoint = Checkpoint {
        state,
        created_ms: 77,
        former: true,
    };
    let body = checkpoint.encode();
    assert_eq!(body.len() % 8, 0);
    assert_eq!(Checkpoint::decode(GROUP, &body), Ok(checkpoint));
}

#[test]
fn a_footer_reads_back() {
    let entry = |base_offset, position| FooterEntry {
        base_offset,
        max_before: i64::MIN,
        position,
        run_position: position - 64,
    };
    let footer = Footer {
        frames_end: 8192,
        open_group: GROUP,
        topics: vec![FooterTopic {
            topic: TopicNumber(5),
            batches: 3,
            first_offset: 7,
            end_offset: 10,
            records: 3,
            bytes: 210,
            highest_timestamp: 5,
            max_timestamp: 6,
            entries: vec![entry(7, 64), entry(9, 4096)],
        }],
        commits: vec![FooterCommit {
            group: GROUP - 1,
            commit_time_ms: Some(5),
            position: 200,
            topics: example_commit().topics,
        }],
        position: 9000,
    };
    let body = footer.encode();
    let parts = FIXED_BYTES + TOPIC_BLOCK_BYTES + 2 * INDEX_ENTRY_BYTES + COMMIT_ENTRY_BYTES + 16;
    assert_eq!(body.len() as u64, parts);
    assert_eq!(Footer::decode(&body), Ok(footer));
}

#[test]
fn bodies_cut_short_or_with_huge_counts_are_refused_without_allocating() {
    let commit = example_commit().encode();
    for length in 0..commit.len() {
        assert_eq!(
            CommitFrame::decode(&commit[..length]),
            Err(FrameError::Malformed)
        );
    }
    let mut huge = commit.clone();
    huge[44..48].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(CommitFrame::decode(&huge), Err(FrameError::Malformed));
    let mut huge = commit;
    huge[0x34..0x38].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(CommitFrame::decode(&huge), Err(FrameError::Malformed));
    let mut footer = Footer::default().encode();
    footer[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(Footer::decode(&footer), Err(FrameError::Malformed));
}
