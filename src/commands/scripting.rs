//! EVAL, FCALL, SCRIPT and FUNCTION over the registry of native scripts. What a script calls runs through the same
//! `call` as everything else, inside the transaction of the command that runs the script.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::help::{self, container, wrong_subcommand};
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec};
use super::{Command, CommandError, CommandResult, Context, Mode, Outcome, call, lookup};
use crate::keyspace::ShardSet;
use crate::reply::{Reply, Response, ResponseReply};
use crate::script::{Caller, Script, ScriptContext, ScriptError, ScriptResult, sha1_of};
use crate::value::glob::matches;
use crate::value::number::parse_i64;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "script:string numkeys:integer key:key#0?* arg:string?*",
        acl: "slow scripting",
        keys: &[KeySpec {
            flags: "RW access update",
            notes: "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",
            begin: Begin::Index(2),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
        }],
        group: "scripting",
        since: "2.6.0",
        summary: "Execute a Lua script server side",
        complexity: "Depends on the script that is executed.",
        ..CommandSpec::new(
            "eval",
            -3,
            Flags::NOSCRIPT
                .and(Flags::STALE)
                .and(Flags::SKIP_MONITOR)
                .and(Flags::NO_MANDATORY_KEYS)
                .and(Flags::MOVABLEKEYS)
                .and(Flags::MAY_WRITE),
            eval,
        )
    },
    CommandSpec {
        arguments: "script:string numkeys:integer key:key#0?* arg:string?*",
        acl: "slow scripting",
        keys: &[KeySpec {
            flags: "RO access",
            notes: "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",
            begin: Begin::Index(2),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
        }],
        group: "scripting",
        since: "7.0.0",
        summary: "Execute a read-only Lua script server side",
        complexity: "Depends on the script that is executed.",
        ..CommandSpec::new(
            "eval_ro",
            -3,
            Flags::READONLY
                .and(Flags::NOSCRIPT)
                .and(Flags::STALE)
                .and(Flags::SKIP_MONITOR)
                .and(Flags::NO_MANDATORY_KEYS)
                .and(Flags::MOVABLEKEYS),
            eval_ro,
        )
    },
    CommandSpec {
        arguments: "sha1:string numkeys:integer key:key#0?* arg:string?*",
        acl: "slow scripting",
        keys: &[KeySpec {
            flags: "RW access update",
            notes: "",
            begin: Begin::Index(2),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
        }],
        group: "scripting",
        since: "2.6.0",
        summary: "Execute a Lua script server side",
        complexity: "Depends on the script that is executed.",
        ..CommandSpec::new(
            "evalsha",
            -3,
            Flags::NOSCRIPT
                .and(Flags::STALE)
                .and(Flags::SKIP_MONITOR)
                .and(Flags::NO_MANDATORY_KEYS)
                .and(Flags::MOVABLEKEYS)
                .and(Flags::MAY_WRITE),
            evalsha,
        )
    },
    CommandSpec {
        arguments: "sha1:string numkeys:integer key:key#0?* arg:string?*",
        acl: "slow scripting",
        keys: &[KeySpec {
            flags: "RO access",
            notes: "",
            begin: Begin::Index(2),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
        }],
        group: "scripting",
        since: "7.0.0",
        summary: "Execute a read-only Lua script server side",
        complexity: "Depends on the script that is executed.",
        ..CommandSpec::new(
            "evalsha_ro",
            -3,
            Flags::READONLY
                .and(Flags::NOSCRIPT)
                .and(Flags::STALE)
                .and(Flags::SKIP_MONITOR)
                .and(Flags::NO_MANDATORY_KEYS)
                .and(Flags::MOVABLEKEYS),
            evalsha_ro,
        )
    },
    CommandSpec {
        arguments: "function:string numkeys:integer key:key#0?* arg:string?*",
        acl: "slow scripting",
        keys: &[KeySpec {
            flags: "RW access update",
            notes: "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",
            begin: Begin::Index(2),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
        }],
        group: "scripting",
        since: "7.0.0",
        summary: "Invoke a function",
        complexity: "Depends on the function that is executed.",
        ..CommandSpec::new(
            "fcall",
            -3,
            Flags::NOSCRIPT
                .and(Flags::STALE)
                .and(Flags::SKIP_MONITOR)
                .and(Flags::NO_MANDATORY_KEYS)
                .and(Flags::MOVABLEKEYS)
                .and(Flags::MAY_WRITE),
            fcall,
        )
    },
    CommandSpec {
        arguments: "function:string numkeys:integer key:key#0?* arg:string?*",
        acl: "slow scripting",
        keys: &[KeySpec {
            flags: "RO access",
            notes: "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",
            begin: Begin::Index(2),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
        }],
        group: "scripting",
        since: "7.0.0",
        summary: "Invoke a read-only function",
        complexity: "Depends on the function that is executed.",
        ..CommandSpec::new(
            "fcall_ro",
            -3,
            Flags::READONLY
                .and(Flags::NOSCRIPT)
                .and(Flags::STALE)
                .and(Flags::SKIP_MONITOR)
                .and(Flags::NO_MANDATORY_KEYS)
                .and(Flags::MOVABLEKEYS),
            fcall_ro,
        )
    },
    CommandSpec {
        acl: "slow",
        group: "scripting",
        since: "7.0.0",
        summary: "A container for function commands",
        complexity: "Depends on subcommand.",
        subcommands: &[
            CommandSpec {
                arguments: "library-name:string",
                acl: "write slow scripting",
                group: "scripting",
                since: "7.0.0",
                summary: "Delete a function by name",
                complexity: "O(1)",
                tips: "request_policy:all_shards response_policy:all_succeeded",
                ..CommandSpec::new(
                    "delete",
                    3,
                    Flags::WRITE.and(Flags::NOSCRIPT),
                    function_delete,
                )
            },
            CommandSpec {
                acl: "slow scripting",
                group: "scripting",
                since: "7.0.0",
                summary: "Dump all functions into a serialized binary payload",
                complexity: "O(N) where N is the number of functions",
                ..CommandSpec::new("dump", 2, Flags::NOSCRIPT, function_dump)
            },
            CommandSpec {
                arguments: "async:oneof?{async:pure-token=ASYNC sync:pure-token=SYNC}",
                acl: "write slow scripting",
                group: "scripting",
                since: "7.0.0",
                summary: "Deleting all functions",
                complexity: "O(N) where N is the number of functions deleted",
                tips: "request_policy:all_shards response_policy:all_succeeded",
                ..CommandSpec::new(
                    "flush",
                    -2,
                    Flags::WRITE.and(Flags::NOSCRIPT),
                    function_flush,
                )
            },
            CommandSpec {
                acl: "slow scripting",
                group: "scripting",
                since: "7.0.0",
                summary: "Show helpful text about the different subcommands",
                complexity: "O(1)",
                ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), function_help)
            },
            CommandSpec {
                acl: "slow scripting",
                group: "scripting",
                since: "7.0.0",
                summary: "Kill the function currently in execution.",
                complexity: "O(1)",
                tips: "request_policy:all_shards response_policy:one_succeeded",
                ..CommandSpec::new(
                    "kill",
                    2,
                    Flags::NOSCRIPT.and(Flags::ALLOW_BUSY),
                    function_kill,
                )
            },
            CommandSpec {
                arguments: "library-name-pattern:string=LIBRARYNAME? withcode:pure-token=WITHCODE?",
                acl: "slow scripting",
                group: "scripting",
                since: "7.0.0",
                summary: "List information about all the functions",
                complexity: "O(N) where N is the number of functions",
                tips: "nondeterministic_output_order",
                ..CommandSpec::new("list", -2, Flags::NOSCRIPT, function_list)
            },
            CommandSpec {
                arguments: "replace:pure-token=REPLACE? function-code:string",
                acl: "write slow scripting",
                group: "scripting",
                since: "7.0.0",
                summary: "Create a function with the given arguments (name, code, description)",
                complexity: "O(1) (considering compilation time is redundant)",
                tips: "request_policy:all_shards response_policy:all_succeeded",
                ..CommandSpec::new(
                    "load",
                    -3,
                    Flags::WRITE.and(Flags::DENYOOM).and(Flags::NOSCRIPT),
                    function_load,
                )
            },
            CommandSpec {
                arguments: "serialized-value:string policy:oneof?{flush:pure-token=FLUSH append:pure-token=APPEND replace:pure-token=REPLACE}",
                acl: "write slow scripting",
                group: "scripting",
                since: "7.0.0",
                summary: "Restore all the functions on the given payload",
                complexity: "O(N) where N is the number of functions on the payload",
                tips: "request_policy:all_shards response_policy:all_succeeded",
                ..CommandSpec::new(
                    "restore",
                    -3,
                    Flags::WRITE.and(Flags::DENYOOM).and(Flags::NOSCRIPT),
                    function_restore,
                )
            },
            CommandSpec {
                acl: "slow scripting",
                group: "scripting",
                since: "7.0.0",
                summary: "Return information about the function currently running (name, description, duration)",
                complexity: "O(1)",
                tips: "nondeterministic_output request_policy:all_shards response_policy:special",
                ..CommandSpec::new(
                    "stats",
                    2,
                    Flags::NOSCRIPT.and(Flags::ALLOW_BUSY),
                    function_stats,
                )
            },
        ],
        ..CommandSpec::new("function", -2, Flags::NONE, container)
    },
    CommandSpec {
        acl: "slow",
        group: "scripting",
        since: "2.6.0",
        summary: "A container for Lua scripts management commands",
        complexity: "Depends on subcommand.",
        subcommands: &[
            CommandSpec {
                arguments: "mode:oneof{yes:pure-token=YES sync:pure-token=SYNC no:pure-token=NO}",
                acl: "slow scripting",
                group: "scripting",
                since: "3.2.0",
                summary: "Set the debug mode for executed scripts.",
                complexity: "O(1)",
                ..CommandSpec::new("debug", 3, Flags::NOSCRIPT, script_debug)
            },
            CommandSpec {
                arguments: "sha1:string*",
                acl: "slow scripting",
                group: "scripting",
                since: "2.6.0",
                summary: "Check existence of scripts in the script cache.",
                complexity: "O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).",
                tips: "request_policy:all_shards response_policy:agg_logical_and",
                ..CommandSpec::new("exists", -3, Flags::NOSCRIPT, script_exists)
            },
            CommandSpec {
                arguments: "async:oneof?@6.2.0{async:pure-token=ASYNC sync:pure-token=SYNC}",
                acl: "slow scripting",
                group: "scripting",
                since: "2.6.0",
                summary: "Remove all the scripts from the script cache.",
                complexity: "O(N) with N being the number of scripts in cache",
                tips: "request_policy:all_nodes response_policy:all_succeeded",
                history: &[(
                    "6.2.0",
                    "Added the `ASYNC` and `SYNC` flushing mode modifiers.",
                )],
                ..CommandSpec::new("flush", -2, Flags::NOSCRIPT, script_flush)
            },
            CommandSpec {
                acl: "slow scripting",
                group: "scripting",
                since: "5.0.0",
                summary: "Show helpful text about the different subcommands",
                complexity: "O(1)",
                ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), script_help)
            },
            CommandSpec {
                acl: "slow scripting",
                group: "scripting",
                since: "2.6.0",
                summary: "Kill the script currently in execution.",
                complexity: "O(1)",
                tips: "request_policy:all_shards response_policy:one_succeeded",
                ..CommandSpec::new(
                    "kill",
                    2,
                    Flags::NOSCRIPT.and(Flags::ALLOW_BUSY),
                    script_kill,
                )
            },
            CommandSpec {
                arguments: "script:string",
                acl: "slow scripting",
                group: "scripting",
                since: "2.6.0",
                summary: "Load the specified Lua script into the script cache.",
                complexity: "O(N) with N being the length in bytes of the script body.",
                tips: "request_policy:all_nodes response_policy:all_succeeded",
                ..CommandSpec::new("load", 3, Flags::NOSCRIPT.and(Flags::STALE), script_load)
            },
        ],
        ..CommandSpec::new("script", -2, Flags::NONE, container)
    },
];

