//! The engine: one keyspace with its services, its log and its background thread. It knows commands, and no socket.

mod administration;
pub mod background;
pub mod backup;
mod claim;
#[cfg(feature = "lua")]
mod copy;
mod crew;
mod disk_file;
mod entry_commands;
mod eviction;
pub mod execute;
#[cfg(feature = "lua")]
mod fiber;
mod held;
mod hooks;
pub mod in_process;
mod loading;
mod migrate;
pub mod monitor;
mod offline;
mod owner;
pub mod primary;
mod progress;
pub mod propagation;
mod recovery;
mod replay;
pub mod replication;
mod reserve;
mod rewrite;
mod saving;
pub mod session;
mod slack;
mod snapshot;
mod starting;
mod stream_commands;
mod switching;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use innkeep_aof::{RealStorage, Storage};
use parking_lot::Mutex;

#[cfg(feature = "server")]
pub(crate) use held::Held;
pub use session::{Blocked, Flow, Session};

use crate::commands::{CommandError, Shutdown, acl, renaming, table};
use crate::config::Config;
use crate::error::Error;
use crate::keyspace::Keyspace;
use crate::keyspace::eviction::EvictionPool;
use crate::keyspace::txn::{Journal, TxnOptions};
use crate::script::{RegisterError, Script};
use crate::services::apply::limits;
use crate::services::stats::MemorySource;
use crate::services::{ClientInfo, Services};
use crate::value::hasher::hash_bytes;
use background::Background;
use claim::Claimed;
use hooks::EngineHooks;
use migrate::Peers;
use owner::{Owner, Threads};
use propagation::Propagation;
use reserve::Reserve;
use rewrite::Rewriting;
use saving::Saving;

/// An engine: a keyspace with its commands, its clients and its log. Cheap to clone; it stops when the last clone, session
/// and connection is gone, and by then its log is closed.
///
/// ```
/// use innkeep::{Config, Engine, Response};
///
/// let mut config = Config::default();
/// config.assign(b"appendonly", b"no")?;
/// config.assign(b"databases", b"1")?;
/// let engine = Engine::open(config)?;
///
/// let mut session = engine.session();
/// assert_eq!(session.execute(&[b"INCR", b"visits"]), Response::Int(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Engine(
    pub(crate) Arc<Inner>,
    /// Held so that the last owner waits for the engine's threads.
    #[cfg_attr(
        not(feature = "server"),
        expect(dead_code, reason = "what counts is when the last one is dropped")
    )]
    Arc<Owner>,
);

/// What all sessions share.
#[derive(Debug)]
pub struct Inner {
    pub(crate) keyspace: Keyspace,
    pub(crate) services: Services,
    pub(crate) propagation: Propagation,
    claimed: Claimed,
    pub(crate) background: Background,
    threads: Threads,
    storage: Arc<dyn Storage>,
    saving: Saving,
    rewriting: Rewriting,
    peers: Peers,
    reserve: Reserve,
    eviction: Mutex<EvictionPool>,
    /// Size of the log at which it is to be rewritten; `u64::MAX`: never.
    rewrite_at: AtomicU64,
}

