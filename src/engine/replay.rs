//! The commands of a log, applied by many threads: those of one thread's shards go to it in order; whatever concerns more
//! waits until all before it is done, and runs alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use innkeep_aof::{ApplyError, Recovery};
use smallvec::SmallVec;

use super::Inner;
use super::crew::{Crew, with_crew};
use super::progress::Progress;
use crate::commands::{Command, CommandError, lookup};
use crate::error::Error;
use crate::keyspace::txn::{HashHint, Journal};
use crate::keyspace::{Keyspace, Txn};
use crate::services::{ClientInfo, SessionState};

/// A batch is handed over when it has so many bytes …
const BATCH_BYTES: usize = 64 << 10;
/// … or so many commands.
const BATCH_COMMANDS: usize = 512;
/// So many commands have the entries of their keys fetched together.
const FETCHED: usize = 16;

/// Commands on their way to a thread.
#[derive(Debug, Default)]
struct Batch {
    file: Arc<PathBuf>,
    /// The words of all commands, one after the other.
    bytes: Vec<u8>,
    /// Where each word ends.
    ends: Vec<usize>,
    commands: Vec<Queued>,
}

#[derive(Debug)]
struct Queued {
    command: &'static Command,
    db: usize,
    words: usize,
    /// Which word is its key, and the hash of that, where there is one key by which the thread was chosen.
    key: Option<(usize, u64)>,
    offset: u64,
}

/// Whose a command is, and the place of its only key with its hash.
#[derive(Debug, Clone, Copy)]
struct Owner {
    worker: usize,
    key: Option<(usize, u64)>,
}

impl Batch {
    fn push(&mut self, queued: Queued, args: &[&[u8]]) {
        for word in args {
            self.bytes.extend_from_slice(word);
            self.ends.push(self.bytes.len());
        }
        self.commands.push(queued);
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES || self.commands.len() >= BATCH_COMMANDS
    }
}

fn refused(path: &Path, offset: u64, error: &CommandError) -> Error {
    Error::Replay {
        path: path.to_owned(),
        offset,
        reason: error.to_string(),
    }
}

/// What is read, and is to be handed over.
struct Dispatch<'a> {
    inner: &'a Inner,
    crew: &'a Crew<'a, Batch>,
    /// One for each thread.
    batches: Vec<Batch>,
    state: SessionState,
    file: Arc<PathBuf>,
}

impl Inner {
    /// Applies every command of a verified log. Nothing is locked.
    pub(super) fn replay_together(
        &self,
        recovery: &Recovery,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        with_crew(
            self,
            |txn, batch| self.apply_batch(txn, &batch),
            |crew| {
                let mut dispatch = Dispatch {
                    inner: self,
                    crew,
                    batches: (0..crew.len()).map(|_| Batch::default()).collect(),
                    state: SessionState::new(Arc::new(ClientInfo::default()), true),
                    file: Arc::default(),
                };
                let dispatch = std::cell::RefCell::new(&mut dispatch);
                let before = std::cell::Cell::new(0);
                let read = recovery.for_each_command(
                    |path, bytes_before| {
                        dispatch.borrow_mut().begin_file(path);
                        before.set(bytes_before);
                    },
                    |args, offset| {
                        dispatch.borrow_mut().take(args, offset)?;
                        progress.begin_file(before.get());
                        progress.note(offset);
                        Ok(())
                    },
                );
                dispatch.borrow_mut().hand_over_all();
                read.map(drop).map_err(|error| match error {
                    ApplyError::Log(error) => error.into(),
                    ApplyError::Refused { error, .. } => error,
                })
            },
        )
    }

