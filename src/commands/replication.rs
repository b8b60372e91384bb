//! Replication: SYNC and PSYNC begin it, REPLCONF tells the rest; ROLE and WAIT tell how far the replicas are. The engine
//! makes the snapshot and feeds the stream.

use super::spec::{CommandSpec, Flags};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::reply::Reply;
use crate::services::primary::{Address, LinkStage};
use crate::services::replicas::{Acknowledged, Announced, OnDisk, Wanted};
use crate::services::{ClientFlags, LogProgress, Services};
use crate::value::lossless;
use crate::value::number::parse_i64;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        acl: "admin slow dangerous",
        group: "server",
        since: "1.0.0",
        summary: "Internal command used for replication",
        ..CommandSpec::new(
            "sync",
            1,
            Flags::ADMIN
                .and(Flags::NOSCRIPT)
                .and(Flags::NO_ASYNC_LOADING)
                .and(Flags::NO_MULTI),
            sync,
        )
    },
    CommandSpec {
        arguments: "replicationid:string offset:integer",
        acl: "admin slow dangerous",
        group: "server",
        since: "2.8.0",
        summary: "Internal command used for replication",
        ..CommandSpec::new(
            "psync",
            -3,
            Flags::ADMIN
                .and(Flags::NOSCRIPT)
                .and(Flags::NO_ASYNC_LOADING)
                .and(Flags::NO_MULTI),
            psync,
        )
    },
    CommandSpec {
        acl: "admin slow dangerous",
        group: "server",
        since: "3.0.0",
        summary: "An internal command for configuring the replication stream",
        complexity: "O(1)",
        doc_flags: "syscmd",
        ..CommandSpec::new(
            "replconf",
            -1,
            Flags::ADMIN
                .and(Flags::NOSCRIPT)
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::ALLOW_BUSY),
            replconf,
        )
    },
    CommandSpec {
        arguments: "args:oneof{host-port:block{host:string port:integer} no-one:block{no:pure-token=NO one:pure-token=ONE}}",
        acl: "admin slow dangerous",
        group: "server",
        since: "5.0.0",
        summary: "Make the server a replica of another instance, or promote it as master.",
        complexity: "O(1)",
        ..CommandSpec::new(
            "replicaof",
            3,
            Flags::ADMIN
                .and(Flags::NOSCRIPT)
                .and(Flags::STALE)
                .and(Flags::NO_ASYNC_LOADING),
            replicaof,
        )
    },
    CommandSpec {
        acl: "admin fast dangerous",
        group: "server",
        since: "2.8.12",
        summary: "Return the role of the instance in the context of replication",
        complexity: "O(1)",
        ..CommandSpec::new(
            "role",
            1,
            Flags::NOSCRIPT
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::FAST),
            role,
        )
    },
    CommandSpec {
        arguments: "args:oneof{host-port:block{host:string port:integer} no-one:block{no:pure-token=NO one:pure-token=ONE}}",
        acl: "admin slow dangerous",
        group: "server",
        since: "1.0.0",
        summary: "Make the server a replica of another instance, or promote it as master.",
        complexity: "O(1)",
        deprecated: Some(("5.0.0", "`REPLICAOF`")),
        ..CommandSpec::new(
            "slaveof",
            3,
            Flags::ADMIN
                .and(Flags::NOSCRIPT)
                .and(Flags::STALE)
                .and(Flags::NO_ASYNC_LOADING),
            replicaof,
        )
    },
    CommandSpec {
        arguments: "numreplicas:integer timeout:integer",
        acl: "slow connection",
        group: "generic",
        since: "3.0.0",
        summary: "Wait for the synchronous replication of all the write commands sent in the context of the current connection",
        complexity: "O(1)",
        tips: "request_policy:all_shards response_policy:agg_min",
        ..CommandSpec::new("wait", 3, Flags::NOSCRIPT, wait)
    },
    CommandSpec {
        arguments: "numlocal:integer numreplicas:integer timeout:integer",
        acl: "slow blocking connection",
        group: "generic",
        since: "7.2.0",
        summary: "Blocks until all of the preceding write commands sent by the connection are written to the append-only file of the master and/or replicas.",
        complexity: "O(1)",
        tips: "request_policy:all_shards response_policy:agg_min",
        ..CommandSpec::new("waitaof", 4, Flags::BLOCKING, waitaof)
    },
    CommandSpec {
        arguments: "target:block=TO?{host:string port:integer force:pure-token=FORCE?} abort:pure-token=ABORT? milliseconds:integer=TIMEOUT?",
        acl: "admin slow dangerous",
        group: "server",
        since: "6.2.0",
        summary: "Start a coordinated failover between this server and one of its replicas.",
        complexity: "O(1)",
        ..CommandSpec::new(
            "failover",
            -1,
            Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::STALE),
            failover,
        )
    },
];

