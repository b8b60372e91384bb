//! Snapshots: that of one moment while others write, at a power loss, when they fail, and when they are damaged.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use innkeep::commands::Shutdown;
use innkeep::config::Config;
use innkeep::engine::Engine;
use innkeep::reply::Response;
use innkeep_aof::{SimulatedDisk, Storage};
use innkeep_test_server::Server;

use super::{connect, launch};

const PATIENCE: Duration = Duration::from_secs(30);

fn config(directory: &Path, log: &[u8]) -> Config {
    let mut config = Config::default();
    let directory = directory.to_str().expect("a plain path");
    for (name, value) in [
        (&b"appendonly"[..], log),
        (b"dir", directory.as_bytes()),
        (b"enable-debug-command", b"yes"),
    ] {
        config.assign(name, value).expect("a valid value");
    }
    config
}

fn run(engine: &Engine, words: &[&str]) -> Response {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    engine.session().execute(&words)
}

fn digest(engine: &Engine) -> Response {
    run(engine, &["DEBUG", "DIGEST"])
}

/// Pairs of keys, mostly in different shards, that always change together.
fn write_pairs(engine: &Engine, stop: &AtomicBool, writer: usize) {
    let mut session = engine.session();
    for round in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let pair = round * 7 % 300;
        let (one, other) = (format!("a:{writer}:{pair}"), format!("b:{writer}:{pair}"));
        let value = round.to_string();
        let words: [&[u8]; 5] = [
            b"MSET",
            one.as_bytes(),
            value.as_bytes(),
            other.as_bytes(),
            value.as_bytes(),
        ];
        assert_eq!(session.execute(&words), Response::Simple("OK".into()));
        if round % 1000 == 0 {
            session.execute(&[b"SWAPDB", b"0", b"1"]);
        }
    }
}

fn assert_pairs(engine: &Engine) {
    for db in ["0", "1"] {
        let mut session = engine.session();
        session.execute(&[b"SELECT", db.as_bytes()]);
        let Response::Array(keys) = session.execute(&[b"KEYS", b"a:*"]) else {
            panic!("no keys");
        };
        for key in keys {
            let Response::Bulk(one) = key else {
                panic!("{key:?}");
            };
            let other = [b"b", one.get(1..).expect("it has a prefix")].concat();
            let values = (
                session.execute(&[b"GET", &one]),
                session.execute(&[b"GET", &other]),
            );
            assert_eq!(values.0, values.1, "{}", one.escape_ascii());
        }
    }
}

#[test]
fn a_snapshot_is_of_one_moment_while_others_write() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(config(directory.path(), b"no")).expect("it opens");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (engine, stop) = (&engine, &stop);
            scope.spawn(move || write_pairs(engine, stop, writer));
        }
        for _ in 0..8 {
            let saves = run(&engine, &["LASTSAVE"]);
            assert!(matches!(saves, Response::Int(_)));
            let started = run(&engine, &["BGSAVE"]);
            assert_eq!(
                started,
                Response::Simple("Background saving started".into())
            );
            while engine.services().stats.saving_since.load(Ordering::Acquire) != 0 {
                std::thread::yield_now();
            }
            let other = Engine::open(config(directory.path(), b"no")).expect("it loads");
            assert_pairs(&other);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(run(&engine, &["SAVE"]), Response::Simple("OK".into()));
    let other = Engine::open(config(directory.path(), b"no")).expect("it loads");
    assert_eq!(digest(&other), digest(&engine));
}

/// An import is interrupted at every operation of the disk; whoever comes then still finds everything.
#[test]
fn an_interrupted_import_loses_nothing() {
    let directory = Path::new("/data");
    let disk = SimulatedDisk::new();
    let storage = |disk: &SimulatedDisk| -> Arc<dyn Storage> { Arc::new(disk.clone()) };
    disk.create_directory(directory).expect("room");
    let engine = Engine::open_on(config(directory, b"no"), storage(&disk)).expect("it opens");
    for number in 0..2000 {
        run(&engine, &["SET", &format!("key:{number}"), "value"]);
    }
    assert_eq!(run(&engine, &["SAVE"]), Response::Simple("OK".into()));
    let expected = digest(&engine);
    drop(engine);
    for operations in 0.. {
        let twin = disk.crash(operations);
        twin.power_off_after(operations);
        let imported = Engine::open_on(config(directory, b"yes"), storage(&twin)).is_ok();
        let again = twin.crash(operations);
        let engine = Engine::open_on(config(directory, b"yes"), storage(&again)).expect("it opens");
        assert_eq!(digest(&engine), expected, "after {operations} operations");
        if imported {
            break;
        }
    }
}

