//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: what a session remembers of a transaction. The queue is filled and run by the
//! engine; nothing here runs another command.

use super::spec::{CommandSpec, Flags, key_range};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::Txn;
use crate::services::{ClientFlags, Multi, SessionState, Watched};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        acl: "fast transaction",
        group: "transactions",
        since: "2.0.0",
        summary: "Discard all commands issued after MULTI",
        complexity: "O(N), when N is the number of queued commands",
        ..CommandSpec::new(
            "discard",
            1,
            Flags::NOSCRIPT
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::FAST)
                .and(Flags::ALLOW_BUSY)
                .and(Flags::IMMEDIATE),
            discard,
        )
    },
    CommandSpec {
        acl: "slow transaction",
        group: "transactions",
        since: "1.2.0",
        summary: "Execute all commands issued after MULTI",
        complexity: "Depends on commands in the transaction",
        ..CommandSpec::new(
            "exec",
            1,
            Flags::NOSCRIPT
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::SKIP_SLOWLOG)
                .and(Flags::IMMEDIATE),
            exec,
        )
    },
    CommandSpec {
        acl: "fast transaction",
        group: "transactions",
        since: "1.2.0",
        summary: "Mark the start of a transaction block",
        complexity: "O(1)",
        ..CommandSpec::new(
            "multi",
            1,
            Flags::NOSCRIPT
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::FAST)
                .and(Flags::ALLOW_BUSY)
                .and(Flags::IMMEDIATE),
            multi,
        )
    },
    CommandSpec {
        acl: "fast transaction",
        group: "transactions",
        since: "2.2.0",
        summary: "Forget about all watched keys",
        complexity: "O(1)",
        ..CommandSpec::new(
            "unwatch",
            1,
            Flags::NOSCRIPT
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::FAST)
                .and(Flags::ALLOW_BUSY),
            unwatch,
        )
    },
    CommandSpec {
        arguments: "key:key#0*",
        acl: "fast transaction",
        keys: &[key_range("RO", 1, -1, 1)],
        group: "transactions",
        since: "2.2.0",
        summary: "Watch the given keys to determine execution of the MULTI/EXEC block",
        complexity: "O(1) for every key.",
        ..CommandSpec::new(
            "watch",
            -2,
            Flags::NOSCRIPT
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::FAST)
                .and(Flags::ALLOW_BUSY)
                .and(Flags::IMMEDIATE),
            watch,
        )
    },
];

fn multi(context: &mut Context<'_, '_>) -> CommandResult {
    let session = &mut *context.session;
    if session.multi.is_some() {
        return Err(CommandError::text("ERR MULTI calls can not be nested"));
    }
    session.multi = Some(Multi::default());
    session.info.multi.store(0, Ordering::Relaxed);
    session.info.set_flag(ClientFlags::MULTI, true);
    context.reply.ok();
    Ok(Outcome::Done)
}

fn exec(context: &mut Context<'_, '_>) -> CommandResult {
    if context.session.multi.is_none() {
        return Err(CommandError::text("ERR EXEC without MULTI"));
    }
    Ok(Outcome::Exec)
}

fn discard(context: &mut Context<'_, '_>) -> CommandResult {
    if context.session.multi.is_none() {
        return Err(CommandError::text("ERR DISCARD without MULTI"));
    }
    unwatch_all(context.txn, context.session);
    context.session.end_transaction();
    context.reply.ok();
    Ok(Outcome::Done)
}

fn watch(context: &mut Context<'_, '_>) -> CommandResult {
    let session = &mut *context.session;
    if session.multi.is_some() {
        return Err(CommandError::text("ERR WATCH inside MULTI is not allowed"));
    }
    // Once a watched key has changed EXEC fails, whatever else is watched.
    if !session.watch_flag.is_raised() {
        session.info.set_flag(ClientFlags::WATCHES, true);
        *session.info.watched.lock() = Some(Arc::clone(&session.watch_flag));
        let db = context.txn.db();
        for key in &context.args[1..] {
            let known = |watched: &Watched| watched.db == db && *watched.key == **key;
            if session.watched.iter().any(known) {
                continue;
            }
            context.txn.watch(key, &session.watch_flag);
            session.watched.push(Watched {
                db,
                key: Box::from(*key),
            });
            session
                .info
                .watch_memory
                .fetch_add(Watched::memory(key), Ordering::Relaxed);
        }
    }
    context.reply.ok();
    Ok(Outcome::Done)
}

