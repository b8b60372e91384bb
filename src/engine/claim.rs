//! Whose log it is. Two servers that write into the same files would destroy each other's data, so a log, by its directory
//! and name, belongs to one engine at a time.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use innkeep_aof::Claim;
use parking_lot::Mutex;

use super::Inner;
use crate::error::Error;

/// So long a start waits for another server, which may be about to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is tried meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// The lock of the log that this engine has.
#[derive(Debug, Default)]
pub(super) struct Claimed(Mutex<Option<(PathBuf, Claim)>>);

impl Inner {
    /// Takes the log. Its directory is created where it is missing.
    pub(super) fn claim_log(&self, patience: Duration) -> Result<(), Error> {
        let options = self.log_options();
        let (directory, lock) = (
            options.directory.join(&options.append_directory),
            options.lock_file(),
        );
        let mut claimed = self.claimed.0.lock();
        if claimed.as_ref().is_some_and(|(own, _)| *own == lock) {
            return Ok(());
        }
        self.storage.create_directory(&directory)?;
        let start = Instant::now();
        let claim = loop {
            if let Some(claim) = self.storage.claim(&lock)? {
                break claim;
            }
            if start.elapsed() >= patience {
                return Err(Error::InUse(directory));
            }
            thread::sleep(LOOK);
        };
        *claimed = Some((lock, claim));
        Ok(())
    }

    /// Its log has ended.
    pub(super) fn give_claim_back(&self) {
        *self.claimed.0.lock() = None;
    }
}
