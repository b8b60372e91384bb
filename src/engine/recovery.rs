//! Start-up: finds the log, has it verified, applies it through the very same commands, and goes on writing it.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use innkeep_aof::{ApplyError, FsyncPolicy, Log, Options, Recovery, Report, RewriteSink};
use log::{info, warn};

use super::Inner;
use super::claim::PATIENCE;
use super::crew::workers;
use super::loading::{Wanted, tell_refusal};
use super::progress::Progress;
use super::starting::Loaded;
use crate::commands::{Command, CommandError, Context, Mode, Outcome, call, lookup};
use crate::config::Config;
use crate::error::Error;
use crate::keyspace::Txn;
use crate::keyspace::txn::{Effects, Journal};
use crate::reply::SinkReply;
use crate::request::{Parsed, Parser};
use crate::services::{ClientInfo, SessionState};

impl Inner {
    /// Loads the log of the configured directory and opens it for what follows.
    pub(super) fn open_log(&self) -> Result<Loaded, Error> {
        let started = std::time::Instant::now();
        self.claim_log(PATIENCE)?;
        let mut recovery = Recovery::open(Arc::clone(&self.storage), self.log_options())?;
        let is_blank = recovery.is_blank();
        if is_blank && let Loaded::Snapshot { path, bytes, .. } = self.open_snapshot()? {
            info!("The append only file begins with what the snapshot holds");
            self.start_log(self.with_first_base()?.start()?);
            return Ok(Loaded::Snapshot {
                path,
                bytes,
                begins_log: true,
            });
        }
        if is_blank {
            recovery = self.with_first_base()?;
        }
        self.expect_bytes(recovery.report().bytes);
        self.apply_log(&mut recovery)?;
        let report = recovery.report().clone();
        tell(&report, started.elapsed());
        self.start_log(recovery.start()?);
        if is_blank {
            return Ok(Loaded::Nothing);
        }
        let options = self.log_options();
        Ok(Loaded::Log {
            directory: options.directory.join(options.append_directory),
            report,
        })
    }

    /// What is in memory becomes the base of a log that has nothing yet. Until that base is complete the log counts as blank,
    /// so that an interruption loses nothing.
    fn with_first_base(&self) -> Result<Recovery, Error> {
        let sink = RewriteSink::alone(Arc::clone(&self.storage), &self.log_options())?;
        let mut txn = self.begin(self.keyspace.all_shards(), 0, Journal::default());
        let written = self.write_whole_base(&mut txn, sink);
        self.close(txn);
        written?;
        let options = self.log_options();
        Ok(Recovery::open(Arc::clone(&self.storage), options)?)
    }

    /// Loads the snapshot of the configured directory, where there is one.
    pub(super) fn open_snapshot(&self) -> Result<Loaded, Error> {
        let mut txn = self.begin(self.keyspace.all_shards(), 0, Journal::default());
        let result =
            self.load_snapshot(&mut txn, Wanted::default(), &mut Progress::new(self, true));
        self.close(txn);
        let loaded = result.inspect_err(|error| {
            tell_refusal(error);
            warn!("Terminating server after rdb file reading failure.");
        })?;
        Ok(loaded.map_or(Loaded::Nothing, |bytes| Loaded::Snapshot {
            path: self.rdb_path(),
            bytes,
            begins_log: false,
        }))
    }

    pub(super) fn start_log(&self, log: Log) {
        log.wake_when_lost(self.background.rewrite_waker());
        self.propagation.start(log);
        self.set_up_log();
        self.plan_rewrite();
    }

    /// What of the configuration may change while the log runs.
    pub(super) fn set_up_log(&self) {
        let config = self.services.config.read();
        let keep = config.bool("aof-disable-auto-gc");
        let timestamps = config.bool("aof-timestamp-enabled");
        drop(config);
        self.propagation.set_timestamps(timestamps);
        if let Some(log) = self.propagation.log() {
            log.set_keep_history(keep);
        }
    }

    pub(super) fn log_options(&self) -> Options {
        let config = self.services.config.read();
        let mut options = Options::new(config.path("dir"));
        options.append_directory =
            String::from_utf8_lossy(config.text("appenddirname")).into_owned();
        options.file_name = String::from_utf8_lossy(config.text("appendfilename")).into_owned();
        options.load_truncated = config.bool("aof-load-truncated");
        options.keep_history = config.bool("aof-disable-auto-gc");
        options.first_position = self.propagation.last_position();
        options.policy = policy_of(&config);
        options
    }

    pub(super) fn apply_log(&self, recovery: &mut Recovery) -> Result<(), Error> {
        let set = self.keyspace.all_shards();
        let mut txn = self.begin(set, 0, Journal::default());
        let mut progress = Progress::new(self, true);
        let result = self
            .load_base(&mut txn, recovery, &mut progress)
            .and_then(|()| self.replay(&mut txn, recovery, &mut progress));
        self.close(txn);
        result
    }

