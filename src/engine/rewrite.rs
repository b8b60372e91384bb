//! Rewriting the log without fork: the log goes on in a new file, and a thread writes what was in memory at that moment
//! into a new base. A writer that changes a segment which is not written yet hands it over first.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use innkeep_aof::{AofError, RewriteSink};
use log::{info, warn};
use parking_lot::Mutex;

use super::Inner;
use super::snapshot::Snapshot;
use super::stream_commands::encode_stream;
use crate::error::Error;
use crate::keyspace::txn::{Journal, encode_command};
use crate::keyspace::{Entry, SnapshotSink, Txn, ValueRef};
use crate::value::hash::Hash;
use crate::value::listpack::Element;
use crate::value::number::DoubleBuffer;

/// Elements that one command of the base holds at most, as in Redis.
const ELEMENTS_PER_COMMAND: usize = 64;

/// Encoded segments on their way to the base.
#[derive(Debug, Default)]
struct Chunks(Mutex<VecDeque<Vec<u8>>>);

impl SnapshotSink for Chunks {
    fn save(&self, db: usize, entries: &mut dyn Iterator<Item = &Entry>) {
        let mut chunk = Vec::new();
        for entry in entries {
            if chunk.is_empty() {
                encode_command(
                    &mut chunk,
                    &[b"SELECT", itoa::Buffer::new().format(db).as_bytes()],
                );
            }
            encode_entry(&mut chunk, entry);
        }
        if !chunk.is_empty() {
            self.0.lock().push_back(chunk);
        }
    }
}

impl Inner {
    /// BGREWRITEAOF. Every shard is locked; the work goes on on a thread of its own.
    pub(super) fn begin_rewrite(self: &Arc<Self>, txn: &mut Txn<'_>) -> Result<(), Error> {
        txn.lock_all();
        let Some(sink) = self.propagation.switch()? else {
            return Err(Error::NoLog);
        };
        let base = self.begin_base(txn);
        let log_stats = &self.services.stats.log;
        log_stats.rewrites_begun.fetch_add(1, Ordering::Relaxed);
        log_stats
            .rewriting_since
            .store((self.keyspace.now_ms() / 1000).max(1), Ordering::Release);
        // Only now: it is scheduled or runs, as long as it is not done.
        log_stats.rewrite_scheduled.store(false, Ordering::Release);
        let inner = Arc::clone(self);
        let spawned = self.threads.start("innkeep-rewrite", move || {
            let result = inner.write_base(sink, &base);
            inner.end_rewrite(result);
        });
        if let Err(error) = spawned {
            txn.end_snapshot();
            self.end_rewrite(Err(AofError::Io {
                action: "start a thread for",
                path: "the rewrite".into(),
                source: error,
            }));
        }
        Ok(())
    }

    fn begin_base(&self, txn: &mut Txn<'_>) -> Base {
        if self.services.config.read().bool("aof-use-rdb-preamble") {
            self.forget_abandoned_save();
            return Base::Rdb(self.begin_snapshot(txn, true));
        }
        let chunks = Arc::new(Chunks::default());
        chunks.0.lock().push_back(self.encode_libraries());
        let as_sink: Arc<dyn SnapshotSink> = Arc::<Chunks>::clone(&chunks);
        txn.begin_snapshot(&as_sink);
        Base::Commands(chunks)
    }

    /// The libraries of functions as commands that load them.
    fn encode_libraries(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for code in self.library_codes() {
            encode_command(&mut out, &[b"FUNCTION", b"LOAD", &code]);
        }
        out
    }

    fn write_base(&self, mut sink: RewriteSink, base: &Base) -> Result<(), AofError> {
        info!("Background append only file rewriting started");
        let chunks = match base {
            Base::Commands(chunks) => chunks,
            Base::Rdb(snapshot) => {
                let out = RdbBase(sink.with_rdb());
                let written = self.write_snapshot(snapshot, out, |keys| {
                    self.slow_down(keys);
                    self.threads.go_on()
                });
                return written.map_err(log_error)?.0.finish();
            }
        };
        // Unlocked before it is written: whoever hands over a key must not wait for the disk.
        let next = || chunks.0.lock().pop_front();
        let drain = |sink: &mut RewriteSink| {
            self.threads.go_on().map_err(log_error)?;
            while let Some(chunk) = next() {
                sink.write(&chunk)?;
            }
            Ok::<(), AofError>(())
        };
        self.keyspace.walk_snapshot(|| drain(&mut sink))?;
        drain(&mut sink)?;
        sink.finish()
    }

