//! ACL: users and what they may do. The rules themselves are read in `rules`, written in `describe`, kept by the services
//! and asked by `check`.

mod check;
mod describe;
mod file;
mod rules;

use std::sync::Arc;

use super::error::shown;
use super::spec::{CommandSpec, Flags};
use super::table::{self, table};
use super::{CommandError, CommandResult, Context, Outcome, help};
use crate::config::replace_file;
use crate::reply::Reply;
use crate::services::acl::{DEFAULT_USER, LogEntry, Rights, Selector, User};
use crate::services::channels::Kind;
use crate::services::{ClientFlags, Services};

pub use check::{
    admit, admit_from_script, admit_queued, may_read_every_key, may_run, note_failed_login,
};
pub use file::load_configured;
use rules::{CATEGORIES, is_in_category};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    acl: "slow",
    group: "server",
    since: "6.0.0",
    summary: "A container for Access List Control commands ",
    complexity: "Depends on subcommand.",
    subcommands: &[
        CommandSpec {
            arguments: "categoryname:string?",
            acl: "slow",
            group: "server",
            since: "6.0.0",
            summary: "List the ACL categories or the commands inside a category",
            complexity: "O(1) since the categories and commands are a fixed set.",

            ..CommandSpec::new(
                "cat",
                -2,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                acl_cat,
            )
        },
        CommandSpec {
            arguments: "username:string*",
            acl: "admin slow dangerous",
            group: "server",
            since: "6.0.0",
            summary: "Remove the specified ACL users and the associated rules",
            complexity: "O(1) amortized time considering the typical user.",

            ..CommandSpec::new(
                "deluser",
                -3,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                acl_deluser,
            )
        },
        CommandSpec {
            arguments: "username:string command:string arg:string?*",
            acl: "admin slow dangerous",
            group: "server",
            since: "7.0.0",
            summary: "Returns whether the user can execute the given command without executing the command.",
            complexity: "O(1).",

            ..CommandSpec::new(
                "dryrun",
                -4,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                acl_dryrun,
            )
        },
        CommandSpec {
            arguments: "bits:integer?",
            acl: "slow",
            group: "server",
            since: "6.0.0",
            summary: "Generate a pseudorandom secure password to use for ACL users",
            complexity: "O(1)",

            ..CommandSpec::new(
                "genpass",
                -2,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                acl_genpass,
            )
        },
        CommandSpec {
            arguments: "username:string",
            acl: "admin slow dangerous",
            group: "server",
            since: "6.0.0",
            summary: "Get the rules for a specific ACL user",
            complexity: "O(N). Where N is the number of password, command and pattern rules that the user has.",
            history: &[
                ("6.2.0", "Added Pub/Sub channel patterns."),
                (
                    "7.0.0",
                    "Added selectors and changed the format of key and channel patterns from a list to their rule representation.",
                ),
            ],
            ..CommandSpec::new(
                "getuser",
                3,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                acl_getuser,
            )
        },
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "6.0.0",
            summary: "Show helpful text about the different subcommands",
            complexity: "O(1)",
            ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), acl_help)
        },
        CommandSpec {
            acl: "admin slow dangerous",
            group: "server",
            since: "6.0.0",
            summary: "List the current ACL rules in ACL config file format",
            complexity: "O(N). Where N is the number of configured users.",

            ..CommandSpec::new(
                "list",
                2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                acl_list,
            )
        },
        CommandSpec {
            acl: "admin slow dangerous",
            group: "server",
            since: "6.0.0",
            summary: "Reload the ACLs from the configured ACL file",
            complexity: "O(N). Where N is the number of configured users.",

            ..CommandSpec::new(
                "load",
                2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                acl_load,
            )
        },
        CommandSpec {
            arguments: "operation:oneof?{count:integer reset:pure-token=RESET}",
            acl: "admin slow dangerous",
            group: "server",
            since: "6.0.0",
            summary: "List latest events denied because of ACLs in place",
            complexity: "O(N) with N being the number of entries shown.",

            ..CommandSpec::new(
                "log",
                -2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                acl_log,
            )
        },
        CommandSpec {
            acl: "admin slow dangerous",
            group: "server",
            since: "6.0.0",
            summary: "Save the current ACL rules in the configured ACL file",
            complexity: "O(N). Where N is the number of configured users.",

            ..CommandSpec::new(
                "save",
                2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                acl_save,
            )
        },
        CommandSpec {
            arguments: "username:string rule:string?*",
            acl: "admin slow dangerous",
            group: "server",
            since: "6.0.0",
            summary: "Modify or create the rules for a specific ACL user",
            complexity: "O(N). Where N is the number of rules provided.",
            history: &[
                ("6.2.0", "Added Pub/Sub channel patterns."),
                ("7.0.0", "Added selectors and key based permissions."),
            ],
            ..CommandSpec::new(
                "setuser",
                -3,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                acl_setuser,
            )
        },
        CommandSpec {
            acl: "admin slow dangerous",
            group: "server",
            since: "6.0.0",
            summary: "List the username of all the configured ACL rules",
            complexity: "O(N). Where N is the number of configured users.",

            ..CommandSpec::new(
                "users",
                2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                acl_users,
            )
        },
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "6.0.0",
            summary: "Return the name of the user associated to the current connection",
            complexity: "O(1)",

            ..CommandSpec::new(
                "whoami",
                2,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                acl_whoami,
            )
        },
    ],
    ..CommandSpec::new("acl", -2, Flags::NONE, help::container)
}];

