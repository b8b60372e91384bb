//! Scripts in Lua: whether they may run now, and what serves them while they do.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
#[cfg(feature = "lua")]
use std::time::Duration;

use super::script_calls::{Nested, Rights, admit_writes};
#[cfg(feature = "lua")]
use super::scripting::key_count;
use super::{CommandError, CommandResult, Context, Outcome, PRIMARY_DOWN, acl, lookup};
use crate::keyspace::Keyspace;
use crate::reply::{Reply, Response, ResponseReply};
use crate::script::flags::ScriptFlags;
use crate::script::lua::{Failure, Host};
use crate::services::running::Running;

const KILLED: &str = "Script killed by user with SCRIPT KILL...";
const LOAD_TIMEOUT: &str = "FUNCTION LOAD timeout";
/// How long the code of a library may take when it is loaded.
const LOAD_LIMIT_MS: i64 = 500;
/// What a debugger says at the end of a session that has not come to its script.
#[cfg(feature = "lua")]
const END_OF_SESSION: &[u8] = b"*1\r\n+<endsession>\r\n";
/// When a script that is debugged stops by itself, where `busy-reply-threshold` does not say.
#[cfg(feature = "lua")]
const DEBUG_PATIENCE_MS: u64 = 5000;
/// After so much work of its commands a script gives way, however few instructions it has run.
const LONG_WORK_US: i64 = 50_000;

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        if failure.counted {
            Self::Counted(failure.text)
        } else {
            Self::Text(failure.text.into())
        }
    }
}

/// Whether a script with these flags may run now, and what it may do then.
fn admit(
    context: &Context<'_, '_>,
    flags: ScriptFlags,
    read_only: bool,
) -> Result<Rights, CommandError> {
    let harmless = flags.has(ScriptFlags::NO_WRITES);
    let mut rights = Rights {
        read_only: read_only || harmless,
        allow_oom: flags.has(ScriptFlags::ALLOW_OOM),
    };
    let primary = &context.services.primary;
    if primary.is_too_stale() && !flags.has(ScriptFlags::ALLOW_STALE) {
        return Err(PRIMARY_DOWN);
    }
    if flags.has(ScriptFlags::UNDECLARED) {
        return Ok(rights);
    }
    if !harmless {
        if read_only {
            return Err(CommandError::text(
                "ERR Can not execute a script with write flag using *_ro command.",
            ));
        }
        if !context.mode.loading {
            let now_ms = context.txn.now_ms();
            admit_writes(context.services, context.session, now_ms, false)?;
        }
        if !rights.allow_oom && context.session.out_of_memory {
            return Err(CommandError::text(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
            ));
        }
        // What was allowed at its start is allowed to its end.
        rights.allow_oom = true;
    }
    Ok(rights)
}

/// What is run: its name for others, and whether it is a function.
#[derive(Debug, Clone)]
pub(super) struct Program<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) is_function: bool,
    pub(super) flags: ScriptFlags,
    pub(super) read_only: bool,
}

/// Runs a script with a host for it, and answers for it. Its commands log their own effects, so the command that ran it
/// logs nothing.
pub(super) fn run(
    context: &mut Context<'_, '_>,
    program: Program<'_>,
    start: impl FnOnce(&mut dyn Host, &mut dyn Reply) -> Result<(), Failure>,
) -> CommandResult {
    let rights = admit(context, program.flags, program.read_only)?;
    let words = context.args;
    let (db, session_db) = (context.txn.db(), context.session.db);
    let propagating = context.txn.options().propagate;
    let (nested, reply) = Nested::new(context, rights);
    let mut host = LuaHost {
        nested,
        words,
        program,
        busy: false,
        refused: false,
        worked_us: 0,
        propagating,
    };
    let result = catch_unwind(AssertUnwindSafe(|| start(&mut host, reply)));
    // Lua may have caught the panic of a command as an error.
    let inside = host.nested.inside;
    drop(host);
    context.txn.set_propagating(propagating);
    context.txn.propagate_nothing();
    context.txn.select(db);
    context.session.db = session_db;
    match result {
        // A command that panics is a mistake of the engine: its data may be half changed, and nobody may go on with it.
        Err(panic) => resume_unwind(panic),
        Ok(_) if inside => panic!("a command that a script called has panicked"),
        Ok(Ok(())) => Ok(Outcome::Done),
        Ok(Err(failure)) => Err(failure.into()),
    }
}

