//! Backups: one RDB of one moment in a file of its own, which gets its name only when it was read back and is on disk.
//! BACKUP writes one of a running engine on a thread of its own, while everything goes on changing; tools write what
//! stands still, or copy a snapshot, through the same code.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use innkeep_aof::Storage;
use log::{info, warn};

use super::disk_file::{FileReader, Replacement};
use super::session::{Blocked, Delivered, Flow};
use super::snapshot::Snapshot;
use super::{Engine, Inner};
use crate::commands::{Command, CommandError, TimeoutReply};
use crate::error::Error;
use crate::keyspace::txn::Journal;
use crate::keyspace::{Limits, Txn, Waiter};
use crate::rdb::{self, RdbError};
use crate::reply::{Reply, Response};
use crate::services::{ClientFlags, SessionState};

const BUSY: CommandError = CommandError::text(
    "ERR Another snapshot or a rewrite of the append only file is running. Try the backup again when it has ended",
);

/// What a backup holds, as it was read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// Keys of all databases.
    pub keys: u64,
    /// Length of the file.
    pub bytes: u64,
}

/// What was written so far, from its beginning.
struct Written<'a> {
    file: &'a Replacement,
    offset: u64,
}

impl Read for Written<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Reads an RDB back as a start would, and puts it in place if it is sound. A crash leaves all of it under its name, or
/// what was there before.
fn put_in_place(file: Replacement, path: &Path) -> Result<Backup, Error> {
    let file = file.complete()?;
    let mut written = Written {
        file: &file,
        offset: 0,
    };
    let backup = read_back(&mut written, path)?;
    file.put_in_place(path)?;
    Ok(backup)
}

fn read_back(reader: &mut impl Read, path: &Path) -> Result<Backup, Error> {
    let read = rdb::read(reader, &Limits::default(), |_| Ok::<(), RdbError>(()));
    let summary = read.map_err(|source| Error::Rdb {
        path: path.to_owned(),
        source,
    })?;
    Ok(Backup {
        keys: summary.keys,
        bytes: summary.bytes,
    })
}

/// Reads an RDB to its end, as a start does.
///
/// # Errors
///
/// The file cannot be read, or is damaged: the error says where.
#[doc(hidden)]
pub fn verify_rdb(storage: &dyn Storage, path: &Path) -> Result<Backup, Error> {
    read_back(&mut open(storage, path)?, path)
}

fn open(storage: &dyn Storage, path: &Path) -> Result<FileReader, Error> {
    FileReader::open(storage, path)?.ok_or_else(|| Error::Io(io::ErrorKind::NotFound.into()))
}

/// Copies an RDB, reads the copy back, and puts it in place.
///
/// # Errors
///
/// The disk refuses, or the RDB is damaged; then nothing is in place.
#[doc(hidden)]
pub fn copy_rdb(storage: &Arc<dyn Storage>, from: &Path, to: &Path) -> Result<Backup, Error> {
    let mut source = open(&**storage, from)?;
    let mut copy = Replacement::beside(Arc::clone(storage), to)?;
    io::copy(&mut source, &mut copy)?;
    put_in_place(copy, to)
}

impl Engine {
    /// Writes everything that is in memory as an RDB and reads it back. A crash leaves the file as it was, or the new one,
    /// complete.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    #[doc(hidden)]
    pub fn write_rdb(&self, path: &Path) -> Result<Backup, Error> {
        let inner = &self.0;
        let file = Replacement::beside(Arc::clone(&inner.storage), path)?;
        let mut txn = inner.begin(inner.keyspace.all_shards(), 0, Journal::default());
        let written = inner.write_rdb(&mut txn, false, file, |_| {});
        inner.close(txn);
        put_in_place(written?, path)
    }
}

// ------------------------------------------------------------------------------------------------ BACKUP

impl Inner {
    /// BACKUP: begins a backup of this very moment; its end answers the client.
    pub(super) fn back_up(
        self: &Arc<Self>,
        state: &SessionState,
        txn: &mut Txn<'_>,
        (command, args): (&'static Command, &[&[u8]]),
        path: PathBuf,
        reply: &mut dyn Reply,
    ) -> Flow {
        txn.lock_all();
        let refusal = match self.storage.exists(&path) {
            _ if self.is_saving() || self.is_rewriting() => Some(BUSY),
            Ok(false) => None,
            Ok(true) => Some(failure(
                &path,
                "it is there already, and a backup replaces nothing",
            )),
            Err(error) => Some(failure(&path, &error.to_string())),
        };
        if let Some(refusal) = refusal {
            self.fail(command, &refusal, reply);
            return Flow::Continue;
        }
        self.forget_abandoned_save();
        let snapshot = self.begin_snapshot(txn, false);
        self.note_saving_begun();
        let waiter = Waiter::new(state.info.id, args, state.db, state.resp3, 0, Vec::new());
        let waiter = Arc::new(waiter);
        state.info.set_flag(ClientFlags::BLOCKED, true);
        *state.info.blocked.lock() = Some(Arc::clone(&waiter));
        let (inner, waiting, target) = (Arc::clone(self), Arc::clone(&waiter), path.clone());
        let spawned = self.threads.start_aside("innkeep-backup", move || {
            let result = inner.write_backup(&snapshot, &target);
            inner.end_backup(&waiting, &target, result);
        });
        if let Err(error) = spawned {
            txn.end_snapshot();
            self.end_backup(&waiter, &path, Err(error.into()));
        }
        Flow::Wait(Blocked::new(waiter, command, (None, TimeoutReply::Null)))
    }

    fn write_backup(&self, snapshot: &Snapshot, path: &Path) -> Result<Backup, Error> {
        let file = Replacement::beside(Arc::clone(&self.storage), path)
            .inspect_err(|_| self.keyspace.end_snapshot(&snapshot.as_sink()))?;
        put_in_place(self.write_until_given_up(snapshot, file)?, path)
    }

    fn end_backup(&self, waiter: &Waiter, path: &Path, result: Result<Backup, Error>) {
        self.note_saving_ended();
        let response = match result {
            Ok(backup) => {
                info!(
                    "Backup {}: {} keys, {} bytes, read back and found sound",
                    path.display(),
                    backup.keys,
                    backup.bytes
                );
                answer(backup)
            }
            Err(error) => {
                let reason = if self.is_save_given_up() {
                    "it was given up, because the data was flushed or the server ends".to_owned()
                } else {
                    error.to_string()
                };
                warn!("Backup {} failed: {reason}", path.display());
                Response::Error(failure(path, &reason).to_string())
            }
        };
        // Whoever has gone away in the meantime is told nothing.
        if waiter.claim() {
            waiter.deliver(Box::new(Delivered {
                response,
                logged: 0,
            }));
        }
        self.after_saving();
    }
}

fn answer(backup: Backup) -> Response {
    let number = |number: u64| Response::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let name = |name: &str| Response::Bulk(name.as_bytes().to_vec());
    Response::Map(vec![
        (name("keys"), number(backup.keys)),
        (name("bytes"), number(backup.bytes)),
    ])
}

fn failure(path: &Path, reason: &str) -> CommandError {
    format!(
        "ERR The backup {} was not written: {reason}",
        path.display()
    )
    .into()
}
