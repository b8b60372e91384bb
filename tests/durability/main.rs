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

use std::path::Path;

use innkeep::config::Config;
use innkeep::engine::{Engine, Session};
use innkeep::reply::Response;
use innkeep_test_server::wire::Wire;
use innkeep_test_server::{Launch, Server};

fn launch() -> Launch {
    Launch::under_test(env!("CARGO_BIN_EXE_innkeep")).option("appendonly", "yes")
}

fn connect(server: &Server) -> Wire {
    Wire::new(server.connect().expect("the server accepts"))
}

/// An engine in this process that logs to a directory, with one more parameter.
fn open_in(directory: &Path, parameter: (&str, &str)) -> Engine {
    let mut config = Config::default();
    let directory = directory.to_str().expect("a plain path");
    for (name, value) in [
        ("dir", directory),
        ("save", ""),
        ("appendonly", "yes"),
        parameter,
    ] {
        config
            .assign(name.as_bytes(), value.as_bytes())
            .expect("a valid value");
    }
    Engine::open(config).expect("it opens")
}

fn run_line(session: &mut Session, line: &str) -> Response {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    session.execute(&words)
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(otherwise)
}
