//! Subscriptions as a stream and as an iterator.

use std::thread;
use std::time::Duration;

use futures_util::StreamExt;
use innkeep::Engine;
use redis::{AsyncTypedCommands, RedisResult, TypedCommands};

#[tokio::test]
async fn a_stream_of_messages() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut subscriber = engine.subscriber();
    subscriber.subscribe(&["one", "two"])?;
    subscriber.psubscribe("t*")?;
    let publisher = tokio::spawn({
        let mut connection = engine.async_connection();
        async move {
            assert_eq!(connection.publish("one", "1").await?, 1);
            assert_eq!(connection.publish("two", "2").await?, 2);
            connection.publish("three", b"\x00\xff").await
        }
    });
    let messages: Vec<_> = (&mut subscriber).take(4).collect().await;
    assert_eq!(publisher.await.expect("no panic")?, 1);
    let names: Vec<_> = messages
        .iter()
        .map(|message| message.get_channel_name())
        .collect();
    assert_eq!(names, ["one", "two", "two", "three"]);
    assert!(!messages[1].from_pattern() && messages[2].from_pattern());
    assert_eq!(messages[3].get_payload_bytes(), b"\x00\xff");
    assert_eq!(messages[3].get_pattern::<String>()?, "t*");
    Ok(())
}

#[test]
fn an_iterator_of_messages() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut subscriber = engine.subscriber();
    subscriber.subscribe("numbers")?;
    let publisher = thread::spawn({
        let mut connection = engine.connection();
        move || (0..1000).try_for_each(|number| connection.publish("numbers", number).map(drop))
    });
    for (number, message) in subscriber.messages().take(1000).enumerate() {
        assert_eq!(message.get_payload::<usize>()?, number);
    }
    publisher.join().expect("no panic")?;
    assert!(subscriber.next_message_within(Duration::ZERO).is_none());
    Ok(())
}

#[test]
fn leaving_and_shard_channels() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut connection = engine.connection();
    let mut subscriber = engine.subscriber();
    subscriber.subscribe(&["one", "two"])?;
    subscriber.ssubscribe("shard")?;
    subscriber.unsubscribe("one")?;
    assert_eq!(connection.publish("one", "lost")?, 0);
    assert_eq!(connection.spublish("shard", "kept")?, 1);
    let message = subscriber.next_message().expect("it goes on");
    assert_eq!(message.get_channel_name(), "shard");
    subscriber.unsubscribe(&[] as &[&str])?;
    subscriber.sunsubscribe("shard")?;
    assert_eq!(connection.publish("two", "lost")?, 0);
    assert!(subscriber.next_message_within(Duration::ZERO).is_none());
    subscriber.subscribe("two")?;
    drop(subscriber);
    assert_eq!(connection.publish("two", "lost")?, 0);
    Ok(())
}

#[test]
fn whoever_does_not_read_is_cut_off() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut connection = engine.connection();
    redis::cmd("CONFIG")
        .arg(&["SET", "client-output-buffer-limit", "pubsub 100000 0 0"])
        .exec(&mut connection)?;
    let mut subscriber = engine.subscriber();
    subscriber.subscribe("c")?;
    let message = vec![0_u8; 10_000];
    while connection.publish("c", &message)? == 1 && subscriber_is_open(&mut subscriber) {}
    assert!(subscriber.messages().next().is_none());
    assert!(subscriber.subscribe("d").is_err());
    Ok(())
}

fn subscriber_is_open(subscriber: &mut innkeep::Subscriber) -> bool {
    subscriber.subscribe("c").is_ok()
}
