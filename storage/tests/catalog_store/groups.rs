//! Consumer groups of the catalog: who is found by which name, what may become of one, and that all broken rules are
//! told at once.

use headwater_storage::{
    Catalog, CatalogChange, Group, GroupMode, GroupNumber, InstanceNumber, StorageError,
    VerifierMechanism,
    catalog::group_rules::{self, BrokenRule, WantedGroup},
};

use crate::world::{History, deleted, group, verifier};

fn catalog() -> Catalog {
    let history = History::new();
    history.states.last().expect("is not empty").clone()
}

fn with(group: Group) -> Result<Catalog, StorageError> {
    catalog().with(&[CatalogChange::Group(group)])
}

fn number(found: Option<&std::sync::Arc<Group>>) -> Option<u32> {
    found.map(|group| group.number.0)
}

#[test]
fn a_group_is_found_by_id_name_account_and_user_name() {
    let catalog = catalog();
    assert_eq!(number(catalog.group_by_id("sync")), Some(3));
    assert_eq!(number(catalog.group_by_id("the sync group")), None);
    assert_eq!(number(catalog.group_by_name("the sync group")), Some(3));
    assert_eq!(number(catalog.group_named("the audit group")), Some(2));
    assert_eq!(catalog.groups_of(InstanceNumber(1)).count(), 2);
    assert_eq!(catalog.groups_of(InstanceNumber(2)).count(), 0);
    assert_eq!(catalog.groups_of_account("team_a").count(), 2);
    assert!(catalog.group(GroupNumber(1)).expect("is kept").deleted);

    for (user, expected) in [
        ("team_a-sync", Some(3)),
        ("team_a-the audit group", Some(2)),
        ("team_a", Some(2)),
        ("team_b-sync", None),
        ("team_b", None),
        ("team_a-", None),
        ("-sync", None),
        ("", None),
        ("team_a-sync-x", None),
    ] {
        assert_eq!(number(catalog.group_of_user(user)), expected, "{user}");
    }
}

#[test]
fn a_hyphen_in_the_id_does_not_confuse_the_user_name() {
    let catalog = with(group(4, "eu-west-1")).expect("is allowed");
    assert_eq!(number(catalog.group_of_user("team_a-eu-west-1")), Some(4));
}

#[test]
fn password_and_mode_change_and_nothing_else() {
    let changed = Group {
        mode: GroupMode::Reject,
        verifiers: vec![verifier(VerifierMechanism::ScramSha256)],
        ..group(3, "sync")
    };
    let catalog = with(changed.clone()).expect("is allowed");
    assert_eq!(**catalog.group_by_id("sync").expect("exists"), changed);
    for other in [
        Group {
            account: "b".to_owned(),
            ..group(3, "sync")
        },
        Group {
            name: "b".to_owned(),
            ..group(3, "sync")
        },
        Group {
            created_group: 8,
            ..group(3, "sync")
        },
        Group {
            instance: InstanceNumber(2),
            ..group(3, "sync")
        },
    ] {
        let text = with(other).expect_err("is fixed").to_string();
        assert!(text.contains("created differently"), "{text}");
    }
}

#[test]
fn a_deleted_group_stays_deleted_and_leaves_its_id_to_a_new_one() {
    let gone = with(deleted(group(3, "sync"))).expect("is allowed");
    assert!(gone.group_named("sync").is_none() && gone.group_named("the sync group").is_none());
    assert_eq!(number(gone.group_of_user("team_a")), Some(2));
    let back = gone.with(&[CatalogChange::Group(group(3, "sync"))]);
    assert!(
        back.expect_err("is gone")
            .to_string()
            .contains("is deleted")
    );
    let anew = gone.with(&[CatalogChange::Group(group(4, "sync"))]);
    assert_eq!(number(anew.expect("is free").group_by_id("sync")), Some(4));
    let still = with(Group {
        deleted: true,
        ..group(3, "sync")
    });
    assert!(
        still
            .expect_err("has secrets")
            .to_string()
            .contains("verifiers")
    );
}

#[test]
fn an_id_is_never_another_groups_name() {
    let taken = Group {
        name: "other".to_owned(),
        ..group(4, "the sync group")
    };
    let text = with(Group {
        id: "sync".to_owned(),
        ..taken
    })
    .expect_err("is taken")
    .to_string();
    assert!(text.contains("\"sync\" is taken by group sync"), "{text}");
    let taken = Group {
        name: "sync".to_owned(),
        ..group(4, "fresh")
    };
    let text = with(taken).expect_err("is taken").to_string();
    assert!(text.contains("name \"sync\" is taken"), "{text}");
    let same = Group {
        name: "fresh".to_owned(),
        ..group(4, "fresh")
    };
    assert!(with(same).is_ok(), "a group may be called by its own id");
}

#[test]
fn verifiers_that_could_let_nobody_or_anybody_in_are_refused() {
    let good = verifier(VerifierMechanism::ScramSha256);
    let mut short = good.clone();
    short.stored_key.pop();
    let mut unsalted = good.clone();
    unsalted.salt.clear();
    let mut quick = good.clone();
    quick.iterations = 4_095;
    let mut endless = good.clone();
    endless.iterations = u32::MAX;
    for verifiers in [
        vec![short],
        vec![unsalted],
        vec![quick],
        vec![endless],
        vec![good.clone(), good],
    ] {
        let text = with(Group {
            verifiers,
            ..group(4, "fresh")
        })
        .expect_err("is refused")
        .to_string();
        assert!(text.contains("group fresh: a verifier needs"), "{text}");
    }
}

#[test]
fn every_broken_rule_is_told_at_once_each_in_one_line() {
    let wanted = WantedGroup {
        id: "no spaces",
        name: "the sync group",
        instance: InstanceNumber(1),
        account: "with-hyphen",
        password: Some("short"),
    };
    let broken = group_rules::check(&catalog(), &wanted, 2);
    let lines: Vec<String> = broken.iter().map(BrokenRule::to_string).collect();
    let words = [
        "id \"no spaces\"",
        "account \"with-hyphen\"",
        "name \"the sync group\" is taken",
        "password has 5",
        "two kinds",
        "limit is 2",
    ];
    assert_eq!(lines.len(), words.len(), "{lines:?}");
    for (line, word) in lines.iter().zip(words) {
        assert!(line.contains(word) && !line.contains('\n'), "{line}");
    }
    let good = WantedGroup {
        id: "fresh",
        name: "fresh",
        account: "a",
        password: Some("Secret12"),
        ..wanted
    };
    assert_eq!(group_rules::check(&catalog(), &good, 3), []);
    let nowhere = WantedGroup {
        instance: InstanceNumber(9),
        ..good
    };
    assert_eq!(
        group_rules::check(&catalog(), &nowhere, 3),
        [BrokenRule::Instance(InstanceNumber(9))]
    );
}

#[test]
fn a_stored_group_holds_base64_and_no_password() {
    let json = serde_json::to_value(group(1, "sync")).expect("is JSON");
    let verifier = &json["verifiers"][0];
    assert_eq!(verifier["mechanism"], "scram-sha-256");
    assert_eq!(verifier["salt"], "/v7+/v7+/v7+/v7+/v7+/g==");
    assert_eq!(json["mode"], "exclusive");
    let back: Group = serde_json::from_value(json).expect("is a group");
    assert_eq!(back, group(1, "sync"));
}