impl Engine {
    /// An engine that keeps nothing on disk, with the default settings.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new_on(Config::default(), Arc::new(RealStorage)).expect("the system gives a thread")
    }

    /// Opens an engine: finds the log in the configured directory, loads it, and goes on writing it. Without a log
    /// (`appendonly no`) it loads the snapshot that it finds there; so does the beginning of a log, whose base that becomes.
    ///
    /// A log, by its directory and `appendfilename`, belongs to one engine at a time, in this process and among all: a second one waits for it for a
    /// few seconds, then it is refused.
    ///
    /// # Errors
    ///
    /// A directory or file that cannot be used, or that is damaged where it was safe.
    pub fn open(config: Config) -> Result<Self, Error> {
        Self::open_on(config, Arc::new(RealStorage))
    }

    /// The same on another disk, such as a simulated one.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    #[doc(hidden)]
    pub fn open_on(config: Config, storage: Arc<dyn Storage>) -> Result<Self, Error> {
        let engine = Self::new_on(config, storage)?;
        engine.0.begin_loading();
        engine.load()?;
        Ok(engine)
    }

    /// An engine that [`Self::load`] has still to give its data. Until then it can be served: what needs the data is
    /// answered `-LOADING`, everything else as ever.
    ///
    /// # Errors
    ///
    /// Settings that cannot be understood.
    pub fn prepare(config: Config) -> Result<Self, Error> {
        let engine = Self::new_on(config, Arc::new(RealStorage))?;
        engine.0.begin_loading();
        Ok(engine)
    }

    /// Loads what the disk holds; then every command is answered. Once for each [`Self::prepare`].
    ///
    /// # Errors
    ///
    /// As [`Self::open`]. The engine is of no use then.
    pub fn load(&self) -> Result<(), Error> {
        self.0.load()
    }

    fn new_on(config: Config, storage: Arc<dyn Storage>) -> Result<Self, Error> {
        let databases = config.usize("databases");
        let keyspace = Keyspace::new(
            config.usize("shards"),
            databases,
            hash_bytes(b"random source"),
        );
        let mut services = Services::new(config, table::table().all.len(), keyspace.now_ms());
        services.apply_config();
        acl::load_configured(&services).map_err(Error::Users)?;
        services.renamed = renaming::configured(&services.config.read()).map_err(Error::Users)?;
        set_limits(&keyspace, &services);
        let stats = &services.stats;
        let startup = stats.known_memory();
        if startup.is_none() && services.max_memory.load(Ordering::Relaxed) > 0 {
            return Err(Error::UnknownMemory);
        }
        let startup = startup.unwrap_or(0);
        stats.startup_memory.store(startup, Ordering::Relaxed);
        let inner = Arc::new(Inner {
            keyspace,
            services,
            propagation: Propagation::default(),
            claimed: Claimed::default(),
            background: Background::default(),
            threads: Threads::default(),
            storage,
            saving: Saving::default(),
            rewriting: Rewriting::default(),
            peers: Peers::default(),
            reserve: Reserve::default(),
            eviction: Mutex::default(),
            rewrite_at: AtomicU64::new(u64::MAX),
        });
        let owner = Arc::new(Owner(Arc::clone(&inner)));
        inner.background.start(&inner)?;
        *inner.services.hooks.write() = Some(Box::new(EngineHooks(Arc::downgrade(&inner))));
        Ok(Self(inner, owner))
    }

    /// Brings everything to disk, because the process is about to end. The engine goes on. A snapshot is written where
    /// `how` asks for it, or where it does not say and there are save points.
    ///
    /// # Errors
    ///
    /// What is not on disk, and why. With `force` in `how` that is only logged.
    pub fn shut_down(&self, how: Shutdown) -> Result<(), Error> {
        if how.abort {
            return Err(Error::NothingToAbort);
        }
        if self.0.is_writing_first_base() {
            if !how.force {
                log::warn!("Writing initial AOF, can't exit");
                return Err(Error::FirstBase);
            }
            log::warn!("Writing initial AOF. Exit anyway.");
        }
        self.0.save_at_the_end(how)?;
        let Some(log) = self.0.propagation.log() else {
            return Ok(());
        };
        match log.flush_and_sync() {
            Err(error) if how.force => {
                log::warn!("The end of the log is lost, as SHUTDOWN FORCE wants it: {error}");
                Ok(())
            }
            result => result.map_err(|error| Error::Log(error.into())),
        }
    }

    /// The end of an engine and of its process: as if it was dropped, but its memory is left to the system, which takes back
    /// all of it at once. Without effect but that of a drop where it has other owners.
    #[cfg(feature = "server")]
    pub(crate) fn end_with_process(self) {
        if Arc::strong_count(&self.1) == 1 {
            self.1.end();
            self.0.close_log();
            std::mem::forget(self);
        }
    }

    /// The process ends in the middle of a shutdown: what a snapshot has left half written is removed.
    #[cfg(feature = "server")]
    pub(crate) fn leave_no_temporary_snapshot(&self) {
        self.0.remove_temporary_snapshots();
    }

    /// Adds a native script of the application: every client reaches it by EVAL and FCALL, as it does the built-in ones.
    ///
    /// ```
    /// use innkeep::{Engine, Response, Script};
    ///
    /// let engine = Engine::in_memory();
    /// engine.register_script(Script::new("hotel.check_in", |context| {
    ///     let room = context.key(0)?;
    ///     let guest = context.arg(0, "the guest")?;
    ///     context.call(&[b"SET", room, guest, b"NX", b"GET"])
    /// }))?;
    ///
    /// let mut session = engine.session();
    /// let check_in: [&[u8]; 5] = [b"FCALL", b"hotel.check_in", b"1", b"room:12", b"Ada"];
    /// assert_eq!(session.execute(&check_in), Response::Null);
    /// assert_eq!(session.execute(&check_in), Response::Bulk(b"Ada".to_vec()));
    /// # Ok::<(), innkeep::RegisterError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// It has no name, or its name or one of its Lua sources is taken.
    pub fn register_script(&self, script: Script) -> Result<(), RegisterError> {
        self.0.services.scripts.register(script)
    }

    /// A new session, as a client in this process. It needs no password: who holds the engine is inside already.
    #[must_use]
    pub fn session(&self) -> Session {
        let id = self.0.services.clients.next_id();
        let info = ClientInfo {
            id,
            ..ClientInfo::new(self.0.keyspace.now_ms())
        };
        let mut session = Session::new(self.clone(), info);
        session.state.authenticated = true;
        session
    }

    /// A new session for a client that is described already, and that comes from outside: it has the rights of the user
    /// `default` until it authenticates.
    #[must_use]
    pub fn session_for(&self, info: ClientInfo) -> Session {
        *info.user.lock() = Arc::clone(self.0.services.acl.default_user());
        Session::new(self.clone(), info)
    }

    /// Tells the engine how many bytes the program uses, where its allocator is not [`Counting`](crate::Counting):
    /// `maxmemory`, which can be set only then, needs to know. The source is asked before every command while there is a limit, and
    /// may not run any itself. False if there is a source already.
    pub fn measure_memory(&self, source: impl Fn() -> usize + Send + Sync + 'static) -> bool {
        let source = MemorySource(Box::new(source));
        self.0.services.stats.memory_source.set(source).is_ok()
    }

    /// Everything besides the data.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.0.services
    }

    /// The data.
    #[must_use]
    pub fn keyspace(&self) -> &Keyspace {
        &self.0.keyspace
    }

    /// Whether a script holds the data that somebody steps through.
    #[cfg(feature = "server")]
    pub(crate) fn is_debugging(&self) -> bool {
        self.0.keyspace.is_held_for_long() && self.0.services.running_script.is_debugged()
    }
}

