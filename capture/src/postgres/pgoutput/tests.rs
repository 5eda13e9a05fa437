use proptest::prelude::*;

use super::wire::{self, Sent};
use super::*;

/// One of each message, with every form of tuple.
fn samples() -> Vec<Vec<u8>> {
    let old: &[Sent<'_>] = &[Sent::Text("1"), Sent::Null];
    let new = [Sent::Text("2"), Sent::Unchanged];
    vec![
        wire::begin(0x10, 5, 7),
        wire::commit(0x10, 0x20, 5),
        wire::origin(3, "elsewhere"),
        wire::relation(
            9,
            ("s", "t"),
            b'd',
            &[(1, "id", 23, -1), (0, "näme", 25, 36)],
        ),
        wire::type_message(16_400, "public", "mood"),
        wire::insert(9, &[Sent::Text("1"), Sent::Text("")]),
        wire::update(9, None, &new),
        wire::update(9, Some((b'K', old)), &new),
        wire::update(9, Some((b'O', old)), &new),
        wire::delete(9, (b'K', old)),
        wire::truncate(3, &[9, 10]),
        wire::logical(true, 0x11, "headwater.ddl", b"{}\0"),
    ]
}

fn data<'a>(tuple: Tuple<'a>) -> Vec<Datum<'a>> {
    tuple.columns().collect()
}

#[test]
fn transaction_borders_are_read() {
    let begin = wire::begin(0x10, -5, 7);
    let expected = Begin {
        final_lsn: 0x10,
        commit_time_us: -5,
        xid: 7,
    };
    assert_eq!(decode(&begin), Ok(Message::Begin(expected)));
    let commit = wire::commit(0x10, 0x20, 5);
    let expected = Commit {
        commit_lsn: 0x10,
        end_lsn: 0x20,
        commit_time_us: 5,
    };
    assert_eq!(decode(&commit), Ok(Message::Commit(expected)));
    let origin = wire::origin(3, "elsewhere");
    let expected = Origin {
        lsn: 3,
        name: "elsewhere",
    };
    assert_eq!(decode(&origin), Ok(Message::Origin(expected)));
}

#[test]
fn relation_is_read_with_its_columns() {
    let columns = [(1, "id", 23, -1), (0, "näme", 1043, 36)];
    for (letter, identity) in [
        (b'd', ReplicaIdentity::Default),
        (b'i', ReplicaIdentity::Index),
        (b'f', ReplicaIdentity::Full),
        (b'n', ReplicaIdentity::Nothing),
    ] {
        let bytes = wire::relation(9, ("s", "t"), letter, &columns);
        let Ok(Message::Relation(relation)) = decode(&bytes) else {
            panic!("a relation");
        };
        assert_eq!(
            (relation.relation, relation.schema, relation.name),
            (9, "s", "t")
        );
        assert_eq!(relation.identity, identity);
        let read: Vec<_> = relation
            .columns()
            .map(|c| (u8::from(c.identity), c.name, c.type_oid, c.type_modifier))
            .collect();
        assert_eq!(read, columns);
    }
    let unknown = wire::relation(9, ("s", "t"), b'x', &columns);
    let refused = Err(DecodeError::Impossible("replica identity"));
    assert_eq!(decode(&unknown), refused);
}

