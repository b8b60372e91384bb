//! Keys of any type: DEL, RENAME, COPY, OBJECT … Times have a file of their own, and so have whole databases.

use super::spec::{CommandSpec, Flags, key_range, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::access::{AccessClock, idle_seconds};
use crate::keyspace::{Entry, EventClass, Txn, ValueRef};
use crate::value::listpack::Element;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "source:key#0 destination:key#1 destination-db:integer=DB? replace:pure-token=REPLACE?",
        acl: "keyspace write slow",
        keys: &[one_key("RO access"), key_range("OW update", 2, 0, 1)],
        group: "generic",
        since: "6.2.0",
        summary: "Copy a key",
        complexity: "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
        ..CommandSpec::new("copy", -3, Flags::WRITE.and(Flags::DENYOOM), copy)
    },
    CommandSpec {
        arguments: "key:key#0*",
        acl: "keyspace write slow",
        keys: &[key_range("RM delete", 1, -1, 1)],
        group: "generic",
        since: "1.0.0",
        summary: "Delete a key",
        complexity: "O(N) where N is the number of keys that will be removed. When a key to remove holds a value other than a string, the individual complexity for this key is O(M) where M is the number of elements in the list, set, sorted set or hash. Removing a single key that holds a string value is O(1).",
        tips: "request_policy:multi_shard response_policy:agg_sum",
        ..CommandSpec::new("del", -2, Flags::WRITE, del)
    },
    CommandSpec {
        arguments: "key:key#0*",
        acl: "keyspace read fast",
        keys: &[key_range("RO", 1, -1, 1)],
        group: "generic",
        since: "1.0.0",
        summary: "Determine if a key exists",
        complexity: "O(N) where N is the number of keys to check.",
        tips: "request_policy:multi_shard response_policy:agg_sum",
        history: &[("3.0.3", "Accepts multiple `key` arguments.")],
        ..CommandSpec::new("exists", -2, Flags::READONLY.and(Flags::FAST), exists)
    },
    CommandSpec {
        arguments: "key:key#0 db:integer",
        acl: "keyspace write fast",
        keys: &[one_key("RW access update")],
        group: "generic",
        since: "1.0.0",
        summary: "Move a key to another database",
        complexity: "O(1)",
        ..CommandSpec::new("move", 3, Flags::WRITE.and(Flags::FAST), move_key)
    },
    CommandSpec {
        acl: "slow",
        group: "generic",
        since: "2.2.3",
        summary: "A container for object introspection commands",
        complexity: "Depends on subcommand.",
        subcommands: &[
            CommandSpec {
                arguments: "key:key#0",
                acl: "keyspace read slow",
                keys: &[key_range("RO", 2, 0, 1)],
                group: "generic",
                since: "2.2.3",
                summary: "Inspect the internal encoding of a Redis object",
                complexity: "O(1)",
                tips: "nondeterministic_output",
                ..CommandSpec::new("encoding", 3, Flags::READONLY, object_encoding)
            },
            CommandSpec {
                arguments: "key:key#0",
                acl: "keyspace read slow",
                keys: &[key_range("RO", 2, 0, 1)],
                group: "generic",
                since: "4.0.0",
                summary: "Get the logarithmic access frequency counter of a Redis object",
                complexity: "O(1)",
                tips: "nondeterministic_output",
                ..CommandSpec::new("freq", 3, Flags::READONLY, object_freq)
            },
            CommandSpec {
                acl: "keyspace slow",
                group: "generic",
                since: "6.2.0",
                summary: "Show helpful text about the different subcommands",
                complexity: "O(1)",
                ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), object_help)
            },
            CommandSpec {
                arguments: "key:key#0",
                acl: "keyspace read slow",
                keys: &[key_range("RO", 2, 0, 1)],
                group: "generic",
                since: "2.2.3",
                summary: "Get the time since a Redis object was last accessed",
                complexity: "O(1)",
                tips: "nondeterministic_output",
                ..CommandSpec::new("idletime", 3, Flags::READONLY, object_idletime)
            },
            CommandSpec {
                arguments: "key:key#0",
                acl: "keyspace read slow",
                keys: &[key_range("RO", 2, 0, 1)],
                group: "generic",
                since: "2.2.3",
                summary: "Get the number of references to the value of the key",
                complexity: "O(1)",
                tips: "nondeterministic_output",
                ..CommandSpec::new("refcount", 3, Flags::READONLY, object_refcount)
            },
        ],
        ..CommandSpec::new("object", -2, Flags::NONE, object)
    },
    CommandSpec {
        arguments: "key:key#0 newkey:key#1",
        acl: "keyspace write slow",
        keys: &[one_key("RW access delete"), key_range("OW update", 2, 0, 1)],
        group: "generic",
        since: "1.0.0",
        summary: "Rename a key",
        complexity: "O(1)",
        ..CommandSpec::new("rename", 3, Flags::WRITE, rename)
    },
    CommandSpec {
        arguments: "key:key#0 newkey:key#1",
        acl: "keyspace write fast",
        keys: &[one_key("RW access delete"), key_range("OW insert", 2, 0, 1)],
        group: "generic",
        since: "1.0.0",
        summary: "Rename a key, only if the new key does not exist",
        complexity: "O(1)",
        history: &[(
            "3.2.0",
            "The command no longer returns an error when source and destination names are the same.",
        )],
        ..CommandSpec::new("renamenx", 3, Flags::WRITE.and(Flags::FAST), renamenx)
    },
    CommandSpec {
        arguments: "key:key#0*",
        acl: "keyspace read fast",
        keys: &[key_range("RO", 1, -1, 1)],
        group: "generic",
        since: "3.2.1",
        summary: "Alters the last access time of a key(s). Returns the number of existing keys specified.",
        complexity: "O(N) where N is the number of keys that will be touched.",
        tips: "request_policy:multi_shard response_policy:agg_sum",
        ..CommandSpec::new("touch", -2, Flags::READONLY.and(Flags::FAST), touch)
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "keyspace read fast",
        keys: &[one_key("RO")],
        group: "generic",
        since: "1.0.0",
        summary: "Determine the type stored at key",
        complexity: "O(1)",
        ..CommandSpec::new("type", 2, Flags::READONLY.and(Flags::FAST), type_name)
    },
    CommandSpec {
        arguments: "key:key#0*",
        acl: "keyspace write fast",
        keys: &[key_range("RM delete", 1, -1, 1)],
        group: "generic",
        since: "4.0.0",
        summary: "Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking.",
        complexity: "O(1) for each key removed regardless of its size. Then the command does O(N) work in a different thread in order to reclaim memory, where N is the number of allocations the deleted objects where composed of.",
        tips: "request_policy:multi_shard response_policy:agg_sum",
        ..CommandSpec::new("unlink", -2, Flags::WRITE.and(Flags::FAST), unlink)
    },
];

