//! Every type through the blocking connection, with the crate's typed commands; pipelines and transactions.

use std::collections::{BTreeSet, HashMap};

use innkeep::Engine;
use redis::{ConnectionLike, ErrorKind, RedisResult, ServerErrorKind, TypedCommands, Value, pipe};

#[test]
fn strings() -> RedisResult<()> {
    let mut connection = Engine::in_memory().connection();
    connection.set("k", b"\x00\xff")?;
    let bytes: Vec<u8> = redis::Commands::get(&mut connection, "k")?;
    assert_eq!(bytes, b"\x00\xff");
    assert_eq!(connection.incr("n", 5)?, 5);
    assert_eq!(connection.append("n", "1")?, 2);
    assert_eq!(connection.get_int("n")?, Some(51));
    let both: (i64, Option<String>) = redis::Commands::mget(&mut connection, &["n", "none"])?;
    assert_eq!(both, (51, None));
    assert!(connection.expire("n", 100)?);
    let ttl: i64 = redis::Commands::ttl(&mut connection, "n")?;
    assert!((99..=100).contains(&ttl));
    assert_eq!(connection.del(&["n", "k", "none"])?, 2);
    Ok(())
}

#[test]
fn lists() -> RedisResult<()> {
    let mut connection = Engine::in_memory().connection();
    assert_eq!(connection.rpush("l", &["a", "b", "c"])?, 3);
    assert_eq!(connection.lrange("l", 0, -1)?, ["a", "b", "c"]);
    let popped: Option<String> = redis::Commands::rpop(&mut connection, "l", None)?;
    assert_eq!(popped.as_deref(), Some("c"));
    let moved = connection.rpoplpush("l", "other")?;
    assert_eq!(moved.as_deref(), Some("b"));
    assert_eq!(connection.lrem("other", 1, "b")?, 1);
    assert_eq!(connection.llen("l")?, 1);
    Ok(())
}

#[test]
fn hashes() -> RedisResult<()> {
    let mut connection = Engine::in_memory().connection();
    connection.hset_multiple("h", &[("name", "Ada"), ("room", "12")])?;
    assert_eq!(connection.hincr("h", "nights", 3)?, 3.0);
    let all: HashMap<String, String> = connection.hgetall("h")?;
    assert_eq!(all.len(), 3);
    assert_eq!(all["room"], "12");
    assert!(connection.hexists("h", "name")?);
    assert_eq!(connection.hdel("h", "name")?, 1);
    assert_eq!(connection.hlen("h")?, 2);
    Ok(())
}

#[test]
fn sets() -> RedisResult<()> {
    let mut connection = Engine::in_memory().connection();
    connection.sadd("s", &[1, 2, 3])?;
    connection.sadd("t", &[3, 4])?;
    assert!(connection.sismember("s", 2)?);
    let common: BTreeSet<i64> = redis::Commands::sinter(&mut connection, &["s", "t"])?;
    assert_eq!(common, BTreeSet::from([3]));
    let scanned: RedisResult<BTreeSet<i64>> = connection.sscan("s")?.collect();
    assert_eq!(scanned?, BTreeSet::from([1, 2, 3]));
    Ok(())
}

#[test]
fn sorted_sets() -> RedisResult<()> {
    let mut connection = Engine::in_memory().connection();
    connection.zadd_multiple("z", &[(1.5, "low"), (10.0, "high")])?;
    assert_eq!(connection.zscore("z", "low")?, Some(1.5));
    let ranked: Vec<(String, f64)> =
        redis::Commands::zrevrange_withscores(&mut connection, "z", 0, -1)?;
    assert_eq!(ranked, [("high".to_owned(), 10.0), ("low".to_owned(), 1.5)]);
    assert_eq!(connection.zrank("z", "high")?, Some(1));
    assert_eq!(connection.zcard("z")?, 2);
    Ok(())
}

#[test]
fn scans_go_on_from_their_cursor() -> RedisResult<()> {
    let mut connection = Engine::in_memory().connection();
    let mut fill = pipe();
    for number in 0..1000 {
        fill.set(format!("key:{number}"), number).ignore();
    }
    fill.exec(&mut connection)?;
    let keys: RedisResult<BTreeSet<String>> = connection.scan_match("key:*")?.collect();
    assert_eq!(keys?.len(), 1000);
    Ok(())
}

