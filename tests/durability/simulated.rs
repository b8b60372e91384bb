//! The whole engine on the simulated disk: power loss, a full disk, failing writes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use innkeep::config::Config;
use innkeep::engine::Engine;
use innkeep::reply::Response;
use innkeep_aof::{Chance, SimulatedDisk, Storage};

use super::number;

fn open(disk: &SimulatedDisk, policy: &[u8]) -> Engine {
    let mut config = Config::default();
    for (name, value) in [
        (&b"appendfsync"[..], policy),
        (b"dir", b"/data"),
        (b"auto-aof-rewrite-percentage", b"0"),
    ] {
        config.assign(name, value).expect("a valid value");
    }
    Engine::open_on(config, Arc::new(disk.clone())).expect("the log opens")
}

fn run(engine: &Engine, words: &[&str]) -> Response {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    engine.session().execute(&words)
}

#[test]
fn what_was_acknowledged_under_always_survives_a_power_loss() {
    for seed in 0..number("INNKEEP_POWER_ROUNDS", 100) as u64 {
        let mut chance = Chance::new(seed);
        let mut disk = SimulatedDisk::new();
        let mut acknowledged = 0;
        for _ in 0..3 {
            let engine = open(&disk, b"always");
            assert_eq!(
                run(&engine, &["LLEN", "list"]),
                Response::Int(acknowledged),
                "seed {seed}"
            );
            for _ in 0..chance.below(20) {
                assert_eq!(
                    run(&engine, &["RPUSH", "list", "x"]),
                    Response::Int(acknowledged + 1)
                );
                acknowledged += 1;
                if chance.below(10) == 0 {
                    run(&engine, &["BGREWRITEAOF"]);
                }
            }
            disk = disk.crash(chance.below(u64::MAX));
        }
    }
}

/// Removes every file of the log, as somebody does who does not know that it is in use.
fn remove_log(disk: &SimulatedDisk) {
    let directory = Path::new("/data/appendonlydir");
    for name in disk.list(directory).expect("it can be listed") {
        let path = directory.join(name);
        disk.remove(&path).expect("it can be removed");
    }
    disk.sync_directory(directory).expect("it can be synced");
}

#[test]
fn what_is_acknowledged_after_the_log_was_removed_survives_a_power_loss() {
    for seed in 0..number("INNKEEP_REMOVAL_ROUNDS", 10) as u64 {
        let disk = SimulatedDisk::new();
        let engine = open(&disk, b"always");
        let mut length = 0;
        for _ in 0..100 {
            run(&engine, &["RPUSH", "list", &"x".repeat(1000)]);
            length += 1;
        }
        remove_log(&disk);
        // Among them may be those of the first attempt to write the data into another log.
        disk.fail_writes(seed as u32 % 5);
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut acknowledged = 0;
        while acknowledged < 3 {
            match run(&engine, &["RPUSH", "list", "x"]) {
                Response::Int(told) => (length, acknowledged) = (told, acknowledged + 1),
                Response::Error(text) => assert!(text.starts_with("MISCONF "), "{text}"),
                other => panic!("{other:?}"),
            }
            if acknowledged > 0 {
                let again = open(&disk.crash(seed), b"always");
                let found = run(&again, &["LLEN", "list"]);
                assert_eq!(found, Response::Int(length), "seed {seed}");
            }
            assert!(Instant::now() < deadline, "nobody begins another log");
        }
    }
}

/// What is to be found of a stream and its group after a power loss.
#[derive(Debug, Default, PartialEq)]
struct Delivered {
    added: i64,
    read: i64,
    pending: i64,
}

impl Delivered {
    fn found(engine: &Engine) -> Self {
        let number = |words: &[&str]| match run(engine, words) {
            Response::Int(number) => number,
            Response::Array(parts) => parts.first().map_or(0, |first| match first {
                Response::Int(number) => *number,
                _ => 0,
            }),
            _ => 0,
        };
        let Response::Array(groups) = run(engine, &["XINFO", "GROUPS", "stream"]) else {
            return Self::default();
        };
        let read = groups.first().map_or(0, entries_read);
        Self {
            added: number(&["XLEN", "stream"]),
            read,
            pending: number(&["XPENDING", "stream", "group"]),
        }
    }
}

fn entries_read(group: &Response) -> i64 {
    let Response::Array(fields) = group else {
        return 0;
    };
    let is_label = |field: &Response| *field == Response::Bulk(b"entries-read".to_vec());
    let mut fields = fields.iter().skip_while(|field| !is_label(field));
    match fields.nth(1) {
        Some(Response::Int(read)) => *read,
        _ => 0,
    }
}

