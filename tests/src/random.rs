//! Repeatable randomness: the same seed, the same run.

use std::{env, ops::Range};

use crate::harness::clock;

/// A generator (splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The generator of a seed and a purpose, so that writers, killer and readers do not repeat each other.
    #[must_use]
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut random = Self(seed ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03));
        random.next();
        random
    }

    /// The next 64 bits.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, so it is no iterator"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of `range`, which must not be empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        assert!(range.start < range.end, "an empty range has no number");
        range.start + self.next() % (range.end - range.start)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.within(0..times) == 0
    }

    /// One of `things`.
    pub fn pick<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        let count = u64::try_from(things.len()).expect("usize is at most 64 bits");
        let index = usize::try_from(self.within(0..count)).expect("it is below a usize");
        things.get(index).expect("it is below the length")
    }
}

/// The seed of this run: `HEADWATER_SEED`, or a new one. The caller prints it.
#[must_use]
pub fn seed_from_environment() -> u64 {
    let fresh = || u64::try_from(clock::unix_ms()).expect("we live behind 1970");
    env::var("HEADWATER_SEED").ok().map_or_else(fresh, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("HEADWATER_SEED is not a number: {text}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers_and_purposes_differ() {
        let take = |seed, purpose| {
            let mut random = Random::new(seed, purpose);
            [random.next(), random.next(), random.within(0..10)]
        };
        assert_eq!(take(1, 2), take(1, 2));
        assert_ne!(take(1, 2), take(1, 3));
        assert_ne!(take(1, 2), take(2, 2));
    }
}
