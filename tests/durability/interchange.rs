//! Data directories that move: a real redis-server loads ours, we load its, and both say the same about every key.

use std::collections::BTreeMap;

use innkeep_test_server::wire::{Reply, Wire};
use innkeep_test_server::{Launch, Server, may_skip};

use super::{connect, launch};

/// Writes all types, small and large, with and without expiry.
fn fill(wire: &mut Wire) {
    let mut run = |words: &[&str]| {
        let reply = wire.ask(words).expect("an answer");
        assert!(!reply.is_error(), "{words:?}: {reply:?}");
    };
    for index in 0..300 {
        let number = index.to_string();
        run(&["SET", &format!("string:{}", index % 40), &"x".repeat(index)]);
        run(&["INCRBY", "counter", "7"]);
        run(&[
            "RPUSH",
            &format!("list:{}", index % 3),
            &number,
            "text",
            "-5",
        ]);
        run(&[
            "HSET",
            &format!("hash:{}", index % 2),
            &format!("field{index}"),
            &number,
        ]);
        run(&["SADD", "numbers", &number]);
        run(&["SADD", "words", &format!("word{index}")]);
        run(&[
            "ZADD",
            "board",
            &format!("{}.25", index % 50),
            &format!("member{index}"),
        ]);
    }
    fill_streams(&mut run);
    run(&["HSET", "session", "user", "7", "agent", "\u{e9}\r\n\0"]);
    run(&["ZADD", "small", "1e300", "a", "-inf", "b", "0", "c"]);
    run(&["EXPIRE", "session", "10000"]);
    run(&["SET", "cached", "answer", "EX", "5000"]);
    run(&["LPOP", "list:0", "10"]);
    run(&["SPOP", "words", "20"]);
    run(&["MULTI"]);
    run(&["INCRBYFLOAT", "float", "10.5"]);
    run(&["RENAME", "counter", "renamed"]);
    run(&["EXEC"]);
    run(&["SELECT", "3"]);
    run(&["SET", "elsewhere", "1"]);
    run(&["SELECT", "0"]);
}

/// Streams with deleted and trimmed entries, groups in every state, and one that is empty but has groups.
fn fill_streams(run: &mut impl FnMut(&[&str])) {
    for index in 1..=300 {
        let (id, number) = (format!("{index}-*"), index.to_string());
        let other = if index % 5 == 0 { "other" } else { "text" };
        run(&[
            "XADD",
            "stream",
            &id,
            "number",
            &number,
            other,
            "\u{e9}\r\n\0",
        ]);
        run(&["XADD", "trimmed", "MAXLEN", "~", "120", &id, "f", &number]);
    }
    fill_groups(run);
    run(&["XADD", "emptied", "5-5", "a", "b"]);
    run(&["XADD", "emptied", "6-5", "a", "b"]);
    run(&["XDEL", "emptied", "5-5"]);
    run(&["XTRIM", "emptied", "MAXLEN", "0"]);
    run(&[
        "XSETID",
        "emptied",
        "9-9",
        "ENTRIESADDED",
        "17",
        "MAXDELETEDID",
        "5-5",
    ]);
}

/// Groups of the stream, with deliveries that were acknowledged, claimed, or whose entry is deleted once acknowledged.
fn fill_groups(run: &mut impl FnMut(&[&str])) {
    run(&["XGROUP", "CREATE", "stream", "readers", "0"]);
    run(&[
        "XGROUP",
        "CREATE",
        "stream",
        "others",
        "100-0",
        "ENTRIESREAD",
        "100",
    ]);
    run(&["XGROUP", "CREATE", "stream", "idle", "$"]);
    run(&["XGROUP", "CREATE", "waiting", "readers", "7-7", "MKSTREAM"]);
    for (consumer, count) in [("alice", "40"), ("bob", "25"), ("alice", "3")] {
        let group = ["XREADGROUP", "GROUP", "readers", consumer];
        run(&[&group[..], &["COUNT", count, "STREAMS", "stream", ">"]].concat());
        let group = ["XREADGROUP", "GROUP", "others", consumer, "NOACK"];
        run(&[&group[..], &["COUNT", count, "STREAMS", "stream", ">"]].concat());
    }
    run(&["XACK", "stream", "readers", "1-0", "2-0", "41-0"]);
    run(&[
        "XCLAIM",
        "stream",
        "readers",
        "carol",
        "0",
        "3-0",
        "4-0",
        "RETRYCOUNT",
        "9",
    ]);
    run(&[
        "XAUTOCLAIM",
        "stream",
        "readers",
        "dave",
        "0",
        "5",
        "COUNT",
        "4",
    ]);
    run(&["XGROUP", "CREATECONSUMER", "stream", "idle", "nobody"]);
    run(&["XDEL", "stream", "1-0", "2-0", "41-0", "299-0", "300-0"]);
}

