//! RDB files come in: at the start, as the base of a log, and for DEBUG RELOAD. The codec finds what is damaged; here it
//! is told in words that operators of Redis know.

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use log::{info, warn};
use smallvec::SmallVec;

use super::Inner;
use super::crew::{Crew, with_crew, workers};
use super::disk_file::FileReader;
use super::progress::Progress;
use crate::commands::dump::access_of;
use crate::error::Error;
use crate::keyspace::txn::{HashHint, Journal};
use crate::keyspace::{Entry, Keyspace, Limits, Txn};
use crate::rdb::{
    self, Decoded, Problem, RawEntries, RawEntry, RawKind, RdbError, RdbSummary, Usage,
};

/// A batch is handed over when it has so many keys …
const BATCH_KEYS: usize = 256;
/// … or so many bytes.
const BATCH_BYTES: usize = 64 << 10;
/// Keys whose places are looked for together.
const FETCHED_KEYS: usize = 16;
/// A key takes at least so many bytes of an RDB, and about as many as room for it takes.
const LEAST_ENTRY_BYTES: u64 = 8;

/// What becomes of the keys of an RDB.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'a> {
    /// Keys whose time has come are kept: what stands behind a log's base may give them another.
    pub(super) expired: bool,
    /// Keys that are there already are replaced; otherwise they are an error.
    pub(super) merge: bool,
    /// Where to note keys that are not kept, with their databases, while one thread loads alone.
    pub(super) left_out: Option<&'a RefCell<LeftOut>>,
}

/// Keys with their databases.
pub(super) type LeftOut = Vec<(usize, Box<[u8]>)>;

