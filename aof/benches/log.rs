//! Appending and group commit over a storage that keeps nothing: the cost of the log without a disk.

use std::io;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use innkeep_aof::{File, FsyncPolicy, Log, Options, Recovery, SimulatedDisk, Storage};

/// Keeps what starting a log needs, and no batch.
#[derive(Debug, Default)]
struct NullStorage(SimulatedDisk);

#[derive(Debug)]
struct NullFile(Box<dyn File>);

impl Storage for NullStorage {
    fn free_bytes(&self, _directory: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(NullFile(self.0.open(path)?)))
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.0.create(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.0.list(directory)
    }
    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        self.0.create_directory(directory)
    }
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.0.sync_directory(directory)
    }
}

impl File for NullFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], _offset: u64) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

fn start(policy: FsyncPolicy) -> Log {
    let options = Options {
        policy,
        ..Options::new("data")
    };
    let recovery = Recovery::open(Arc::new(NullStorage::default()), options).expect("an empty log");
    recovery.start().expect("a disk without faults")
}

fn log(criterion: &mut Criterion) {
    let payload = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$32\r\n01234567890123456789012345678901\r\n";
    let everysec = start(FsyncPolicy::EverySec);
    criterion.bench_function("append", |bencher| {
        bencher.iter(|| {
            if !everysec.has_room() {
                everysec.wait_for_room().expect("a disk without faults");
            }
            everysec.append(payload)
        });
    });
    let always = start(FsyncPolicy::Always);
    criterion.bench_function("append and wait for the group commit", |bencher| {
        bencher.iter(|| always.wait_synced(always.append(payload)));
    });
}

criterion_group!(benches, log);
criterion_main!(benches);
