//! DEBUG: what tests ask of a server. Behind `enable-debug-command`.

use std::sync::atomic::Ordering;

use super::acl;
use super::digest::{digest_of_everything, digest_of_key};
use super::keys::{reference_count, shares_integers};
use super::spec::{CommandSpec, Flags};
use super::{CommandError, CommandResult, Context, Outcome, help};
use crate::config::parse_memory;
use crate::keyspace::{Entry, ValueRef};
use crate::rdb::Encoder;
use crate::reply::Reply;
use crate::services::hooks::REPLY_PEAK_RESET_MS;
use crate::value::glob;
use crate::value::listpack::Element;
use crate::value::lossless;
use crate::value::number::parse_i64;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    acl: "admin slow dangerous",
    group: "server",
    since: "1.0.0",
    summary: "A container for debugging commands",
    complexity: "Depends on subcommand.",
    doc_flags: "syscmd",
    ..CommandSpec::new(
        "debug",
        -2,
        Flags::ADMIN
            .and(Flags::NOSCRIPT)
            .and(Flags::LOADING)
            .and(Flags::STALE)
            .and(Flags::ALL_SHARDS)
            .and(Flags::PROTECTED),
        debug,
    )
}];

const HELP: &[&str] = &[
    "AOF-FLUSH-SLEEP <microsec>",
    "    Server will sleep before flushing the AOF, this is used for testing.",
    "ASSERT",
    "    Crash by assertion failed.",
    "CHANGE-REPL-ID",
    "    Change the replication IDs of the instance.",
    "    Dangerous: should be used only for testing the replication subsystem.",
    "CONFIG-REWRITE-FORCE-ALL",
    "    Like CONFIG REWRITE but writes all configuration options, including",
    "    keywords not listed in original configuration file or default values.",
    "CRASH-AND-RECOVER [<milliseconds>]",
    "    Hard crash and restart after a <milliseconds> delay (default 0).",
    "DIGEST",
    "    Output a hex signature representing the current DB content.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Output a hex signature of the values of all the specified keys.",
    "ERROR <string>",
    "    Return a Redis protocol error with <string> as message. Useful for clients",
    "    unit tests to simulate Redis errors.",
    "FAIL-SNAPSHOT",
    "    Has the snapshot that is being written fail, as if the disk refused it.",
    "LEAK <string>",
    "    Create a memory leak of the input string.",
    "LOG <message>",
    "    Write <message> to the server log.",
    "HTSTATS <dbid>",
    "    Return hash table statistics of the specified Redis database.",
    "HTSTATS-KEY <key>",
    "    Like HTSTATS but for the hash table stored at <key>'s value.",
    "LOADAOF",
    "    Flush the AOF buffers on disk and reload the AOF in memory.",
    "REPLICATE <string>",
    "    Replicates the provided string to replicas, allowing data divergence.",
    "OBJECT <key>",
    "    Show low level info about `key` and associated value.",
    "OOM",
    "    Crash the server simulating an out-of-memory error.",
    "PANIC",
    "    Crash the server simulating a panic.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Create <count> string keys named key:<num>. If <prefix> is specified then",
    "    it is used instead of the 'key' prefix. These are not propagated to",
    "    replicas. Cluster slots are not respected so keys not belonging to the",
    "    current node can be created in cluster mode.",
    "PROTOCOL <type>",
    "    Reply with a test value of the specified type. <type> can be: string,",
    "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
    "    true, false.",
    "RELOAD [option ...]",
    "    Save the RDB on disk and reload it back to memory. Valid <option> values:",
    "    * MERGE: conflicting keys will be loaded from RDB.",
    "    * NOFLUSH: the existing database will not be removed before load, but",
    "      conflicting keys will generate an exception and kill the server.",
    "    * NOSAVE: the database will be loaded from an existing RDB file.",
    "    Examples:",
    "    * DEBUG RELOAD: verify that the server is able to persist, flush and reload",
    "      the database.",
    "    * DEBUG RELOAD NOSAVE: replace the current database with the contents of an",
    "      existing RDB file.",
    "    * DEBUG RELOAD NOSAVE NOFLUSH MERGE: add the contents of an existing RDB",
    "      file to the database.",
    "RESTART [<milliseconds>]",
    "    Graceful restart: save config, db, restart after a <milliseconds> delay (default 0).",
    "SEGFAULT",
    "    Crash the server with sigsegv.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Setting it to 0 disables expiring keys in background when they are not",
    "    accessed (otherwise the Redis behavior). Setting it to 1 reenables back the",
    "    default.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    Sets the threshold for elements to be inserted as plain vs packed nodes",
    "    Default value is 1GB, allows values up to 4GB. Setting to 0 restores to default.",
    "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
    "    Enables or disables checksum checks for RDB files and RESTORE's payload.",
    "SLEEP <seconds>",
    "    Stop the server for <seconds>. Decimals allowed.",
    "STRINGMATCH-TEST",
    "    Run a fuzz tester against the stringmatchlen() function.",
    "STRUCTSIZE",
    "    Return the size of different Redis core C structures.",
    "LISTPACK <key>",
    "    Show low level info about the listpack encoding of <key>.",
    "QUICKLIST <key> [<0|1>]",
    "    Show low level info about the quicklist encoding of <key>.",
    "    The optional argument (0 by default) sets the level of detail",
    "CLIENT-EVICTION",
    "    Show low level client eviction pools info (maxmemory-clients).",
    "PAUSE-CRON <0|1>",
    "    Stop periodic cron job processing.",
    "REPLYBUFFER PEAK-RESET-TIME <NEVER||RESET|time>",
    "    Sets the time (in milliseconds) to wait between client reply buffer peak resets.",
    "    In case NEVER is provided the last observed peak will never be reset",
    "    In case RESET is provided the peak reset time will be restored to the default value",
    "REPLYBUFFER RESIZING <0|1>",
    "    Enable or disable the reply buffer resize cron job",
];

