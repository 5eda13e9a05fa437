use super::*;

const MIB: u64 = 1 << 20;

fn keeper() -> SpaceKeeper {
    SpaceKeeper::new(SpaceLimits {
        low: 1024 * MIB,
        stop: 256 * MIB,
        ballast: 64 * MIB,
    })
}

fn at(seconds: u64) -> Now {
    Now {
        wall_ms: 1_000 + i64::try_from(seconds).expect("is small"),
        monotonic: Duration::from_secs(seconds),
    }
}

fn seen(free_mib: u64) -> Seen {
    Seen {
        free: free_mib * MIB,
        log_bytes: 10_000 * MIB,
        refused: false,
        ballast_is_there: true,
    }
}

#[test]
fn every_state_is_entered_and_left_where_the_table_says() {
    use SpaceState::{Low, Ok, Stopped};
    let mut keeper = keeper();
    // Free MiB, and the state that follows, one behind the other.
    let walk = [
        (5000, Ok),
        (1024, Ok),
        (1023, Low),
        (1100, Low),
        (1152, Ok),
        (255, Stopped),
        (300, Stopped),
        (319, Stopped),
        (320, Low),
        (256, Low),
        (255, Stopped),
        (1151, Low),
        (1152, Ok),
        (0, Stopped),
        (1152, Ok),
    ];
    for (second, (free, state)) in (0..).zip(walk) {
        keeper.observe(seen(free), at(second));
        assert_eq!(keeper.space().state, state, "step {second}, {free} MiB");
        assert_eq!(keeper.space().free, free * MIB);
    }
}

#[test]
fn the_oldest_records_are_asked_for_up_to_what_there_is() {
    let mut keeper = keeper();
    keeper.observe(seen(2000), at(0));
    assert_eq!(keeper.space().wanted, 0);
    keeper.observe(seen(1000), at(1));
    assert_eq!(keeper.space().wanted, 24 * MIB);
    let small_log = Seen {
        log_bytes: 5 * MIB,
        ..seen(100)
    };
    keeper.observe(small_log, at(2));
    assert_eq!(keeper.space().wanted, 5 * MIB);
}

#[test]
fn a_state_remembers_since_when() {
    let mut keeper = keeper();
    keeper.observe(seen(100), at(5));
    keeper.observe(seen(90), at(6));
    assert_eq!(keeper.space().since_ms, 1_005);
    keeper.observe(seen(9000), at(7));
    assert_eq!(keeper.space().since_ms, 1_007);
}

#[test]
fn a_quota_stops_capture_although_there_is_space_and_lets_it_try_again() {
    let mut keeper = keeper();
    let refused = Seen {
        refused: true,
        ..seen(9000)
    };
    keeper.observe(refused, at(1));
    assert_eq!(keeper.space().state, SpaceState::Stopped);
    let retry = SPACE_RETRY.as_secs();
    keeper.observe(seen(9000), at(retry));
    assert_eq!(keeper.space().state, SpaceState::Stopped);
    keeper.observe(seen(9000), at(retry + 1));
    assert_eq!(keeper.space().state, SpaceState::Ok);
}

#[test]
fn the_ballast_goes_last_and_comes_back_when_it_fits() {
    let mut keeper = keeper();
    assert_eq!(keeper.observe(seen(100), at(0)), None);
    assert_eq!(keeper.observe(seen(7), at(1)), Some(BallastStep::Release));
    let without = |free| Seen {
        ballast_is_there: false,
        ..seen(free)
    };
    assert_eq!(keeper.observe(without(71), at(2)), None);
    assert_eq!(keeper.observe(without(1200), at(3)), None);
    assert_eq!(
        keeper.observe(without(1216), at(4)),
        Some(BallastStep::Restore)
    );
    assert_eq!(
        keeper.observe(without(1216), at(5)),
        None,
        "not at once again"
    );
    let later = 5 + SPACE_RETRY.as_secs();
    assert_eq!(
        keeper.observe(without(1216), at(later)),
        Some(BallastStep::Restore)
    );
}

#[test]
fn without_limits_nothing_is_ever_stopped() {
    let mut keeper = SpaceKeeper::new(SpaceLimits {
        low: 0,
        stop: 0,
        ballast: 0,
    });
    assert_eq!(keeper.observe(seen(0), at(0)), None);
    assert_eq!(keeper.space().state, SpaceState::Ok);
}