/// What a client is told of a stream in full, but for what depends on how it is stored and when a consumer came:
/// the log tells neither.
fn told_of_stream(full: &Reply) -> Vec<Reply> {
    const UNTOLD: &[&[u8]] = &[
        b"radix-tree-keys",
        b"radix-tree-nodes",
        b"seen-time",
        b"active-time",
    ];
    let mut told = Vec::new();
    let mut items = full.items().iter();
    while let Some(item) = items.next() {
        if UNTOLD.contains(&item.bytes()) {
            items.next();
        } else if item.items().is_empty() {
            told.push(item.clone());
        } else {
            told.extend(told_of_stream(item));
        }
    }
    told
}

/// Every key with its type, expiry and content, in an order of its own.
pub(crate) fn contents(wire: &mut Wire) -> BTreeMap<Vec<u8>, (String, Reply, Vec<Reply>)> {
    let mut all = BTreeMap::new();
    for db in ["0", "3"] {
        wire.ask(&["SELECT", db]).expect("an answer");
        let keys = wire.ask(&["KEYS", "*"]).expect("an answer");
        for key in keys.items() {
            let name = String::from_utf8_lossy(key.bytes()).into_owned();
            let kind = wire.ask(&["TYPE", &name]).expect("an answer");
            let kind = String::from_utf8_lossy(kind.bytes()).into_owned();
            let expiry = wire.ask(&["PEXPIRETIME", &name]).expect("an answer");
            let content = match kind.as_str() {
                "string" => wire.ask(&["GET", &name]),
                "list" => wire.ask(&["LRANGE", &name, "0", "-1"]),
                "hash" => wire.ask(&["HGETALL", &name]),
                "set" => wire.ask(&["SMEMBERS", &name]),
                "stream" => wire.ask(&["XINFO", "STREAM", &name, "FULL", "COUNT", "0"]),
                _ => wire.ask(&["ZRANGE", &name, "0", "-1", "WITHSCORES"]),
            };
            let content = content.expect("an answer");
            let mut parts: Vec<Reply> = if kind == "stream" {
                told_of_stream(&content)
            } else if content.items().is_empty() {
                vec![content]
            } else {
                content.items().to_vec()
            };
            if kind == "set" {
                parts.sort();
            } else if kind == "hash" {
                let mut pairs: Vec<Vec<Reply>> = parts.chunks(2).map(<[Reply]>::to_vec).collect();
                pairs.sort();
                parts = pairs.concat();
            }
            all.insert(
                [db.as_bytes(), b"/", key.bytes()].concat(),
                (kind, expiry, parts),
            );
        }
    }
    wire.ask(&["SELECT", "0"]).expect("an answer");
    all
}

/// Ends a server in good order and starts another program on the log in its directory.
fn hand_over(server: Server, next: Launch) -> Server {
    hand_over_with(server, next, "yes")
}

/// The same with the log (`appendonly`) or with the snapshot.
pub(crate) fn hand_over_with(mut server: Server, next: Launch, log: &str) -> Server {
    let mut wire = connect(&server);
    drop(wire.ask(&["SHUTDOWN", "NOSAVE"]));
    drop(wire);
    server
        .wait_for_exit(std::time::Duration::from_secs(30))
        .expect("it ends");
    next.option("appendonly", log)
        .start_after(&server)
        .expect("the next one starts")
}

fn redis() -> Option<Launch> {
    Launch::redis().map(|launch| launch.option("appendonly", "yes"))
}

#[test]
fn a_real_redis_loads_our_directory() {
    let Some(redis) = redis() else {
        assert!(may_skip("redis-server"));
        return;
    };
    for rewritten in [false, true] {
        let server = launch()
            .option("appendfsync", "always")
            .start()
            .expect("the server starts");
        let mut wire = connect(&server);
        fill(&mut wire);
        if rewritten {
            wire.ask(&["BGREWRITEAOF"]).expect("an answer");
            assert!(server.wait_for_log(
                "rewrite finished successfully",
                std::time::Duration::from_secs(30)
            ));
            wire.ask(&["RPUSH", "list:1", "after"]).expect("an answer");
        }
        let ours = contents(&mut wire);
        let theirs = hand_over(server, redis.clone());
        assert_eq!(contents(&mut connect(&theirs)), ours);
    }
}

