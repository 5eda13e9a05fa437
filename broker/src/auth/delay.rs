//! How long the answer to a failed login waits: longer with each failure of the same address and of the same user.
//! Pure; the time is an argument, and the waiting is done elsewhere, by a timer.
//!
//! Only failures wait. Whoever has the right password is let in at once, whatever others tried before: nobody can lock
//! an account from outside. The place of the failed connection stays taken meanwhile ([`super::places`]), also when
//! the client hangs up, so that the guesses of an address a second are bounded by its places and this delay.

use std::{collections::HashMap, hash::Hash, net::IpAddr, time::Duration};

use crate::limits::{LOGIN_DELAY_ENTRIES, LOGIN_DELAY_FORGET, LOGIN_DELAY_MAX, LOGIN_DELAY_MIN};

/// A user name under a key of this process: of fixed size, whatever a stranger writes.
pub(super) type UserTag = [u8; 16];

/// Recent failures.
#[derive(Debug, Default)]
pub(super) struct Delays {
    addresses: Failures<IpAddr>,
    users: Failures<UserTag>,
}

impl Delays {
    /// Notes a failure at `now` (monotonic) and says how long its answer waits.
    pub(super) fn failed(&mut self, now: Duration, address: IpAddr, user: UserTag) -> Duration {
        let of_address = self.addresses.note(now, address);
        let of_user = self.users.note(now, user);
        delay(of_address.max(of_user))
    }
}

/// Doubles with each failure.
fn delay(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1));
    doubled
        .and_then(|times| LOGIN_DELAY_MIN.checked_mul(times))
        .map_or(LOGIN_DELAY_MAX, |delay| delay.min(LOGIN_DELAY_MAX))
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    count: u32,
    last: Duration,
}

/// Failures by what they have in common, at most [`LOGIN_DELAY_ENTRIES`] of them.
#[derive(Debug)]
struct Failures<K>(HashMap<K, Failure>);

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Copy + Eq + Hash> Failures<K> {
    /// Counts one more; says how many there were lately, this one included.
    fn note(&mut self, now: Duration, key: K) -> u32 {
        let fresh = |failure: &Failure| now.saturating_sub(failure.last) < LOGIN_DELAY_FORGET;
        let before = self.0.get(&key).filter(|failure| fresh(failure));
        let count = before.map_or(0, |failure| failure.count).saturating_add(1);
        if before.is_none() && !self.0.contains_key(&key) && self.0.len() >= LOGIN_DELAY_ENTRIES {
            self.0.retain(|_, failure| fresh(failure));
            self.forget_oldest();
        }
        self.0.insert(key, Failure { count, last: now });
        count
    }

    /// Makes room for one more. Linear in the bound; a login costs the processor more.
    fn forget_oldest(&mut self) {
        if self.0.len() < LOGIN_DELAY_ENTRIES {
            return;
        }
        let oldest = self.0.iter().min_by_key(|(_, failure)| failure.last);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.0.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    fn user(number: u32) -> UserTag {
        let mut tag = [0; 16];
        tag[..4].copy_from_slice(&number.to_be_bytes());
        tag
    }

    #[test]
    fn each_failure_of_an_address_or_of_a_user_waits_longer_up_to_a_bound() {
        let now = Duration::from_secs(1);
        let mut delays = Delays::default();
        let mut by_address = Vec::new();
        for number in 0..8 {
            by_address.push(delays.failed(now, address(1), user(number)).as_millis());
        }
        assert_eq!(by_address, [100, 200, 400, 800, 1600, 3200, 3200, 3200]);
        let mut delays = Delays::default();
        let mut by_user = Vec::new();
        for number in 0..8 {
            by_user.push(delays.failed(now, address(number), user(1)).as_millis());
        }
        assert_eq!(by_user, by_address);
        assert_eq!(delays.failed(now, address(99), user(99)), LOGIN_DELAY_MIN);
    }

    #[test]
    fn failures_are_forgotten_after_a_while() {
        let mut delays = Delays::default();
        for _ in 0..5 {
            delays.failed(Duration::ZERO, address(1), user(1));
        }
        let before = LOGIN_DELAY_FORGET - Duration::from_millis(1);
        assert_eq!(delays.failed(before, address(1), user(1)), LOGIN_DELAY_MAX);
        let after = before + LOGIN_DELAY_FORGET;
        assert_eq!(delays.failed(after, address(1), user(1)), LOGIN_DELAY_MIN);
    }

    #[test]
    fn any_number_of_addresses_and_users_takes_bounded_memory_and_the_newest_are_known() {
        let mut delays = Delays::default();
        let last = u32::try_from(3 * LOGIN_DELAY_ENTRIES).expect("it is small");
        for number in 0..last {
            let now = Duration::from_millis(u64::from(number));
            delays.failed(now, address(number), user(number));
        }
        assert_eq!(delays.addresses.0.len(), LOGIN_DELAY_ENTRIES);
        assert_eq!(delays.users.0.len(), LOGIN_DELAY_ENTRIES);
        let now = Duration::from_millis(u64::from(last));
        let again = delays.failed(now, address(last - 1), user(last - 1));
        assert_eq!(again, 2 * LOGIN_DELAY_MIN);
    }
}
