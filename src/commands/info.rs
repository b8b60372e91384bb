//! INFO: what is known of the server, by sections. Names and order of the fields are Redis's; exporters read them.

use std::collections::HashSet;
use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::connection::REDIS_VERSION;
use super::spec::{CommandSpec, Flags};
use super::{CommandResult, Context, Outcome, table};
use crate::config::Config;
use crate::keyspace::{Expiring, ShardStats, WaitKey};
use crate::services::acl::Reason;
use crate::services::primary::{LinkFigures, LinkStage};
use crate::services::replicas::Stage;
use crate::services::stats::{CommandStats, LoadStats, LogStats, Stats, resident_memory};
use crate::services::{ClientFlags, ClientInfo, Services};
use crate::value::lossless;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    arguments: "section:string?*",
    acl: "slow dangerous",
    group: "server",
    since: "1.0.0",
    summary: "Get information and statistics about the server",
    complexity: "O(1)",
    tips: "nondeterministic_output request_policy:all_shards response_policy:special",
    history: &[(
        "7.0.0",
        "Added support for taking multiple section arguments.",
    )],
    ..CommandSpec::new(
        "info",
        -1,
        Flags::LOADING.and(Flags::STALE).and(Flags::ALL_SHARDS),
        info,
    )
}];

/// What the sections are made from.
struct Sources<'a> {
    services: &'a Services,
    now_ms: i64,
    keyspace: ShardStats,
    /// Keys that somebody watches.
    watched_keys: usize,
    /// Empty ones are left out.
    databases: Vec<DatabaseSize>,
}

/// What a database holds.
struct DatabaseSize {
    db: usize,
    keys: usize,
    /// Keys with an expiry.
    expiring: Expiring,
    /// Hashes of which fields run out.
    timed_hashes: usize,
}

/// When a section is shown without being named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Always,
    /// With `all` and `everything`.
    OnAll,
}

type Section = (
    &'static str,
    &'static str,
    Shown,
    fn(&mut Page, &Sources<'_>),
);

/// The sections in their order: the word that asks for them, their heading, when they are shown.
const SECTIONS: &[Section] = &[
    ("server", "Server", Shown::Always, server),
    ("clients", "Clients", Shown::Always, clients),
    ("memory", "Memory", Shown::Always, memory),
    ("persistence", "Persistence", Shown::Always, persistence),
    ("stats", "Stats", Shown::Always, stats),
    ("replication", "Replication", Shown::Always, replication),
    ("cpu", "CPU", Shown::Always, cpu),
    ("modules", "Modules", Shown::Always, |_, _| ()),
    ("commandstats", "Commandstats", Shown::OnAll, command_stats),
    ("errorstats", "Errorstats", Shown::Always, error_stats),
    ("latencystats", "Latencystats", Shown::OnAll, latency_stats),
    ("cluster", "Cluster", Shown::Always, cluster),
    ("keyspace", "Keyspace", Shown::Always, databases),
];

fn info(ctx: &mut Context<'_, '_>) -> CommandResult {
    if let Some(hooks) = &*ctx.services.hooks.read() {
        hooks.refresh();
    }
    ctx.txn.lock_all();
    let txn = &*ctx.txn;
    let databases = (0..txn.keyspace().databases())
        .map(|db| DatabaseSize {
            db,
            keys: txn.db_len(db),
            expiring: txn.expiring(db),
            timed_hashes: txn.timed_hashes(db),
        })
        .filter(|size| size.keys > 0)
        .collect();
    let sources = Sources {
        services: ctx.services,
        now_ms: txn.now_ms(),
        keyspace: txn.stats(),
        watched_keys: txn.watched_keys(),
        databases,
    };
    if !ctx.mode.nested {
        // The rest reads files of the system; nobody has to wait for that.
        ctx.txn.relock(0);
    }
    let mut page = Page::default();
    let wanted = ctx.args.get(1..).unwrap_or_default();
    for (word, heading, shown, write) in SECTIONS {
        if is_wanted(wanted, word, *shown) {
            page.heading(heading);
            write(&mut page, &sources);
        }
    }
    ctx.reply.verbatim("txt", &lossless::bytes(&page.text));
    Ok(Outcome::Done)
}

fn is_wanted(wanted: &[&[u8]], section: &str, shown: Shown) -> bool {
    let names = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if wanted.is_empty() {
        return shown == Shown::Always;
    }
    wanted.iter().any(|word| {
        names(word, section)
            || names(word, "all")
            || names(word, "everything")
            || (shown == Shown::Always && names(word, "default"))
    })
}

/// The text that grows.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn heading(&mut self, name: &str) {
        if !self.text.is_empty() {
            self.text.push_str("\r\n");
        }
        self.line(format_args!("# {name}"));
    }

    fn line(&mut self, line: impl Display) {
        let result = write!(self.text, "{line}\r\n");
        debug_assert!(result.is_ok(), "writing to a string cannot fail");
    }

    fn field(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("{name}:{value}"));
    }

    fn fields<T: Display>(&mut self, fields: &[(&str, T)]) {
        for (name, value) in fields {
            self.field(name, value);
        }
    }

    /// Fields that tell of something that is not here.
    fn zeros(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.field(name, 0));
    }

    fn size(&mut self, name: &str, bytes: usize) {
        self.field(name, bytes);
        self.field(&format!("{name}_human"), human(bytes));
    }
}