// ------------------------------------------------------------------------------------------------ running a script

const NO_LUA: CommandError = CommandError::text(
    "ERR this server has no Lua yet: register the script as a native script (see NATIVE-SCRIPTS in the README)",
);
const NO_SCRIPT: CommandError = CommandError::text("NOSCRIPT No matching script. Please use EVAL.");

/// What the number of keys says: how many words after it are keys.
fn key_count(context: &Context<'_, '_>, no_number: CommandError) -> Result<usize, CommandError> {
    let count = parse_i64(context.args[2]).ok_or(no_number)?;
    let room = context.args.len() - 3;
    if count > room as i64 {
        return Err(CommandError::text(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    usize::try_from(count).map_err(|_| CommandError::text("ERR Number of keys can't be negative"))
}

fn eval_body(context: &mut Context<'_, '_>, read_only: bool) -> CommandResult {
    let keys = key_count(context, CommandError::NotInteger)?;
    let script = context.services.scripts.by_body(context.args[1]);
    run_script(context, &script.ok_or(NO_LUA)?, keys, read_only)
}

fn eval_sha1(context: &mut Context<'_, '_>, read_only: bool) -> CommandResult {
    let digits = context.args[1];
    if digits.len() != 40 {
        return Err(NO_SCRIPT);
    }
    let keys = key_count(context, CommandError::NotInteger)?;
    let script = context.services.scripts.by_sha1(digits);
    run_script(context, &script.ok_or(NO_SCRIPT)?, keys, read_only)
}

fn call_function(context: &mut Context<'_, '_>, read_only: bool) -> CommandResult {
    let script = context.services.scripts.by_name(context.args[1]);
    let script = script.ok_or(CommandError::text("ERR Function not found"))?;
    let no_number = CommandError::text("ERR Bad number of keys provided");
    let keys = key_count(context, no_number)?;
    if read_only && !script.is_read_only() {
        return Err(CommandError::text(
            "ERR Can not execute a script with write flag using *_ro command.",
        ));
    }
    run_script(context, &script, keys, read_only)
}

fn eval(context: &mut Context<'_, '_>) -> CommandResult {
    eval_body(context, false)
}

fn eval_ro(context: &mut Context<'_, '_>) -> CommandResult {
    eval_body(context, true)
}

fn evalsha(context: &mut Context<'_, '_>) -> CommandResult {
    eval_sha1(context, false)
}

fn evalsha_ro(context: &mut Context<'_, '_>) -> CommandResult {
    eval_sha1(context, true)
}

fn fcall(context: &mut Context<'_, '_>) -> CommandResult {
    call_function(context, false)
}

fn fcall_ro(context: &mut Context<'_, '_>) -> CommandResult {
    call_function(context, true)
}

/// Runs a script and answers for it. Its commands log their own effects, so the command that ran it logs nothing.
fn run_script(
    context: &mut Context<'_, '_>,
    script: &Arc<Script>,
    keys: usize,
    read_only: bool,
) -> CommandResult {
    let words = context.args;
    let (keys, args) = words[3..].split_at(keys);
    let (db, session_db) = (context.txn.db(), context.session.db);
    let mut nested = Nested {
        context: &mut *context,
        read_only: read_only || script.is_read_only(),
        inside: false,
    };
    let result = catch_unwind(AssertUnwindSafe(|| {
        script.run(&mut ScriptContext::new(keys, args, &mut nested))
    }));
    let inside = nested.inside;
    context.txn.propagate_nothing();
    context.txn.select(db);
    context.session.db = session_db;
    match result {
        Ok(Ok(response)) => response.write_to(context.reply),
        Ok(Err(error)) => return Err(error.to_string().into()),
        // A command that panics is a mistake of the engine: its data may be half changed, and nobody may go on with it.
        Err(panic) if inside => resume_unwind(panic),
        Err(_) => {
            let name = script.name();
            return Err(format!("ERR the native script '{name}' panicked").into());
        }
    }
    Ok(Outcome::Done)
}

/// The way back from a script into the commands.
struct Nested<'c, 'a, 't> {
    context: &'c mut Context<'a, 't>,
    read_only: bool,
    /// A command runs at this moment.
    inside: bool,
}

impl Caller for Nested<'_, '_, '_> {
    fn call(&mut self, args: &[&[u8]]) -> ScriptResult {
        let command = self.admit(args)?;
        let mut reply = ResponseReply::new(false);
        self.inside = true;
        let Context {
            txn,
            session,
            services,
            mode,
            ..
        } = &mut *self.context;
        let result = call(&mut Context {
            txn,
            args,
            reply: &mut reply,
            session,
            services,
            command,
            mode: Mode {
                nested: true,
                script: true,
                ..*mode
            },
        });
        self.inside = false;
        if command.spec.flags.has(Flags::READONLY) {
            super::tracking::remember(self.context);
        }
        match result {
            Ok(Outcome::Done) => match reply.take() {
                Some(Response::Error(text)) => Err(ScriptError::new(text)),
                Some(response) => Ok(response),
                None => Ok(Response::Null),
            },
            Ok(_) => Err(NOT_FROM_SCRIPT),
            Err(error) => Err(ScriptError::new(error.to_string())),
        }
    }

    fn now_ms(&self) -> i64 {
        self.context.txn.now_ms()
    }

    fn random(&mut self) -> u64 {
        self.context.txn.random()
    }
}

const NOT_FROM_SCRIPT: ScriptError =
    ScriptError::fixed("ERR This Redis command is not allowed from script");

impl Nested<'_, '_, '_> {
    /// The entry of a command that the script may run.
    fn admit(&self, args: &[&[u8]]) -> Result<&'static Command, ScriptError> {
        if args.is_empty() {
            return Err(ScriptError::fixed(
                "ERR Please specify at least one argument for this redis lib call",
            ));
        }
        let unknown = |_| ScriptError::fixed("ERR Unknown Redis command called from script");
        let command = lookup(args).map_err(unknown)?;
        let flags = command.spec.flags;
        if !command.spec.accepts(args.len()) {
            return Err(ScriptError::fixed(
                "ERR Wrong number of args calling Redis command from script",
            ));
        }
        super::acl::admit_from_script(self.context, command, args).map_err(ScriptError::fixed)?;
        let switches = &self.context.services.switches;
        if flags.has(Flags::NOSCRIPT) && !switches.scripts_unrestricted.load(Ordering::Relaxed) {
            return Err(NOT_FROM_SCRIPT);
        }
        if self.read_only && (flags.has(Flags::WRITE) || flags.has(Flags::MAY_REPLICATE)) {
            return Err(ScriptError::fixed(
                "ERR Write commands are not allowed from read-only scripts.",
            ));
        }
        // A script that has written already may go on to its end.
        let begins = self.context.txn.journal.dirty == 0;
        if begins && self.context.session.out_of_memory && flags.has(Flags::DENYOOM) {
            return Err(ScriptError::fixed(
                "OOM command not allowed when used memory > 'maxmemory'.",
            ));
        }
        if self.needed_shards(command, args) & !self.context.txn.held() != 0 {
            return Err(ScriptError::fixed(
                "ERR a native script may only touch the keys that its call declares",
            ));
        }
        Ok(command)
    }

    fn needed_shards(&self, command: &Command, args: &[&[u8]]) -> ShardSet {
        let flags = command.spec.flags;
        let keyspace = self.context.txn.keyspace();
        // Without declared keys only the constant commands (PING, TIME, PUBLISH …) leave the data alone.
        let may_touch_any = command.spec.keys.is_empty() && !flags.has(Flags::FAST);
        if command.needs_all_shards(args) || may_touch_any {
            return keyspace.all_shards();
        }
        let mut keys: Vec<&[u8]> = Vec::new();
        command.key_positions(args, |position| keys.extend(args.get(position)));
        keyspace.shard_set(keys)
    }
}

