//! The data as an RDB, without fork: segment by segment while others go on changing it, or at once under all locks.
//! Knows no files: what it writes goes to any `Write`.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::Inner;
use crate::commands::connection::REDIS_VERSION;
use crate::commands::dump::usage_of;
use crate::keyspace::access::AccessClock;
use crate::keyspace::{Entry, Part, SnapshotSink, Txn};
use crate::rdb::{Encoder, KeyHeader, RdbHeader, RdbWriter};

/// Encoded entries are written in pieces of about this size.
const PIECE_BYTES: usize = 1 << 20;

/// Entries as an RDB holds them, and what decides on their form.
#[derive(Debug, Clone)]
struct Form {
    compress: bool,
    policy: &'static str,
    clock: AccessClock,
    now_ms: i64,
}

impl Form {
    fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>, entry: &Entry) {
        let header = self.header(entry.key(), entry.expires_at_ms(), entry.access());
        encoder.entry(out, &header, entry.value());
    }

    fn header<'a>(&self, key: &'a [u8], expires_at_ms: Option<i64>, access: u32) -> KeyHeader<'a> {
        KeyHeader {
            key,
            expires_at_ms,
            usage: usage_of(self.policy, self.clock, access, self.now_ms),
        }
    }
}

/// A segment of one database, or a part of a large value, encoded.
#[derive(Debug)]
struct Segment {
    db: usize,
    /// How many keys begin in it.
    keys: u64,
    entries: Vec<u8>,
}

/// Encoded segments on their way to an RDB.
#[derive(Debug)]
pub(super) struct Segments {
    form: Form,
    /// What compression needs; who finds it taken has its own.
    encoder: Mutex<Encoder>,
    waiting: Mutex<VecDeque<Segment>>,
}

impl Segments {
    fn new(form: Form) -> Self {
        Self {
            encoder: Mutex::new(Encoder::new(form.compress)),
            form,
            waiting: Mutex::default(),
        }
    }

    fn with_encoder<R>(&self, work: impl FnOnce(&mut Encoder) -> R) -> R {
        match self.encoder.try_lock() {
            Some(mut encoder) => work(&mut encoder),
            None => work(&mut Encoder::new(self.form.compress)),
        }
    }
}

impl SnapshotSink for Segments {
    fn save(&self, db: usize, entries: &mut dyn Iterator<Item = &Entry>) {
        let (mut keys, mut encoded) = (0, Vec::new());
        self.with_encoder(|encoder| {
            for entry in entries {
                self.form.encode(encoder, &mut encoded, entry);
                keys += 1;
            }
        });
        if keys > 0 {
            self.waiting.lock().push_back(Segment {
                db,
                keys,
                entries: encoded,
            });
        }
    }

    /// From the last to the first, which a skip list takes up fastest.
    fn wants_descending(&self) -> bool {
        true
    }

    fn save_part(&self, part: Part<'_>) -> bool {
        let (db, pieces, mut encoded) = (part.db, part.pieces, Vec::new());
        let header = self.form.header(part.key, part.expires_at_ms, part.access);
        let goes_on = self.with_encoder(|encoder| {
            encoder.part(
                &mut encoded,
                &header,
                part.value,
                part.is_first,
                part.elements,
            )
        });
        pieces.push(encoded);
        if goes_on {
            return false;
        }
        // Nothing else comes between them, and the key counts once.
        let pieces = pieces.drain(..).enumerate();
        self.waiting
            .lock()
            .extend(pieces.map(|(at, entries)| Segment {
                db,
                keys: u64::from(at == 0),
                entries,
            }));
        true
    }
}

/// A snapshot that has begun and is to be written.
#[derive(Debug)]
pub(super) struct Snapshot {
    segments: Arc<Segments>,
    header: RdbHeader,
}

impl Snapshot {
    pub(super) fn as_sink(&self) -> Arc<dyn SnapshotSink> {
        Arc::<Segments>::clone(&self.segments)
    }

    /// What its file begins with.
    pub(super) const fn header(&self) -> &RdbHeader {
        &self.header
    }
}

impl Inner {
    fn form(&self, txn: &Txn<'_>) -> Form {
        let config = self.services.config.read();
        Form {
            compress: config.bool("rdbcompression"),
            policy: config.word("maxmemory-policy"),
            clock: txn.limits().access,
            now_ms: txn.now_ms(),
        }
    }

