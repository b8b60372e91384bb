//! FCALL and FUNCTION: libraries of functions in Lua, and native scripts by their names.

use std::sync::atomic::Ordering;

use super::help::{self, container, wrong_subcommand};
use super::lua_scripts::{self, LoadHost, Program};
use super::scripting::{is_flush_mode, key_count, kill, ok, run_native, show};
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::rdb::functions::{decode_dump, encode_dump};
use crate::reply::Reply;
use crate::script::Script;
use crate::script::lua::RegisteredFunction;
use crate::script::store::{Library, RestorePolicy};
use crate::value::glob::matches;
use crate::value::lossless;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
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
                .and(Flags::RUNS_SCRIPT)
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
                .and(Flags::MOVABLEKEYS)
                .and(Flags::RUNS_SCRIPT),
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
];

// ------------------------------------------------------------------------------------------------ FCALL

fn call_function(context: &mut Context<'_, '_>, read_only: bool) -> CommandResult {
    show(context);
    let (words, services) = (context.args, context.services);
    let name = words[1];
    let not_a_number = CommandError::text("ERR Bad number of keys provided");
    if let Some(script) = services.scripts.by_name(name) {
        let keys = key_count(context, not_a_number)?;
        if read_only && !script.is_read_only() {
            return Err(CommandError::text(
                "ERR Can not execute a script with write flag using *_ro command.",
            ));
        }
        return run_native(context, &script, keys, read_only);
    }
    let found = services.lua.function(name);
    let (library, flags) = found.ok_or(CommandError::text("ERR Function not found"))?;
    let keys = key_count(context, not_a_number)?;
    let known = library.functions.iter();
    let mut known = known.filter(|known| known.name.eq_ignore_ascii_case(name));
    let name = known.next().map_or(name, |known| &known.name);
    let program = Program {
        name: lossless::text(name),
        is_function: true,
        flags,
        read_only,
    };
    let seed = context.txn.random();
    lua_scripts::run(context, program, |host, reply| {
        let words = words[3..].split_at(keys);
        services
            .lua
            .call((&library, name), words, seed, host, reply)
    })
}

fn fcall(context: &mut Context<'_, '_>) -> CommandResult {
    call_function(context, false)
}

fn fcall_ro(context: &mut Context<'_, '_>) -> CommandResult {
    call_function(context, true)
}

// ------------------------------------------------------------------------------------------------ FUNCTION

/// The library that native scripts are listed in. Redis's own answers stay as they are: it is listed only by its name.
const NATIVE_LIBRARY: &str = "innkeep";

/// What FUNCTION LIST is asked for.
#[derive(Default)]
struct Listing<'a> {
    pattern: Option<&'a [u8]>,
    with_code: bool,
}

impl<'a> Listing<'a> {
    fn parse(context: &Context<'a, '_>) -> Result<Self, CommandError> {
        let mut listing = Self::default();
        let mut position = 2;
        while let Some(word) = context.args.get(position) {
            if context.is(position, "withcode") && !listing.with_code {
                listing.with_code = true;
            } else if context.is(position, "libraryname") && listing.pattern.is_none() {
                position += 1;
                let missing = CommandError::text("ERR library name argument was not given");
                listing.pattern = Some(*context.args.get(position).ok_or(missing)?);
            } else {
                let word = lossless::text(word).replace(['\r', '\n'], " ");
                return Err(format!("ERR Unknown argument {word}").into());
            }
            position += 1;
        }
        Ok(listing)
    }
}

fn function_list(context: &mut Context<'_, '_>) -> CommandResult {
    let listing = Listing::parse(context)?;
    let services = context.services;
    let reply = &mut *context.reply;
    if listing.pattern == Some(NATIVE_LIBRARY.as_bytes()) {
        list_native(reply, &services.scripts.list(), listing.with_code);
        return Ok(Outcome::Done);
    }
    let mut libraries = services.lua.libraries();
    if let Some(pattern) = listing.pattern {
        libraries.retain(|library| matches(pattern, library.name.as_bytes(), true));
    }
    reply.array(libraries.len());
    for library in &libraries {
        list_library(reply, library, listing.with_code);
    }
    Ok(Outcome::Done)
}

fn list_library(reply: &mut dyn Reply, library: &Library, with_code: bool) {
    reply.map(3 + usize::from(with_code));
    reply.bulk(b"library_name");
    reply.bulk(library.name.as_bytes());
    reply.bulk(b"engine");
    reply.bulk(b"LUA");
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for function in &library.functions {
        list_function(reply, function);
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(&library.code);
    }
}