fn debug(ctx: &mut Context<'_, '_>) -> CommandResult {
    let args = ctx.args;
    let sub = args
        .get(1)
        .map(|word| word.to_ascii_lowercase())
        .unwrap_or_default();
    match (sub.as_slice(), args.get(2..).unwrap_or_default()) {
        (b"help", []) => help::reply(ctx, HELP),
        (b"sleep", [seconds]) => Ok(Outcome::Sleep(milliseconds(seconds))),
        (b"object", [key]) => object(ctx, key),
        (b"digest", []) => {
            ctx.txn.lock_all();
            let digest = digest_of_everything(ctx.txn);
            done(ctx, |reply| reply.simple(&digest))
        }
        (b"digest-value", keys) => digest_value(ctx, keys),
        (b"htstats", [db, ..]) => htstats(ctx, db),
        (b"htstats-key", [key, ..]) => htstats_key(ctx, key),
        (b"populate", [count, options @ ..]) if options.len() <= 2 => populate(ctx, count, options),
        (b"listpack", [key]) => listpack(ctx, key),
        (b"quicklist", [key]) => quicklist(ctx, key, false),
        (b"quicklist", [key, level]) => quicklist(ctx, key, level_of(level)),
        (b"protocol", [kind]) => protocol(ctx, kind),
        (b"quicklist-packed-threshold", [size]) => packed_threshold(ctx, size),
        (b"replybuffer", [what, value]) => reply_buffer(ctx, what, value),
        (b"reload", options) => reload(ctx, options),
        (b"aof-flush-sleep", [us]) => aof_flush_sleep(ctx, us),
        (b"segfault" | b"panic" | b"assert" | b"oom", _) => ends::at_once(ctx, &sub),
        (b"restart", delay) => ends::restart(ctx, delay.first().copied()),
        (b"crash-and-recover", delay) => ends::crash_and_recover(ctx, delay.first().copied()),
        (b"leak", [text]) => {
            Vec::leak(text.to_vec());
            done(ctx, |reply| reply.ok())
        }
        (b"replicate", words) if !words.is_empty() => {
            ctx.txn.propagate_to_replicas(words);
            done(ctx, |reply| reply.ok())
        }
        (b"stringmatch-test", []) => string_match_test(ctx),
        (b"client-eviction", []) => client_eviction(ctx),
        (b"fail-snapshot", []) => {
            let fails = &ctx.services.switches.snapshot_fails;
            fails.store(true, Ordering::Release);
            done(ctx, |reply| reply.ok())
        }
        (b"loadaof", []) => Ok(Outcome::LoadLog),
        // An answer like any other: it counts as no error.
        (b"error", [text]) => done(ctx, |reply| reply.error(&one_line(text))),
        (b"log", [text]) => {
            if let Some(hooks) = &*ctx.services.hooks.read() {
                hooks.log(&format!("DEBUG LOG: {}", one_line(text)));
            }
            done(ctx, |reply| reply.ok())
        }
        (b"change-repl-id", []) => {
            ctx.services.replicas.forget_name();
            done(ctx, |reply| reply.ok())
        }
        (b"config-rewrite-force-all", []) => rewrite_all(ctx),
        (b"structsize", []) => {
            let text = format!("bits:{} entry:{}", usize::BITS, size_of::<Entry>());
            done(ctx, |reply| reply.bulk(text.as_bytes()))
        }
        (sub, [value]) => switch(ctx, sub, value),
        _ => Err(help::wrong_subcommand(ctx)),
    }
}