/// From where a replica wants to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// SYNC: from a snapshot on; it tells nothing about the stream.
    Snapshot,
    /// PSYNC: from this byte of the stream of this name on, or from a snapshot.
    Stream {
        /// The name of the stream that it knows.
        name: Box<[u8]>,
        /// The first byte that it lacks, if it has any.
        byte: Option<u64>,
    },
}

// ------------------------------------------------------------------------------------------------ what replicas send

fn sync(ctx: &mut Context<'_, '_>) -> CommandResult {
    follow(ctx, From::Snapshot)
}

fn psync(ctx: &mut Context<'_, '_>) -> CommandResult {
    let byte = parse_i64(ctx.args[2]).ok_or(CommandError::NotInteger)?;
    let byte = u64::try_from(byte).ok();
    let name = ctx.args[1].into();
    follow(ctx, From::Stream { name, byte })
}

/// Who follows already is not answered.
fn follow(ctx: &mut Context<'_, '_>, from: From) -> CommandResult {
    if ctx.session.info.has_flag(ClientFlags::REPLICA) {
        return Ok(Outcome::Done);
    }
    Ok(Outcome::Follow(from))
}

fn replconf(ctx: &mut Context<'_, '_>) -> CommandResult {
    if ctx.args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    if ctx.is(1, "ack") {
        acknowledge(ctx);
        return Ok(Outcome::Done);
    }
    for pair in ctx.args[1..].chunks_exact(2) {
        if !announce(ctx, pair[0], pair[1])? {
            return Ok(Outcome::Done);
        }
    }
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// Takes note of one thing that a replica says; false where it wants no answer.
fn announce(ctx: &mut Context<'_, '_>, what: &[u8], value: &[u8]) -> Result<bool, CommandError> {
    let is = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
    match what.to_ascii_lowercase().as_slice() {
        b"getack" | b"ack" | b"fack" => return Ok(false),
        b"listening-port" => {
            let port = parse_i64(value).ok_or(CommandError::NotInteger)?;
            announced(ctx).port = u16::try_from(port).unwrap_or(0);
        }
        b"ip-address" => {
            let length = value.len();
            if length >= 256 {
                return Err(format!(
                    "ERR REPLCONF ip-address provided by replica instance is too long: {length} bytes"
                )
                .into());
            }
            // It stands in lines of INFO, which it must not end.
            let shown = lossless::text(value).replace(char::is_control, " ");
            announced(ctx).address = shown;
        }
        b"capa" => announced(ctx).psync2 |= is("psync2"),
        b"rdb-only" => announced(ctx).snapshot_only = switch(value)?,
        b"rdb-filter-only" => {
            let mut words = value
                .split(|byte| *byte == b' ')
                .filter(|word| !word.is_empty());
            let functions_only = words.clone().next().is_some();
            if let Some(word) = words.find(|word| !word.eq_ignore_ascii_case(b"functions")) {
                let word = lossless::text(word);
                return Err(format!("ERR Unsupported rdb-filter-only option: {word}").into());
            }
            announced(ctx).functions_only = functions_only;
        }
        _ => {
            let what = lossless::text(what);
            return Err(format!("ERR Unrecognized REPLCONF option: {what}").into());
        }
    }
    Ok(true)
}

fn switch(value: &[u8]) -> Result<bool, CommandError> {
    let value = parse_i64(value).ok_or(CommandError::NotInteger)?;
    Ok(value == 1)
}

fn announced<'c>(ctx: &'c mut Context<'_, '_>) -> &'c mut Announced {
    ctx.session.announced.get_or_insert_default()
}

/// `REPLCONF ACK offset [FACK offset]`: what the replica has, and what of it is on its disk.
fn acknowledge(ctx: &Context<'_, '_>) {
    let offset = |at: usize| {
        let word = ctx.args.get(at)?;
        u64::try_from(parse_i64(word)?).ok()
    };
    let Some(acknowledged) = offset(2) else {
        return;
    };
    let on_disk = ctx.is(3, "fack").then(|| offset(4)).flatten();
    let now_ms = ctx.txn.now_ms();
    let client = ctx.session.info.id;
    let replicas = &ctx.services.replicas;
    replicas.acknowledge(client, acknowledged, on_disk, now_ms);
}