fn unwatch(context: &mut Context<'_, '_>) -> CommandResult {
    unwatch_all(context.txn, context.session);
    context.reply.ok();
    Ok(Outcome::Done)
}

/// Takes the session off every key that it watches; the open MULTI, if any, stays. Locks the shards of those keys if
/// they are not locked, so a command that holds other locks must have finished with them.
pub fn unwatch_all(txn: &mut Txn<'_>, session: &mut SessionState) {
    let needed = txn
        .keyspace()
        .shard_set(session.watched.iter().map(|watched| &*watched.key));
    // Whoever holds the locks for long forgets at its end who is gone.
    if needed & !txn.held() != 0 && !txn.relock_unless_held(needed | txn.held()) {
        return session.forget_watched();
    }
    for Watched { db, key, .. } in session.watched.drain(..) {
        txn.unwatch(&(db, key), &session.watch_flag);
    }
    session.forget_watched();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::Harness;
    use crate::keyspace::EventClass;
    use crate::keyspace::txn::{Journal, TxnOptions};
    use crate::reply::Response;

    fn error(text: &str) -> Response {
        Response::Error(text.to_owned())
    }

    fn ok() -> Response {
        Response::Simple("OK".into())
    }

    fn change(harness: &Harness, db: usize, key: &[u8]) {
        let all = harness.keyspace.all_shards();
        let mut txn = harness
            .keyspace
            .begin(all, db, TxnOptions::default(), Journal::default());
        txn.insert_string(key, b"1", None);
        txn.changed(EventClass::STRING, "set", key);
    }

    #[test]
    fn the_commands_out_of_place() {
        let mut harness = Harness::new();
        assert_eq!(harness.run("EXEC"), error("ERR EXEC without MULTI"));
        assert_eq!(harness.run("DISCARD"), error("ERR DISCARD without MULTI"));
        assert_eq!(harness.run("MULTI"), ok());
        assert!(harness.session.info.has_flag(ClientFlags::MULTI));
        assert_eq!(
            harness.run("MULTI"),
            error("ERR MULTI calls can not be nested")
        );
        assert_eq!(
            harness.run("WATCH a"),
            error("ERR WATCH inside MULTI is not allowed")
        );
        assert!(harness.session.multi.as_ref().is_some_and(|m| !m.aborted));
        harness.run("EXEC");
        assert_eq!(harness.outcome, Some(Outcome::Exec));
        assert_eq!(harness.run("DISCARD"), ok());
        assert!(harness.session.multi.is_none());
        assert!(!harness.session.info.has_flag(ClientFlags::MULTI));
        assert_eq!(harness.session.info.multi.load(Ordering::Relaxed), -1);
    }

    #[test]
    fn a_watched_key_that_changes_raises_the_flag() {
        let mut harness = Harness::new();
        assert_eq!(harness.run("WATCH a b a"), ok());
        assert_eq!(harness.session.watched.len(), 2);
        change(&harness, 1, b"a");
        assert!(!harness.session.watch_flag.is_raised(), "another database");
        change(&harness, 0, b"b");
        assert!(harness.session.watch_flag.is_raised());
        harness.run("WATCH c");
        assert_eq!(harness.session.watched.len(), 2);
        assert_eq!(harness.run("UNWATCH"), ok());
        assert!(harness.session.watched.is_empty());
        assert!(!harness.session.watch_flag.is_raised());
    }

    #[test]
    fn unwatched_keys_may_change() {
        for end in ["UNWATCH", "DISCARD"] {
            let mut harness = Harness::new();
            harness.run("WATCH a b");
            let flag = harness.session.watch_flag.clone();
            harness.run("MULTI");
            assert_eq!(harness.run(end), ok());
            change(&harness, 0, b"a");
            change(&harness, 0, b"b");
            assert!(!flag.is_raised());
            assert!(!harness.session.watch_flag.is_raised());
        }
    }

    #[test]
    fn unwatching_locks_what_it_needs() {
        let mut harness = Harness::new();
        harness.run("WATCH a b c d e f");
        let keyspace = &harness.keyspace;
        let mut txn = keyspace.begin(0, 0, TxnOptions::default(), Journal::default());
        unwatch_all(&mut txn, &mut harness.session);
        assert_eq!(
            txn.held(),
            keyspace.shard_set([b"a", b"b", b"c", b"d", b"e", b"f"].map(|key| &key[..]))
        );
    }
}
