//! A disk that fails, from a seed: it loses, zeroes and tears what was not synced, fills up, fails fsync and flips bits.
//! Knows no log.
//!
//! The fault model, which every test on top may rely on:
//!
//! - What [`File::sync`] covered stays as it is through a power loss, and so does a name that
//!   [`Storage::sync_directory`] covered. Only [`SimulatedDisk::flip_bit`] damages such data.
//! - After a power loss each unsynced 4 KiB page is, independently, kept, lost, filled with zeros or with garbage, or torn:
//!   then each of its 512-byte sectors is. A sector that also holds synced bytes is either the old or the new one.
//! - The length of a file with unsynced writes is anything from the synced length to the one last seen.
//! - An unsynced cut of a file happened or not. Unsynced creations, renames and removals happened in part, each atomically.
//! - A failed fsync drops the dirty pages: readers still see them, later fsyncs succeed without writing them (as Linux does).
//! - After [`SimulatedDisk::power_off_after`] operations every call fails; the only ways on are [`SimulatedDisk::crash`] and,
//!   where only the process was killed then, [`SimulatedDisk::restart`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::storage::{File, Storage};

const SECTOR_BYTES: usize = 512;
const SECTORS_PER_PAGE: usize = 8;
const ENOSPC: i32 = 28;
const EIO: i32 = 5;

/// A simulated disk. Clones share the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<NameChange>,
    next_inode: u64,
    capacity: Option<u64>,
    longest_write: Option<usize>,
    failing_syncs: u32,
    /// Syncs of directories before the one that fails.
    failing_directory_sync: Option<u32>,
    failing_writes: u32,
    operations_left: Option<u64>,
    operations: u64,
    syncs: u64,
}

/// A file's content as readers see it, and as a power loss would leave it at worst.
#[derive(Debug, Clone, Default)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    /// The shortest length since the last sync.
    shortest: usize,
}

/// Names that change together, atomically: what a name points to afterwards.
#[derive(Debug, Clone)]
struct NameChange {
    directory: PathBuf,
    names: Vec<(PathBuf, Option<u64>)>,
}

/// A small deterministic generator (SplitMix64), for faults and for the histories of tests.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// A generator with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

