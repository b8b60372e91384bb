//! This server as the replica of another: of a real redis-server, of one like itself, and of one that sends rubbish.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use innkeep_test_server::wire::{Reply, Wire};
use innkeep_test_server::{Launch, Server, may_skip};

/// The longest that a link may take, with a debug build on a busy machine in mind.
const PATIENCE: Duration = Duration::from_secs(60);

fn ask(wire: &mut Wire, line: &str) -> Reply {
    let words: Vec<&str> = line.split(' ').collect();
    wire.ask(&words).expect("the server answers")
}

fn text(wire: &mut Wire, line: &str) -> String {
    String::from_utf8_lossy(ask(wire, line).bytes()).into_owned()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to that: {what}");
        std::thread::yield_now();
    }
}

fn until_told(wire: &mut Wire, line: &str, words: &str) {
    until(words, || text(wire, line).contains(words));
}

fn follow(wire: &mut Wire, primary: &Server) {
    let answer = ask(wire, &format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    assert!(answer.is_status("OK"), "{answer:?}");
    until_told(wire, "INFO replication", "master_link_status:up");
}

/// Waits until the replica has everything.
fn settle(primary: &mut Wire) {
    assert_eq!(ask(primary, "WAIT 1 60000").int(), Some(1));
}

fn assert_same(one: &mut Wire, other: &mut Wire) {
    assert_eq!(text(one, "DEBUG DIGEST"), text(other, "DEBUG DIGEST"));
}

/// Something of every type, in two databases.
fn fill(wire: &mut Wire) {
    for line in [
        "SET string value",
        "SET number 17",
        "SET leaving soon EX 1000",
        "RPUSH list a b c",
        "SADD set x y z",
        "SADD numbers 1 2 3",
        "HSET hash field value other 7",
        "ZADD scores 1.5 one 2 two",
        "XADD stream 1-1 field value",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group consumer STREAMS stream >",
        "PFADD counted a b c",
        "SETBIT bits 1000 1",
        "SELECT 3",
        "SET there too",
        "SELECT 0",
    ] {
        assert!(!ask(wire, line).is_error(), "{line}");
    }
    for number in 0..600 {
        ask(wire, &format!("RPUSH long element:{number}"));
        ask(wire, &format!("HSET large field:{number} {number}"));
    }
    let library = "#!lua name=library\nredis.register_function('seven', function() return 7 end)";
    let loaded = wire.ask(&["FUNCTION", "LOAD", library]);
    assert!(!loaded.expect("the server answers").is_error());
}

/// Changes of many kinds.
fn change(wire: &mut Wire) {
    for line in [
        "INCR number",
        "LPOP list",
        "SREM set x",
        "HDEL hash field",
        "ZINCRBY scores 3 one",
        "XACK stream group 1-1",
        "RENAME string renamed",
        "SELECT 3",
        "APPEND there more",
        "SELECT 0",
        "MULTI",
        "SET a 1",
        "SELECT 3",
        "SET b 2",
        "EXEC",
        "SET c 3",
        "SELECT 0",
        "SPOP numbers",
        "EXPIRE renamed 500",
    ] {
        assert!(!ask(wire, line).is_error(), "{line}");
    }
    let script = "redis.call('incr', 'x') return redis.call('incr', 'y')";
    let ran = wire.ask(&["EVAL", script, "0"]);
    assert!(!ran.expect("the server answers").is_error());
}

fn follows(primary: &Server, replica: &Server) {
    let (mut theirs, mut ours) = (crate::connect(primary), crate::connect(replica));
    fill(&mut theirs);
    ask(&mut ours, "SET old data");
    follow(&mut ours, primary);
    settle(&mut theirs);
    assert_same(&mut theirs, &mut ours);
    assert_eq!(ask(&mut ours, "FUNCTION LIST").items().len(), 1);
    assert_eq!(ask(&mut ours, "EXISTS old").int(), Some(0));
    change(&mut theirs);
    settle(&mut theirs);
    assert_same(&mut theirs, &mut ours);

    // A link that breaks goes on where it was.
    let full = text(&mut theirs, "INFO stats").contains("sync_full:1");
    assert!(full);
    for (wire, kind) in [(0, "replica"), (1, "master")] {
        let wire = if wire == 0 { &mut theirs } else { &mut ours };
        assert_eq!(
            ask(wire, &format!("CLIENT KILL TYPE {kind}")).int(),
            Some(1)
        );
        ask(&mut theirs, "INCR number");
        settle(&mut theirs);
        assert_same(&mut theirs, &mut ours);
    }
    let stats = text(&mut theirs, "INFO stats");
    assert!(
        stats.contains("sync_full:1\r\nsync_partial_ok:2\r\n"),
        "{stats}"
    );
}

#[test]
fn a_real_server_is_followed() {
    let Some(real) = Launch::redis() else {
        assert!(may_skip("redis-server"));
        return;
    };
    for diskless in ["yes", "no"] {
        let real = real.clone().option("repl-diskless-sync", diskless);
        let primary = real.option("repl-diskless-sync-delay", "0").start();
        follows(&primary.expect("a redis-server starts"), &crate::server());
    }
}

#[test]
fn a_server_like_ourselves_is_followed() {
    follows(&crate::server(), &crate::server());
}

#[test]
fn fields_that_run_out_come_along() {
    let newer = Launch::newer_redis().map(|newer| {
        let newer = newer.option("repl-diskless-sync-delay", "0");
        newer.start().expect("a redis-server starts")
    });
    for primary in newer.into_iter().chain([crate::server()]) {
        let replica = crate::server();
        let (mut theirs, mut ours) = (crate::connect(&primary), crate::connect(&replica));
        ask(&mut theirs, "HSET hash a 1 b 2 c 3");
        let set = ask(&mut theirs, "HPEXPIRE hash 1000000 FIELDS 2 a b");
        assert_eq!(set.items().len(), 2, "{set:?}");
        follow(&mut ours, &primary);
        settle(&mut theirs);
        ask(&mut theirs, "HPEXPIRE hash 2000000 FIELDS 1 c");
        settle(&mut theirs);
        let at = "HPEXPIRETIME hash FIELDS 3 a b c";
        assert_eq!(ask(&mut theirs, at), ask(&mut ours, at));
    }
}

#[test]
fn replicas_of_replicas_go_on_when_the_one_between_is_promoted() {
    let (first, second, third) = (crate::server(), crate::server(), crate::server());
    let mut wires = [&first, &second, &third].map(crate::connect);
    let [one, two, three] = &mut wires;
    ask(one, "SELECT 5");
    ask(one, "SET a 1");
    follow(two, &first);
    ask(one, "SET b 2");
    settle(one);
    follow(three, &second);
    ask(one, "INCR n");
    until("three has it", || {
        ask(three, "SELECT 5");
        text(three, "GET n") == "1"
    });
    assert!(ask(two, "REPLICAOF NO ONE").is_status("OK"));
    ask(two, "SELECT 5");
    ask(two, "INCR n");
    until("three goes on", || text(three, "GET n") == "2");
    // The one that was followed follows: it knows the stream too.
    follow(one, &second);
    until("one has it", || text(one, "GET n") == "2");
    assert_same(two, three);
    assert_same(two, one);
    let stats = text(two, "INFO stats");
    assert!(
        stats.contains("sync_full:1\r\nsync_partial_ok:2\r\n"),
        "{stats}"
    );
}

#[test]
fn clients_of_a_replica_read_only() {
    const READ_ONLY: &str = "READONLY You can't write against a read only replica.";
    let (primary, replica) = (crate::server(), crate::server());
    let mut ours = crate::connect(&replica);
    let mut waiting = crate::connect(&replica);
    let words = ["BLPOP", "queue", "0"].map(|word| word.as_bytes().to_vec());
    waiting.send([words.as_slice()]).expect("the server reads");
    until_told(&mut ours, "INFO clients", "blocked_clients:1");
    follow(&mut ours, &primary);
    let unblocked = waiting.receive().expect("the server answers");
    assert!(unblocked.bytes().starts_with(b"UNBLOCKED force unblock"));
    assert!(waiting.receive().is_err(), "it was closed");

    assert_eq!(text(&mut ours, "SET a 1"), READ_ONLY);
    ask(&mut ours, "MULTI");
    assert_eq!(text(&mut ours, "SET a 1"), READ_ONLY);
    let discarded = "EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(text(&mut ours, "EXEC"), discarded);
    let write = ["EVAL", "return redis.call('set', 'a', '1')", "0"];
    let refused = ours.ask(&write).expect("the server answers");
    assert!(refused.bytes().starts_with(READ_ONLY.as_bytes()));
    let wait = text(&mut ours, "WAIT 0 0");
    assert!(wait.starts_with("ERR WAIT cannot be used with replica instances"));
    assert!(text(&mut ours, "CLIENT LIST TYPE master").contains(" flags=M "));

    ask(&mut ours, "CONFIG SET replica-read-only no");
    assert!(ask(&mut ours, "SET a 1").is_status("OK"));
    ask(&mut ours, "CONFIG SET replica-serve-stale-data no");
    drop(primary);
    until("it is down", || {
        text(&mut ours, "GET a").starts_with("MASTERDOWN")
    });
    assert!(ask(&mut ours, "REPLICAOF NO ONE").is_status("OK"));
    assert_eq!(text(&mut ours, "GET a"), "1");
}

#[test]
fn keys_leave_a_replica_when_the_primary_says_so() {
    let (primary, replica) = (crate::server(), crate::server());
    let (mut theirs, mut ours) = (crate::connect(&primary), crate::connect(&replica));
    ask(&mut theirs, "DEBUG SET-ACTIVE-EXPIRE 0");
    follow(&mut ours, &primary);
    ask(&mut theirs, "SET key value PX 1");
    settle(&mut theirs);
    until("it has expired", || text(&mut ours, "GET key").is_empty());
    assert_eq!(ask(&mut ours, "DBSIZE").int(), Some(1));
    assert_eq!(ask(&mut ours, "EXISTS key").int(), Some(0));
    assert_eq!(ask(&mut theirs, "EXISTS key").int(), Some(0));
    settle(&mut theirs);
    assert_eq!(ask(&mut ours, "DBSIZE").int(), Some(0));
}

#[test]
fn a_replica_that_is_killed_loads_what_it_had_and_follows_again() {
    let primary = crate::server();
    let mut theirs = crate::connect(&primary);
    fill(&mut theirs);
    let launch = crate::launch()
        .option("appendonly", "yes")
        .option("appendfsync", "always")
        .option("replicaof", &format!("127.0.0.1 {}", primary.port()));
    let mut replica = launch.start().expect("the server starts");
    for round in 0..3 {
        let mut ours = crate::connect(&replica);
        if round == 1 {
            // In the middle of it.
            change(&mut theirs);
        } else {
            until_told(&mut ours, "INFO replication", "master_link_status:up");
            until_told(&mut ours, "INFO persistence", "aof_rewrite_in_progress:0");
            ask(&mut theirs, "INCR rounds");
            settle(&mut theirs);
            assert_same(&mut theirs, &mut ours);
        }
        replica = replica.restart().expect("the server starts again");
    }
    let mut ours = crate::connect(&replica);
    until_told(&mut ours, "INFO replication", "master_link_status:up");
    settle(&mut theirs);
    assert_same(&mut theirs, &mut ours);
    assert!(ask(&mut ours, "REPLICAOF NO ONE").is_status("OK"));
    assert_same(&mut theirs, &mut ours);
}

// ------------------------------------------------------------------------------------------------ hostile primaries

const NAME: &str = "0123456789abcdef0123456789abcdef01234567";
/// An RDB without keys and without a checksum.
const EMPTY: &[u8] = b"REDIS0009\xff\0\0\0\0\0\0\0\0";

/// Answers a replica's introduction, then says this.
fn play(stream: &TcpStream, says: &[u8]) {
    let mut lines = BufReader::new(stream);
    let mut out = stream;
    let mut say = |bytes: &[u8]| drop(out.write_all(bytes));
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        match line.trim_end() {
            "PING" => say(b"+PONG\r\n"),
            "REPLCONF" => say(b"+OK\r\n"),
            "PSYNC" => break,
            _ => {}
        }
    }
    say(says);
}