#[test]
fn streams_and_what_is_pending_survive_a_power_loss() {
    for seed in 0..number("INNKEEP_POWER_ROUNDS", 60) as u64 {
        let mut chance = Chance::new(seed);
        let mut disk = SimulatedDisk::new();
        let mut expected = Delivered::default();
        for _ in 0..3 {
            let engine = open(&disk, b"always");
            assert_eq!(Delivered::found(&engine), expected, "seed {seed}");
            run(
                &engine,
                &["XGROUP", "CREATE", "stream", "group", "0", "MKSTREAM"],
            );
            for _ in 0..chance.below(25) {
                match chance.below(8) {
                    0..4 => {
                        expected.added += 1;
                        let id = format!("{}-0", expected.added);
                        run(&engine, &["XADD", "stream", &id, "field", "value"]);
                    }
                    4..6 if expected.read < expected.added => {
                        let group = ["XREADGROUP", "GROUP", "group", "consumer", "COUNT", "1"];
                        run(&engine, &[&group[..], &["STREAMS", "stream", ">"]].concat());
                        expected.read += 1;
                        expected.pending += 1;
                    }
                    6 if expected.pending > 0 => {
                        let id = (expected.read - expected.pending + 1).to_string();
                        run(&engine, &["XACK", "stream", "group", &id]);
                        expected.pending -= 1;
                    }
                    _ => drop(run(&engine, &["BGREWRITEAOF"])),
                }
            }
            disk = disk.crash(chance.below(u64::MAX));
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_and_recovers_by_itself() {
    let disk = SimulatedDisk::new();
    let engine = open(&disk, b"everysec");
    assert_eq!(
        run(&engine, &["SET", "key", "before"]),
        Response::Simple("OK".into())
    );
    engine.sync_log().expect("there is room");
    disk.set_capacity(Some(disk.used() + 10));
    let deadline = Instant::now() + Duration::from_secs(30);
    let refusal = loop {
        match run(&engine, &["SET", "key", "more"]) {
            Response::Error(text) => break text,
            _ => assert!(
                Instant::now() < deadline,
                "the disk is full and nobody says so"
            ),
        }
    };
    assert!(
        refusal.starts_with("MISCONF") && refusal.contains("No space left on device"),
        "{refusal}"
    );
    assert_eq!(
        run(&engine, &["GET", "key"]),
        Response::Bulk(b"more".to_vec())
    );
    disk.set_capacity(None);
    while matches!(run(&engine, &["SET", "key", "after"]), Response::Error(_)) {
        assert!(
            Instant::now() < deadline,
            "there is room again and writes are still refused"
        );
    }
    drop(engine);
    assert_eq!(
        run(&open(&disk, b"everysec"), &["GET", "key"]),
        Response::Bulk(b"after".to_vec())
    );
}

#[test]
fn a_failing_fsync_acknowledges_nothing_that_is_not_on_disk() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new();
        let engine = open(&disk, b"always");
        run(&engine, &["RPUSH", "list", "0"]);
        disk.fail_syncs(2);
        for number in 1..5 {
            run(&engine, &["RPUSH", "list", &number.to_string()]);
        }
        let Response::Int(length) = run(&engine, &["LLEN", "list"]) else {
            panic!("a length")
        };
        let after = open(&disk.crash(seed), b"always");
        assert_eq!(
            run(&after, &["LLEN", "list"]),
            Response::Int(length),
            "seed {seed}"
        );
    }
}

#[test]
fn a_flipped_bit_before_the_last_sync_is_found() {
    for seed in 0..50 {
        let disk = SimulatedDisk::new();
        let engine = open(&disk, b"always");
        for number in 0..20 {
            run(
                &engine,
                &[
                    "SET",
                    &format!("key:{number}"),
                    "some value that is long enough",
                ],
            );
        }
        drop(engine);
        let mut chance = Chance::new(seed);
        let path = std::path::Path::new("/data/appendonlydir/appendonly.aof.1.incr.aof");
        let flipped = disk.flip_bit(path, chance.below(1500), chance.below(8) as u8);
        assert!(flipped, "the log is longer than that");
        let mut config = Config::default();
        config.assign(b"dir", b"/data").expect("a valid value");
        let error = Engine::open_on(config, Arc::new(disk))
            .expect_err("damaged data is not loaded")
            .to_string();
        assert!(error.contains("appendonly.aof.1.incr.aof"), "{error}");
    }
}