/// A size with two decimals and a binary unit, as `1.50M`.
fn human(bytes: usize) -> String {
    let value = bytes as f64;
    let units = [(30, 'G'), (20, 'M'), (10, 'K')];
    match units.iter().find(|(shift, _)| bytes >= 1 << shift) {
        Some((shift, unit)) => format!("{:.2}{unit}", value / f64::from(1 << shift)),
        None => format!("{bytes}B"),
    }
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn flag(flag: &AtomicBool) -> u8 {
    u8::from(flag.load(Ordering::Relaxed))
}

fn status(failed: &AtomicBool) -> &'static str {
    if failed.load(Ordering::Relaxed) {
        "err"
    } else {
        "ok"
    }
}

fn system_text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

// ------------------------------------------------------------------------------------------------ sections

fn server(page: &mut Page, sources: &Sources<'_>) {
    let (stats, config) = (&sources.services.stats, sources.services.config.read());
    let uptime = stats.started.elapsed().as_secs();
    let release = system_text("/proc/sys/kernel/osrelease");
    let os = system_text("/proc/sys/kernel/ostype");
    let os = if os.is_empty() {
        std::env::consts::OS
    } else {
        os.trim()
    };
    page.field("redis_version", REDIS_VERSION);
    page.field("redis_git_sha1", "00000000");
    page.field("redis_git_dirty", 0);
    page.field("redis_build_id", "0000000000000000");
    page.field("redis_mode", "standalone");
    page.line(format_args!(
        "os:{os} {} {}",
        release.trim(),
        std::env::consts::ARCH
    ));
    page.field("arch_bits", usize::BITS);
    page.field("monotonic_clock", "POSIX clock_gettime");
    page.field(
        "multiplexing_api",
        if cfg!(target_os = "linux") {
            "epoll"
        } else {
            "kqueue"
        },
    );
    page.field("atomicvar_api", "c11-builtin");
    page.field("gcc_version", "0.0.0");
    page.field("process_id", std::process::id());
    let supervisor = sources.services.switches.supervisor.get();
    page.field("process_supervised", supervisor.unwrap_or(&"no"));
    page.field("run_id", &stats.run_id);
    page.field("tcp_port", config.u64("port"));
    page.field("server_time_usec", sources.now_ms.saturating_mul(1000));
    page.field("uptime_in_seconds", uptime);
    page.field("uptime_in_days", uptime / 86_400);
    page.field("hz", config.i64("hz"));
    page.field("configured_hz", config.i64("hz"));
    page.field("lru_clock", (sources.now_ms / 1000) & 0x00ff_ffff);
    let executable = std::env::current_exe().unwrap_or_default();
    page.field("executable", executable.display());
    let file = config.file.as_deref().unwrap_or(std::path::Path::new(""));
    page.field("config_file", file.display());
    page.field("io_threads_active", 0);
    listeners(page, &config);
}

/// Where clients are listened for, each on a line.
fn listeners(page: &mut Page, config: &Config) {
    let port = config.u64("port");
    let addresses: Vec<String> = config
        .bind()
        .iter()
        .map(|address| format!("bind={}", String::from_utf8_lossy(address)))
        .collect();
    let tcp = (port > 0).then(|| format!("name=tcp,{},port={port}", addresses.join(",")));
    let path = config.path("unixsocket");
    let unix = !path.as_os_str().is_empty();
    let unix = unix.then(|| format!("name=unix,bind={}", path.display()));
    for (index, listener) in tcp.into_iter().chain(unix).enumerate() {
        page.field(&format!("listener{index}"), listener);
    }
}