const SAME_OBJECT: CommandError =
    CommandError::text("ERR source and destination objects are the same");

fn remove_all(context: &mut Context<'_, '_>, lazily: bool) -> CommandResult {
    let mut removed = 0;
    for key in &context.args[1..] {
        let gone = if lazily {
            context.txn.unlink(key)
        } else {
            context.txn.remove(key)
        };
        if gone {
            context.txn.changed(EventClass::GENERIC, "del", key);
            removed += 1;
        }
    }
    context.reply.int(removed);
    Ok(Outcome::Done)
}

fn del(context: &mut Context<'_, '_>) -> CommandResult {
    remove_all(context, false)
}

/// The same as DEL, but more of what is slow to free leaves for the background thread.
fn unlink(context: &mut Context<'_, '_>) -> CommandResult {
    remove_all(context, true)
}

fn exists(context: &mut Context<'_, '_>) -> CommandResult {
    let txn = &mut *context.txn;
    let keys = context.args[1..].iter();
    let found = keys.filter(|key| txn.read_untouched(key).is_some()).count();
    context.reply.int(found as i64);
    Ok(Outcome::Done)
}

fn touch(context: &mut Context<'_, '_>) -> CommandResult {
    let txn = &mut *context.txn;
    let keys = context.args[1..].iter();
    let found = keys.filter(|key| txn.read(key).is_some()).count();
    context.reply.int(found as i64);
    Ok(Outcome::Done)
}

fn type_name(context: &mut Context<'_, '_>) -> CommandResult {
    let entry = context.txn.read_untouched(context.args[1]);
    let name = entry.map_or("none", |entry| entry.value().type_name());
    context.reply.simple(name);
    Ok(Outcome::Done)
}

