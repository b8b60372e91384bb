//! Following another server as its replica: REPLICAOF, the data that gives way as a whole to what the other server sends,
//! and the way back to being a primary. The server opens the link and hands over what comes through it.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use log::{info, warn};

use super::disk_file::Replacement;
use super::loading::{Wanted, tell_refusal};
use super::progress::Progress;
use super::session::Session;
use super::{Engine, Inner};
use crate::commands::{Command, CommandError};
use crate::error::Error;
use crate::keyspace::txn::Journal;
use crate::keyspace::{Entry, Keyspace, Limits, Txn};
use crate::rdb::{self, RdbEntry, RdbSummary};
use crate::services::primary::Address;
use crate::services::{ClientFlags, ClientInfo, UnblockKind};
use crate::value::number::parse_i64;

/// How often it is looked whether the disk has room for what comes, in bytes.
const LOOK_BYTES: u64 = 8 << 20;

const NO_SERVER: CommandError =
    CommandError::text("ERR no server runs on this engine that could open a link to another one");

/// What REPLICAOF has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    /// What was asked for.
    Done,
    /// Nothing: that server is followed already.
    Already,
}

// ------------------------------------------------------------------------------------------------ REPLICAOF

impl Inner {
    pub(super) fn change_primary(
        self: &Arc<Self>,
        txn: &mut Txn<'_>,
        address: Option<&Address>,
    ) -> Result<Changed, CommandError> {
        let primary = &self.services.primary;
        let before = primary.address();
        if before.as_ref() == address {
            let already = address.is_some();
            return Ok(if already {
                Changed::Already
            } else {
                Changed::Done
            });
        }
        txn.lock_all();
        match address {
            Some(address) => self.follow_primary(address, before.is_none())?,
            None => self.become_primary(txn),
        }
        Ok(Changed::Done)
    }

    /// `was_primary`: what is here is what our own stream makes of it, and the other server may know that stream.
    fn follow_primary(
        self: &Arc<Self>,
        address: &Address,
        was_primary: bool,
    ) -> Result<(), CommandError> {
        let links = self.services.primary.links.read();
        let links = links.as_ref().ok_or(NO_SERVER)?;
        self.note_primary(Some(address));
        let db = was_primary.then(|| self.services.replicas.selected());
        self.services.replicas.begin_relaying();
        self.services.primary.follow(Some(address.clone()), db);
        self.unblock_all();
        info!("REPLICAOF {address} enabled");
        let begun = links.begin();
        begun.map_err(|problem| format!("ERR {problem}").into())
    }

    /// Every shard is locked.
    fn become_primary(self: &Arc<Self>, txn: &mut Txn<'_>) {
        self.note_primary(None);
        self.services.primary.follow(None, None);
        drop(self.services.primary.take_own());
        self.services.replicas.end_relaying(txn.now_ms());
        txn.set_propagating(self.wants_effects());
        self.begin_log_if_missing(txn);
        self.background.expiry_set(0);
        self.background.request_beat(txn.now_ms());
        info!("MASTER MODE enabled");
    }

    /// The configuration tells whom we follow, and so does the file when it is written again.
    fn note_primary(&self, address: Option<&Address>) {
        let text = match address {
            Some(Address { host, port }) => {
                [host, b" ".as_slice(), port.to_string().as_bytes()].concat()
            }
            None => b"no one".to_vec(),
        };
        let noted = self.services.config.write().assign(b"replicaof", &text);
        if let Err(refusal) = noted {
            warn!("The configuration does not take 'replicaof': {refusal}");
        }
    }

    /// What clients wait for may come from the primary now, or never.
    fn unblock_all(&self) {
        for client in self.services.clients.list() {
            if client.unblock(UnblockKind::RoleChanged) {
                client.set_flag(ClientFlags::CLOSE_AFTER_REPLY, true);
            }
        }
    }

    /// The database that the stream is in, for the snapshot of somebody who follows us.
    pub(super) fn stream_db_for_replicas(&self, is_log_base: bool) -> Option<usize> {
        let primary = &self.services.primary;
        (primary.is_followed() && !is_log_base).then(|| primary.stream_db())
    }
}

/// What has expired is removed when the primary says so, but for what clients of a writable replica have made.
impl Inner {
    /// Remembers keys that a client has changed, if they run out.
    pub(super) fn remember_own_keys(&self, txn: &Txn<'_>, command: &Command, args: &[&[u8]]) {
        command.key_positions(args, |at| {
            let key = args.get(at).copied().unwrap_or_default();
            let shard = self.keyspace.shard_of(Keyspace::hash(key));
            let is_held = txn.held() & (1 << shard) != 0;
            let entry = is_held.then(|| txn.stored(key)).flatten();
            if let Some(at) = entry.and_then(Entry::expires_at_ms) {
                self.services.primary.remember_own((txn.db(), key.into()));
                self.background.expiry_set(at);
            }
        });
    }