    fn end_rewrite(&self, result: Result<(), AofError>) {
        let log_stats = &self.services.stats.log;
        let since = log_stats.rewriting_since.swap(0, Ordering::AcqRel);
        log_stats
            .last_rewrite_seconds
            .store(self.keyspace.now_ms() / 1000 - since, Ordering::Relaxed);
        log_stats
            .last_rewrite_failed
            .store(result.is_err(), Ordering::Relaxed);
        match result {
            Ok(()) => {
                log_stats.rewrites.fetch_add(1, Ordering::Relaxed);
                info!("Background AOF rewrite finished successfully");
            }
            Err(error) => {
                log_stats.rewrite_failures.fetch_add(1, Ordering::Relaxed);
                warn!("Background AOF rewrite failed, the log goes on as it was: {error}");
            }
        }
        self.plan_rewrite();
        self.background.request_save_check();
        if log_stats.rewrite_scheduled.load(Ordering::Acquire) {
            self.background.request_rewrite();
        }
    }

    /// Whether a rewrite runs.
    pub(super) fn is_rewriting(&self) -> bool {
        self.services
            .stats
            .log
            .rewriting_since
            .load(Ordering::Acquire)
            != 0
    }

    /// Sets the position of the log at which it will have grown by `auto-aof-rewrite-percentage` beyond what it has now.
    pub(super) fn plan_rewrite(&self) {
        let Some(log) = self.propagation.log() else {
            return;
        };
        let config = self.services.config.read();
        let percentage = config.u64("auto-aof-rewrite-percentage");
        let smallest = config.u64("auto-aof-rewrite-min-size");
        drop(config);
        let size = log.current_size();
        let wanted = size
            .saturating_add(size.saturating_mul(percentage) / 100)
            .max(smallest);
        let at = if percentage == 0 {
            u64::MAX
        } else {
            log.position().saturating_add(wanted.saturating_sub(size))
        };
        self.rewrite_at.store(at, Ordering::Relaxed);
    }

    /// Has the log rewritten, or begun, after the EXEC that asks for it.
    pub(super) fn schedule_rewrite(&self) {
        info!("AOF background was scheduled");
        let scheduled = &self.services.stats.log.rewrite_scheduled;
        scheduled.store(true, Ordering::Release);
        self.background.request_rewrite();
    }

    /// Rewrites because the log has grown, or because it was asked for inside EXEC: then there may be no log yet.
    pub(super) fn rewrite_now(self: &Arc<Self>) {
        // What is scheduled meanwhile is begun at the end of the one that runs.
        if self.is_rewriting() || self.is_saving() {
            return;
        }
        let scheduled = &self.services.stats.log.rewrite_scheduled;
        let scheduled = scheduled.load(Ordering::Acquire);
        let mut txn = self.begin(self.keyspace.all_shards(), 0, Journal::default());
        let wanted = self.services.config.read().bool("appendonly");
        let result = match self.propagation.log() {
            Some(_) => self.begin_rewrite(&mut txn),
            None if scheduled && wanted => self.begin_log(&mut txn),
            None if scheduled => self.write_log_once(&mut txn),
            None => Ok(()),
        };
        if let Err(error) = result {
            warn!("The log could not be rewritten: {error}");
        }
        let log_stats = &self.services.stats.log;
        log_stats.rewrite_scheduled.store(false, Ordering::Release);
        self.close(txn);
    }
}

/// A base that is being written, in one form or the other.
enum Base {
    Commands(Arc<Chunks>),
    Rdb(Snapshot),
}

/// A base as something that an RDB is written to.
struct RdbBase(RewriteSink);

