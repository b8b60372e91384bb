//! Native scripts through `redis::Script`, over both connections: built-in ones, and the application's own.

use innkeep::{Engine, Response, Script as Native};
use redis::{ErrorKind, RedisResult, Script, ServerErrorKind, TypedCommands};

const LUA: &str = "return redis.call('INCRBY', KEYS[1], ARGV[1])";

fn engine_with_script() -> Engine {
    let engine = Engine::in_memory();
    let add = Native::new("tests.add", |context| {
        let (key, amount) = (context.key(0)?, context.arg(0, "the amount")?);
        context.call(&[b"INCRBY", key, amount])
    });
    engine
        .register_script(add.lua_source(LUA))
        .expect("nobody has this name");
    engine
}

#[test]
fn an_unknown_digest_is_answered_with_noscript() {
    let mut connection = Engine::in_memory().connection();
    let error = redis::cmd("EVALSHA")
        .arg("0".repeat(40))
        .arg(0)
        .exec(&mut connection)
        .expect_err("nobody loaded it");
    assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::NoScript));
}

#[test]
fn a_native_script_answers_to_its_lua_source() -> RedisResult<()> {
    let mut connection = engine_with_script().connection();
    for (body, sum) in [(LUA, 5), ("tests.add", 10)] {
        let script = Script::new(body);
        let answer: i64 = script.key("n").arg(5).invoke(&mut connection)?;
        assert_eq!(answer, sum);
    }
    assert_eq!(connection.get_int("n")?, Some(10));
    Ok(())
}

#[tokio::test]
async fn a_script_of_a_task() -> RedisResult<()> {
    let mut connection = engine_with_script().async_connection();
    let script = Script::new(LUA);
    let answer: i64 = script.key("n").arg(7).invoke_async(&mut connection).await?;
    assert_eq!(answer, 7);
    let limit: (i64, i64, i64) = Script::new("innkeep.limit.fixed_window")
        .key("limit")
        .arg(&[1, 60_000])
        .invoke_async(&mut connection)
        .await?;
    assert_eq!(limit, (1, 0, 0));
    Ok(())
}

/// What a script pushes wakes waiters when it is over, and a script that fails answers with its error.
#[test]
fn scripts_wake_and_fail_as_commands_do() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let push = Native::new("tests.push", |context| {
        context.call(&[b"RPUSH", context.key(0)?, b"first", b"second"])?;
        context.call(&[b"LPOP", context.key(0)?])
    });
    engine.register_script(push).expect("nobody has this name");
    let mut popper = engine.connection();
    let waiting = std::thread::spawn(move || popper.blpop("l", 0.0));
    super::until_blocked(&engine, 1);
    let mut session = engine.session();
    let call: [&[u8]; 4] = [b"FCALL", b"tests.push", b"1", b"l"];
    assert_eq!(session.execute(&call), Response::Bulk(b"first".to_vec()));
    let popped = waiting.join().expect("no panic")?;
    assert_eq!(popped, Some(["l".to_owned(), "second".to_owned()]));
    engine.connection().set("text", "x")?;
    let script = Script::new("tests.push");
    let error = script
        .key("text")
        .invoke::<String>(&mut engine.connection())
        .expect_err("no list");
    assert_eq!(error.code(), Some("WRONGTYPE"));
    Ok(())
}
