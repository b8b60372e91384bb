//! CLIENT: what a connection says of itself and does to others.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::connection::{is_printable, set_client_name};
use super::error::shown;
use super::spec::{CommandSpec, Flags};
use super::tracking::{client_caching, client_getredir, client_tracking, client_trackinginfo};
use super::{Command, CommandError, CommandResult, Context, Outcome, help, table};
use crate::services::{Acl, ClientFlags, ClientInfo, Paused, ReplyMode, UnblockKind};
use crate::value::number::parse_i64;

/// Seconds after which an idle client's read buffer counts as given back, as in Redis.
const BUFFER_KEPT_S: i64 = 2;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    acl: "slow",
    group: "connection",
    since: "2.4.0",
    summary: "A container for client connection commands",
    complexity: "Depends on subcommand.",
    subcommands: &[
        CommandSpec {
            arguments: "mode:oneof{yes:pure-token=YES no:pure-token=NO}",
            acl: "slow connection",
            group: "connection",
            since: "6.0.0",
            summary: "Instruct the server about tracking or not keys in the next request",
            complexity: "O(1)",
            ..CommandSpec::new(
                "caching",
                3,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                client_caching,
            )
        },
        CommandSpec {
            acl: "slow connection",
            group: "connection",
            since: "6.0.0",
            summary: "Get tracking notifications redirection client ID if any",
            complexity: "O(1)",
            ..CommandSpec::new(
                "getredir",
                2,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                client_getredir,
            )
        },
        CommandSpec {
            arguments: "status:oneof{on:pure-token=ON off:pure-token=OFF} client-id:integer=REDIRECT? prefix:string=PREFIX?*+ bcast:pure-token=BCAST? optin:pure-token=OPTIN? optout:pure-token=OPTOUT? noloop:pure-token=NOLOOP?",
            acl: "slow connection",
            group: "connection",
            since: "6.0.0",
            summary: "Enable or disable server assisted client side caching support",
            complexity: "O(1). Some options may introduce additional complexity.",
            ..CommandSpec::new(
                "tracking",
                -3,
                Flags::NOSCRIPT
                    .and(Flags::LOADING)
                    .and(Flags::STALE)
                    .and(Flags::ALL_SHARDS),
                client_tracking,
            )
        },
        CommandSpec {
            acl: "slow connection",
            group: "connection",
            since: "6.2.0",
            summary: "Return information about server assisted client side caching for the current connection",
            complexity: "O(1)",
            ..CommandSpec::new(
                "trackinginfo",
                2,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                client_trackinginfo,
            )
        },
        CommandSpec {
            acl: "slow connection",
            group: "connection",
            since: "2.6.9",
            summary: "Get the current connection name",
            complexity: "O(1)",
            ..CommandSpec::new(
                "getname",
                2,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                client_getname,
            )
        },
        CommandSpec {
            acl: "slow connection",
            group: "connection",
            since: "5.0.0",
            summary: "Show helpful text about the different subcommands",
            complexity: "O(1)",
            ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), client_help)
        },
        CommandSpec {
            acl: "slow connection",
            group: "connection",
            since: "5.0.0",
            summary: "Returns the client ID for the current connection",
            complexity: "O(1)",
            ..CommandSpec::new(
                "id",
                2,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                client_id,
            )
        },
        CommandSpec {
            acl: "slow connection",
            group: "connection",
            since: "6.2.0",
            summary: "Returns information about the current client connection.",
            complexity: "O(1)",
            tips: "nondeterministic_output",
            ..CommandSpec::new(
                "info",
                2,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                client_info,
            )
        },
        CommandSpec {
            arguments: "filter:oneof{ip:port:string~2.8.12 new-format:oneof*{client-id:integer=ID?@2.8.12 normal_master_slave_pubsub:oneof=TYPE?@2.8.12{normal:pure-token=NORMAL master:pure-token=MASTER@3.2.0 slave:pure-token=SLAVE replica:pure-token=REPLICA@5.0.0 pubsub:pure-token=PUBSUB} username:string=USER? ip:port:string=ADDR? ip:port:string=LADDR?@6.2.0 yes/no:string=SKIPME?}}",
            acl: "admin slow dangerous connection",
            group: "connection",
            since: "2.4.0",
            summary: "Kill the connection of a client",
            complexity: "O(N) where N is the number of client connections",
            history: &[
                ("2.8.12", "Added new filter format."),
                ("2.8.12", "`ID` option."),
                ("3.2.0", "Added `master` type in for `TYPE` option."),
                (
                    "5.0.0",
                    "Replaced `slave` `TYPE` with `replica`. `slave` still supported for backward compatibility.",
                ),
                ("6.2.0", "`LADDR` option."),
            ],
            ..CommandSpec::new(
                "kill",
                -3,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                client_kill,
            )
        },
        CommandSpec {
            arguments: "normal_master_replica_pubsub:oneof=TYPE?@5.0.0{normal:pure-token=NORMAL master:pure-token=MASTER replica:pure-token=REPLICA pubsub:pure-token=PUBSUB} id:block=ID?@6.2.0{client-id:integer*}",
            acl: "admin slow dangerous connection",
            group: "connection",
            since: "2.4.0",
            summary: "Get the list of client connections",
            complexity: "O(N) where N is the number of client connections",
            tips: "nondeterministic_output",
            history: &[
                ("2.8.12", "Added unique client `id` field."),
                ("5.0.0", "Added optional `TYPE` filter."),
                ("6.0.0", "Added `user` field."),
                (
                    "6.2.0",
                    "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the optional `ID` filter.",
                ),
                (
                    "7.0.0",
                    "Added `resp`, `multi-mem`, `rbs` and `rbp` fields.",
                ),
                ("7.0.3", "Added `ssub` field."),
            ],
            ..CommandSpec::new(
                "list",
                -2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                client_list,
            )
        },
        CommandSpec {
            arguments: "enabled:oneof{on:pure-token=ON off:pure-token=OFF}",
            acl: "admin slow dangerous connection",
            group: "connection",
            since: "7.0.0",
            summary: "Set client eviction mode for the current connection",
            complexity: "O(1)",
            ..CommandSpec::new(
                "no-evict",
                3,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                client_no_evict,
            )
        },
        CommandSpec {
            arguments: "timeout:integer mode:oneof?@6.2.0{write:pure-token=WRITE all:pure-token=ALL}",
            acl: "admin slow dangerous connection",
            group: "connection",
            since: "2.9.50",
            summary: "Stop processing commands from clients for some time",
            complexity: "O(1)",
            history: &[(
                "6.2.0",
                "`CLIENT PAUSE WRITE` mode added along with the `mode` option.",
            )],
            ..CommandSpec::new(
                "pause",
                -3,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                client_pause,
            )
        },
        CommandSpec {
            arguments: "on_off_skip:oneof{on:pure-token=ON off:pure-token=OFF skip:pure-token=SKIP}",
            acl: "slow connection",
            group: "connection",
            since: "3.2.0",
            summary: "Instruct the server whether to reply to commands",
            complexity: "O(1)",
            ..CommandSpec::new(
                "reply",
                3,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                client_reply,
            )
        },
        CommandSpec {
            arguments: "connection-name:string",
            acl: "slow connection",
            group: "connection",
            since: "2.6.9",
            summary: "Set the current connection name",
            complexity: "O(1)",
            ..CommandSpec::new(
                "setname",
                3,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                client_setname,
            )
        },
        CommandSpec {
            arguments: "client-id:integer timeout_error:oneof?{timeout:pure-token=TIMEOUT error:pure-token=ERROR}",
            acl: "admin slow dangerous connection",
            group: "connection",
            since: "5.0.0",
            summary: "Unblock a client blocked in a blocking command from a different connection",
            complexity: "O(log N) where N is the number of client connections",
            ..CommandSpec::new(
                "unblock",
                -3,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                client_unblock,
            )
        },
        CommandSpec {
            acl: "admin slow dangerous connection",
            group: "connection",
            since: "6.2.0",
            summary: "Resume processing of clients that were paused",
            complexity: "O(N) Where N is the number of paused clients",
            ..CommandSpec::new(
                "unpause",
                2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                client_unpause,
            )
        },
        CommandSpec {
            arguments: "attr:oneof{libname:string=LIB-NAME libver:string=LIB-VER}",
            acl: "slow connection",
            group: "connection",
            since: "7.2.0",
            summary: "Sets information specific to the client or connection.",
            complexity: "O(1)",
            tips: "request_policy:all_nodes response_policy:all_succeeded",
            ..CommandSpec::new(
                "setinfo",
                4,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                client_setinfo,
            )
        },
        CommandSpec {
            arguments: "enabled:oneof{on:pure-token=ON off:pure-token=OFF}",
            acl: "slow connection",
            group: "connection",
            since: "7.2.0",
            summary: "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.",
            complexity: "O(1)",
            ..CommandSpec::new(
                "no-touch",
                3,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                client_no_touch,
            )
        },
    ],
    ..CommandSpec::new("client", -2, Flags::NONE, help::container)
}];