impl SimulatedDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk fails with `No space left on device` once its files hold this many bytes together.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// A write takes at most this many bytes: short writes.
    pub fn limit_writes(&self, bytes: Option<usize>) {
        self.lock().longest_write = bytes;
    }

    /// The next `count` fsyncs fail with an I/O error and drop the dirty pages.
    pub fn fail_syncs(&self, count: u32) {
        self.lock().failing_syncs = count;
    }

    /// A sync of a directory fails with an I/O error, after `others` more that succeed; its names stay unsynced.
    pub fn fail_directory_sync_after(&self, others: u32) {
        self.lock().failing_directory_sync = Some(others);
    }

    /// The next `count` writes fail with an I/O error.
    pub fn fail_writes(&self, count: u32) {
        self.lock().failing_writes = count;
    }

    /// The power goes after this many more operations that change something; every call fails from then on.
    pub fn power_off_after(&self, operations: u64) {
        self.lock().operations_left = Some(operations);
    }

    /// Whether the power is off: the next operation that changes something fails, and all that follow.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.lock().operations_left == Some(0)
    }

    /// Operations so far that changed something.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Fsyncs of files so far, failed ones too.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Bytes in all files together.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Flips one bit of a file, in its durable content too. False if there is no such byte.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> bool {
        let mut state = self.lock();
        let Some(inode) = state.names.get(path).copied() else {
            return false;
        };
        let Some(inode) = state.inodes.get_mut(&inode) else {
            return false;
        };
        let Ok(at) = usize::try_from(offset) else {
            return false;
        };
        let Some(byte) = inode.current.get_mut(at) else {
            return false;
        };
        *byte ^= 1 << (bit % 8);
        if let Some(byte) = inode.durable.get_mut(at) {
            *byte ^= 1 << (bit % 8);
        }
        true
    }

    /// The disk after a power loss now, without faults; this one stays as it is.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let state = self.lock();
        let mut chance = Chance::new(seed);
        let names = state.names_after_crash(&mut chance);
        let mut inodes = BTreeMap::new();
        for inode in names.values() {
            if let Some(content) = state.inodes.get(inode) {
                inodes
                    .entry(*inode)
                    .or_insert_with(|| Inode::clean(content.after_crash(&mut chance)));
            }
        }
        let state = State {
            inodes,
            durable_names: names.clone(),
            names,
            next_inode: state.next_inode,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The disk as the next process finds it when this one is killed: everything that was written is seen, on disk or not,
    /// and faults are over.
    #[must_use]
    pub fn restart(&self) -> Self {
        let state = State {
            capacity: None,
            longest_write: None,
            failing_syncs: 0,
            failing_directory_sync: None,
            failing_writes: 0,
            operations_left: None,
            ..self.lock().clone()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn used(&self) -> u64 {
        let live: BTreeSet<u64> = self.names.values().copied().collect();
        live.iter()
            .filter_map(|inode| self.inodes.get(inode))
            .map(|inode| inode.current.len() as u64)
            .sum()
    }

    /// Counts an operation that changes something, and refuses it when the power is off.
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.operations_left {
            Some(0) => return Err(io::Error::from_raw_os_error(EIO)),
            Some(left) => *left -= 1,
            None => {}
        }
        self.operations += 1;
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::Error::from_raw_os_error(2))
    }

    fn change(&mut self, directory: &Path, names: Vec<(PathBuf, Option<u64>)>) {
        for (name, inode) in &names {
            match inode {
                Some(inode) => self.names.insert(name.clone(), *inode),
                None => self.names.remove(name),
            };
        }
        self.unsynced_names.push(NameChange {
            directory: directory.to_path_buf(),
            names,
        });
    }

    fn names_after_crash(&self, chance: &mut Chance) -> BTreeMap<PathBuf, u64> {
        let mut names = self.durable_names.clone();
        // A journal keeps the order; without one each change stands for itself.
        let journalled = chance.below(2) == 0;
        let kept = chance.below(self.unsynced_names.len() as u64 + 1);
        for (index, change) in self.unsynced_names.iter().enumerate() {
            let happened = if journalled {
                (index as u64) < kept
            } else {
                chance.below(2) == 0
            };
            if happened {
                change.apply(&mut names);
            }
        }
        names
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        for (name, inode) in &self.names {
            match inode {
                Some(inode) => names.insert(name.clone(), *inode),
                None => names.remove(name),
            };
        }
    }
}

impl Inode {
    fn clean(content: Vec<u8>) -> Self {
        Self {
            shortest: content.len(),
            durable: content.clone(),
            current: content,
            dirty: BTreeSet::new(),
        }
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.current.len() < end {
            self.current.resize(end, 0);
        }
        self.current[offset..end].copy_from_slice(bytes);
        self.dirty
            .extend(offset / SECTOR_BYTES..=(end.max(1) - 1) / SECTOR_BYTES);
    }

    fn set_len(&mut self, len: usize) {
        self.current.resize(len, 0);
        self.shortest = self.shortest.min(len);
    }

    fn sync(&mut self) {
        self.durable.truncate(self.shortest);
        self.durable.resize(self.current.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let (begin, end) = sector_range(sector, self.current.len());
            self.durable[begin..end].copy_from_slice(&self.current[begin..end]);
        }
        self.shortest = self.current.len();
    }

