//! MEMORY: how much the data, its keys and the clients take.

use std::sync::atomic::Ordering;

use super::memory_doctor::{self, Figures};
use super::spec::{CommandSpec, Flags, key_range};
use super::{CommandError, CommandResult, Context, Outcome, help};
use crate::services::stats::resident_memory;
use crate::services::{ClientFlags, Services};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    acl: "slow",
    group: "server",
    since: "4.0.0",
    summary: "A container for memory diagnostics commands",
    complexity: "Depends on subcommand.",
    subcommands: &[
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "4.0.0",
            summary: "Outputs memory problems report",
            complexity: "O(1)",
            tips: "nondeterministic_output request_policy:all_shards response_policy:special",
            ..CommandSpec::new("doctor", 2, Flags::NONE, memory_doctor)
        },
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "4.0.0",
            summary: "Show helpful text about the different subcommands",
            complexity: "O(1)",
            ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), memory_help)
        },
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "4.0.0",
            summary: "Show allocator internal stats",
            complexity: "Depends on how much memory is allocated, could be slow",
            tips: "nondeterministic_output request_policy:all_shards response_policy:special",
            ..CommandSpec::new("malloc-stats", 2, Flags::NONE, memory_malloc_stats)
        },
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "4.0.0",
            summary: "Ask the allocator to release memory",
            complexity: "Depends on how much memory is allocated, could be slow",
            tips: "request_policy:all_shards response_policy:all_succeeded",
            ..CommandSpec::new("purge", 2, Flags::NONE, memory_purge)
        },
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "4.0.0",
            summary: "Show memory usage details",
            complexity: "O(1)",
            tips: "nondeterministic_output request_policy:all_shards response_policy:special",
            ..CommandSpec::new("stats", 2, Flags::ALL_SHARDS, memory_stats)
        },
        CommandSpec {
            arguments: "key:key#0 count:integer=SAMPLES?",
            acl: "read slow",
            keys: &[key_range("RO", 2, 0, 1)],
            group: "server",
            since: "4.0.0",
            summary: "Estimate the memory usage of a key",
            complexity: "O(N) where N is the number of samples.",
            ..CommandSpec::new("usage", -3, Flags::READONLY, memory_usage)
        },
    ],
    ..CommandSpec::new("memory", -2, Flags::NONE, help::container)
}];

const HELP: &[&str] = &[
    "DOCTOR",
    "    Return memory problems reports.",
    "MALLOC-STATS",
    "    Return internal statistics report from the memory allocator.",
    "PURGE",
    "    Attempt to purge dirty pages for reclamation by the allocator.",
    "STATS",
    "    Return information about the memory usage of the server.",
    "USAGE <key> [SAMPLES <count>]",
    "    Return memory in bytes used by <key> and its value. Nested values are",
    "    sampled up to <count> times (default: 5, 0 means sample all).",
];

fn memory_help(ctx: &mut Context<'_, '_>) -> CommandResult {
    help::reply(ctx, HELP)
}

/// Sizes are known without looking at samples: their number is judged, and not needed.
fn memory_usage(ctx: &mut Context<'_, '_>) -> CommandResult {
    for at in (3..ctx.args.len()).step_by(2) {
        if !ctx.is(at, "samples") || at + 1 == ctx.args.len() || ctx.int(at + 1)? < 0 {
            return Err(CommandError::Syntax);
        }
    }
    let key = ctx.args.get(2).copied().unwrap_or_default();
    // What has expired takes its memory until it is removed.
    match ctx.txn.stored(key) {
        Some(entry) => ctx
            .reply
            .int(i64::try_from(entry.memory()).unwrap_or(i64::MAX)),
        None => ctx.reply.null(),
    }
    Ok(Outcome::Done)
}

/// Bytes that clients take, and how many they are: replicas, and all others.
struct OfClients {
    replicas: usize,
    others: usize,
    count: usize,
}

impl OfClients {
    fn sum(services: &Services) -> Self {
        let mut sum = Self {
            replicas: 0,
            others: 0,
            count: 0,
        };
        for client in services.clients.list() {
            if client.has_flag(ClientFlags::REPLICA) {
                sum.replicas += client.memory();
            } else {
                sum.others += client.memory();
                sum.count += 1;
            }
        }
        sum
    }
}

