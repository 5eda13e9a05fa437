//! Where consumer groups are: what survives a crash, what the history tells, what comes back without sled.

use std::sync::Arc;

use headwater_storage::{
    CatalogChange, DataDirectory, FirstUse, Group, GroupEvent, GroupMode, GroupNumber, GroupWrite,
    Instance, InstanceNumber, Membership, Position, PositionStore, SourceKind, StorageError,
    StoreOptions, TopicNumber, TopicPartition,
    disk::model::{ModelDisk, power::PowerCut},
    meta::{
        MetaStore,
        memory::{CommitEnd, MemoryMeta},
    },
    positions::restore_positions,
};

const SYNC: GroupNumber = GroupNumber(1);
const MINUTE: i64 = 60_000;

#[derive(Default)]
struct World {
    disk: ModelDisk,
    meta: Arc<MemoryMeta>,
}

impl World {
    fn open(&self) -> DataDirectory {
        let meta = Arc::clone(&self.meta);
        DataDirectory::open_on(Arc::new(self.disk.clone()), meta, &StoreOptions::default())
            .expect("opens")
    }

    fn positions(&self) -> PositionStore {
        self.open().open_positions().expect("opens")
    }

    fn power_cut(&self) -> Self {
        Self {
            disk: self.disk.power_cut(PowerCut::LoseAll),
            meta: Arc::new(self.meta.restart()),
        }
    }
}

fn at(topic: u32) -> TopicPartition {
    TopicPartition {
        topic: TopicNumber(topic),
        partition: 0,
    }
}

fn position(offset: i64) -> Position {
    Position {
        offset,
        leader_epoch: 0,
        commit_ms: 5,
        metadata: format!("checkpoint {offset}"),
    }
}

fn commit(group: GroupNumber, at_ms: i64, offsets: &[(u32, i64)]) -> GroupWrite {
    let positions = offsets
        .iter()
        .map(|(topic, offset)| (at(*topic), Some(position(*offset))));
    GroupWrite {
        group,
        at_ms,
        who: "app@10.0.0.9".to_owned(),
        positions: positions.collect(),
        membership: None,
        event: Some(GroupEvent::Commit),
        first_use: None,
    }
}

fn offsets(store: &PositionStore, group: GroupNumber) -> Vec<(u32, i64)> {
    let positions = store.positions(group).expect("reads");
    positions
        .iter()
        .map(|(at, position)| (at.topic.0, position.offset))
        .collect()
}

#[test]
fn a_position_comes_back_byte_for_byte_after_a_power_cut() {
    let world = World::default();
    let store = world.positions();
    let long = Position {
        metadata: format!(" \u{0}{}\u{0}\n", "\u{e4}".repeat(2_046)),
        ..position(9)
    };
    assert_eq!(long.metadata.len(), 4_096);
    let mut write = commit(SYNC, 0, &[(1, 7), (300, 8)]);
    write.positions.push((at(2), Some(long.clone())));
    store.write(&[write]).expect("writes");
    drop(store);
    let store = world.power_cut().positions();
    assert_eq!(offsets(&store, SYNC), [(1, 7), (2, 9), (300, 8)]);
    assert_eq!(store.position(SYNC, at(2)).expect("reads"), Some(long));
    assert_eq!(store.position(SYNC, at(3)).expect("reads"), None);
    assert!(offsets(&store, GroupNumber(2)).is_empty());
}

#[test]
fn commits_of_many_groups_share_one_commit_of_sled() {
    let world = World::default();
    let store = world.positions();
    let before = world.meta.commit_count();
    let writes: Vec<_> = (1..=20)
        .map(|group| commit(GroupNumber(group), 0, &[(1, 5)]))
        .collect();
    store.write(&writes).expect("writes");
    assert_eq!(world.meta.commit_count() - before, 1);
}

