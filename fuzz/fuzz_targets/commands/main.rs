//! Random commands of three clients on an engine with a log: no panic, and afterwards what the engine counts is what is
//! there, and a snapshot, the log and a rewritten log each give the same data back.
//! With `SHOW` in the environment each command is told, to see what a crash came from.
#![no_main]

mod bytes;
mod clients;
mod contents;
mod lines;
mod words;

use std::sync::Arc;

use innkeep::{Config, Engine};
use innkeep_aof::SimulatedDisk;
use libfuzzer_sys::fuzz_target;

use bytes::Bytes;
use clients::Clients;
use contents::{check_counts, contents};

/// The clock stands still here at the start, behind the time of whoever loads, so that loading makes nothing run out that
/// had not run out before.
const NOW_MS: i64 = 4_000_000_000_000;
const MOST_COMMANDS: usize = 80;

fn open(disk: &SimulatedDisk, shards: &[u8]) -> Engine {
    let mut config = Config::default();
    let settings: [(&[u8], &[u8]); 8] = [
        (b"appendfsync", b"always"),
        (b"dir", b"/data"),
        (b"databases", b"3"),
        (b"shards", shards),
        (b"auto-aof-rewrite-percentage", b"0"),
        (b"proto-max-bulk-len", b"1mb"),
        (b"enable-debug-command", b"yes"),
        (b"lua-time-limit", b"0"),
    ];
    for (name, value) in settings {
        config.assign(name, value).expect("a valid value");
    }
    Engine::open_on(config, Arc::new(disk.clone())).expect("a disk without faults")
}

fn run(engine: &Engine, words: &[&str]) {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let answer = engine.session().execute(&words);
    assert!(
        !matches!(answer, innkeep::Response::Error(_)),
        "{words:?}: {answer:?}"
    );
}

fuzz_target!(|input: &[u8]| {
    let mut bytes = Bytes::new(input);
    let shards: &[u8] = if bytes.chance(2) { b"1" } else { b"8" };
    let rewrites = bytes.chance(3);
    let disk = SimulatedDisk::new();
    let engine = open(&disk, shards);
    engine.keyspace().set_now_ms(Some(NOW_MS));
    run(&engine, &["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    run(&engine, &["DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "1"]);

    let mut clients = Clients::new(&engine);
    for _ in 0..MOST_COMMANDS {
        if bytes.are_over() {
            break;
        }
        clients.step(&mut bytes);
    }
    clients.leave();

    let now_ms = engine.keyspace().now_ms();
    check_counts(&engine);
    let expected = contents(&engine);
    run(&engine, &["DEBUG", "RELOAD"]);
    assert_eq!(expected, contents(&engine), "the snapshot gives other data");
    check_counts(&engine);
    if rewrites {
        // It is refused where one is under way.
        engine.session().execute(&[b"BGREWRITEAOF"]);
    }
    drop(engine);
    let again = open(&disk, shards);
    again.keyspace().set_now_ms(Some(now_ms));
    assert_eq!(expected, contents(&again), "the log gives other data");
    check_counts(&again);
});
