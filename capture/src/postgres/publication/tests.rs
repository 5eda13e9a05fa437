use super::*;
use crate::postgres::error::FailureClass;

fn names() -> Names {
    Names {
        server: "db:5432".into(),
        user: "cdc".into(),
        database: "shop".into(),
        slot: "headwater_shop".into(),
        publication: "headwater_shop".into(),
        instance: "shop".into(),
    }
}

fn table(oid: u32, name: &str, usable_identity: bool) -> Listed {
    Listed {
        oid,
        schema: "public".into(),
        name: name.into(),
        kind: RelationKind::Table,
        replica_identity: ReplicaIdentity::Default,
        usable_identity,
        parent: None,
        published: false,
        published_keyed: false,
    }
}

fn everything() -> TableFilter {
    TableFilter::default()
}

#[test]
fn tables_without_identity_are_published_for_inserts_only() {
    let tables = [table(1, "keyed", true), table(2, "keyless", false)];
    let changes = changes(&tables, &everything());
    assert_eq!((changes.add, changes.add_keyed), (vec![0, 1], vec![0]));
}

#[test]
fn nothing_is_altered_when_nothing_changed() {
    let tables = [
        Listed {
            published: true,
            published_keyed: true,
            ..table(1, "keyed", true)
        },
        Listed {
            published: true,
            ..table(2, "keyless", false)
        },
    ];
    assert!(changes(&tables, &everything()).is_empty());
}

#[test]
fn a_table_that_lost_its_identity_or_its_match_is_taken_out() {
    let filter = TableFilter::parse(&["public.*"], &["gone"]).unwrap();
    let tables = [
        Listed {
            published: true,
            published_keyed: true,
            ..table(1, "lost", false)
        },
        Listed {
            published: true,
            published_keyed: true,
            ..table(2, "gone", true)
        },
    ];
    let changes = changes(&tables, &filter);
    assert_eq!((changes.drop, changes.drop_keyed), (vec![1], vec![0, 1]));
    assert_eq!((changes.add, changes.add_keyed), (vec![], vec![]));
}

#[test]
fn a_partitioned_table_is_keyed_only_while_all_its_leaves_are() {
    let tree = |leaf_is_usable| {
        vec![
            Listed {
                kind: RelationKind::Partitioned,
                ..table(1, "root", true)
            },
            Listed {
                kind: RelationKind::Partitioned,
                parent: Some(1),
                ..table(2, "middle", true)
            },
            Listed {
                parent: Some(2),
                ..table(3, "leaf", leaf_is_usable)
            },
            Listed {
                parent: Some(1),
                ..table(4, "other", true)
            },
        ]
    };
    assert_eq!(changes(&tree(true), &everything()).add_keyed, [0, 1, 2, 3]);
    assert_eq!(changes(&tree(false), &everything()).add_keyed, [3]);
    let mut full = tree(true);
    full[0].replica_identity = ReplicaIdentity::Full;
    assert_eq!(changes(&full, &everything()).add_keyed, [1, 2, 3]);
}

#[test]
fn an_impossible_cycle_of_partitions_ends() {
    let tables = [
        Listed {
            kind: RelationKind::Partitioned,
            parent: Some(2),
            ..table(1, "a", true)
        },
        Listed {
            kind: RelationKind::Partitioned,
            parent: Some(1),
            ..table(2, "b", true)
        },
        Listed {
            parent: Some(1),
            ..table(3, "leaf", false)
        },
    ];
    assert_eq!(
        changes(&tables, &everything()).add_keyed,
        Vec::<usize>::new()
    );
}

#[test]
fn statements_name_each_table_alone_and_quoted() {
    let tables = [table(1, "a\"b", true), table(2, "c", false)];
    let wanted = changes(&tables, &everything());
    let statements = create_sql("p", &tables, &wanted, 150_000);
    assert_eq!(
        statements[0],
        "CREATE PUBLICATION \"p\" FOR TABLE ONLY \"public\".\"a\"\"b\", ONLY \"public\".\"c\" \
         WITH (publish = 'insert, truncate')"
    );
    assert_eq!(
        statements[1],
        "CREATE PUBLICATION \"p_keyed\" FOR TABLE ONLY \"public\".\"a\"\"b\" \
         WITH (publish = 'update, delete')"
    );
    assert!(create_sql("p", &tables, &wanted, 100_000)[0].ends_with("WITH (publish = 'insert')"));
    let empty = create_sql("p", &[], &Changes::default(), 150_000);
    assert_eq!(
        empty[1],
        "CREATE PUBLICATION \"p_keyed\" WITH (publish = 'update, delete')"
    );
    assert_eq!(
        alter_sql("p", "DROP", &tables, &[1]).unwrap(),
        "ALTER PUBLICATION \"p\" DROP TABLE ONLY \"public\".\"c\""
    );
    assert_eq!(alter_sql("p", "ADD", &tables, &[]), None);
}

#[test]
fn publications_are_made_only_before_there_is_anything_to_lose() {
    let plan = |existing, ours, history| plan(existing, ours, history, &names());
    assert_eq!(
        plan(Existing::None, false, false),
        Ok(PublicationPlan::Create)
    );
    assert_eq!(
        plan(Existing::Pair, true, true),
        Ok(PublicationPlan::Use(Layout::Pair))
    );
    assert_eq!(
        plan(Existing::Single, false, false),
        Ok(PublicationPlan::Use(Layout::Single))
    );
    for (existing, ours, history) in [
        (Existing::None, false, true),
        (Existing::Single, true, false),
        (Existing::Single, true, true),
        (Existing::KeyedOnly, false, false),
    ] {
        let failure = plan(existing, ours, history).unwrap_err();
        assert_eq!(failure.class, FailureClass::Misconfigured, "{failure:?}");
        assert!(failure.reason.contains("headwater_shop"));
    }
}

#[test]
fn names_fit_what_the_server_keeps_of_them() {
    assert_eq!(keyed_name("headwater_shop"), "headwater_shop_keyed");
    assert_eq!(keyed_name(&"x".repeat(57)).len(), 63);
    let (one, two) = ("x".repeat(62) + "1", "x".repeat(62) + "2");
    assert_eq!(
        keyed_name(&one),
        format!("{}_7c11f904_keyed", "x".repeat(48))
    );
    assert_ne!(keyed_name(&one), keyed_name(&two));
    assert!(keyed_name(&"ö".repeat(31)).len() <= 63);
    assert!(check_name(&one).is_ok());
    assert!(check_name(&"x".repeat(64)).is_err());
    assert!(check_name("").is_err());
}
