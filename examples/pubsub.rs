//! A live dashboard: one task publishes, another follows the stream of messages.

use futures_util::StreamExt;
use innkeep::Engine;
use redis::{AsyncTypedCommands, RedisResult};

#[tokio::main(flavor = "current_thread")]
async fn main() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut subscriber = engine.subscriber();
    subscriber.subscribe("desk")?;
    subscriber.psubscribe("room:*")?;

    let mut connection = engine.async_connection();
    let publisher = tokio::spawn(async move {
        for (channel, text) in [
            ("room:12", "free"),
            ("room:14", "taken"),
            ("kitchen", "nobody listens"),
            ("desk", "a guest is waiting"),
        ] {
            let receivers = connection.publish(channel, text).await?;
            println!("published to {channel}: {receivers} received it");
        }
        RedisResult::Ok(())
    });

    for _ in 0..3 {
        let message = subscriber.next().await.expect("the engine is there");
        let text: String = message.get_payload()?;
        println!("{}: {text}", message.get_channel_name());
    }
    publisher.await.expect("the publisher does not panic")
}
