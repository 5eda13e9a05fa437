use super::*;
use crate::{frame::checkpoint::LogState, journal::DurableEnd};

const TOPIC: TopicNumber = TopicNumber(5);
const OTHER: TopicNumber = TopicNumber(6);

/// Builds what a scan sees; every frame takes 1,000 bytes.
#[derive(Default)]
struct World {
    items: Vec<Item>,
    file: u64,
    position: u64,
    last: CommitPlace,
    end: i64,
}

impl World {
    fn new() -> Self {
        Self::default().file()
    }

    fn push(mut self, what: What) -> Self {
        let place = Place {
            file: self.file,
            position: self.position,
        };
        self.position += 1000;
        self.items.push(Item {
            place,
            end: self.position,
            what,
        });
        self
    }

    fn file(mut self) -> Self {
        self.file += 1;
        self.position = 0;
        let state = LogState {
            last: self.last,
            ..LogState::default()
        };
        self.push(What::Checkpoint(Box::new(Checkpoint {
            state,
            created_ms: 0,
            former: false,
        })))
    }

    fn data_of(mut self, group: u64, whole: bool) -> Self {
        let header = FrameHeader {
            base_offset: self.end,
            topic: TOPIC,
            record_count: 10,
            ..FrameHeader::new(Kind::Data, self.file, 1, group)
        };
        self.end += 10;
        self.push(What::Data { header, whole })
    }

    fn data(self, group: u64) -> Self {
        self.data_of(group, true)
    }

    fn bad(self) -> Self {
        self.push(What::Bad(None))
    }

    fn commit(mut self, group: u64) -> Self {
        let predecessor = self.last;
        self.last = CommitPlace {
            group,
            file: self.file,
            position: self.position,
        };
        let frame = CommitFrame {
            predecessor,
            commit_time_ms: None,
            schema_version: 0,
            sources: vec![crate::frame::commit::SourceEntry {
                source: 1,
                position: group.to_be_bytes().to_vec(),
            }],
            topics: vec![TopicEntry {
                topic: TOPIC,
                partition: 0,
                end_offset: self.end,
            }],
        };
        self.push(What::Commit { group, frame })
    }

    /// The last thing seen is bad instead.
    fn spoil(mut self) -> Self {
        self.items.last_mut().expect("an item").what = What::Bad(None);
        self
    }

    fn accepted(&self, durable_end: Option<Place>) -> usize {
        accepted(&self.items, durable_end, |_| false)
    }
}

fn place(file: u64, position: u64) -> Option<Place> {
    Some(Place { file, position })
}

#[test]
fn whole_groups_count_and_an_unfinished_one_does_not() {
    let world = World::new().data(1).commit(1).data(2).commit(2);
    assert_eq!(world.accepted(None), 5);
    let world = world.data(3).data(3);
    assert_eq!(world.accepted(None), 5);
}

#[test]
fn a_bad_frame_in_the_last_group_is_a_torn_tail() {
    let torn = World::new().data(1).commit(1).bad().data(2).commit(2);
    assert_eq!(torn.accepted(None), 3);
    let torn = World::new().data(1).commit(1).data_of(2, false).commit(2);
    assert_eq!(torn.accepted(None), 3);
    let torn = World::new().data(1).commit(1).data(2).commit(2).spoil();
    assert_eq!(torn.accepted(None), 3);
}

#[test]
fn a_bad_frame_is_corruption_if_a_later_commit_names_a_later_predecessor() {
    let damaged = World::new()
        .data(1)
        .commit(1)
        .bad()
        .data(2)
        .commit(2)
        .data(3)
        .commit(3);
    assert_eq!(damaged.accepted(None), 8);
    let hidden = World::new()
        .data(1)
        .commit(1)
        .data(2)
        .commit(2)
        .spoil()
        .data(3)
        .commit(3);
    assert_eq!(hidden.accepted(None), 7);
}

#[test]
fn a_bad_frame_below_the_durable_end_is_corruption() {
    let damaged = World::new().data(1).commit(1).data_of(2, false).commit(2);
    assert_eq!(damaged.accepted(None), 3);
    assert_eq!(damaged.accepted(place(1, 5000)), 5);
    let damaged = damaged.bad();
    assert_eq!(
        damaged.accepted(place(1, 5000)),
        5,
        "and behind it is a torn tail"
    );
}

#[test]
fn a_bad_frame_before_what_a_checkpoint_names_is_corruption() {
    let world = World::new().data(1).commit(1).data_of(2, false).commit(2);
    assert_eq!(world.file().accepted(None), 5);
}

#[test]
fn a_group_over_several_files_counts_as_one() {
    let whole = World::new().data(1).file().data(1).file().commit(1);
    assert_eq!(whole.accepted(None), 6);
    let open = World::new().data(1).commit(1).data(2).file().data(2);
    assert_eq!(open.accepted(None), 3);
    let torn = World::new()
        .data(1)
        .commit(1)
        .data(2)
        .file()
        .bad()
        .commit(2);
    assert_eq!(torn.accepted(None), 3);
}

