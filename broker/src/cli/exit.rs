//! How a command ends: the one line it says, and its exit code.

use std::fmt;

use headwater_storage::StorageError;

use crate::StartError;

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// 1: it failed.
    Failed(String),
    /// 2: wrong usage or configuration.
    Usage(String),
    /// 2: every rule that what was asked breaks.
    Rules(Vec<String>),
    /// 3: the source cannot be used.
    SourceRefused(String),
    /// 4: the data directory is in use.
    Locked(String),
    /// 5: the data directory is damaged, or not one that this version can read.
    Damaged(String),
}

impl Exit {
    /// The exit code of success.
    pub const DONE: u8 = 0;

    /// Stable for ever: `docs/configuration.md`.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) | Self::Rules(_) => 2,
            Self::SourceRefused(_) => 3,
            Self::Locked(_) => 4,
            Self::Damaged(_) => 5,
        }
    }
}

impl Exit {
    /// What to say, one line each.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::Rules(lines) => lines.iter().map(|line| line.replace('\n', " ")).collect(),
            Self::Failed(_)
            | Self::Usage(_)
            | Self::SourceRefused(_)
            | Self::Locked(_)
            | Self::Damaged(_) => vec![self.to_string()],
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(line)
            | Self::Usage(line)
            | Self::SourceRefused(line)
            | Self::Locked(line)
            | Self::Damaged(line) => f.write_str(&line.replace('\n', " ")),
            Self::Rules(lines) => f.write_str(&lines.join("; ").replace('\n', " ")),
        }
    }
}

impl From<StartError> for Exit {
    fn from(error: StartError) -> Self {
        let line = error.to_string();
        match error {
            StartError::Config(_) => Self::Usage(line),
            StartError::Listen { .. } | StartError::Http(_) | StartError::NoRandom(_) => {
                Self::Failed(line)
            }
            StartError::Storage(error) => match error {
                StorageError::Locked { .. } => Self::Locked(line),
                StorageError::Damaged(_) | StorageError::Refused(_) => Self::Damaged(line),
                // Only what the configuration asks of the catalog can be invalid at a start.
                StorageError::Invalid(_) => Self::Usage(line),
                StorageError::NoSpace(_)
                | StorageError::Poisoned(_)
                | StorageError::Read { .. } => Self::Failed(line),
            },
        }
    }
}
