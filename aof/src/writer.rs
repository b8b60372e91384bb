//! Writes batches, forces them to disk, changes files, and brings the log through full disks and failed fsyncs.
//! Knows no threads: whoever holds the core does the work. `log` decides when.
//!
//! What must hold at all times:
//! 1. Nothing is confirmed as synced that an fsync of its file did not cover *before any fsync of that file failed*.
//! 2. A manifest names a new increment only after all of the one before it is on disk, with a mark at its end; or, where an
//!    fsync of that one has failed, with its length.
//! 3. After a manifest could not be stored for sure, nothing more is written before one was.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, MutexGuard};

use crate::blocks::Blocks;
use crate::error::{AofError, LogError};
use crate::frame::{first_lines, mark, seal_batch};
use crate::manifest::{BaseForm, Entry, Kind, Layout, Manifest};
use crate::options::FsyncPolicy;
use crate::shared::{Pending, Position, Shared, Switch, lock};
use crate::storage::{File, Storage};

/// Buffers larger than this are not kept for use again.
const LARGEST_SPARE_BYTES: usize = 4 << 20;

/// The longest write that threads with other work to do take over from the writer's.
const SHORT_WRITE_BYTES: usize = 256 << 10;

/// A payload on its way.
#[derive(Debug)]
struct Batch {
    /// The payload; once written, its checksum line too.
    bytes: Vec<u8>,
    /// Length without the checksum line.
    payload: usize,
    /// The log's position behind it.
    position: Position,
    /// The file's offset behind it, once written.
    file_end: u64,
}

#[derive(Debug)]
enum Piece {
    Batch(Batch),
    Switch(Arc<Switch>),
}

/// The file that is written.
#[derive(Debug)]
struct Current {
    file: Arc<dyn File>,
    path: PathBuf,
    len: u64,
    synced: u64,
    /// It ends among batches of ours: the next batch needs no mark before it.
    ours: bool,
    /// The length up to the last mark, if it ends in one.
    marked: u64,
}

/// Whether the manifest on disk names this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Published {
    Yes,
    /// Not before its first base is complete: what was there before stays until then.
    No,
    /// Its first base could not be named for sure. It is to be given up, but its files stay.
    Perhaps,
}

/// An fsync for the thread that does them.
pub(crate) type SyncJob = Arc<dyn File>;

#[derive(Debug)]
pub(crate) struct Core {
    storage: Arc<dyn Storage>,
    layout: Layout,
    manifest: Manifest,
    /// The manifest on disk may not be the one in memory.
    manifest_uncertain: bool,
    published: Published,
    /// The manifest is being stored by somebody else, with nothing locked.
    lent: bool,
    current: Current,
    /// Sizes of the increments before the current one.
    older: u64,
    /// Taken from the pending buffer, not yet written.
    taken: VecDeque<Piece>,
    /// Written, not yet known to be on disk.
    unsynced: VecDeque<Batch>,
    unsynced_bytes: usize,
    unsynced_limit: usize,
    /// An fsync of the current file failed: it takes no more.
    broken: bool,
    sync_thread: Option<Sender<SyncJob>>,
    /// Length of the current file when the fsync under way began.
    in_flight: Option<u64>,
}