/// Moves a key's value and time to another name; false when that name is taken and may not be.
fn rename_key(context: &mut Context<'_, '_>, replace: bool) -> Result<bool, CommandError> {
    let (from, to) = (context.args[1], context.args[2]);
    let txn = &mut *context.txn;
    if txn.entry_mut(from).is_none() {
        return Err(CommandError::NoSuchKey);
    }
    if from == to {
        return Ok(replace);
    }
    if txn.entry_mut(to).is_some() {
        if !replace {
            return Ok(false);
        }
        txn.remove(to);
    }
    let (value, at) = txn.take(from).expect("it was there, under the same lock");
    txn.insert(to, value, at);
    txn.changed(EventClass::GENERIC, "rename_from", from);
    txn.changed(EventClass::GENERIC, "rename_to", to);
    Ok(true)
}

fn rename(context: &mut Context<'_, '_>) -> CommandResult {
    rename_key(context, true)?;
    context.reply.ok();
    Ok(Outcome::Done)
}

fn renamenx(context: &mut Context<'_, '_>) -> CommandResult {
    let renamed = rename_key(context, false)?;
    context.reply.int(i64::from(renamed));
    Ok(Outcome::Done)
}

/// The word at `position` as the number of a database.
fn database(context: &Context<'_, '_>, position: usize) -> Result<usize, CommandError> {
    let number = context.int(position)?;
    if i32::try_from(number).is_err() {
        return Err(CommandError::text(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    usize::try_from(number)
        .ok()
        .filter(|db| *db < context.txn.keyspace().databases())
        .ok_or(CommandError::text("ERR DB index is out of range"))
}

fn move_key(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[1];
    let to = database(context, 2)?;
    let txn = &mut *context.txn;
    if to == txn.db() {
        return Err(SAME_OBJECT);
    }
    let there = |txn: &mut Txn<'_>| txn.entry_mut(key).is_some();
    let moved = there(txn) && !txn.in_db(to, there);
    if moved {
        let (value, at) = txn.take(key).expect("it was there, under the same lock");
        txn.in_db(to, |txn| txn.insert(key, value, at));
        txn.changed(EventClass::GENERIC, "move_from", key);
        txn.in_db(to, |txn| txn.changed(EventClass::GENERIC, "move_to", key));
    }
    context.reply.int(i64::from(moved));
    Ok(Outcome::Done)
}

fn copy(context: &mut Context<'_, '_>) -> CommandResult {
    let (from, to) = (context.args[1], context.args[2]);
    let (mut db, mut replace) = (context.txn.db(), false);
    let mut position = 3;
    while position < context.args.len() {
        if context.is(position, "replace") {
            replace = true;
        } else if context.is(position, "db") && position + 1 < context.args.len() {
            position += 1;
            db = database(context, position)?;
        } else {
            return Err(CommandError::Syntax);
        }
        position += 1;
    }
    let txn = &mut *context.txn;
    if db == txn.db() && from == to {
        return Err(SAME_OBJECT);
    }
    // The value is copied only once it is known to be wanted: it may be large.
    let there = txn.read(from).is_some();
    let taken = there && txn.in_db(db, |txn| txn.entry_mut(to).is_some());
    let copied = there && (replace || !taken);
    let source = txn.peek(from).filter(|_| copied);
    if let Some((value, at)) = source.map(|entry| (entry.clone_value(), entry.expires_at_ms())) {
        txn.in_db(db, |txn| {
            txn.remove(to);
            txn.insert(to, value, at);
            txn.changed(EventClass::GENERIC, "copy_to", to);
        });
    }
    context.reply.int(i64::from(copied));
    Ok(Outcome::Done)
}

fn object(context: &mut Context<'_, '_>) -> CommandResult {
    Err(CommandError::WrongArity(context.command.full_name.clone()))
}

const OBJECT_HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Prints this help.",
];

fn object_help(context: &mut Context<'_, '_>) -> CommandResult {
    context.reply.array(OBJECT_HELP.len());
    OBJECT_HELP
        .iter()
        .for_each(|line| context.reply.simple(line));
    Ok(Outcome::Done)
}

/// The entry that OBJECT asks about: looking at it counts as a read, but neither touches it nor tells of a missing key.
fn inspected<'c>(context: &'c mut Context<'_, '_>) -> Option<&'c Entry> {
    context.txn.inspect(context.args[2])
}

fn object_encoding(context: &mut Context<'_, '_>) -> CommandResult {
    match inspected(context).map(Entry::encoding) {
        Some(encoding) => context.reply.bulk(encoding.as_bytes()),
        None => context.reply.null(),
    }
    Ok(Outcome::Done)
}

