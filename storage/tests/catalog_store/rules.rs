//! What may become of the catalog, and what a refusal says.

use headwater_storage::{
    Catalog, CatalogChange, Feed, FeedLayout, FeedNumber, Instance, InstanceNumber, LeaderEpoch,
    Pause, StorageError, TableIdentity, Topic, TopicNumber, catalog::random_id,
};
use uuid::Uuid;

use crate::world::{History, World, feed, gap, instance, schema, topic, with_epoch};

fn catalog() -> Catalog {
    let history = History::new();
    history.states.last().expect("is not empty").clone()
}

fn refused(change: CatalogChange, words: &[&str]) {
    let catalog = catalog();
    let error = catalog.with(&[change]).expect_err("is refused");
    assert!(matches!(error, StorageError::Invalid(_)));
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

#[test]
fn things_are_found_by_number_name_and_id() {
    let catalog = catalog();
    let orders = catalog.topic_by_name("shop.public.orders").expect("exists");
    assert_eq!(orders.number, TopicNumber(1));
    assert_eq!(catalog.topic(TopicNumber(1)), Some(orders));
    assert_eq!(catalog.topic_by_id(Uuid::from_u128(1)), Some(orders));
    assert_eq!(
        catalog.topic_of_table(FeedNumber(1), "public", "orders"),
        Some(orders)
    );
    assert_eq!(orders.epoch(), 1);
    assert_eq!(catalog.topics_of(InstanceNumber(1)).count(), 3);
    assert_eq!(catalog.topics_of(InstanceNumber(2)).count(), 0);
    assert_eq!(
        catalog
            .instance_by_name("shop")
            .expect("exists")
            .incarnation,
        1
    );
    let latest = catalog
        .schema(InstanceNumber(1), "public", "orders")
        .expect("exists");
    assert_eq!((latest.version, catalog.schema_version()), (6, 6));
    assert!(catalog.topic_by_name("shop.public.none").is_none());
    assert!(catalog.topic_by_id(Uuid::nil()).is_none());
}

#[test]
fn next_numbers_follow_the_last() {
    let empty = Catalog::default();
    assert_eq!(
        (
            empty.next_instance().0,
            empty.next_feed().0,
            empty.next_topic().0
        ),
        (1, 1, 1)
    );
    assert_eq!(empty.next_schema_version(), 1);
    let catalog = catalog();
    assert_eq!(
        (
            catalog.next_instance().0,
            catalog.next_feed().0,
            catalog.next_topic().0
        ),
        (2, 2, 4)
    );
    assert_eq!(catalog.next_schema_version(), 7);
    refused(
        CatalogChange::Instance(instance(3, "c")),
        &["next instance has number 2, not 3"],
    );
    refused(
        CatalogChange::Topic(topic(5, "c")),
        &["next topic has number 4, not 5"],
    );
    refused(
        CatalogChange::Schema(schema(6, "orders", 1)),
        &["version 6 does not follow 6"],
    );
}

#[test]
fn names_are_taken_once_and_the_error_names_both() {
    refused(
        CatalogChange::Instance(instance(2, "shop")),
        &["instance shop exists already"],
    );
    let second = Feed {
        prefix: "shop2".to_owned(),
        ..feed(2, 1, "tables")
    };
    let with_feed = catalog()
        .with(&[CatalogChange::Feed(second)])
        .expect("has its own prefix");
    let same_name = Topic {
        feed: FeedNumber(2),
        table: None,
        ..topic(4, "orders")
    };
    let error = with_feed
        .with(&[CatalogChange::Topic(same_name)])
        .expect_err("is taken");
    let text = error.to_string();
    for word in [
        "shop.public.orders",
        "instance shop, feed tables, table public.orders",
        "prefix",
    ] {
        assert!(text.contains(word), "{text}");
    }
    let same_id = Topic {
        id: Uuid::from_u128(1),
        ..topic(4, "other")
    };
    refused(
        CatalogChange::Topic(same_id),
        &["shop.public.other", "is taken"],
    );
    refused(
        CatalogChange::Topic(Topic {
            id: Uuid::nil(),
            ..topic(4, "other")
        }),
        &["zero"],
    );
}

#[test]
fn topic_names_are_what_kafka_allows() {
    let long = "x".repeat(249);
    let too_long = "x".repeat(250);
    for (name, allowed) in [
        ("a", true),
        ("A.b_c-9", true),
        (&*long, true),
        ("", false),
        (".", false),
        ("..", false),
        ("a b", false),
        ("ä", false),
        (&*too_long, false),
    ] {
        let topic = Topic {
            name: name.to_owned(),
            ..topic(4, "other")
        };
        let result = catalog().with(&[CatalogChange::Topic(topic)]);
        assert_eq!(result.is_ok(), allowed, "{name:?}");
    }
}

#[test]
fn an_incarnation_comes_with_its_gap_and_a_pause_without() {
    let catalog = catalog();
    let now = catalog.instance_by_name("shop").expect("exists");
    let accepted = |instance: Instance| catalog.with(&[CatalogChange::Instance(instance)]);
    let next = Instance {
        incarnation: 2,
        ..(**now).clone()
    };
    assert!(
        accepted(next.clone()).is_err(),
        "a gap that nobody is told of"
    );
    let told = Instance {
        gaps: vec![gap(1), gap(2)],
        ..next.clone()
    };
    assert!(accepted(told).is_ok());
    let many = Instance {
        gaps: vec![gap(2); 65],
        ..next
    };
    assert!(accepted(many).is_err());
    let forgotten = Instance {
        gaps: Vec::new(),
        ..(**now).clone()
    };
    assert!(accepted(forgotten).is_err(), "a gap without an incarnation");
    let paused = Instance {
        pause: Some(Pause {
            since_ms: 7,
            reason: "maintenance".to_owned(),
        }),
        ..(**now).clone()
    };
    assert!(accepted(paused).is_ok());
}

#[test]
fn what_is_fixed_at_creation_stays() {
    let kept = instance(1, "shop");
    let renamed = Instance {
        name: "mall".to_owned(),
        incarnation: 1,
        ..kept.clone()
    };
    refused(
        CatalogChange::Instance(renamed),
        &["instance mall (number 1) was created differently"],
    );
    refused(CatalogChange::Instance(kept), &["created differently"]);
    let changed = Feed {
        preset: None,
        ..feed(1, 1, "tables")
    };
    refused(
        CatalogChange::Feed(changed),
        &["feed tables (number 1) was created differently"],
    );
    let moved = Topic {
        name: "elsewhere".to_owned(),
        ..with_epoch(topic(1, "orders"), 1, 77)
    };
    refused(
        CatalogChange::Topic(moved),
        &["topic shop.public.orders (number 1)"],
    );
}

#[test]
fn a_table_made_anew_keeps_its_topic() {
    let mut topic = with_epoch(topic(1, "orders"), 1, 77);
    topic.table = topic.table.map(|table| TableIdentity {
        relation: 99_999,
        ..table
    });
    let next = catalog()
        .with(&[CatalogChange::Topic(topic)])
        .expect("is allowed");
    let table = next
        .topic(TopicNumber(1))
        .and_then(|topic| topic.table.clone());
    assert_eq!(table.expect("has one").relation, 99_999);
}

#[test]
fn leader_epochs_only_grow() {
    let grown = |epochs: &[(i32, i64)]| {
        let list = epochs.iter().map(|(epoch, start_offset)| LeaderEpoch {
            epoch: *epoch,
            start_offset: *start_offset,
        });
        CatalogChange::Topic(Topic {
            epochs: list.collect(),
            ..topic(1, "orders")
        })
    };
    catalog()
        .with(&[grown(&[(0, 0), (1, 77), (3, 77)])])
        .expect("is allowed");
    for bad in [
        &[(0, 0)][..],
        &[(0, 0), (1, 78)],
        &[(0, 0), (1, 77), (1, 80)],
        &[(0, 0), (1, 77), (2, 76)],
        &[(1, 77)],
        &[],
    ] {
        refused(grown(bad), &["leader epochs"]);
    }
}

#[test]
fn things_must_belong_to_what_exists() {
    refused(
        CatalogChange::Feed(feed(2, 9, "x")),
        &["no instance number 9"],
    );
    let orphan = Topic {
        feed: FeedNumber(9),
        ..topic(4, "x")
    };
    refused(CatalogChange::Topic(orphan), &["no feed number 9"]);
    let partitionless = Feed {
        partitions: 0,
        prefix: "p".to_owned(),
        ..feed(2, 1, "x")
    };
    refused(CatalogChange::Feed(partitionless), &["needs a partition"]);
}

#[test]
fn a_feed_that_differs_is_named_with_the_fix() {
    let catalog = catalog();
    let wanted = Feed {
        number: FeedNumber(0),
        start_position: Vec::new(),
        ..feed(1, 1, "tables")
    };
    let found = catalog.check_feed(&wanted).expect("fits").expect("exists");
    assert_eq!(found.number, FeedNumber(1));

    let other_prefix = Feed {
        prefix: "shop2".to_owned(),
        preset: None,
        ..wanted.clone()
    };
    assert!(catalog.check_feed(&other_prefix).expect("is new").is_none());
    let stream = Feed {
        name: "dts".to_owned(),
        layout: FeedLayout::Stream,
        ..wanted.clone()
    };
    assert!(
        catalog
            .check_feed(&stream)
            .expect("may share the prefix")
            .is_none()
    );

    let preset = Feed {
        preset: Some("debezium".to_owned()),
        ..wanted.clone()
    };
    let layout = Feed {
        layout: FeedLayout::Stream,
        ..wanted.clone()
    };
    let name = Feed {
        name: "other".to_owned(),
        ..wanted.clone()
    };
    let format = Feed {
        format: "dts-avro".to_owned(),
        key: "none".to_owned(),
        ..wanted
    };
    for (wanted, words) in [
        (preset, &["preset flink (wanted now: debezium)"][..]),
        (layout, &["layout per-table (wanted now: stream)"]),
        (name, &["name tables (wanted now: other)"]),
        (
            format,
            &[
                "format debezium-json (wanted now: dts-avro)",
                "key primary-key",
            ],
        ),
    ] {
        let text = catalog
            .check_feed(&wanted)
            .expect_err("differs")
            .to_string();
        assert!(text.contains("feed tables with prefix shop"), "{text}");
        assert!(text.contains("use a new prefix"), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}

#[test]
fn a_refused_change_changes_nothing_and_the_next_one_may() {
    let world = World::default();
    let directory = world.open().expect("opens");
    let good = CatalogChange::Instance(instance(1, "shop"));
    let bad = CatalogChange::Feed(feed(1, 9, "x"));
    let operations = world.disk.operation_count();
    directory
        .change(vec![good.clone(), bad])
        .expect_err("is refused");
    assert_eq!(directory.catalog().instances().count(), 0);
    let too_large = CatalogChange::Schema(schema(1, "huge", 17 << 20));
    directory
        .change(vec![good.clone(), too_large])
        .expect_err("is refused");
    assert_eq!(world.disk.operation_count(), operations);
    directory.change(vec![good.clone()]).expect("is allowed");
    let before = world.disk.operation_count();
    assert_eq!(
        directory
            .change(vec![good])
            .expect("says the same")
            .change_number(),
        1
    );
    assert_eq!(
        directory
            .change(Vec::new())
            .expect("says nothing")
            .change_number(),
        1
    );
    assert_eq!(
        world.disk.operation_count(),
        before,
        "nothing to change, nothing written"
    );
}

#[test]
fn random_ids_are_never_zero_nor_begin_with_a_dash() {
    for _ in 0..10_000 {
        let id = random_id();
        assert!(!id.is_nil());
        assert_ne!(id.as_bytes()[0] >> 2, 62);
        assert_eq!(id.get_version_num(), 4);
    }
}

#[test]
fn cluster_id_has_22_characters_and_stays() {
    let world = World::default();
    let directory = world.open().expect("opens");
    let id = directory.cluster_id().to_owned();
    assert_eq!(id.len(), 22);
    assert!(
        id.chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    );
    assert_eq!(world.open().expect("opens").cluster_id(), id);
    assert_ne!(World::default().open().expect("opens").cluster_id(), id);
}
