//! From a verified log to one that takes appends: cuts what is torn (and keeps it beside), moves an old single file into the
//! directory, and goes on in the last increment. Or a log begins anew, and takes the place of what is there when its first
//! base is complete. Every step may be the last before a power loss, and can then be taken again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blocks::checksum_of;
use crate::error::AofError;
use crate::frame::{Annotation, mark};
use crate::log::Log;
use crate::log::store_without_history;
use crate::manifest::{Kind, Layout, Manifest};
use crate::options::Options;
use crate::reader::Recovery;
use crate::rewrite::RewriteSink;
use crate::shared::{Shared, Switch};
use crate::storage::{File, Storage};
use crate::writer::{Core, new_increment};

const COPY_BYTES: usize = 1 << 20;

impl Recovery {
    /// Opens the log for appending, with its writer thread.
    ///
    /// # Errors
    /// When the disk refuses; nothing is lost then.
    pub fn start(self) -> Result<Log, AofError> {
        let (options, core, shared) = self.prepare()?;
        Log::with_threads(core, shared, options)
    }

    /// Opens the log without threads: [`Log::step`] does the writer's work. For simulations.
    ///
    /// # Errors
    /// As [`Recovery::start`].
    #[doc(hidden)]
    pub fn start_stepped(self) -> Result<Log, AofError> {
        let (options, core, shared) = self.prepare()?;
        Ok(Log::stepped(core, shared, options))
    }

    fn prepare(self) -> Result<(crate::Options, Core, Shared), AofError> {
        let storage = Arc::clone(&self.storage);
        let directory = self.layout.append_directory.clone();
        storage
            .create_directory(&directory)
            .map_err(AofError::io("create", &directory))?;
        sync_directory(&*storage, &self.layout.directory)?;
        if self.upgrade {
            self.move_old_file()?;
        }
        self.keep_cut_bytes()?;
        let ours = self.seal_last()?;
        let (manifest, goes_on) = self.next_manifest()?;
        if manifest == self.manifest && !self.upgrade {
            // It may have been read before it was on disk for sure.
            sync_directory(&*storage, &directory)?;
        } else {
            manifest.store(&*storage, &self.layout)?;
        }
        self.set_aside_dropped()?;
        let _ = storage.remove(&self.layout.temporary_base_path());
        let shared = Shared::new(&self.options);
        let mut core = Core::new(
            storage,
            self.layout,
            manifest,
            ours && goes_on,
            self.options.unsynced_limit,
            &shared,
        )?;
        if !self.options.keep_history {
            remove_history(&mut core)?;
        }
        Ok((self.options, core, shared))
    }

    /// As Redis 7 does it: first the manifest, then the rename, so that it can go on after an interruption.
    fn move_old_file(&self) -> Result<(), AofError> {
        self.manifest.store(&*self.storage, &self.layout)?;
        let (from, to) = (
            self.layout.legacy_path(),
            self.layout.path(&self.layout.file_name),
        );
        self.storage
            .rename(&from, &to)
            .map_err(AofError::io("rename", &from))?;
        sync_directory(&*self.storage, &self.layout.append_directory)?;
        sync_directory(&*self.storage, &self.layout.directory)
    }

    fn keep_cut_bytes(&self) -> Result<(), AofError> {
        let Some(cut) = self.report().cut.as_ref().filter(|cut| cut.bytes > 0) else {
            return Ok(());
        };
        let Some(source) = self.files.iter().find(|file| file.path == cut.path) else {
            return Ok(());
        };
        let kept = self
            .storage
            .create(&cut.kept_in)
            .map_err(AofError::io("create", &cut.kept_in))?;
        for_each_block(&*source.file, (cut.offset, cut.bytes), |offset, block| {
            kept.write_all_at(block, offset - cut.offset)
        })
        .map_err(AofError::io("copy", &cut.path))?;
        kept.sync().map_err(AofError::io("fsync", &cut.kept_in))?;
        sync_directory(
            &*self.storage,
            cut.kept_in.parent().unwrap_or(Path::new("")),
        )
    }

    /// The last file of before becomes one that can be continued: nothing behind its end, all of it on disk. Answers whether
    /// it ends in a mark of ours.
    ///
    /// What is read is not all on disk where an fsync failed before the process died: the system then takes the pages for
    /// clean, and no fsync writes them any more. So what the file does not say to be on disk is written again.
    fn seal_last(&self) -> Result<bool, AofError> {
        let Some(last) = self.files.last() else {
            return Ok(false);
        };
        let failed = |action| AofError::io(action, &last.path);
        let mut end = last.verified.end;
        if end < last.len {
            last.file.set_len(end).map_err(failed("truncate"))?;
        }
        let synced = last.verified.synced;
        if last.verified.ours {
            for_each_block(&*last.file, (synced, end - synced), |offset, block| {
                last.file.write_all_at(block, offset)
            })
            .map_err(failed("write"))?;
        }
        if let Some(batch) = last.verified.open_batch.filter(|&batch| batch < end) {
            let hasher = checksum_of(&*last.file, batch, end).map_err(failed("read"))?;
            let hasher = hasher.ok_or_else(|| {
                AofError::corrupt(&last.path, batch, "the file changed while it was read")
            })?;
            let mut line = Vec::new();
            Annotation::seal(hasher, end - batch, synced.min(batch)).encode(&mut line);
            last.file
                .write_all_at(&line, end)
                .map_err(failed("write"))?;
            end += line.len() as u64;
        }
        last.file.sync().map_err(failed("fsync"))?;
        if last.verified.ours && !last.verified.marked {
            // So that what is safe now is known to be.
            let line = mark(end);
            last.file
                .write_all_at(&line, end)
                .map_err(failed("write"))?;
            last.file.sync().map_err(failed("fsync"))?;
            end += line.len() as u64;
        }
        debug_assert!(
            last.file.len().is_ok_and(|len| len == end),
            "nothing stands behind the end"
        );
        Ok(last.verified.ours)
    }