/// EVAL of a client that has said SCRIPT DEBUG: runs the script under the debugger, also where a native one stands for it.
/// Whatever comes of it, the debugger says that the session is over before the reply goes out.
#[cfg(feature = "lua")]
pub(super) fn debug(context: &mut Context<'_, '_>, read_only: bool) -> CommandResult {
    let result = run_debugged(context, read_only);
    let console = context.session.debugger.clone();
    if let (Err(_), Some(console)) = (&result, console)
        && !console.has_ended()
    {
        console.say(END_OF_SESSION, false);
        context.txn.give_way();
    }
    result
}

#[cfg(feature = "lua")]
fn run_debugged(context: &mut Context<'_, '_>, read_only: bool) -> CommandResult {
    let (words, services) = (context.args, context.services);
    let count = key_count(context, CommandError::NotInteger)?;
    let script = services.lua.cache(words[1], context.txn.random())?;
    let (seed, words) = (context.txn.random(), words[3..].split_at(count));
    let patience = services.config.read().u64("busy-reply-threshold");
    let patience = Duration::from_millis(if patience == 0 {
        DEBUG_PATIENCE_MS
    } else {
        patience
    });
    let program = Program {
        name: Cow::Borrowed(&script.name),
        is_function: false,
        flags: script.flags,
        read_only,
    };
    let shown = (context.args[1], patience);
    run(context, program, |host, reply| {
        services.lua.debug(&script, shown, words, seed, host, reply)
    })
}

struct LuaHost<'c, 'a, 't> {
    nested: Nested<'c, 't>,
    words: &'a [&'a [u8]],
    program: Program<'a>,
    /// Others have been told that it takes long.
    busy: bool,
    /// The last call that failed was refused.
    refused: bool,
    /// How long its commands have worked since it gave way.
    worked_us: i64,
    /// Whether effects are wanted, as long as the script says nothing else.
    propagating: bool,
}

impl LuaHost<'_, '_, '_> {
    fn begin_busy(&mut self, is_debugged: bool) {
        self.busy = true;
        let command = self.words.iter().map(|word| Box::from(*word)).collect();
        self.nested.services.running_script.begin(Running {
            name: self.program.name.clone().into_owned(),
            command,
            started_ms: self.nested.txn.now_ms(),
            is_function: self.program.is_function,
            wrote: self.nested.wrote,
            is_debugged,
        });
        self.nested.txn.keyspace().set_held_for_long(true);
    }

    fn warn_of_slowness(&self) {
        log::warn!(
            "Slow script detected: still in execution after {} milliseconds. You can try killing the script using the {} \
             KILL command. Script name is: {}.",
            self.nested.txn.keyspace().now_ms() - self.nested.txn.now_ms(),
            if self.program.is_function {
                "FUNCTION"
            } else {
                "SCRIPT"
            },
            self.program.name,
        );
    }

    /// Counts a call and its outcome as INFO shows them.
    fn count(&mut self, index: usize, started_us: i64, failed: Option<&str>) {
        let usec = (self.nested.txn.keyspace().now_us() - started_us).max(0);
        self.worked_us = self.worked_us.saturating_add(usec);
        let stats = &self.nested.services.stats;
        stats.commands.fetch_add(1, Ordering::Relaxed);
        let Some(counters) = stats.by_command.get(index) else {
            return;
        };
        counters.calls.fetch_add(1, Ordering::Relaxed);
        counters
            .usec
            .fetch_add(usec.unsigned_abs(), Ordering::Relaxed);
        if let Some(text) = failed {
            counters.failed.fetch_add(1, Ordering::Relaxed);
            stats.count_error(text);
        }
    }
}

impl Drop for LuaHost<'_, '_, '_> {
    fn drop(&mut self) {
        if self.busy {
            self.nested.txn.lock_all();
            self.nested.txn.forget_the_gone();
            self.nested.txn.keyspace().set_held_for_long(false);
            self.nested.services.running_script.end();
        }
    }
}

