//! Lua through the `redis` crate's Script: EVALSHA, EVAL after NOSCRIPT, pipelines, transactions, and asynchronously.

use std::sync::atomic::{AtomicI64, Ordering};

use redis::{Client, Commands, ErrorKind, RedisResult, Script, ServerErrorKind, Value};

#[test]
fn a_script_is_loaded_when_the_server_does_not_know_it() -> RedisResult<()> {
    let server = crate::server();
    let mut connection = Client::open(server.url())?.get_connection()?;
    let script = Script::new("return {KEYS[1], ARGV[1], redis.call('INCRBY', KEYS[1], ARGV[1])}");
    let mut call = script.prepare_invoke();
    call.key("counter").arg(5);
    for expected in [5, 10] {
        let reply: (String, i64, i64) = call.invoke(&mut connection)?;
        assert_eq!(reply, ("counter".into(), 5, expected));
    }
    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut connection)?;
    let known: Vec<bool> = redis::cmd("SCRIPT")
        .arg("EXISTS")
        .arg(script.get_hash())
        .query(&mut connection)?;
    assert_eq!(known, [false]);
    assert_eq!(call.load(&mut connection)?, script.get_hash());
    let reply: (String, i64, i64) = call.invoke(&mut connection)?;
    assert_eq!(reply.2, 15);
    Ok(())
}

#[test]
fn pipelines_and_transactions_call_scripts() -> RedisResult<()> {
    let server = crate::server();
    let mut connection = Client::open(server.url())?.get_connection()?;
    let script = Script::new("return redis.call('APPEND', KEYS[1], ARGV[1])");
    let mut call = script.prepare_invoke();
    call.key("text").arg("ab");
    let mut pipeline = redis::pipe();
    pipeline.load_script(&script).ignore();
    pipeline.invoke_script(&call).get("text");
    let reply: (i64, String) = pipeline.query(&mut connection)?;
    assert_eq!(reply, (2, "ab".into()));
    let reply: (i64, i64) = redis::pipe()
        .atomic()
        .invoke_script(&call)
        .strlen("text")
        .query(&mut connection)?;
    assert_eq!(reply, (4, 4));
    Ok(())
}

#[test]
fn every_kind_of_reply_arrives_and_errors_keep_their_code() -> RedisResult<()> {
    let server = crate::server();
    for protocol in ["resp2", "resp3"] {
        let url = format!("{}?protocol={protocol}", server.url());
        let mut connection = Client::open(url)?.get_connection()?;
        let source = "return {1.9, 'text', false, {true, {}}, redis.status_reply('FINE'), nil, 1}";
        let reply: Value = Script::new(source).invoke(&mut connection)?;
        let nested = Value::Array(vec![Value::Int(1), Value::Array(Vec::new())]);
        assert_eq!(
            reply,
            Value::Array(vec![
                Value::Int(1),
                Value::BulkString(b"text".to_vec()),
                Value::Nil,
                nested,
                Value::SimpleString("FINE".into()),
            ])
        );
        let () = connection.set("text", "x")?;
        let script = Script::new("return redis.call('LPUSH', KEYS[1], 1)");
        let error = script
            .key("text")
            .invoke::<Value>(&mut connection)
            .expect_err("a string is no list");
        assert_eq!(error.code(), Some("WRONGTYPE"));
        let error = Script::new("return redis.error_reply('BUSYKEY is taken')")
            .invoke::<Value>(&mut connection)
            .expect_err("an error is returned");
        assert_eq!(error.code(), Some("BUSYKEY"));
        let error = redis::cmd("EVALSHA")
            .arg("0".repeat(40))
            .arg(0)
            .query::<Value>(&mut connection)
            .expect_err("nobody has sent it");
        assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::NoScript));
    }
    Ok(())
}

#[test]
fn tasks_call_a_script_at_once() {
    let server = crate::server();
    let client = Client::open(server.url()).expect("an address");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sum = AtomicI64::new(0);
    runtime.block_on(async {
        let connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("the server accepts");
        let script = Script::new("return redis.call('INCR', KEYS[1])");
        let mut call = script.prepare_invoke();
        call.key("counter");
        let calls = (0..100).map(|_| async {
            let mut connection = connection.clone();
            let count: i64 = call
                .invoke_async(&mut connection)
                .await
                .expect("the script runs");
            sum.fetch_add(count, Ordering::Relaxed);
        });
        futures_util::future::join_all(calls).await;
    });
    assert_eq!(sum.into_inner(), 5050);
}
