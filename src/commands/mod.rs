//! The commands: one file a family, each with its entries, handlers and tests. A handler sees its transaction, its words,
//! its reply, and what the engine has besides its data; no lock, socket or file. Here: what a handler is given and what
//! it answers.

pub mod acl;
pub mod admin;
pub mod backup;
pub mod bitfield;
pub mod bitmaps;
pub mod blocking_lists;
pub mod client;
pub mod cluster;
pub mod command;
pub mod config;
pub mod connection;
pub mod counters;
pub mod databases;
pub mod debug;
pub(crate) mod digest;
pub mod docs;
pub mod dump;
pub mod elements;
pub mod error;
pub mod expiry;
pub mod field_expiry;
pub mod field_values;
pub mod functions;
pub mod geo;
pub mod hashes;
mod help;
pub mod hyperloglog;
pub mod info;
pub mod keys;
pub mod latency;
pub mod lcs;
pub mod lists;
pub mod lolwut;
mod lua_scripts;
pub mod memory;
mod memory_doctor;
pub mod migrate;
pub mod modules;
pub mod protection;
pub mod pubsub;
pub mod renaming;
pub mod replication;
pub mod scanning;
mod script_calls;
pub mod scripting;
pub mod sets;
pub mod slowlog;
pub mod sort;
pub mod sorted_set_algebra;
pub mod sorted_set_pops;
pub mod sorted_set_ranges;
pub mod sorted_sets;
pub mod spec;
pub mod stream_adds;
pub mod stream_claims;
pub mod stream_deletes;
pub mod stream_groups;
pub mod stream_info;
pub mod stream_reads;
pub mod streams;
pub mod strings;
pub mod table;
#[cfg(test)]
pub mod testing;
pub mod tracking;
pub mod transactions;

pub use error::{CommandError, PRIMARY_DOWN, READ_ONLY};
pub use spec::{CommandSpec, Flags};
pub use table::{Command, lookup, unknown_command};

use crate::keyspace::Txn;
use crate::reply::Reply;
use crate::services::primary::Address;
use crate::services::replicas::Wanted;
use crate::services::{Services, SessionState};
use crate::value::long_double::LongDouble;
use crate::value::number::{parse_f64, parse_f64_bound, parse_i64};

/// Every family's entries. A new family is named here once.
pub static FAMILIES: &[&[CommandSpec]] = &[
    acl::COMMANDS,
    admin::COMMANDS,
    backup::COMMANDS,
    bitfield::COMMANDS,
    bitmaps::COMMANDS,
    blocking_lists::COMMANDS,
    client::COMMANDS,
    cluster::COMMANDS,
    command::COMMANDS,
    config::COMMANDS,
    connection::COMMANDS,
    counters::COMMANDS,
    databases::COMMANDS,
    debug::COMMANDS,
    dump::COMMANDS,
    expiry::COMMANDS,
    field_expiry::COMMANDS,
    field_values::COMMANDS,
    geo::COMMANDS,
    functions::COMMANDS,
    hashes::COMMANDS,
    hyperloglog::COMMANDS,
    info::COMMANDS,
    keys::COMMANDS,
    latency::COMMANDS,
    lcs::COMMANDS,
    lists::COMMANDS,
    lolwut::COMMANDS,
    memory::COMMANDS,
    migrate::COMMANDS,
    modules::COMMANDS,
    pubsub::COMMANDS,
    replication::COMMANDS,
    scripting::COMMANDS,
    sets::COMMANDS,
    sort::COMMANDS,
    sorted_set_algebra::COMMANDS,
    sorted_set_pops::COMMANDS,
    sorted_set_ranges::COMMANDS,
    slowlog::COMMANDS,
    sorted_sets::COMMANDS,
    stream_adds::COMMANDS,
    stream_claims::COMMANDS,
    stream_deletes::COMMANDS,
    stream_groups::COMMANDS,
    stream_info::COMMANDS,
    stream_reads::COMMANDS,
    streams::COMMANDS,
    strings::COMMANDS,
    transactions::COMMANDS,
];

