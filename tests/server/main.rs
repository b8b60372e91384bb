//! The server as a black box, below the level of commands: bytes on a socket, connections that come and go, the
//! process. Expected bytes are those of redis-server 7.0.15, which passes these tests itself.

mod concurrency;
mod connections;
mod debugging;
mod exchanges;
mod following;
mod hostile_scripts;
mod limits;
mod process;
mod replication;
mod tls;

use innkeep_test_server::wire::Wire;
use innkeep_test_server::{Launch, Server};

fn launch() -> Launch {
    Launch::under_test(env!("CARGO_BIN_EXE_innkeep"))
}

fn server() -> Server {
    launch().start().expect("the server starts")
}

fn connect(server: &Server) -> Wire {
    Wire::new(server.connect().expect("the server accepts"))
}
