//! kill -9 at moments that the writers' own progress decides, again and again on one directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use innkeep_test_server::Server;
use innkeep_test_server::wire::{Reply, Wire};

use super::{connect, launch, number};

const WRITERS: usize = 4;

/// What one writer knows: what it sent last, and what was acknowledged last.
#[derive(Debug, Default)]
struct Progress {
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

/// When field `number` runs out: long from now, and each at a time of its own.
fn runs_out_ms(number: u64) -> u64 {
    4_000_000_000_000 + number
}

/// The structures of a writer: what begins its key, and what tells how many numbers it has.
const STRUCTURES: &[(&str, &str)] = &[
    ("list", "LLEN"),
    ("hash", "HLEN"),
    ("timed", "HLEN"),
    ("set", "SCARD"),
    ("zset", "ZCARD"),
    ("geo", "ZCARD"),
    ("bits", "BITCOUNT"),
    ("stream", "XLEN"),
];

/// What puts a number into a structure.
fn adding(kind: &str, writer: usize, number: u64) -> Vec<Vec<String>> {
    let (key, text) = (format!("{kind}:{writer}"), number.to_string());
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let line: Vec<String> = match kind {
        "list" => words(&["RPUSH", &key, &text]),
        "hash" => words(&["HSET", &key, &text, &text]),
        "timed" => {
            let time = runs_out_ms(number).to_string();
            return vec![
                words(&["HSET", &key, &text, &text]),
                words(&["HPEXPIREAT", &key, &time, "FIELDS", "1", &text]),
            ];
        }
        "set" => words(&["SADD", &key, &text]),
        "zset" => words(&["ZADD", &key, &text, &text]),
        "geo" => words(&["GEOADD", &key, "13.5", "38.25", &text]),
        "bits" => words(&["SETBIT", &key, &text, "1"]),
        _ => words(&["XADD", &key, &text, "number", &text]),
    };
    vec![line]
}

/// What a writer sends for a number: it goes into each structure, a group is handed the stream's entry, and a transaction
/// writes it into two strings. A library of functions tells it, and a HyperLogLog has seen it.
fn lines(writer: usize, number: u64) -> Vec<Vec<String>> {
    let text = number.to_string();
    let name = |kind: &str| format!("{kind}:{writer}");
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let mut lines: Vec<Vec<String>> = vec![
        words(&[
            "XGROUP",
            "CREATE",
            &name("stream"),
            "group",
            "0",
            "MKSTREAM",
        ]),
        words(&["PFADD", &name("seen"), &text]),
        words(&["FUNCTION", "LOAD", "REPLACE", &library(writer, number)]),
    ];
    for (kind, _) in STRUCTURES {
        lines.extend(adding(kind, writer, number));
    }
    let (stream, left, right) = (name("stream"), name("left"), name("right"));
    lines.extend([
        words(&[
            "XREADGROUP",
            "GROUP",
            "group",
            "reader",
            "COUNT",
            "1",
            "STREAMS",
            &stream,
            ">",
        ]),
        words(&["MULTI"]),
        words(&["SET", &left, &text]),
        words(&["INCR", &right]),
        words(&["EXEC"]),
    ]);
    lines
}

fn library(writer: usize, number: u64) -> String {
    format!(
        "#!lua name=l{writer}\nredis.register_function('f{writer}', function() return {number} end)"
    )
}

fn ask(wire: &mut Wire, words: &[String]) -> std::io::Result<Reply> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    wire.ask(&words)
}

