//! RDB files come in: at the start, as the base of a log, and for DEBUG RELOAD. The codec finds what is damaged; here it
//! is told in words that operators of Redis know.

use std::cell::Cell;
use std::io::Read;
use std::path::Path;

use log::{info, warn};

use super::Inner;
use super::crew::{Crew, with_crew, workers};
use super::disk_file::FileReader;
use super::progress::Progress;
use crate::commands::dump::access_of;
use crate::error::Error;
use crate::keyspace::{Keyspace, Limits, Txn};
use crate::rdb::{self, Problem, RdbEntry, RdbError, RdbSummary};
use std::sync::atomic::Ordering;

/// Keys that go to a thread at once.
const BATCH_KEYS: usize = 256;

/// What becomes of the keys of an RDB.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    /// Keys whose time has come are kept: what stands behind a log's base may give them another.
    pub(super) expired: bool,
    /// Keys that are there already are replaced; otherwise they are an error.
    pub(super) merge: bool,
}

impl Inner {
    /// Loads the snapshot of the configured file and answers its length; none if there is no such file. Every shard is
    /// locked.
    pub(super) fn load_snapshot(
        &self,
        txn: &mut Txn<'_>,
        merge: bool,
        progress: &mut Progress<'_>,
    ) -> Result<Option<u64>, Error> {
        let path = self.rdb_path();
        let Some(mut file) = FileReader::open(&*self.storage, &path)? else {
            return Ok(None);
        };
        self.expect_bytes(file.len()?);
        let started = std::time::Instant::now();
        let wanted = Wanted {
            expired: false,
            merge,
        };
        let summary = self.load_rdb(txn, &path, &mut file, wanted, progress)?;
        let expired = self.services.stats.loaded_expired.load(Ordering::Relaxed);
        let keys = summary.keys - expired;
        if summary.empty_keys > 0 {
            let empty = summary.empty_keys;
            info!(
                "Done loading RDB, keys loaded: {keys}, keys expired: {expired}, empty keys skipped: {empty}."
            );
        } else {
            info!("Done loading RDB, keys loaded: {keys}, keys expired: {expired}.");
        }
        info!(
            "DB loaded from disk: {:.3} seconds",
            started.elapsed().as_secs_f64()
        );
        Ok(Some(summary.bytes))
    }

    /// Loads one RDB. Nothing of it is logged, and nobody is told of it.
    pub(super) fn load_rdb(
        &self,
        txn: &mut Txn<'_>,
        path: &Path,
        bytes: &mut impl Read,
        wanted: Wanted,
        progress: &mut Progress<'_>,
    ) -> Result<RdbSummary, Error> {
        let (limits, now_ms) = (txn.limits(), txn.now_ms());
        let mut expired = 0;
        let taken = Cell::new(0);
        let mut bytes = Counted {
            reader: bytes,
            taken: &taken,
        };
        let mut is_wanted = |entry: &RdbEntry| {
            let is_due = entry.expires_at_ms.is_some_and(|at| at < now_ms);
            expired += u64::from(is_due && !wanted.expired);
            !is_due || wanted.expired
        };
        let read = if progress.lets_others_in() && workers(&self.keyspace) > 1 {
            txn.relock(0);
            let note = || {
                progress.note(taken.get());
            };
            let read =
                self.read_together((path, wanted.merge), &mut bytes, &limits, is_wanted, note);
            txn.lock_all();
            read
        } else {
            rdb::read(&mut bytes, &limits, |entry| {
                if is_wanted(&entry) {
                    insert(txn, path, entry, wanted.merge)?;
                }
                txn.journal.clear();
                progress.advance(txn, taken.get());
                Ok(())
            })
        };
        let summary = read.map_err(|error| match error {
            Error::Rdb { source, .. } => Error::Rdb {
                path: path.to_owned(),
                source,
            },
            error => error,
        })?;
        let stats = &self.services.stats;
        stats.loaded_expired.store(expired, Ordering::Relaxed);
        stats
            .loaded_keys
            .store(summary.keys - expired, Ordering::Relaxed);
        for code in &summary.functions {
            let loaded = self.services.lua.load_saved(code, wanted.merge);
            loaded.map_err(|reason| Error::Functions {
                path: path.to_owned(),
                reason,
            })?;
        }
        Ok(summary)
    }
}

