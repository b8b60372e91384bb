//! Whole databases: SCAN, KEYS, DBSIZE, FLUSHALL … Each runs with every shard locked.

use std::ops::Range;

use super::scanning::{self, ScanOptions, Scanned};
use super::spec::{CommandSpec, Flags};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{Entry, Txn};
use crate::services::Services;
use crate::value::glob;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        acl: "keyspace read fast",
        group: "server",
        since: "1.0.0",
        summary: "Return the number of keys in the selected database",
        complexity: "O(1)",
        tips: "request_policy:all_shards response_policy:agg_sum",
        ..CommandSpec::new(
            "dbsize",
            1,
            Flags::READONLY.and(Flags::FAST).and(Flags::ALL_SHARDS),
            dbsize,
        )
    },
    CommandSpec {
        arguments: "async:oneof?{async:pure-token=ASYNC@4.0.0 sync:pure-token=SYNC@6.2.0}",
        acl: "keyspace write slow dangerous",
        group: "server",
        since: "1.0.0",
        summary: "Remove all keys from all databases",
        complexity: "O(N) where N is the total number of keys in all databases",
        tips: "request_policy:all_shards response_policy:all_succeeded",
        history: &[
            ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
            ("6.2.0", "Added the `SYNC` flushing mode modifier."),
        ],
        ..CommandSpec::new(
            "flushall",
            -1,
            Flags::WRITE.and(Flags::ALL_SHARDS),
            flushall,
        )
    },
    CommandSpec {
        arguments: "async:oneof?{async:pure-token=ASYNC@4.0.0 sync:pure-token=SYNC@6.2.0}",
        acl: "keyspace write slow dangerous",
        group: "server",
        since: "1.0.0",
        summary: "Remove all keys from the current database",
        complexity: "O(N) where N is the number of keys in the selected database",
        tips: "request_policy:all_shards response_policy:all_succeeded",
        history: &[
            ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
            ("6.2.0", "Added the `SYNC` flushing mode modifier."),
        ],
        ..CommandSpec::new("flushdb", -1, Flags::WRITE.and(Flags::ALL_SHARDS), flushdb)
    },
    CommandSpec {
        arguments: "pattern:pattern",
        acl: "keyspace read slow dangerous",
        group: "generic",
        since: "1.0.0",
        summary: "Find all keys matching the given pattern",
        complexity: "O(N) with N being the number of keys in the database, under the assumption that the key names in the database and the given pattern have limited length.",
        tips: "request_policy:all_shards nondeterministic_output_order",
        ..CommandSpec::new("keys", 2, Flags::READONLY.and(Flags::ALL_SHARDS), keys)
    },
    CommandSpec {
        acl: "keyspace read slow",
        group: "generic",
        since: "1.0.0",
        summary: "Return a random key from the keyspace",
        complexity: "O(1)",
        tips: "request_policy:all_shards nondeterministic_output",
        ..CommandSpec::new(
            "randomkey",
            1,
            Flags::READONLY.and(Flags::ALL_SHARDS),
            randomkey,
        )
    },
    CommandSpec {
        arguments: "cursor:integer pattern:pattern=MATCH? count:integer=COUNT? type:string=TYPE?@6.0.0",
        acl: "keyspace read slow",
        group: "generic",
        since: "2.8.0",
        summary: "Incrementally iterate the keys space",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
        tips: "nondeterministic_output request_policy:special",
        history: &[("6.0.0", "Added the `TYPE` subcommand.")],
        ..CommandSpec::new("scan", -2, Flags::READONLY.and(Flags::ALL_SHARDS), scan)
    },
    CommandSpec {
        arguments: "index1:integer index2:integer",
        acl: "keyspace write fast dangerous",
        group: "server",
        since: "4.0.0",
        summary: "Swaps two Redis databases",
        complexity: "O(N) where N is the count of clients watching or blocking on keys from both databases.",
        ..CommandSpec::new(
            "swapdb",
            3,
            Flags::WRITE.and(Flags::FAST).and(Flags::ALL_SHARDS),
            swapdb,
        )
    },
];

/// Tries of RANDOMKEY before it is content with having found expired keys only.
const RANDOM_TRIES: usize = 100;

