//! The start: what is answered while data is loading, and what is said when it is there.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

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
