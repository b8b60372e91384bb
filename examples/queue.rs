//! A reliable queue without a socket: producers push, workers move each message to a list of their own while they work
//! on it, and a worker that fails leaves it there to be found.

use std::thread;

use innkeep::Engine;
use redis::{RedisResult, TypedCommands};

const MESSAGES: usize = 1000;
const WORKERS: usize = 4;

fn main() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let engine = engine.clone();
            thread::spawn(move || work(&engine, number))
        })
        .collect();

    let mut producer = engine.connection();
    for number in 0..MESSAGES {
        producer.lpush("mail", format!("letter {number}"))?;
    }
    producer.lpush("mail", vec!["stop"; WORKERS])?;

    for (number, worker) in workers.into_iter().enumerate() {
        let sent = worker.join().expect("a worker does not panic")?;
        println!("worker {number} sent {sent} letters");
    }
    println!("letters left in the queue: {}", producer.llen("mail")?);
    Ok(())
}

/// Sends letters until it is told to stop; returns how many.
fn work(engine: &Engine, number: usize) -> RedisResult<usize> {
    let mut connection = engine.connection();
    let processing = format!("mail:processing:{number}");
    let mut sent = 0;
    while let Some(letter) = connection.brpoplpush("mail", &processing, 0.0)? {
        let stop = letter == "stop";
        sent += usize::from(!stop);
        connection.lrem(&processing, 1, &letter)?;
        if stop {
            break;
        }
    }
    Ok(sent)
}