fn clients(page: &mut Page, sources: &Sources<'_>) {
    let clients = sources.services.clients.list();
    let having = |flag| {
        clients
            .iter()
            .filter(|client| client.has_flag(flag))
            .count()
    };
    let largest = |size: fn(&ClientInfo) -> usize| {
        clients.iter().map(|client| size(client)).max().unwrap_or(0)
    };
    page.field(
        "connected_clients",
        clients.len() - having(ClientFlags::REPLICA),
    );
    page.field("cluster_connections", 0);
    page.field(
        "maxclients",
        sources.services.config.read().u64("maxclients"),
    );
    let input = largest(|client| client.query_buffer.load(Ordering::Relaxed));
    page.field("client_recent_max_input_buffer", input);
    let output = largest(output_memory);
    page.field("client_recent_max_output_buffer", output);
    page.field("blocked_clients", having(ClientFlags::BLOCKED));
    page.field("tracking_clients", having(ClientFlags::TRACKING));
    page.field("pubsub_clients", having(ClientFlags::PUBSUB));
    page.field("watching_clients", having(ClientFlags::WATCHES));
    page.field("clients_in_timeout_table", 0);
    page.field("total_watched_keys", sources.watched_keys);
    let waiters: Vec<_> = clients
        .iter()
        .filter_map(|client| client.blocked.lock().clone())
        .collect();
    let keys_of = |when_gone: bool| {
        let waiters = waiters
            .iter()
            .filter(|waiter| waiter.when_gone || !when_gone);
        let keys: HashSet<&WaitKey> = waiters.flat_map(|waiter| &waiter.keys).collect();
        keys.len()
    };
    page.field("total_blocking_keys", keys_of(false));
    page.field("total_blocking_keys_on_nokey", keys_of(true));
}

fn output_memory(client: &ClientInfo) -> usize {
    client.output.load(Ordering::Relaxed) + client.mailbox.pending()
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.2}%", part as f64 * 100.0 / whole.max(1) as f64)
}

fn ratio(a: usize, b: usize) -> String {
    format!("{:.2}", a as f64 / b.max(1) as f64)
}

fn memory(page: &mut Page, sources: &Sources<'_>) {
    let stats = &sources.services.stats;
    let ((used, peak), resident) = (stats.memory(), resident_memory());
    let startup = stats.startup_memory.load(Ordering::Relaxed);
    let (mut of_clients, mut of_replicas) = (0, 0);
    for client in sources.services.clients.list() {
        if client.has_flag(ClientFlags::REPLICA) {
            of_replicas += client.memory();
        } else {
            of_clients += client.memory();
        }
    }
    let log_buffer = usize::try_from(get(&stats.log.buffered)).unwrap_or(usize::MAX);
    let overhead = startup + of_clients + of_replicas + log_buffer;
    let data = used.saturating_sub(overhead);
    page.size("used_memory", used);
    page.size("used_memory_rss", resident);
    page.size("used_memory_peak", peak);
    page.field("used_memory_peak_perc", percent(used, peak));
    page.field("used_memory_overhead", overhead);
    page.field("used_memory_startup", startup);
    page.field("used_memory_dataset", data);
    page.field(
        "used_memory_dataset_perc",
        percent(data, used.saturating_sub(startup)),
    );
    page.fields(&[
        ("allocator_allocated", used),
        ("allocator_active", resident),
        ("allocator_resident", resident),
    ]);
    page.size("total_system_memory", system_memory());
    memory_of_scripts(page, sources.services);
    let config = sources.services.config.read();
    page.size("maxmemory", config.usize("maxmemory"));
    page.field("maxmemory_policy", config.word("maxmemory-policy"));
    let unused = resident.saturating_sub(used);
    page.field("allocator_frag_ratio", ratio(resident, used));
    page.field("allocator_frag_bytes", unused);
    page.field("allocator_rss_ratio", "1.00");
    page.field("allocator_rss_bytes", 0);
    page.field("rss_overhead_ratio", "1.00");
    page.field("rss_overhead_bytes", 0);
    page.field("mem_fragmentation_ratio", ratio(resident, used));
    page.field("mem_fragmentation_bytes", unused);
    let replicas = &sources.services.replicas;
    let (unsent, kept) = (replicas.pending_bytes(), replicas.figures().backlog);
    page.field("mem_not_counted_for_evict", log_buffer + unsent);
    page.field("mem_replication_backlog", kept.unwrap_or(0));
    page.field("mem_total_replication_buffers", unsent);
    page.field("mem_clients_slaves", of_replicas);
    page.field("mem_clients_normal", of_clients);
    page.field("mem_cluster_links", 0);
    page.field("mem_aof_buffer", log_buffer);
    page.field("mem_allocator", stats.allocator_name());
    page.field("active_defrag_running", 0);
    page.field("lazyfree_pending_objects", get(&stats.lazy_free_pending));
    page.field("lazyfreed_objects", get(&stats.lazy_freed));
}

