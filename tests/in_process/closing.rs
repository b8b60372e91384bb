//! Ends: QUIT, CLIENT KILL, and the last owner of an engine.

use std::thread;

use innkeep::{Config, Engine, Response};
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

/// The last owner ends what still runs, and whoever opens the directory at once finds everything.
#[test]
fn the_last_owner_leaves_a_closed_log() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let open = || -> Result<Engine, Box<dyn std::error::Error>> {
        let mut config = Config::default();
        let path = directory.path().as_os_str().as_encoded_bytes();
        config.assign(b"dir", path)?;
        config.assign(b"appendonly", b"yes")?;
        config.assign(b"aof-use-rdb-preamble", b"yes")?;
        // A second for each key: a snapshot that is not given up outlasts the test.
        config.assign(b"rdb-key-save-delay", b"1000000")?;
        Ok(Engine::open(config)?)
    };
    let kinds: [&[u8]; 3] = [b"PING", b"BGREWRITEAOF", b"BGSAVE"];
    for (round, kind) in (0_i64..).zip(kinds.into_iter().cycle().take(60)) {
        let engine = open()?;
        let mut session = engine.session();
        assert_eq!(session.execute(&[b"DBSIZE"]), Response::Int(round));
        let key = round.to_string();
        session.execute(&[b"SET", key.as_bytes(), b"1", b"EX", b"1000"]);
        assert!(!matches!(session.execute(&[kind]), Response::Error(_)));
        drop(engine);
    }
    Ok(())
}