fn field(server: &Server, name: &str) -> String {
    let reply = connect(server).ask(&["INFO", "persistence"]);
    let info = String::from_utf8_lossy(reply.expect("an answer").bytes()).into_owned();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("INFO has the field").to_owned()
}

#[test]
fn a_failing_snapshot_refuses_writes_until_one_succeeds() {
    let server = launch()
        .option("appendonly", "no")
        .option("save", "3600 1000")
        .start()
        .expect("it starts");
    let path = server.directory().join("dump.rdb");
    std::fs::create_dir(&path).expect("there is none yet");
    let mut wire = connect(&server);
    let mut ask = |words: &[&str]| wire.ask(words).expect("an answer");
    assert!(ask(&["SET", "a", "1"]).is_status("OK"));
    assert!(ask(&["SAVE"]).is_error());
    assert!(ask(&["BGSAVE"]).is_status("Background saving started"));
    assert!(server.wait_for_log("Background saving error", PATIENCE));
    while field(&server, "rdb_last_bgsave_status") != "err" {
        std::thread::yield_now();
    }
    let refused = ask(&["SET", "a", "2"]);
    assert!(format!("{refused:?}").contains("MISCONF Redis is configured to save RDB snapshots"));
    assert!(ask(&["GET", "a"]).bytes() == b"1");
    assert!(ask(&["SHUTDOWN"]).is_error());
    assert!(ask(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]).is_status("OK"));
    assert!(ask(&["SET", "a", "3"]).is_status("OK"));
    assert!(ask(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "yes"]).is_status("OK"));
    assert!(ask(&["SET", "a", "4"]).is_error());
    std::fs::remove_dir(&path).expect("it is empty");
    assert_eq!(field(&server, "rdb_changes_since_last_save"), "2");
    assert!(ask(&["SAVE"]).is_status("OK"));
    assert!(ask(&["SET", "a", "5"]).is_status("OK"));
    assert_eq!(field(&server, "rdb_changes_since_last_save"), "1");
}

#[test]
fn save_points_and_the_end_of_the_server_save() {
    let server = launch()
        .option("appendonly", "no")
        .option("save", "1 3")
        .start()
        .expect("it starts");
    let mut wire = connect(&server);
    for number in 0..3 {
        let key = format!("key:{number}");
        assert!(
            wire.ask(&["SET", &key, "1"])
                .expect("an answer")
                .is_status("OK")
        );
    }
    assert!(server.wait_for_log("Background saving terminated with success", PATIENCE));
    while field(&server, "rdb_changes_since_last_save") != "0" {
        std::thread::yield_now();
    }
    assert!(
        wire.ask(&["SET", "last", "1"])
            .expect("an answer")
            .is_status("OK")
    );
    let mut server = server;
    drop(wire.ask(&["SHUTDOWN"]));
    server.wait_for_exit(PATIENCE).expect("it ends");
    let engine = Engine::open(config(server.directory(), b"no")).expect("it loads");
    assert_eq!(run(&engine, &["DBSIZE"]), Response::Int(4));
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(config(directory.path(), b"no")).expect("it opens");
    run(&engine, &["SET", "key", "a value of some length"]);
    assert_eq!(run(&engine, &["SAVE"]), Response::Simple("OK".into()));
    let path = directory.path().join("dump.rdb");
    let sound = std::fs::read(&path).expect("it was written");
    for at in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&path, &damaged).expect("room");
        for log in [&b"no"[..], b"yes"] {
            let error = Engine::open(config(directory.path(), log)).expect_err("it is damaged");
            assert!(error.to_string().contains("dump.rdb"), "{error}");
        }
        let reloaded = run(&engine, &["DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE"]);
        let text = "ERR Error trying to load the RDB dump, check server logs.";
        assert_eq!(reloaded, Response::Error(text.into()));
    }
    std::fs::write(&path, &sound[..sound.len() - 3]).expect("room");
    Engine::open(config(directory.path(), b"no")).expect_err("it is torn");
    std::fs::write(&path, &sound).expect("room");
    let again = Engine::open(config(directory.path(), b"no")).expect("it is sound");
    assert_eq!(run(&again, &["DBSIZE"]), Response::Int(1));
}

