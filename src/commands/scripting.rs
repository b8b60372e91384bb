//! EVAL, EVALSHA and SCRIPT: a body is a native script by its name or source, or else a script in Lua.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::help::{self, container};
use super::lua_scripts::{self, Program};
use super::script_calls::{Nested, Rights};
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::script::flags::{ScriptFlags, script_header};
use crate::script::lua::hex;
use crate::script::store::CachedScript;
use crate::script::twins::{self, Twin};
use crate::script::{Script, ScriptContext, parse_sha1, sha1_of};
use crate::services::Services;
use crate::services::debugging::DebugConsole;
use crate::services::running::NotKilled;
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
                .and(Flags::RUNS_SCRIPT)
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
                .and(Flags::MOVABLEKEYS)
                .and(Flags::RUNS_SCRIPT),
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
                .and(Flags::RUNS_SCRIPT)
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
                .and(Flags::MOVABLEKEYS)
                .and(Flags::RUNS_SCRIPT),
            evalsha_ro,
        )
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

const NO_SCRIPT: CommandError = CommandError::text("NOSCRIPT No matching script. Please use EVAL.");

/// What the number of keys says: how many words after it are keys.
pub(super) fn key_count(
    context: &Context<'_, '_>,
    no_number: CommandError,
) -> Result<usize, CommandError> {
    let count = parse_i64(context.args[2]).ok_or(no_number)?;
    let room = context.args.len() - 3;
    if count > room as i64 {
        return Err(CommandError::text(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    usize::try_from(count).map_err(|_| CommandError::text("ERR Number of keys can't be negative"))
}

/// Whether a command runs a native script, which is held to the keys that it declares.
pub fn runs_native_script(services: &Services, command: &CommandSpec, args: &[&[u8]]) -> bool {
    let Some(program) = args.get(1) else {
        return false;
    };
    let scripts = &services.scripts;
    match command.name {
        "eval" | "eval_ro" => {
            scripts.by_body(program).is_some() || has_twin(services, twins::of(program), args)
        }
        "evalsha" | "evalsha_ro" => {
            let Some(sha1) = parse_sha1(program) else {
                return false;
            };
            let twin = || services.lua.find(&sha1).and_then(|script| script.twin);
            scripts.by_sha1(&sha1).is_some() || has_twin(services, twin(), args)
        }
        _ => scripts.by_name(program).is_some(),
    }
}

/// Whether a twin runs in the place of its Lua, which is held to the keys that the words declare.
fn has_twin(services: &Services, twin: Option<&Twin>, args: &[&[u8]]) -> bool {
    let words = args.get(3..).unwrap_or_default();
    let keys = || usize::try_from(parse_i64(args.get(2)?)?).ok();
    twin.is_some_and(|twin| {
        services.lua.has_twins()
            && keys()
                .and_then(|keys| words.split_at_checked(keys))
                .is_some_and(|(keys, args)| twin.answers(keys, args))
    })
}

/// Whether a command that runs a script may change the data, as far as the script itself has said: CLIENT PAUSE lets
/// through what does not.
pub fn script_may_write(services: &Services, command: &CommandSpec, args: &[&[u8]]) -> bool {
    let Some(program) = args.get(1) else {
        return true;
    };
    let scripts = &services.scripts;
    let native = match command.name {
        "eval" => scripts.by_body(program),
        "evalsha" => parse_sha1(program).and_then(|sha1| scripts.by_sha1(&sha1)),
        "fcall" => scripts.by_name(program),
        _ => return false,
    };
    let declared = declared_flags(services, command, program);
    let says_no = declared.is_some_and(|flags| flags.has(ScriptFlags::NO_WRITES));
    !says_no && !native.is_some_and(|script| script.is_read_only())
}

/// Whether a command runs a script that says of itself that it may write.
pub fn script_declares_writes(services: &Services, command: &CommandSpec, args: &[&[u8]]) -> bool {
    let program = args.get(1).copied().unwrap_or_default();
    let declared = declared_flags(services, command, program);
    declared.is_some_and(|flags| {
        !flags.has(ScriptFlags::UNDECLARED) && !flags.has(ScriptFlags::NO_WRITES)
    })
}

/// What the script in Lua that a command runs says of itself.
fn declared_flags(
    services: &Services,
    command: &CommandSpec,
    program: &[u8],
) -> Option<ScriptFlags> {
    match command.name {
        "eval" => script_header(program).ok().map(|(flags, _)| flags),
        "evalsha" => {
            let cached = parse_sha1(program).and_then(|sha1| services.lua.find(&sha1));
            cached.map(|script| script.flags)
        }
        "fcall" => services.lua.function(program).map(|(_, flags)| flags),
        _ => None,
    }
}

/// Shows the command to those who run MONITOR, before anything that its script calls and whatever becomes of it.
pub(super) fn show(context: &Context<'_, '_>) {
    let now_ms = context.txn.now_ms();
    let services = context.services;
    services.feed_monitors(context.session, context.args, now_ms, context.mode.script);
}

fn eval_body(context: &mut Context<'_, '_>, read_only: bool) -> CommandResult {
    show(context);
    #[cfg(feature = "lua")]
    if context.session.debugger.is_some() && !context.mode.nested {
        return lua_scripts::debug(context, read_only);
    }
    let keys = key_count(context, CommandError::NotInteger)?;
    let body = context.args[1];
    if let Some(script) = context.services.scripts.by_body(body) {
        return run_native(context, &script, keys, read_only);
    }
    let script = context.services.lua.cache(body, context.txn.random())?;
    run_lua(context, &script, keys, read_only)
}

fn eval_sha1(context: &mut Context<'_, '_>, read_only: bool) -> CommandResult {
    show(context);
    if context.session.debugger.is_some() && !context.mode.nested {
        return Err(CommandError::text(
            "ERR Please use EVAL instead of EVALSHA for debugging",
        ));
    }
    let digits = context.args[1];
    if digits.len() != 40 {
        return Err(NO_SCRIPT);
    }
    let keys = key_count(context, CommandError::NotInteger)?;
    let sha1 = parse_sha1(digits).ok_or(NO_SCRIPT)?;
    if let Some(script) = context.services.scripts.by_sha1(&sha1) {
        return run_native(context, &script, keys, read_only);
    }
    let script = context.services.lua.find(&sha1).ok_or(NO_SCRIPT)?;
    run_lua(context, &script, keys, read_only)
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

fn run_lua(
    context: &mut Context<'_, '_>,
    script: &CachedScript,
    keys: usize,
    read_only: bool,
) -> CommandResult {
    let (words, services) = (context.args, context.services);
    let (keys, args) = words[3..].split_at(keys);
    // Whether twins are allowed may have changed since the locks were taken.
    let allowed = services.lua.has_twins() || !context.txn.has_gate();
    let twin = script.twin.filter(|_| allowed);
    let twin = twin.filter(|twin| twin.answers(keys, args));
    let seed = context.txn.random();
    let program = Program {
        name: Cow::Borrowed(&script.name),
        is_function: false,
        flags: script.flags,
        read_only,
    };
    lua_scripts::run(context, program, |host, reply| match twin {
        Some(twin) => {
            let response = twin.run(&script.name, keys, args, host)?;
            response.write_to(reply);
            Ok(())
        }
        None => services.lua.run(script, (keys, args), seed, host, reply),
    })
}

/// Runs a native script and answers for it. Its commands log their own effects, so the command that ran it logs nothing.
pub(super) fn run_native(
    context: &mut Context<'_, '_>,
    script: &Arc<Script>,
    keys: usize,
    read_only: bool,
) -> CommandResult {
    let (keys, args) = context.args[3..].split_at(keys);
    let (db, session_db) = (context.txn.db(), context.session.db);
    let rights = Rights {
        read_only: read_only || script.is_read_only(),
        allow_oom: false,
    };
    let (mut nested, _) = Nested::new(&mut *context, rights);
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

// ------------------------------------------------------------------------------------------------ SCRIPT

pub(super) fn ok(context: &mut Context<'_, '_>) -> CommandResult {
    context.reply.ok();
    Ok(Outcome::Done)
}

pub(super) fn is_flush_mode(context: &Context<'_, '_>) -> bool {
    match context.args.len() {
        2 => true,
        3 => context.is(2, "sync") || context.is(2, "async"),
        _ => false,
    }
}

fn script_load(context: &mut Context<'_, '_>) -> CommandResult {
    let (body, services) = (context.args[2], context.services);
    if services.scripts.by_body(body).is_none() {
        services.lua.cache(body, context.txn.random())?;
    }
    context.reply.bulk(hex(&sha1_of(body)).as_bytes());
    Ok(Outcome::Done)
}

fn script_exists(context: &mut Context<'_, '_>) -> CommandResult {
    let (digits, services) = (&context.args[2..], context.services);
    context.reply.array(digits.len());
    for digits in digits {
        let known = parse_sha1(digits).is_some_and(|sha1| {
            services.lua.find(&sha1).is_some() || services.scripts.by_sha1(&sha1).is_some()
        });
        context.reply.int(i64::from(known));
    }
    Ok(Outcome::Done)
}

/// Native scripts stay: they are part of the program.
fn script_flush(context: &mut Context<'_, '_>) -> CommandResult {
    if !is_flush_mode(context) {
        return Err(CommandError::text(
            "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
        ));
    }
    context.services.lua.flush_scripts();
    ok(context)
}

/// What clients are told while a script keeps them waiting.
pub fn busy_error(services: &Services) -> CommandError {
    let running = services.running_script.get();
    CommandError::text(match running {
        Some(running) if running.is_function => BUSY_FUNCTION,
        _ => BUSY_SCRIPT,
    })
}

const BUSY_SCRIPT: &str =
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const BUSY_FUNCTION: &str =
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";

/// SCRIPT KILL and FUNCTION KILL.
pub(super) fn kill(context: &mut Context<'_, '_>, is_function: bool) -> CommandResult {
    let services = context.services;
    match services.running_script.kill(is_function) {
        Ok(()) => ok(context),
        Err(NotKilled::OtherKind) => Err(busy_error(services)),
        Err(NotKilled::Idle) => Err(CommandError::text(
            "NOTBUSY No scripts in execution right now.",
        )),
        Err(NotKilled::Wrote) => Err(CommandError::text(
            "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the \
             script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
        )),
    }
}

fn script_kill(context: &mut Context<'_, '_>) -> CommandResult {
    kill(context, false)
}

fn script_debug(context: &mut Context<'_, '_>) -> CommandResult {
    let (on, in_place) = (context.is(2, "yes"), context.is(2, "sync"));
    // The debugger's own words would come in between.
    if context.mode.nested || context.reply.holds_earlier() {
        return Err(CommandError::text(
            "ERR SCRIPT DEBUG must be called outside a pipeline",
        ));
    }
    if !on && !in_place {
        if !context.is(2, "no") {
            return Err(CommandError::text("ERR Use SCRIPT DEBUG YES/SYNC/NO"));
        }
        context.session.debugger = None;
        return ok(context);
    }
    if !cfg!(feature = "lua") || context.session.info.fd < 0 {
        return Err(CommandError::text(
            "ERR the Lua debugger serves connections to a server with Lua",
        ));
    }
    context.session.debugger = Some(Arc::new(DebugConsole::new(in_place)));
    ok(context)
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

#[cfg(test)]
mod builtin_tests;
#[cfg(test)]
mod tests;
