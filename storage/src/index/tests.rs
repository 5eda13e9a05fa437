use super::*;
use crate::frame::footer::Footer;

const TOPIC: TopicNumber = TopicNumber(5);

/// Ten records a batch; `max_before` is what the batches before say.
fn frame(file: u64, batch: i64, length: u32, max_timestamp: i64, max_before: i64) -> IndexedFrame {
    IndexedFrame {
        topic: TOPIC,
        file,
        position: 64 + u64::try_from(batch).expect("a batch number") * 1000,
        base_offset: batch * 10,
        end_offset: batch * 10 + 10,
        length,
        max_timestamp,
        max_before,
    }
}

fn index_of(frames: &[IndexedFrame]) -> TopicIndex {
    let mut index = TopicIndex::default();
    for frame in frames {
        index.push_frame(frame);
    }
    index
}

fn first_base(start: &Start) -> i64 {
    match &start.stored {
        Stored::Journal(entries) => entries[0].base_offset,
        Stored::Sealed(_) => panic!("nothing is sealed here"),
    }
}

fn found(located: Located) -> (u64, i64) {
    match located {
        Located::At(start) => (start.file, first_base(&start)),
        Located::Hole { to } => panic!("a hole up to {to:?}"),
    }
}

#[test]
fn an_offset_is_found_in_the_batch_that_holds_it() {
    let frames: Vec<_> = (0..6)
        .map(|batch| frame(1 + u64::from(batch > 2), batch, 100, 0, 0))
        .collect();
    let index = index_of(&frames);
    assert_eq!(found(index.locate(0)), (1, 0));
    assert_eq!(found(index.locate(29)), (1, 20));
    assert_eq!(found(index.locate(30)), (2, 30));
    assert_eq!(found(index.locate(59)), (2, 50));
    assert_eq!(index.locate(60), Located::Hole { to: None });
}

#[test]
fn an_offset_that_no_file_has_is_a_hole_up_to_the_next_one() {
    let index = index_of(&[frame(1, 0, 100, 0, 0), frame(3, 4, 100, 0, 0)]);
    assert_eq!(index.locate(10), Located::Hole { to: Some(40) });
}

#[test]
fn a_time_is_found_behind_the_last_entry_that_only_older_ones_precede() {
    // Commit times step back: 100, 300, 200, 300, 400.
    let times = [
        (100, i64::MIN),
        (300, 100),
        (200, 300),
        (300, 300),
        (400, 300),
    ];
    let frames = times
        .iter()
        .zip(0..)
        .map(|((max, before), batch)| frame(1, batch, 100, *max, *before));
    let index = index_of(&frames.collect::<Vec<_>>());
    let base = |time| match index.locate_time(0, time) {
        None => None,
        Some(LocatedTime::At(start)) => Some(first_base(&start)),
        Some(LocatedTime::Hole { from, to }) => panic!("a hole {from}..{to}"),
    };
    assert_eq!(base(50), Some(0));
    assert_eq!(base(100), Some(0));
    assert_eq!(base(101), Some(10));
    assert_eq!(base(300), Some(10));
    assert_eq!(base(301), Some(40));
    assert_eq!(base(401), None);
}

#[test]
fn a_footer_has_an_entry_each_64_kib_of_the_topic_and_says_its_own_length() {
    let mut index = FileIndex::default();
    for batch in 0..10 {
        index.add_data(&frame(1, batch, 40 * 1024, batch, batch - 1));
    }
    index.add_commit(&FooterCommit {
        group: 1,
        commit_time_ms: None,
        position: 20_000,
        topics: Vec::new(),
    });
    let body = index.footer(20_200, 0, 30_000);
    assert_eq!(frame_bytes(body.len() as u64), index.footer_bytes(0));
    let footer = Footer::decode(&body).expect("a footer");
    let topic = &footer.topics[0];
    let offsets: Vec<_> = topic
        .entries
        .iter()
        .map(|entry| entry.base_offset)
        .collect();
    assert_eq!(offsets, [0, 20, 40, 60, 80]);
    assert_eq!(topic.entries[1].run_position, 80 * 1024);
    assert_eq!(
        (topic.batches, topic.records, topic.bytes),
        (10, 100, 400 * 1024)
    );
    assert_eq!((topic.highest_timestamp, topic.max_timestamp), (9, 9));
}

