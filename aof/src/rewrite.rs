//! A new base, written beside the running log and put in place at the end. Knows no state to write: the caller streams it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{AofError, LogError};
use crate::frame::{file_header, seal_batch};
use crate::log::Inner;
use crate::manifest::BaseForm;
use crate::shared::Switch;
use crate::storage::{File, Storage};

const CHUNK_BYTES: usize = 1 << 20;
/// The base is synced as it grows, so that the end is no long pause.
const SYNC_BYTES: u64 = 32 << 20;

/// Receives the base of a rewrite. Dropping it without [`RewriteSink::finish`] abandons the rewrite: the log goes on with
/// the old base and one increment more.
#[derive(Debug)]
pub struct RewriteSink {
    inner: Arc<Inner>,
    switch: Arc<Switch>,
    storage: Arc<dyn Storage>,
    path: PathBuf,
    file: Option<Box<dyn File>>,
    form: BaseForm,
    chunk: Vec<u8>,
    len: u64,
    synced: u64,
}

impl RewriteSink {
    pub(crate) fn new(
        inner: Arc<Inner>,
        switch: Arc<Switch>,
        storage: Arc<dyn Storage>,
        path: PathBuf,
    ) -> Self {
        Self {
            inner,
            switch,
            storage,
            path,
            file: None,
            form: BaseForm::Commands,
            chunk: Vec::new(),
            len: 0,
            synced: 0,
        }
    }

    /// The base will be an RDB: what is written from now on are its bytes, which carry a checksum of their own. Before the
    /// first [`RewriteSink::write`].
    #[must_use]
    pub fn with_rdb(mut self) -> Self {
        debug_assert!(self.is_empty(), "a base has one form");
        self.form = BaseForm::Rdb;
        self
    }

    /// Adds whole RESP commands to the base; the base begins with database 0 selected. Written in chunks of about 1 MiB.
    ///
    /// # Errors
    /// When the disk refuses. The rewrite has to be abandoned then; the log itself is not touched.
    pub fn write(&mut self, commands: &[u8]) -> Result<(), AofError> {
        self.chunk.extend_from_slice(commands);
        if self.chunk.len() >= CHUNK_BYTES {
            self.write_chunk()
        } else {
            Ok(())
        }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len + self.chunk.len() as u64
    }

    /// Whether nothing was written so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Syncs the base, names it in the manifest together with the increments since the switch, and removes what it
    /// replaces. A crash at any point leaves either the old files or the new ones, complete.
    ///
    /// # Errors
    /// When the disk refuses or the log was closed; the old files then still stand.
    pub fn finish(mut self) -> Result<(), AofError> {
        self.write_chunk()?;
        let synced = self.file()?.sync();
        synced.map_err(AofError::io("fsync", &self.path))?;
        if self.inner.shared.is_closed() {
            return Err(LogError::closed().into());
        }
        self.inner.with_core(|core, shared| core.write(shared))?;
        let first = self
            .switch
            .outcome()
            .unwrap_or_else(|| Err(LogError::new("switch", "the new file was not begun")))?;
        let len = self.len;
        // A base that cannot be put in place is no failure of the log.
        let history = self.inner.install(len, first, self.form)?;
        self.file = None;
        for path in history {
            // History that stays is removed at the next start.
            let _ = self.storage.remove(&path);
        }
        self.inner.forget_history();
        Ok(())
    }

    /// Abandons the rewrite.
    pub fn abort(self) {
        drop(self);
    }

    fn file(&mut self) -> Result<&dyn File, AofError> {
        if self.file.is_none() {
            let file = self
                .storage
                .create(&self.path)
                .map_err(AofError::io("create", &self.path))?;
            let header = match self.form {
                BaseForm::Commands => file_header(),
                BaseForm::Rdb => Vec::new(),
            };
            file.write_all_at(&header, 0)
                .map_err(AofError::io("write", &self.path))?;
            self.len = header.len() as u64;
            self.file = Some(file);
        }
        Ok(&**self.file.as_ref().expect("it was created above"))
    }

    fn write_chunk(&mut self) -> Result<(), AofError> {
        self.file()?;
        if self.chunk.is_empty() {
            return Ok(());
        }
        if self.form == BaseForm::Commands {
            seal_batch(&mut self.chunk, self.synced);
        }
        let file = self.file.as_ref().expect("it was created above");
        file.write_all_at(&self.chunk, self.len)
            .map_err(AofError::io("write", &self.path))?;
        self.len += self.chunk.len() as u64;
        self.chunk.clear();
        if self.len - self.synced >= SYNC_BYTES {
            file.sync().map_err(AofError::io("fsync", &self.path))?;
            self.synced = self.len;
        }
        Ok(())
    }
}

impl Drop for RewriteSink {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What stays is overwritten by the next rewrite, or removed at the next start.
            let _ = self.storage.remove(&self.path);
        }
        self.inner.shared.rewriting.store(false, Ordering::Release);
    }
}