    /// Applies every command of a verified log within one transaction over everything.
    fn replay(
        &self,
        txn: &mut Txn<'_>,
        recovery: &Recovery,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        if progress.lets_others_in() && workers(&self.keyspace) > 1 {
            txn.relock(0);
            let result = self.replay_together(recovery, progress);
            txn.lock_all();
            return result;
        }
        let mut state = SessionState::new(Arc::new(ClientInfo::default()), true);
        let (database, before) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let applied = recovery.for_each_command(
            |_, bytes_before| {
                database.set(0);
                before.set(bytes_before);
            },
            |args, offset| {
                state.db = database.get();
                let result = self.apply_command(txn, &mut state, args);
                database.set(state.db);
                progress.begin_file(before.get());
                progress.advance(txn, offset);
                result
            },
        );
        applied.map(|_| ()).map_err(|error| match error {
            ApplyError::Log(error) => error.into(),
            ApplyError::Refused {
                path,
                offset,
                error,
            } => Error::Replay {
                path,
                offset,
                reason: error.to_string(),
            },
        })
    }

    fn apply_command(
        &self,
        txn: &mut Txn<'_>,
        state: &mut SessionState,
        args: &[&[u8]],
    ) -> Result<(), CommandError> {
        // What stands between them is whole: a torn transaction was cut off by the verification.
        if is_bracket(args) {
            return Ok(());
        }
        let command = lookup(args).map_err(|_| unknown(args))?;
        self.apply_known(txn, state, command, args)
    }

    /// Applies a command of the log in the database that `state` says, and notes there if it chooses another.
    pub(super) fn apply_known(
        &self,
        txn: &mut Txn<'_>,
        state: &mut SessionState,
        command: &'static Command,
        args: &[&[u8]],
    ) -> Result<(), CommandError> {
        txn.select(state.db);
        let mode = Mode {
            nested: true,
            retry: false,
            script: false,
            loading: true,
        };
        let (session, services, reply) = (state, &self.services, &mut SinkReply::new());
        let outcome = call(&mut Context {
            txn,
            args,
            reply,
            session,
            services,
            command,
            mode,
        })?;
        debug_assert!(
            matches!(outcome, Outcome::Done | Outcome::Block(_)),
            "the log holds effects only"
        );
        txn.journal.clear();
        Ok(())
    }

    /// DEBUG LOADAOF: everything is forgotten and read from the log again. Every shard is locked. What the transaction has
    /// done before, which the log has yet to be told, is done again on what comes from there.
    pub(super) fn reload_log(self: &Arc<Self>, txn: &mut Txn<'_>) -> Result<(), Error> {
        let log = self.propagation.log();
        if let Some(log) = &log {
            log.flush_and_sync()
                .map_err(|error| Error::Log(error.into()))?;
        }
        let mut recovery = Recovery::open(Arc::clone(&self.storage), self.log_options())?;
        // There may be one that BGREWRITEAOF has left, although nothing is logged.
        if log.is_none() && recovery.is_blank() {
            return Err(Error::NoLog);
        }
        // A script in the log may give way to others, who must not see half of the data.
        self.begin_loading();
        let untold = std::mem::take(&mut txn.journal.effects);
        let loaded = self.replace_all(txn, true, |txn| {
            txn.keep_expired(true);
            let mut progress = Progress::new(self, false);
            let result = self
                .load_base(txn, &mut recovery, &mut progress)
                .and_then(|()| self.replay(txn, &recovery, &mut progress))
                .and_then(|()| self.apply_effects(txn, &untold));
            txn.keep_expired(false);
            result
        });
        txn.journal.effects = untold;
        self.end_loading();
        loaded
    }

    /// Does again what has these effects.
    fn apply_effects(&self, txn: &mut Txn<'_>, effects: &Effects) -> Result<(), Error> {
        let mut state = SessionState::new(Arc::new(ClientInfo::default()), true);
        let (mut parser, mut words) = (Parser::new(), Vec::new());
        parser.set_max_bulk(usize::MAX);
        let mut begin = 0;
        for (index, (db, end)) in effects.commands.iter().enumerate() {
            let bytes = effects.bytes.get(begin..*end).unwrap_or_default();
            begin = *end;
            if effects.for_replicas.contains(&index) {
                continue;
            }
            words.clear();
            let parsed = parser.parse(bytes, &mut words);
            debug_assert!(matches!(parsed, Ok(Parsed::Complete { .. })), "{parsed:?}");
            let args: Vec<&[u8]> = words
                .iter()
                .filter_map(|word| bytes.get(word.clone()))
                .collect();
            state.db = *db;
            self.apply_command(txn, &mut state, &args)
                .map_err(|error| Error::Replay {
                    path: self.log_options().directory,
                    offset: 0,
                    reason: error.to_string(),
                })?;
        }
        Ok(())
    }

