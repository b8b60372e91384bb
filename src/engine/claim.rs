//! Whose log it is. Two servers that write into the same files would destroy each other's data, so the directory of the log
//! belongs to one engine at a time, for as long as it has a log.

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

/// The directory that this engine has.
#[derive(Debug, Default)]
pub(super) struct Claimed(Mutex<Option<(PathBuf, Claim)>>);

impl Inner {
    /// Takes the directory of the log, which is created where it is missing.
    pub(super) fn claim_log(&self, patience: Duration) -> Result<(), Error> {
        let options = self.log_options();
        let directory = options.directory.join(options.append_directory);
        let mut claimed = self.claimed.0.lock();
        if claimed.as_ref().is_some_and(|(own, _)| *own == directory) {
            return Ok(());
        }
        self.storage.create_directory(&directory)?;
        let start = Instant::now();
        let claim = loop {
            if let Some(claim) = self.storage.claim(&directory)? {
                break claim;
            }
            if start.elapsed() >= patience {
                return Err(Error::InUse(directory));
            }
            thread::sleep(LOOK);
        };
        *claimed = Some((directory, claim));
        Ok(())
    }

    /// Its log has ended.
    pub(super) fn give_claim_back(&self) {
        *self.claimed.0.lock() = None;
    }
}