    /// Removes those whose time has come; answers when the next may be due.
    pub(super) fn expire_own_keys(&self) -> Option<i64> {
        let mut next: Option<i64> = None;
        for (db, key) in self.services.primary.take_own() {
            let shard = self.keyspace.shard_of(Keyspace::hash(&key));
            let mut txn = self.begin(1 << shard, db, Journal::default());
            if !self.is_loading() && !txn.remove_if_expired(&key) {
                let entry = txn.stored(&key);
                if let Some(at) = entry.and_then(Entry::expires_at_ms) {
                    next = Some(next.map_or(at, |next| next.min(at)));
                    self.services.primary.remember_own((db, key));
                }
            }
            self.finish(&mut txn, 0);
            self.close(txn);
        }
        next
    }
}

impl Engine {
    /// Follows the server that the configuration names, if it names one.
    pub(crate) fn follow_configured(&self) -> Result<(), String> {
        let inner = &self.0;
        let configured = inner
            .services
            .config
            .read()
            .replicaof()
            .map(|(host, port)| Address {
                host: host.into(),
                port,
            });
        let Some(address) = configured else {
            return Ok(());
        };
        let links = inner.services.primary.links.read();
        let Some(links) = links.as_ref() else {
            return Ok(());
        };
        inner.services.replicas.begin_relaying();
        inner.services.primary.follow(Some(address), None);
        links.begin()
    }

    /// The session of a link: what it executes is what the primary has executed.
    pub(crate) fn primary_session(&self, info: ClientInfo, db: usize) -> Session {
        info.set_flag(ClientFlags::PRIMARY, true);
        info.db.store(db, Ordering::Release);
        let mut session = Session::new(self.clone(), info);
        session.state.authenticated = true;
        session.state.is_primary = true;
        session.state.db = db;
        session
    }
}

// ------------------------------------------------------------------------------------------------ the snapshot

/// A snapshot that comes from the primary, on disk under no name, so that nothing of it stays behind.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: Replacement,
    path: PathBuf,
    /// Bytes that are to be kept free on the disk.
    reserve: u64,
    looked_at: u64,
    received: u64,
}

impl Incoming {
    /// Takes what has come.
    ///
    /// # Errors
    ///
    /// The disk refuses, or has no room.
    pub(crate) fn write(&mut self, engine: &Engine, bytes: &[u8]) -> io::Result<()> {
        self.received += bytes.len() as u64;
        if self.received - self.looked_at >= LOOK_BYTES {
            self.looked_at = self.received;
            self.expect(engine, 0)?;
        }
        self.file.write_all(bytes)
    }

    /// An error where the disk has no room for so many bytes more.
    pub(crate) fn expect(&self, engine: &Engine, bytes: u64) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(&self.path);
        let free = engine.0.storage.free_bytes(directory)?;
        let needed = bytes.saturating_add(self.reserve);
        if free.is_some_and(|free| free < needed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// Brings everything to where it can be read.
    pub(crate) fn complete(self) -> io::Result<Self> {
        Ok(Self {
            file: self.file.complete()?,
            ..self
        })
    }

    fn reader(&self, len: u64) -> IncomingReader<'_> {
        IncomingReader {
            file: &self.file,
            offset: 0,
            len,
        }
    }
}

struct IncomingReader<'a> {
    file: &'a Replacement,
    offset: u64,
    len: u64,
}

impl Read for IncomingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len - self.offset).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Where a stream goes on that a snapshot belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamStart {
    /// Its name.
    pub(crate) name: String,
    /// Its offset.
    pub(crate) offset: u64,
}

impl Engine {
    /// Makes room for a snapshot.
    pub(crate) fn begin_incoming(&self) -> io::Result<Incoming> {
        let inner = &self.0;
        let now_s = inner.keyspace.now_ms() / 1000;
        let name = format!("temp-{now_s}.{}.rdb", std::process::id());
        let config = inner.services.config.read();
        let (reserve, path) = (config.u64("disk-reserve"), config.path("dir").join(&name));
        drop(config);
        Ok(Incoming {
            file: inner.begin_file_named(&name)?.hide()?,
            path,
            reserve,
            looked_at: 0,
            received: 0,
        })
    }