    fn after_crash(&self, chance: &mut Chance) -> Vec<u8> {
        let cut = self.shortest < self.durable.len();
        if cut && chance.below(2) == 0 {
            return self.durable.clone();
        }
        let old = &self.durable[..self.shortest.min(self.durable.len())];
        let len = self.length_after_crash(old.len(), chance);
        let mut content = old.to_vec();
        content.resize(len, 0);
        let mut page_fate = (usize::MAX, 0);
        for &sector in &self.dirty {
            let page = sector / SECTORS_PER_PAGE;
            if page_fate.0 != page {
                page_fate = (page, chance.below(8));
            }
            let fate = if page_fate.1 == 7 {
                chance.below(6)
            } else {
                page_fate.1
            };
            let (begin, end) = sector_range(sector, len);
            if begin >= end {
                continue;
            }
            match fate {
                0..=3 => {
                    let seen = end.min(self.current.len());
                    content[begin..seen].copy_from_slice(&self.current[begin..seen]);
                }
                // Zeros and garbage only where no synced byte is.
                4 if begin >= old.len() => content[begin..end].fill(0),
                5 if begin >= old.len() => {
                    content[begin..end].fill_with(|| u8::try_from(chance.below(256)).unwrap_or(0));
                }
                _ => {}
            }
        }
        content
    }

    fn length_after_crash(&self, old: usize, chance: &mut Chance) -> usize {
        let grown = self.current.len().saturating_sub(old);
        if grown == 0 {
            return self.current.len();
        }
        match chance.below(4) {
            0 => old,
            1 => old + usize::try_from(chance.below(grown as u64 + 1)).unwrap_or(0),
            _ => self.current.len(),
        }
    }
}

fn sector_range(sector: usize, len: usize) -> (usize, usize) {
    let begin = sector * SECTOR_BYTES;
    (begin.min(len), (begin + SECTOR_BYTES).min(len))
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    inode: u64,
}

impl SimulatedFile {
    fn with<T>(&self, action: impl FnOnce(&mut Inode) -> T) -> io::Result<T> {
        match self.disk.lock().inodes.get_mut(&self.inode) {
            Some(inode) => Ok(action(inode)),
            None => Err(io::Error::from_raw_os_error(EIO)),
        }
    }
}