fn memory_doctor(ctx: &mut Context<'_, '_>) -> CommandResult {
    let stats = &ctx.services.stats;
    let (used, peak) = stats.memory();
    let clients = OfClients::sum(ctx.services);
    let report = memory_doctor::report(&Figures {
        used,
        peak,
        resident: resident_memory(),
        clients: clients.count,
        of_clients: clients.others,
        scripts: ctx.services.lua.figures().scripts,
        allocator: stats.allocator_name(),
    });
    ctx.reply.verbatim("txt", report.as_bytes());
    Ok(Outcome::Done)
}

/// As much as the allocator can, if it can at all: Redis says no more either.
fn memory_purge(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.services.stats.purge();
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn memory_malloc_stats(ctx: &mut Context<'_, '_>) -> CommandResult {
    match ctx.services.stats.allocator.get() {
        Some(allocator) => {
            let text = (allocator.statistics)();
            ctx.reply.verbatim("txt", text.as_bytes());
        }
        None => ctx
            .reply
            .bulk(b"Stats not supported for the current allocator"),
    }
    Ok(Outcome::Done)
}

fn memory_stats(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.txn.lock_all();
    let txn = &*ctx.txn;
    let databases: Vec<(usize, usize, usize)> = (0..txn.keyspace().databases())
        .map(|db| (db, txn.db_len(db), txn.bucket_count(db)))
        .filter(|(_, keys, _)| *keys > 0)
        .collect();
    let stats = &ctx.services.stats;
    let ((used, peak), resident) = (stats.memory(), resident_memory());
    let startup = stats.startup_memory.load(Ordering::Relaxed);
    let buffered =
        usize::try_from(stats.log.buffered.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
    let clients = OfClients::sum(ctx.services);
    let backlog = ctx.services.replicas.figures().backlog.unwrap_or(0);
    let scripts = ctx.services.lua.figures();
    let tables: usize = databases.iter().map(|(_, _, slots)| slots * SLOT).sum();
    let overhead = startup
        + clients.replicas
        + clients.others
        + buffered
        + backlog
        + scripts.scripts_memory
        + scripts.libraries_memory
        + tables;
    let data = used.saturating_sub(overhead);
    let keys: usize = databases.iter().map(|(_, keys, _)| keys).sum();
    let net = used.saturating_sub(startup);
    let percent = |part: usize, whole: usize| part as f64 * 100.0 / whole.max(1) as f64;
    let ratio = resident as f64 / used.max(1) as f64;
    let unused = resident.saturating_sub(used);
    let page = [
        ("peak.allocated", Figure::Bytes(peak)),
        ("total.allocated", Figure::Bytes(used)),
        ("startup.allocated", Figure::Bytes(startup)),
        ("replication.backlog", Figure::Bytes(backlog)),
        ("clients.slaves", Figure::Bytes(clients.replicas)),
        ("clients.normal", Figure::Bytes(clients.others)),
        ("cluster.links", Figure::Bytes(0)),
        ("aof.buffer", Figure::Bytes(buffered)),
        ("lua.caches", Figure::Bytes(scripts.scripts_memory)),
        ("functions.caches", Figure::Bytes(scripts.libraries_memory)),
        ("", Figure::Databases(&databases)),
        ("overhead.total", Figure::Bytes(overhead)),
        ("keys.count", Figure::Bytes(keys)),
        (
            "keys.bytes-per-key",
            Figure::Bytes(net.checked_div(keys).unwrap_or(0)),
        ),
        ("dataset.bytes", Figure::Bytes(data)),
        ("dataset.percentage", Figure::Ratio(percent(data, net))),
        ("peak.percentage", Figure::Ratio(percent(used, peak))),
        ("allocator.allocated", Figure::Bytes(used)),
        ("allocator.active", Figure::Bytes(resident)),
        ("allocator.resident", Figure::Bytes(resident)),
        ("allocator-fragmentation.ratio", Figure::Ratio(ratio)),
        ("allocator-fragmentation.bytes", Figure::Bytes(unused)),
        ("allocator-rss.ratio", Figure::Ratio(1.0)),
        ("allocator-rss.bytes", Figure::Bytes(0)),
        ("rss-overhead.ratio", Figure::Ratio(1.0)),
        ("rss-overhead.bytes", Figure::Bytes(0)),
        ("fragmentation", Figure::Ratio(ratio)),
        ("fragmentation.bytes", Figure::Bytes(unused)),
    ];
    ctx.reply.map(page.len() - 1 + databases.len());
    page.iter()
        .for_each(|(name, figure)| figure.write(ctx.reply, name));
    Ok(Outcome::Done)
}

/// Bytes of a slot of a table.
const SLOT: usize = size_of::<usize>() + 1;

/// A value of MEMORY STATS.
enum Figure<'a> {
    Bytes(usize),
    Ratio(f64),
    /// Number, keys and slots of each database.
    Databases(&'a [(usize, usize, usize)]),
}

impl Figure<'_> {
    fn write(&self, reply: &mut dyn crate::reply::Reply, name: &str) {
        let int = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        match self {
            Self::Bytes(bytes) => {
                reply.bulk(name.as_bytes());
                reply.int(int(*bytes));
            }
            Self::Ratio(ratio) => {
                reply.bulk(name.as_bytes());
                reply.double(*ratio);
            }
            Self::Databases(databases) => {
                for (db, _, slots) in *databases {
                    reply.bulk(format!("db.{db}").as_bytes());
                    reply.map(3);
                    reply.bulk(b"overhead.hashtable.main");
                    reply.int(int(slots * SLOT));
                    for name in [
                        "overhead.hashtable.expires",
                        "overhead.hashtable.slot-to-keys",
                    ] {
                        reply.bulk(name.as_bytes());
                        reply.int(0);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::reply::Response;
    use crate::services::stats::Allocator;

    #[test]
    fn usage_of_a_key() {
        let mut harness = Harness::new();
        harness.run("SET foo bar");
        for line in ["MEMORY USAGE foo", "MEMORY USAGE foo SAMPLES 0"] {
            assert!(matches!(harness.run(line), Response::Int(8..200)), "{line}");
        }
        assert_eq!(harness.run("MEMORY USAGE nokey"), Response::Null);
        harness.run("SET due 1 EXAT 1000");
        assert!(matches!(
            harness.run("MEMORY USAGE due"),
            Response::Int(8..200)
        ));
        let not_integer = "ERR value is not an integer or out of range";
        for (line, error) in [
            ("MEMORY USAGE foo SAMPLES", "ERR syntax error"),
            ("MEMORY USAGE foo SAMPLES -1", "ERR syntax error"),
            ("MEMORY USAGE foo x 1", "ERR syntax error"),
            ("MEMORY USAGE foo SAMPLES x", not_integer),
        ] {
            assert_eq!(harness.run(line), Response::Error(error.to_owned()));
        }
    }

    #[test]
    fn statistics_tell_each_database() {
        let mut harness = Harness::new();
        harness.run("HELLO 3");
        let count = |response| match response {
            Response::Map(pairs) => pairs.len(),
            other => panic!("{other:?} is no map"),
        };
        assert_eq!(count(harness.run("MEMORY STATS")), 27);
        harness.run("SET foo bar");
        assert_eq!(count(harness.run("MEMORY STATS")), 28);
    }

    #[test]
    fn the_allocator_is_asked_where_it_can_be() {
        let mut harness = Harness::new();
        let ok = Response::Simple("OK".into());
        assert_eq!(harness.run("MEMORY PURGE"), ok);
        let none = b"Stats not supported for the current allocator";
        assert_eq!(
            harness.run("MEMORY MALLOC-STATS"),
            Response::Bulk(none.to_vec())
        );
        let allocator = Allocator {
            name: "mine",
            purge: || {},
            statistics: || "none".to_owned(),
        };
        let set = harness.services.stats.allocator.set(allocator);
        assert!(set.is_ok());
        assert_eq!(harness.run("MEMORY PURGE"), ok);
        assert_eq!(
            harness.run("MEMORY MALLOC-STATS"),
            Response::Bulk(b"none".to_vec())
        );
    }
}
