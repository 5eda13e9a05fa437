//! What one sync of this disk takes while a load runs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::sample::Samples;

/// A file on the disk that is measured, written with zeros beforehand as a journal file is.
pub(super) struct SyncFile(File);

impl SyncFile {
    const BLOCK_BYTES: usize = 4096;
    const BLOCKS: u64 = 1024;

    pub(super) fn create() -> Result<Self, Failure> {
        let file = tempfile::tempfile()?;
        for block in 0..Self::BLOCKS {
            file.write_all_at(&[0; Self::BLOCK_BYTES], block * Self::BLOCK_BYTES as u64)?;
        }
        file.sync_all()?;
        Ok(Self(file))
    }

    /// Milliseconds of a write of 4 KiB with its fdatasync, twenty a second until `done`.
    pub(super) fn time_until(&self, done: &AtomicBool) -> Result<Samples, Failure> {
        let mut samples = Samples::default();
        for block in (0..Self::BLOCKS).cycle() {
            let began = Instant::now();
            self.0
                .write_all_at(&[1; Self::BLOCK_BYTES], block * Self::BLOCK_BYTES as u64)?;
            self.0.sync_data()?;
            samples.push(began.elapsed().as_secs_f64() * 1e3);
            if done.load(Ordering::Relaxed) {
                break;
            }
            sleep(Duration::from_millis(50));
        }
        Ok(samples)
    }
}
