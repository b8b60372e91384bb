//! A new base, written beside the running log, or where none runs, and put in place at the end. Knows no state to write:
//! the caller streams it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{AofError, LogError};
use crate::frame::{first_lines, mark, seal_batch};
use crate::log::Inner;
use crate::manifest::{BaseForm, Entry, Layout, Manifest};
use crate::options::Options;
use crate::shared::Switch;
use crate::storage::{File, Storage};

const CHUNK_BYTES: usize = 1 << 20;
/// The base is synced as it grows, so that the end is no long pause.
const SYNC_BYTES: u64 = 32 << 20;

/// Receives the base of a rewrite. Dropping it without [`RewriteSink::finish`] abandons the rewrite: the log goes on with
/// the old base and one increment more.
#[derive(Debug)]
pub struct RewriteSink {
    place: Place,
    storage: Arc<dyn Storage>,
    path: PathBuf,
    file: Option<Box<dyn File>>,
    form: BaseForm,
    chunk: Vec<u8>,
    len: u64,
    synced: u64,
}

/// What the base belongs to.
#[derive(Debug)]
enum Place {
    /// A log that runs, from the increment on that begins with the switch.
    Behind(Arc<Inner>, Arc<Switch>),
    /// The directory of a log that does not run: nothing follows the base.
    Alone(Box<Alone>),
}

/// A directory with the files that a base of its own replaces.
#[derive(Debug)]
struct Alone {
    layout: Layout,
    manifest: Manifest,
    keep_history: bool,
}

impl RewriteSink {
    /// For a base that takes the place of all that the directory's log holds, while none runs there.
    ///
    /// # Errors
    /// A manifest that cannot be trusted, or a directory that cannot be made.
    pub fn alone(storage: Arc<dyn Storage>, options: &Options) -> Result<Self, AofError> {
        let layout = Layout::of(options);
        let directory = &layout.append_directory;
        storage
            .create_directory(directory)
            .map_err(AofError::io("create", directory))?;
        storage
            .sync_directory(&layout.directory)
            .map_err(AofError::io("fsync", &layout.directory))?;
        let manifest = Manifest::load(&*storage, &layout)?.unwrap_or_default();
        let path = layout.temporary_base_path();
        let alone = Alone {
            layout,
            manifest,
            keep_history: options.keep_history,
        };
        Ok(Self::new(Place::Alone(Box::new(alone)), storage, path))
    }

    pub(crate) fn behind(inner: Arc<Inner>, switch: Arc<Switch>, path: PathBuf) -> Self {
        let storage = Arc::clone(inner.storage());
        Self::new(Place::Behind(inner, switch), storage, path)
    }

    fn new(place: Place, storage: Arc<dyn Storage>, path: PathBuf) -> Self {
        Self {
            place,
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

    /// Adds whole RESP commands to the base, and before them a timestamp line where it is to begin with one; the base begins
    /// with database 0 selected. Written in chunks of about 1 MiB.
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
        if self.form == BaseForm::Commands {
            self.write_bytes(&mark(self.synced))?;
        }
        let synced = self.file()?.sync();
        synced.map_err(AofError::io("fsync", &self.path))?;
        match &self.place {
            Place::Behind(inner, switch) => put_behind(inner, switch, self.len, self.form)?,
            Place::Alone(alone) => alone.put(&*self.storage, self.form)?,
        }
        self.file = None;
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
            self.file = Some(file);
            if self.form == BaseForm::Commands {
                let lines = first_lines(&mut self.chunk, 0);
                self.write_bytes(&lines)?;
            }
        }
        Ok(&**self.file.as_ref().expect("it was created above"))
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), AofError> {
        let at = self.len;
        let written = self.file()?.write_all_at(bytes, at);
        written.map_err(AofError::io("write", &self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn write_chunk(&mut self) -> Result<(), AofError> {
        self.file()?;
        if self.chunk.is_empty() {
            return Ok(());
        }
        if self.form == BaseForm::Commands {
            seal_batch(&mut self.chunk, self.synced);
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        self.write_bytes(&chunk)?;
        chunk.clear();
        self.chunk = chunk;
        if self.len - self.synced >= SYNC_BYTES {
            let synced = self.file()?.sync();
            synced.map_err(AofError::io("fsync", &self.path))?;
            self.synced = self.len;
        }
        Ok(())
    }
}

/// Names a base that is on disk in the manifest of the log that runs.
fn put_behind(inner: &Inner, switch: &Switch, len: u64, form: BaseForm) -> Result<(), AofError> {
    if inner.shared.is_closed() {
        return Err(LogError::closed().into());
    }
    inner.with_core(|core, shared| core.write(shared))?;
    let first = switch
        .outcome()
        .unwrap_or_else(|| Err(LogError::new("switch", "the new file was not begun")))?;
    // A base that cannot be put in place is no failure of the log.
    inner.install(len, first, form)?;
    if !inner.keeps_history() {
        inner.remove_history();
    }
    Ok(())
}

impl Alone {
    /// Names a base that is on disk in the manifest; what it replaces becomes history.
    fn put(&self, storage: &dyn Storage, form: BaseForm) -> Result<(), AofError> {
        let layout = &self.layout;
        let sequence = self.manifest.next_base();
        let name = layout.base_name(sequence, form);
        let (temporary, path) = (layout.temporary_base_path(), layout.path(&name));
        storage
            .rename(&temporary, &path)
            .map_err(AofError::io("rename", &temporary))?;
        let directory = &layout.append_directory;
        storage
            .sync_directory(directory)
            .map_err(AofError::io("fsync", directory))?;
        let mut manifest = self.manifest.clone().into_history();
        manifest.base = Some(Entry::new_base(name, sequence));
        manifest.store(storage, layout)?;
        if !self.keep_history && !manifest.history.is_empty() {
            for entry in std::mem::take(&mut manifest.history) {
                // What stays behind does no harm.
                let _ = storage.remove(&layout.path(&entry.name));
            }
            manifest.store(storage, layout)?;
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
        if let Place::Behind(inner, _) = &self.place {
            inner.shared.rewriting.store(false, Ordering::Release);
        }
    }
}