#[test]
fn a_crash_leaves_every_commit_whole_or_not_at_all_and_no_answered_one_is_lost() {
    let long = |offset| Position {
        metadata: "m".repeat(4_096),
        ..position(offset)
    };
    let write = |offset: i64| GroupWrite {
        positions: (1..=200)
            .map(|topic| (at(topic), Some(long(offset))))
            .collect(),
        ..commit(SYNC, offset * MINUTE, &[])
    };
    for (step, end) in (0..9).flat_map(|step| [(step, CommitEnd::Before), (step, CommitEnd::After)])
    {
        let world = World::default();
        let store = world.positions();
        store.write(&[write(1)]).expect("writes");
        world.meta.fail_at(world.meta.commit_count() + step, end);
        let answered = store.write(&[write(2)]).is_ok();
        let store = world.power_cut().positions();
        let found = offsets(&store, SYNC);
        assert_eq!(found.len(), 200, "step {step} {end:?}");
        let new = found.iter().filter(|(_, offset)| *offset == 2).count();
        assert!(new == 200 || !answered, "step {step} {end:?}: {new} of 200");
        store.history(SYNC).expect("is whole");
    }
}

#[test]
fn after_a_failed_write_nothing_is_acknowledged() {
    let world = World::default();
    let store = world.positions();
    world
        .meta
        .fail_at(world.meta.commit_count(), CommitEnd::Before);
    for _ in 0..2 {
        let failed = store.write(&[commit(SYNC, 0, &[(1, 7)])]);
        assert!(matches!(failed, Err(StorageError::Poisoned(_))));
    }
}

#[test]
fn the_history_tells_who_moved_the_group_when_from_where_to_where() {
    let world = World::default();
    let store = world.positions();
    store
        .write(&[commit(SYNC, 0, &[(1, 5), (2, 50)])])
        .expect("writes");
    store
        .write(&[commit(SYNC, 1_000, &[(1, 9)])])
        .expect("writes");
    let seek = GroupWrite {
        who: "operator".to_owned(),
        event: Some(GroupEvent::Seek {
            to: "start".to_owned(),
        }),
        ..commit(SYNC, 2_000, &[(1, 0)])
    };
    store.write(&[seek]).expect("writes");
    let takeover = GroupWrite {
        event: Some(GroupEvent::Takeover {
            from: None,
            member: "a-1".to_owned(),
        }),
        ..commit(SYNC, 3_000, &[])
    };
    store.write(&[takeover]).expect("writes");
    store
        .write(&[commit(SYNC, MINUTE, &[(1, 10)])])
        .expect("writes");

    let history = world.power_cut().positions().history(SYNC).expect("reads");
    let told: Vec<_> = history
        .iter()
        .map(|(sequence, entry)| {
            let offset = |p: &Option<Position>| p.as_ref().map(|p| p.offset);
            let moves: Vec<_> = entry
                .moves
                .iter()
                .map(|m| (m.at.topic.0, offset(&m.from), offset(&m.to)))
                .collect();
            (*sequence, entry.at_ms, entry.who.as_str(), moves)
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                1,
                0,
                "app@10.0.0.9",
                vec![(1, None, Some(5)), (2, None, Some(50))]
            ),
            // The commit of second 1 is not kept by itself, but as what the seek moved from.
            (2, 2_000, "operator", vec![(1, Some(9), Some(0))]),
            (
                3,
                3_000,
                "app@10.0.0.9",
                vec![(1, Some(0), Some(0)), (2, Some(50), Some(50))]
            ),
            (4, MINUTE, "app@10.0.0.9", vec![(1, Some(0), Some(10))]),
        ]
    );
    let from = history[1].1.moves[0].from.as_ref().expect("was there");
    assert_eq!(
        from.metadata, "checkpoint 9",
        "a seek can be taken back with all there was"
    );
}

