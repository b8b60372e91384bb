//! A program with an engine of its own that lets `redis-cli` in: `cargo run --example serve`, then
//! `redis-cli -p 6400 GET visits`. The port may be given as the argument; with 0 it takes a free one, looks at itself
//! from outside, and ends.

use std::time::Duration;

use innkeep::{Engine, server};
use redis::TypedCommands;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = match std::env::args().nth(1) {
        Some(port) => port.parse()?,
        None => 6400,
    };
    let engine = Engine::in_memory();
    let options = server::ServerOptions {
        tcp: vec![([127, 0, 0, 1], port).into()],
        ..server::ServerOptions::default()
    };
    let server = server::serve(&engine, options)?;
    let address = server.addresses()[0];
    println!("redis-cli -p {} GET visits", address.port());

    let mut connection = engine.connection();
    if port == 0 {
        connection.incr("visits", 1)?;
        let mut outside = redis::Client::open(format!("redis://{address}"))?.get_connection()?;
        println!("visits, seen from outside: {:?}", outside.get("visits")?);
        return Ok(());
    }
    loop {
        connection.incr("visits", 1)?;
        std::thread::park_timeout(Duration::from_secs(1));
    }
}
