//! What survives: kill -9 of the real process, power loss and failing disks under the whole engine, and data directories
//! that move between innkeep and a real redis-server.

mod backups;
mod every_operation;
mod field_times;
mod full_disk;
mod interchange;
mod kill;
mod on_disk;
mod random_data;
mod reloading;
mod simulated;
mod snapshots;
mod starting;

use innkeep_test_server::wire::Wire;
use innkeep_test_server::{Launch, Server};

fn launch() -> Launch {
    Launch::under_test(env!("CARGO_BIN_EXE_innkeep")).option("appendonly", "yes")
}

fn connect(server: &Server) -> Wire {
    Wire::new(server.connect().expect("the server accepts"))
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(otherwise)
}