const HELP: &[&str] = &[
    "CAT [<category>]",
    "    List all commands that belong to <category>, or all command categories",
    "    when no category is specified.",
    "DELUSER <username> [<username> ...]",
    "    Delete a list of users.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Returns whether the user can execute the given command without executing the command.",
    "GETUSER <username>",
    "    Get the user's details.",
    "GENPASS [<bits>]",
    "    Generate a secure 256-bit user password. The optional `bits` argument can",
    "    be used to specify a different size.",
    "LIST",
    "    Show users details in config file format.",
    "LOAD",
    "    Reload users from the ACL file.",
    "LOG [<count> | RESET]",
    "    Show the ACL log entries.",
    "SAVE",
    "    Save the current config to the ACL file.",
    "SETUSER <username> <attribute> [<attribute> ...]",
    "    Create or modify a user with the specified attributes.",
    "USERS",
    "    List all the registered usernames.",
    "WHOAMI",
    "    Return the current connection username.",
];

const NO_FILE: CommandError = CommandError::text(
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
);

fn acl_help(ctx: &mut Context<'_, '_>) -> CommandResult {
    help::reply(ctx, HELP)
}

fn acl_whoami(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.reply.bulk(&ctx.session.user.name);
    Ok(Outcome::Done)
}

fn acl_users(ctx: &mut Context<'_, '_>) -> CommandResult {
    let users = ctx.services.acl.users();
    ctx.reply.array(users.len());
    users.iter().for_each(|user| ctx.reply.bulk(&user.name));
    Ok(Outcome::Done)
}

