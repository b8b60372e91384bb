//! Fields of hashes that run out: they survive power loss and rewrites with their times, what ran out stays out, and data
//! directories and payloads move between innkeep and a redis-server that knows such fields.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use innkeep::config::Config;
use innkeep::engine::Engine;
use innkeep::reply::Response;
use innkeep_aof::{Chance, SimulatedDisk};
use innkeep_test_server::wire::{Reply, Wire};
use innkeep_test_server::{Launch, Server};

use super::interchange::hand_over_with;
use super::{connect, launch, number};

const FAR: u64 = 4_000_000_000_000;

fn open(disk: &SimulatedDisk, preamble: bool) -> Engine {
    let mut config = Config::default();
    for (name, value) in [
        (&b"appendfsync"[..], &b"always"[..]),
        (b"dir", b"/data"),
        (b"auto-aof-rewrite-percentage", b"0"),
        (b"hash-max-listpack-entries", b"6"),
        (
            b"aof-use-rdb-preamble",
            if preamble { b"yes" } else { b"no" },
        ),
    ] {
        config.assign(name, value).expect("a valid value");
    }
    Engine::open_on(config, Arc::new(disk.clone())).expect("the log opens")
}

fn run(engine: &Engine, words: &[&str]) -> Response {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    engine.session().execute(&words)
}

type Times = BTreeMap<String, Option<u64>>;

/// One random change of the hash `h`, and what it makes of it.
fn change(engine: &Engine, model: &mut Times, chance: &mut Chance) {
    let field = format!("field{}", chance.below(12));
    let at = FAR + chance.below(5);
    let time = at.to_string();
    let known = model.contains_key(&field);
    match chance.below(10) {
        0..3 => {
            run(
                engine,
                &["HSETEX", "h", "PXAT", &time, "FIELDS", "1", &field, "v"],
            );
            model.insert(field, Some(at));
        }
        3..5 => {
            run(engine, &["HSET", "h", &field, "v"]);
            model.insert(field, None);
        }
        5 if known => {
            run(engine, &["HPEXPIREAT", "h", &time, "FIELDS", "1", &field]);
            model.insert(field, Some(at));
        }
        6 if known => {
            run(engine, &["HPERSIST", "h", "FIELDS", "1", &field]);
            model.insert(field, None);
        }
        7 => {
            run(engine, &["HPEXPIRE", "h", "0", "FIELDS", "1", &field]);
            model.remove(&field);
        }
        8 => {
            run(engine, &["HINCRBYFLOAT", "h", "counted", "0.5"]);
            model.entry("counted".into()).or_default();
        }
        9 => drop(run(engine, &["BGREWRITEAOF"])),
        _ => {
            run(engine, &["HDEL", "h", &field]);
            model.remove(&field);
        }
    }
}