#[test]
fn a_commit_that_goes_back_stands_in_the_history_however_soon_it_comes() {
    let world = World::default();
    let store = world.positions();
    let commits = [[(1, 5), (2, 5)], [(1, 6), (2, 7)], [(1, 8), (2, 6)]];
    for (at_ms, offsets) in (0..).zip(&commits) {
        store
            .write(&[commit(SYNC, at_ms, offsets)])
            .expect("writes");
    }
    let kept: Vec<_> = store.history(SYNC).expect("reads");
    let times: Vec<_> = kept.iter().map(|(_, entry)| entry.at_ms).collect();
    assert_eq!(times, [0, 2], "the first one, and the one that goes back");
    let back = &kept[1].1.moves[1];
    let offset = |position: &Option<Position>| position.as_ref().map(|p| p.offset);
    assert_eq!((offset(&back.from), offset(&back.to)), (Some(7), Some(6)));
}

#[test]
fn a_history_is_bounded_and_its_sequences_go_on_after_a_start() {
    let world = World::default();
    let store = world.positions();
    for minute in 0..1_010 {
        store
            .write(&[commit(SYNC, minute * MINUTE, &[(1, minute)])])
            .expect("writes");
    }
    drop(store);
    let store = world.positions();
    let sequences = |store: &PositionStore| {
        let history = store.history(SYNC).expect("reads");
        (history.len(), history[0].0, history[history.len() - 1].0)
    };
    assert_eq!(sequences(&store), (1_000, 11, 1_010));
    store
        .write(&[commit(SYNC, 1_010 * MINUTE, &[(1, 1)])])
        .expect("writes");
    assert_eq!(sequences(&store), (1_000, 12, 1_011));
}

#[test]
fn a_group_of_first_use_vanishes_without_a_trace_and_one_of_the_catalog_keeps_its_history() {
    let world = World::default();
    let store = world.positions();
    let first = GroupNumber::FIRST_USE;
    let record = FirstUse {
        id: "console-consumer-1".to_owned(),
        instance: None,
        created_ms: 1,
        idle_ms: 0,
    };
    let membership = Membership {
        generation: 3,
        ..Membership::default()
    };
    for group in [SYNC, first] {
        let write = GroupWrite {
            first_use: group.is_first_use().then(|| record.clone()),
            membership: Some(membership.clone()),
            ..commit(group, 0, &[(1, 7)])
        };
        store.write(&[write]).expect("writes");
    }
    assert_eq!(store.first_uses().expect("reads"), [(first, record)]);
    assert_eq!(store.membership(SYNC), membership);
    store.forget(first).expect("forgets");
    store.forget(SYNC).expect("forgets");
    drop(store);
    let store = world.power_cut().positions();
    assert!(store.first_uses().expect("reads").is_empty());
    assert!(offsets(&store, SYNC).is_empty() && offsets(&store, first).is_empty());
    assert_eq!(store.history(SYNC).expect("reads").len(), 1);
    assert!(store.history(first).expect("reads").is_empty());
    assert_eq!(world.meta.scan(&[0x32]).expect("reads"), []);
}

fn with_groups(world: &World) -> DataDirectory {
    let directory = world.open();
    let group = |number, id: &str| {
        CatalogChange::Group(Group {
            number: GroupNumber(number),
            id: id.to_owned(),
            name: id.to_owned(),
            instance: InstanceNumber(1),
            account: "a".to_owned(),
            verifiers: vec![],
            mode: GroupMode::Exclusive,
            created_ms: 0,
            created_group: 0,
            deleted: false,
        })
    };
    let instance = CatalogChange::Instance(Instance {
        number: InstanceNumber(1),
        name: "shop".to_owned(),
        source: SourceKind::Postgresql,
        created_ms: 0,
        incarnation: 0,
        pause: None,
        gaps: Vec::new(),
    });
    let changes = vec![instance, group(1, "sync"), group(2, "audit")];
    directory.change(changes).expect("changes");
    directory
}