/// The delay is for tests of what waits for the log.
fn aof_flush_sleep(ctx: &mut Context<'_, '_>, us: &[u8]) -> CommandResult {
    let us = parse_i64(us)
        .and_then(|us| u64::try_from(us).ok())
        .unwrap_or(0);
    if let Some(hooks) = &*ctx.services.hooks.read() {
        hooks.delay_log_writes(us);
    }
    done(ctx, |reply| reply.ok())
}

fn done(ctx: &mut Context<'_, '_>, write: impl FnOnce(&mut dyn Reply)) -> CommandResult {
    write(ctx.reply);
    Ok(Outcome::Done)
}

/// An error or a line of the log holds no line breaks.
fn one_line(text: &[u8]) -> String {
    lossless::text(text).replace(['\r', '\n'], " ")
}

/// The subcommands that set a switch to 0 or 1.
fn switch(ctx: &mut Context<'_, '_>, sub: &[u8], value: &[u8]) -> CommandResult {
    let switches = &ctx.services.switches;
    let switch = match sub {
        b"set-active-expire" => &switches.active_expire,
        b"pause-cron" => &switches.cron_paused,
        b"set-disable-deny-scripts" => &switches.scripts_unrestricted,
        b"set-skip-checksum-validation" => &switches.checksums_ignored,
        _ => return Err(help::wrong_subcommand(ctx)),
    };
    let on = parse_i64(value).is_some_and(|value| value != 0);
    switch.store(on, Ordering::Relaxed);
    done(ctx, |reply| reply.ok())
}

fn milliseconds(seconds: &[u8]) -> u64 {
    let seconds = std::str::from_utf8(seconds)
        .ok()
        .and_then(|text| text.parse::<f64>().ok());
    (seconds.unwrap_or(0.0).max(0.0) * 1000.0) as u64
}

fn reply_buffer(ctx: &mut Context<'_, '_>, what: &[u8], value: &[u8]) -> CommandResult {
    let switches = &ctx.services.switches;
    if what.eq_ignore_ascii_case(b"peak-reset-time") {
        let ms = match value.to_ascii_lowercase().as_slice() {
            b"never" => -1,
            b"reset" => REPLY_PEAK_RESET_MS,
            text => parse_i64(text).ok_or(CommandError::NotInteger)?,
        };
        switches.reply_peak_reset_ms.store(ms, Ordering::Relaxed);
    } else if what.eq_ignore_ascii_case(b"resizing") {
        let on = parse_i64(value).is_some_and(|value| value != 0);
        switches.reply_resizing.store(on, Ordering::Relaxed);
    } else {
        return Err(help::wrong_subcommand(ctx));
    }
    done(ctx, |reply| reply.ok())
}

fn rewrite_all(ctx: &mut Context<'_, '_>) -> CommandResult {
    let config = ctx.services.config.read().clone();
    match config.rewrite_file(&acl::lines(ctx.services), true) {
        Ok(()) => done(ctx, |reply| reply.ok()),
        Err(error) => Err(format!("ERR CONFIG-REWRITE-FORCE-ALL failed: {error}").into()),
    }
}