fn object_freq(context: &mut Context<'_, '_>) -> CommandResult {
    let (clock, now_ms) = (context.txn.limits().access, context.txn.now_ms());
    match inspected(context).map(Entry::access) {
        Some(_) if clock == AccessClock::Recency => Err(CommandError::text(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        )),
        Some(access) => {
            context
                .reply
                .int(i64::from(clock.frequency(access, now_ms)));
            Ok(Outcome::Done)
        }
        None => {
            context.reply.null();
            Ok(Outcome::Done)
        }
    }
}

fn object_idletime(context: &mut Context<'_, '_>) -> CommandResult {
    let (clock, now_ms) = (context.txn.limits().access, context.txn.now_ms());
    match inspected(context).map(Entry::access) {
        Some(_) if clock != AccessClock::Recency => Err(CommandError::text(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
             policies at runtime LRU and LFU data will take some time to adjust.",
        )),
        Some(access) => {
            context.reply.int(i64::from(idle_seconds(access, now_ms)));
            Ok(Outcome::Done)
        }
        None => {
            context.reply.null();
            Ok(Outcome::Done)
        }
    }
}

/// Whether Redis shares small integers among all keys: not where each key needs an access clock of its own.
pub(super) fn shares_integers(context: &Context<'_, '_>) -> bool {
    let config = context.services.config.read();
    let policy = config.word("maxmemory-policy");
    config.u64("maxmemory") == 0 || !(policy.ends_with("-lru") || policy.ends_with("-lfu"))
}

/// How many hold a value in Redis, which shares small integers where `shared` says so: those have the largest count.
pub(super) fn reference_count(value: ValueRef<'_>, shared: bool) -> i64 {
    match value {
        ValueRef::String(Element::Int(0..=9999)) if shared => i64::from(i32::MAX),
        _ => 1,
    }
}