// ------------------------------------------------------------------------------------------------ SCRIPT

fn ok(context: &mut Context<'_, '_>) -> CommandResult {
    context.reply.ok();
    Ok(Outcome::Done)
}

fn is_flush_mode(context: &Context<'_, '_>) -> bool {
    match context.args.len() {
        2 => true,
        3 => context.is(2, "sync") || context.is(2, "async"),
        _ => false,
    }
}

fn script_load(context: &mut Context<'_, '_>) -> CommandResult {
    let body = context.args[2];
    context.services.scripts.by_body(body).ok_or(NO_LUA)?;
    let digits: String = sha1_of(body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    context.reply.bulk(digits.as_bytes());
    Ok(Outcome::Done)
}

fn script_exists(context: &mut Context<'_, '_>) -> CommandResult {
    let digits = &context.args[2..];
    context.reply.array(digits.len());
    for digits in digits {
        let known = context.services.scripts.by_sha1(digits).is_some();
        context.reply.int(i64::from(known));
    }
    Ok(Outcome::Done)
}

/// There is no cache to empty: native scripts are part of the program.
fn script_flush(context: &mut Context<'_, '_>) -> CommandResult {
    if !is_flush_mode(context) {
        return Err(CommandError::text(
            "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
        ));
    }
    ok(context)
}

/// Native scripts run to their end, with their keys locked; nobody can find one running.
fn script_kill(_: &mut Context<'_, '_>) -> CommandResult {
    Err(CommandError::text(
        "NOTBUSY No scripts in execution right now.",
    ))
}

fn script_debug(context: &mut Context<'_, '_>) -> CommandResult {
    if context.is(2, "no") {
        ok(context)
    } else if context.is(2, "yes") || context.is(2, "sync") {
        Err(CommandError::text(
            "ERR this server has no Lua yet, and no debugger for it",
        ))
    } else {
        Err(CommandError::text("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
    }
}

const SCRIPT_HELP: &[&str] = &[
    "DEBUG (YES|SYNC|NO)",
    "    Set the debug mode for subsequent scripts executed.",
    "EXISTS <sha1> [<sha1> ...]",
    "    Return information about the existence of the scripts in the script cache.",
    "FLUSH [ASYNC|SYNC]",
    "    Flush the Lua scripts cache. Very dangerous on replicas.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the scripts cache.",
    "    * SYNC: Synchronously flush the scripts cache.",
    "KILL",
    "    Kill the currently executing Lua script.",
    "LOAD <script>",
    "    Load a script into the scripts cache without executing it.",
];

fn script_help(context: &mut Context<'_, '_>) -> CommandResult {
    help::reply(context, SCRIPT_HELP)
}

// ------------------------------------------------------------------------------------------------ FUNCTION

/// The library that native scripts are listed in.
const LIBRARY: &str = "innkeep";
/// What runs them, where Redis names `LUA`.
const ENGINE: &str = "NATIVE";
/// What FUNCTION DUMP answers where no library was loaded: the version of the format, and a checksum.
const EMPTY_DUMP: &[u8] = b"\n\x00]\x9b\\@\x0f\x7f\xa2\xda";

fn function_list(context: &mut Context<'_, '_>) -> CommandResult {
    let (mut pattern, mut with_code) = (None, false);
    let mut position = 2;
    while let Some(word) = context.args.get(position) {
        if context.is(position, "withcode") && !with_code {
            with_code = true;
        } else if context.is(position, "libraryname") && pattern.is_none() {
            position += 1;
            let missing = CommandError::text("ERR library name argument was not given");
            pattern = Some(*context.args.get(position).ok_or(missing)?);
        } else {
            let word = String::from_utf8_lossy(word);
            return Err(format!("ERR Unknown argument {word}").into());
        }
        position += 1;
    }
    if pattern.is_some_and(|pattern| !matches(pattern, LIBRARY.as_bytes(), true)) {
        context.reply.array(0);
        return Ok(Outcome::Done);
    }
    let scripts = context.services.scripts.list();
    let reply = &mut *context.reply;
    reply.array(1);
    reply.map(3 + usize::from(with_code));
    reply.bulk(b"library_name");
    reply.bulk(LIBRARY.as_bytes());
    reply.bulk(b"engine");
    reply.bulk(ENGINE.as_bytes());
    reply.bulk(b"functions");
    reply.array(scripts.len());
    scripts.iter().for_each(|script| describe(reply, script));
    if with_code {
        // It is machine code.
        reply.bulk(b"library_code");
        reply.null();
    }
    Ok(Outcome::Done)
}

fn describe(reply: &mut dyn Reply, script: &Script) {
    reply.map(3);
    reply.bulk(b"name");
    reply.bulk(script.name().as_bytes());
    reply.bulk(b"description");
    if script.describe().is_empty() {
        reply.null();
    } else {
        reply.bulk(script.describe().as_bytes());
    }
    reply.bulk(b"flags");
    reply.set(usize::from(script.is_read_only()));
    if script.is_read_only() {
        reply.simple("no-writes");
    }
}

fn function_stats(context: &mut Context<'_, '_>) -> CommandResult {
    let functions = context.services.scripts.list().len();
    let reply = &mut *context.reply;
    reply.map(2);
    reply.bulk(b"running_script");
    reply.null();
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(ENGINE.as_bytes());
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.int(1);
    reply.bulk(b"functions_count");
    reply.int(functions as i64);
    Ok(Outcome::Done)
}

fn function_flush(context: &mut Context<'_, '_>) -> CommandResult {
    if context.args.len() > 3 {
        return Err(wrong_subcommand(context));
    }
    if !is_flush_mode(context) {
        return Err(CommandError::text(
            "ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
        ));
    }
    ok(context)
}

fn function_delete(context: &mut Context<'_, '_>) -> CommandResult {
    Err(if context.args[2] == LIBRARY.as_bytes() {
        CommandError::text("ERR the library innkeep is part of the program and cannot be deleted")
    } else {
        CommandError::text("ERR Library not found")
    })
}

fn function_load(_: &mut Context<'_, '_>) -> CommandResult {
    Err(NO_LUA)
}

fn function_kill(context: &mut Context<'_, '_>) -> CommandResult {
    script_kill(context)
}

fn function_dump(context: &mut Context<'_, '_>) -> CommandResult {
    context.reply.bulk(EMPTY_DUMP);
    Ok(Outcome::Done)
}

fn function_restore(context: &mut Context<'_, '_>) -> CommandResult {
    let policies = ["flush", "append", "replace"];
    match context.args.len() {
        3 => {}
        4 if policies.iter().any(|policy| context.is(3, policy)) => {}
        4 => {
            return Err(CommandError::text(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => {
            return Err(wrong_subcommand(context));
        }
    }
    let payload = context.args[2];
    if payload.len() < EMPTY_DUMP.len() {
        return Err(CommandError::text(
            "ERR DUMP payload version or checksum are wrong",
        ));
    }
    if payload != EMPTY_DUMP {
        return Err(NO_LUA);
    }
    ok(context)
}

const FUNCTION_HELP: &[&str] = &[
    "LOAD [REPLACE] <FUNCTION CODE>",
    "    Create a new library with the given library name and code.",
    "DELETE <LIBRARY NAME>",
    "    Delete the given library.",
    "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
    "    Return general information on all the libraries:",
    "    * Library name",
    "    * The engine used to run the Library",
    "    * Library description",
    "    * Functions list",
    "    * Library code (if WITHCODE is given)",
    "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
    "STATS",
    "    Return information about the current function running:",
    "    * Function name",
    "    * Command used to run the function",
    "    * Duration in MS that the function is running",
    "    If no function is running, return nil",
    "    In addition, returns a list of available engines.",
    "KILL",
    "    Kill the current running function.",
    "FLUSH [ASYNC|SYNC]",
    "    Delete all the libraries.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the libraries.",
    "    * SYNC: Synchronously flush the libraries.",
    "DUMP",
    "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
    "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
    "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
    "    control how to handle existing libraries (default APPEND):",
    "    * FLUSH: delete all existing libraries.",
    "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
    "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
    "      libraries with the new libraries (notice that even on this option there is a chance of failure",
    "      in case of functions name collision with another library).",
];

fn function_help(context: &mut Context<'_, '_>) -> CommandResult {
    help::reply(context, FUNCTION_HELP)
}

#[cfg(test)]
mod builtin_tests;
#[cfg(test)]
mod tests;