#[test]
fn without_sled_the_positions_come_from_the_copy_and_every_group_is_marked() {
    let world = World::default();
    let directory = with_groups(&world);
    let store = directory.open_positions().expect("opens");
    let write = GroupWrite {
        membership: Some(Membership {
            generation: 5,
            ..Membership::default()
        }),
        ..commit(SYNC, 0, &[(1, 7), (2, 8)])
    };
    store.write(&[write]).expect("writes");
    let catalog = directory.catalog();
    assert!(store.write_copy(&catalog, 1_000).expect("copies"));
    assert!(
        !store.write_copy(&catalog, 2_000).expect("copies"),
        "nothing changed"
    );
    store.write(&[commit(SYNC, 0, &[(1, 9)])]).expect("writes");

    let disk = world.disk.power_cut(PowerCut::LoseAll);
    let id = directory.directory_id();
    let restore =
        |meta: &MemoryMeta| restore_positions(&disk, meta, &catalog, id, 3_000).expect("restores");
    let fresh = World::default();
    let restored = restore(&fresh.meta);
    assert_eq!(
        (restored.from_ms, restored.groups, restored.marked),
        (Some(1_000), 2, 2)
    );
    let store = fresh.positions();
    assert_eq!(offsets(&store, SYNC), [(1, 7), (2, 8)]);
    for group in [SYNC, GroupNumber(2)] {
        let mark = store.restored(group).expect("is marked");
        assert_eq!((mark.from_ms, mark.at_ms), (Some(1_000), 3_000));
        let last = store.history(group).expect("reads").pop().expect("is told");
        assert_eq!(
            last.1.event,
            GroupEvent::Restored {
                from_ms: Some(1_000)
            }
        );
    }
    assert!(
        store.membership(SYNC).generation > 5,
        "no generation is given twice"
    );
    store
        .write(&[commit(SYNC, 4_000, &[(1, 9)])])
        .expect("writes");
    assert_eq!(
        store.restored(SYNC),
        None,
        "whoever commits knows where he is"
    );
    assert!(store.restored(GroupNumber(2)).is_some());
}

#[test]
fn a_directory_without_sled_opens_with_the_positions_of_the_copy() {
    let world = World::default();
    let directory = with_groups(&world);
    let store = directory.open_positions().expect("opens");
    let write = commit(SYNC, 0, &[(1, 7), (2, 8)]);
    store.write(&[write]).expect("writes");
    store
        .write_copy(&directory.catalog(), 1_000)
        .expect("copies");
    drop((store, directory));

    let without_sled = World {
        disk: world.disk.power_cut(PowerCut::LoseAll),
        meta: Arc::default(),
    };
    let options = StoreOptions {
        opened_ms: 3_000,
        ..StoreOptions::default()
    };
    let meta = Arc::clone(&without_sled.meta);
    let directory = DataDirectory::open_on(Arc::new(without_sled.disk), meta, &options);
    let store = directory.expect("opens").open_positions().expect("opens");
    assert_eq!(offsets(&store, SYNC), [(1, 7), (2, 8)]);
    let mark = store.restored(SYNC).expect("is marked");
    assert_eq!((mark.from_ms, mark.at_ms), (Some(1_000), 3_000));
}

#[test]
fn without_a_copy_that_can_be_read_the_groups_are_marked_as_lost() {
    let world = World::default();
    let directory = with_groups(&world);
    let id = directory.directory_id();
    for bytes in [None, Some(&b"HWPOSCPY"[..]), Some(&[0; 500][..])] {
        if let Some(bytes) = bytes {
            world.disk.put("positions.copy", bytes);
        }
        let fresh = World::default();
        let restored =
            restore_positions(&world.disk, &*fresh.meta, &directory.catalog(), id, 3_000);
        assert_eq!(restored.expect("goes on").from_ms, None);
        let mark = fresh.positions().restored(SYNC).expect("is marked");
        assert_eq!(mark.from_ms, None);
    }
}

#[test]
fn a_copy_that_cannot_be_written_is_tried_again() {
    let world = World::default();
    let directory = with_groups(&world);
    let store = directory.open_positions().expect("opens");
    world.disk.set_capacity(Some(0));
    assert!(store.write_copy(&directory.catalog(), 1).is_err());
    world.disk.set_capacity(None);
    assert!(store.write_copy(&directory.catalog(), 2).expect("copies"));
}