const HELP: &[&str] = &[
    "CACHING (YES|NO)",
    "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
    "GETREDIR",
    "    Return the client ID we are redirecting to when tracking is enabled.",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made from the specified address",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made to specified local address",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "LIST [options ...]",
    "    Return information about client connections. Options:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Return clients of specified type.",
    "UNPAUSE",
    "    Stop the current client pause, resuming traffic.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Suspend all, or just write, clients for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attr. Options are:",
    "    * LIB-NAME: the client lib name.",
    "    * LIB-VER: the client lib version.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Unblock the specified blocked client.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
    "         [OPTIN] [OPTOUT] [NOLOOP]",
    "    Control server assisted client side caching.",
    "TRACKINGINFO",
    "    Report tracking status for the current connection.",
    "NO-EVICT (ON|OFF)",
    "    Protect current client connection from eviction.",
    "NO-TOUCH (ON|OFF)",
    "    Will not touch LRU/LFU stats when this mode is on.",
];

fn client_help(ctx: &mut Context<'_, '_>) -> CommandResult {
    help::reply(ctx, HELP)
}

// ------------------------------------------------------------------------------------------------ about itself

fn client_id(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.reply
        .int(i64::try_from(ctx.session.info.id).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

fn client_getname(ctx: &mut Context<'_, '_>) -> CommandResult {
    let name = ctx.session.info.name.lock();
    if name.is_empty() {
        ctx.reply.null();
    } else {
        ctx.reply.bulk(&name);
    }
    Ok(Outcome::Done)
}

fn client_setname(ctx: &mut Context<'_, '_>) -> CommandResult {
    set_client_name(ctx.session, ctx.args.get(2).copied().unwrap_or_default())?;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn client_setinfo(ctx: &mut Context<'_, '_>) -> CommandResult {
    let value = ctx.args.get(3).copied().unwrap_or_default();
    let info = &ctx.session.info;
    let option = shown(ctx.args.get(2).copied().unwrap_or_default());
    let field = if ctx.is(2, "lib-name") {
        &info.lib_name
    } else if ctx.is(2, "lib-ver") {
        &info.lib_version
    } else {
        return Err(format!("ERR Unrecognized option '{option}'").into());
    };
    if !is_printable(value) {
        let text = format!("ERR {option} cannot contain spaces, newlines or special characters.");
        return Err(text.into());
    }
    *field.lock() = value.to_vec();
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn on_or_off(ctx: &Context<'_, '_>, position: usize) -> Result<bool, CommandError> {
    match (ctx.is(position, "on"), ctx.is(position, "off")) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

fn client_no_evict(ctx: &mut Context<'_, '_>) -> CommandResult {
    let on = on_or_off(ctx, 2)?;
    ctx.session.info.set_flag(ClientFlags::NO_EVICT, on);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn client_no_touch(ctx: &mut Context<'_, '_>) -> CommandResult {
    let on = on_or_off(ctx, 2)?;
    ctx.session.info.set_flag(ClientFlags::NO_TOUCH, on);
    ctx.session.no_touch = on;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// OFF and SKIP are not answered themselves.
fn client_reply(ctx: &mut Context<'_, '_>) -> CommandResult {
    if ctx.is(2, "on") {
        ctx.session.reply_mode = ReplyMode::On;
        ctx.reply.ok();
    } else if ctx.is(2, "off") {
        ctx.session.reply_mode = ReplyMode::Off;
    } else if ctx.is(2, "skip") {
        if ctx.session.reply_mode != ReplyMode::Off {
            ctx.session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(CommandError::Syntax);
    }
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ lists

/// The letters of `flags=` in their order.
const FLAG_LETTERS: &[(u32, char)] = &[
    (ClientFlags::PUBSUB, 'P'),
    (ClientFlags::MULTI, 'x'),
    (ClientFlags::BLOCKED, 'b'),
    (ClientFlags::TRACKING, 't'),
    (ClientFlags::BROKEN_REDIRECT, 'R'),
    (ClientFlags::BROADCAST, 'B'),
    (ClientFlags::WATCHES, 'd'),
    (ClientFlags::CLOSE_AFTER_REPLY, 'c'),
    (ClientFlags::CLOSE_ASAP, 'A'),
    (ClientFlags::UNIX, 'U'),
    (ClientFlags::NO_EVICT, 'e'),
    (ClientFlags::NO_TOUCH, 'T'),
];

fn flag_letters(info: &ClientInfo) -> String {
    let mut letters = String::new();
    if info.has_flag(ClientFlags::MONITOR) {
        letters.push('O');
    } else if info.has_flag(ClientFlags::REPLICA) {
        letters.push('S');
    }
    if info.has_flag(ClientFlags::PRIMARY) {
        letters.push('M');
    }
    let is_raised = || {
        info.watched
            .lock()
            .as_ref()
            .is_some_and(|flag| flag.is_raised())
    };
    let set = FLAG_LETTERS
        .iter()
        .filter(|(flag, _)| info.has_flag(*flag) && (*flag != ClientFlags::WATCHES || is_raised()));
    letters.extend(set.map(|(_, letter)| letter));
    if letters.is_empty() {
        letters.push('N');
    }
    letters
}

/// Appends a client's line, without its end.
fn write_line(out: &mut String, info: &ClientInfo, ctx: &Context<'_, '_>) {
    let is_self = info.id == ctx.session.info.id;
    // Inside EXEC that is EXEC.
    let running = is_self.then(|| Running {
        name: last_command(info),
        ..Running::new(ctx.command, ctx.args)
    });
    out.push_str(&line_of(info, ctx.txn.now_ms(), running.as_ref()));
}

/// The command that a client runs at this moment.
pub(super) struct Running<'a> {
    name: &'a str,
    /// Bytes of its words.
    words: usize,
}

impl<'a> Running<'a> {
    pub(super) fn new(command: &'a Command, args: &[&[u8]]) -> Self {
        Self {
            name: &command.full_name,
            words: args.iter().map(|word| word.len()).sum(),
        }
    }
}

/// A client's line, without its end.
pub(super) fn line_of(info: &ClientInfo, now: i64, running: Option<&Running<'_>>) -> String {
    let mut out = String::new();
    let get = |counter: &std::sync::atomic::AtomicUsize| counter.load(Ordering::Relaxed);
    let seconds_since = |ms: i64| (now - ms).max(0) / 1000;
    let last = match running {
        Some(_) => now,
        None => info.last_active_ms.load(Ordering::Relaxed),
    };
    let multi = match info.has_flag(ClientFlags::MULTI) {
        true => info.multi.load(Ordering::Relaxed),
        false => -1,
    };
    let mailbox = info.mailbox.pending();
    let output = get(&info.output);
    // The buffer of an idle client went back to its worker.
    let free_input = if seconds_since(last) >= BUFFER_KEPT_S && get(&info.query_buffer) == 0 {
        0
    } else {
        get(&info.query_buffer_free)
    };
    // Redis keeps the first bytes of a reply in the client's own buffer, the rest in a list.
    let fixed = output.min(get(&info.reply_buffer));
    let listed = output - fixed;
    let unread = listed + mailbox;
    let user = match info.has_flag(ClientFlags::PRIMARY) {
        true => "(superuser)".into(),
        false => info.user.lock().display_name(),
    };
    let redirect = match info.has_flag(ClientFlags::TRACKING) {
        true => info.tracking_redirect.load(Ordering::Relaxed),
        false => -1,
    };
    let result = write!(
        out,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={multi} \
         qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} obl={fixed} oll={} omem={unread} \
         tot-mem={} events={} cmd={} user={} redir={redirect} resp={} lib-name={} lib-ver={}",
        info.id,
        info.addr,
        info.laddr,
        info.fd,
        String::from_utf8_lossy(&info.name.lock()),
        seconds_since(info.created_ms),
        seconds_since(last),
        flag_letters(info),
        get(&info.db),
        get(&info.channels),
        get(&info.patterns),
        get(&info.shard_channels),
        get(&info.query_buffer),
        free_input,
        running.map_or(0, |running| running.words),
        get(&info.multi_memory),
        get(&info.reply_buffer),
        get(&info.reply_buffer_peak),
        usize::from(listed > 0) + info.mailbox.len(),
        info.memory(),
        if mailbox + output > 0 { "rw" } else { "r" },
        running.map_or_else(|| last_command(info), |running| running.name),
        user,
        info.resp.load(Ordering::Relaxed).max(2),
        String::from_utf8_lossy(&info.lib_name.lock()),
        String::from_utf8_lossy(&info.lib_version.lock()),
    );
    debug_assert!(result.is_ok(), "writing to a string cannot fail");
    out
}

fn last_command(info: &ClientInfo) -> &'static str {
    let index = info.last_command.load(Ordering::Relaxed).checked_sub(1);
    let command = index.and_then(|index| table::table().all.get(index));
    command.map_or("NULL", |command| &command.full_name)
}

fn client_info(ctx: &mut Context<'_, '_>) -> CommandResult {
    let mut text = String::new();
    write_line(&mut text, &ctx.session.info, ctx);
    text.push('\n');
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

/// The kinds that TYPE names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientKind {
    Normal,
    Master,
    Replica,
    PubSub,
}

impl ClientKind {
    fn parse(word: &[u8]) -> Result<Self, CommandError> {
        match word.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Self::Normal),
            b"master" => Ok(Self::Master),
            b"slave" | b"replica" => Ok(Self::Replica),
            b"pubsub" => Ok(Self::PubSub),
            _ => {
                let word = shown(word);
                Err(format!("ERR Unknown client type '{word}'").into())
            }
        }
    }

    fn of(info: &ClientInfo) -> Self {
        if info.has_flag(ClientFlags::PRIMARY) {
            Self::Master
        } else if info.has_flag(ClientFlags::REPLICA) && !info.has_flag(ClientFlags::MONITOR) {
            Self::Replica
        } else if info.has_flag(ClientFlags::PUBSUB) {
            Self::PubSub
        } else {
            Self::Normal
        }
    }
}

fn client_list(ctx: &mut Context<'_, '_>) -> CommandResult {
    let clients = &ctx.services.clients;
    let args = ctx.args;
    let listed: Vec<Arc<ClientInfo>> = match args.get(2..).unwrap_or_default() {
        [] => clients.list(),
        [option, kind] if option.eq_ignore_ascii_case(b"TYPE") => {
            let kind = ClientKind::parse(kind)?;
            let all = clients.list().into_iter();
            all.filter(|info| ClientKind::of(info) == kind).collect()
        }
        [option, ids @ ..] if option.eq_ignore_ascii_case(b"ID") && !ids.is_empty() => {
            let mut found = Vec::new();
            for id in ids {
                let id = parse_i64(id).ok_or(CommandError::text("ERR Invalid client ID"))?;
                found.extend(u64::try_from(id).ok().and_then(|id| clients.get(id)));
            }
            found
        }
        _ => return Err(CommandError::Syntax),
    };
    let mut text = String::new();
    for info in &listed {
        write_line(&mut text, info, ctx);
        text.push('\n');
    }
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ others

/// The filters of CLIENT KILL; all that are given must match.
#[derive(Debug, Default)]
struct KillFilter<'a> {
    id: Option<u64>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    kind: Option<ClientKind>,
    user: Option<&'a [u8]>,
    min_age_seconds: Option<i64>,
    spare_self: bool,
}

impl<'a> KillFilter<'a> {
    fn parse(options: &[&'a [u8]], users: &Acl) -> Result<Self, CommandError> {
        let mut filter = Self {
            spare_self: true,
            ..Self::default()
        };
        let (pairs, odd) = options.as_chunks::<2>();
        for [option, value] in pairs {
            filter.set(option, value, users)?;
        }
        if odd.is_empty() {
            Ok(filter)
        } else {
            Err(CommandError::Syntax)
        }
    }

    fn set(&mut self, option: &[u8], value: &'a [u8], users: &Acl) -> Result<(), CommandError> {
        match option.to_ascii_lowercase().as_slice() {
            b"id" => {
                let id = parse_i64(value).and_then(|id| u64::try_from(id).ok());
                let id = id.filter(|id| *id > 0);
                let error = CommandError::text("ERR client-id should be greater than 0");
                self.id = Some(id.ok_or(error)?);
            }
            b"addr" => self.addr = Some(value),
            b"laddr" => self.laddr = Some(value),
            b"type" => self.kind = Some(ClientKind::parse(value)?),
            b"user" if users.user(value).is_none() => {
                let user = shown(value);
                return Err(format!("ERR No such user '{user}'").into());
            }
            b"user" => self.user = Some(value),
            b"maxage" => {
                let error = CommandError::text("ERR maxage is not an integer or out of range");
                let age = parse_i64(value).ok_or(error)?;
                if age <= 0 {
                    let error = "ERR maxage should be greater than 0";
                    return Err(CommandError::text(error));
                }
                self.min_age_seconds = Some(age);
            }
            b"skipme" if value.eq_ignore_ascii_case(b"yes") => self.spare_self = true,
            b"skipme" if value.eq_ignore_ascii_case(b"no") => self.spare_self = false,
            _ => return Err(CommandError::Syntax),
        }
        Ok(())
    }

    fn matches(&self, info: &ClientInfo, own_id: u64, now_ms: i64) -> bool {
        let age = (now_ms - info.created_ms) / 1000;
        self.id.is_none_or(|id| id == info.id)
            && self.addr.is_none_or(|addr| addr == info.addr.as_bytes())
            && self
                .laddr
                .is_none_or(|laddr| laddr == info.laddr.as_bytes())
            && self.kind.is_none_or(|kind| kind == ClientKind::of(info))
            && self
                .user
                .is_none_or(|wanted| *wanted == *info.user.lock().name)
            && self.min_age_seconds.is_none_or(|min| age >= min)
            && !(self.spare_self && info.id == own_id)
    }
}

fn client_kill(ctx: &mut Context<'_, '_>) -> CommandResult {
    let args = ctx.args;
    let (filter, by_address) = match *args {
        [_, _, addr] => {
            let filter = KillFilter {
                addr: Some(addr),
                ..KillFilter::default()
            };
            (filter, true)
        }
        _ => {
            let options = args.get(2..).unwrap_or_default();
            (KillFilter::parse(options, &ctx.services.acl)?, false)
        }
    };
    let (own, now) = (ctx.session.info.id, ctx.txn.now_ms());
    let mut killed = ctx.services.clients.list();
    killed.retain(|info| filter.matches(info, own, now));
    if by_address && killed.is_empty() {
        return Err(CommandError::text("ERR No such client"));
    }
    let kills_self = killed.iter().any(|info| info.id == own);
    for info in killed.iter().filter(|info| info.id != own) {
        ctx.services.clients.cut_off(info);
    }
    if by_address {
        ctx.reply.ok();
    } else {
        ctx.reply
            .int(i64::try_from(killed.len()).unwrap_or(i64::MAX));
    }
    if kills_self {
        ctx.session
            .info
            .set_flag(ClientFlags::CLOSE_AFTER_REPLY, true);
        return Ok(Outcome::Close);
    }
    Ok(Outcome::Done)
}

fn client_unblock(ctx: &mut Context<'_, '_>) -> CommandResult {
    if ctx.args.len() > 4 {
        return Err(help::wrong_subcommand(ctx));
    }
    let kind = match ctx.args.get(3) {
        None => UnblockKind::Timeout,
        Some(_) if ctx.is(3, "timeout") => UnblockKind::Timeout,
        Some(_) if ctx.is(3, "error") => UnblockKind::Error,
        Some(_) => {
            let text = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
            return Err(CommandError::text(text));
        }
    };
    let id = u64::try_from(ctx.int(2)?).ok();
    let client = id.and_then(|id| ctx.services.clients.get(id));
    let unblocked = client.is_some_and(|client| client.unblock(kind));
    ctx.reply.int(i64::from(unblocked));
    Ok(Outcome::Done)
}

fn client_pause(ctx: &mut Context<'_, '_>) -> CommandResult {
    if ctx.args.len() > 4 {
        return Err(help::wrong_subcommand(ctx));
    }
    let only_writes = ctx.is(3, "write");
    if ctx.args.len() == 4 && !only_writes && !ctx.is(3, "all") {
        return Err(CommandError::text(
            "ERR CLIENT PAUSE mode must be WRITE or ALL",
        ));
    }
    let ms = ctx.args.get(2).and_then(|word| parse_i64(word));
    let ms = ms.ok_or(CommandError::text(
        "ERR timeout is not an integer or out of range",
    ))?;
    if ms < 0 {
        return Err(CommandError::NegativeTimeout);
    }
    let now = ctx.txn.now_ms();
    let wanted = Paused {
        until_ms: now.saturating_add(ms),
        only_writes,
    };
    ctx.services.pause.begin(now, wanted);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn client_unpause(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.services.pause.lift();
    ctx.reply.ok();
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests;