#[test]
fn debug_reload_takes_its_options() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(config(directory.path(), b"yes")).expect("it opens");
    let reload = |options: &[&str]| run(&engine, &[&["DEBUG", "RELOAD"], options].concat());
    let ok = Response::Simple("OK".into());
    run(&engine, &["MSET", "a", "1", "b", "2"]);
    assert_eq!(reload(&[]), ok);
    run(&engine, &["MSET", "a", "9", "c", "3"]);
    assert_eq!(reload(&["NOSAVE", "NOFLUSH", "MERGE"]), ok);
    let values = run(&engine, &["MGET", "a", "b", "c"]);
    let bulk = |text: &str| Response::Bulk(text.into());
    assert_eq!(
        values,
        Response::Array(vec![bulk("1"), bulk("2"), bulk("3")])
    );
    assert!(matches!(reload(&["NOFLUSH"]), Response::Error(_)));
    assert_eq!(reload(&["NOSAVE"]), ok);
    let before = digest(&engine);
    // What the log did not know is in its next base.
    while engine
        .services()
        .stats
        .log
        .rewrite_scheduled
        .load(Ordering::Acquire)
        || engine
            .services()
            .stats
            .log
            .rewriting_since
            .load(Ordering::Acquire)
            != 0
    {
        std::thread::yield_now();
    }
    drop(engine);
    let again = Engine::open(config(directory.path(), b"yes")).expect("it opens");
    assert_eq!(digest(&again), before);
}

#[test]
fn what_expires_after_the_start_is_removed() {
    for log in ["no", "yes"] {
        let server = launch()
            .option("appendonly", log)
            .option("appendfsync", "always")
            .start()
            .expect("it starts");
        let mut wire = connect(&server);
        assert!(
            wire.ask(&["SET", "k", "v", "PX", "1500"])
                .expect("an answer")
                .is_status("OK")
        );
        assert!(wire.ask(&["SAVE"]).expect("an answer").is_status("OK"));
        drop(wire);
        let server = server.restart().expect("it starts again");
        let mut wire = connect(&server);
        // DBSIZE counts what is stored, and looks at no key.
        while wire.ask(&["DBSIZE"]).expect("an answer").int() != Some(0) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn flushing_gives_up_a_running_save() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(config(directory.path(), b"no")).expect("it opens");
    for number in 0..3000 {
        run(&engine, &["SET", &format!("key:{number}"), "value"]);
    }
    run(&engine, &["CONFIG", "SET", "rdb-key-save-delay", "100000"]);
    run(&engine, &["BGSAVE"]);
    let error = run(&engine, &["BGSAVE"]);
    let text = "ERR Background save already in progress";
    assert_eq!(error, Response::Error(text.into()));
    assert_eq!(run(&engine, &["FLUSHALL"]), Response::Simple("OK".into()));
    while engine.services().stats.saving_since.load(Ordering::Acquire) != 0 {
        std::thread::yield_now();
    }
    assert!(!directory.path().join("dump.rdb").exists());
    assert_eq!(
        std::fs::read_dir(directory.path())
            .expect("it is there")
            .count(),
        0
    );
    assert!(
        !engine
            .services()
            .stats
            .last_save_failed
            .load(Ordering::Relaxed)
    );
}

#[test]
fn functions_are_in_a_log_that_begins_later() {
    for preamble in ["yes", "no"] {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Engine::open(config(folder.path(), b"yes")).expect("it opens");
        let engine = open();
        let ok = Response::Simple("OK".into());
        let set = |name, value| run(&engine, &["CONFIG", "SET", name, value]);
        assert_eq!(set("aof-use-rdb-preamble", preamble), ok);
        assert_eq!(set("appendonly", "no"), ok);
        let code = "#!lua name=l\nredis.register_function('f', function() return 7 end)";
        let loaded = run(&engine, &["FUNCTION", "LOAD", code]);
        assert_eq!(loaded, Response::Bulk(b"l".to_vec()));
        assert_eq!(set("appendonly", "yes"), ok);
        drop(engine);
        assert_eq!(run(&open(), &["FCALL", "f", "0"]), Response::Int(7));
    }
}

/// Writers go on while the log is switched on, switched off again and its first base fails; what is opened then is what
/// there was, from the log that counts.
#[test]
fn a_log_is_switched_on_while_others_write() {
    for preamble in ["yes", "no"] {
        let place = tempfile::tempdir().expect("a directory");
        let engine = Engine::open(config(place.path(), b"no")).expect("it opens");
        let set = |name: &str, value: &str| {
            let answer = run(&engine, &["CONFIG", "SET", name, value]);
            assert_eq!(answer, Response::Simple("OK".into()), "{name} {value}");
        };
        set("aof-use-rdb-preamble", preamble);
        run(&engine, &["DEBUG", "POPULATE", "20000"]);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let (engine, stop) = (&engine, &stop);
                scope.spawn(move || write_pairs(engine, stop, writer));
            }
            set("appendonly", "yes");
            set("appendonly", "no");
            set("appendonly", "yes");
            run(&engine, &["DEBUG", "FAIL-SNAPSHOT"]);
            wait_for_rewrite(&engine);
            set("appendonly", "no");
            run(&engine, &["BGREWRITEAOF"]);
            set("appendonly", "yes");
            wait_for_rewrite(&engine);
            stop.store(true, Ordering::Relaxed);
        });
        let expected = digest(&engine);
        drop(engine);
        let engine = Engine::open(config(place.path(), b"yes")).expect("it opens");
        assert_eq!(digest(&engine), expected);
        assert_pairs(&engine);
    }
}