fn dbsize(context: &mut Context<'_, '_>) -> CommandResult {
    let len = context.txn.db_len(context.txn.db());
    context.reply.int(len as i64);
    Ok(Outcome::Done)
}

fn keys(context: &mut Context<'_, '_>) -> CommandResult {
    let pattern = context.args[1];
    let matching: Vec<&[u8]> = context
        .txn
        .entries()
        .map(Entry::key)
        .filter(|key| pattern == b"*" || glob::matches(pattern, key, false))
        .collect();
    context.reply.array(matching.len());
    matching.iter().for_each(|key| context.reply.bulk(key));
    Ok(Outcome::Done)
}

fn randomkey(context: &mut Context<'_, '_>) -> CommandResult {
    let Context { txn, reply, .. } = context;
    for _ in 0..RANDOM_TRIES {
        let Some(entry) = txn.random_entry() else {
            break;
        };
        if !txn.is_due(entry) {
            reply.bulk(entry.key());
            return Ok(Outcome::Done);
        }
        let key = entry.key().to_vec();
        txn.remove_if_expired(&key);
    }
    reply.null();
    Ok(Outcome::Done)
}

fn scan(context: &mut Context<'_, '_>) -> CommandResult {
    let cursor = scanning::parse_cursor(context.args[1])?;
    let options = ScanOptions::parse(context, 2, Scanned::Keys)?;
    let Context { txn, reply, .. } = context;
    let mut bytes = Vec::new();
    let mut found: Vec<Found> = Vec::new();
    let next = txn.scan(cursor, options.count, |entry| {
        if options.matches(entry.key()) {
            let start = bytes.len();
            bytes.extend_from_slice(entry.key());
            found.push(Found {
                key: start..bytes.len(),
                is_due: txn.is_due(entry),
            });
        }
    });
    found.retain(|Found { key, is_due }| match options.type_name {
        // Counts as a read of the key, as in Redis.
        Some(name) => txn
            .read_untouched(&bytes[key.clone()])
            .is_some_and(|entry| {
                let actual = entry.value().type_name();
                name.eq_ignore_ascii_case(actual.as_bytes())
            }),
        None => !*is_due || !txn.remove_if_expired(&bytes[key.clone()]),
    });
    scanning::begin_step(*reply, next, found.len());
    for Found { key, .. } in found {
        reply.bulk(&bytes[key]);
    }
    Ok(Outcome::Done)
}

/// A key that a step of SCAN has come to: where it lies among the bytes of all, and whether its time has come.
struct Found {
    key: Range<usize>,
    is_due: bool,
}

/// Whether what is removed is left to the background thread, as `lazyfree-lazy-user-flush` has it unless the words say so.
fn flushes_lazily(context: &Context<'_, '_>) -> Result<bool, CommandError> {
    match context.args.len() {
        1 => {
            let config = context.services.config.read();
            Ok(config.bool("lazyfree-lazy-user-flush"))
        }
        2 if context.is(1, "sync") => Ok(false),
        2 if context.is(1, "async") => Ok(true),
        _ => Err(CommandError::Syntax),
    }
}

/// Empties databases; returns how many keys they had.
fn flush(services: &Services, txn: &mut Txn<'_>, databases: Range<usize>, lazily: bool) -> usize {
    if !lazily {
        let used = services.stats.known_memory().unwrap_or(0);
        txn.journal.used_before = txn.journal.used_before.max(used);
    }
    databases.map(|db| txn.flush_db(db, lazily)).sum()
}

fn flushdb(context: &mut Context<'_, '_>) -> CommandResult {
    let lazily = flushes_lazily(context)?;
    let db = context.txn.db();
    let removed = flush(context.services, context.txn, db..db + 1, lazily);
    context.txn.note_flush();
    context.txn.add_dirty(removed as u64);
    // Also where nothing was there: who follows may have more.
    context.txn.propagate(context.args);
    context.reply.ok();
    Ok(Outcome::Done)
}