fn reload(ctx: &mut Context<'_, '_>, options: &[&[u8]]) -> CommandResult {
    let (mut save, mut flush, mut merge) = (true, true, false);
    for option in options {
        match option.to_ascii_lowercase().as_slice() {
            b"merge" => merge = true,
            b"noflush" => flush = false,
            b"nosave" => save = false,
            _ => {
                let text = "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.";
                return Err(CommandError::text(text));
            }
        }
    }
    ctx.txn.propagate_nothing();
    Ok(Outcome::Reload { save, flush, merge })
}

/// Patterns and texts of a few bytes that mean something to each other, compared again and again.
fn string_match_test(ctx: &mut Context<'_, '_>) -> CommandResult {
    const ROUNDS: usize = 100_000;
    const BYTES: &[u8; 16] = b"*?[]^-\\aAbBcz0\x00\xff";
    let bytes = || {
        let random = ctx.txn.random();
        let length = (random % 16) as usize;
        (0..length)
            .map(|at| BYTES[(random >> (4 * at)) as usize % BYTES.len()])
            .collect::<Vec<u8>>()
    };
    for round in 0..ROUNDS {
        let (pattern, text) = (bytes(), bytes());
        std::hint::black_box(glob::matches(&pattern, &text, round.is_multiple_of(2)));
    }
    done(ctx, |reply| {
        reply.simple("Apparently Redis did not crash: test passed")
    })
}

/// Clients that may be evicted, by powers of two of their memory.
fn client_eviction(ctx: &mut Context<'_, '_>) -> CommandResult {
    /// The first pool ends below 2 to the power of this, and the last begins with that of the other.
    const POWERS: std::ops::RangeInclusive<u32> = 15..=32;
    let clients = &ctx.services.clients;
    if !clients.has_memory_limit() {
        return Err(CommandError::text("ERR maxmemory-clients is disabled."));
    }
    let accounts = clients.accounts();
    let mut text = String::new();
    for power in POWERS.start() - 1..=*POWERS.end() {
        let from = if POWERS.contains(&power) {
            1 << power
        } else {
            0
        };
        let end = (power < *POWERS.end()).then(|| 1_usize << (power + 1));
        let within = accounts
            .iter()
            .filter(|bytes| **bytes >= from && end.is_none_or(|end| **bytes < end));
        let (total, count) = (within.clone().sum::<usize>(), within.count());
        let range = match end {
            Some(end) => format!("{from:10} - {:10}", end - 1),
            None => format!("{from:10}+            "),
        };
        text.push_str(&format!(
            "bucket {range}: tot-mem: {total:10}, clients: {count}\n"
        ));
    }
    done(ctx, |reply| reply.verbatim("txt", text.as_bytes()))
}

// ------------------------------------------------------------------------------------------------ data

/// Bytes that a snapshot needs for the value.
fn serialized_length(value: ValueRef<'_>, compress: bool) -> usize {
    let mut encoded = Vec::new();
    Encoder::new(compress).value(&mut encoded, value);
    encoded.len()
}

fn object(ctx: &mut Context<'_, '_>, key: &[u8]) -> CommandResult {
    ctx.txn.lock_all();
    let max_listpack_size = ctx.txn.limits().list.max_listpack_size;
    let clock = (ctx.txn.now_ms() / 1000) as u32 & 0x00ff_ffff;
    let shared = shares_integers(ctx);
    let entry = ctx.txn.stored(key).ok_or(CommandError::NoSuchKey)?;
    let access = entry.access();
    let compress = ctx.services.config.read().bool("rdbcompression");
    let references = reference_count(entry.value(), shared);
    let length = serialized_length(entry.value(), compress);
    let mut text = format!(
        "Value at:{:p} refcount:{references} encoding:{} serializedlength:{length} lru:{access} lru_seconds_idle:{}",
        std::ptr::from_ref(entry),
        entry.encoding(),
        clock.saturating_sub(access),
    );
    if let ValueRef::List(list) = entry.value() {
        let (nodes, items) = (list.node_count(), list.len());
        let packed: usize = list.nodes().map(|node| node.byte_len()).sum();
        let average = items as f64 / nodes.max(1) as f64;
        text.push_str(&format!(
            " ql_nodes:{nodes} ql_avg_node:{average:.2} ql_listpack_max:{max_listpack_size} ql_compressed:0 \
             ql_uncompressed_size:{packed}"
        ));
    }
    done(ctx, |reply| reply.simple(&text))
}