impl Inner {
    pub(crate) fn is_loading(&self) -> bool {
        self.services.stats.loading.load(Ordering::Relaxed)
    }

    /// Whether nothing is in force that keeps, refuses or shows commands, or those that change something.
    #[inline]
    pub(crate) fn is_calm(&self, changing: bool) -> bool {
        let services = &self.services;
        !self.keyspace.is_held_for_long()
            && !self.is_loading()
            && !services.primary.is_followed()
            && services.max_memory.load(Ordering::Relaxed) == 0
            && !services.pause.is_active()
            && services.clients.monitors.load(Ordering::Relaxed) == 0
            && !(changing
                && (services.min_replicas_to_write.load(Ordering::Relaxed) > 0
                    || self.saving.refuses_writes()
                    || !self.propagation.takes_writes(self.reserve.next_look())))
    }

    /// Whether a write may run: not while the log cannot take it, or snapshots fail, or where it adds data and the disk is
    /// nearly full.
    pub(crate) fn admit_write(&self, adds_data: bool) -> Result<(), CommandError> {
        if self.saving.refuses_writes() {
            return Err(saving::REFUSAL);
        }
        match self.propagation.admit_write()? {
            Some(position) if adds_data => self.admit_growth(position),
            _ => Ok(()),
        }
    }
}

impl Inner {
    /// Nothing is written any more, and the log ends as one that is complete.
    fn close_log(&self) {
        if let Some(log) = self.propagation.stop()
            && let Err(error) = log.close()
        {
            log::error!("The end of the log could not be written: {error}");
        }
        self.give_claim_back();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close_log();
    }
}

/// Gives every shard the thresholds of the configuration.
fn set_limits(keyspace: &Keyspace, services: &Services) {
    let (options, journal) = (TxnOptions::default(), Journal::default());
    let mut txn = keyspace.begin(keyspace.all_shards(), 0, options, journal);
    let limits = limits(&services.config.read(), txn.limits());
    txn.set_limits(limits);
}