fn acl_list(ctx: &mut Context<'_, '_>) -> CommandResult {
    let users = ctx.services.acl.users();
    ctx.reply.array(users.len());
    for user in users {
        let line = [b"user ", describe::line(&user).as_slice()].concat();
        ctx.reply.bulk(&line);
    }
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ one user

fn acl_setuser(ctx: &mut Context<'_, '_>) -> CommandResult {
    let services = ctx.services;
    let name = ctx.args.get(2).copied().unwrap_or_default();
    if !rules::is_user_name(name) {
        let text = "ERR Usernames can't contain spaces or null characters";
        return Err(CommandError::text(text));
    }
    let given = ctx.args.get(3..).unwrap_or_default();
    let rules = rules::merge_selectors(given).map_err(|word| {
        let word = shown(&word);
        format!("ERR Unmatched parenthesis in acl selector starting at '{word}'.")
    })?;
    let all_channels = file::default_channels(&services.config.read());
    let changes = services.acl.changes.lock();
    let known = services.acl.user(name);
    let mut rights = known.as_ref().map_or_else(
        || rules::new_user(all_channels),
        |user| Rights::clone(&user.rights()),
    );
    // An empty rule changes nothing.
    for rule in rules.iter().filter(|rule| !rule.is_empty()) {
        rules::apply(&mut rights, rule, all_channels).map_err(|error| {
            let rule = shown(rule);
            format!("ERR Error in ACL SETUSER modifier '{rule}': {error}")
        })?;
    }
    services.acl.set(name, rights);
    drop(changes);
    ctx.reply.ok();
    let cut_off = known.is_some_and(|user| cut_off_listeners(ctx, &user));
    Ok(if cut_off { close(ctx) } else { Outcome::Done })
}

/// Ends the sessions of a user that listen to what they may not hear any more; true if this one is to be ended.
fn cut_off_listeners(ctx: &Context<'_, '_>, user: &Arc<User>) -> bool {
    let (rights, services) = (user.rights(), ctx.services);
    let listeners = services.channels.subscribers_who(|client, kind, name| {
        Arc::ptr_eq(&client.user.lock(), user) && !rights.allow_channel(name, kind == Kind::Pattern)
    });
    let mut own = false;
    for client in listeners {
        if client.id == ctx.session.info.id {
            own = true;
        } else {
            services.clients.cut_off(&client);
        }
    }
    own
}

fn acl_deluser(ctx: &mut Context<'_, '_>) -> CommandResult {
    let mut removed = Vec::new();
    for name in ctx.args.get(2..).unwrap_or_default() {
        if *name == DEFAULT_USER {
            end_sessions_of(ctx, &removed);
            return Err(CommandError::text(
                "ERR The 'default' user cannot be removed",
            ));
        }
        let _changes = ctx.services.acl.changes.lock();
        removed.extend(ctx.services.acl.remove(name));
    }
    ctx.reply.int(removed.len() as i64);
    Ok(if end_sessions_of(ctx, &removed) {
        close(ctx)
    } else {
        Outcome::Done
    })
}

/// Ends every session of users who are gone; true if this one is to be ended.
fn end_sessions_of(ctx: &mut Context<'_, '_>, gone: &[Arc<User>]) -> bool {
    let mut own = false;
    for client in ctx.services.clients.list() {
        let user = Arc::clone(&client.user.lock());
        if !gone.iter().any(|gone| Arc::ptr_eq(gone, &user)) {
            continue;
        }
        if client.id == ctx.session.info.id {
            own = true;
        } else {
            ctx.services.clients.cut_off(&client);
        }
    }
    own
}

/// Ends this session: after the reply, or after EXEC.
fn close(ctx: &mut Context<'_, '_>) -> Outcome {
    let session = &mut *ctx.session;
    session.set_user(Arc::clone(ctx.services.acl.default_user()));
    session.authenticated = false;
    if ctx.mode.nested {
        session.info.kill();
    }
    session.info.set_flag(ClientFlags::CLOSE_AFTER_REPLY, true);
    Outcome::Close
}

fn acl_getuser(ctx: &mut Context<'_, '_>) -> CommandResult {
    let name = ctx.args.get(2).copied().unwrap_or_default();
    let Some(user) = ctx.services.acl.user(name) else {
        ctx.reply.null();
        return Ok(Outcome::Done);
    };
    let rights = user.rights();
    let reply = &mut *ctx.reply;
    reply.map(6);
    reply.bulk(b"flags");
    let flags = describe::flags(&rights);
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(rights.passwords.len());
    for hash in &rights.passwords {
        reply.bulk(hash.digits().as_bytes());
    }
    write_selector(reply, &rights.root);
    reply.bulk(b"selectors");
    reply.array(rights.selectors.len());
    for selector in &rights.selectors {
        reply.map(3);
        write_selector(reply, selector);
    }
    Ok(Outcome::Done)
}

/// Three fields of ACL GETUSER.
fn write_selector(reply: &mut dyn Reply, selector: &Selector) {
    let fields = [
        ("commands", describe::commands(selector).into_bytes()),
        ("keys", describe::keys(selector)),
        ("channels", describe::channels(selector)),
    ];
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.bulk(&value);
    }
}