    /// The files of before; where the last of them is no increment, with a new one. Tells whether the last one goes on.
    fn next_manifest(&self) -> Result<(Manifest, bool), AofError> {
        let mut all = self.manifest.clone();
        all.increments.retain(|increment| {
            let mut files = self.files.iter();
            files.any(|file| file.name == increment.name && file.kind == Kind::Increment)
        });
        let goes_on = match all.increments.last_mut() {
            Some(last) => {
                last.length = None;
                true
            }
            None => {
                let entry = new_increment(&*self.storage, &self.layout, &all)?;
                all.increments.push(entry);
                false
            }
        };
        Ok((all, goes_on))
    }

    /// Files behind a damaged one (only with `repair`) keep their bytes under another name.
    fn set_aside_dropped(&self) -> Result<(), AofError> {
        for entry in &self.dropped {
            let path = self.layout.path(&entry.name);
            let aside = PathBuf::from(format!("{}.cut-{}", path.display(), self.options.unix_time));
            self.storage
                .rename(&path, &aside)
                .map_err(AofError::io("rename", &path))?;
        }
        sync_directory(&*self.storage, &self.layout.append_directory)
    }
}

impl Log {
    /// A log that begins anew, whatever is in its directory: that stays as it is until a first base is complete, which the
    /// sink takes and which has to hold the state of this moment. A crash before leaves what was there.
    ///
    /// # Errors
    /// When the disk refuses, or there is a manifest that cannot be trusted.
    pub fn begin(
        storage: Arc<dyn Storage>,
        options: Options,
    ) -> Result<(Self, RewriteSink), AofError> {
        let (core, shared, sequence) = prepare_anew(storage, &options)?;
        let log = Self::with_threads(core, shared, options)?;
        let sink = log.first_base(sequence);
        Ok((log, sink))
    }

    /// The same without threads. For simulations.
    ///
    /// # Errors
    /// As [`Log::begin`].
    #[doc(hidden)]
    pub fn begin_stepped(
        storage: Arc<dyn Storage>,
        options: Options,
    ) -> Result<(Self, RewriteSink), AofError> {
        let (core, shared, sequence) = prepare_anew(storage, &options)?;
        let log = Self::stepped(core, shared, options);
        let sink = log.first_base(sequence);
        Ok((log, sink))
    }

    fn first_base(&self, sequence: u64) -> RewriteSink {
        self.sink_behind(Switch::settled(sequence))
    }
}

fn prepare_anew(
    storage: Arc<dyn Storage>,
    options: &Options,
) -> Result<(Core, Shared, u64), AofError> {
    let layout = Layout::of(options);
    let directory = &layout.append_directory;
    storage
        .create_directory(directory)
        .map_err(AofError::io("create", directory))?;
    sync_directory(&*storage, &layout.directory)?;
    let before = Manifest::load(&*storage, &layout)?.unwrap_or_default();
    let mut manifest = before.into_history();
    let entry = new_increment(&*storage, &layout, &manifest)?;
    let sequence = entry.sequence;
    manifest.increments.push(entry);
    let shared = Shared::new(options);
    let limit = options.unsynced_limit;
    let mut core = Core::new(storage, layout, manifest, false, limit, &shared)?;
    core.hide_until_based();
    Ok((core, shared, sequence))
}

/// Hands out `bytes` bytes of a file from an offset on, in blocks, each with its offset.
fn for_each_block(
    file: &dyn File,
    (offset, bytes): (u64, u64),
    mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut block = vec![0; usize::try_from(bytes).unwrap_or(COPY_BYTES).min(COPY_BYTES)];
    let mut done = 0;
    while done < bytes {
        let wanted = usize::try_from(bytes - done).unwrap_or(COPY_BYTES);
        let wanted = wanted.min(COPY_BYTES);
        let read = file.read_full_at(&mut block[..wanted], offset + done)?;
        if read == 0 {
            break;
        }
        take(offset + done, &block[..read])?;
        done += read as u64;
    }
    Ok(())
}

fn sync_directory(storage: &dyn Storage, directory: &Path) -> Result<(), AofError> {
    storage
        .sync_directory(directory)
        .map_err(AofError::io("fsync", directory))
}

/// Removes what a new base has replaced.
fn remove_history(core: &mut Core) -> Result<(), AofError> {
    let Some((manifest, history)) = core.lend_without_history() else {
        return Ok(());
    };
    let stored = store_without_history(&**core.storage(), core.layout(), &manifest, &history);
    core.take_without_history(manifest, stored.is_ok());
    stored
}
