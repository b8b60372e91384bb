//! WAITAOF: what was done is on disk, or it is told that it is not.

use innkeep::engine::Session;
use innkeep::reply::Response;

use crate::{open_in, run_line};

fn counts(here: i64, replicas: i64) -> Response {
    Response::Array(vec![Response::Int(here), Response::Int(replicas)])
}

#[test]
fn waits_for_the_disk() {
    for policy in ["everysec", "always"] {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = open_in(directory.path(), ("appendfsync", policy));
        let mut session = engine.session();
        run_line(&mut session, "INCR a");
        assert_eq!(
            run_line(&mut session, "WAITAOF 1 0 0"),
            counts(1, 0),
            "{policy}"
        );
        assert_eq!(
            run_line(&mut session, "WAITAOF 0 1 1"),
            counts(1, 0),
            "{policy}"
        );
    }
}

#[test]
fn tells_what_is_not_on_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open_in(directory.path(), ("appendfsync", "no"));
    let mut session = engine.session();
    run_line(&mut session, "INCR a");
    assert_eq!(run_line(&mut session, "WAITAOF 1 0 1"), counts(0, 0));
    assert_eq!(run_line(&mut session, "WAITAOF 0 0 0"), counts(0, 0));
    run_line(&mut session, "MULTI");
    run_line(&mut session, "WAITAOF 1 1 0");
    assert_eq!(
        run_line(&mut session, "EXEC"),
        Response::Array(vec![counts(0, 0)])
    );
}

fn is_blocked(session: &mut Session) -> bool {
    match run_line(session, "INFO clients") {
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
    let engine = open_in(directory.path(), ("appendfsync", "no"));
    let (mut waits, mut other) = (engine.session(), engine.session());
    run_line(&mut other, "INCR a");
    run_line(&mut other, &format!("SET b {}", "x".repeat(1000)));
    let waiting = std::thread::spawn(move || run_line(&mut waits, "WAITAOF 1 0 0"));
    while !is_blocked(&mut other) {
        std::thread::yield_now();
    }
    let ok = Response::Simple("OK".into());
    assert_eq!(run_line(&mut other, "CONFIG SET appendonly no"), ok);
    let error = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    let answer = waiting.join().expect("it ends");
    assert_eq!(answer, Response::Error(error.into()));
    assert_eq!(
        run_line(&mut other, "CONFIG SET appendonly yes appendfsync always"),
        ok
    );
    assert_eq!(run_line(&mut other, "INCR a"), Response::Int(2));
    assert_eq!(run_line(&mut other, "WAITAOF 1 0 0"), counts(1, 0));
}