/// Until the first base of a log that was switched on is complete, the server does not end, and the old log counts.
#[test]
fn the_old_log_counts_until_the_new_one_has_a_base() {
    let place = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(config(place.path(), b"yes")).expect("it opens");
    run(&engine, &["SET", "old", "1"]);
    run(&engine, &["CONFIG", "SET", "aof-use-rdb-preamble", "yes"]);
    run(&engine, &["CONFIG", "SET", "appendonly", "no"]);
    run(&engine, &["SET", "new", "1"]);
    run(
        &engine,
        &["CONFIG", "SET", "rdb-key-save-delay", "100000000"],
    );
    run(&engine, &["CONFIG", "SET", "appendonly", "yes"]);
    assert_eq!(shown(&engine, "aof_rewrite_in_progress"), "1");
    assert_eq!(shown(&engine, "aof_enabled"), "1");
    assert!(engine.shut_down(Shutdown::default()).is_err());
    let left = tempfile::tempdir().expect("a directory");
    copy_log(place.path(), left.path());
    let other = Engine::open(config(left.path(), b"yes")).expect("it opens");
    assert_eq!(run(&other, &["EXISTS", "old", "new"]), Response::Int(1));
    drop(other);
    run(&engine, &["CONFIG", "SET", "appendonly", "no"]);
    assert_eq!(shown(&engine, "aof_rewrite_in_progress"), "0");
    engine
        .shut_down(Shutdown::default())
        .expect("nothing is in its way");
    drop(engine);
    let engine = Engine::open(config(place.path(), b"yes")).expect("it opens");
    assert_eq!(run(&engine, &["EXISTS", "old", "new"]), Response::Int(1));
}

/// What a crash would leave now.
fn copy_log(from: &Path, to: &Path) {
    let [from, to] = [from, to].map(|place| place.join("appendonlydir"));
    std::fs::create_dir(&to).expect("there is room");
    for file in std::fs::read_dir(from).expect("there is a log") {
        let file = file.expect("it has a name");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("it can be copied");
    }
}

fn shown(engine: &Engine, name: &str) -> String {
    let text = match run(engine, &["INFO", "persistence"]) {
        Response::Bulk(text) | Response::Verbatim { text, .. } => text,
        other => panic!("{other:?}"),
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let begin = format!("{name}:");
    let line = text.lines().find_map(|line| line.strip_prefix(&begin));
    line.expect("the field is there").to_owned()
}

fn wait_for_rewrite(engine: &Engine) {
    while shown(engine, "aof_rewrite_in_progress") == "1"
        || shown(engine, "aof_rewrite_scheduled") == "1"
    {
        std::thread::yield_now();
    }
}