// ------------------------------------------------------------------------------------------------ what others ask

fn role(ctx: &mut Context<'_, '_>) -> CommandResult {
    if let Some(link) = ctx.services.primary.figures() {
        let connected = link.stage == LinkStage::Connected;
        let offset = ctx.services.replicas.figures().offset as i64;
        ctx.reply.array(5);
        ctx.reply.bulk(b"slave");
        ctx.reply.bulk(&link.address.host);
        ctx.reply.int(i64::from(link.address.port));
        ctx.reply.bulk(link.stage.name().as_bytes());
        ctx.reply.int(if connected { offset } else { -1 });
        return Ok(Outcome::Done);
    }
    let replicas = ctx.services.replicas.list();
    let offset = ctx.services.replicas.figures().offset;
    ctx.reply.array(3);
    ctx.reply.bulk(b"master");
    ctx.reply.int(offset as i64);
    ctx.reply.array(replicas.len());
    for replica in replicas {
        ctx.reply.array(3);
        ctx.reply.bulk(replica.address().as_bytes());
        ctx.reply.bulk_int(i64::from(replica.announced.port));
        ctx.reply.bulk_int(replica.acknowledged() as i64);
    }
    Ok(Outcome::Done)
}

fn replicaof(ctx: &mut Context<'_, '_>) -> CommandResult {
    if ctx.is(1, "no") && ctx.is(2, "one") {
        return Ok(Outcome::ReplicaOf(None));
    }
    if ctx.session.info.has_flag(ClientFlags::REPLICA) {
        let text = "ERR Command is not valid when client is a replica.";
        return Err(CommandError::text(text));
    }
    let port = ctx.args.get(2).and_then(|word| parse_i64(word));
    let port = port.and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(CommandError::text("ERR Invalid master port"))?;
    let host = ctx.args.get(1).copied().unwrap_or_default().into();
    Ok(Outcome::ReplicaOf(Some(Address { host, port })))
}

/// Of writes to a replica nobody else hears.
fn refuse_as_replica(ctx: &Context<'_, '_>, text: &'static str) -> Result<(), CommandError> {
    match ctx.services.primary.is_followed() {
        true => Err(CommandError::text(text)),
        false => Ok(()),
    }
}

fn wait(ctx: &mut Context<'_, '_>) -> CommandResult {
    refuse_as_replica(
        ctx,
        "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.",
    )?;
    let replicas = ctx.int(1)?;
    let deadline_ms = deadline(ctx, 2)?;
    let wanted = Wanted {
        replicas: usize::try_from(replicas).unwrap_or(0),
        offset: ctx.services.replicas.figures().offset,
        disk: None,
    };
    await_wanted(ctx, wanted, deadline_ms)
}

fn waitaof(ctx: &mut Context<'_, '_>) -> CommandResult {
    refuse_as_replica(
        ctx,
        "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.",
    )?;
    let here = match ctx.int(1)? {
        0 => false,
        1 => true,
        _ => {
            return Err(CommandError::text(
                "ERR value is out of range, value must between 0 and 1",
            ));
        }
    };
    let replicas = ctx.args.get(2).and_then(|word| parse_i64(word));
    let replicas = replicas.and_then(|count| usize::try_from(count).ok());
    let replicas = replicas.ok_or(CommandError::text(
        "ERR value is out of range, must be positive",
    ))?;
    let deadline_ms = deadline(ctx, 3)?;
    let log = log_progress(ctx.services).map(|progress| progress.appended);
    if here && log.is_none() {
        return Err(NO_LOG);
    }
    let wanted = Wanted {
        replicas,
        offset: ctx.services.replicas.figures().offset,
        disk: Some(OnDisk { log, here }),
    };
    await_wanted(ctx, wanted, deadline_ms)
}

/// What WAITAOF answers that wants our own log where there is none.
pub const NO_LOG: CommandError = CommandError::text(
    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
);

/// Until when a timeout of so many milliseconds lasts; 0: for ever.
fn deadline(ctx: &Context<'_, '_>, at: usize) -> Result<Option<i64>, CommandError> {
    let timeout = ctx.args.get(at).and_then(|word| parse_i64(word));
    let timeout = timeout.ok_or(CommandError::text(
        "ERR timeout is not an integer or out of range",
    ))?;
    match timeout {
        0 => Ok(None),
        ms if ms < 0 => Err(CommandError::NegativeTimeout),
        ms => Ok(Some(ctx.txn.now_ms().saturating_add(ms))),
    }
}