    /// Has everything in memory give way to a snapshot of so many bytes, for the wish `wish`; answers the database that the
    /// stream goes on in. It is read to its end before anything is given up for it.
    ///
    /// # Errors
    ///
    /// It is damaged, or nobody wants it any more: everything is as before.
    pub(crate) fn take_over(
        &self,
        wish: u64,
        (incoming, len): (&Incoming, u64),
        start: StreamStart,
    ) -> Result<usize, Error> {
        let inner = &self.0;
        let db = inner.verify(incoming, len)?;
        let mut txn = inner.begin(inner.keyspace.all_shards(), 0, Journal::default());
        let result = if inner.services.primary.wish().0 == wish {
            inner.replace_data(&mut txn, (incoming, len), (start, db))
        } else {
            Err(io::Error::from(io::ErrorKind::Interrupted).into())
        };
        inner.close(txn);
        result.map(|()| db)
    }
}

impl Inner {
    /// Reads a snapshot to its end as loading it would; answers the database that its stream goes on in.
    fn verify(&self, incoming: &Incoming, len: u64) -> Result<usize, Error> {
        let databases = self.keyspace.databases();
        let mut reader = incoming.reader(len);
        let too_many = || Error::Unsupported {
            path: incoming.path.clone(),
            what: "keys of a database that is not configured (raise `databases`)",
        };
        let mut fits = true;
        let read = rdb::read(&mut reader, &Limits::default(), |entry: RdbEntry| {
            fits &= entry.db < databases;
            Ok::<(), rdb::RdbError>(())
        });
        let summary = read.map_err(|source| {
            let path = incoming.path.clone();
            let error = Error::Rdb { path, source };
            tell_refusal(&error);
            error
        })?;
        if !fits {
            return Err(too_many());
        }
        Ok(stream_db(&summary)
            .filter(|db| *db < databases)
            .unwrap_or(0))
    }

    /// Every shard is locked; while the snapshot is loaded, clients are told so.
    fn replace_data(
        self: &Arc<Self>,
        txn: &mut Txn<'_>,
        (incoming, len): (&Incoming, u64),
        (start, db): (StreamStart, usize),
    ) -> Result<(), Error> {
        let Self { services, .. } = &**self;
        self.abandon_save(txn);
        self.begin_loading();
        self.expect_bytes(len);
        services.primary.set_resumable(None);
        drop(services.primary.take_own());
        info!("MASTER <-> REPLICA sync: Flushing old data");
        self.stop_log(txn);
        let wanted = Wanted {
            expired: true,
            ..Wanted::default()
        };
        let loaded = self.replace_all(txn, true, |txn| {
            info!("MASTER <-> REPLICA sync: Loading DB in memory");
            let mut progress = Progress::new(self, true);
            let (path, mut reader) = (&incoming.path, incoming.reader(len));
            let loaded = self.load_rdb(txn, path, &mut reader, wanted, &mut progress);
            loaded.map(drop)
        });
        txn.note_flush();
        self.finish(txn, 0);
        let result = match loaded {
            Ok(()) => {
                let backlog_size = services.config.read().usize("repl-backlog-size");
                let StreamStart { name, offset } = start;
                services.replicas.adopt(name, offset, backlog_size);
                services.primary.set_resumable(Some(db));
                services.dirty.store(0, Ordering::Relaxed);
                self.begin_log_if_missing(txn);
                Ok(())
            }
            Err(error) => {
                // Half of the data is none. What the log holds is what was there before.
                let emptied = self.replace_all(txn, true, |_| Ok(()));
                emptied.and(Err(error))
            }
        };
        self.end_loading();
        result
    }

    /// The log ends as it is, complete: until another has its first base, a start loads this one.
    fn stop_log(&self, txn: &mut Txn<'_>) {
        let scheduled = &self.services.stats.log.rewrite_scheduled;
        scheduled.store(false, Ordering::Release);
        self.give_up_rewrite(txn);
        if let Some(log) = self.propagation.stop()
            && let Err(error) = log.close()
        {
            warn!("The end of the log could not be written: {error}");
        }
    }

    /// Begins a log with what is in memory, where one is configured and none runs.
    fn begin_log_if_missing(self: &Arc<Self>, txn: &mut Txn<'_>) {
        let wanted = self.services.config.read().bool("appendonly");
        if !wanted || self.propagation.log().is_some() {
            return;
        }
        if let Err(error) = self.begin_log(txn) {
            warn!("The log could not be begun: {error}");
            self.retry_rewrite();
        }
    }
}

fn stream_db(summary: &RdbSummary) -> Option<usize> {
    let mut aux = summary.aux.iter();
    let (_, value) = aux.find(|(name, _)| name == b"repl-stream-db")?;
    usize::try_from(parse_i64(value)?).ok()
}
