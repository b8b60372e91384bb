//! A whole file in one go: written under a temporary name and put in place when it is complete and on disk, or read from
//! its beginning. Knows no content.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use innkeep_aof::{File, Storage};

/// What is gathered before it is written.
const BUFFER_BYTES: usize = 256 << 10;
/// The file is synced as it grows, so that its end is no long pause.
const SYNC_BYTES: u64 = 32 << 20;

/// A file that takes the place of another when it is complete. Dropped before, it is removed.
#[derive(Debug)]
pub struct Replacement {
    storage: Arc<dyn Storage>,
    temporary: PathBuf,
    file: Option<Box<dyn File>>,
    buffer: Vec<u8>,
    written: u64,
    synced: u64,
    /// Whether the directory knows it.
    is_named: bool,
}

impl Replacement {
    /// Begins a file with this temporary name.
    pub(super) fn create(storage: Arc<dyn Storage>, temporary: PathBuf) -> io::Result<Self> {
        let file = storage.create(&temporary)?;
        Ok(Self {
            storage,
            temporary,
            file: Some(file),
            buffer: Vec::new(),
            written: 0,
            synced: 0,
            is_named: true,
        })
    }

    /// Takes it out of the directory: it is there for whoever has it open, and nothing stays behind however that ends.
    pub(super) fn hide(mut self) -> io::Result<Self> {
        self.storage.remove(&self.temporary)?;
        self.is_named = false;
        Ok(self)
    }

    /// Brings what was written to the file, where it can be read. It stays temporary.
    pub(super) fn complete(mut self) -> io::Result<Self> {
        self.flush()?;
        Ok(self)
    }

    /// Its length as far as it is complete, in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.written
    }

    /// Whether nothing is complete.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.written == 0
    }

    /// Reads what is complete; answers how many bytes.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.file {
            Some(file) => file.read_at(buffer, offset),
            None => Ok(0),
        }
    }

    /// Brings the file to disk under its own name. A crash at any point leaves the old one or the new one, complete.
    pub(super) fn put_in_place(mut self, path: &Path) -> io::Result<()> {
        self.flush()?;
        if let Some(file) = &self.file {
            file.sync()?;
        }
        self.storage.rename(&self.temporary, path)?;
        self.file = None;
        self.storage
            .sync_directory(path.parent().unwrap_or(Path::new("")))
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.write_all_at(&self.buffer, self.written)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
            if self.written - self.synced >= SYNC_BYTES {
                file.sync()?;
                self.synced = self.written;
            }
        }
        Ok(())
    }
}

impl Replacement {
    /// What is written goes to `storage`.
    pub(super) fn beside(storage: Arc<dyn Storage>, path: &Path) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = format!("temp-{}-{name}", std::process::id());
        Self::create(storage, path.with_file_name(temporary))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if self.file.take().is_some() && self.is_named {
            // What stays behind has a temporary name and does no harm.
            drop(self.storage.remove(&self.temporary));
        }
    }
}

/// Reads a file from its beginning.
#[derive(Debug)]
pub(super) struct FileReader {
    file: Box<dyn File>,
    offset: u64,
}

impl FileReader {
    /// Opens a file; none where there is no such file.
    pub(super) fn open(storage: &dyn Storage, path: &Path) -> io::Result<Option<Self>> {
        match storage.open(path) {
            Ok(file) => Ok(Some(Self { file, offset: 0 })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl FileReader {
    /// Its length in bytes.
    pub(super) fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use innkeep_aof::SimulatedDisk;

    use super::*;

    fn read(storage: &dyn Storage, path: &Path) -> Option<Vec<u8>> {
        let mut reader = FileReader::open(storage, path).expect("it opens")?;
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).expect("it can be read");
        Some(bytes)
    }

    fn replace(storage: &Arc<dyn Storage>, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = Replacement::create(Arc::clone(storage), "data/temp".into())?;
        for piece in bytes.chunks(100_000) {
            file.write_all(piece)?;
        }
        file.put_in_place(path)
    }

    #[test]
    fn at_every_power_loss_there_is_the_old_file_or_the_new_one() {
        let path = Path::new("data/file");
        let (old, new) = (vec![1; 300_000], vec![2; 700_000]);
        let mut cuts = 0;
        for operations in 0.. {
            let disk = SimulatedDisk::new();
            let storage: Arc<dyn Storage> = Arc::new(disk.clone());
            storage.create_directory(Path::new("data")).expect("room");
            storage.sync_directory(Path::new("")).expect("a sound disk");
            replace(&storage, path, &old).expect("a sound disk");
            disk.power_off_after(operations);
            let done = replace(&storage, path, &new).is_ok();
            let found = read(&disk.crash(operations), path).expect("one of them is there");
            assert!(
                found == old || found == new,
                "after {operations} operations"
            );
            if done {
                assert!(found == new);
                break;
            }
            cuts += 1;
        }
        assert!(cuts > 5);
    }

    #[test]
    fn what_is_given_up_leaves_nothing_behind() {
        let storage: Arc<dyn Storage> = Arc::new(SimulatedDisk::new());
        storage.create_directory(Path::new("data")).expect("room");
        let mut file = Replacement::create(Arc::clone(&storage), "data/temp".into()).expect("room");
        file.write_all(&vec![1; 1 << 20]).expect("room");
        drop(file);
        assert_eq!(
            storage.list(Path::new("data")).expect("it is there"),
            Vec::<String>::new()
        );
        assert_eq!(read(&*storage, Path::new("data/file")), None);
    }
}
