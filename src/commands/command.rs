//! COMMAND: the command table as clients see it. Everything is derived from the entries.

use super::docs::{self, subcommands};
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec};
use super::table::{Command, table};
use super::{CommandError, CommandResult, Context, Outcome, help};
use crate::reply::Reply;
use crate::value::glob::matches;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    acl: "slow connection",
    group: "server",
    since: "2.8.13",
    summary: "Get array of Redis command details",
    complexity: "O(N) where N is the total number of Redis commands",
    tips: "nondeterministic_output_order",
    subcommands: &[
        CommandSpec {
            acl: "slow connection",
            group: "server",
            since: "2.8.13",
            summary: "Get total number of Redis commands",
            complexity: "O(1)",
            ..CommandSpec::new("count", 2, Flags::LOADING.and(Flags::STALE), command_count)
        },
        CommandSpec {
            arguments: "command-name:string?*",
            acl: "slow connection",
            group: "server",
            since: "7.0.0",
            summary: "Get array of specific Redis command documentation",
            complexity: "O(N) where N is the number of commands to look up",
            tips: "nondeterministic_output_order",
            ..CommandSpec::new("docs", -2, Flags::LOADING.and(Flags::STALE), command_docs)
        },
        CommandSpec {
            acl: "slow connection",
            group: "server",
            since: "2.8.13",
            summary: "Extract keys given a full Redis command",
            complexity: "O(N) where N is the number of arguments to the command",
            ..CommandSpec::new(
                "getkeys",
                -4,
                Flags::LOADING.and(Flags::STALE),
                command_getkeys,
            )
        },
        CommandSpec {
            acl: "slow connection",
            group: "server",
            since: "7.0.0",
            summary: "Extract keys and access flags given a full Redis command",
            complexity: "O(N) where N is the number of arguments to the command",
            ..CommandSpec::new(
                "getkeysandflags",
                -4,
                Flags::LOADING.and(Flags::STALE),
                command_getkeysandflags,
            )
        },
        CommandSpec {
            acl: "slow connection",
            group: "server",
            since: "5.0.0",
            summary: "Show helpful text about the different subcommands",
            complexity: "O(1)",
            ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), command_help)
        },
        CommandSpec {
            arguments: "command-name:string?*",
            acl: "slow connection",
            group: "server",
            since: "2.8.13",
            summary: "Get array of specific Redis command details, or all when no argument is given.",
            complexity: "O(N) where N is the number of commands to look up",
            tips: "nondeterministic_output_order",
            history: &[(
                "7.0.0",
                "Allowed to be called with no argument to get info on all commands.",
            )],
            ..CommandSpec::new("info", -2, Flags::LOADING.and(Flags::STALE), command_info)
        },
        CommandSpec {
            arguments: "filterby:oneof=FILTERBY?{module-name:string=MODULE category:string=ACLCAT pattern:pattern=PATTERN}",
            acl: "slow connection",
            group: "server",
            since: "7.0.0",
            summary: "Get an array of Redis command names",
            complexity: "O(N) where N is the total number of Redis commands",
            tips: "nondeterministic_output_order",
            ..CommandSpec::new("list", -2, Flags::LOADING.and(Flags::STALE), command_list)
        },
    ],
    ..CommandSpec::new("command", -1, Flags::LOADING.and(Flags::STALE), command)
}];

const HELP: &[&str] = &[
    "(no subcommand)",
    "    Return details about all Redis commands.",
    "COUNT",
    "    Return the total number of commands in this Redis server.",
    "LIST",
    "    Return a list of all commands in this Redis server.",
    "INFO [<command-name> ...]",
    "    Return details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "DOCS [<command-name> ...]",
    "    Return documentation details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "GETKEYS <full-command>",
    "    Return the keys from a full Redis command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Return the keys and the access flags from a full Redis command.",
];

fn command_help(ctx: &mut Context<'_, '_>) -> CommandResult {
    help::reply(ctx, HELP)
}

fn command(ctx: &mut Context<'_, '_>) -> CommandResult {
    write_all_info(ctx.reply);
    Ok(Outcome::Done)
}