impl Inner {
    /// Loads the snapshot of the configured file and answers its length; none if there is no such file. Every shard is
    /// locked.
    pub(super) fn load_snapshot(
        &self,
        txn: &mut Txn<'_>,
        wanted: Wanted<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<u64>, Error> {
        let path = self.rdb_path();
        let Some(mut file) = FileReader::open(&*self.storage, &path)? else {
            return Ok(None);
        };
        self.expect_bytes(file.len()?);
        let started = std::time::Instant::now();
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
        wanted: Wanted<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<RdbSummary, Error> {
        let (limits, now_ms) = (txn.limits(), txn.now_ms());
        let mut expired = 0;
        let taken = Cell::new(0);
        let mut bytes = Counted {
            reader: bytes,
            taken: &taken,
        };
        let mut is_wanted = |expires_at_ms: Option<i64>| {
            let is_due = expires_at_ms.is_some_and(|at| at < now_ms);
            expired += u64::from(is_due && !wanted.expired);
            !is_due || wanted.expired
        };
        let read = if progress.lets_others_in() && workers(&self.keyspace) > 1 {
            txn.relock(0);
            let mut note = || {
                progress.note(taken.get());
            };
            let how = (path, wanted.merge);
            let read = self.read_together(how, &mut bytes, &limits, &mut is_wanted, &mut note);
            txn.lock_all();
            read
        } else {
            rdb::read(&mut bytes, &limits, |entry| {
                if is_wanted(entry.expires_at_ms) {
                    let place = Place {
                        db: entry.db,
                        key: &entry.key,
                        expires_at_ms: entry.expires_at_ms,
                        usage: entry.usage,
                    };
                    let value = Decoded::Value(entry.value);
                    insert(txn, path, &place, value, wanted.merge)?;
                } else if let Some(left_out) = wanted.left_out {
                    left_out.borrow_mut().push((entry.db, entry.key.into()));
                }
                txn.journal.clear();
                progress.advance(txn, taken.get());
                Ok(())
            })
        };
        let summary = read.map_err(|error| match error {
            Error::Rdb { source, .. } => damaged(path, source),
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
    /// Reads an RDB while several threads make values of its bytes. Nothing is locked.
    fn read_together(
        &self,
        (path, merge): (&Path, bool),
        bytes: &mut impl Read,
        limits: &Limits,
        is_wanted: &mut dyn FnMut(Option<i64>) -> bool,
        note: &mut dyn FnMut(),
    ) -> Result<RdbSummary, Error> {
        let empty_keys = AtomicU64::new(0);
        let mut summary = with_crew(
            self,
            |txn, batch: Batch| {
                let before = empty_keys.load(Ordering::Relaxed);
                let empty = batch.insert(txn, (path, limits), merge, before)?;
                empty_keys.fetch_add(empty, Ordering::Relaxed);
                Ok(())
            },
            |crew| {
                let mut dispatch = Dispatch {
                    inner: self,
                    crew,
                    is_wanted,
                    note,
                    by_worker: (0..crew.len()).map(|_| Batch::default()).collect(),
                    present: 0,
                };
                let summary = rdb::skim(bytes, &mut dispatch)?;
                dispatch.hand_over_all();
                Ok(summary)
            },
        )?;
        summary.empty_keys = empty_keys.into_inner();
        summary.keys -= summary.empty_keys;
        Ok(summary)
    }
}

/// A key whose value is bytes still.
#[derive(Debug)]
struct Queued {
    db: usize,
    hash: u64,
    /// Where it begins in the bytes of its batch, and where its value does.
    begin: usize,
    value: usize,
    kind: RawKind,
    expires_at_ms: Option<i64>,
    usage: Option<Usage>,
}

/// Keys with their values, on their way to a thread.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    keys: Vec<Queued>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.keys.len() >= BATCH_KEYS || self.bytes.len() >= BATCH_BYTES
    }

    /// Brings the places of the next keys towards the processor together.
    fn fetch(&self, txn: &mut Txn<'_>, from: usize) {
        let next = self.keys.iter().skip(from).take(FETCHED_KEYS);
        let hashes: SmallVec<[u64; FETCHED_KEYS]> = next.map(|queued| queued.hash).collect();
        let db = self.keys.get(from).map_or(0, |queued| queued.db);
        if db < txn.keyspace().databases() {
            txn.in_db(db, |txn| txn.fetch(&hashes));
        }
    }

    /// Inserts all; answers how many collections were empty and were passed over, as so many were before.
    fn insert(
        &self,
        txn: &mut Txn<'_>,
        (path, limits): (&Path, &Limits),
        merge: bool,
        empty_before: u64,
    ) -> Result<u64, Error> {
        let mut empty = 0;
        let ends = self.keys.iter().skip(1).map(|next| next.begin);
        for (at, (queued, end)) in self
            .keys
            .iter()
            .zip(ends.chain([self.bytes.len()]))
            .enumerate()
        {
            if at.is_multiple_of(FETCHED_KEYS) {
                self.fetch(txn, at);
            }
            let key = self.bytes.get(queued.begin..queued.value);
            let (Some(key), Some(bytes)) = (key, self.bytes.get(queued.value..end)) else {
                continue;
            };
            let value = queued.kind.decode(bytes, limits).map_err(|error| {
                let key = Some((queued.db, key.to_vec()));
                damaged(path, RdbError { key, ..error })
            })?;
            txn.hint(HashHint::new(key, queued.hash));
            let place = Place {
                db: queued.db,
                key,
                expires_at_ms: queued.expires_at_ms,
                usage: queued.usage,
            };
            match value {
                Decoded::Empty => {
                    rdb::tell_empty(key, empty_before + empty);
                    empty += 1;
                }
                value => insert(txn, path, &place, value, merge)?,
            }
            txn.journal.clear();
        }
        txn.hint(HashHint::NONE);
        Ok(empty)
    }
}

/// What is read, and is to be handed over.
struct Dispatch<'a> {
    inner: &'a Inner,
    crew: &'a Crew<'a, Batch>,
    is_wanted: &'a mut dyn FnMut(Option<i64>) -> bool,
    note: &'a mut dyn FnMut(),
    by_worker: Vec<Batch>,
    /// Whose the present key is.
    present: usize,
}

impl RawEntries for Dispatch<'_> {
    type Error = Error;

    fn expect(&mut self, db: usize, keys: u64) {
        // What a damaged file says costs no more than the file itself.
        let bytes = self
            .inner
            .services
            .stats
            .load
            .total_bytes
            .load(Ordering::Relaxed);
        let keys = usize::try_from(keys.min(bytes / LEAST_ENTRY_BYTES)).unwrap_or(usize::MAX);
        if db < self.inner.keyspace.databases() {
            let all = self.inner.keyspace.all_shards();
            let mut txn = self.inner.begin(all, db, Journal::default());
            txn.expect_keys(keys);
            self.inner.close(txn);
        }
    }

    fn begin(&mut self, entry: RawEntry<'_>) -> Result<Option<Vec<u8>>, Error> {
        (self.note)();
        if self.crew.has_failed() {
            // The error of the thread is told instead.
            return Err(Error::Io(std::io::ErrorKind::Interrupted.into()));
        }
        if !(self.is_wanted)(entry.expires_at_ms) {
            return Ok(None);
        }
        let hash = Keyspace::hash(entry.key);
        self.present = self.crew.worker_of(self.inner.keyspace.shard_of(hash));
        if self.by_worker.get(self.present).is_some_and(Batch::is_full) {
            self.hand_over(self.present);
        }
        Ok(self.by_worker.get_mut(self.present).map(|batch| {
            let mut bytes = std::mem::take(&mut batch.bytes);
            let begin = bytes.len();
            bytes.extend_from_slice(entry.key);
            batch.keys.push(Queued {
                db: entry.db,
                hash,
                begin,
                value: bytes.len(),
                kind: entry.kind,
                expires_at_ms: entry.expires_at_ms,
                usage: entry.usage,
            });
            bytes
        }))
    }

    fn end(&mut self, bytes: Vec<u8>) {
        if let Some(batch) = self.by_worker.get_mut(self.present) {
            batch.bytes = bytes;
        }
    }
}

impl Dispatch<'_> {
    fn hand_over(&mut self, worker: usize) {
        let Some(batch) = self.by_worker.get_mut(worker) else {
            return;
        };
        let next = Batch {
            bytes: Vec::with_capacity(batch.bytes.capacity().min(2 * BATCH_BYTES)),
            keys: Vec::with_capacity(BATCH_KEYS),
        };
        self.crew.send(worker, std::mem::replace(batch, next));
    }