impl File for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|inode| {
            let begin = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(inode.current.len());
            let count = buffer.len().min(inode.current.len() - begin);
            buffer[..count].copy_from_slice(&inode.current[begin..begin + count]);
            count
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let offset = usize::try_from(offset).map_err(|_| io::Error::from_raw_os_error(27))?;
        let mut count = bytes.len();
        {
            let mut state = self.disk.lock();
            state.operate()?;
            if state.failing_writes > 0 {
                state.failing_writes -= 1;
                return Err(io::Error::from_raw_os_error(EIO));
            }
            count = count.min(state.longest_write.unwrap_or(usize::MAX));
            if let Some(capacity) = state.capacity {
                let len = state
                    .inodes
                    .get(&self.inode)
                    .map_or(0, |inode| inode.current.len());
                let room =
                    capacity.saturating_sub(state.used()) as usize + len.saturating_sub(offset);
                count = count.min(room);
            }
        }
        if count == 0 && !bytes.is_empty() {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.with(|inode| inode.write(&bytes[..count], offset))?;
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        let failing = {
            let mut state = self.disk.lock();
            state.operate()?;
            state.syncs += 1;
            let failing = state.failing_syncs > 0;
            state.failing_syncs = state.failing_syncs.saturating_sub(1);
            failing
        };
        if failing {
            self.with(|inode| inode.dirty.clear())?;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.with(Inode::sync)
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|inode| inode.current.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.lock().operate()?;
        let len = usize::try_from(len).map_err(|_| io::Error::from_raw_os_error(27))?;
        self.with(|inode| inode.set_len(len))
    }
}

impl Storage for SimulatedDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let inode = self.lock().find(path)?;
        Ok(Box::new(SimulatedFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.lock();
        state.operate()?;
        let inode = match state.find(path) {
            Ok(inode) => {
                if let Some(inode) = state.inodes.get_mut(&inode) {
                    inode.set_len(0);
                }
                inode
            }
            Err(_) => {
                let inode = state.next_inode;
                state.next_inode += 1;
                state.inodes.insert(inode, Inode::default());
                state.change(parent(path), vec![(path.to_path_buf(), Some(inode))]);
                inode
            }
        };
        Ok(Box::new(SimulatedFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.find(from)?;
        state.operate()?;
        state.change(
            parent(to),
            vec![(to.to_path_buf(), Some(inode)), (from.to_path_buf(), None)],
        );
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.find(path)?;
        state.operate()?;
        state.change(parent(path), vec![(path.to_path_buf(), None)]);
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        let inside = state
            .names
            .keys()
            .filter(|path| path.parent() == Some(directory));
        Ok(inside
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_string()))
            .collect())
    }

    fn create_directory(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, _directory: &Path) -> io::Result<Option<u64>> {
        let state = self.lock();
        let free = |capacity: u64| capacity.saturating_sub(state.used());
        Ok(state.capacity.map(free))
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        match state.failing_directory_sync {
            Some(0) => {
                state.failing_directory_sync = None;
                return Err(io::Error::from_raw_os_error(EIO));
            }
            Some(others) => state.failing_directory_sync = Some(others - 1),
            None => {}
        }
        let State {
            unsynced_names,
            durable_names,
            ..
        } = &mut *state;
        unsynced_names.retain(|change| {
            let covered = change.directory == directory;
            if covered {
                change.apply(durable_names);
            }
            !covered
        });
        Ok(())
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(disk: &SimulatedDisk, path: &Path) -> Option<Vec<u8>> {
        let file = disk.open(path).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
        file.read_full_at(&mut bytes, 0).ok()?;
        Some(bytes)
    }

    #[test]
    fn synced_bytes_and_names_survive_and_others_may_not() -> io::Result<()> {
        let disk = SimulatedDisk::new();
        let path = Path::new("d/x");
        let file = disk.create(path)?;
        file.write_all_at(&[1; 700], 0)?;
        assert!(
            (0..64).any(|seed| content(&disk.crash(seed), path).is_none()),
            "an unsynced name"
        );
        file.sync()?;
        disk.sync_directory(Path::new("d"))?;
        file.write_all_at(&[2; 9000], 700)?;
        let mut seen = BTreeSet::new();
        for seed in 0..64 {
            let bytes = content(&disk.crash(seed), path).expect("a synced name");
            assert_eq!(&bytes[..700], &[1; 700]);
            seen.insert(bytes);
        }
        assert!(seen.len() > 10, "crashes differ");
        Ok(())
    }

    #[test]
    fn a_failed_fsync_drops_the_dirty_pages() -> io::Result<()> {
        let disk = SimulatedDisk::new();
        let path = Path::new("d/x");
        let file = disk.create(path)?;
        disk.sync_directory(Path::new("d"))?;
        file.write_all_at(&[1; 600], 0)?;
        disk.fail_syncs(1);
        assert!(file.sync().is_err());
        file.sync()?;
        assert_eq!(
            content(&disk, path),
            Some(vec![1; 600]),
            "readers still see them"
        );
        assert_eq!(content(&disk.crash(1), path), Some(vec![0; 600]));
        Ok(())
    }

    #[test]
    fn a_full_disk_writes_short_and_then_fails() -> io::Result<()> {
        let disk = SimulatedDisk::new();
        disk.set_capacity(Some(5));
        let file = disk.create(Path::new("d/x"))?;
        assert_eq!(file.write_at(b"abcdefgh", 0)?, 5);
        let error = file.write_at(b"fgh", 5).expect_err("no room");
        assert!(error.to_string().starts_with("No space left on device"));
        disk.set_capacity(None);
        assert_eq!(file.write_at(b"fgh", 5)?, 3);
        Ok(())
    }
}