#[test]
fn a_primary_that_sends_rubbish_changes_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let replica = crate::server();
    let mut ours = crate::connect(&replica);
    ask(&mut ours, "SET old data");
    let answer = ask(&mut ours, &format!("REPLICAOF 127.0.0.1 {port}"));
    assert!(answer.is_status("OK"));
    let full = format!("+FULLRESYNC {NAME} 7\r\n").into_bytes();
    let after = |rest: &[u8]| [&full, rest].concat();
    let mut damaged = EMPTY.to_vec();
    damaged[5] = b'x';
    let endless = vec![b'x'; 1 << 20];
    let plays: Vec<Vec<u8>> = vec![
        b"-ERR no\r\n".to_vec(),
        b"+CONTINUE\r\n*1\r\n".to_vec(),
        b"\0\x01\x02rubbish\r\n".to_vec(),
        endless.clone(),
        after(b""),
        after(b"-ERR no snapshot\r\n"),
        after(b"$-7\r\n"),
        after(b"$9223372036854775807\r\nREDIS0009"),
        after(b"$18\r\nREDIS0009"),
        after(&[b"$18\r\n".as_slice(), &damaged].concat()),
        after(&[b"$1048576\r\n".as_slice(), &endless].concat()),
        after(&[b"$EOF:".as_slice(), NAME.as_bytes(), b"\r\n", &endless].concat()),
        after(
            &[
                b"$EOF:".as_slice(),
                NAME.as_bytes(),
                b"\r\n",
                NAME.as_bytes(),
            ]
            .concat(),
        ),
    ];
    for says in &plays {
        let (stream, _) = listener.accept().expect("the replica comes");
        play(&stream, says);
        drop(stream);
        assert_eq!(text(&mut ours, "GET old"), "data");
    }
    // A snapshot at last, and then a stream that is none.
    let snapshot = after(&[b"\n\n$18\r\n".as_slice(), EMPTY].concat());
    for stream in [
        b"hello\r\n".as_slice(),
        b"*2000000000\r\n$3\r\nSET\r\n",
        b"*1\r\n$1073741824000\r\n",
        b"*3\r\n$3\r\nSET\r\n:1\r\n",
        b"*1\r\n$4\r\nNONE\r\n*2\r\n$3\r\nSET\r\n$1\r\na\r\n*1\r\n$4\r\nEXEC\r\n*1\r\n$5\r\nMULTI\r\n",
    ] {
        let (mut connection, _) = listener.accept().expect("the replica comes");
        play(&connection, &[&snapshot, stream].concat());
        // It says how far it is, once it has loaded the snapshot.
        let mut said = [0; 14];
        connection.read_exact(&mut said).expect("the replica acknowledges");
        assert_eq!(&said, b"*3\r\n$8\r\nREPLCO");
        drop(connection);
        assert_eq!(ask(&mut ours, "DBSIZE").int(), Some(0));
    }
    assert!(ask(&mut ours, "REPLICAOF NO ONE").is_status("OK"));
    assert!(ask(&mut ours, "SET new data").is_status("OK"));
    let left = std::fs::read_dir(replica.directory()).expect("it is there");
    let names = left.map(|entry| entry.expect("it is there").file_name());
    let temporary = names.filter(|name| name.to_string_lossy().starts_with("temp-"));
    assert_eq!(temporary.count(), 0);
}