fn write_all_info(reply: &mut dyn Reply) {
    let commands = &table().commands;
    reply.array(commands.len());
    commands
        .iter()
        .for_each(|command| write_info(reply, command));
}

fn command_count(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.reply
        .int(i64::try_from(table().commands.len()).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

/// A command by its full name, `get` or `config|set`.
pub(super) fn find(name: &[u8]) -> Option<&'static Command> {
    let mut words = name.splitn(2, |byte| *byte == b'|');
    let command = table().find(words.next()?)?;
    match words.next() {
        None => Some(command),
        Some(sub) => {
            subcommands(command).find(|entry| sub.eq_ignore_ascii_case(entry.spec.name.as_bytes()))
        }
    }
}

fn command_info(ctx: &mut Context<'_, '_>) -> CommandResult {
    let names = ctx.args.get(2..).unwrap_or_default();
    if names.is_empty() {
        write_all_info(ctx.reply);
        return Ok(Outcome::Done);
    }
    ctx.reply.array(names.len());
    for name in names {
        match find(name) {
            Some(command) => write_info(ctx.reply, command),
            None => ctx.reply.null(),
        }
    }
    Ok(Outcome::Done)
}

fn command_docs(ctx: &mut Context<'_, '_>) -> CommandResult {
    let names = ctx.args.get(2..).unwrap_or_default();
    let found: Vec<&Command> = match names {
        [] => table().commands.clone(),
        names => names.iter().filter_map(|name| find(name)).collect(),
    };
    ctx.reply.map(found.len());
    found
        .iter()
        .for_each(|command| docs::write(ctx.reply, command));
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ lists

fn command_list(ctx: &mut Context<'_, '_>) -> CommandResult {
    let args = ctx.args;
    let all = table().all.iter();
    let listed: Vec<&Command> = match args.get(2..).unwrap_or_default() {
        [] => table().all.clone(),
        [filterby, kind, value] if filterby.eq_ignore_ascii_case(b"FILTERBY") => {
            match kind.to_ascii_lowercase().as_slice() {
                b"module" => Vec::new(),
                b"aclcat" => {
                    let wanted = |category: &str| value.eq_ignore_ascii_case(category.as_bytes());
                    let is_in = |command: &&&Command| command.spec.acl.split(' ').any(wanted);
                    all.filter(is_in).copied().collect()
                }
                b"pattern" => {
                    let is_named =
                        |command: &&&Command| matches(value, command.full_name.as_bytes(), true);
                    all.filter(is_named).copied().collect()
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        _ => return Err(CommandError::Syntax),
    };
    ctx.reply.array(listed.len());
    for command in listed {
        ctx.reply.bulk(command.full_name.as_bytes());
    }
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ keys

/// The positions of the keys of the command line that begins at word 2, with what happens to each.
fn find_keys(ctx: &Context<'_, '_>) -> Result<Vec<(usize, &'static str)>, CommandError> {
    let line = ctx.args.get(2..).unwrap_or_default();
    let command =
        super::lookup(line).map_err(|_| CommandError::text("ERR Invalid command specified"))?;
    let spec = command.spec;
    let is_key = |key: &KeySpec| !key.flags.contains("not_key");
    if !spec.keys.iter().any(is_key) {
        return Err(CommandError::text("ERR The command has no key arguments"));
    }
    if !spec.accepts(line.len()) {
        let text = "ERR Invalid number of arguments specified for command";
        return Err(CommandError::text(text));
    }
    if let Some(mut keys) = keys_with_flags(command, line).filter(|keys| !keys.is_empty()) {
        keys.iter_mut().for_each(|(position, _)| *position += 2);
        return Ok(keys);
    }
    let mut keys = Vec::new();
    if let Some(find) = spec.find_keys {
        // What happens to keys found so Redis does not know.
        find(line, &mut |position, _| keys.push((position + 2, "")));
    }
    if !keys.is_empty() {
        return Ok(keys);
    }
    match counted_keys(spec, line) {
        Some(positions) => Ok(positions.map(|position| (position + 2, "")).collect()),
        None if spec.flags.has(Flags::NO_MANDATORY_KEYS) => Ok(Vec::new()),
        None => Err(CommandError::text(
            "ERR Invalid arguments specified for command",
        )),
    }
}

/// The keys that a number of keys counts which C's `atoi` alone can read, and then the key before it, if there is one;
/// Redis does not know what happens to keys found so.
fn counted_keys(spec: &CommandSpec, line: &[&[u8]]) -> Option<impl Iterator<Item = usize>> {
    let counted = spec
        .keys
        .iter()
        .find_map(|key| match (key.begin, key.find) {
            (Begin::Index(at), Find::KeyNum { count, first, .. }) => Some((at + count, at + first)),
            _ => None,
        });
    let (count, first) = counted?;
    let keys = usize::try_from(leading_int(line.get(count)?)).ok()?;
    let room = line.len().saturating_sub(first);
    let before = spec
        .keys
        .iter()
        .find_map(|key| match (key.begin, key.find) {
            (Begin::Index(at), Find::Range { .. }) => Some(at),
            _ => None,
        });
    (1..=room)
        .contains(&keys)
        .then(|| (first..first + keys).chain(before))
}

/// C's `atoi`: blanks, a sign and digits, whatever follows.
fn leading_int(word: &[u8]) -> i32 {
    let text = word.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let value = digits.fold(0_i64, |value, digit| {
        let digit = i64::from(digit - b'0');
        let (tenfold, next) = (value.saturating_mul(10), digit);
        if negative {
            tenfold.saturating_sub(next)
        } else {
            tenfold.saturating_add(next)
        }
    });
    // `long` becomes `int` by its lower half.
    value as i32
}

/// The positions of a command's keys among its words, with what happens to each. `None`: the words break the rules.
pub(super) fn keys_with_flags(
    command: &Command,
    line: &[&[u8]],
) -> Option<Vec<(usize, &'static str)>> {
    let spec = command.spec;
    let mut keys = Vec::new();
    let is_incomplete =
        |key: &KeySpec| key.begin == Begin::Unknown || key.flags.contains("incomplete");
    let incomplete = spec.keys.iter().any(is_incomplete);
    if let Some(find) = spec.find_keys.filter(|_| incomplete) {
        find(line, &mut |position, flags| keys.push((position, flags)));
        return (!keys.is_empty()).then_some(keys);
    }
    let mut valid = true;
    for key_spec in spec
        .keys
        .iter()
        .filter(|key| !key.flags.contains("not_key"))
    {
        let flags = effective_flags(spec, key_spec, line);
        let before = keys.len();
        let found = key_spec.positions(line, |position| keys.push((position, flags)));
        // A keyword that ends the line, behind other keys, names none.
        let optional = before > 0 && matches!(key_spec.begin, Begin::Keyword(..));
        valid &= found || optional;
        valid &= !matches!(key_spec.find, Find::KeyNum { .. }) || keys.len() > before;
    }
    valid.then_some(keys)
}

/// What happens to a key, where the other words decide that.
fn effective_flags(spec: &CommandSpec, key: &KeySpec, line: &[&[u8]]) -> &'static str {
    if !key.flags.contains("variable_flags") {
        return key.flags;
    }
    // The value of SET is no option.
    let options = if spec.name == "set" { 3 } else { 2 };
    let has = |word: &str| {
        let mut words = line.iter().skip(options);
        words.any(|given| given.eq_ignore_ascii_case(word.as_bytes()))
    };
    match spec.name {
        "set" if !has("get") => "OW update",
        "bitfield" if super::bitfield::only_reads(line) => "RO access",
        _ => "RW access update",
    }
}

fn command_getkeys(ctx: &mut Context<'_, '_>) -> CommandResult {
    let keys = find_keys(ctx)?;
    ctx.reply.array(keys.len());
    for (position, _) in keys {
        ctx.reply
            .bulk(ctx.args.get(position).copied().unwrap_or_default());
    }
    Ok(Outcome::Done)
}

fn command_getkeysandflags(ctx: &mut Context<'_, '_>) -> CommandResult {
    let keys = find_keys(ctx)?;
    ctx.reply.array(keys.len());
    for (position, flags) in keys {
        ctx.reply.array(2);
        ctx.reply
            .bulk(ctx.args.get(position).copied().unwrap_or_default());
        write_flags(ctx.reply, flags);
    }
    Ok(Outcome::Done)
}

fn write_flags(reply: &mut dyn Reply, flags: &str) {
    let flags: Vec<&str> = flags.split_whitespace().collect();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.simple(flag));
}

// ------------------------------------------------------------------------------------------------ one command

fn write_info(reply: &mut dyn Reply, command: &Command) {
    let spec = command.spec;
    reply.array(10);
    reply.bulk(command.full_name.as_bytes());
    reply.int(i64::from(spec.arity));
    let named = Flags::NAMES.iter();
    let flags: Vec<&str> = named
        .filter(|(flag, name)| spec.flags.has(*flag) && !name.is_empty())
        .map(|(_, name)| *name)
        .collect();
    write_flags(reply, &flags.join(" "));
    for number in key_range(spec) {
        reply.int(number);
    }
    let categories: Vec<String> = spec
        .acl
        .split_whitespace()
        .map(|name| format!("@{name}"))
        .collect();
    write_flags(reply, &categories.join(" "));
    let tips: Vec<&str> = spec.tips.split_whitespace().collect();
    reply.set(tips.len());
    tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(spec.keys.len());
    spec.keys.iter().for_each(|key| write_key_spec(reply, key));
    // In RESP3 a set if there are none, an array if there are: so clients know it.
    match spec.subcommands.len() {
        0 => reply.set(0),
        count => reply.array(count),
    }
    subcommands(command).for_each(|sub| write_info(reply, sub));
}

/// First key, last key, step, as far as one range can tell them.
fn key_range(spec: &CommandSpec) -> [i64; 3] {
    let mut range: Option<[i64; 3]> = None;
    for key in spec.keys {
        let (Begin::Index(first), Find::Range { last, step, .. }) = (key.begin, key.find) else {
            continue;
        };
        let (first, step) = (first as i64, step as i64);
        let last = i64::from(last);
        let last = if last < 0 { last } else { first + last };
        range = Some(match range {
            None => [first, last, step],
            Some([before, end, step]) => {
                let end = if end < 0 || last < 0 {
                    end.min(last)
                } else {
                    end.max(last)
                };
                [before.min(first), end, step]
            }
        });
    }
    range.unwrap_or_default()
}

fn write_key_spec(reply: &mut dyn Reply, key: &KeySpec) {
    reply.map(3 + usize::from(!key.notes.is_empty()));
    if !key.notes.is_empty() {
        reply.bulk(b"notes");
        reply.bulk(key.notes.as_bytes());
    }
    reply.bulk(b"flags");
    write_flags(reply, key.flags);
    reply.bulk(b"begin_search");
    match key.begin {
        Begin::Index(index) => write_rule(reply, "index", &[("index", index as i64)]),
        Begin::Keyword(word, from) => {
            begin_rule(reply, "keyword", 2);
            reply.bulk(b"keyword");
            reply.bulk(word.as_bytes());
            reply.bulk(b"startfrom");
            reply.int(i64::from(from));
        }
        Begin::Unknown => write_rule(reply, "unknown", &[]),
    }
    reply.bulk(b"find_keys");
    match key.find {
        Find::Range { last, step, limit } => {
            let numbers = [
                ("lastkey", i64::from(last)),
                ("keystep", step as i64),
                ("limit", limit as i64),
            ];
            write_rule(reply, "range", &numbers);
        }
        Find::KeyNum { count, first, step } => {
            let numbers = [
                ("keynumidx", count as i64),
                ("firstkey", first as i64),
                ("keystep", step as i64),
            ];
            write_rule(reply, "keynum", &numbers);
        }
        Find::Unknown => write_rule(reply, "unknown", &[]),
    }
}

fn begin_rule(reply: &mut dyn Reply, kind: &str, fields: usize) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(fields);
}

fn write_rule(reply: &mut dyn Reply, kind: &str, numbers: &[(&str, i64)]) {
    begin_rule(reply, kind, numbers.len());
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.int(*number);
    }
}

#[cfg(test)]
mod tests;