impl Host for LuaHost<'_, '_, '_> {
    fn call(&mut self, args: &[&[u8]], resp3: bool) -> Response {
        let wrote = self.nested.wrote;
        let command = match self.nested.admit(args) {
            Ok(command) => command,
            Err(refused) => {
                self.refused = true;
                let stats = &self.nested.services.stats;
                stats.count_error(&refused.text);
                if let Some(counters) = refused
                    .command
                    .and_then(|command| stats.by_command.get(command.index))
                {
                    counters.rejected.fetch_add(1, Ordering::Relaxed);
                }
                return Response::Error(refused.text);
            }
        };
        if self.busy && self.nested.wrote && !wrote {
            self.nested.services.running_script.note_write();
        }
        // A twin touches the keys that are declared, and those are locked.
        if self.nested.txn.has_gate() {
            self.nested.reach(command, args);
        }
        let started_us = self.nested.txn.keyspace().now_us();
        let now_ms = started_us / 1000;
        self.nested
            .services
            .feed_monitors(self.nested.session, args, now_ms, true);
        let mut reply = ResponseReply::new(resp3);
        let result = self.nested.run(command, args, &mut reply);
        let response = match result {
            Ok(()) => reply.take().unwrap_or(Response::Null),
            Err(text) => Response::Error(text),
        };
        let failed = match &response {
            Response::Error(text) => Some(text.as_str()),
            _ => None,
        };
        self.count(command.index, started_us, failed);
        response
    }

    fn is_due(&self) -> bool {
        self.worked_us >= LONG_WORK_US
    }

    fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    /// Who debugs may take any time: meanwhile others are told that they cannot be served.
    fn converse(&mut self, said: &[u8], wait: bool) -> Option<Vec<u8>> {
        let console = self.nested.session.debugger.clone()?;
        if !self.nested.txn.can_give_way() {
            return None;
        }
        console.say(said, wait);
        if !wait {
            console.end();
        }
        if wait && !self.busy {
            self.begin_busy(true);
        }
        loop {
            self.nested.txn.give_way();
            let heard = console.take_heard()?;
            if self.nested.services.running_script.must_end() {
                return None;
            }
            if !wait || !heard.is_empty() {
                return Some(heard);
            }
        }
    }

    fn may_run(&mut self, args: &[&[u8]]) -> Option<bool> {
        let command = lookup(args).ok()?;
        Some(acl::may_run(self.nested.session, command, args))
    }

    fn set_logging(&mut self, log: bool) {
        self.nested.txn.set_propagating(self.propagating && log);
    }

    fn tick(&mut self) -> Result<(), &'static str> {
        self.worked_us = 0;
        let txn = &mut *self.nested.txn;
        if !self.busy {
            let limit = self
                .nested
                .services
                .config
                .read()
                .u64("busy-reply-threshold");
            let elapsed = (txn.keyspace().now_ms() - txn.now_ms())
                .max(0)
                .unsigned_abs();
            if limit == 0 || elapsed < limit {
                return Ok(());
            }
            self.begin_busy(false);
            self.warn_of_slowness();
        }
        self.nested.txn.give_way();
        if self.nested.services.running_script.must_end() {
            return Err(KILLED);
        }
        Ok(())
    }
}

/// Serves the code of a library while it is loaded: it may call nothing, and not for long.
pub(super) struct LoadHost<'k> {
    keyspace: &'k Keyspace,
    started_ms: i64,
}

impl<'k> LoadHost<'k> {
    pub(super) fn new(keyspace: &'k Keyspace) -> Self {
        let started_ms = keyspace.now_ms();
        Self {
            keyspace,
            started_ms,
        }
    }
}

impl Host for LoadHost<'_> {
    fn call(&mut self, _: &[&[u8]], _: bool) -> Response {
        Response::Error("ERR redis.call can only be called inside a script invocation".into())
    }

    fn may_run(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }

    fn set_logging(&mut self, _: bool) {}

    fn tick(&mut self) -> Result<(), &'static str> {
        if self.keyspace.now_ms() - self.started_ms > LOAD_LIMIT_MS {
            return Err(LOAD_TIMEOUT);
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "lua"))]
mod tests;
#[cfg(all(test, feature = "lua"))]
mod twin_tests;