fn log_lines(ctx: &Context<'_, '_>, lines: &[String]) {
    if let Some(hooks) = &*ctx.services.hooks.read() {
        lines.iter().for_each(|line| hooks.log(line));
    }
}

fn text_of(element: Element<'_>) -> String {
    element.with_bytes(one_line)
}

/// What the entry's value consists of, if it is a compact form: standard output is where the log goes, unless it has a file.
fn listpack(ctx: &mut Context<'_, '_>, key: &[u8]) -> CommandResult {
    ctx.txn.lock_all();
    let entry = ctx.txn.peek(key).ok_or(CommandError::NoSuchKey)?;
    if entry.encoding() != "listpack" {
        return Err(CommandError::text("ERR Not a listpack encoded object."));
    }
    let elements: Vec<String> = match entry.value() {
        ValueRef::Hash(hash) => hash
            .iter()
            .flat_map(|(field, value)| [text_of(field), text_of(value)])
            .collect(),
        ValueRef::Set(set) => set.iter().map(text_of).collect(),
        ValueRef::SortedSet(set) => set
            .iter()
            .flat_map(|(member, score)| [text_of(member), score.to_string()])
            .collect(),
        ValueRef::String(_) | ValueRef::List(_) | ValueRef::Stream(_) => Vec::new(),
    };
    let mut lines = vec![format!("DEBUG LISTPACK: {} elements", elements.len())];
    lines.extend(elements);
    log_lines(ctx, &lines);
    done(ctx, |reply| {
        reply.simple("Listpack structure printed on stdout")
    })
}

fn level_of(level: &[u8]) -> bool {
    parse_i64(level).is_some_and(|level| level != 0)
}

fn quicklist(ctx: &mut Context<'_, '_>, key: &[u8], elements: bool) -> CommandResult {
    ctx.txn.lock_all();
    let entry = ctx.txn.peek(key).ok_or(CommandError::NoSuchKey)?;
    let ValueRef::List(list) = entry.value() else {
        return Err(CommandError::text("ERR Not a quicklist encoded object."));
    };
    let mut lines = vec![format!(
        "DEBUG QUICKLIST: {} elements in {} nodes",
        list.len(),
        list.node_count()
    )];
    lines.extend(
        list.nodes()
            .map(|node| format!("node of {} bytes", node.byte_len())),
    );
    if elements {
        lines.extend(list.iter().map(text_of));
    }
    log_lines(ctx, &lines);
    done(ctx, |reply| {
        reply.simple("Quicklist structure printed on stdout")
    })
}

fn digest_value(ctx: &mut Context<'_, '_>, keys: &[&[u8]]) -> CommandResult {
    ctx.txn.lock_all();
    let digests: Vec<String> = keys.iter().map(|key| digest_of_key(ctx.txn, key)).collect();
    done(ctx, |reply| {
        reply.array(digests.len());
        digests.iter().for_each(|digest| reply.simple(digest));
    })
}

fn write_table(text: &mut String, title: &str, buckets: usize, items: usize) {
    text.push_str(title);
    text.push_str("Hash table 0 stats (main hash table):\n");
    if items == 0 {
        text.push_str("No stats available for empty dictionaries\n");
    } else {
        text.push_str(&format!(
            " table size: {buckets}\n number of elements: {items}\n"
        ));
    }
}

fn htstats(ctx: &mut Context<'_, '_>, db: &[u8]) -> CommandResult {
    let db = parse_i64(db).ok_or(CommandError::NotInteger)?;
    let db = usize::try_from(db)
        .ok()
        .filter(|db| *db < ctx.txn.keyspace().databases());
    let db = db.ok_or(CommandError::text("ERR Out of range database"))?;
    ctx.txn.lock_all();
    let expiring = ctx.txn.expiring_len(db);
    let mut text = String::new();
    write_table(
        &mut text,
        "[Dictionary HT]\n",
        ctx.txn.bucket_count(db),
        ctx.txn.db_len(db),
    );
    // Expiries stand with their keys: there is no second table.
    write_table(
        &mut text,
        "[Expires HT]\n",
        expiring.next_power_of_two(),
        expiring,
    );
    done(ctx, |reply| reply.verbatim("txt", text.as_bytes()))
}

