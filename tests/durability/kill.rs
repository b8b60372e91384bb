//! kill -9 at moments that the writers' own progress decides, again and again on one directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use innkeep_test_server::Server;
use innkeep_test_server::wire::Wire;

use super::{connect, launch, number};

const WRITERS: usize = 4;

/// What one writer knows: what it sent last, and what was acknowledged last.
#[derive(Debug, Default)]
struct Progress {
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

/// Writes numbers until the server is gone: each into a list, a hash, a sorted set, a stream and, in a transaction, into two strings.
fn write(mut wire: Wire, writer: usize, progress: &Progress) {
    let name = |kind: &str| format!("{kind}:{writer}");
    let (list, hash, zset) = (name("list"), name("hash"), name("zset"));
    let (stream, left, right) = (name("stream"), name("left"), name("right"));
    loop {
        let number = progress.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let number = number.to_string();
        let commands: [&[&str]; 8] = [
            &["RPUSH", &list, &number],
            &["HSET", &hash, &number, &number],
            &["ZADD", &zset, &number, &number],
            &["XADD", &stream, &number, "number", &number],
            &["MULTI"],
            &["SET", &left, &number],
            &["INCR", &right],
            &["EXEC"],
        ];
        for command in commands {
            match wire.ask(command) {
                Ok(reply) => assert!(!reply.is_error(), "{command:?}: {reply:?}"),
                Err(_) => return,
            }
        }
        progress.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs writers against the server and kills it once they have written so much; one of them has the log rewritten.
fn write_and_kill(server: &mut Server, progress: &Arc<Vec<Progress>>, enough: u64) {
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (wire, progress) = (connect(server), Arc::clone(progress));
            thread::spawn(move || write(wire, writer, &progress[writer]))
        })
        .collect();
    let total = || {
        progress
            .iter()
            .map(|one| one.acknowledged.load(Ordering::SeqCst))
            .sum::<u64>()
    };
    let goal = total() + enough;
    let mut observer = connect(server);
    observer.ask(&["BGREWRITEAOF"]).expect("an answer");
    while total() < goal {
        observer
            .ask(&["PING"])
            .expect("the server answers meanwhile");
    }
    server.kill().expect("the process is killed");
    for writer in writers {
        writer
            .join()
            .expect("a writer ends when its connection does");
    }
}

/// What a restarted server must have of a writer: every acknowledged number, at most the one that was under way besides,
/// and each structure a prefix of what was sent.
fn check(wire: &mut Wire, writer: usize, progress: &Progress, all_acknowledged: bool) {
    let (sent, acknowledged) = (
        progress.sent.load(Ordering::SeqCst),
        progress.acknowledged.load(Ordering::SeqCst),
    );
    let least = if all_acknowledged { acknowledged } else { 0 };
    for (kind, count) in [
        ("list", "LLEN"),
        ("hash", "HLEN"),
        ("zset", "ZCARD"),
        ("stream", "XLEN"),
    ] {
        let key = format!("{kind}:{writer}");
        let length = wire
            .ask(&[count, &key])
            .expect("an answer")
            .int()
            .unwrap_or(0)
            .unsigned_abs();
        assert!(
            (least..=sent).contains(&length),
            "{key} has {length}, acknowledged {acknowledged}, sent {sent}"
        );
        let last = last_element(wire, kind, &key, length);
        assert_eq!(last, (length > 0).then(|| length.to_string()), "{key}");
    }
    let mut value = |key: String| -> u64 {
        let reply = wire.ask(&["GET", &key]).expect("an answer");
        String::from_utf8_lossy(reply.bytes()).parse().unwrap_or(0)
    };
    let (left, right) = (
        value(format!("left:{writer}")),
        value(format!("right:{writer}")),
    );
    assert_eq!(left, right, "half a transaction");
    assert!((least..=sent).contains(&left));
}

/// The last element in a structure of this length.
fn last_element(wire: &mut Wire, kind: &str, key: &str, length: u64) -> Option<String> {
    let length = length.to_string();
    let reply = match kind {
        "list" => wire.ask(&["LINDEX", key, "-1"]),
        "hash" => wire.ask(&["HGET", key, &length]),
        "stream" => wire.ask(&["XRANGE", key, &length, &length]),
        _ => wire.ask(&["ZRANGE", key, "-1", "-1"]),
    };
    let reply = reply.expect("an answer");
    let mut reply = reply.items().first().cloned().unwrap_or(reply);
    if let [_, fields] = reply.items() {
        // Of an entry, the value of its one field.
        reply = fields.items().last().cloned().unwrap_or(reply);
    }
    (!reply.bytes().is_empty()).then(|| String::from_utf8_lossy(reply.bytes()).into_owned())
}

fn rounds(policy: &str, rounds: usize, all_acknowledged: bool) {
    let mut server = launch()
        .option("appendfsync", policy)
        .start()
        .expect("the server starts");
    let progress: Arc<Vec<Progress>> =
        Arc::new((0..WRITERS).map(|_| Progress::default()).collect());
    for round in 0..rounds {
        write_and_kill(&mut server, &progress, (round * 7 % 23) as u64 + 3);
        server = server.restart().expect("it starts after kill -9");
        let mut wire = connect(&server);
        for (writer, progress) in progress.iter().enumerate() {
            check(&mut wire, writer, progress, all_acknowledged);
            // The next round goes on from what is there: all structures agree again.
            let end = wire
                .ask(&["LLEN", &format!("list:{writer}")])
                .expect("an answer")
                .int()
                .unwrap_or(0);
            level(&mut wire, writer, end.unsigned_abs());
            progress.sent.store(end.unsigned_abs(), Ordering::SeqCst);
            progress
                .acknowledged
                .store(end.unsigned_abs(), Ordering::SeqCst);
        }
    }
}

/// Completes what the kill interrupted, so that every structure of a writer ends with the same number.
fn level(wire: &mut Wire, writer: usize, end: u64) {
    let number = end.to_string();
    for command in [
        &["HSET", &format!("hash:{writer}"), &number, &number][..],
        &["ZADD", &format!("zset:{writer}"), &number, &number],
        &["SET", &format!("left:{writer}"), &number],
        &["SET", &format!("right:{writer}"), &number],
    ] {
        if end > 0 {
            assert!(!wire.ask(command).expect("an answer").is_error());
        }
    }
    // An entry that is there already is refused, as its id is not above the last one.
    let stream = format!("stream:{writer}");
    if end > 0 {
        wire.ask(&["XADD", &stream, &number, "number", &number])
            .expect("an answer");
    }
}

#[test]
fn every_acknowledged_write_survives_kill_9_under_always() {
    rounds("always", number("INNKEEP_KILL_ROUNDS", 6), true);
}

#[test]
fn a_prefix_survives_kill_9_under_everysec() {
    rounds(
        "everysec",
        number("INNKEEP_KILL_ROUNDS", 6).div_ceil(4),
        false,
    );
}
