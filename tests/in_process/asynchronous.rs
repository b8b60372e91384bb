//! The connection for tasks: typed commands, pipelines, waiting on one thread, and giving up.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use innkeep::Engine;
use redis::{AsyncTypedCommands, RedisResult, Value, aio};
use tokio::task::JoinSet;

#[tokio::test]
async fn typed_commands() -> RedisResult<()> {
    let mut connection = Engine::in_memory().async_connection();
    connection.set("k", "v").await?;
    assert_eq!(connection.get("k").await?.as_deref(), Some("v"));
    connection.hset("h", "f", 1).await?;
    assert_eq!(connection.hgetall("h").await?["f"], "1");
    connection.sadd("s", &["a", "b"]).await?;
    assert_eq!(connection.scard("s").await?, 2);
    connection.zadd("z", "m", 2.5).await?;
    assert_eq!(connection.zscore("z", "m").await?, Some(2.5));
    connection.rpush("l", &[1, 2]).await?;
    assert_eq!(connection.lrange("l", 0, -1).await?, ["1", "2"]);
    let mut seen = 0;
    let mut members = connection.sscan::<_, String>("s").await?;
    while let Some(member) = members.next_item().await {
        member?;
        seen += 1;
    }
    assert_eq!(seen, 2);
    Ok(())
}

#[tokio::test]
async fn pipelines_and_transactions() -> RedisResult<()> {
    let mut connection = Engine::in_memory().async_connection();
    let (first, second): (i64, i64) = redis::pipe()
        .atomic()
        .incr("n", 1)
        .incr("n", 1)
        .query_async(&mut connection)
        .await?;
    assert_eq!((first, second), (1, 2));
    let values: Vec<Value> = redis::pipe()
        .get("n")
        .get("none")
        .query_async(&mut connection)
        .await?;
    assert_eq!(values, [Value::BulkString(b"2".to_vec()), Value::Nil]);
    let error = redis::pipe()
        .atomic()
        .cmd("NOSUCH")
        .query_async::<Value>(&mut connection)
        .await
        .expect_err("no such command");
    assert_eq!(error.code(), Some("EXECABORT"));
    Ok(())
}

#[tokio::test]
async fn an_empty_pipeline_fails_as_over_a_socket() {
    let mut connection = Engine::in_memory().async_connection();
    let error = redis::pipe()
        .query_async::<Value>(&mut connection)
        .await
        .expect_err("nothing to run");
    assert_eq!(error.to_string(), "empty command - Client");
    let answers: Vec<Value> = redis::pipe()
        .atomic()
        .query_async(&mut connection)
        .await
        .expect("MULTI and EXEC");
    assert!(answers.is_empty());
}

#[tokio::test]
async fn watched_keys_discard() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let (mut one, mut two) = (engine.async_connection(), engine.async_connection());
    let mut rounds = 0;
    let (value,): (i64,) = aio::transaction_async(one.clone(), &["n"], |mut one, mut pipe| {
        rounds += 1;
        let (first, mut two) = (rounds == 1, two.clone());
        async move {
            if first {
                two.set("n", 10).await?;
            }
            let value = one.get_int("n").await?.unwrap_or(0);
            pipe.set("n", value + 1).ignore().get("n");
            pipe.query_async(&mut one).await
        }
    })
    .await?;
    let _ = (&mut one, &mut two);
    assert_eq!(value, 11);
    Ok(())
}

/// A task that waits lets the others on its thread go on.
#[tokio::test(flavor = "current_thread")]
async fn waiting_gives_the_thread_away() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let mut connection = engine.async_connection();
        tasks.spawn(async move { connection.blpop("queue", 0.0).await });
    }
    let mut pusher = engine.async_connection();
    for number in 0..100 {
        tokio::task::yield_now().await;
        pusher.rpush("queue", number).await?;
    }
    let mut sum = 0;
    while let Some(popped) = tasks.join_next().await {
        let [_, element] = popped.expect("no panic")?.expect("an element");
        sum += element.parse::<i64>().expect("a number");
    }
    assert_eq!(sum, 4950);
    assert_eq!(pusher.blpop("queue", 0.01).await?, None);
    Ok(())
}

/// Polls once; what is left waits.
fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_dropped_wait_leaves_nothing_behind() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut waiter = engine.async_connection();
    assert!(poll_once(waiter.blpop(&["a", "b"], 0.0)).is_pending());
    let mut other = engine.connection();
    redis::TypedCommands::rpush(&mut other, "a", "kept")?;
    assert_eq!(
        redis::TypedCommands::llen(&mut other, "a")?,
        1,
        "a dropped waiter got nothing"
    );
    assert_eq!(engine.services().clients.len(), 2);
    let Poll::Ready(popped) = poll_once(waiter.blpop(&["a", "b"], 0.0)) else {
        panic!("there is an element");
    };
    assert_eq!(popped?, Some(["a".to_owned(), "kept".to_owned()]));
    drop(waiter);
    assert_eq!(engine.services().clients.len(), 1);
    Ok(())
}

#[test]
fn clones_are_clients_of_their_own() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut one = engine.async_connection();
    let select = poll_once(redis::cmd("SELECT").arg(2).exec_async(&mut one));
    assert_eq!(select, Poll::Ready(Ok(())));
    let mut two = one.clone();
    assert_eq!(aio::ConnectionLike::get_db(&two), 2);
    assert!(poll_once(one.blpop("l", 0.0)).is_pending());
    assert!(poll_once(two.rpush("l", "x")).is_ready());
    Ok(())
}

#[test]
fn futures_may_move_between_threads() {
    fn assert_send<T: Send + 'static>(_: &T) {}
    let mut connection = Engine::in_memory().async_connection();
    assert_send(&connection);
    let task = async move { connection.get("k").await };
    assert_send(&task);
}