/// Writes numbers until the server is gone.
fn write(mut wire: Wire, writer: usize, progress: &Progress) {
    loop {
        let number = progress.sent.fetch_add(1, Ordering::SeqCst) + 1;
        for command in lines(writer, number) {
            match ask(&mut wire, &command) {
                Ok(reply) => {
                    let known = reply.bytes().starts_with(b"BUSYGROUP");
                    assert!(known || !reply.is_error(), "{command:?}: {reply:?}");
                }
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
    // A rewrite, a snapshot, or one after the other.
    let rewrites = if goal.is_multiple_of(3) {
        "BGSAVE"
    } else {
        "BGREWRITEAOF"
    };
    for command in [&[rewrites][..], &["BGSAVE", "SCHEDULE"]] {
        observer.ask(command).expect("an answer");
    }
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
fn check(wire: &mut Wire, writer: usize, progress: &Progress) {
    let (sent, acknowledged) = (
        progress.sent.load(Ordering::SeqCst),
        progress.acknowledged.load(Ordering::SeqCst),
    );
    for (kind, count) in STRUCTURES {
        let key = format!("{kind}:{writer}");
        let length = number_of(wire, &[count, &key]);
        assert!(
            (acknowledged..=sent).contains(&length),
            "{key} has {length}, acknowledged {acknowledged}, sent {sent}"
        );
        assert!(has_last(wire, kind, &key, length), "{key} without {length}");
    }
    let pending = ["XPENDING", &format!("stream:{writer}"), "group"];
    let pending = wire.ask(&pending).expect("an answer");
    let pending = pending.items().first().and_then(Reply::int).unwrap_or(0);
    assert!((acknowledged..=sent).contains(&pending.unsigned_abs()));
    let told = number_of(wire, &["FCALL", &format!("f{writer}"), "0"]);
    assert!(
        (acknowledged..=sent).contains(&told),
        "the library tells {told}"
    );
    let seen = number_of(wire, &["PFCOUNT", &format!("seen:{writer}")]);
    assert!(
        seen * 20 >= acknowledged * 19,
        "{seen} of {acknowledged} were seen"
    );
    let mut value = |key: String| -> u64 {
        let reply = wire.ask(&["GET", &key]).expect("an answer");
        String::from_utf8_lossy(reply.bytes()).parse().unwrap_or(0)
    };
    let (left, right) = (
        value(format!("left:{writer}")),
        value(format!("right:{writer}")),
    );
    assert_eq!(left, right, "half a transaction");
    assert!((acknowledged..=sent).contains(&left));
}

fn number_of(wire: &mut Wire, words: &[&str]) -> u64 {
    let reply = wire.ask(words).expect("an answer");
    reply.int().unwrap_or(0).unsigned_abs()
}

/// Whether a structure of this length has the number that came last. The time of the field that came last may be missing,
/// but not that of the one before.
fn has_last(wire: &mut Wire, kind: &str, key: &str, length: u64) -> bool {
    let text = length.to_string();
    let mut ask = |words: &[&str]| wire.ask(words).expect("an answer");
    match kind {
        _ if length == 0 => true,
        "list" => ask(&["LINDEX", key, "-1"]).bytes() == text.as_bytes(),
        "hash" => ask(&["HGET", key, &text]).bytes() == text.as_bytes(),
        "timed" => {
            let time = |field: u64, reply: &Reply| {
                reply.items().first().and_then(Reply::int) == Some(runs_out_ms(field).cast_signed())
            };
            let before = length - 1;
            let fields = ["HPEXPIRETIME", key, "FIELDS", "1", &before.to_string()];
            let has_field = ask(&["HEXISTS", key, &text]).int() == Some(1);
            has_field && (before == 0 || time(before, &ask(&fields)))
        }
        "set" => ask(&["SISMEMBER", key, &text]).int() == Some(1),
        "bits" => ask(&["GETBIT", key, &text]).int() == Some(1),
        "stream" => ask(&["XRANGE", key, &text, &text]).items().len() == 1,
        _ => !ask(&["ZSCORE", key, &text]).bytes().is_empty(),
    }
}

fn rounds(policy: &str, rounds: usize) {
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
            check(&mut wire, writer, progress);
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
    if end == 0 {
        return;
    }
    for command in lines(writer, end) {
        let again = ["RPUSH", "MULTI", "INCR", "EXEC"].contains(&command[0].as_str());
        if !again {
            // An entry that is there already is refused, and so is a group.
            ask(wire, &command).expect("an answer");
        }
    }
    let right = ["SET", &format!("right:{writer}"), &end.to_string()];
    assert!(!wire.ask(&right).expect("an answer").is_error());
}

#[test]
fn every_acknowledged_write_survives_kill_9_under_always() {
    rounds("always", number("INNKEEP_KILL_ROUNDS", 6));
}

#[test]
fn every_acknowledged_write_survives_kill_9_under_everysec() {
    rounds("everysec", number("INNKEEP_KILL_ROUNDS", 6).div_ceil(2));
}

#[test]
fn every_acknowledged_write_survives_kill_9_under_no() {
    rounds("no", number("INNKEEP_KILL_ROUNDS", 6).div_ceil(4));
}
