//! Ends: QUIT, CLIENT KILL, and the last owner of an engine.

use std::thread;

use innkeep::{Engine, Response};
use redis::{ConnectionLike, RedisResult, TypedCommands};

use super::until_blocked;

#[test]
fn quit_closes_the_connection() -> RedisResult<()> {
    let mut connection = Engine::in_memory().connection();
    assert!(connection.is_open() && connection.check_connection());
    redis::cmd("QUIT").exec(&mut connection)?;
    assert!(!connection.is_open() && !connection.check_connection());
    let error = connection.get("k").expect_err("it is closed");
    assert!(error.is_connection_dropped(), "{error}");
    Ok(())
}

#[test]
fn a_killed_client_stops_waiting() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut session = engine.session();
    let id = session.state.info.id.to_string();
    let waiting = thread::spawn(move || {
        let answer = session.execute(&[b"BLPOP", b"l", b"0"]);
        (answer, session.is_closed())
    });
    until_blocked(&engine, 1);
    let mut other = engine.connection();
    let killed: i64 = redis::cmd("CLIENT")
        .arg(&["KILL", "ID", &id])
        .query(&mut other)?;
    assert_eq!(killed, 1);
    let (answer, closed) = waiting.join().expect("no panic");
    assert!(matches!(answer, Response::Error(_)) && closed, "{answer:?}");
    other.rpush("l", "kept")?;
    assert_eq!(other.llen("l")?, 1);
    Ok(())
}

#[test]
fn connections_keep_their_engine_alive() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut connection = engine.connection();
    connection.set("k", "v")?;
    drop(engine);
    assert_eq!(connection.get("k")?.as_deref(), Some("v"));
    let again = connection.session().engine().clone();
    drop(connection);
    assert_eq!(again.connection().get("k")?.as_deref(), Some("v"));
    Ok(())
}