    fn rdb_header(&self, txn: &Txn<'_>, is_log_base: bool) -> RdbHeader {
        let sizes = (0..self.keyspace.databases())
            .map(|db| (txn.db_len(db) as u64, txn.expiring_len(db) as u64))
            .collect();
        RdbHeader {
            redis_version: REDIS_VERSION,
            created_s: txn.now_ms() / 1000,
            used_memory: self.services.stats.memory().0 as u64,
            is_log_base,
            stream_db: self.stream_db_for_replicas(is_log_base),
            sizes,
            has_field_times: (0..self.keyspace.databases()).any(|db| txn.timed_hashes(db) > 0),
            functions: self.library_codes(),
            checksum: self.services.config.read().bool("rdbchecksum"),
        }
    }

    /// The code of each library of functions.
    pub(super) fn library_codes(&self) -> Vec<Box<[u8]>> {
        let libraries = self.services.lua.libraries();
        libraries
            .iter()
            .map(|library| library.code.clone())
            .collect()
    }

    /// Begins a snapshot of this very moment. Every shard is locked; no other snapshot runs.
    pub(super) fn begin_snapshot(&self, txn: &mut Txn<'_>, is_log_base: bool) -> Snapshot {
        let segments = Arc::new(Segments::new(self.form(txn)));
        let header = self.rdb_header(txn, is_log_base);
        let as_sink: Arc<dyn SnapshotSink> = Arc::<Segments>::clone(&segments);
        txn.begin_snapshot(&as_sink);
        let stats = &self.services.stats;
        let keys = header.sizes.iter().map(|(keys, _)| keys).sum();
        stats.saved_keys.store(0, Ordering::Relaxed);
        stats.keys_to_save.store(keys, Ordering::Relaxed);
        Snapshot { segments, header }
    }

    /// Writes a snapshot that has begun; `pace` is called with a number of keys before they are written, and an error of it
    /// ends the snapshot. Gives back what was written to. In any case the snapshot is over then.
    pub(super) fn write_snapshot<W: Write>(
        &self,
        snapshot: &Snapshot,
        out: W,
        pace: impl FnMut(u64) -> io::Result<()>,
    ) -> io::Result<W> {
        let result = self.write_segments(snapshot, out, pace);
        let stats = &self.services.stats;
        stats.saved_keys.store(0, Ordering::Relaxed);
        stats.keys_to_save.store(0, Ordering::Relaxed);
        result
    }

    fn write_segments<W: Write>(
        &self,
        snapshot: &Snapshot,
        out: W,
        mut pace: impl FnMut(u64) -> io::Result<()>,
    ) -> io::Result<W> {
        let mut begun = RdbWriter::begin(out, &snapshot.header);
        let mut drain = || {
            let writer = match &mut begun {
                Ok(writer) => writer,
                Err(error) => return Err(std::mem::replace(error, io::ErrorKind::Other.into())),
            };
            loop {
                let Some(segment) = snapshot.segments.waiting.lock().pop_front() else {
                    return Ok(());
                };
                pace(segment.keys)?;
                writer.entries(segment.db, &segment.entries)?;
                let saved = &self.services.stats.saved_keys;
                saved.fetch_add(segment.keys, Ordering::Relaxed);
            }
        };
        self.keyspace
            .walk_snapshot(&snapshot.as_sink(), &mut drain)?;
        drain()?;
        Ok(begun?.finish()?.0)
    }

    /// Writes everything that the transaction sees, at once; every shard is locked. `pace` is called with a number of keys
    /// before they are written. Gives back what was written to.
    pub(super) fn write_rdb<W: Write>(
        &self,
        txn: &mut Txn<'_>,
        is_log_base: bool,
        out: W,
        mut pace: impl FnMut(u64),
    ) -> io::Result<W> {
        let mut writer = RdbWriter::begin(out, &self.rdb_header(txn, is_log_base))?;
        let form = self.form(txn);
        let (mut encoder, mut entries) = (Encoder::new(form.compress), Vec::new());
        let before = txn.db();
        for db in 0..self.keyspace.databases() {
            txn.select(db);
            let mut keys = 0;
            for entry in txn.stored_entries() {
                form.encode(&mut encoder, &mut entries, entry);
                keys += 1;
                if entries.len() > PIECE_BYTES {
                    pace(std::mem::take(&mut keys));
                    writer.entries(db, &entries)?;
                    entries.clear();
                }
            }
            pace(keys);
            writer.entries(db, &entries)?;
            entries.clear();
        }
        txn.select(before);
        Ok(writer.finish()?.0)
    }
}

#[cfg(test)]
mod tests;