fn object_refcount(context: &mut Context<'_, '_>) -> CommandResult {
    let shared = shares_integers(context);
    let count = inspected(context).map(|entry| reference_count(entry.value(), shared));
    match count {
        Some(count) => context.reply.int(count),
        None => context.reply.null(),
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    fn bulk(text: &str) -> Response {
        Response::Bulk(text.into())
    }

    fn error(text: &str) -> Response {
        Response::Error(text.to_owned())
    }

    #[test]
    fn del_and_unlink_count_what_was_there() {
        let mut h = Harness::new();
        h.run("MSET a 1 b 2 c 3");
        assert_eq!(h.run("DEL a b nokey a"), Response::Int(2));
        assert_eq!(h.effects(), ["DEL a b nokey a"]);
        assert_eq!(h.events(), ["del a", "del b"]);
        assert_eq!(h.run("UNLINK c c"), Response::Int(1));
        assert_eq!(h.run("DEL a"), Response::Int(0));
        assert!(h.effects().is_empty() && h.events().is_empty());
    }

    #[test]
    fn exists_touch_and_type() {
        let mut h = Harness::new();
        h.run("SET a 1");
        assert_eq!(h.run("EXISTS a a nokey"), Response::Int(2));
        assert_eq!(h.events(), ["keymiss nokey"]);
        assert_eq!(h.run("TOUCH a nokey a"), Response::Int(2));
        assert_eq!(h.run("TYPE a"), Response::Simple("string".into()));
        assert_eq!(h.run("TYPE nokey"), Response::Simple("none".into()));
    }

    #[test]
    fn rename_takes_value_and_time_along() {
        let mut h = Harness::new();
        assert_eq!(h.run("RENAME a b"), error("ERR no such key"));
        h.run("SET a 1 EX 50");
        h.run("SET b 2");
        assert_eq!(h.run("RENAME a b"), Response::Simple("OK".into()));
        assert_eq!(h.effects(), ["RENAME a b"]);
        assert_eq!(h.events(), ["new b", "rename_from a", "rename_to b"]);
        assert_eq!(h.run("GET b"), bulk("1"));
        assert_eq!(h.run("TTL b"), Response::Int(50));
        assert_eq!(h.run("RENAME b b"), Response::Simple("OK".into()));
        assert!(h.effects().is_empty() && h.events().is_empty());
        h.run("SET c 3");
        h.run("RENAME c b");
        assert_eq!(h.run("TTL b"), Response::Int(-1));
    }

    #[test]
    fn renamenx_spares_what_is_there() {
        let mut h = Harness::new();
        assert_eq!(h.run("RENAMENX a a"), error("ERR no such key"));
        h.run("MSET a 1 b 2");
        assert_eq!(h.run("RENAMENX a b"), Response::Int(0));
        assert_eq!(h.run("RENAMENX a a"), Response::Int(0));
        assert!(h.effects().is_empty());
        assert_eq!(h.run("RENAMENX a c"), Response::Int(1));
        assert_eq!(h.effects(), ["RENAMENX a c"]);
    }

    #[test]
    fn move_goes_to_another_database() {
        let mut h = Harness::new();
        h.run("SET a 1 EX 9");
        assert_eq!(
            h.run("MOVE a 0"),
            error("ERR source and destination objects are the same")
        );
        for wrong in ["2", "-1"] {
            let answer = h.run(&format!("MOVE a {wrong}"));
            assert_eq!(answer, error("ERR DB index is out of range"));
        }
        assert_eq!(
            h.run("MOVE a 99999999999"),
            error("ERR value is out of range, value must between -2147483648 and 2147483647")
        );
        assert_eq!(
            h.run("MOVE a x"),
            error("ERR value is not an integer or out of range")
        );
        assert_eq!(h.run("MOVE nokey 1"), Response::Int(0));
        assert_eq!(h.run("MOVE a 1"), Response::Int(1));
        assert_eq!(h.events(), ["new a", "move_from a", "move_to a"]);
        assert_eq!(h.effects(), ["MOVE a 1"]);
        h.run("SET a 2");
        assert_eq!(h.run("MOVE a 1"), Response::Int(0));
        h.session.db = 1;
        assert_eq!(h.run("TTL a"), Response::Int(9));
    }

    #[test]
    fn copy_with_its_options() {
        let mut h = Harness::new();
        assert_eq!(h.run("COPY a b"), Response::Int(0));
        h.run("SET a 1 EX 9");
        assert_eq!(h.run("COPY a b"), Response::Int(1));
        assert_eq!(h.events(), ["new b", "copy_to b"]);
        assert_eq!(h.effects(), ["COPY a b"]);
        assert_eq!(h.run("TTL b"), Response::Int(9));
        h.run("SET b 2");
        assert_eq!(h.run("COPY a b"), Response::Int(0));
        assert!(h.effects().is_empty());
        assert_eq!(h.run("COPY a b REPLACE"), Response::Int(1));
        assert_eq!(h.run("GET b"), bulk("1"));
        assert_eq!(h.run("COPY a a DB 1"), Response::Int(1));
        assert_eq!(h.run("COPY a a DB 1"), Response::Int(0));
        assert_eq!(h.run("COPY a a replace db 1"), Response::Int(1));
        for (line, answer) in [
            (
                "COPY a a",
                "ERR source and destination objects are the same",
            ),
            (
                "COPY a a DB 0",
                "ERR source and destination objects are the same",
            ),
            ("COPY a b DB", "ERR syntax error"),
            ("COPY a b bogus", "ERR syntax error"),
            ("COPY a b DB 99", "ERR DB index is out of range"),
            (
                "COPY a b DB x",
                "ERR value is not an integer or out of range",
            ),
        ] {
            assert_eq!(h.run(line), error(answer), "{line}");
        }
    }

    #[test]
    fn object_tells_about_a_key_without_touching_it() {
        let mut h = Harness::new();
        h.run("MSET a 5 b text");
        h.keyspace.set_now_ms(Some(1_000_042_000));
        assert_eq!(h.run("OBJECT IDLETIME a"), Response::Int(42));
        assert_eq!(h.run("OBJECT idletime a"), Response::Int(42));
        h.run("TOUCH a");
        assert_eq!(h.run("OBJECT IDLETIME a"), Response::Int(0));
        assert_eq!(h.run("OBJECT ENCODING a"), bulk("int"));
        assert_eq!(h.run("OBJECT ENCODING b"), bulk("embstr"));
        assert_eq!(h.run("OBJECT REFCOUNT a"), Response::Int(2_147_483_647));
        assert_eq!(h.run("OBJECT REFCOUNT b"), Response::Int(1));
        for subcommand in ["ENCODING", "FREQ", "IDLETIME", "REFCOUNT"] {
            let answer = h.run(&format!("OBJECT {subcommand} nokey"));
            assert_eq!(answer, Response::Null);
            assert!(h.events().is_empty());
        }
        assert!(matches!(h.run("OBJECT FREQ a"), Response::Error(text)
            if text.starts_with("ERR An LFU maxmemory policy is not selected")));
        assert!(matches!(h.run("OBJECT HELP"), Response::Array(lines) if lines.len() == 15));
        assert_eq!(
            h.run("OBJECT"),
            error("ERR wrong number of arguments for 'object' command")
        );
    }
}