#[test]
fn the_footers_entries_replace_the_exact_ones_and_find_the_same_batches_or_earlier() {
    let mut file = FileIndex::default();
    let mut index = TopicIndex::default();
    for batch in 0..10 {
        let frame = frame(7, batch, 40 * 1024, batch, batch - 1);
        file.add_data(&frame);
        index.push_frame(&frame);
    }
    let topic = file.topics().next().expect("the topic");
    index.put_span(Span::of_footer(7, topic).expect("a span"));
    assert_eq!(found(index.locate(19)), (7, 0));
    assert_eq!(found(index.locate(20)), (7, 20));
    assert_eq!(index.locate(100), Located::Hole { to: None });
    let Some(LocatedTime::At(by_time)) = index.locate_time(0, 5) else {
        panic!("is there");
    };
    assert_eq!(first_base(&by_time), 40);
}

/// The index of a file in which `topics` topics take batches of `length` bytes by turns.
fn by_turns(topics: u32, length: u32, file_bytes: u64) -> FileIndex {
    let mut index = FileIndex::default();
    let step = frame_bytes(u64::from(length));
    for number in 0..file_bytes / step {
        let round = i64::try_from(number / u64::from(topics)).expect("few");
        let topic = 1 + u32::try_from(number % u64::from(topics)).expect("below a u32");
        index.add_data(&IndexedFrame {
            topic: TopicNumber(topic),
            position: number * step,
            ..frame(1, round, length, 0, 0)
        });
    }
    index
}

#[test]
fn a_topic_among_hundreds_has_an_index_entry_for_each_batch() {
    let index = by_turns(200, 8192, 64 << 20);
    for topic in index.topics() {
        assert_eq!(topic.entries.len(), topic.batches as usize);
    }
    // One that is alone has them by its own bytes only.
    let alone = by_turns(1, 8192, 64 << 20);
    let topic = alone.topics().next().expect("a topic");
    assert_eq!(topic.entries.len(), topic.batches.div_ceil(8) as usize);
}

#[test]
fn tiny_batches_of_thousands_of_topics_do_not_fill_the_index() {
    let index = by_turns(20_000, 136, 64 << 20);
    let batches: u32 = index.topics().map(|topic| topic.batches).sum();
    let entries: usize = index.topics().map(|topic| topic.entries.len()).sum();
    assert!(batches > 330_000, "{batches}");
    let most = 20_000 + 10 * usize::try_from(DISTANT_ENTRIES).expect("small");
    assert!(entries < most, "{entries} entries");
    assert_eq!(
        index.footer_bytes(0),
        frame_bytes(index.footer(0, 0, 0).len() as u64),
        "what is kept free is what the footer takes"
    );
}

/// A run of `blocks` in file `file`, with ten records.
fn run(file: u64, blocks: u32) -> Span {
    let first_offset = i64::try_from(file).expect("a file number") * 10;
    Span {
        file,
        first_offset,
        end_offset: first_offset + 10,
        highest_timestamp: 0,
        max_timestamp: 0,
        stored: Stored::Sealed(RunPlace { index: 16, blocks }),
    }
}

#[test]
fn who_begins_a_run_is_told_of_those_behind_it_within_a_bound() {
    let mut index = TopicIndex::default();
    for file in 1..=9 {
        index.put_span(run(file, 3));
    }
    index.push_frame(&frame(10, 10, 100, 0, 0));
    let ahead = |offset| -> Vec<u64> {
        match index.locate(offset) {
            Located::At(start) => start.ahead.iter().map(|(file, _)| *file).collect(),
            Located::Hole { to } => panic!("a hole up to {to:?}"),
        }
    };
    let none: Vec<u64> = Vec::new();
    assert_eq!(ahead(10), [2, 3, 4], "2.25 MiB");
    assert_eq!(ahead(11), none, "he is in the midst of it");
    assert_eq!(ahead(80), [9], "behind it are frames");
    assert_eq!(ahead(90), none);
}