#[test]
fn the_checkpoint_behind_a_finished_file_counts() {
    let world = World::new().data(1).commit(1).file().data(2);
    assert_eq!(accepted(&world.items, None, |_| true), 4);
    assert_eq!(
        accepted(&world.items, None, |_| false),
        3,
        "its footer is missing"
    );
    assert_eq!(World::new().accepted(None), 1, "the first file of all");
}

#[test]
fn frames_of_two_groups_without_a_commit_between_do_not_count() {
    let world = World::new().data(1).commit(1).data(2).data(3).commit(3);
    assert_eq!(world.accepted(None), 3);
}

#[test]
fn damaged_data_leaves_a_hole_that_is_reported_with_its_offsets() {
    let world = World::new()
        .data(1)
        .commit(1)
        .data(2)
        .spoil()
        .data(2)
        .commit(2)
        .data(3)
        .commit(3);
    let found = fold(world.items, None, &[]);
    assert_eq!(found.damage.len(), 1);
    assert_eq!(found.damage[0].offsets, [(TOPIC, 10, 20)]);
    assert_eq!(found.state.topics[&TOPIC].end, 40);
    assert_eq!(found.state.last.group, 3);
    assert!(found.lost_positions.is_empty() && !found.end_lost);
}

#[test]
fn a_hidden_commit_frame_may_take_a_position_with_it_but_a_later_one_gives_it_again() {
    let world = World::new()
        .data(1)
        .commit(1)
        .data(2)
        .commit(2)
        .spoil()
        .data(3)
        .commit(3);
    let mut items = world.items;
    assert!(fold(items.clone(), None, &[]).lost_positions.is_empty());
    let Some(Item {
        what: What::Commit { frame, .. },
        ..
    }) = items.last_mut()
    else {
        panic!("the last item is a commit frame");
    };
    frame.sources.clear();
    assert_eq!(fold(items, None, &[]).lost_positions, [1].into());
}

#[test]
fn topics_that_may_have_lost_records_with_a_hidden_commit_frame_go_on_behind_them() {
    let mut world = World::new();
    let What::Checkpoint(checkpoint) = &mut world.items[0].what else {
        panic!("the first item is a checkpoint");
    };
    let epoch = crate::number::LeaderEpoch {
        epoch: 0,
        start_offset: 0,
    };
    let state = crate::frame::checkpoint::TopicState::empty(epoch);
    checkpoint.state.topics.insert(OTHER, state);
    let world = world.data(1).commit(1).commit(2).spoil().data(3).commit(3);
    let found = fold(world.items, None, &[]);
    // 1,000 bytes: at most a commit frame of 112 and 888 records.
    assert_eq!(found.state.topics[&OTHER].end, 888);
    assert_eq!(found.damage[0].offsets, [(OTHER, 0, 888)]);
    assert_eq!(found.state.topics[&TOPIC].end, 20);
}

#[test]
fn a_damaged_last_commit_frame_is_not_passed_over_in_silence() {
    let world = World::new().data(1).commit(1).data(2).commit(2).spoil();
    let end = DurableEnd {
        file: 1,
        position: 5000,
        group: 2,
        clean: false,
    };
    let count = world.accepted(place(1, 5000));
    assert_eq!(count, 5);
    let found = fold(world.items, Some(end), &[]);
    assert!(found.end_lost);
    assert_eq!(
        found.state.topics[&TOPIC].end, 20,
        "what can be seen of the group is there"
    );
}

#[test]
fn a_checkpoint_inside_an_open_group_keeps_what_is_behind_its_ends_open() {
    let world = World::new()
        .data(1)
        .commit(1)
        .data(2)
        .file()
        .data(2)
        .commit(2);
    let found = fold(world.items, None, &[]);
    assert_eq!(found.state.topics[&TOPIC].end, 30);
    assert!(found.damage.is_empty(), "{:?}", found.damage);
    assert_eq!(found.frames.len(), 3);
}

#[test]
fn the_end_of_a_cut_group_does_not_count_when_a_removed_file_is_back_with_it() {
    let world = World::new().data(1).commit(1);
    let seen = world.items.len();
    // Offsets 10..20 stood in the first file and are cut.
    let back = World { end: 20, ..world }.file().data(2).commit(2);
    assert_eq!(back.accepted(None), seen);

    let world = World::new().data(1).commit(1).data(3).commit(3);
    let seen = world.items.len();
    let last = world.last;
    let former = CommitPlace { group: 1, ..last };
    let back = World {
        last: former,
        ..world
    }
    .file()
    .data(2)
    .commit(2);
    assert_eq!(
        back.accepted(None),
        seen,
        "an older group does not follow a newer one"
    );
}