fn await_wanted(
    ctx: &mut Context<'_, '_>,
    wanted: Wanted,
    deadline_ms: Option<i64>,
) -> CommandResult {
    let replicas = &ctx.services.replicas;
    let count = replicas.count(wanted.offset, wanted.disk.is_some());
    let there = wanted
        .disk
        .is_none_or(|disk| !disk.here || is_here(ctx.services, disk));
    if there && count >= wanted.replicas || ctx.mode.nested {
        answer(ctx.services, &wanted, ctx.reply);
        return Ok(Outcome::Done);
    }
    Ok(Outcome::AwaitReplicas(wanted, deadline_ms))
}

fn log_progress(services: &Services) -> Option<LogProgress> {
    services.hooks.read().as_ref()?.log_progress()
}

fn is_here(services: &Services, disk: OnDisk) -> bool {
    let progress = log_progress(services);
    let has = progress.zip(disk.log);
    has.is_some_and(|(progress, position)| progress.synced >= position)
}

/// Answers WAIT or WAITAOF with what there is of what it wants.
pub fn answer(services: &Services, wanted: &Wanted, reply: &mut dyn Reply) {
    let count = services
        .replicas
        .count(wanted.offset, wanted.disk.is_some());
    tell(services, wanted, Acknowledged(count), reply);
}

/// The same for so many replicas.
pub fn tell(services: &Services, wanted: &Wanted, count: Acknowledged, reply: &mut dyn Reply) {
    if let Some(disk) = wanted.disk {
        reply.array(2);
        reply.int(i64::from(is_here(services, disk)));
    }
    reply.int(count.0 as i64);
}

/// Which parts of it are wrong is told, but nobody takes over.
fn failover(ctx: &mut Context<'_, '_>) -> CommandResult {
    let wish = FailoverWish::of(ctx)?;
    if wish.abort {
        return Err(CommandError::text("ERR No failover in progress."));
    }
    refuse_as_replica(ctx, "ERR FAILOVER is not valid when server is a replica.")?;
    if ctx.services.replicas.list().is_empty() {
        return Err(CommandError::text(
            "ERR FAILOVER requires connected replicas.",
        ));
    }
    Err(CommandError::text(
        "ERR This server does not hand over by itself: use REPLICAOF on both sides",
    ))
}

#[derive(Debug, Default)]
struct FailoverWish {
    abort: bool,
    to: bool,
    force: bool,
    timeout: bool,
}