    fn hand_over_all(&mut self) {
        (0..self.by_worker.len()).for_each(|worker| self.hand_over(worker));
    }
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

/// Where a value belongs, and how long.
struct Place<'a> {
    db: usize,
    key: &'a [u8],
    expires_at_ms: Option<i64>,
    usage: Option<Usage>,
}

fn insert(
    txn: &mut Txn<'_>,
    path: &Path,
    place: &Place<'_>,
    value: Decoded<'_>,
    merge: bool,
) -> Result<(), Error> {
    if place.db >= txn.keyspace().databases() {
        return Err(Error::Unsupported {
            path: path.to_owned(),
            what: "keys of a database that is not configured (raise `databases`)",
        });
    }
    let key = place.key;
    txn.in_db(place.db, |txn| {
        let at = place.expires_at_ms;
        let access = place.usage.and_then(|usage| {
            let (clock, now_ms) = (txn.limits().access, txn.now_ms());
            access_of(clock, usage, now_ms)
        });
        let entry = match value {
            Decoded::Text(text) => Entry::new_string(key, text, at),
            Decoded::Value(value) => Entry::new(key, value, at),
            Decoded::Empty => return Ok(()),
        };
        if merge {
            txn.remove(key);
        }
        if txn.insert_loaded(key, entry, access) {
            Ok(())
        } else {
            Err(damaged(path, RdbError::twice(place.db, key)))
        }
    })
}

fn damaged(path: &Path, source: RdbError) -> Error {
    Error::Rdb {
        path: path.to_owned(),
        source,
    }
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