/// What a handler works with.
pub struct Context<'a, 't> {
    /// Its keys, locked; the clock; the random source.
    pub txn: &'a mut Txn<'t>,
    /// The command's words, its name first (a subcommand's words are not cut off).
    pub args: &'a [&'a [u8]],
    /// Where the answer goes. Nothing may have been written when an error is returned.
    pub reply: &'a mut dyn Reply,
    /// The session that asks.
    pub session: &'a mut SessionState,
    /// Everything besides the data.
    pub services: &'a Services,
    /// The entry that runs.
    pub command: &'static Command,
    /// How it runs.
    pub mode: Mode,
}

impl std::fmt::Debug for Context<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("command", &self.command.full_name)
            .finish_non_exhaustive()
    }
}

/// How a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mode {
    /// Inside EXEC or a script, or while the log is loaded: blocking commands answer at once as if their time were over.
    pub nested: bool,
    /// Run again for a waiter, because one of its keys became ready.
    pub retry: bool,
    /// Inside a script.
    pub script: bool,
    /// While the log is loaded: no limits, no authentication.
    pub loading: bool,
}

/// What a handler answers when it does not refuse.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The reply is written.
    Done,
    /// Nothing is written: wait until one of the keys changes, then run again.
    Block(Block),
    /// Run what MULTI queued.
    Exec,
    /// The reply is written; close the connection after it.
    Close,
    /// From now on every command that runs is shown to this session. The reply is written.
    Monitor,
    /// Stop the server; nothing is written.
    Shutdown(Shutdown),
    /// Rewrite the log; the engine answers.
    RewriteLog,
    /// Write a snapshot; the engine answers. `background` as in BGSAVE.
    Save {
        /// BGSAVE.
        background: bool,
        /// BGSAVE SCHEDULE: later, where a rewrite of the log runs.
        schedule: bool,
    },
    /// BACKUP: write a snapshot into this new file; the engine answers.
    BackUp(std::path::PathBuf),
    /// DEBUG RELOAD: write a snapshot and load it again; the engine answers.
    Reload {
        /// Write the snapshot first; otherwise the existing file is loaded.
        save: bool,
        /// Empty the databases before loading.
        flush: bool,
        /// Keys of the file replace those in memory.
        merge: bool,
    },
    /// MIGRATE: send keys to another server; the engine answers.
    Migrate(Box<migrate::Migration>),
    /// DEBUG LOADAOF: empty the databases and load the log again; the engine answers.
    LoadLog,
    /// SYNC and PSYNC: from now on this session is a replica; the engine answers.
    Follow(replication::From),
    /// REPLICAOF: follow this server, or nobody; the engine answers.
    ReplicaOf(Option<Address>),
    /// WAIT and WAITAOF: answer when there is what is wanted, or at a time (Unix milliseconds; `None`: for ever).
    AwaitReplicas(Wanted, Option<i64>),
    /// Hold everybody for so many milliseconds (DEBUG SLEEP), then answer `OK`.
    Sleep(u64),
}

/// A wish to wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Positions among the words of the keys to wait for.
    pub keys: Vec<usize>,
    /// Unix milliseconds; `None`: for ever.
    pub deadline_ms: Option<i64>,
    /// The answer when the time is over.
    pub on_timeout: TimeoutReply,
    /// What runs when a key is ready, for each of them; nothing: the command itself, with that key in place of all.
    pub commands: Vec<Vec<Box<[u8]>>>,
    /// Whether it also runs when a key is gone.
    pub when_gone: bool,
}

impl Block {
    /// A wish to wait until the command can be run again with one of the keys.
    #[must_use]
    pub const fn new(keys: Vec<usize>, deadline_ms: Option<i64>, on_timeout: TimeoutReply) -> Self {
        Self {
            keys,
            deadline_ms,
            on_timeout,
            commands: Vec::new(),
            when_gone: false,
        }
    }
}

/// What a blocking command answers when its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeoutReply {
    /// A null string.
    Null,
    /// A null array.
    NullArray,
    /// How much of what was wanted there is.
    Acknowledged(Wanted),
}