    /// Everything in memory gives way to what `load` brings, unless it is to stay. Nothing of it is logged again; what the
    /// transaction has collected before stays.
    pub(super) fn replace_all(
        &self,
        txn: &mut Txn<'_>,
        flush: bool,
        load: impl FnOnce(&mut Txn<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (before, propagating) = (txn.db(), txn.options().propagate);
        let collected = std::mem::take(&mut *txn.journal);
        txn.set_propagating(false);
        if flush {
            (0..self.keyspace.databases()).for_each(|db| {
                txn.flush_db(db, false);
            });
            self.services.lua.flush_functions();
        }
        let result = load(txn);
        txn.set_propagating(propagating);
        txn.select(before);
        *txn.journal = collected;
        self.background.expiry_set(0);
        result
    }

    /// DEBUG RELOAD: everything goes to a snapshot, and comes back from it, but for keys whose time has come: log and replicas
    /// are told of those. Every shard is locked. With `save` false what an earlier snapshot holds comes instead, which the
    /// log knows nothing of: it is rewritten.
    pub(super) fn reload_snapshot(
        self: &Arc<Self>,
        txn: &mut Txn<'_>,
        save: bool,
        flush: bool,
        merge: bool,
    ) -> Result<(), CommandError> {
        if save && self.save_now(txn).is_err() {
            return Err(CommandError::text("ERR"));
        }
        let left_out = RefCell::default();
        let wanted = Wanted {
            expired: false,
            merge,
            left_out: Some(&left_out),
        };
        let result = self.replace_all(txn, flush, |txn| {
            let mut progress = Progress::new(self, false);
            match self.load_snapshot(txn, wanted, &mut progress)? {
                Some(_) => Ok(()),
                None => Err(Error::Io(std::io::ErrorKind::NotFound.into())),
            }
        });
        if save && flush {
            for (db, key) in left_out.take() {
                txn.in_db(db, |txn| txn.propagate(&[b"DEL", &key]));
            }
        }
        if !save && self.propagation.log().is_some() {
            self.schedule_rewrite();
        }
        result.map_err(|error| {
            tell_refusal(&error);
            CommandError::text("ERR Error trying to load the RDB dump, check server logs.")
        })
    }

    /// Loads the base where it is an RDB, as a real Redis writes it. Keys whose time has come are kept: a command of the log
    /// may have given them another.
    fn load_base(
        &self,
        txn: &mut Txn<'_>,
        recovery: &mut Recovery,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let Some((path, mut bytes)) = recovery.rdb_base() else {
            return Ok(());
        };
        let path = path.to_owned();
        let wanted = Wanted {
            expired: true,
            ..Wanted::default()
        };
        let summary = self.load_rdb(txn, &path, &mut bytes, wanted, progress)?;
        info!(
            "The base {} is an RDB of version {} with {} keys",
            path.display(),
            summary.version,
            summary.keys
        );
        Ok(recovery.set_base_tail(summary.bytes)?)
    }
}

pub(super) fn policy_of(config: &Config) -> FsyncPolicy {
    policy_named(config.word("appendfsync"))
}

pub(super) fn policy_named(word: &str) -> FsyncPolicy {
    match word {
        "always" => FsyncPolicy::Always,
        "no" => FsyncPolicy::No,
        _ => FsyncPolicy::EverySec,
    }
}

pub(super) fn is_bracket(args: &[&[u8]]) -> bool {
    let [name] = args else { return false };
    name.eq_ignore_ascii_case(b"MULTI") || name.eq_ignore_ascii_case(b"EXEC")
}

pub(super) fn unknown(args: &[&[u8]]) -> CommandError {
    let name = String::from_utf8_lossy(args.first().copied().unwrap_or_default()).into_owned();
    format!("Unknown command '{name}' reading the append only file").into()
}

/// Says what was loaded, and what was not.
fn tell(report: &Report, time: std::time::Duration) {
    if report.bytes == 0 && report.cut.is_none() {
        info!("The log is empty or new: starting with no data");
    } else {
        let checked = if report.checksums {
            "every checksum is right"
        } else {
            "it has no checksums"
        };
        let (commands, bytes, seconds) = (report.commands, report.bytes, time.as_secs_f64());
        info!(
            "DB loaded from append only file: {commands} commands, {bytes} bytes, {checked}, {seconds:.3} seconds"
        );
    }
    if let Some(cut) = &report.cut {
        let (path, kept): (_, &PathBuf) = (cut.path.display(), &cut.kept_in);
        warn!(
            "The end of {path} was cut off at offset {}: {} bytes with {} whole commands that had never been synced ({}). \
             They are kept in {}",
            cut.offset,
            cut.bytes,
            cut.commands,
            cut.reason,
            kept.display()
        );
    }
}