fn memory_of_scripts(page: &mut Page, services: &Services) {
    let figures = services.lua.figures();
    let states = figures.eval_memory + figures.function_memory;
    let texts = figures.scripts_memory + figures.libraries_memory;
    page.field("used_memory_lua", figures.eval_memory);
    page.field("used_memory_vm_eval", figures.eval_memory);
    page.field("used_memory_lua_human", human(figures.eval_memory));
    page.field("used_memory_scripts_eval", figures.scripts_memory);
    page.field("number_of_cached_scripts", figures.scripts);
    page.field("number_of_functions", figures.functions);
    page.field("number_of_libraries", figures.libraries);
    page.field("used_memory_vm_functions", figures.function_memory);
    page.field("used_memory_vm_total", states);
    page.field("used_memory_vm_total_human", human(states));
    page.field("used_memory_functions", figures.libraries_memory);
    page.field("used_memory_scripts", texts);
    page.field("used_memory_scripts_human", human(texts));
}

fn system_memory() -> usize {
    let text = system_text("/proc/meminfo");
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Seconds since a time that is 0 while nothing runs, or -1.
fn running_for(since: &AtomicI64, now_ms: i64) -> i64 {
    match since.load(Ordering::Relaxed) {
        0 => -1,
        since => (now_ms / 1000 - since).max(0),
    }
}

fn persistence(page: &mut Page, sources: &Sources<'_>) {
    let (stats, now) = (&sources.services.stats, sources.now_ms);
    let signed = |counter: &AtomicI64| counter.load(Ordering::Relaxed);
    page.field("loading", flag(&stats.loading));
    page.zeros(&[
        "async_loading",
        "current_cow_peak",
        "current_cow_size",
        "current_cow_size_age",
    ]);
    page.field("current_fork_perc", "0.00");
    page.field("current_save_keys_processed", get(&stats.saved_keys));
    page.field("current_save_keys_total", get(&stats.keys_to_save));
    page.field("rdb_changes_since_last_save", get(&sources.services.dirty));
    page.field(
        "rdb_bgsave_in_progress",
        u8::from(signed(&stats.saving_since) != 0),
    );
    page.field("rdb_last_save_time", signed(&stats.last_save));
    page.field("rdb_last_bgsave_status", status(&stats.last_save_failed));
    page.field("rdb_last_bgsave_time_sec", signed(&stats.last_save_seconds));
    page.field(
        "rdb_current_bgsave_time_sec",
        running_for(&stats.saving_since, now),
    );
    page.field("rdb_saves", get(&stats.saves));
    page.field("rdb_last_cow_size", 0);
    page.field("rdb_last_load_keys_expired", get(&stats.loaded_expired));
    page.field("rdb_last_load_keys_loaded", get(&stats.loaded_keys));
    log_state(page, &stats.log, now);
    if stats.loading.load(Ordering::Relaxed) {
        load_progress(page, &stats.load, now);
    } else {
        page.field("start_report", &*stats.start_report.lock());
    }
}

fn load_progress(page: &mut Page, load: &LoadStats, now_ms: i64) {
    let since_s = load.since_s.load(Ordering::Relaxed);
    let (total, loaded) = (get(&load.total_bytes), get(&load.loaded_bytes));
    page.field("loading_start_time", since_s);
    page.field("loading_total_bytes", total);
    page.field("loading_loaded_bytes", loaded);
    let percent = loaded as f64 / total.max(1) as f64 * 100.0;
    page.field("loading_loaded_perc", format_args!("{percent:.2}"));
    let elapsed_s = (now_ms / 1000 - since_s).max(0).unsigned_abs();
    let left_s = match loaded {
        // Nothing can be said yet.
        0 => 1,
        loaded => elapsed_s.saturating_mul(total.saturating_sub(loaded)) / loaded,
    };
    page.field("loading_eta_seconds", left_s);
}

fn log_state(page: &mut Page, log: &LogStats, now: i64) {
    let signed = |counter: &AtomicI64| counter.load(Ordering::Relaxed);
    page.field("aof_enabled", flag(&log.enabled));
    page.field(
        "aof_rewrite_in_progress",
        u8::from(signed(&log.rewriting_since) != 0),
    );
    page.field("aof_rewrite_scheduled", flag(&log.rewrite_scheduled));
    page.field(
        "aof_last_rewrite_time_sec",
        signed(&log.last_rewrite_seconds),
    );
    page.field(
        "aof_current_rewrite_time_sec",
        running_for(&log.rewriting_since, now),
    );
    page.field(
        "aof_last_bgrewrite_status",
        status(&log.last_rewrite_failed),
    );
    page.field("aof_rewrites", get(&log.rewrites));
    page.field(
        "aof_rewrites_consecutive_failures",
        get(&log.rewrite_failures),
    );
    page.field("aof_last_write_status", status(&log.write_failed));
    page.zeros(&[
        "aof_last_cow_size",
        "module_fork_in_progress",
        "module_fork_last_cow_size",
    ]);
    if log.enabled.load(Ordering::Relaxed) {
        page.field("aof_current_size", get(&log.size));
        page.field("aof_base_size", get(&log.base_size));
        page.field("aof_pending_rewrite", 0);
        page.field("aof_buffer_length", get(&log.buffered));
        page.field("aof_pending_bio_fsync", get(&log.pending_fsyncs));
        page.field("aof_delayed_fsync", get(&log.delayed_fsyncs));
    }
}

fn stats(page: &mut Page, sources: &Sources<'_>) {
    let stats = &sources.services.stats;
    let rate = stats.per_second();
    page.field("total_connections_received", get(&stats.connections));
    page.field("total_commands_processed", get(&stats.commands));
    page.field("instantaneous_ops_per_sec", rate.commands.round());
    page.field("total_net_input_bytes", get(&stats.input_bytes));
    page.field("total_net_output_bytes", get(&stats.output_bytes));
    page.zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    page.field(
        "instantaneous_input_kbps",
        format_args!("{:.2}", rate.input / 1024.0),
    );
    page.field(
        "instantaneous_output_kbps",
        format_args!("{:.2}", rate.output / 1024.0),
    );
    page.field("instantaneous_input_repl_kbps", "0.00");
    page.field("instantaneous_output_repl_kbps", "0.00");
    page.field("rejected_connections", get(&stats.rejected_connections));
    synchronisations(page, stats);
    if sources.keyspace.expired_fields > 0 {
        page.field("expired_subkeys", sources.keyspace.expired_fields);
    }
    page.field("expired_keys", sources.keyspace.expired);
    page.field("expired_stale_perc", "0.00");
    page.zeros(&[
        "expired_time_cap_reached_count",
        "expire_cycle_cpu_milliseconds",
    ]);
    page.field("evicted_keys", get(&stats.evicted_keys));
    page.field("evicted_clients", get(&stats.evicted_clients));
    exceeded_time(page, stats, sources.now_ms);
    page.field("keyspace_hits", sources.keyspace.hits);
    page.field("keyspace_misses", sources.keyspace.misses);
    let channels = &sources.services.channels;
    let (plain, shard) = channels.channel_counts();
    page.field("pubsub_channels", plain);
    page.field("pubsub_patterns", channels.pattern_count());
    page.field("pubsubshard_channels", shard);
    page.field("latest_fork_usec", 0);
    page.field("total_forks", get(&stats.log.rewrites_begun));
    let cached = stats.cached_peers.load(Ordering::Relaxed);
    page.field("migrate_cached_sockets", cached);
    page.zeros(&[
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
    ]);
    let tracked = sources.services.tracking.counts();
    page.field("tracking_total_keys", tracked.keys);
    page.field("tracking_total_items", tracked.items);
    page.field("tracking_total_prefixes", tracked.prefixes);
    page.field("unexpected_error_replies", 0);
    page.field("total_error_replies", get(&stats.errors));
    page.field("dump_payload_sanitizations", 0);
    page.field("total_reads_processed", get(&stats.reads));
    page.field("total_writes_processed", get(&stats.writes));
    page.zeros(&[
        "io_threaded_reads_processed",
        "io_threaded_writes_processed",
    ]);
    page.field("reply_buffer_shrinks", get(&stats.reply_buffer_shrinks));
    page.field("reply_buffer_expands", get(&stats.reply_buffer_expands));
    refusals(page, stats);
}

fn refusals(page: &mut Page, stats: &Stats) {
    for (reason, denied) in Reason::ALL.iter().zip(&stats.denied) {
        let name = format!("acl_access_denied_{}", reason.counted_as());
        page.field(&name, get(denied));
    }
}

fn synchronisations(page: &mut Page, stats: &Stats) {
    page.field("sync_full", get(&stats.full_syncs));
    page.field("sync_partial_ok", get(&stats.partial_syncs));
    page.field("sync_partial_err", get(&stats.refused_partial_syncs));
}

/// For how long, in milliseconds, more memory was used than `maxmemory` allows.
fn exceeded_time(page: &mut Page, stats: &Stats, now_ms: i64) {
    let current = match stats.exceeded_since_us.load(Ordering::Relaxed) {
        0 => 0,
        since => (now_ms - since / 1000).max(0).unsigned_abs(),
    };
    let total = get(&stats.exceeded_us) / 1000 + current;
    page.field("total_eviction_exceeded_time", total);
    page.field("current_eviction_exceeded_time", current);
}

/// What a replica tells of its link.
fn link_to_primary(page: &mut Page, sources: &Sources<'_>, config: &Config, link: &LinkFigures) {
    let seconds_since =
        |at_ms: Option<i64>| at_ms.map_or(-1, |at_ms| (sources.now_ms - at_ms).max(0) / 1000);
    let connected = link.stage == LinkStage::Connected;
    page.field("role", "slave");
    page.field("master_host", lossless::text(&link.address.host));
    page.field("master_port", link.address.port);
    page.field("master_link_status", if connected { "up" } else { "down" });
    page.field("master_last_io_seconds_ago", seconds_since(link.heard_ms));
    page.field("master_sync_in_progress", u8::from(link.received.is_some()));
    let offset = sources.services.replicas.figures().offset;
    page.field("slave_read_repl_offset", offset);
    page.field("slave_repl_offset", offset);
    if let Some(received) = link.received {
        let (total, read) = (received.total, received.read);
        let percent = match total {
            0 => 0.0,
            total => read as f64 / total as f64 * 100.0,
        };
        let left = total as i64 - read as i64;
        page.field("master_sync_total_bytes", total);
        page.field("master_sync_read_bytes", read);
        page.field("master_sync_left_bytes", left);
        page.field("master_sync_perc", format!("{percent:.2}"));
        let heard = seconds_since(Some(received.heard_ms));
        page.field("master_sync_last_io_seconds_ago", heard);
    }
    if !connected {
        let down = seconds_since(link.down_since_ms);
        page.field("master_link_down_since_seconds", down);
    }
    page.field("slave_priority", config.i64("replica-priority"));
    page.field(
        "slave_read_only",
        u8::from(config.bool("replica-read-only")),
    );
    page.field(
        "replica_announced",
        u8::from(config.bool("replica-announced")),
    );
}

fn replication(page: &mut Page, sources: &Sources<'_>) {
    let replicas = &sources.services.replicas;
    let list = replicas.list();
    let config = sources.services.config.read();
    match sources.services.primary.figures() {
        Some(link) => link_to_primary(page, sources, &config, &link),
        None => page.field("role", "master"),
    }
    page.field("connected_slaves", list.len());
    let wanted = config.u64("min-replicas-to-write");
    let max_lag_s = config.i64("min-replicas-max-lag");
    if wanted > 0 && max_lag_s > 0 {
        let good = replicas.good(max_lag_s, sources.now_ms);
        page.field("min_slaves_good_slaves", good);
    }
    for (number, replica) in list.iter().enumerate() {
        let (address, port) = (replica.address(), replica.announced.port);
        let (state, offset) = (replica.stage().name(), replica.acknowledged());
        let lag_s = match replica.stage() {
            Stage::Online => replica.silent_ms(sources.now_ms) / 1000,
            _ => 0,
        };
        page.line(format_args!(
            "slave{number}:ip={address},port={port},state={state},offset={offset},lag={lag_s}"
        ));
    }
    page.field("master_failover_state", "no-failover");
    let figures = replicas.figures();
    let (former, until) = match &figures.former {
        Some((name, until)) => (name.clone(), i64::try_from(*until).unwrap_or(i64::MAX)),
        None => ("0".repeat(40), -1),
    };
    page.field("master_replid", &figures.name);
    page.field("master_replid2", former);
    page.field("master_repl_offset", figures.offset);
    page.field("second_repl_offset", until);
    page.field("repl_backlog_active", u8::from(figures.backlog.is_some()));
    page.field("repl_backlog_size", config.u64("repl-backlog-size"));
    let kept = figures.backlog.map_or(0, |kept| kept as u64);
    let first = figures.backlog.map_or(0, |_| figures.offset + 1 - kept);
    page.field("repl_backlog_first_byte_offset", first);
    page.field("repl_backlog_histlen", kept);
}

/// Seconds of the process in the system and in its own code, as far as the system tells.
fn cpu_seconds() -> (f64, f64) {
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = system_text("/proc/self/stat");
    // The second field is the program's name in parentheses, which may hold blanks.
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let ticks = |place: usize| {
        let ticks = fields
            .get(place)
            .and_then(|field| field.parse::<f64>().ok());
        ticks.unwrap_or(0.0) / TICKS_PER_SECOND
    };
    (ticks(12), ticks(11))
}

fn cpu(page: &mut Page, _: &Sources<'_>) {
    let (system, own) = cpu_seconds();
    for (name, seconds) in [
        ("used_cpu_sys", system),
        ("used_cpu_user", own),
        ("used_cpu_sys_children", 0.0),
        ("used_cpu_user_children", 0.0),
        ("used_cpu_sys_main_thread", system),
        ("used_cpu_user_main_thread", own),
    ] {
        page.field(name, format_args!("{seconds:.6}"));
    }
}

fn each_command(services: &Services) -> impl Iterator<Item = (&'static str, &CommandStats)> {
    let all = table::table().all.iter();
    all.filter_map(|command| {
        let counted = services.stats.by_command.get(command.index)?;
        Some((command.full_name.as_str(), counted))
    })
}

fn command_stats(page: &mut Page, sources: &Sources<'_>) {
    for (name, counted) in each_command(sources.services) {
        let (calls, usec) = (get(&counted.calls), get(&counted.usec));
        let (rejected, failed) = (get(&counted.rejected), get(&counted.failed));
        if calls + rejected + failed > 0 {
            let each = usec as f64 / calls.max(1) as f64;
            page.line(format_args!(
                "cmdstat_{name}:calls={calls},usec={usec},usec_per_call={each:.2},\
                 rejected_calls={rejected},failed_calls={failed}"
            ));
        }
    }
}

fn error_stats(page: &mut Page, sources: &Sources<'_>) {
    let errors = sources.services.stats.errors_by_code.iter();
    let mut errors: Vec<(String, u64)> = errors
        .map(|entry| (entry.key().clone(), *entry.value()))
        .collect();
    errors.sort();
    for (code, count) in errors {
        page.line(format_args!("errorstat_{code}:count={count}"));
    }
}

fn latency_stats(page: &mut Page, sources: &Sources<'_>) {
    let config = sources.services.config.read();
    for (name, counted) in each_command(sources.services) {
        let Some(durations) = counted.durations.get().filter(|d| d.count() > 0) else {
            continue;
        };
        let values: Vec<String> = config
            .percentiles()
            .iter()
            .map(|percent| {
                let microseconds = durations.percentile_ns(*percent) as f64 / 1000.0;
                format!("p{percent}={microseconds:.3}")
            })
            .collect();
        page.line(format_args!(
            "latency_percentiles_usec_{name}:{}",
            values.join(",")
        ));
    }
}

fn cluster(page: &mut Page, _: &Sources<'_>) {
    page.field("cluster_enabled", 0);
}

fn databases(page: &mut Page, sources: &Sources<'_>) {
    for size in &sources.databases {
        let (db, keys, expiring) = (size.db, size.keys, size.expiring.keys);
        let average_ttl = size.expiring.average_ttl_ms(sources.now_ms);
        // As newer servers say it, and as those say it that know no such hashes.
        let hashes = match size.timed_hashes {
            0 => String::new(),
            hashes => format!(",subexpiry={hashes}"),
        };
        page.line(format_args!(
            "db{db}:keys={keys},expires={expiring},avg_ttl={average_ttl}{hashes}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    fn page(harness: &mut Harness, line: &str) -> String {
        match harness.run(line) {
            Response::Bulk(text) => String::from_utf8(text).expect("the page is text"),
            other => panic!("{other:?} is no page"),
        }
    }

    fn headings(harness: &mut Harness, line: &str) -> String {
        let page = page(harness, line);
        let headings = page.lines().filter_map(|line| line.strip_prefix("# "));
        headings.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sections_are_chosen_by_their_names() {
        let default = "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace";
        let all = "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats Cluster Keyspace";
        let mut harness = Harness::new();
        assert_eq!(headings(&mut harness, "INFO"), default);
        assert_eq!(headings(&mut harness, "INFO default"), default);
        assert_eq!(headings(&mut harness, "INFO ALL"), all);
        assert_eq!(headings(&mut harness, "INFO everything cpu"), all);
        assert_eq!(headings(&mut harness, "INFO cpu sentinel"), "CPU");
        assert_eq!(headings(&mut harness, "INFO keyspace CPU"), "CPU Keyspace");
        assert_eq!(page(&mut harness, "INFO x"), "");
        assert!(page(&mut harness, "INFO cpu modules").contains("\r\n\r\n# Modules\r\n"));
    }

    #[test]
    fn clients_find_what_they_look_for() {
        let mut harness = Harness::new();
        let page = page(&mut harness, "INFO");
        for field in [
            "redis_version:7.2.4",
            "redis_mode:standalone",
            "arch_bits:",
            "process_id:",
            "uptime_in_days:0",
            "connected_clients:0",
            "used_memory_human:",
            "used_memory_peak_human:",
            "maxmemory_policy:noeviction",
            "loading:0",
            "role:master",
            "cluster_enabled:0",
            "rdb_changes_since_last_save:0",
        ] {
            assert!(page.contains(&format!("\r\n{field}")), "{field}");
        }
        assert!(!page.contains("valkey_version") && !page.contains("sentinel_tilt"));
    }

    #[test]
    fn commands_and_errors_are_counted() {
        let mut harness = Harness::new();
        let ping = table::table().find(b"ping").expect("PING is a command");
        let stats = &harness.services.stats;
        stats.by_command[ping.index].record(Duration::from_micros(8), false, true);
        stats.by_command[ping.index].record(Duration::from_micros(9), true, true);
        stats.count_error("WRONGTYPE Operation");
        let text = page(&mut harness, "INFO all");
        assert!(text.contains(
            "\r\ncmdstat_ping:calls=2,usec=17,usec_per_call=8.50,rejected_calls=0,failed_calls=1\r\n"
        ));
        assert!(text.contains("\r\nerrorstat_WRONGTYPE:count=1\r\n"));
        assert!(
            text.contains("\r\nlatency_percentiles_usec_ping:p50=8."),
            "{text}"
        );
        assert!(text.contains(",p99.9=9."));
        harness.run("CONFIG RESETSTAT");
        let text = page(&mut harness, "INFO all");
        assert!(!text.contains("_ping:") && !text.contains("errorstat_"));
    }

    #[test]
    fn databases_are_counted() {
        let mut harness = Harness::new();
        let all = harness.keyspace.all_shards();
        let mut txn = harness.keyspace.begin(
            all,
            1,
            Default::default(),
            crate::keyspace::txn::Journal::default(),
        );
        txn.insert_string(b"a", b"1", None);
        for at in [1_500_000_000, 2_000_000_000] {
            txn.insert_string(b"b", b"1", Some(at));
        }
        txn.insert_string(b"c", b"1", Some(3_000_000_000));
        drop(txn);
        let text = page(&mut harness, "INFO keyspace");
        assert_eq!(
            text,
            "# Keyspace\r\ndb1:keys=3,expires=2,avg_ttl=1500000000\r\n"
        );
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_138_328, "1.09M"),
            (3 << 30, "3.00G"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