impl Inner {
    /// Reads an RDB while several threads insert what it holds. Nothing is locked.
    fn read_together(
        &self,
        (path, merge): (&Path, bool),
        bytes: &mut impl Read,
        limits: &Limits,
        mut is_wanted: impl FnMut(&RdbEntry) -> bool,
        mut note: impl FnMut(),
    ) -> Result<RdbSummary, Error> {
        with_crew(
            self,
            |txn, entries: Vec<RdbEntry>| insert_all(txn, path, entries, merge),
            |crew| {
                let mut batches = Batches::new(self, crew);
                let summary = rdb::read(bytes, limits, |entry| {
                    note();
                    if is_wanted(&entry) {
                        batches.take(entry)?;
                    }
                    Ok::<(), Error>(())
                })?;
                batches.hand_over_all();
                Ok(summary)
            },
        )
    }
}

/// Keys on their way to the threads that insert them.
struct Batches<'a> {
    inner: &'a Inner,
    crew: &'a Crew<'a, Vec<RdbEntry>>,
    by_worker: Vec<Vec<RdbEntry>>,
}

impl<'a> Batches<'a> {
    fn new(inner: &'a Inner, crew: &'a Crew<'a, Vec<RdbEntry>>) -> Self {
        Self {
            inner,
            crew,
            by_worker: (0..crew.len()).map(|_| Vec::new()).collect(),
        }
    }

    fn take(&mut self, entry: RdbEntry) -> Result<(), Error> {
        if self.crew.has_failed() {
            // The error of the thread is told instead.
            return Err(Error::Io(std::io::ErrorKind::Interrupted.into()));
        }
        let shard = self.inner.keyspace.shard_of(Keyspace::hash(&entry.key));
        let worker = self.crew.worker_of(shard);
        if let Some(batch) = self.by_worker.get_mut(worker) {
            batch.push(entry);
            if batch.len() >= BATCH_KEYS {
                let next = Vec::with_capacity(BATCH_KEYS);
                self.crew.send(worker, std::mem::replace(batch, next));
            }
        }
        Ok(())
    }

    fn hand_over_all(&mut self) {
        for (worker, batch) in self.by_worker.iter_mut().enumerate() {
            self.crew.send(worker, std::mem::take(batch));
        }
    }
}

fn insert_all(
    txn: &mut Txn<'_>,
    path: &Path,
    entries: Vec<RdbEntry>,
    merge: bool,
) -> Result<(), Error> {
    for entry in entries {
        insert(txn, path, entry, merge)?;
        txn.journal.clear();
    }
    Ok(())
}

/// Counts what is read.
struct Counted<'a, R> {
    reader: &'a mut R,
    taken: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.taken.set(self.taken.get() + read as u64);
        Ok(read)
    }
}

fn insert(txn: &mut Txn<'_>, path: &Path, entry: RdbEntry, merge: bool) -> Result<(), Error> {
    if entry.db >= txn.keyspace().databases() {
        return Err(Error::Unsupported {
            path: path.to_owned(),
            what: "keys of a database that is not configured (raise `databases`)",
        });
    }
    txn.in_db(entry.db, |txn| {
        if !merge && txn.peek(&entry.key).is_some() {
            return Err(Error::Rdb {
                path: path.to_owned(),
                source: RdbError::twice(entry.db, &entry.key),
            });
        }
        let (clock, now_ms) = (txn.limits().access, txn.now_ms());
        txn.insert(&entry.key, entry.value, entry.expires_at_ms);
        let access = entry
            .usage
            .and_then(|usage| access_of(clock, usage, now_ms));
        if let Some(access) = access {
            txn.set_access(&entry.key, access);
        }
        Ok(())
    })
}

/// Says why a snapshot cannot be loaded, in the lines of Redis.
pub(super) fn tell_refusal(error: &Error) {
    let Error::Rdb { source, .. } = error else {
        return;
    };
    match &source.problem {
        Problem::Magic(_) => warn!("Wrong signature trying to load DB from file"),
        Problem::Version(digits) => {
            warn!("Can't handle RDB format version {}", digits.escape_ascii());
        }
        Problem::Checksum { stored, computed } => {
            warn!(
                "Wrong RDB checksum expected: ({computed:x}) but got ({stored:x}). Aborting now."
            );
            warn!("RDB CRC error");
        }
        Problem::Truncated => {
            warn!("Short read or OOM loading DB. Unrecoverable error, aborting now.");
        }
        problem => {
            warn!("Error reading the RDB: {problem}");
            warn!(
                "Internal error in RDB reading offset {}: {problem}",
                source.offset
            );
        }
    }
}