#[test]
fn hello_switches_the_protocol() -> RedisResult<()> {
    let mut connection = Engine::in_memory().connection();
    connection.hset("h", "f", "v")?;
    let raw: Value = redis::cmd("HGETALL").arg("h").query(&mut connection)?;
    assert!(matches!(raw, Value::Array(_)), "{raw:?}");
    let hello: HashMap<String, Value> = redis::cmd("HELLO").arg(3).query(&mut connection)?;
    assert_eq!(hello["proto"], Value::Int(3));
    let raw: Value = redis::cmd("HGETALL").arg("h").query(&mut connection)?;
    assert!(matches!(raw, Value::Map(_)), "{raw:?}");
    assert_eq!(connection.hgetall("h")?["f"], "v");
    Ok(())
}

#[test]
fn errors_are_the_servers() -> RedisResult<()> {
    let mut connection = Engine::in_memory().connection();
    connection.set("k", "text")?;
    let error = connection.incr("k", 1).expect_err("no number");
    assert_eq!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ResponseError)
    );
    assert_eq!(
        error.detail(),
        Some("value is not an integer or out of range")
    );
    let error = connection.lpush("k", 1).expect_err("no list");
    assert_eq!(error.code(), Some("WRONGTYPE"));
    let raw = connection.req_command(redis::cmd("LPUSH").arg("k").arg(1))?;
    assert!(matches!(raw, Value::ServerError(_)), "{raw:?}");
    assert!(connection.req_command(&redis::Cmd::new()).is_err());
    Ok(())
}

#[test]
fn pipelines_answer_in_order() -> RedisResult<()> {
    let mut connection = Engine::in_memory().connection();
    let (first, list, last): (i64, Vec<String>, Option<String>) = pipe()
        .incr("n", 1)
        .rpush("l", &["a", "b"])
        .ignore()
        .lrange("l", 0, -1)
        .get("none")
        .query(&mut connection)?;
    assert_eq!((first, list.len(), last), (1, 2, None));
    let error = pipe()
        .incr("n", 1)
        .incr("l", 1)
        .incr("n", 1)
        .query::<Value>(&mut connection)
        .expect_err("the second fails");
    let failed = error.into_server_errors().expect("errors of the engine");
    assert_eq!((failed.len(), failed[0].0), (1, 1));
    assert_eq!(connection.get_int("n")?, Some(3));
    Ok(())
}

#[test]
fn an_empty_pipeline_fails_as_over_a_socket() {
    let mut connection = Engine::in_memory().connection();
    let error = pipe()
        .query::<Value>(&mut connection)
        .expect_err("nothing to run");
    assert_eq!(error.kind(), ErrorKind::Client);
    assert_eq!(error.to_string(), "empty command - Client");
    let answers: Vec<Value> = pipe()
        .atomic()
        .query(&mut connection)
        .expect("MULTI and EXEC");
    assert!(answers.is_empty());
}

#[test]
fn atomic_pipelines_are_transactions() -> RedisResult<()> {
    let mut connection = Engine::in_memory().connection();
    let (first, second): (i64, i64) = pipe()
        .atomic()
        .incr("n", 1)
        .incr("n", 1)
        .query(&mut connection)?;
    assert_eq!((first, second), (1, 2));
    let error = pipe()
        .atomic()
        .incr("n", 1)
        .cmd("NOSUCH")
        .query::<Value>(&mut connection)
        .expect_err("a command that does not exist");
    assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::ExecAbort));
    assert_eq!(connection.get_int("n")?, Some(2));
    Ok(())
}

#[test]
fn a_watched_key_that_changes_discards_the_transaction() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let (mut one, mut two) = (engine.connection(), engine.connection());
    one.set("balance", 10)?;
    let mut rounds = 0;
    let (balance,): (i64,) = redis::transaction(&mut one, &["balance"], |one, pipe| {
        rounds += 1;
        let balance = one.get_int("balance")?.unwrap_or(0) as i64;
        if rounds == 1 {
            two.set("balance", 100)?;
        }
        pipe.set("balance", balance + 1)
            .ignore()
            .get("balance")
            .query(one)
    })?;
    assert_eq!((rounds, balance), (2, 101));
    Ok(())
}

#[test]
fn each_connection_has_its_own_database() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let (mut one, mut two) = (engine.connection(), engine.connection());
    redis::cmd("SELECT").arg(3).exec(&mut one)?;
    assert_eq!((one.get_db(), two.get_db()), (3, 0));
    one.set("k", "three")?;
    assert_eq!(two.get("k")?, None);
    Ok(())
}
