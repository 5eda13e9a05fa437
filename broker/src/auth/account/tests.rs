//! Each form of a user name, and what the log says of each that is wrong.

use std::num::NonZeroU32;

use headwater_storage::{CatalogChange, GroupMode, Instance, InstanceNumber, SourceKind};

use super::*;

const FEW: NonZeroU32 = NonZeroU32::new(4_096).expect("not zero");

fn group(number: u32, id: &str, account: &str, password: &str) -> Group {
    Group {
        number: GroupNumber(number),
        id: id.to_owned(),
        name: format!("name of {id}"),
        instance: InstanceNumber(1),
        account: account.to_owned(),
        verifiers: vec![stored(&ScramVerifier::from_password(
            ScramMechanism::Sha256,
            password,
            &[7; 16],
            FEW,
        ))],
        mode: GroupMode::Exclusive,
        created_ms: 0,
        created_group: 0,
        deleted: false,
    }
}

fn catalog() -> Catalog {
    let instance = Instance {
        number: InstanceNumber(1),
        name: "shop".to_owned(),
        source: SourceKind::Postgresql,
        created_ms: 0,
        incarnation: 0,
        pause: None,
        gaps: Vec::new(),
    };
    let changes = [
        CatalogChange::Instance(instance),
        CatalogChange::Group(group(1, "orders-eu", "team", "Password1")),
        CatalogChange::Group(group(2, "orders-us", "team", "Password2")),
        CatalogChange::Group(group(3, "stock", "other", "Password3")),
    ];
    Catalog::default().with(&changes).expect("it may be")
}

fn operator() -> Operator {
    let verifiers = ScramMechanism::ALL
        .map(|mechanism| ScramVerifier::from_password(mechanism, "Oper4tor", &[7; 16], FEW));
    Operator {
        user: "root".to_owned(),
        verifiers: verifiers.to_vec(),
    }
}

#[test]
fn a_user_name_means_the_group_behind_its_first_hyphen_or_the_oldest_of_its_account() {
    let catalog = catalog();
    for (user, id, password) in [
        ("team-orders-eu", "orders-eu", "Password1"),
        ("team-orders-us", "orders-us", "Password2"),
        ("team-name of orders-us", "orders-us", "Password2"),
        ("team", "orders-eu", "Password1"),
        ("other", "stock", "Password3"),
    ] {
        for mechanism in [Mechanism::Plain, Mechanism::Scram(ScramMechanism::Sha256)] {
            let (principal, verifier) = find(&catalog, None, user, mechanism).expect("it is there");
            assert_eq!(principal.name(), id, "{user}");
            assert!(verifier.is_password(password), "{user}");
        }
    }
}

#[test]
fn what_is_wrong_about_a_user_name_is_told_apart_for_the_log() {
    let catalog = catalog();
    let sha512 = Mechanism::Scram(ScramMechanism::Sha512);
    for (user, mechanism, unknown) in [
        ("", Mechanism::Plain, Unknown::Account),
        ("nobody", Mechanism::Plain, Unknown::Account),
        ("nobody-at-all", Mechanism::Plain, Unknown::Account),
        ("team-", Mechanism::Plain, Unknown::Group),
        ("team-stocks", Mechanism::Plain, Unknown::Group),
        ("team-stock", Mechanism::Plain, Unknown::AccountOfGroup),
        ("orders-eu", Mechanism::Plain, Unknown::Account),
        ("root", Mechanism::Plain, Unknown::Account),
        ("team", sha512, Unknown::Verifier(sha512)),
    ] {
        let found = find(&catalog, None, user, mechanism);
        assert_eq!(found.err(), Some(unknown), "{user}");
    }
}

#[test]
fn the_operator_is_there_if_configured_and_only_by_its_exact_name() {
    let catalog = catalog();
    let operator = operator();
    for mechanism in Mechanism::ALL {
        let (principal, verifier) =
            find(&catalog, Some(&operator), "root", mechanism).expect("it is there");
        assert_eq!(principal, Principal::Operator);
        assert!(verifier.is_password("Oper4tor"));
    }
    for other in ["Root", "root ", "root-stock", "roo"] {
        let found = find(&catalog, Some(&operator), other, Mechanism::Plain);
        assert!(found.is_err(), "{other}");
    }
}

#[test]
fn a_verifier_is_current_until_the_password_changes_or_the_group_goes() {
    let catalog = catalog();
    let (_, verifier) = find(&catalog, None, "team", Mechanism::Plain).expect("it is there");
    assert!(is_current(&catalog, GroupNumber(1), &verifier));
    assert!(!is_current(&catalog, GroupNumber(2), &verifier));
    let changed = CatalogChange::Group(group(1, "orders-eu", "team", "Password9"));
    let changed = catalog.with(&[changed]).expect("it may be");
    assert!(!is_current(&changed, GroupNumber(1), &verifier));
    let mut gone = group(1, "orders-eu", "team", "Password1");
    gone.deleted = true;
    gone.verifiers.clear();
    let deleted = catalog
        .with(&[CatalogChange::Group(gone)])
        .expect("it may be");
    assert!(!is_current(&deleted, GroupNumber(1), &verifier));
    assert!(find(&deleted, None, "team-orders-eu", Mechanism::Plain).is_err());
}