fn acl_dryrun(ctx: &mut Context<'_, '_>) -> CommandResult {
    let name = ctx.args.get(2).copied().unwrap_or_default();
    let line = ctx.args.get(3..).unwrap_or_default();
    let user = ctx.services.acl.user(name).ok_or_else(|| {
        let name = shown(name);
        CommandError::from(format!("ERR User '{name}' not found"))
    })?;
    let command = table::lookup(line).map_err(|_| {
        let command = shown(line.first().copied().unwrap_or_default());
        CommandError::from(format!("ERR Command '{command}' not found"))
    })?;
    if !command.spec.accepts(line.len()) {
        return Err(CommandError::WrongArity(command.full_name.clone()));
    }
    match check::check(&user, command, line) {
        Ok(()) => ctx.reply.ok(),
        Err(denied) => ctx.reply.bulk(&denied.explanation(command, line)),
    }
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ the file

fn acl_load(ctx: &mut Context<'_, '_>) -> CommandResult {
    let (path, all_channels) = {
        let config = ctx.services.config.read();
        (
            file::path(&config).ok_or(NO_FILE)?,
            file::default_channels(&config),
        )
    };
    let users = file::read(&path, all_channels).map_err(|error| format!("ERR {error}"))?;
    let _changes = ctx.services.acl.changes.lock();
    let gone = ctx.services.acl.replace(users);
    ctx.reply.ok();
    Ok(if end_sessions_of(ctx, &gone) {
        close(ctx)
    } else {
        Outcome::Done
    })
}

fn acl_save(ctx: &mut Context<'_, '_>) -> CommandResult {
    let path = file::path(&ctx.services.config.read()).ok_or(NO_FILE)?;
    let _changes = ctx.services.acl.changes.lock();
    replace_file(&path, &file::text(ctx.services)).map_err(|error| {
        log::warn!("The ACL file {} could not be written: {error}", path.display());
        CommandError::text(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        )
    })?;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// Every user's line as CONFIG REWRITE writes it, without the word `user`.
pub(super) fn lines(services: &Services) -> Vec<Vec<u8>> {
    let users = services.acl.users();
    users.iter().map(|user| describe::line(user)).collect()
}

// ------------------------------------------------------------------------------------------------ the log

/// Entries that ACL LOG shows unless it is asked for more.
const SHOWN: i64 = 10;

fn acl_log(ctx: &mut Context<'_, '_>) -> CommandResult {
    if ctx.args.len() > 3 {
        return Err(help::wrong_subcommand(ctx));
    }
    let log = &ctx.services.acl.log;
    if ctx.is(2, "reset") {
        log.clear();
        ctx.reply.ok();
        return Ok(Outcome::Done);
    }
    let count = match ctx.args.len() {
        3 => ctx.int(2)?,
        _ => SHOWN,
    };
    let entries = log.newest(usize::try_from(count).unwrap_or(0));
    let now_ms = ctx.txn.now_ms();
    ctx.reply.array(entries.len());
    for entry in &entries {
        write_entry(ctx.reply, entry, now_ms);
    }
    Ok(Outcome::Done)
}

fn write_entry(reply: &mut dyn Reply, entry: &LogEntry, now_ms: i64) {
    reply.map(10);
    reply.bulk(b"count");
    reply.int(entry.count as i64);
    let texts: [(&str, &[u8]); 4] = [
        ("reason", entry.reason.name().as_bytes()),
        ("context", entry.stage.name().as_bytes()),
        ("object", &entry.object),
        ("username", &entry.user),
    ];
    for (name, value) in texts {
        reply.bulk(name.as_bytes());
        reply.bulk(value);
    }
    reply.bulk(b"age-seconds");
    reply.double((now_ms - entry.updated_ms) as f64 / 1000.0);
    reply.bulk(b"client-info");
    reply.bulk(entry.client.as_bytes());
    let numbers = [
        ("entry-id", entry.id as i64),
        ("timestamp-created", entry.created_ms),
        ("timestamp-last-updated", entry.updated_ms),
    ];
    for (name, value) in numbers {
        reply.bulk(name.as_bytes());
        reply.int(value);
    }
}

fn acl_cat(ctx: &mut Context<'_, '_>) -> CommandResult {
    let args = ctx.args;
    let names: Vec<&str> = match *args {
        [_, _] => CATEGORIES.to_vec(),
        [_, _, wanted] => {
            let named = |name: &&&str| wanted.eq_ignore_ascii_case(name.as_bytes());
            let Some(category) = CATEGORIES.iter().find(named) else {
                let wanted = shown(wanted);
                return Err(format!("ERR Unknown category '{wanted}'").into());
            };
            let all = table().all.iter();
            all.filter(|command| is_in_category(command, category))
                .map(|command| command.full_name.as_str())
                .collect()
        }
        _ => return Err(help::wrong_subcommand(ctx)),
    };
    ctx.reply.array(names.len());
    names
        .iter()
        .for_each(|name| ctx.reply.bulk(name.as_bytes()));
    Ok(Outcome::Done)
}

fn acl_genpass(ctx: &mut Context<'_, '_>) -> CommandResult {
    const DEFAULT_BITS: i64 = 256;
    const MAX_BITS: i64 = 4096;
    let bits = match ctx.args.len() {
        2 => DEFAULT_BITS,
        3 => ctx.int(2)?,
        _ => return Err(help::wrong_subcommand(ctx)),
    };
    if !(1..=MAX_BITS).contains(&bits) {
        let text = "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096";
        return Err(CommandError::text(text));
    }
    let digits = usize::try_from(bits).unwrap_or(0).div_ceil(4);
    let mut password = String::new();
    while password.len() < digits {
        password.push_str(&crate::services::stats::random_id());
    }
    password.truncate(digits);
    ctx.reply.bulk(password.as_bytes());
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests;
