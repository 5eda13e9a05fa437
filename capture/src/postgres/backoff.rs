//! How long to wait before the next attempt. Pure: the seed comes from outside, waiting is done elsewhere.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);
/// The first delay for what only a person can mend: a server counts refused logins.
const FIRST_SLOW: Duration = Duration::from_secs(5);

/// Exponential delays with jitter, so that many sources do not return to a restarted server at one moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    attempt: u32,
    seed: u64,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self { attempt: 0, seed }
    }

    /// Attempts since the last success.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Between 75 and 125 % of 200 ms, doubled at each attempt, up to 30 s.
    pub(crate) fn next_delay(&mut self) -> Duration {
        self.doubled(FIRST)
    }

    /// The same from 5 s on, for what only a person can mend.
    pub(crate) fn slow_delay(&mut self) -> Duration {
        self.doubled(FIRST_SLOW)
    }

    /// The connection served its purpose: begin anew.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }

    fn doubled(&mut self, first: Duration) -> Duration {
        let delay = first.saturating_mul(1 << self.attempt.min(16)).min(LONGEST);
        self.attempt = self.attempt.saturating_add(1);
        self.seed = split_mix(self.seed);
        let percent = 75 + u32::try_from(self.seed % 51).unwrap_or(0);
        delay * percent / 100
    }
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014).
fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_with_jitter_up_to_a_limit() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(seed);
            for attempt in 0..40 {
                let nominal = FIRST.saturating_mul(1 << attempt.min(16)).min(LONGEST);
                let delay = backoff.next_delay();
                assert!(
                    delay >= nominal * 3 / 4 && delay <= nominal * 5 / 4,
                    "seed={seed}"
                );
            }
            assert_eq!(backoff.attempt(), 40);
        }
    }

    #[test]
    fn what_a_person_must_mend_is_tried_slowly() {
        let mut backoff = Backoff::new(7);
        let delays = [(); 4].map(|()| backoff.slow_delay());
        assert!(delays[0] >= FIRST_SLOW * 3 / 4, "{delays:?}");
        assert!(
            delays[3] >= LONGEST * 3 / 4 && delays[3] <= LONGEST * 5 / 4,
            "{delays:?}"
        );
    }

    #[test]
    fn a_success_begins_anew() {
        let mut backoff = Backoff::new(7);
        for _ in 0..10 {
            backoff.next_delay();
        }
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST * 5 / 4);
    }

    #[test]
    fn two_sources_do_not_wait_in_step() {
        let delays = |seed| {
            let mut backoff = Backoff::new(seed);
            [(); 5].map(|()| backoff.next_delay())
        };
        assert_ne!(delays(1), delays(2));
        assert_eq!(delays(1), delays(1));
    }
}