fn htstats_key(ctx: &mut Context<'_, '_>, key: &[u8]) -> CommandResult {
    ctx.txn.lock_all();
    let entry = ctx.txn.peek(key).ok_or(CommandError::NoSuchKey)?;
    let (buckets, items) = match entry.value() {
        ValueRef::Hash(hash) => (hash.bucket_count(), hash.len()),
        ValueRef::Set(set) => (set.bucket_count(), set.len()),
        ValueRef::SortedSet(set) => (set.bucket_count(), set.len()),
        ValueRef::String(_) | ValueRef::List(_) | ValueRef::Stream(_) => (None, 0),
    };
    let Some(buckets) = buckets else {
        let text =
            "ERR The value stored at the specified key is not represented using an hash table";
        return Err(CommandError::text(text));
    };
    let mut text = String::new();
    write_table(&mut text, "", buckets, items);
    done(ctx, |reply| reply.verbatim("txt", text.as_bytes()))
}

fn populate(ctx: &mut Context<'_, '_>, count: &[u8], options: &[&[u8]]) -> CommandResult {
    let number = |word: &[u8]| parse_i64(word).and_then(|number| usize::try_from(number).ok());
    let count = number(count).ok_or(CommandError::MustBePositive)?;
    let prefix = options.first().copied().unwrap_or(b"key");
    let size = match options.get(1) {
        None => None,
        Some(size) => Some(number(size).ok_or(CommandError::MustBePositive)?),
    };
    if size.is_some_and(|size| size > ctx.txn.limits().max_string) {
        return Err(CommandError::StringTooLong);
    }
    ctx.txn.lock_all();
    for i in 0..count {
        let key = [prefix, format!(":{i}").as_bytes()].concat();
        if ctx.txn.peek(&key).is_none() {
            let mut value = format!("value:{i}").into_bytes();
            if let Some(size) = size.filter(|size| *size > 0) {
                value.resize(size, 0);
            }
            ctx.txn.insert_string(&key, &value, None);
        }
    }
    ctx.txn.propagate_nothing();
    done(ctx, |reply| reply.ok())
}

fn packed_threshold(ctx: &mut Context<'_, '_>, size: &[u8]) -> CommandResult {
    const DEFAULT: u64 = 1 << 30;
    const MAX: u64 = 4 << 30;
    let size = parse_memory(size)
        .filter(|size| *size <= MAX)
        .ok_or(CommandError::text(
            "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
        ))?;
    ctx.txn.lock_all();
    let mut limits = ctx.txn.limits();
    let size = if size == 0 { DEFAULT } else { size };
    limits.list.packed_threshold = usize::try_from(size).unwrap_or(usize::MAX);
    ctx.txn.set_limits(limits);
    done(ctx, |reply| reply.ok())
}

// ------------------------------------------------------------------------------------------------ protocol

const KINDS: CommandError = CommandError::text(
    "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
);

fn protocol(ctx: &mut Context<'_, '_>, kind: &[u8]) -> CommandResult {
    let reply = &mut *ctx.reply;
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => reply.double(f64::from(3141) / 1000.0),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|i| reply.int(i));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|i| reply.int(i));
        }
        b"map" => {
            reply.map(3);
            for i in 0..3 {
                reply.int(i);
                reply.bool(i == 1);
            }
        }
        b"attrib" => {
            if reply.is_resp3() {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.int(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if !reply.is_resp3() => {
            return Err(CommandError::text(
                "ERR RESP2 is not supported by this command",
            ));
        }
        b"push" => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => reply.bool(true),
        b"false" => reply.bool(false),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        _ => return Err(KINDS),
    }
    Ok(Outcome::Done)
}

mod ends;
#[cfg(test)]
mod tests;
