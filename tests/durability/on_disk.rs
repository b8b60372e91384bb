//! WAITAOF: what was done is on disk, or it is told that it is not.

use std::path::Path;

use innkeep::config::Config;
use innkeep::engine::{Engine, Session};
use innkeep::reply::Response;

fn open(directory: &Path, policy: &str) -> Engine {
    let mut config = Config::default();
    let directory = directory.to_str().expect("a plain path");
    for (name, value) in [
        ("dir", directory),
        ("save", ""),
        ("appendonly", "yes"),
        ("appendfsync", policy),
    ] {
        config
            .assign(name.as_bytes(), value.as_bytes())
            .expect("a valid value");
    }
    Engine::open(config).expect("it opens")
}

fn run(session: &mut Session, line: &str) -> Response {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    session.execute(&words)
}

fn counts(here: i64, replicas: i64) -> Response {
    Response::Array(vec![Response::Int(here), Response::Int(replicas)])
}

#[test]
fn waits_for_the_disk() {
    for policy in ["everysec", "always"] {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = open(directory.path(), policy);
        let mut session = engine.session();
        run(&mut session, "INCR a");
        assert_eq!(run(&mut session, "WAITAOF 1 0 0"), counts(1, 0), "{policy}");
        assert_eq!(run(&mut session, "WAITAOF 0 1 1"), counts(1, 0), "{policy}");
    }
}

#[test]
fn tells_what_is_not_on_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path(), "no");
    let mut session = engine.session();
    run(&mut session, "INCR a");
    assert_eq!(run(&mut session, "WAITAOF 1 0 1"), counts(0, 0));
    assert_eq!(run(&mut session, "WAITAOF 0 0 0"), counts(0, 0));
    run(&mut session, "MULTI");
    run(&mut session, "WAITAOF 1 1 0");
    assert_eq!(
        run(&mut session, "EXEC"),
        Response::Array(vec![counts(0, 0)])
    );
}

fn is_blocked(session: &mut Session) -> bool {
    match run(session, "INFO clients") {
        Response::Bulk(text) | Response::Verbatim { text, .. } => text
            .windows(b"blocked_clients:1".len())
            .any(|words| words == b"blocked_clients:1"),
        other => panic!("{other:?}"),
    }
}

/// Who waits for a log learns that there is none any more; who has written to it goes on with the next one.
#[test]
fn a_log_ends_and_another_begins() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path(), "no");
    let (mut waits, mut other) = (engine.session(), engine.session());
    run(&mut other, "INCR a");
    run(&mut other, &format!("SET b {}", "x".repeat(1000)));
    let waiting = std::thread::spawn(move || run(&mut waits, "WAITAOF 1 0 0"));
    while !is_blocked(&mut other) {
        std::thread::yield_now();
    }
    let ok = Response::Simple("OK".into());
    assert_eq!(run(&mut other, "CONFIG SET appendonly no"), ok);
    let error = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    let answer = waiting.join().expect("it ends");
    assert_eq!(answer, Response::Error(error.into()));
    assert_eq!(
        run(&mut other, "CONFIG SET appendonly yes appendfsync always"),
        ok
    );
    assert_eq!(run(&mut other, "INCR a"), Response::Int(2));
    assert_eq!(run(&mut other, "WAITAOF 1 0 0"), counts(1, 0));
}