#[test]
fn we_load_the_directory_of_a_real_redis() {
    let Some(redis) = redis() else {
        assert!(may_skip("redis-server"));
        return;
    };
    for preamble in ["no", "yes"] {
        let server = redis
            .clone()
            .option("aof-use-rdb-preamble", preamble)
            .start()
            .expect("redis starts");
        let mut wire = connect(&server);
        fill(&mut wire);
        wire.ask(&["BGREWRITEAOF"]).expect("an answer");
        assert!(server.wait_for_log(
            "rewrite finished successfully",
            std::time::Duration::from_secs(30)
        ));
        wire.ask(&["RPUSH", "list:1", "after"]).expect("an answer");
        let theirs = contents(&mut wire);
        let ours = hand_over(server, launch());
        assert_eq!(
            contents(&mut connect(&ours)),
            theirs,
            "aof-use-rdb-preamble {preamble}"
        );
    }
}

/// What decides on the forms that values have in a snapshot.
const FORMS: &[&[(&str, &str)]] = &[
    &[],
    &[("rdbcompression", "no"), ("rdbchecksum", "no")],
    &[
        ("hash-max-listpack-entries", "0"),
        ("zset-max-listpack-entries", "0"),
        ("set-max-intset-entries", "0"),
        ("list-max-listpack-size", "2"),
    ],
    &[("maxmemory-policy", "allkeys-lfu"), ("maxmemory", "1gb")],
];

fn without_log(launch: Launch, options: &[(&str, &str)]) -> Launch {
    let launch = launch.option("appendonly", "no");
    let set = |launch: Launch, (name, value): &(&str, &str)| launch.option(name, value);
    options.iter().fold(launch, set)
}

#[test]
fn a_real_redis_loads_our_snapshot_and_we_its() {
    let Some(redis) = redis() else {
        assert!(may_skip("redis-server"));
        return;
    };
    for options in FORMS {
        let server = without_log(launch(), options).start().expect("it starts");
        let mut wire = connect(&server);
        fill(&mut wire);
        let expected = contents(&mut wire);
        assert!(wire.ask(&["SAVE"]).expect("an answer").is_status("OK"));
        let theirs = hand_over_with(server, redis.clone(), "no");
        let mut wire = connect(&theirs);
        assert!(contents(&mut wire) == expected, "{options:?}");
        assert!(wire.ask(&["SAVE"]).expect("an answer").is_status("OK"));
        drop(wire);
        let ours = hand_over_with(theirs, without_log(launch(), &[]), "no");
        assert!(contents(&mut connect(&ours)) == expected, "{options:?}");
    }
}

#[test]
fn a_snapshot_becomes_the_base_of_a_new_log() {
    let Some(redis) = redis() else {
        assert!(may_skip("redis-server"));
        return;
    };
    for preamble in ["no", "yes"] {
        let server = without_log(redis.clone(), &[]).start().expect("it starts");
        let mut wire = connect(&server);
        fill(&mut wire);
        let expected = contents(&mut wire);
        assert!(wire.ask(&["SAVE"]).expect("an answer").is_status("OK"));
        drop(wire);
        let next = launch().option("aof-use-rdb-preamble", preamble);
        let ours = hand_over(server, next);
        let mut wire = connect(&ours);
        assert_eq!(
            contents(&mut wire),
            expected,
            "aof-use-rdb-preamble {preamble}"
        );
        wire.ask(&["SET", "written", "later"]).expect("an answer");
        let expected = contents(&mut wire);
        drop(wire);
        // The snapshot is older than the log by now, and nobody looks at it again.
        let again = hand_over(ours, launch());
        assert!(contents(&mut connect(&again)) == expected);
        let theirs = hand_over(again, redis.clone());
        assert!(contents(&mut connect(&theirs)) == expected);
    }
}

#[test]
fn a_rewritten_log_with_an_rdb_is_loaded_by_both() {
    let Some(redis) = redis() else {
        assert!(may_skip("redis-server"));
        return;
    };
    let server = launch()
        .option("aof-use-rdb-preamble", "yes")
        .start()
        .expect("it starts");
    let mut wire = connect(&server);
    fill(&mut wire);
    wire.ask(&["SET", "soon", "gone", "PX", "1"])
        .expect("an answer");
    wire.ask(&["BGREWRITEAOF"]).expect("an answer");
    assert!(server.wait_for_log(
        "rewrite finished successfully",
        std::time::Duration::from_secs(30)
    ));
    wire.ask(&["RPUSH", "list:1", "after"]).expect("an answer");
    let reply = wire.ask(&["DEBUG", "LOADAOF"]).expect("an answer");
    assert!(reply.is_status("OK"), "{reply:?}");
    let expected = contents(&mut wire);
    assert!(expected.len() > 10);
    drop(wire);
    let again = hand_over(server, launch());
    assert!(contents(&mut connect(&again)) == expected);
    let theirs = hand_over(again, redis);
    assert!(contents(&mut connect(&theirs)) == expected);
}