impl Write for RdbBase {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the log said, which went through an RDB's writer.
fn log_error(error: io::Error) -> AofError {
    error.downcast().unwrap_or_else(|source| AofError::Io {
        action: "write",
        path: "the base".into(),
        source,
    })
}

impl Inner {
    /// Writes everything that the transaction sees into a base, at once.
    pub(super) fn write_whole_base(
        &self,
        txn: &mut Txn<'_>,
        sink: RewriteSink,
    ) -> Result<(), AofError> {
        if self.services.config.read().bool("aof-use-rdb-preamble") {
            let out = RdbBase(sink.with_rdb());
            let written = self.write_rdb(txn, true, out, |_| {});
            return written.map_err(log_error)?.0.finish();
        }
        let mut sink = sink;
        sink.write(&self.encode_libraries())?;
        write_all(txn, &mut sink)?;
        sink.finish()
    }
}

fn write_all(txn: &mut Txn<'_>, sink: &mut RewriteSink) -> Result<(), AofError> {
    let before = txn.db();
    for db in 0..txn.keyspace().databases() {
        txn.select(db);
        let mut chunk = Vec::new();
        for entry in txn.entries() {
            if chunk.is_empty() {
                encode_command(
                    &mut chunk,
                    &[b"SELECT", itoa::Buffer::new().format(db).as_bytes()],
                );
            }
            encode_entry(&mut chunk, entry);
            if chunk.len() > 1 << 20 {
                sink.write(&chunk)?;
                chunk.clear();
                encode_command(
                    &mut chunk,
                    &[b"SELECT", itoa::Buffer::new().format(db).as_bytes()],
                );
            }
        }
        sink.write(&chunk)?;
    }
    txn.select(before);
    Ok(())
}

/// One key as commands that make it.
fn encode_entry(out: &mut Vec<u8>, entry: &Entry) {
    let key = entry.key();
    let mut batch = Batch {
        out,
        command: b"SET",
        key,
        words: Vec::new(),
    };
    match entry.value() {
        ValueRef::String(text) => batch.add(&[text]),
        ValueRef::List(list) => {
            batch.command = b"RPUSH";
            list.iter().for_each(|element| batch.add(&[element]));
        }
        ValueRef::Set(set) => {
            batch.command = b"SADD";
            set.iter().for_each(|element| batch.add(&[element]));
        }
        ValueRef::Hash(hash) => {
            batch.command = b"HSET";
            hash.iter()
                .for_each(|(field, value)| batch.add(&[field, value]));
        }
        ValueRef::Stream(stream) => encode_stream(batch.out, key, stream),
        ValueRef::SortedSet(set) => {
            batch.command = b"ZADD";
            let mut digits = DoubleBuffer::new();
            for (member, score) in set.range(0..set.len()) {
                batch.add(&[Element::Bytes(digits.format(score)), member]);
            }
        }
    }
    batch.flush();
    if let ValueRef::Hash(hash) = entry.value() {
        encode_field_times(out, key, hash);
    }
    if let Some(at) = entry.expires_at_ms() {
        encode_command(
            out,
            &[b"PEXPIREAT", key, itoa::Buffer::new().format(at).as_bytes()],
        );
    }
}

/// When fields of a hash run out, a command for each time.
fn encode_field_times(out: &mut Vec<u8>, key: &[u8], hash: &Hash) {
    if hash.next_time().is_none() {
        return;
    }
    for (field, _, time) in hash.iter_with_times() {
        let Some(at) = time else { continue };
        let mut digits = itoa::Buffer::new();
        field.with_bytes(|field| {
            let at = digits.format(at).as_bytes();
            encode_command(out, &[b"HPEXPIREAT", key, at, b"FIELDS", b"1", field]);
        });
    }
}

/// Elements that go into one command.
struct Batch<'a> {
    out: &'a mut Vec<u8>,
    command: &'static [u8],
    key: &'a [u8],
    words: Vec<Vec<u8>>,
}

impl Batch<'_> {
    fn add(&mut self, words: &[Element<'_>]) {
        self.words.extend(words.iter().map(Element::to_vec));
        if self.words.len() >= ELEMENTS_PER_COMMAND * words.len() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.words.is_empty() {
            let mut args: Vec<&[u8]> = vec![self.command, self.key];
            args.extend(self.words.iter().map(Vec::as_slice));
            encode_command(self.out, &args);
            self.words.clear();
        }
    }
}