impl Core {
    /// Takes over at the increment that the manifest names last; all of it is on disk. `ours`: it ends in a mark of ours.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        layout: Layout,
        manifest: Manifest,
        ours: bool,
        unsynced_limit: usize,
        shared: &Shared,
    ) -> Result<Self, AofError> {
        let last = manifest
            .increments
            .last()
            .map(|entry| layout.path(&entry.name))
            .unwrap_or_default();
        let size = |entry: &Entry| -> Result<u64, AofError> {
            let path = layout.path(&entry.name);
            storage
                .open(&path)
                .and_then(|file| file.len())
                .map_err(AofError::io("open", &path))
        };
        let base = manifest.base.as_ref().map(size).transpose()?.unwrap_or(0);
        let total = manifest
            .increments
            .iter()
            .map(size)
            .sum::<Result<u64, AofError>>()?;
        let file: Arc<dyn File> = storage
            .open(&last)
            .map_err(AofError::io("open", &last))?
            .into();
        let len = file.len().map_err(AofError::io("open", &last))?;
        shared.base_size.store(base, Ordering::Relaxed);
        let core = Self {
            storage,
            layout,
            manifest,
            manifest_uncertain: false,
            published: Published::Yes,
            lent: false,
            current: Current {
                file,
                path: last,
                len,
                synced: len,
                ours,
                marked: len,
            },
            older: total - len,
            taken: VecDeque::new(),
            unsynced: VecDeque::new(),
            unsynced_bytes: 0,
            unsynced_limit,
            broken: false,
            sync_thread: None,
            in_flight: None,
        };
        core.publish_size(shared);
        Ok(core)
    }

    /// The log counts only once its first base is complete.
    pub(crate) fn hide_until_based(&mut self) {
        self.published = Published::No;
    }

    pub(crate) fn set_sync_thread(&mut self, sender: Option<Sender<SyncJob>>) {
        self.sync_thread = sender;
    }

    pub(crate) fn has_unsynced(&self) -> bool {
        !self.unsynced.is_empty() || self.broken
    }

    pub(crate) fn is_syncing(&self) -> bool {
        self.in_flight.is_some()
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    fn publish_size(&self, shared: &Shared) {
        let base = shared.base_size.load(Ordering::Relaxed);
        shared
            .current_size
            .store(base + self.older + self.current.len, Ordering::Relaxed);
    }

    /// Writes everything that is pending now. An error leaves the rest taken, for the next try.
    pub(crate) fn write(&mut self, shared: &Shared) -> Result<(), AofError> {
        self.collect_sync(shared);
        self.take(lock(&shared.pending));
        self.make_ready(shared)?;
        while let Some(piece) = self.taken.pop_front() {
            match piece {
                Piece::Switch(switch) => {
                    let outcome = self.switch(shared);
                    switch.settle(outcome.as_ref().map_err(LogError::from).copied());
                    if let Err(error) = outcome {
                        // Without a new file the log goes on in the old one, once that is fit for it.
                        self.make_ready(shared).map_err(|_| error)?;
                    }
                }
                Piece::Batch(batch) => {
                    self.write_batch(batch, shared)?;
                    self.bound_unsynced(shared)?;
                }
            }
        }
        Ok(())
    }

    /// Writes what is pending if that is nothing but one short write; false where it is more and nothing was done.
    pub(crate) fn write_if_short(&mut self, shared: &Shared) -> Result<bool, AofError> {
        let is_ready = !self.manifest_uncertain && !self.broken && self.current.ours;
        if !is_ready || !self.taken.is_empty() {
            return Ok(false);
        }
        let mut pending = lock(&shared.pending);
        let len = pending.buffer.len();
        let is_short = len <= SHORT_WRITE_BYTES && pending.marks.is_empty();
        if !is_short || self.unsynced_bytes + len > self.unsynced_limit {
            return Ok(false);
        }
        pending.written_outside = true;
        self.take(pending);
        while let Some(Piece::Batch(batch)) = self.taken.pop_front() {
            self.write_batch(batch, shared)?;
        }
        Ok(true)
    }

    /// Brings manifest and file into a state in which they may be written.
    fn make_ready(&mut self, shared: &Shared) -> Result<(), AofError> {
        if self.manifest_uncertain {
            self.manifest.store(&*self.storage, &self.layout)?;
            self.manifest_uncertain = false;
        }
        if self.broken {
            self.replace_file(shared)?;
        }
        Ok(())
    }

    fn take(&mut self, mut pending: MutexGuard<'_, Pending>) {
        pending.urgent = false;
        let mut position = pending.appended;
        let mut pieces = VecDeque::new();
        while let Some((at, switch)) = pending.marks.pop_back() {
            let behind = pending.buffer.split_off(at);
            position -= push_batch(&mut pieces, behind, position);
            pieces.push_front(Piece::Switch(switch));
        }
        let spare = pending.spare.pop().unwrap_or_default();
        let buffer = std::mem::replace(&mut pending.buffer, spare);
        drop(pending);
        push_batch(&mut pieces, buffer, position);
        self.taken.append(&mut pieces);
    }

    fn write_batch(&mut self, mut batch: Batch, shared: &Shared) -> Result<(), AofError> {
        assert!(
            !self.broken && !self.manifest_uncertain,
            "only a sound file is written"
        );
        if !self.current.ours
            && let Err(error) = self.begin_batches(&mut batch.bytes)
        {
            self.taken.push_front(Piece::Batch(batch));
            return Err(error);
        }
        batch.payload = seal_batch(&mut batch.bytes, self.current.synced);
        if let Err(error) = self
            .current
            .file
            .write_all_at(&batch.bytes, self.current.len)
        {
            // Back to the last whole batch. Should this fail too, the next try writes over the same bytes.
            let _ = self.current.file.set_len(self.current.len);
            batch.bytes.truncate(batch.payload);
            self.taken.push_front(Piece::Batch(batch));
            return Err(AofError::io("write", &self.current.path)(error));
        }
        self.current.len += batch.bytes.len() as u64;
        batch.file_end = self.current.len;
        shared.set_written(batch.position);
        self.unsynced_bytes += batch.payload;
        self.unsynced.push_back(batch);
        self.publish_size(shared);
        Ok(())
    }

    /// The first batch of ours in this file follows: what tells a torn batch from a file of Redis's own is on disk first.
    fn begin_batches(&mut self, payload: &mut Vec<u8>) -> Result<(), AofError> {
        self.current.add_first_lines(payload)?;
        if let Err(error) = self.current.file.sync() {
            self.broken = true;
            return Err(AofError::io("fsync", &self.current.path)(error));
        }
        self.current.synced = self.current.len;
        Ok(())
    }

    /// What may have to be written again is kept in memory, so it must not grow without end.
    fn bound_unsynced(&mut self, shared: &Shared) -> Result<(), AofError> {
        if self.unsynced_bytes <= self.unsynced_limit || shared.policy() == FsyncPolicy::Always {
            return Ok(());
        }
        if self.in_flight.is_some() {
            shared.delayed_syncs.fetch_add(1, Ordering::Relaxed);
            self.await_sync(shared);
        }
        self.make_ready(shared)?;
        if self.unsynced_bytes > self.unsynced_limit {
            self.sync(shared)?;
        }
        Ok(())
    }

    /// Forces everything written to disk before it returns. A failed fsync moves the log to a new file.
    pub(crate) fn sync(&mut self, shared: &Shared) -> Result<(), AofError> {
        self.await_sync(shared);
        self.make_ready(shared)?;
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let outcome = self.current.file.sync();
        let len = self.current.len;
        match self.finish_sync(outcome, len, shared) {
            Ok(()) => Ok(()),
            Err(error) if shared.is_lost() => Err(error),
            // The failure is told only if a new file does not help.
            Err(_) => self.make_ready(shared),
        }
    }

    /// Begins an fsync on the other thread, or does it here if there is none.
    pub(crate) fn begin_sync(&mut self, shared: &Shared) -> Result<(), AofError> {
        if self.in_flight.is_some() || self.unsynced.is_empty() {
            return Ok(());
        }
        let sent = self
            .sync_thread
            .as_ref()
            .is_some_and(|thread| thread.send(Arc::clone(&self.current.file)).is_ok());
        if !sent {
            return self.sync(shared);
        }
        self.in_flight = Some(self.current.len);
        shared.sync_in_flight.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Takes in the result of the fsync under way, if it has one.
    fn collect_sync(&mut self, shared: &Shared) {
        let Some(outcome) = lock(&shared.pending).sync_done.take() else {
            return;
        };
        let Some(len) = self.in_flight.take() else {
            return;
        };
        shared.sync_in_flight.store(false, Ordering::Relaxed);
        // A failure leaves the file broken, which the next step sees and mends.
        let _ = self.finish_sync(outcome, len, shared);
    }

    /// An error of fsync is told once, to one caller: so there is never more than one fsync of a file at a time.
    fn await_sync(&mut self, shared: &Shared) {
        if self.in_flight.is_none() {
            return;
        }
        let pending = lock(&shared.pending);
        drop(
            shared
                .work
                .wait_while(pending, |pending| pending.sync_done.is_none()),
        );
        self.collect_sync(shared);
    }

    fn finish_sync(
        &mut self,
        outcome: std::io::Result<()>,
        len: u64,
        shared: &Shared,
    ) -> Result<(), AofError> {
        assert!(!self.broken, "a file whose fsync failed is not asked again");
        if let Err(error) = outcome {
            self.broken = true;
            return Err(AofError::io("fsync", &self.current.path)(error));
        }
        self.check_name(shared)?;
        self.current.synced = len;
        let mut position = None;
        let mut spare = Vec::new();
        while self
            .unsynced
            .front()
            .is_some_and(|batch| batch.file_end <= len)
        {
            let Some(batch) = self.unsynced.pop_front() else {
                break;
            };
            self.unsynced_bytes -= batch.payload;
            position = Some(batch.position);
            spare.push(batch.bytes);
        }
        recycle(spare, shared);
        if let Some(position) = position {
            shared.set_synced(position);
        }
        Ok(())
    }

    /// What is in a file that was removed, or moved away, is not there at the next start, whatever an fsync says.
    fn check_name(&self, shared: &Shared) -> Result<(), AofError> {
        let path = &self.current.path;
        if self.storage.exists(path).unwrap_or(true) {
            return Ok(());
        }
        let error = std::io::Error::new(std::io::ErrorKind::NotFound, "the file was removed");
        let error = AofError::io("keep", path)(error);
        shared.lose(LogError::from(&error));
        Err(error)
    }

    /// Goes on in a new increment; everything before is on disk when the manifest says so. What follows waits for all of
    /// this: so as little as possible is done one after the other.
    fn switch(&mut self, shared: &Shared) -> Result<u64, AofError> {
        self.await_sync(shared);
        self.make_ready(shared)?;
        self.append_mark()?;
        self.begin_sync(shared)?;
        let mut created = self.create_increment(true);
        self.sync(shared)?;
        assert!(self.unsynced.is_empty(), "the old file is complete");
        self.mark_end()?;
        let is_next = |entry: &Entry| entry.sequence == self.manifest.next_increment();
        if !created.as_ref().is_ok_and(|(_, entry)| is_next(entry)) {
            // A failed fsync has moved the log to a file of that name.
            created = self.create_increment(false);
        }
        let (next, entry) = created?;
        let sequence = entry.sequence;
        self.adopt(entry, None)?;
        self.advance_to(next, shared);
        Ok(sequence)
    }

    /// Ends the current file with a mark.
    fn append_mark(&mut self) -> Result<(), AofError> {
        if self.current.ours && self.current.marked != self.current.len {
            let line = mark(self.current.synced);
            append(&mut self.current, &line)?;
            self.current.marked = self.current.len;
        }
        Ok(())
    }

    /// Ends the current file, all batches of which are on disk, with a mark that is on disk too.
    fn mark_end(&mut self) -> Result<(), AofError> {
        self.append_mark()?;
        if !self.current.ours || self.current.synced == self.current.len {
            return Ok(());
        }
        if let Err(error) = self.current.file.sync() {
            self.broken = true;
            return Err(AofError::io("fsync", &self.current.path)(error));
        }
        self.current.synced = self.current.len;
        Ok(())
    }

    /// Creates the next increment; no manifest names it yet. It is empty, or has what goes before the batch that is the next
    /// to be written, if it `begins` with that one.
    fn create_increment(&mut self, begins: bool) -> Result<(Current, Entry), AofError> {
        let sequence = self.manifest.next_increment();
        let name = self.layout.increment_name(sequence);
        let path = self.layout.path(&name);
        let file = self.storage.create(&path);
        let mut next = Current {
            file: file.map_err(AofError::io("create", &path))?.into(),
            path,
            len: 0,
            synced: 0,
            ours: false,
            marked: 0,
        };
        if begins && let Some(Piece::Batch(batch)) = self.taken.front_mut() {
            next.add_first_lines(&mut batch.bytes)?;
        }
        next.make_durable(&*self.storage, &self.layout)?;
        let entry = Entry {
            name,
            sequence,
            kind: Kind::Increment,
            length: None,
        };
        Ok((next, entry))
    }

    /// Stores a manifest in which `entry` follows the current file, which ends at `length` if that is not sure otherwise.
    fn adopt(&mut self, entry: Entry, length: Option<u64>) -> Result<(), AofError> {
        let mut manifest = self.manifest.clone();
        if let Some(last) = manifest.increments.last_mut() {
            last.length = length;
        }
        manifest.increments.push(entry);
        self.store_manifest(manifest)
    }

    fn store_manifest(&mut self, manifest: Manifest) -> Result<(), AofError> {
        if self.published != Published::Yes && !self.lent {
            self.manifest = manifest;
            return Ok(());
        }
        self.lend()?;
        self.lent = false;
        self.manifest_uncertain = true;
        manifest.store(&*self.storage, &self.layout)?;
        self.manifest = manifest;
        self.manifest_uncertain = false;
        Ok(())
    }

    fn advance_to(&mut self, next: Current, shared: &Shared) {
        self.older += self.current.len;
        self.current = next;
        self.publish_size(shared);
    }

    /// After a failed fsync: what was written and not synced is written again, to a new increment, and only then confirmed.
    fn replace_file(&mut self, shared: &Shared) -> Result<(), AofError> {
        let (mut next, entry) = self.create_increment(false)?;
        let mut ends = Vec::with_capacity(self.unsynced.len());
        next.add_first_lines(&mut Vec::new())?;
        if let Some(mut select) = self.selected_database()? {
            seal_batch(&mut select, next.synced);
            append(&mut next, &select)?;
        }
        for batch in &mut self.unsynced {
            batch.bytes.truncate(batch.payload);
            batch.payload = seal_batch(&mut batch.bytes, next.synced);
            append(&mut next, &batch.bytes)?;
            ends.push(next.len);
        }
        next.file
            .sync()
            .map_err(AofError::io("fsync", &next.path))?;
        next.synced = next.len;
        // The manifest says where the old file ends for us; Redis needs it cut.
        let length = self.current.synced;
        let _ = self.current.file.set_len(length);
        let _ = self.current.file.sync();
        self.adopt(entry, Some(length))?;
        self.current.len = length;
        self.broken = false;
        self.advance_to(next, shared);
        for (batch, end) in self.unsynced.iter_mut().zip(ends) {
            batch.file_end = end;
        }
        let len = self.current.len;
        self.finish_sync(Ok(()), len, shared)
    }

    /// The last SELECT in the part of the current file that is on disk: the new file has to begin with it.
    fn selected_database(&self) -> Result<Option<Vec<u8>>, AofError> {
        let mut blocks = Blocks::new(&*self.current.file, 0, self.current.synced);
        let mut arguments = Vec::new();
        let mut select = None;
        loop {
            let ahead = blocks
                .peek(1)
                .map_err(AofError::io("read", &self.current.path))?;
            let len = match ahead.first() {
                None => return Ok(select),
                Some(b'#') => match blocks
                    .peek_line(128)
                    .map_err(AofError::io("read", &self.current.path))?
                {
                    Some(line) => line.len(),
                    None => return Ok(select),
                },
                Some(_) => match blocks.whole_command(&mut arguments) {
                    Ok(len) => len,
                    // Payloads that are no commands select nothing.
                    Err(_) => return Ok(select),
                },
            };
            let ahead = blocks
                .peek(len)
                .map_err(AofError::io("read", &self.current.path))?;
            if ahead[0] == b'*' && arguments.len() == 2 {
                let (begin, end) = arguments[0];
                if ahead[begin..end].eq_ignore_ascii_case(b"SELECT") {
                    select = Some(ahead[..len].to_vec());
                }
            }
            blocks.consume(len);
        }
    }

    /// The name of the next base, which is about to be put in place.
    pub(crate) fn next_base(&mut self, form: BaseForm, shared: &Shared) -> Result<Entry, AofError> {
        self.make_ready(shared)?;
        let sequence = self.manifest.next_base();
        let name = self.layout.base_name(sequence, form);
        Ok(Entry::new_base(name, sequence))
    }

    /// Lends the manifest, to be stored while batches go on being written: with a finished base, and the increments from
    /// `first` on; what that replaces becomes history.
    pub(crate) fn lend_with_base(
        &mut self,
        base: Entry,
        first: u64,
        shared: &Shared,
    ) -> Result<Manifest, AofError> {
        self.make_ready(shared)?;
        self.lend()?;
        let mut manifest = self.manifest.clone();
        let (kept, replaced): (Vec<_>, Vec<_>) = manifest
            .increments
            .into_iter()
            .partition(|entry| entry.sequence >= first);
        assert!(
            !kept.is_empty(),
            "the increment that the switch began is there"
        );
        // Redis's order: what was replaced last comes first, and a base behind its increments.
        let replaced = replaced.into_iter().chain(manifest.base.take());
        let older = std::mem::take(&mut manifest.history);
        manifest.history = replaced.map(Entry::into_history).chain(older).collect();
        manifest.increments = kept;
        manifest.base = Some(base);
        Ok(manifest)
    }

    /// Takes the manifest with the new base back, which was stored or not. `size`: of the base.
    pub(crate) fn take_base(
        &mut self,
        manifest: Manifest,
        stored: Result<(), AofError>,
        size: u64,
        shared: &Shared,
    ) -> Result<(), AofError> {
        self.lent = false;
        let before = std::mem::replace(&mut self.published, Published::Yes);
        if let Err(error) = stored {
            if before != Published::Yes {
                // Either manifest names files that are complete.
                self.published = Published::Perhaps;
                return Err(error);
            }
            self.manifest_uncertain = true;
            if self.make_ready(shared).is_ok()
                && let Some(base) = &manifest.base
            {
                // The old manifest is on disk for sure, so nothing names the new base.
                let _ = self.storage.remove(&self.layout.path(&base.name));
            }
            return Err(error);
        }
        self.manifest = manifest;
        let behind = self.manifest.increments.len() - 1;
        let older = self.manifest.increments.iter().take(behind);
        self.older = older.map(|entry| self.size_of(entry)).sum();
        shared.base_size.store(size, Ordering::Relaxed);
        self.publish_size(shared);
        Ok(())
    }

    /// Nobody else stores the manifest as long as it is lent.
    fn lend(&mut self) -> Result<(), AofError> {
        if self.lent {
            let busy = std::io::ErrorKind::ResourceBusy.into();
            return Err(AofError::io("write", &self.layout.manifest_path())(busy));
        }
        self.lent = true;
        Ok(())
    }

    /// What a file takes on disk, for the figures.
    fn size_of(&self, entry: &Entry) -> u64 {
        let file = self.storage.open(&self.layout.path(&entry.name));
        file.and_then(|file| file.len()).unwrap_or(0)
    }

    /// Lends the manifest without its history, which is to be removed first: what a new base has replaced. Nothing depends on
    /// it, for history is never loaded. What stands for the log until its first base is complete is no history on disk.
    pub(crate) fn lend_without_history(&mut self) -> Option<(Manifest, Vec<PathBuf>)> {
        let is_sound = self.published == Published::Yes && !self.manifest_uncertain;
        if !is_sound || self.manifest.history.is_empty() || self.lend().is_err() {
            return None;
        }
        let mut manifest = self.manifest.clone();
        let history = std::mem::take(&mut manifest.history);
        let paths = history.iter().map(|entry| self.layout.path(&entry.name));
        Some((manifest, paths.collect()))
    }

    /// Takes the manifest without history back, which was stored or not.
    pub(crate) fn take_without_history(&mut self, manifest: Manifest, is_stored: bool) {
        (self.lent, self.manifest) = (false, manifest);
        self.manifest_uncertain |= !is_stored;
    }

    /// The files of a log that no manifest names, where it is given up.
    pub(crate) fn unpublished_paths(&self) -> Vec<PathBuf> {
        let increments = self.manifest.increments.iter();
        increments
            .filter(|_| self.published == Published::No && !self.lent)
            .map(|entry| self.layout.path(&entry.name))
            .collect()
    }

    /// Writes, forces to disk, and marks the file as complete.
    pub(crate) fn finish(&mut self, shared: &Shared) -> Result<(), AofError> {
        self.write(shared)?;
        self.sync(shared)?;
        self.mark_end()?;
        self.sync_thread = None;
        Ok(())
    }
}

impl Current {
    /// Brings it to disk, with its name.
    fn make_durable(&mut self, storage: &dyn Storage, layout: &Layout) -> Result<(), AofError> {
        self.file
            .sync()
            .map_err(AofError::io("fsync", &self.path))?;
        self.synced = self.len;
        storage
            .sync_directory(&layout.append_directory)
            .map_err(AofError::io("fsync", &layout.append_directory))
    }

    /// Writes what goes before the first batch of ours.
    fn add_first_lines(&mut self, payload: &mut Vec<u8>) -> Result<(), AofError> {
        let lines = first_lines(payload, self.len);
        append(self, &lines)?;
        (self.ours, self.marked) = (true, self.len);
        Ok(())
    }
}

fn append(current: &mut Current, bytes: &[u8]) -> Result<(), AofError> {
    if let Err(error) = current.file.write_all_at(bytes, current.len) {
        let _ = current.file.set_len(current.len);
        return Err(AofError::io("write", &current.path)(error));
    }
    current.len += bytes.len() as u64;
    Ok(())
}

/// Puts a payload in front of `pieces`; answers its length.
fn push_batch(pieces: &mut VecDeque<Piece>, bytes: Vec<u8>, position: Position) -> u64 {
    let len = bytes.len();
    if len > 0 {
        pieces.push_front(Piece::Batch(Batch {
            bytes,
            payload: len,
            position,
            file_end: 0,
        }));
    }
    len as u64
}

fn recycle(buffers: Vec<Vec<u8>>, shared: &Shared) {
    let mut pending = lock(&shared.pending);
    for mut buffer in buffers {
        if pending.spare.len() < 2 && buffer.capacity() <= LARGEST_SPARE_BYTES {
            buffer.clear();
            pending.spare.push(buffer);
        }
    }
}

/// Creates the increment that follows those in `manifest`, empty: its name is on disk.
pub(crate) fn new_increment(
    storage: &dyn Storage,
    layout: &Layout,
    manifest: &Manifest,
) -> Result<Entry, AofError> {
    let sequence = manifest.next_increment();
    let name = layout.increment_name(sequence);
    let path = layout.path(&name);
    let file = storage
        .create(&path)
        .map_err(AofError::io("create", &path))?;
    file.sync().map_err(AofError::io("fsync", &path))?;
    storage
        .sync_directory(&layout.append_directory)
        .map_err(AofError::io("fsync", &layout.append_directory))?;
    Ok(Entry {
        name,
        sequence,
        kind: Kind::Increment,
        length: None,
    })
}
