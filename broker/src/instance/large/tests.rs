use super::*;

const MIB: u64 = 1 << 20;

const ROOM: Room = Room {
    file: 64 * MIB,
    free: 320 * MIB,
};

fn seen(transaction: u64, gives_back: u64, free: u64) -> Seen {
    Seen {
        transaction: transaction * MIB,
        gives_back: gives_back * MIB,
        free: free * MIB,
        log: 2000 * MIB,
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const PATIENCE: u64 = SPACE_PATIENCE.as_secs();

#[test]
fn a_transaction_that_takes_the_space_itself_is_too_large_after_a_while() {
    let mut patience = Patience::default();
    let mut look = |seen, seconds| patience.look(&ROOM, seen, at(seconds));
    let full = seen(700, 640, 200);
    assert_eq!(look(full, 100), None, "retention gets its chance");
    assert_eq!(look(full, 99 + PATIENCE), None);
    let free = 840 * MIB;
    assert_eq!(look(full, 100 + PATIENCE), Some(TooLarge { free }));
}

#[test]
fn while_retention_deletes_it_is_waited_for() {
    let mut patience = Patience::default();
    for second in 0..100 {
        let shrinking = Seen {
            log: (2000 - second / 3) * MIB,
            ..seen(700, 640, 200)
        };
        assert_eq!(
            patience.look(&ROOM, shrinking, at(second)),
            None,
            "{second}"
        );
    }
    let stuck = Seen {
        log: 1967 * MIB,
        ..seen(700, 640, 200)
    };
    assert!(patience.look(&ROOM, stuck, at(99 + PATIENCE)).is_some());
}

#[test]
fn where_others_have_the_space_it_waits_for_ever() {
    let mut patience = Patience::default();
    for second in 0..10 * PATIENCE {
        // Taken back it would give 100 MiB: still too little to go on.
        assert_eq!(patience.look(&ROOM, seen(160, 100, 200), at(second)), None);
    }
    let freed = seen(160, 130, 200);
    assert_eq!(
        patience.look(&ROOM, freed, at(10 * PATIENCE)),
        None,
        "its wait begins now"
    );
}

#[test]
fn a_small_transaction_is_never_too_large_for_the_disk() {
    let mut patience = Patience::default();
    for second in 0..10 * PATIENCE {
        // A quota: the disk says that there is space, and gives none.
        assert_eq!(patience.look(&ROOM, seen(64, 0, 5000), at(second)), None);
    }
}

#[test]
fn what_is_written_meanwhile_ends_the_wait() {
    let mut patience = Patience::default();
    let full = seen(700, 640, 200);
    assert_eq!(patience.look(&ROOM, full, at(0)), None);
    patience.forget();
    assert_eq!(patience.look(&ROOM, full, at(PATIENCE)), None);
    assert!(patience.look(&ROOM, full, at(2 * PATIENCE)).is_some());
}

fn told(place: Option<&OpenPlace>, is_temporary: bool) -> Told<'_> {
    Told {
        instance: "shop",
        place,
        topic: Some("shop.public.orders"),
        bytes: 900 * MIB,
        records: 12,
        is_temporary,
    }
}

fn place() -> OpenPlace {
    OpenPlace {
        commits_at: "0/AB".to_owned(),
        behind: "0/AC".to_owned(),
    }
}

#[test]
fn it_is_said_which_transaction_how_large_and_what_to_do() {
    let place = place();
    let free = 400 * MIB;
    let standstill = standstill(TooLarge { free }, &told(Some(&place), false), 7);
    assert_eq!(standstill.since_ms, 7);
    assert_eq!(standstill.goes_on_at, Some(500 * MIB));
    let state = standstill.state;
    let said = format!("{}|{}", state.reason().unwrap(), state.fix().unwrap());
    for words in [
        "commits at 0/AB",
        "900 MiB and 12 records",
        "topic shop.public.orders",
        "400 MiB",
        "resume shop",
        "resync shop --from 0/AC --force",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_temporary_slot_cannot_go_on() {
    let free = 400 * MIB;
    let standstill = standstill(TooLarge { free }, &told(None, true), 7);
    assert_eq!(standstill.goes_on_at, None);
    assert!(standstill.state.fix().unwrap().contains("--data"));
}
