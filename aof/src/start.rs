//! From a verified log to one that takes appends: cuts what is torn (and keeps it beside), moves an old single file into the
//! directory, begins a new increment. Every step may be the last before a power loss, and can then be taken again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blocks::checksum_of;
use crate::error::AofError;
use crate::frame::Annotation;
use crate::log::Log;
use crate::manifest::{Entry, Kind, Manifest};
use crate::reader::{LogFile, Recovery};
use crate::shared::Shared;
use crate::storage::Storage;
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
        self.seal_last()?;
        let (manifest, useless) = self.next_manifest()?;
        manifest.store(&*storage, &self.layout)?;
        self.set_aside_dropped()?;
        for name in useless {
            // What stays behind is named by no manifest and does no harm.
            let _ = storage.remove(&self.layout.path(&name));
        }
        let _ = storage.remove(&self.layout.temporary_base_path());
        let shared = Shared::new(self.options.policy);
        let core = Core::new(
            storage,
            self.layout,
            manifest,
            self.options.unsynced_limit,
            &shared,
        )?;
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
        let mut block = vec![0; COPY_BYTES];
        let mut copied = 0;
        while copied < cut.bytes {
            let wanted = usize::try_from(cut.bytes - copied)
                .unwrap_or(COPY_BYTES)
                .min(COPY_BYTES);
            let read = source
                .file
                .read_full_at(&mut block[..wanted], cut.offset + copied);
            let read = read.map_err(AofError::io("read", &cut.path))?;
            if read == 0 {
                break;
            }
            kept.write_all_at(&block[..read], copied)
                .map_err(AofError::io("write", &cut.kept_in))?;
            copied += read as u64;
        }
        kept.sync().map_err(AofError::io("fsync", &cut.kept_in))?;
        sync_directory(
            &*self.storage,
            cut.kept_in.parent().unwrap_or(Path::new("")),
        )
    }

    /// The last file of before becomes one that is complete: nothing behind its end, all of it on disk.
    fn seal_last(&self) -> Result<(), AofError> {
        let Some(last) = self.files.last() else {
            return Ok(());
        };
        let failed = |action| AofError::io(action, &last.path);
        let mut end = last.verified.end;
        if end < last.len {
            last.file.set_len(end).map_err(failed("truncate"))?;
        }
        if let Some(batch) = last.verified.open_batch.filter(|&batch| batch < end) {
            let hasher = checksum_of(&*last.file, batch, end).map_err(failed("read"))?;
            let hasher = hasher.ok_or_else(|| {
                AofError::corrupt(&last.path, batch, "the file changed while it was read")
            })?;
            let mut line = Vec::new();
            Annotation::seal(hasher, end - batch, batch).encode(&mut line);
            last.file
                .write_all_at(&line, end)
                .map_err(failed("write"))?;
            end += line.len() as u64;
        }
        last.file.sync().map_err(failed("fsync"))?;
        debug_assert!(
            last.file.len().is_ok_and(|len| len == end),
            "nothing stands behind the end"
        );
        Ok(())
    }

    /// The files of before, with their lengths, and a new increment; and the names of files that are needed no more.
    fn next_manifest(&self) -> Result<(Manifest, Vec<String>), AofError> {
        let mut all = self.manifest.clone();
        let entry = new_increment(&*self.storage, &self.layout, &all)?;
        let mut useless: Vec<String> = all.history.drain(..).map(|entry| entry.name).collect();
        all.increments.retain_mut(|increment| {
            let Some(file) = self.files.iter().find(|file| is_that(file, increment)) else {
                return false;
            };
            let empty = file.verified.commands == 0 && file.verified.damage.is_none();
            if empty {
                useless.push(increment.name.clone());
            }
            increment.length = file
                .file
                .len()
                .ok()
                .map(|len| increment.length.map_or(len, |length| length.min(len)));
            !empty
        });
        all.increments.push(entry);
        Ok((all, useless))
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

fn is_that(file: &LogFile, entry: &Entry) -> bool {
    file.name == entry.name && file.kind == Kind::Increment
}

fn sync_directory(storage: &dyn Storage, directory: &Path) -> Result<(), AofError> {
    storage
        .sync_directory(directory)
        .map_err(AofError::io("fsync", directory))
}
