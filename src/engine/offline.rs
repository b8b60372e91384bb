//! An engine that looks at data on disk without touching it, and what tools do with one: read a directory or an RDB into
//! memory. It has no log, so nothing it does is kept unless somebody writes it (`backup`).

use std::path::Path;
use std::sync::Arc;

use innkeep_aof::{RealStorage, Recovery, Storage};

use super::disk_file::FileReader;
use super::loading::Wanted;
use super::progress::Progress;
use super::{Engine, Inner};
use crate::config::Config;
use crate::error::Error;
use crate::keyspace::txn::Journal;
use crate::rdb::RdbSummary;

impl Engine {
    /// An engine with what a start on this directory would load; the directory stays as it is. What a start would cut off
    /// is left out.
    ///
    /// # Errors
    ///
    /// As [`Engine::open`].
    #[doc(hidden)]
    pub fn read_only(config: Config) -> Result<Self, Error> {
        Self::read_only_on(config, Arc::new(RealStorage))
    }

    /// The same on another disk, such as a simulated one.
    ///
    /// # Errors
    ///
    /// As [`Engine::open`].
    #[doc(hidden)]
    pub fn read_only_on(config: Config, storage: Arc<dyn Storage>) -> Result<Self, Error> {
        let logged = config.bool("appendonly");
        let engine = Self::new_on(config, storage)?;
        engine.0.begin_loading();
        if !logged || !engine.0.read_log()? {
            engine.0.open_snapshot()?;
        }
        engine.0.end_loading();
        Ok(engine)
    }

    /// An engine without data that keeps nothing.
    ///
    /// # Errors
    ///
    /// Settings that cannot be understood.
    #[doc(hidden)]
    pub fn without_disk(config: Config) -> Result<Self, Error> {
        Self::new_on(config, Arc::new(RealStorage))
    }

    /// Loads an RDB file beside what is there. Where it is damaged, the keys before the damage stay.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or that holds what cannot be loaded: the error says where.
    #[doc(hidden)]
    pub fn read_rdb(&self, path: &Path) -> Result<RdbSummary, Error> {
        self.0.read_rdb_file(path)
    }

    /// Brings everything that was logged to disk.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    #[doc(hidden)]
    pub fn sync_log(&self) -> Result<(), Error> {
        match self.0.propagation.log() {
            Some(log) => log
                .flush_and_sync()
                .map_err(|error| Error::Log(error.into())),
            None => Ok(()),
        }
    }
}

impl Inner {
    /// Applies the log; false where there is none.
    fn read_log(&self) -> Result<bool, Error> {
        let mut recovery = Recovery::open(Arc::clone(&self.storage), self.log_options())?;
        if recovery.is_blank() {
            return Ok(false);
        }
        self.apply_log(&mut recovery)?;
        Ok(true)
    }

    fn read_rdb_file(&self, path: &Path) -> Result<RdbSummary, Error> {
        let Some(mut file) = FileReader::open(&*self.storage, path)? else {
            return Err(Error::Io(std::io::ErrorKind::NotFound.into()));
        };
        let wanted = Wanted {
            expired: true,
            ..Wanted::default()
        };
        let mut txn = self.begin(self.keyspace.all_shards(), 0, Journal::default());
        let mut progress = Progress::new(self, false);
        let summary = self.load_rdb(&mut txn, path, &mut file, wanted, &mut progress);
        self.close(txn);
        summary
    }
}
