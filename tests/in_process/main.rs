//! An engine in this process through the `redis` crate's traits: typed commands, pipelines, transactions, waiting,
//! scripts, subscriptions, and many threads on the same keys.

mod asynchronous;
mod closing;
mod contention;
#[cfg(feature = "lua")]
mod isolation;
mod restrictions;
mod scripts;
mod subscriptions;
mod typed;
mod waiting;

use innkeep::{Config, Engine};

/// An engine without a log, with this many shards.
fn engine_with(shards: usize) -> Engine {
    let mut config = Config::default();
    let settings: [(&[u8], &[u8]); 2] = [
        (b"shards", shards.to_string().leak().as_bytes()),
        (b"appendonly", b"no"),
    ];
    for (name, value) in settings {
        config.assign(name, value).expect("a known parameter");
    }
    Engine::open(config).expect("nothing on disk is touched")
}

/// Waits until this many clients wait in blocking commands.
fn until_blocked(engine: &Engine, count: usize) {
    use innkeep::services::ClientFlags;
    loop {
        let clients = engine.services().clients.list();
        let blocked = clients
            .iter()
            .filter(|client| client.has_flag(ClientFlags::BLOCKED));
        if blocked.count() == count {
            return;
        }
        std::thread::yield_now();
    }
}
