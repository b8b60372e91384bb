//! DEBUG LOADAOF and DEBUG RELOAD: what is in memory after them is what the log holds.

use std::path::Path;

use innkeep::engine::Engine;
use innkeep::reply::Response;

use crate::{open_in, run_line};

const DEBUGGED: (&str, &str) = ("enable-debug-command", "yes");

fn digest(engine: &Engine) -> Response {
    run_line(&mut engine.session(), "DEBUG DIGEST")
}

/// Whether another engine finds in the log what this one has in memory.
fn assert_logged(directory: &Path, engine: Engine) {
    let expected = digest(&engine);
    drop(engine);
    assert_eq!(digest(&open_in(directory, DEBUGGED)), expected);
}

#[test]
fn a_transaction_keeps_what_it_did_before_the_log_was_loaded() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open_in(directory.path(), DEBUGGED);
    let mut session = engine.session();
    run_line(&mut session, "SET before 1");
    for line in [
        "MULTI",
        "SET a 1",
        "DEL before",
        "SELECT 3",
        "RPUSH list x y",
        "DEBUG LOADAOF",
        "RPUSH list z",
        "SELECT 0",
        "DEBUG LOADAOF",
        "APPEND a 2",
    ] {
        run_line(&mut session, line);
    }
    let Response::Array(answers) = run_line(&mut session, "EXEC") else {
        panic!("it is executed");
    };
    assert_eq!(answers.get(5), Some(&Response::Int(3)), "{answers:?}");
    assert_eq!(answers.last(), Some(&Response::Int(2)), "{answers:?}");
    assert_eq!(run_line(&mut session, "EXISTS before"), Response::Int(0));
    drop(session);
    assert_logged(directory.path(), engine);
}

#[test]
fn the_log_hears_of_keys_that_had_run_out_when_everything_came_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open_in(directory.path(), DEBUGGED);
    let mut session = engine.session();
    for line in [
        "DEBUG SET-ACTIVE-EXPIRE 0",
        "SELECT 2",
        "SET a old PX 1000",
        "SET b stays PX 1000000",
        "HSET hash field value",
        "PEXPIRE hash 1000",
    ] {
        run_line(&mut session, line);
    }
    let keyspace = engine.keyspace();
    keyspace.set_now_ms(Some(keyspace.now_ms() + 2000));
    let ok = Response::Simple("OK".into());
    assert_eq!(run_line(&mut session, "DEBUG RELOAD"), ok);
    assert_eq!(run_line(&mut session, "DBSIZE"), Response::Int(1));
    assert_eq!(run_line(&mut session, "APPEND a new"), Response::Int(3));
    assert_eq!(
        run_line(&mut session, "HSET hash other 1"),
        Response::Int(1)
    );
    assert_eq!(run_line(&mut session, "HLEN hash"), Response::Int(1));
    drop(session);
    assert_logged(directory.path(), engine);
}