impl FailoverWish {
    fn of(ctx: &Context<'_, '_>) -> Result<Self, CommandError> {
        let mut wish = Self::default();
        let mut at = 1;
        while at < ctx.args.len() {
            let has = |more: usize| at + more < ctx.args.len();
            if ctx.is(at, "abort") && ctx.args.len() == 2 {
                wish.abort = true;
            } else if ctx.is(at, "timeout") && has(1) && !wish.timeout {
                if ctx.int(at + 1)? <= 0 {
                    let text = "ERR FAILOVER timeout must be greater than 0";
                    return Err(CommandError::text(text));
                }
                wish.timeout = true;
                at += 1;
            } else if ctx.is(at, "to") && has(2) && !wish.to {
                ctx.int(at + 2)?;
                wish.to = true;
                at += 2;
            } else if ctx.is(at, "force") && !wish.force {
                wish.force = true;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(wish)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::commands::testing::Harness;
    use crate::reply::Response;
    use crate::services::replicas::{Replica, Stage};

    fn bulk(text: &str) -> Response {
        Response::Bulk(text.as_bytes().to_vec())
    }

    fn with_replica(harness: &Harness) -> Arc<Replica> {
        let announced = Announced {
            port: 7001,
            address: "10.0.0.7".into(),
            ..Announced::default()
        };
        let client = Arc::clone(&harness.session.info);
        let replica = Arc::new(Replica::new(client, announced, true));
        let replicas = &harness.services.replicas;
        replicas.attach(Arc::clone(&replica), 100);
        replica.enter(Stage::Online, 0);
        replica
    }

    #[test]
    fn refusals() {
        let mut harness = Harness::new();
        for (line, error) in [
            ("REPLICAOF no x", "ERR Invalid master port"),
            ("WAIT x 0", "ERR value is not an integer or out of range"),
            ("WAIT 1 x", "ERR timeout is not an integer or out of range"),
            ("WAIT 0 -1", "ERR timeout is negative"),
            (
                "WAITAOF x 0 0",
                "ERR value is not an integer or out of range",
            ),
            (
                "WAITAOF 2 -1 x",
                "ERR value is out of range, value must between 0 and 1",
            ),
            (
                "WAITAOF 1 -1 x",
                "ERR value is out of range, must be positive",
            ),
            ("WAITAOF 1 0 -1", "ERR timeout is negative"),
            (
                "WAITAOF 1 0 0",
                "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
            ),
            ("FAILOVER", "ERR FAILOVER requires connected replicas."),
            ("FAILOVER ABORT", "ERR No failover in progress."),
            ("FAILOVER ABORT FORCE", "ERR syntax error"),
            ("FAILOVER TO h", "ERR syntax error"),
            (
                "FAILOVER TO h x",
                "ERR value is not an integer or out of range",
            ),
            (
                "FAILOVER TO h 1 FORCE TIMEOUT 0",
                "ERR FAILOVER timeout must be greater than 0",
            ),
            (
                "FAILOVER TIMEOUT -2 ABORT",
                "ERR FAILOVER timeout must be greater than 0",
            ),
            ("REPLCONF capa", "ERR syntax error"),
            ("REPLCONF x y", "ERR Unrecognized REPLCONF option: x"),
            (
                "REPLCONF rdb-filter-only x",
                "ERR Unsupported rdb-filter-only option: x",
            ),
            ("PSYNC ? x", "ERR value is not an integer or out of range"),
        ] {
            let answer = harness.run(line);
            assert_eq!(answer, Response::Error(error.to_owned()), "{line}");
        }
    }

    #[test]
    fn without_replicas() {
        let mut harness = Harness::new();
        let none = Response::Array(Vec::new());
        assert_eq!(
            harness.run("ROLE"),
            Response::Array(vec![bulk("master"), Response::Int(0), none])
        );
        let ok = Response::Simple("OK".into());
        for (line, host) in [("REPLICAOF NO ONE", None), ("SLAVEOF h 7", Some("h"))] {
            harness.run(line);
            let address = host.map(|host| Address {
                host: host.as_bytes().into(),
                port: 7,
            });
            assert_eq!(harness.outcome, Some(Outcome::ReplicaOf(address)), "{line}");
        }
        assert_eq!(harness.run("WAIT 0 0"), Response::Int(0));
        let nothing = Response::Array(vec![Response::Int(0), Response::Int(0)]);
        assert_eq!(harness.run("WAITAOF 0 0 0"), nothing);
        assert_eq!(harness.run("REPLCONF"), ok);
        assert_eq!(harness.run("REPLCONF listening-port 7001 capa psync2"), ok);
        let announced = harness.session.announced.as_deref().expect("it said so");
        assert_eq!((announced.port, announced.psync2), (7001, true));
    }

    #[test]
    fn who_wants_to_follow() {
        let mut harness = Harness::new();
        let stream = |name: &str, byte| From::Stream {
            name: name.as_bytes().into(),
            byte,
        };
        for (line, from) in [
            ("SYNC", From::Snapshot),
            ("PSYNC ? -1", stream("?", None)),
            ("PSYNC abc 17", stream("abc", Some(17))),
        ] {
            harness.run(line);
            assert_eq!(harness.outcome, Some(Outcome::Follow(from)), "{line}");
        }
    }

    #[test]
    fn how_far_replicas_are() {
        let mut harness = Harness::new();
        let replica = with_replica(&harness);
        let wanted = Wanted {
            replicas: 2,
            offset: 0,
            disk: None,
        };
        harness.run("WAIT 2 500");
        let waits = Outcome::AwaitReplicas(wanted, Some(1_000_000_500));
        assert_eq!(harness.outcome, Some(waits));
        harness.run("REPLCONF ACK 12 FACK 7");
        assert_eq!(replica.acknowledged(), 12);
        let replicas = &harness.services.replicas;
        assert_eq!((replicas.count(12, true), replicas.count(7, true)), (0, 1));
        let both = Response::Array(vec![Response::Int(0), Response::Int(1)]);
        assert_eq!(harness.run("WAITAOF 0 1 0"), both);
        assert_eq!(harness.run("WAIT 1 0"), Response::Int(1));
        let shown = Response::Array(vec![bulk("10.0.0.7"), bulk("7001"), bulk("12")]);
        assert_eq!(
            harness.run("ROLE"),
            Response::Array(vec![
                bulk("master"),
                Response::Int(0),
                Response::Array(vec![shown])
            ])
        );
    }
}