#[test]
fn rows_are_read_in_every_form() {
    let old: &[Sent<'_>] = &[Sent::Text("1"), Sent::Null];
    let new = [Sent::Text("ä"), Sent::Unchanged];
    let old_data = [Datum::Text(b"1"), Datum::Null];
    let new_data = [Datum::Text("ä".as_bytes()), Datum::Unchanged];

    let bytes = wire::insert(9, &new);
    let Ok(Message::Insert(insert)) = decode(&bytes) else {
        panic!("an insert");
    };
    assert_eq!((insert.relation, data(insert.new)), (9, new_data.to_vec()));

    for kind in [None, Some(b'K'), Some(b'O')] {
        let bytes = wire::update(9, kind.map(|kind| (kind, old)), &new);
        let Ok(Message::Update(update)) = decode(&bytes) else {
            panic!("an update");
        };
        assert_eq!(data(update.new), new_data);
        match (kind, update.old) {
            (None, None) => {}
            (Some(b'K'), Some(OldTuple::Key(tuple))) => assert_eq!(data(tuple), old_data),
            (Some(b'O'), Some(OldTuple::Full(tuple))) => assert_eq!(data(tuple), old_data),
            other => panic!("{other:?}"),
        }
    }

    let bytes = wire::delete(9, (b'O', old));
    let Ok(Message::Delete(delete)) = decode(&bytes) else {
        panic!("a delete");
    };
    assert_eq!(data(delete.old.tuple()), old_data);
}

#[test]
fn truncate_type_and_logical_message_are_read() {
    let bytes = wire::truncate(3, &[9, 4_000_000_000]);
    let Ok(Message::Truncate(truncate)) = decode(&bytes) else {
        panic!("a truncate");
    };
    assert_eq!(truncate.flags, 3);
    assert_eq!(truncate.relations().collect::<Vec<_>>(), [9, 4_000_000_000]);
    let bytes = wire::type_message(16_400, "", "int4");
    let expected = Type {
        type_oid: 16_400,
        schema: "",
        name: "int4",
    };
    assert_eq!(decode(&bytes), Ok(Message::Type(expected)));
    let bytes = wire::logical(true, 0x11, "p", b"\xff");
    let expected = Logical {
        transactional: true,
        lsn: 0x11,
        prefix: "p",
        content: b"\xff",
    };
    assert_eq!(decode(&bytes), Ok(Message::Logical(expected)));
}

#[test]
fn unknown_tags_are_named() {
    for tag in (0..=u8::MAX).filter(|tag| !b"BCORYIUDTM".contains(tag)) {
        assert_eq!(decode(&[tag, 0, 0]), Err(DecodeError::UnknownTag(tag)));
    }
    let message = DecodeError::UnknownTag(b'S').to_string();
    assert_eq!(message, "unknown pgoutput message tag='S'");
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    for sample in samples() {
        assert!(decode(&sample).is_ok(), "{sample:?}");
        for size in 0..sample.len() {
            let refused = decode(&sample[..size]);
            assert!(
                matches!(refused, Err(DecodeError::Truncated(_))),
                "{size} of {sample:?}: {refused:?}"
            );
        }
        let longer = [sample.as_slice(), &[0]].concat();
        assert_eq!(decode(&longer), Err(DecodeError::TooLong(sample[0])));
    }
}

#[test]
fn impossible_lengths_and_kinds_are_refused() {
    let head = [b'I', 0, 0, 0, 9, b'N'];
    let with = |tail: &[u8]| [head.as_slice(), tail].concat();
    for (tail, expected) in [
        (
            &[0xff, 0xff][..],
            DecodeError::Impossible("tuple column count"),
        ),
        (
            &[0, 1, b't', 0xff, 0xff, 0xff, 0xff],
            DecodeError::Impossible("column text"),
        ),
        (
            &[0, 1, b't', 0x7f, 0xff, 0xff, 0xff],
            DecodeError::Truncated("column text"),
        ),
        (&[0x7f, 0xff, b'n'], DecodeError::Truncated("column kind")),
        (&[0, 1, b'x'], DecodeError::Impossible("column kind")),
    ] {
        assert_eq!(decode(&with(tail)), Err(expected), "{tail:?}");
    }
    let truncate = [b'T', 0xff, 0xff, 0xff, 0xff, 0];
    let refused = Err(DecodeError::Truncated("truncated relations"));
    assert_eq!(decode(&truncate), refused);
    let latin1 = b"Y\0\0\0\x01s\0n\xe4\0";
    assert_eq!(decode(latin1), Err(DecodeError::NotUtf8("type name")));
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused_and_never_panic(
        which in 0..12usize, at in any::<prop::sample::Index>(), byte in any::<u8>(),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let _ = decode(&noise).map(walk);
        let mut sample = samples().swap_remove(which);
        let at = at.index(sample.len());
        sample[at] = byte;
        let _ = decode(&sample).map(walk);
    }
}

/// Touches everything that is read lazily.
fn walk(message: Message<'_>) -> usize {
    match message {
        Message::Relation(relation) => relation.columns().count(),
        Message::Insert(insert) => insert.new.columns().count(),
        Message::Update(update) => {
            let old = update.old.map_or(0, |old| old.tuple().columns().count());
            old + update.new.columns().count()
        }
        Message::Delete(delete) => delete.old.tuple().columns().count(),
        Message::Truncate(truncate) => truncate.relations().count(),
        Message::Begin(_)
        | Message::Commit(_)
        | Message::Origin(_)
        | Message::Type(_)
        | Message::Logical(_) => 0,
    }
}