fn list_function(reply: &mut dyn Reply, function: &RegisteredFunction) {
    reply.map(3);
    reply.bulk(b"name");
    reply.bulk(&function.name);
    reply.bulk(b"description");
    match &function.description {
        Some(text) => reply.bulk(text),
        None => reply.null(),
    }
    reply.bulk(b"flags");
    reply.set(function.flags.names().count());
    function.flags.names().for_each(|name| reply.simple(name));
}

fn list_native(reply: &mut dyn Reply, scripts: &[std::sync::Arc<Script>], with_code: bool) {
    reply.array(1);
    reply.map(3 + usize::from(with_code));
    reply.bulk(b"library_name");
    reply.bulk(NATIVE_LIBRARY.as_bytes());
    reply.bulk(b"engine");
    reply.bulk(b"NATIVE");
    reply.bulk(b"functions");
    reply.array(scripts.len());
    scripts.iter().for_each(|script| describe(reply, script));
    if with_code {
        // It is machine code.
        reply.bulk(b"library_code");
        reply.null();
    }
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
    let running = context.services.running_script.get();
    if running.as_ref().is_some_and(|running| !running.is_function) {
        return Err(super::scripting::busy_error(context.services));
    }
    let figures = context.services.lua.figures();
    let now_ms = context.txn.keyspace().now_ms();
    let reply = &mut *context.reply;
    reply.map(2);
    reply.bulk(b"running_script");
    match running {
        None => reply.null(),
        Some(running) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(running.name.as_bytes());
            reply.bulk(b"command");
            reply.array(running.command.len());
            running.command.iter().for_each(|word| reply.bulk(word));
            reply.bulk(b"duration_ms");
            reply.int(now_ms - running.started_ms);
        }
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.int(figures.libraries as i64);
    reply.bulk(b"functions_count");
    reply.int(figures.functions as i64);
    Ok(Outcome::Done)
}

/// Functions are no keys, so a change of them is counted only.
fn changed(context: &mut Context<'_, '_>) {
    context.txn.add_dirty(1);
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
    context.services.lua.flush_functions();
    changed(context);
    ok(context)
}

fn function_delete(context: &mut Context<'_, '_>) -> CommandResult {
    let name = context.args[2];
    if context.services.lua.delete(name) {
        changed(context);
        return ok(context);
    }
    Err(if name == NATIVE_LIBRARY.as_bytes() {
        CommandError::text("ERR the library innkeep is part of the program and cannot be deleted")
    } else {
        CommandError::text("ERR Library not found")
    })
}

fn function_load(context: &mut Context<'_, '_>) -> CommandResult {
    let last = context.args.len() - 1;
    let mut replace = false;
    for position in 2..last {
        if !context.is(position, "replace") {
            let word = lossless::text(context.args[position]);
            return Err(format!("ERR Unknown option given: {word}").into());
        }
        replace = true;
    }
    let (code, seed) = (context.args[last], context.txn.random());
    let mut host = LoadHost::new(context.txn.keyspace());
    let name = context.services.lua.load(code, replace, seed, &mut host)?;
    changed(context);
    context.reply.bulk(name.as_bytes());
    Ok(Outcome::Done)
}

fn function_kill(context: &mut Context<'_, '_>) -> CommandResult {
    kill(context, true)
}

fn function_dump(context: &mut Context<'_, '_>) -> CommandResult {
    let libraries = context.services.lua.libraries();
    let codes = libraries.iter().map(|library| &*library.code);
    context.reply.bulk(&encode_dump(codes));
    Ok(Outcome::Done)
}

fn function_restore(context: &mut Context<'_, '_>) -> CommandResult {
    let policy = match context.args.len() {
        3 => RestorePolicy::Append,
        4 if context.is(3, "append") => RestorePolicy::Append,
        4 if context.is(3, "replace") => RestorePolicy::Replace,
        4 if context.is(3, "flush") => RestorePolicy::Flush,
        4 => {
            return Err(CommandError::text(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => return Err(wrong_subcommand(context)),
    };
    let services = context.services;
    let unchecked = services.switches.checksums_ignored.load(Ordering::Relaxed);
    let codes = decode_dump(context.args[2], unchecked).map_err(CommandError::text)?;
    let codes: Vec<&[u8]> = codes.iter().map(Vec::as_slice).collect();
    let mut host = LoadHost::new(context.txn.keyspace());
    let seed = context.txn.random();
    services.lua.restore(&codes, policy, seed, &mut host)?;
    changed(context);
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