/// The options of SHUTDOWN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shutdown {
    /// `SAVE` (true) or `NOSAVE` (false).
    pub save: Option<bool>,
    /// `NOW`.
    pub now: bool,
    /// `FORCE`.
    pub force: bool,
    /// `ABORT`.
    pub abort: bool,
    /// DEBUG RESTART: the program starts again, so many milliseconds after its end.
    pub restart_ms: Option<u64>,
}

/// What handlers return.
pub type CommandResult = Result<Outcome, CommandError>;

impl Context<'_, '_> {
    /// A word as an integer.
    pub fn int(&self, position: usize) -> Result<i64, CommandError> {
        self.args
            .get(position)
            .and_then(|word| parse_i64(word))
            .ok_or(CommandError::NotInteger)
    }

    /// A word as a floating-point number.
    pub fn float(&self, position: usize) -> Result<f64, CommandError> {
        self.args
            .get(position)
            .and_then(|word| parse_f64(word))
            .ok_or(CommandError::NotFloat)
    }

    /// Whether a word is this option, in any case.
    #[must_use]
    pub fn is(&self, position: usize, option: &str) -> bool {
        self.args
            .get(position)
            .is_some_and(|word| word.eq_ignore_ascii_case(option.as_bytes()))
    }

    /// A blocking command's timeout in seconds at this position, as a deadline; `None`: for ever.
    pub fn deadline(&self, position: usize) -> Result<Option<i64>, CommandError> {
        // What a long double holds is a number to Redis, even where it is infinite or 0 as a double.
        let seconds = self
            .args
            .get(position)
            .filter(|word| LongDouble::parse(word).is_some())
            .and_then(|word| parse_f64_bound(word))
            .ok_or(CommandError::TimeoutNotFloat)?;
        let ms = (seconds * 1000.0).ceil();
        if ms < 0.0 {
            return Err(CommandError::NegativeTimeout);
        }
        if ms > i64::MAX as f64 {
            return Err(CommandError::TimeoutOutOfRange);
        }
        if ms == 0.0 {
            return Ok(None);
        }
        let deadline = self
            .txn
            .now_ms()
            .checked_add(ms as i64)
            .ok_or(CommandError::TimeoutOutOfRange)?;
        Ok(Some(deadline))
    }

    /// Waits for keys at these positions, or answers at once where waiting is not allowed.
    pub fn block(
        &mut self,
        keys: Vec<usize>,
        deadline_ms: Option<i64>,
        on_timeout: TimeoutReply,
    ) -> CommandResult {
        self.block_with(Block::new(keys, deadline_ms, on_timeout))
    }

    /// The same for a wish that says more.
    pub fn block_with(&mut self, block: Block) -> CommandResult {
        if !self.mode.nested {
            return Ok(Outcome::Block(block));
        }
        match block.on_timeout {
            TimeoutReply::Null => self.reply.null(),
            TimeoutReply::NullArray => self.reply.null_array(),
            TimeoutReply::Acknowledged(wanted) => {
                replication::answer(self.services, &wanted, self.reply);
            }
        }
        Ok(Outcome::Done)
    }
}

/// Runs one command's handler within a transaction: counts the words, calls it, logs its effect. An error is returned,
/// not written. The engine, EXEC, scripts, waiters and the loader all run commands through here.
pub fn call(context: &mut Context<'_, '_>) -> CommandResult {
    if !context.command.spec.accepts(context.args.len()) {
        return Err(CommandError::WrongArity(context.command.full_name.clone()));
    }
    call_counted(context)
}

/// The same for words that are known to be as many as the command takes.
#[inline]
pub(crate) fn call_counted(context: &mut Context<'_, '_>) -> CommandResult {
    let spec = context.command.spec;
    let entered = context.txn.enter();
    let result = (spec.handler)(context);
    context.txn.leave(&entered, context.args);
    // A script notes the keys that it declares, when something in it reads.
    let reads = spec.flags.has(Flags::READONLY) && !spec.flags.has(Flags::RUNS_SCRIPT);
    if context.session.tracking.is_some() && reads && !context.mode.script {
        tracking::remember(context);
    }
    result
}
