//! What retention deletes: whole files, oldest first, by age and by size. Pure.
//!
//! Age is time that the broker ran since a file was sealed, never record time or wall time: a backlog, a long stop or
//! a clock that jumps deletes nothing before somebody could read it. The size limit does delete unread data.

use std::time::Duration;

/// How much of a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionLimits {
    /// A file goes when the broker ran this long since it was sealed.
    pub age: Duration,
    /// All files together, bytes. The ones that are not sealed yet count, and stay.
    pub bytes: u64,
}

impl Default for RetentionLimits {
    /// 7 days, 10 GiB.
    fn default() -> Self {
        Self {
            age: Duration::from_secs(7 * 24 * 3600),
            bytes: 10 << 30,
        }
    }
}

/// A file of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) state: FileState,
}

/// What retention has to know of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileState {
    /// Sealed at this running time, seconds.
    Sealed(u64),
    /// A journal file that cannot be sealed, because it is damaged. As old as the next sealed one at least.
    Damaged,
    /// Written, or waiting to be sealed: it stays.
    Open,
}

/// Why files are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletedBecause {
    /// They are older than the limit.
    Age,
    /// The log is larger than the limit. They may not have been read by anybody.
    Size,
    /// The disk is nearly full. They may not have been read by anybody.
    Space,
}

/// Number of the first file of `files` (ascending) that stays, and why those before it go; `None`: nothing goes.
pub(crate) fn decide(
    files: &[File],
    limits: &RetentionLimits,
    running_seconds: u64,
) -> Option<(u64, DeletedBecause)> {
    let mut left: u64 = files.iter().map(|file| file.bytes).sum();
    let mut decided = None;
    for (index, file) in files.iter().enumerate() {
        let rest = files.get(index..).unwrap_or_default();
        let Some(sealed_at) = sealed_at(rest) else {
            break;
        };
        let age = running_seconds.saturating_sub(sealed_at);
        let because = if age >= limits.age.as_secs() {
            DeletedBecause::Age
        } else if left > limits.bytes {
            DeletedBecause::Size
        } else {
            break;
        };
        left -= file.bytes;
        decided = Some((file.number + 1, because));
    }
    decided
}

/// When the first of `files` was sealed, or could have been; `None`: it stays.
fn sealed_at(files: &[File]) -> Option<u64> {
    for file in files {
        match file.state {
            FileState::Sealed(at) => return Some(at),
            FileState::Damaged => {}
            FileState::Open => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(number: u64, at: u64) -> File {
        File {
            number,
            bytes: 100,
            state: FileState::Sealed(at),
        }
    }

    fn other(number: u64, state: FileState) -> File {
        File {
            number,
            bytes: 100,
            state,
        }
    }

    fn limits(age: u64, bytes: u64) -> RetentionLimits {
        RetentionLimits {
            age: Duration::from_secs(age),
            bytes,
        }
    }

    #[test]
    fn old_files_go_oldest_first_and_only_from_the_front() {
        let files = [
            sealed(3, 10),
            sealed(4, 50),
            sealed(5, 20),
            other(6, FileState::Open),
        ];
        let decided = |running| decide(&files, &limits(100, u64::MAX), running);
        assert_eq!(decided(109), None);
        assert_eq!(decided(110), Some((4, DeletedBecause::Age)));
        assert_eq!(
            decided(149),
            Some((4, DeletedBecause::Age)),
            "5 waits for 4"
        );
        assert_eq!(decided(150), Some((6, DeletedBecause::Age)));
        assert_eq!(
            decided(1_000_000),
            Some((6, DeletedBecause::Age)),
            "the open one stays"
        );
    }

    #[test]
    fn the_size_limit_counts_open_files_and_deletes_sealed_ones() {
        let files = [
            sealed(3, 0),
            sealed(4, 0),
            sealed(5, 0),
            other(6, FileState::Open),
        ];
        let decided = |bytes| decide(&files, &limits(1000, bytes), 0);
        assert_eq!(decided(400), None);
        assert_eq!(decided(399), Some((4, DeletedBecause::Size)));
        assert_eq!(decided(0), Some((6, DeletedBecause::Size)));
    }

    #[test]
    fn a_damaged_file_is_as_old_as_the_next_sealed_one_and_blocks_nothing() {
        let files = [
            other(3, FileState::Damaged),
            sealed(4, 10),
            other(5, FileState::Open),
        ];
        let decided = |running| decide(&files, &limits(100, u64::MAX), running);
        assert_eq!(decided(109), None);
        assert_eq!(decided(110), Some((5, DeletedBecause::Age)));
        let waiting = [other(3, FileState::Open), sealed(4, 0)];
        assert_eq!(decide(&waiting, &limits(0, 0), 1000), None);
    }

    #[test]
    fn a_running_time_that_was_lost_deletes_nothing_early() {
        assert_eq!(decide(&[sealed(1, 500)], &limits(100, u64::MAX), 0), None);
        assert_eq!(decide(&[], &limits(0, 0), 0), None);
    }
}