fn found(engine: &Engine) -> Times {
    let Response::Array(fields) = run(engine, &["HKEYS", "h"]) else {
        return Times::new();
    };
    let time = |field: &Response| {
        let Response::Bulk(name) = field else {
            panic!("a field is a string: {field:?}");
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let answer = run(engine, &["HPEXPIRETIME", "h", "FIELDS", "1", &name]);
        let Response::Array(times) = answer else {
            panic!("times are an array: {answer:?}");
        };
        match times.first() {
            Some(Response::Int(time)) => (name, u64::try_from(*time).ok()),
            other => panic!("a time is a number: {other:?}"),
        }
    };
    fields.iter().map(time).collect()
}

#[test]
fn times_of_fields_survive_a_power_loss() {
    for seed in 0..number("INNKEEP_POWER_ROUNDS", 60) as u64 {
        let mut chance = Chance::new(seed);
        let mut disk = SimulatedDisk::new();
        let mut model = Times::new();
        for life in 0..3 {
            let engine = open(&disk, (seed + life) % 2 == 0);
            assert_eq!(found(&engine), model, "seed {seed}, life {life}");
            for _ in 0..chance.below(40) {
                change(&engine, &mut model, &mut chance);
            }
            assert_eq!(found(&engine), model, "seed {seed}, life {life}");
            disk = disk.crash(chance.below(u64::MAX));
        }
    }
}

fn until(what: &str, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !reached() {
        assert!(Instant::now() < deadline, "{what} was not reached");
        std::thread::yield_now();
    }
}

/// Nobody reads the hash: the background thread finds what is due, before the crash or after it.
#[test]
fn what_ran_out_stays_out() {
    for preamble in [false, true] {
        let disk = SimulatedDisk::new();
        let engine = open(&disk, preamble);
        run(
            &engine,
            &["HSETEX", "h", "PX", "1", "FIELDS", "2", "a", "1", "b", "2"],
        );
        until("the end of h", || {
            run(&engine, &["EXISTS", "h"]) == Response::Int(0)
        });
        run(&engine, &["HSET", "h", "b", "3"]);
        run(
            &engine,
            &["HSETEX", "later", "PX", "40", "FIELDS", "1", "a", "1"],
        );
        run(&engine, &["BGREWRITEAOF"]);
        let disk = disk.crash(7);
        drop(engine);
        let engine = open(&disk, preamble);
        let expected: Times = [("b".to_owned(), None)].into();
        assert_eq!(found(&engine), expected);
        until("the end of later", || {
            run(&engine, &["EXISTS", "later"]) == Response::Int(0)
        });
        let engine = open(&disk.crash(9), preamble);
        until("the end of later", || {
            run(&engine, &["EXISTS", "later"]) == Response::Int(0)
        });
        assert_eq!(found(&engine), expected);
    }
}

// ------------------------------------------------------------------------------------------------ beside another server

fn fill(wire: &mut Wire) {
    let mut run = |words: &[&str]| {
        let reply = wire.ask(words).expect("an answer");
        assert!(!reply.is_error(), "{words:?}: {reply:?}");
    };
    for index in 0..300_u64 {
        let (field, time) = (format!("field{index}"), (FAR + index * 7919).to_string());
        let hash = if index < 200 { "large" } else { "larger" };
        run(&["HSET", hash, &field, &index.to_string()]);
        if index % 3 > 0 {
            run(&["HPEXPIREAT", hash, &time, "FIELDS", "1", &field]);
        }
    }
    run(&[
        "HSET",
        "small",
        "a",
        "1",
        "b",
        "text",
        "c",
        "-70000",
        "\u{e9}\r\n\0",
        "x",
    ]);
    run(&[
        "HPEXPIREAT",
        "small",
        "4000000000001",
        "FIELDS",
        "2",
        "c",
        "a",
    ]);
    run(&["HSET", "persisted", "a", "1", "b", "2"]);
    run(&["HEXPIRE", "persisted", "1000", "FIELDS", "1", "a"]);
    run(&["HPERSIST", "persisted", "FIELDS", "1", "a"]);
    run(&[
        "HSETEX",
        "both",
        "EXAT",
        "4000000000",
        "FIELDS",
        "1",
        "a",
        "1",
    ]);
    run(&["PEXPIREAT", "both", "4000000000002"]);
    run(&["HSET", "plain", "a", "1"]);
    run(&["HSETEX", "soon", "PX", "1", "FIELDS", "1", "a", "1"]);
}

/// Every hash with its fields in an order of its own, and when they and it run out; but for `soon`, which may be gone or
/// not.
fn contents(wire: &mut Wire) -> BTreeMap<String, (Reply, Vec<Vec<Reply>>)> {
    let keys = wire.ask(&["KEYS", "*"]).expect("an answer");
    let mut all = BTreeMap::new();
    for key in keys.items() {
        let key = String::from_utf8_lossy(key.bytes()).into_owned();
        let fields = wire.ask(&["HGETALL", &key]).expect("an answer");
        let mut told = Vec::new();
        for pair in fields.items().chunks(2) {
            let field = String::from_utf8_lossy(pair[0].bytes()).into_owned();
            let time = wire.ask(&["HPEXPIRETIME", &key, "FIELDS", "1", &field]);
            told.push([pair, &[time.expect("an answer")]].concat());
        }
        told.sort();
        let expiry = wire.ask(&["PEXPIRETIME", &key]).expect("an answer");
        if key != "soon" {
            all.insert(key, (expiry, told));
        }
    }
    all
}

fn start(launch: Launch, preamble: &str, log: &str) -> Server {
    let launch = launch.option("aof-use-rdb-preamble", preamble);
    let server = launch.option("appendonly", log).start();
    server.expect("the server starts")
}

/// Has the log rewritten, or a snapshot written.
fn settle(server: &Server, wire: &mut Wire, log: &str) {
    if log == "no" {
        assert!(wire.ask(&["SAVE"]).expect("an answer").is_status("OK"));
        return;
    }
    wire.ask(&["BGREWRITEAOF"]).expect("an answer");
    let limit = Duration::from_secs(30);
    assert!(server.wait_for_log("rewrite finished successfully", limit));
    let words = [
        "HSETEX",
        "after",
        "PXAT",
        "4000000000003",
        "FIELDS",
        "1",
        "a",
        "1",
    ];
    wire.ask(&words).expect("an answer");
}

#[test]
fn a_newer_redis_loads_our_log_as_it_was_written() {
    let Some(redis) = Launch::newer_redis() else {
        return;
    };
    let server = start(launch(), "no", "yes");
    let mut wire = connect(&server);
    fill(&mut wire);
    let expected = contents(&mut wire);
    drop(wire);
    let server = hand_over_with(server, redis, "yes");
    assert_eq!(contents(&mut connect(&server)), expected);
}

#[test]
fn directories_move_to_a_newer_redis_and_back() {
    let Some(redis) = Launch::newer_redis() else {
        return;
    };
    for (preamble, log) in [("no", "yes"), ("yes", "yes"), ("no", "no")] {
        let orders = [(launch(), redis.clone()), (redis.clone(), launch())];
        for (first, second) in orders {
            let server = start(first, preamble, log);
            let mut wire = connect(&server);
            fill(&mut wire);
            settle(&server, &mut wire, log);
            let expected = contents(&mut wire);
            assert!(expected.len() >= 6);
            drop(wire);
            let what = format!("{second:?}, preamble {preamble}, log {log}");
            let server = hand_over_with(server, second, log);
            assert_eq!(contents(&mut connect(&server)), expected, "{what}");
        }
    }
}

fn copy_payloads(from: &mut Wire, to: &mut Wire, keys: impl Iterator<Item = String>) {
    for key in keys {
        let payload = from.ask(&["DUMP", &key]).expect("an answer");
        let restore = [b"RESTORE", key.as_bytes(), b"0", payload.bytes()];
        to.send([restore.map(<[u8]>::to_vec).as_slice()])
            .expect("it is sent");
        let answer = to.receive().expect("an answer");
        assert!(answer.is_status("OK"), "{key}: {answer:?}");
    }
}

#[test]
fn payloads_move_to_a_newer_redis_and_back() {
    let Some(redis) = Launch::newer_redis() else {
        return;
    };
    for entries in ["128", "0"] {
        for (first, second) in [(launch(), redis.clone()), (redis.clone(), launch())] {
            let [first, second] = [first, second].map(|launch| {
                let launch = launch.option("hash-max-listpack-entries", entries);
                start(launch, "no", "no")
            });
            let (mut from, mut to) = (connect(&first), connect(&second));
            fill(&mut from);
            let fields = |wire: &mut Wire| {
                let keys = contents(wire).into_iter();
                keys.map(|(key, (_, fields))| (key, fields))
                    .collect::<BTreeMap<_, _>>()
            };
            let expected = fields(&mut from);
            copy_payloads(&mut from, &mut to, expected.keys().cloned());
            assert_eq!(fields(&mut to), expected, "{entries} entries");
        }
    }
}
