//! The start: what is answered while data is loading, and what is said when it is there.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use innkeep::config::Config;
use innkeep::engine::Engine;
use innkeep::reply::Response;

const LOADING: &str = "LOADING Redis is loading the dataset in memory";

fn config(directory: &Path, settings: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    let directory = directory.to_str().expect("a plain path");
    for (name, value) in [&[("dir", directory), ("save", "")], settings].concat() {
        config
            .assign(name.as_bytes(), value.as_bytes())
            .expect("a valid value");
    }
    config
}

fn run(engine: &Engine, words: &[&str]) -> Response {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    engine.session().execute(&words)
}

fn field(engine: &Engine, name: &str) -> Option<String> {
    let text = match run(engine, &["INFO", "persistence"]) {
        Response::Bulk(text) | Response::Verbatim { text, .. } => text,
        other => panic!("{other:?}"),
    };
    let text = String::from_utf8(text).expect("text");
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map(str::to_owned)
}

fn fill(directory: &Path, log: &str, keys: usize) {
    let engine = Engine::open(config(directory, &[("appendonly", log)])).expect("it opens");
    let mut session = engine.session();
    for key in 0..keys {
        let (key, value) = (format!("key:{key}"), "v".repeat(100));
        session.execute(&[b"SET", key.as_bytes(), value.as_bytes()]);
    }
    session.execute(&[b"SELECT", b"3"]);
    session.execute(&[b"SET", b"elsewhere", b"1"]);
    if log == "no" {
        session.execute(&[b"SAVE"]);
    }
}

#[test]
fn what_needs_the_data_is_refused_until_it_is_there() {
    for log in ["yes", "no"] {
        let directory = tempfile::tempdir().expect("a directory");
        fill(directory.path(), log, 100);
        let engine =
            Engine::prepare(config(directory.path(), &[("appendonly", log)])).expect("it opens");
        let refused = Response::Error(LOADING.into());
        assert_eq!(run(&engine, &["GET", "key:1"]), refused);
        assert_eq!(run(&engine, &["SET", "key:1", "x"]), refused);
        assert_eq!(run(&engine, &["BGSAVE"]), refused);
        assert_eq!(
            run(&engine, &["CONFIG", "SET", "appendonly", "no"]),
            Response::Error(LOADING.into())
        );
        assert_eq!(run(&engine, &["PING"]), refused);
        assert!(!matches!(run(&engine, &["HELLO", "2"]), Response::Error(_)));
        assert_eq!(
            run(&engine, &["CONFIG", "SET", "loglevel", "notice"]),
            Response::Simple("OK".into())
        );
        assert_eq!(field(&engine, "loading").as_deref(), Some("1"));
        assert!(field(&engine, "loading_eta_seconds").is_some());
        assert_eq!(field(&engine, "start_report"), None);
        engine.load().expect("it loads");
        assert_eq!(field(&engine, "loading").as_deref(), Some("0"));
        assert_eq!(field(&engine, "loading_eta_seconds"), None);
        let report = field(&engine, "start_report").expect("it is told");
        assert!(
            report.starts_with("Started with 101 keys from the "),
            "{report}"
        );
        assert!(report.contains("At risk"), "{report}");
        assert_eq!(
            run(&engine, &["GET", "key:1"]),
            Response::Bulk(vec![b'v'; 100])
        );
    }
}

#[test]
fn a_transaction_that_begins_while_loading_holds_no_command_that_needs_data() {
    let directory = tempfile::tempdir().expect("a directory");
    fill(directory.path(), "no", 1);
    let engine =
        Engine::prepare(config(directory.path(), &[("appendonly", "no")])).expect("it opens");
    let mut session = engine.session();
    assert_eq!(session.execute(&[b"MULTI"]), Response::Simple("OK".into()));
    assert_eq!(
        session.execute(&[b"SET", b"key:0", b"other"]),
        Response::Error(LOADING.into())
    );
    engine.load().expect("it loads");
    let Response::Error(text) = session.execute(&[b"EXEC"]) else {
        panic!("it was spoiled");
    };
    assert!(text.starts_with("EXECABORT"), "{text}");
    assert_eq!(
        run(&engine, &["GET", "key:0"]),
        Response::Bulk(vec![b'v'; 100])
    );
}

#[test]
fn the_progress_is_seen_from_outside() {
    for log in ["yes", "no"] {
        let directory = tempfile::tempdir().expect("a directory");
        fill(directory.path(), log, 5000);
        let settings = [
            ("appendonly", log),
            ("loading-process-events-interval-bytes", "1024"),
            ("rdbcompression", "no"),
        ];
        let engine = Engine::prepare(config(directory.path(), &settings)).expect("it opens");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                engine.load().expect("it loads");
                done.store(true, Ordering::Release);
            });
            let mut last = 0;
            while !done.load(Ordering::Acquire) {
                let number = |name| field(&engine, name)?.parse::<u64>().ok();
                let loaded = number("loading_loaded_bytes");
                if let (Some(loaded), Some(total)) = (loaded, number("loading_total_bytes")) {
                    assert!(loaded >= last && loaded <= total, "{last} {loaded} {total}");
                    last = loaded;
                }
            }
        });
        assert_eq!(run(&engine, &["DBSIZE"]), Response::Int(5000));
    }
}

#[test]
fn a_shutdown_while_loading_saves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    fill(directory.path(), "no", 50);
    let settings = [("appendonly", "no"), ("save", "1 1")];
    let engine = Engine::prepare(config(directory.path(), &settings)).expect("it opens");
    engine
        .shut_down(innkeep::commands::Shutdown::default())
        .expect("nothing to do");
    drop(engine);
    let engine = Engine::open(config(directory.path(), &settings)).expect("it opens");
    assert_eq!(run(&engine, &["DBSIZE"]), Response::Int(50));
}

