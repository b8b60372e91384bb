//! The few file operations that a log needs, as a trait, and real files behind it. Knows no log and no layout.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A place with files. Everything a log does to a disk goes through here, so a simulated disk can stand in.
///
/// A name that was created, renamed or removed is durable only after [`Storage::sync_directory`].
pub trait Storage: Debug + Send + Sync {
    /// Opens a file that exists, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Creates a file, empty; one of that name is emptied.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Renames a file, replacing any at `to`, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names (not paths) of the files in a directory; none if there is no such directory.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Creates a directory and its parents; fine if it is there.
    fn create_directory(&self, directory: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;

    /// Bytes that may still be written on the disk of a directory; `None` where that is not known.
    fn free_bytes(&self, directory: &Path) -> io::Result<Option<u64>>;

    /// Takes a name, whose directory is there, for whoever asks alone, in this program and among all; `None` where somebody
    /// else has it. While it is taken there is a file of that name. A disk that knows no locks gives it to everybody.
    fn claim(&self, _path: &Path) -> io::Result<Option<Claim>> {
        Ok(Some(Claim::default()))
    }

    /// Whether there is a file of that name.
    fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.open(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A name that nobody else can [`Storage::claim`]. Given back when this is dropped, or the program ends in whatever way.
#[derive(Debug, Default)]
pub struct Claim {
    locked: Option<(fs::File, PathBuf)>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Who has opened the file before it goes sees that it has gone, and takes another.
        if let Some((file, path)) = &self.locked
            && is_at(file, path)
        {
            drop(fs::remove_file(path));
        }
    }
}

/// Whether an open file has this name.
#[cfg(unix)]
fn is_at(file: &fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let place = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => place(open) == place(named),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_file: &fs::File, _path: &Path) -> bool {
    false
}

/// An open file, read and written at offsets, by several threads at once.
#[expect(
    clippy::len_without_is_empty,
    reason = "a length on disk can fail; an is_empty would only hide that"
)]
pub trait File: Debug + Send + Sync {
    /// Reads at most `buffer.len()` bytes; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some of `bytes`, and says how many: a short write is visible to the caller.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes content and length durable. After an error the unsynced writes must be taken as lost.
    fn sync(&self) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or extends (with zeros) to a length.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

impl dyn File + '_ {
    /// Writes all of `bytes`. On an error some prefix may have been written; the caller cuts it off.
    pub fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fills `buffer` unless the file ends first; returns the bytes read.
    pub fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// The real disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealStorage;

#[derive(Debug)]
struct RealFile(fs::File);

impl Storage for RealStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        match fs::OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Ok(Box::new(RealFile(file))),
            // A directory that is only readable can still be checked.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(Box::new(RealFile(fs::File::open(path)?)))
            }
            Err(error) => Err(error),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let directory: PathBuf = if directory.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            directory.to_path_buf()
        };
        if cfg!(windows) {
            // Windows has no such call; its renames are journalled.
            return Ok(());
        }
        fs::File::open(directory)?.sync_all()
    }

    #[cfg(unix)]
    fn free_bytes(&self, directory: &Path) -> io::Result<Option<u64>> {
        let disk = rustix::fs::statvfs(directory)?;
        Ok(Some(disk.f_bavail.saturating_mul(disk.f_frsize)))
    }

    #[cfg(not(unix))]
    fn free_bytes(&self, _directory: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }

    #[cfg(unix)]
    fn claim(&self, path: &Path) -> io::Result<Option<Claim>> {
        use rustix::fs::{FlockOperation, flock};
        use rustix::io::Errno;

        loop {
            let mut options = fs::OpenOptions::new();
            let file = options
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_at(&file, path) => {
                    let locked = Some((file, path.to_path_buf()));
                    return Ok(Some(Claim { locked }));
                }
                // Whoever had it gave it back meanwhile, and the file with it.
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                // Some file systems have no locks.
                Err(_) => return Ok(Some(Claim::default())),
            }
        }
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }
}

impl File for RealFile {
    #[cfg(unix)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buffer, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&self.0, bytes, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.0, buffer, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.0, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_name_is_claimed_once_at_a_time() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let (path, other) = (directory.path().join("a"), directory.path().join("b"));
        let claim = RealStorage.claim(&path)?;
        assert!(claim.is_some() && path.exists());
        assert!(RealStorage.claim(&path)?.is_none());
        assert!(RealStorage.claim(&other)?.is_some());
        drop(claim);
        assert!(!path.exists() && RealStorage.claim(&path)?.is_some());
        Ok(())
    }

    #[test]
    fn real_files_are_read_and_written_at_offsets() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let storage = RealStorage;
        let nested = directory.path().join("a/b");
        assert!(storage.list(&nested)?.is_empty());
        storage.create_directory(&nested)?;
        let path = nested.join("x");
        let file = storage.create(&path)?;
        file.write_all_at(b"hello world", 0)?;
        file.set_len(5)?;
        file.sync()?;
        let mut buffer = [0; 16];
        assert_eq!(file.read_full_at(&mut buffer, 1)?, 4);
        assert_eq!(&buffer[..4], b"ello");
        storage.rename(&path, &nested.join("y"))?;
        storage.sync_directory(&nested)?;
        assert!(!storage.exists(&path)?);
        assert_eq!(storage.list(&nested)?, ["y"]);
        storage.remove(&nested.join("y"))?;
        assert_eq!(
            storage.open(&path).map(|_| ()).map_err(|e| e.kind()),
            Err(io::ErrorKind::NotFound)
        );
        Ok(())
    }
}