fn flushall(context: &mut Context<'_, '_>) -> CommandResult {
    let lazily = flushes_lazily(context)?;
    let hooks = context.services.hooks.read();
    let hooks = hooks.as_ref().filter(|_| !context.mode.loading);
    if let Some(hooks) = hooks {
        hooks.emptying(context.txn);
    }
    let databases = 0..context.txn.keyspace().databases();
    let removed = flush(context.services, context.txn, databases, lazily);
    context.txn.note_flush();
    let saved = hooks.is_some_and(|hooks| hooks.emptied(context.txn));
    if !saved {
        context.txn.add_dirty(removed as u64);
    }
    // Also where nothing was there: who follows may have more.
    context.txn.propagate(context.args);
    context.reply.ok();
    Ok(Outcome::Done)
}

fn swapdb(context: &mut Context<'_, '_>) -> CommandResult {
    let index = |position, refusal| {
        let number = context.int(position).ok();
        number
            .and_then(|number| i32::try_from(number).ok())
            .ok_or(CommandError::text(refusal))
    };
    let first = index(1, "ERR invalid first DB index")?;
    let second = index(2, "ERR invalid second DB index")?;
    let databases = context.txn.keyspace().databases();
    let existing = |index| {
        usize::try_from(index)
            .ok()
            .filter(|db| *db < databases)
            .ok_or(CommandError::text("ERR DB index is out of range"))
    };
    let (first, second) = (existing(first)?, existing(second)?);
    if first != second {
        context.txn.swap_dbs(first, second);
        context.txn.add_dirty(1);
    }
    context.reply.ok();
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::commands::testing::Harness;
    use crate::reply::Response;

    fn error(text: &str) -> Response {
        Response::Error(text.to_owned())
    }

    fn strings(response: &Response) -> BTreeSet<String> {
        let Response::Array(items) = response else {
            panic!("{response:?} is no array");
        };
        let text = |item: &Response| match item {
            Response::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{other:?} is no string"),
        };
        items.iter().map(text).collect()
    }

    /// Every key that an iteration returns; none twice.
    fn scan_all(h: &mut Harness, options: &str) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut cursor = String::from("0");
        loop {
            let Response::Array(step) = h.run(&format!("SCAN {cursor}{options}")) else {
                panic!("a step is an array");
            };
            let [Response::Bulk(next), keys] = &step[..] else {
                panic!("{step:?} is no step");
            };
            for key in strings(keys) {
                assert!(all.insert(key.clone()), "{key} came twice");
            }
            cursor = String::from_utf8_lossy(next).into_owned();
            if cursor == "0" {
                return all;
            }
        }
    }

    #[test]
    fn scan_returns_everything_once() {
        let mut h = Harness::new();
        let names: BTreeSet<String> = (0..1000).map(|i| format!("key:{i}")).collect();
        names.iter().for_each(|name| {
            h.run(&format!("SET {name} v"));
        });
        for options in [
            "",
            " COUNT 1",
            " COUNT 7",
            " count 5000",
            " MATCH *",
            " TYPE String",
        ] {
            assert_eq!(scan_all(&mut h, options), names, "{options}");
        }
        assert_eq!(scan_all(&mut h, " MATCH key:1??").len(), 100);
        assert!(scan_all(&mut h, " TYPE hash").is_empty());
        assert_eq!(h.run("DBSIZE"), Response::Int(1000));
        assert_eq!(strings(&h.run("KEYS key:99*")).len(), 11);
    }

    #[test]
    fn scan_judges_its_words() {
        let mut h = Harness::new();
        let not_integer = "ERR value is not an integer or out of range";
        for (line, answer) in [
            ("SCAN x", "ERR invalid cursor"),
            ("SCAN x bogus", "ERR invalid cursor"),
            ("SCAN 0 COUNT", "ERR syntax error"),
            ("SCAN 0 COUNT 0", "ERR syntax error"),
            ("SCAN 0 COUNT x", not_integer),
            ("SCAN 0 bogus x", "ERR syntax error"),
        ] {
            assert_eq!(h.run(line), error(answer), "{line}");
        }
        let end = Response::Array(vec![
            Response::Bulk(b"0".to_vec()),
            Response::Array(Vec::new()),
        ]);
        h.run("SET a 1");
        assert_eq!(h.run("SCAN 18446744073709551615"), end);
    }

    #[test]
    fn what_has_expired_is_not_listed() {
        let mut h = Harness::new();
        h.run("SET gone 1 PX 5");
        h.run("SET here 1");
        h.keyspace.set_now_ms(Some(1_000_001_000));
        assert_eq!(
            h.run("KEYS *"),
            Response::Array(vec![Response::Bulk(b"here".to_vec())])
        );
        assert_eq!(h.run("DBSIZE"), Response::Int(2));
        assert_eq!(scan_all(&mut h, " COUNT 100").len(), 1);
        assert_eq!(h.effects(), ["DEL gone"]);
        assert_eq!(h.run("DBSIZE"), Response::Int(1));
    }

    #[test]
    fn randomkey_finds_what_is_there() {
        let mut h = Harness::new();
        assert_eq!(h.run("RANDOMKEY"), Response::Null);
        h.run("SET gone 1 PX 5");
        h.run("SET here 1");
        h.keyspace.set_now_ms(Some(1_000_001_000));
        for _ in 0..20 {
            assert_eq!(h.run("RANDOMKEY"), Response::Bulk(b"here".to_vec()));
        }
        h.run("MSET a 1 b 2 c 3");
        let seen: BTreeSet<String> = (0..200)
            .flat_map(|_| strings(&Response::Array(vec![h.run("RANDOMKEY")])))
            .collect();
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn flushing_is_logged_and_counts_what_was_there() {
        let mut h = Harness::new();
        h.run("MSET a 1 b 2");
        for line in ["FLUSHDB bogus", "FLUSHDB ASYNC SYNC", "FLUSHALL x"] {
            assert_eq!(h.run(line), error("ERR syntax error"));
        }
        assert_eq!(h.run("FLUSHDB async"), Response::Simple("OK".into()));
        assert_eq!(h.effects(), ["FLUSHDB async"]);
        assert_eq!(h.journal.dirty, 2);
        assert_eq!(h.run("FLUSHALL"), Response::Simple("OK".into()));
        assert_eq!(h.effects(), ["FLUSHALL"]);
        assert_eq!(h.journal.dirty, 0);
        h.session.db = 1;
        h.run("SET c 1");
        h.session.db = 0;
        h.run("FLUSHALL SYNC");
        assert_eq!(h.effects(), ["FLUSHALL SYNC"]);
    }

    #[test]
    fn what_is_flushed_is_left_to_the_background_where_that_is_wanted() {
        let mut h = Harness::new();
        for (by_default, line, left) in [
            ("no", "FLUSHALL", 0),
            ("no", "FLUSHDB SYNC", 0),
            ("no", "FLUSHALL ASYNC", 2),
            ("no", "FLUSHDB ASYNC", 2),
            ("yes", "FLUSHDB", 2),
            ("yes", "FLUSHALL SYNC", 0),
        ] {
            let set = h
                .services
                .config
                .write()
                .assign(b"lazyfree-lazy-user-flush", by_default.as_bytes());
            set.expect("the parameter exists");
            h.run("MSET a 1 b 2");
            h.run(line);
            let emptied = h.journal.emptied.iter();
            let keys: usize = emptied.map(|database| database.len()).sum();
            assert_eq!(keys, left, "{line}, {by_default}");
            assert_eq!(h.run("DBSIZE"), Response::Int(0));
        }
    }

    #[test]
    fn swapdb_exchanges_two_databases() {
        let mut h = Harness::new();
        h.run("SET a 1");
        assert_eq!(h.run("SWAPDB 0 1"), Response::Simple("OK".into()));
        assert_eq!(h.effects(), ["SWAPDB 0 1"]);
        assert_eq!(h.run("DBSIZE"), Response::Int(0));
        h.run("SWAPDB 1 1");
        assert!(h.effects().is_empty());
        for (line, answer) in [
            ("SWAPDB a 1", "ERR invalid first DB index"),
            ("SWAPDB 99999999999 1", "ERR invalid first DB index"),
            ("SWAPDB 0 b", "ERR invalid second DB index"),
            ("SWAPDB 0 2", "ERR DB index is out of range"),
            ("SWAPDB -1 0", "ERR DB index is out of range"),
        ] {
            assert_eq!(h.run(line), error(answer), "{line}");
        }
    }
}