/// Commands of one key and of many, of all types and in several databases, as a log holds them in any order.
fn churn(engine: &Engine, seed: u64, commands: usize) {
    let mut session = engine.session();
    let mut state = seed;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    for _ in 0..commands {
        let kind = ["s", "l", "h", "z"][random(4) as usize];
        let (one, other) = (random(60), random(60));
        let (key, second) = (format!("{kind}{one}"), format!("{kind}{other}"));
        let line = match (random(14), kind) {
            (0, _) => format!("RENAME {key} {second}"),
            (1, _) => format!("COPY {key} {second} REPLACE"),
            (2, _) => format!("DEL {key} {second}"),
            (3, _) => format!("SELECT {}", random(3)),
            (4, _) => format!("MSET s{one} a s{other} b"),
            (5, _) => format!("PEXPIREAT {key} 4102444800000"),
            (6, _) if random(20) == 0 => "SWAPDB 0 1".to_owned(),
            (7, _) => format!("LMOVE l{one} l{other} LEFT RIGHT"),
            (_, "s") => format!("APPEND {key} {one}"),
            (_, "l") => format!("RPUSH {key} {one} {other}"),
            (_, "h") => format!("HSET {key} f{other} {one}"),
            _ => format!("ZADD {key} {one} m{other}"),
        };
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        // A key may be missing; then nothing is logged.
        session.execute(&words);
    }
}

#[test]
fn what_several_threads_load_is_what_there_was() {
    for seed in 0..20 {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = [("appendonly", "yes"), ("enable-debug-command", "yes")];
        let engine = Engine::open(config(directory.path(), &settings)).expect("it opens");
        churn(&engine, seed, 3000);
        let expected = run(&engine, &["DEBUG", "DIGEST"]);
        assert_eq!(run(&engine, &["SAVE"]), Response::Simple("OK".into()));
        engine.sync_log().expect("there is room");
        for (log, shards) in [("yes", "64"), ("yes", "2"), ("yes", "1"), ("no", "64")] {
            let settings = [
                ("appendonly", log),
                ("shards", shards),
                ("enable-debug-command", "yes"),
            ];
            let again = Engine::read_only(config(directory.path(), &settings)).expect("it loads");
            assert_eq!(
                run(&again, &["DEBUG", "DIGEST"]),
                expected,
                "seed {seed}, log {log}"
            );
        }
    }
}

#[test]
fn a_command_that_cannot_be_applied_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("appendonly.aof");
    let mut log = Vec::new();
    for index in 0..2000 {
        let command = format!("SET key:{index} v\r\n");
        let words: Vec<&str> = command.split_whitespace().collect();
        log.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            log.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }
    let offset = log.len();
    log.extend_from_slice(b"*3\r\n$5\r\nLPUSH\r\n$5\r\nkey:7\r\n$1\r\nx\r\n");
    std::fs::write(&file, log).expect("there is room");
    let error = Engine::open(config(directory.path(), &[("appendonly", "yes")]))
        .expect_err("a string is no list");
    let told = error.to_string();
    assert!(
        told.contains(&format!("offset {offset}")) && told.contains("WRONGTYPE"),
        "{told}"
    );
}

#[test]
fn a_directory_has_one_log_at_a_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let first = Engine::open(config(path, &[])).expect("it opens");
    run(&first, &["SET", "key", "first"]);
    let second = Engine::open(config(path, &[("appendonly", "no")])).expect("it opens");
    run(&second, &["SET", "key", "second"]);
    let switch_on = ["CONFIG", "SET", "appendonly", "yes"];
    let Response::Error(refusal) = run(&second, &switch_on) else {
        panic!("two write into one log");
    };
    assert!(refusal.contains("appendonly"), "{refusal}");
    let Err(refusal) = Engine::open(config(path, &[])) else {
        panic!("two write into one log");
    };
    assert!(refusal.to_string().contains("in use"), "{refusal}");
    // Whoever has it may begin its log anew, and whoever gives it up leaves it to others.
    for value in ["no", "yes", "no"] {
        let answer = run(&first, &["CONFIG", "SET", "appendonly", value]);
        assert_eq!(answer, Response::Simple("OK".into()));
    }
    assert_eq!(run(&second, &switch_on), Response::Simple("OK".into()));
    drop((first, second));
    let again = Engine::open(config(path, &[])).expect("it opens");
    assert_eq!(
        run(&again, &["GET", "key"]),
        Response::Bulk(b"second".to_vec())
    );
}

#[test]
fn a_log_that_is_removed_begins_anew_with_what_is_in_memory() {
    for policy in ["always", "everysec"] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let settings = [("appendfsync", policy)];
        let engine = Engine::open(config(path, &settings)).expect("it opens");
        run(&engine, &["RPUSH", "list", "x"]);
        let files = path.join("appendonlydir");
        std::fs::remove_dir_all(&files).expect("it is removed");
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut length = 1;
        while !files.join("appendonly.aof.manifest").exists() {
            match run(&engine, &["RPUSH", "list", "x"]) {
                Response::Int(told) => length = told,
                Response::Error(text) => assert!(text.contains("the file was removed"), "{text}"),
                other => panic!("{other:?}"),
            }
            assert!(Instant::now() < deadline, "nobody notices");
        }
        drop(engine);
        let again = Engine::open(config(path, &settings)).expect("it opens");
        let found = run(&again, &["LLEN", "list"]);
        assert_eq!(found, Response::Int(length), "{policy}");
    }
}