    fn apply_batch(&self, txn: &mut Txn<'_>, batch: &Batch) -> Result<(), Error> {
        let mut state = SessionState::new(Arc::new(ClientInfo::default()), true);
        let (mut at, mut ends) = (0, batch.ends.iter());
        let mut args: Vec<&[u8]> = Vec::new();
        for together in batch.commands.chunks(FETCHED) {
            if let Some(first) = together.first() {
                txn.select(first.db);
            }
            let hashes = together.iter().filter_map(|queued| Some(queued.key?.1));
            txn.fetch(&hashes.collect::<SmallVec<[u64; FETCHED]>>());
            for queued in together {
                args.clear();
                for end in ends.by_ref().take(queued.words) {
                    args.push(batch.bytes.get(at..*end).unwrap_or_default());
                    at = *end;
                }
                let key = queued
                    .key
                    .and_then(|(at, hash)| Some((args.get(at)?, hash)));
                txn.hint(key.map_or(HashHint::NONE, |(key, hash)| HashHint::new(key, hash)));
                state.db = queued.db;
                self.apply_known(txn, &mut state, queued.command, &args)
                    .map_err(|error| refused(&batch.file, queued.offset, &error))?;
            }
        }
        txn.hint(HashHint::NONE);
        Ok(())
    }
}

impl Dispatch<'_> {
    fn begin_file(&mut self, path: &Path) {
        self.hand_over_all();
        self.state.db = 0;
        self.file = Arc::new(path.to_owned());
        for batch in &mut self.batches {
            batch.file = Arc::clone(&self.file);
        }
    }

    fn take(&mut self, args: &[&[u8]], offset: u64) -> Result<(), Error> {
        let fails = |error: CommandError| refused(&self.file, offset, &error);
        if super::recovery::is_bracket(args) {
            return Ok(());
        }
        if self.crew.has_failed() {
            // The error of the thread is told instead.
            return Err(Error::Io(std::io::ErrorKind::Interrupted.into()));
        }
        let command = lookup(args).map_err(|_| fails(super::recovery::unknown(args)))?;
        if let Some(owner) = self.owner_of(command, args) {
            let queued = Queued {
                command,
                db: self.state.db,
                words: args.len(),
                key: owner.key,
                offset,
            };
            if let Some(batch) = self.batches.get_mut(owner.worker) {
                batch.push(queued, args);
                if batch.is_full() {
                    self.hand_over(owner.worker);
                }
            }
            return Ok(());
        }
        let keyspace = &self.inner.keyspace;
        // It says where the following commands belong and concerns no key.
        let set = if command.spec.name == "select" {
            0
        } else {
            self.hand_over_all();
            self.crew.drain();
            keyspace.all_shards()
        };
        let mut txn = self.inner.begin(set, 0, Journal::default());
        let result = self
            .inner
            .apply_known(&mut txn, &mut self.state, command, args);
        self.inner.close(txn);
        result.map_err(|error| refused(&self.file, offset, &error))
    }

    /// The thread that has all keys of the command; none where it concerns more than they are.
    fn owner_of(&self, command: &Command, args: &[&[u8]]) -> Option<Owner> {
        if command.needs_all_shards(args) || self.inner.runs_lua(command, args) {
            return None;
        }
        let worker_of = |hash| self.crew.worker_of(self.inner.keyspace.shard_of(hash));
        if let Some((at, key)) = command.single_key.and_then(|at| Some((at, args.get(at)?))) {
            let hash = Keyspace::hash(key);
            return Some(Owner {
                worker: worker_of(hash),
                key: Some((at, hash)),
            });
        }
        let (mut found, mut same) = (None, true);
        command.key_positions(args, |at| {
            if let Some(key) = args.get(at) {
                let worker = worker_of(Keyspace::hash(key));
                same &= *found.get_or_insert(worker) == worker;
            }
        });
        let worker = found.filter(|_| same)?;
        Some(Owner { worker, key: None })
    }

    fn hand_over(&mut self, worker: usize) {
        let Some(batch) = self.batches.get_mut(worker) else {
            return;
        };
        let room = (batch.bytes.capacity(), batch.ends.capacity());
        let next = Batch {
            file: Arc::clone(&self.file),
            bytes: Vec::with_capacity(room.0.min(2 * BATCH_BYTES)),
            ends: Vec::with_capacity(room.1.min(8 * BATCH_COMMANDS)),
            commands: Vec::with_capacity(BATCH_COMMANDS),
        };
        let batch = std::mem::replace(batch, next);
        if !batch.commands.is_empty() {
            self.crew.send(worker, batch);
        }
    }

    fn hand_over_all(&mut self) {
        (0..self.batches.len()).for_each(|worker| self.hand_over(worker));
    }
}
