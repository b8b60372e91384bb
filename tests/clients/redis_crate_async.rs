//! The `redis` crate over sockets, asynchronous: the multiplexed connection, the connection manager and streams of
//! messages.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use innkeep_test_server::Server;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{AsyncCommands, Client, RedisResult};

const PROTOCOLS: [&str; 2] = ["resp2", "resp3"];

/// Runs a test's body with each protocol and a fresh database; a body that hangs fails.
fn with_clients<Body, Work>(body: Body)
where
    Body: Fn(Client) -> Work,
    Work: Future<Output = RedisResult<()>>,
{
    let server = crate::server();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    for protocol in PROTOCOLS {
        let work = async {
            let client = client(&server, protocol)?;
            let () = client
                .get_multiplexed_async_connection()
                .await?
                .flushall()
                .await?;
            body(client).await
        };
        let within =
            runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await });
        within.expect("the test ends").expect("the server answers");
    }
}

fn client(server: &Server, protocol: &str) -> RedisResult<Client> {
    Client::open(format!("{}?protocol={protocol}", server.url()))
}

async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    client.get_multiplexed_async_connection().await
}

#[test]
fn a_multiplexed_connection_serves_many_tasks() {
    with_clients(|client| async move {
        let connection = connect(&client).await?;
        let tasks: Vec<_> = (0..50)
            .map(|task| {
                let mut connection = connection.clone();
                tokio::spawn(async move {
                    for at in 0..100 {
                        let () = connection.set(format!("{task}:{at}"), at).await?;
                        let _: i64 = connection.incr("total", 1).await?;
                        assert_eq!(connection.get::<_, i64>(format!("{task}:{at}")).await?, at);
                    }
                    RedisResult::Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a task ends")?;
        }
        assert_eq!(connection.clone().get::<_, i64>("total").await?, 5000);
        Ok(())
    });
}

#[test]
fn pipelines_and_transactions() {
    with_clients(|client| async move {
        let mut connection = connect(&client).await?;
        let mut pipeline = redis::pipe();
        for at in 0..1000 {
            pipeline.set(at, at).ignore().get(at);
        }
        let values: Vec<i64> = pipeline.query_async(&mut connection).await?;
        assert_eq!(values, (0..1000).collect::<Vec<_>>());
        let (first, second): (i64, i64) = redis::pipe()
            .atomic()
            .incr("n", 1)
            .incr("n", 1)
            .query_async(&mut connection)
            .await?;
        assert_eq!((first, second), (1, 2));
        Ok(())
    });
}

#[test]
fn a_blocking_pop_waits_for_another_connection() {
    with_clients(|client| async move {
        let mut worker = connect(&client).await?;
        let mut producer = connect(&client).await?;
        let pop =
            tokio::spawn(async move { worker.blpop::<_, (String, String)>("mail", 20.0).await });
        loop {
            let info: String = redis::cmd("INFO")
                .arg("clients")
                .query_async(&mut producer)
                .await?;
            if info.contains("blocked_clients:1\r\n") {
                break;
            }
            tokio::task::yield_now().await;
        }
        let () = producer.rpush("mail", "booking").await?;
        assert_eq!(
            pop.await.expect("the task ends")?,
            ("mail".to_owned(), "booking".to_owned())
        );
        Ok(())
    });
}

#[test]
fn messages_are_a_stream() {
    with_clients(|client| async move {
        let mut publisher = connect(&client).await?;
        let mut subscriber = client.get_async_pubsub().await?;
        subscriber.subscribe("rooms").await?;
        subscriber.psubscribe("floor:*").await?;
        for at in 0..100 {
            assert_eq!(publisher.publish::<_, _, i64>("rooms", at).await?, 1);
            assert_eq!(publisher.publish::<_, _, i64>("floor:1", at).await?, 1);
        }
        let mut messages = subscriber.on_message();
        for at in 0..100 {
            for channel in ["rooms", "floor:1"] {
                let message = messages.next().await.expect("the stream goes on");
                assert_eq!(
                    (message.get_channel_name(), message.get_payload::<i64>()?),
                    (channel, at)
                );
            }
        }
        Ok(())
    });
}

#[test]
fn pushes_reach_a_multiplexed_resp3_connection() {
    let server = crate::server();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let work = async {
        let client = client(&server, "resp3")?;
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let config = redis::AsyncConnectionConfig::new().set_push_sender(sender);
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        connection.subscribe("rooms").await?;
        let _: i64 = connection.publish("rooms", "clean").await?;
        let kinds =
            [receiver.recv().await, receiver.recv().await].map(|push| push.map(|push| push.kind));
        assert_eq!(
            kinds,
            [
                Some(redis::PushKind::Subscribe),
                Some(redis::PushKind::Message)
            ]
        );
        let pong: String = redis::cmd("PING").query_async(&mut connection).await?;
        assert_eq!(
            pong, "PONG",
            "a subscribed RESP3 connection goes on answering"
        );
        RedisResult::Ok(())
    };
    let within =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await });
    within.expect("the test ends").expect("the server answers");
}

#[test]
fn a_connection_manager_comes_back_after_a_cut() {
    with_clients(|client| async move {
        let mut admin = connect(&client).await?;
        let config = ConnectionManagerConfig::new().set_min_delay(Duration::from_millis(1));
        let mut manager = ConnectionManager::new_with_config(client, config).await?;
        let () = manager.set("before", 1).await?;
        let id: i64 = redis::cmd("CLIENT")
            .arg("ID")
            .query_async(&mut manager)
            .await?;
        let killed: i64 = redis::cmd("CLIENT")
            .arg("KILL")
            .arg("ID")
            .arg(id)
            .query_async(&mut admin)
            .await?;
        assert_eq!(killed, 1);
        let mut attempts = 0;
        let value = loop {
            match manager.get::<_, i64>("before").await {
                Ok(value) => break value,
                Err(error)
                    if attempts < 1000
                        && (error.is_connection_dropped() || error.is_io_error()) =>
                {
                    attempts += 1
                }
                Err(error) => return Err(error),
            }
        };
        assert_eq!(value, 1);
        Ok(())
    });
}
