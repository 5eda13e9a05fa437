//! Passwords that were found right, so that a client that connects again does not cost 8,192 rounds of hashing. What
//! is kept is no password: a tag of verifier and password under a key of this process, which ends with it. A changed
//! password has another verifier, so the tag of the old one fits nothing any more.

use std::collections::{HashSet, VecDeque};

use crate::limits::LOGIN_REMEMBERED;

/// HMAC-SHA-256 of verifier and password.
pub(super) type SecretTag = [u8; 32];

/// The newest tags.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    tags: HashSet<SecretTag>,
    /// The oldest first.
    order: VecDeque<SecretTag>,
}

impl Remembered {
    /// Whether this password was found right for this verifier.
    pub(super) fn contains(&self, tag: &SecretTag) -> bool {
        self.tags.contains(tag)
    }

    /// Remembers that it was; forgets the oldest if there are too many.
    pub(super) fn insert(&mut self, tag: SecretTag) {
        if !self.tags.insert(tag) {
            return;
        }
        self.order.push_back(tag);
        if self.order.len() > LOGIN_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.tags.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_and_their_number_is_bounded() {
        let tag = |number: usize| {
            let mut tag = [0; 32];
            tag[..8].copy_from_slice(&(number as u64).to_be_bytes());
            tag
        };
        let mut remembered = Remembered::default();
        for number in 0..2 * LOGIN_REMEMBERED {
            remembered.insert(tag(number));
            remembered.insert(tag(number));
        }
        assert_eq!(remembered.tags.len(), LOGIN_REMEMBERED);
        assert_eq!(remembered.order.len(), LOGIN_REMEMBERED);
        assert!(remembered.contains(&tag(2 * LOGIN_REMEMBERED - 1)));
        assert!(!remembered.contains(&tag(0)));
    }
}
